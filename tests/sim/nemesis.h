/* The faults of a simulated run. Each kind lives by itself: it waits, begins,
 * lasts, ends, waits again. A seed switches a random subset on, with random rates.
 *
 * Lasting damage (rot, a disk that fails or lies) strikes at most as many members as the
 * cluster can lose, always the same ones: the others' disks only lose what was not synced. */
#ifndef TESTS_SIM_NEMESIS_H
#define TESTS_SIM_NEMESIS_H

#include "tests/sim/fleet.h"
#include "tests/sim/shop.h"

#define NEMESIS_KINDS_MAX 64

struct nemesis;
struct fault_kind;

struct fault {
	struct nemesis *nemesis;
	const struct fault_kind *kind;
	struct sim_event event;
	bool on;     /* by the seed */
	bool active; /* now */
	uint64_t every_us, lasts_us;
	unsigned victim;
	uint64_t chosen; /* a bit for each of several */
	uint64_t fired;
};

struct nemesis {
	struct sim *sim;
	struct fleet *fleet;
	struct shops *shops;
	struct judge *judge;
	struct fault faults[NEMESIS_KINDS_MAX];
	unsigned count;
	bool running;
	unsigned frail[JUDGE_MEMBERS]; /* members whose disks may be damaged for good */
	unsigned frail_count;
};

/* only: names of kinds, comma-separated, or NULL for the seed's choice. "none" for none.
 * frail: how many disks may be damaged for good; 0: as many as the cluster can lose. */
void nemesis_init(struct nemesis *nemesis, struct fleet *fleet, struct shops *shops, const char *only,
		  unsigned frail);
/* The storm abates: from now on each kind waits twice as long, in the mean, before it strikes again. */
void nemesis_abate(struct nemesis *nemesis);
/* Ends every fault and heals the world. */
void nemesis_stop(struct nemesis *nemesis);
/* All members but a majority are taken away for good (or none, by chance); the rest is started. */
void nemesis_leave_majority(struct nemesis *nemesis);
/* A kind that is on and never fired, or NULL. */
const char *nemesis_idle(const struct nemesis *nemesis);
/* The kinds by number; NULL behind the last. */
const char *nemesis_kind_name(unsigned at);

#endif /* TESTS_SIM_NEMESIS_H */

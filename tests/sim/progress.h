/* The judge of progress: while a majority is up, connected and not hindered by any
 * fault, somebody leads or something is acknowledged, all the time, not only
 * when the faults have ended for good.
 *
 * It looks at the world, not at the nemesis: a member is sound when it is up and its host runs at its pace
 * with an honest, quick disk and a right clock; two are when the links between them are, both ways. Who is
 * outside of that majority may be ill in any way. A leader that is paused leads nobody. Draws no chance, and
 * traces nothing. */
#ifndef TESTS_SIM_PROGRESS_H
#define TESTS_SIM_PROGRESS_H

#include "tests/sim/fleet.h"
#include "tests/sim/shop.h"

struct progress {
	struct fleet *fleet;
	const struct shops *shops;
	struct sim_event look;
	uint64_t sound_since_us[JUDGE_MEMBERS][JUDGE_MEMBERS]; /* [i][i]: the member; else the links of two */
	uint64_t starts[JUDGE_MEMBERS];                        /* a life that began meanwhile */
	uint64_t last_us;                                      /* somebody led, or an answer came */
	uint64_t longest_us;                                   /* a majority was sound, and nothing went on */
};

void progress_init(struct progress *progress, struct fleet *fleet, const struct shops *shops);
void progress_fini(struct progress *progress);

#endif /* TESTS_SIM_PROGRESS_H */

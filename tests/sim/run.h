/* One seed: a world, a fleet, its clients and its faults, from the first event
 * to the verdict.
 *
 *   SAFETY    clients ask, faults strike
 *   LIVENESS  faults end for good, a majority stays; a write must be acknowledged and all
 *             live nodes must agree within a bounded time
 *   VERDICT   every key is read back, the judges look at it all */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include "tests/sim/nemesis.h"
#include "tests/sim/sale.h"

struct run_options {
	uint64_t seed;
	unsigned nodes;   /* 0: the seed's choice of 3 and 5 */
	uint64_t minutes; /* of the safety phase; 0: one */
	const char *only; /* faults, or NULL */
	const char *history; /* folder to which the history goes, or NULL */
	bool halt;        /* any disk may be damaged: see HALT in run.c */
	bool trace;       /* every event */
	bool log;         /* log lines of nodes */
	const struct wares *wares; /* the bundle of the sale; NULL: no sale */
};

struct run_result {
	bool failed;
	bool halted; /* more members are lost to damage than the cluster can spare */
	char failure[1024];
	uint64_t trace; /* hash */
	uint64_t events, sim_us;
	uint64_t loaded_us; /* of sim_us: while clients asked */
	uint64_t acknowledged, refused, retried, unknown, started;
	uint64_t leader_changes, restarts, truth_lost, lost, entries, longest_gap_us;
	uint64_t longest_silence_us; /* nobody led, though nothing hindered a majority */
	uint64_t sold, sale_refused, sale_unknown, replayed;
	uint64_t fired[NEMESIS_KINDS_MAX];
};

void run_seed(const struct run_options *options, struct run_result *result);

/* The end of a run, of shops and a sale that are closed and idle: everything is read back, within a minute,
 * or the judge is told. A sale's rows and sums are read one after the other, and what nobody waits for any
 * more may still happen in between: so nothing is read before every deadline has passed. Returns early when
 * ended() is true. */
void run_read_back(struct judge *judge, struct shops *shops, struct sale *sale, bool (*ended)(void *owner),
		   void *owner);

#endif /* TESTS_SIM_RUN_H */

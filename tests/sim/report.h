/* What many seeds came to: added up, and told as text or as one JSON object. */
#ifndef TESTS_SIM_REPORT_H
#define TESTS_SIM_REPORT_H

#include "tests/sim/run.h"

#include <stdio.h>

struct totals {
	uint64_t seeds, failed, diverged, voids, halted;
	uint64_t events, sim_us, loaded_us, acknowledged, refused, retried, unknown, started, leader_changes, restarts, truth_lost,
		lost;
	uint64_t sold, sale_refused, sale_unknown, replayed;
	uint64_t fired[NEMESIS_KINDS_MAX];
	double wall_s, cpu_s; /* real; cpu_s of all processes, also of those that ran a seed again */
	uint64_t runs;        /* seeds, or twice as many when each ran twice */
};

void totals_add(struct totals *totals, const struct run_result *result);
void totals_print(const struct totals *totals, FILE *out);
void totals_json(const struct totals *totals, FILE *out);

#endif /* TESTS_SIM_REPORT_H */

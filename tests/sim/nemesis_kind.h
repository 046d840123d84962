/* Private to the faults: what a kind is, and what kinds ask of the fault that they begin. */
#ifndef TESTS_SIM_NEMESIS_KIND_H
#define TESTS_SIM_NEMESIS_KIND_H

#include "tests/sim/nemesis.h"

struct fault_kind {
	const char *name;
	uint64_t every_ms, lasts_ms; /* the usual; a seed's own is a quarter to twice that */
	void (*begin)(struct fault *fault);
	void (*end)(struct fault *fault); /* NULL: one shot */
};

/* A file's kinds; the last has no name. */
extern const struct fault_kind nemesis_host_kinds[], nemesis_net_kinds[], nemesis_disk_kinds[], nemesis_people_kinds[];

/* No link is cut any more. */
void nemesis_join(struct nemesis *nemesis);

struct prng *fault_chance(struct fault *fault);
struct fleet *fault_fleet(struct fault *fault);
struct sim_host *fault_host(struct fault *fault, unsigned member);
unsigned fault_any_member(struct fault *fault);
/* The leader half of the time, when there is one. */
unsigned fault_some_member(struct fault *fault);
/* One whose disk may be damaged for good. */
unsigned fault_frail_member(struct fault *fault);
/* How long it stays down: from at once to some seconds. */
uint64_t fault_down_us(struct fault *fault);
/* Kills it and starts it again after that. */
void fault_strike(struct fault *fault, unsigned member, enum sim_kill kill);

#endif /* TESTS_SIM_NEMESIS_KIND_H */

/* What clocks, operators and clients do. */
#include "tests/sim/nemesis_kind.h"

static void clock_begin(struct fault *fault)
{
	int64_t ms = (int64_t)prng_below(fault_chance(fault), 7200000) - 3600000;
	sim_host_wall_jump(fault_host(fault, fault_some_member(fault)), ms);
}

static void strobe_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	sim_host_wall_jump(fault_host(fault, fault->victim), 5000);
}
static void strobe_end(struct fault *fault) { sim_host_wall_jump(fault_host(fault, fault->victim), -5000); }

static void transferred(void *owner, int status) {}
static void transfer_begin(struct fault *fault)
{
	struct fleet *fleet = fault_fleet(fault);
	int leader = fleet_leader(fleet);
	if (leader < 0 || fleet->members[leader].state != MEMBER_UP || sim_host_paused(fleet->members[leader].host)) {
		return;
	}
	uint64_t target = prng_below(fault_chance(fault), fleet->count + 1);
	if (target == (uint64_t)leader + 1) {
		target = 0;
	}
	shard_transfer(node_shard(fleet->members[leader].node), target, 1000, transferred, NULL);
}

static void client_kill_begin(struct fault *fault)
{
	struct shops *shops = fault->nemesis->shops;
	shops_kill(shops, (unsigned)prng_below(fault_chance(fault), shops->count));
}

static void client_pause_begin(struct fault *fault)
{
	struct shops *shops = fault->nemesis->shops;
	fault->victim = (unsigned)prng_below(fault_chance(fault), shops->count);
	sim_host_pause(shops->list[fault->victim].host);
}
static void client_pause_end(struct fault *fault)
{
	sim_host_resume(fault->nemesis->shops->list[fault->victim].host);
}

const struct fault_kind nemesis_people_kinds[] = {
	{"clock", 10000, 0, clock_begin, NULL},
	{"strobe", 2000, 200, strobe_begin, strobe_end},
	{"transfer", 6000, 0, transfer_begin, NULL},
	{"client-kill", 6000, 0, client_kill_begin, NULL},
	{"client-pause", 8000, 4000, client_pause_begin, client_pause_end},
	{.name = NULL},
};

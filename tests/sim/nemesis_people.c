/* What operators and clients do. */
#include "tests/sim/nemesis_kind.h"

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
	shops_kill(shops, (unsigned)prng_below(fault_chance(fault), shops->count), SIM_KILL_PROCESS);
}

/* A client's machine is gone: the nodes hear nothing of it until they speak. */
static void client_dead_begin(struct fault *fault)
{
	struct shops *shops = fault->nemesis->shops;
	shops_kill(shops, (unsigned)prng_below(fault_chance(fault), shops->count), SIM_KILL_POWER);
}

static void client_slow_begin(struct fault *fault)
{
	struct shops *shops = fault->nemesis->shops;
	fault->victim = (unsigned)prng_below(fault_chance(fault), shops->count);
	sim_host_slow(shops->list[fault->victim].host, 1000 + prng_below(fault_chance(fault), 300000));
}
static void client_slow_end(struct fault *fault)
{
	sim_host_slow(fault->nemesis->shops->list[fault->victim].host, 0);
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
	{"transfer", 6000, 0, transfer_begin, NULL},
	{"client-kill", 6000, 0, client_kill_begin, NULL},
	{"client-dead", 10000, 0, client_dead_begin, NULL},
	{"client-slow", 8000, 4000, client_slow_begin, client_slow_end},
	{"client-pause", 8000, 4000, client_pause_begin, client_pause_end},
	{.name = NULL},
};

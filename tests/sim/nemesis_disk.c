/* Faults of disks: slow, full, failing, lying. */
#include "tests/sim/nemesis_kind.h"

static void slow_disk_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	struct sim_disk_faults *faults = sim_disk_faults(fault_host(fault, fault->victim));
	faults->sync_us = 5000 + (uint32_t)prng_below(fault_chance(fault), 200000);
	faults->op_us = 100 + (uint32_t)prng_below(fault_chance(fault), 1000);
}
static void stall_disk_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	sim_disk_faults(fault_host(fault, fault->victim))->sync_us = 2000000 + (uint32_t)prng_below(fault_chance(fault), 8000000);
}
static void slow_disk_end(struct fault *fault)
{
	struct sim_disk_faults *faults = sim_disk_faults(fault_host(fault, fault->victim));
	faults->sync_us = 0;
	faults->op_us = 0;
}

static void full_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	struct sim_host *host = fault_host(fault, fault->victim);
	sim_disk_faults(host)->capacity = sim_disk_used(host) + prng_below(fault_chance(fault), 200000);
}
static void full_end(struct fault *fault) { sim_disk_faults(fault_host(fault, fault->victim))->capacity = 0; }

static void write_error_begin(struct fault *fault)
{
	fault->victim = fault_frail_member(fault);
	sim_disk_faults(fault_host(fault, fault->victim))->write_error_per_million = 20000;
}
static void sync_error_begin(struct fault *fault)
{
	fault->victim = fault_frail_member(fault);
	sim_disk_faults(fault_host(fault, fault->victim))->sync_error_per_million = 20000;
}
static void read_error_begin(struct fault *fault)
{
	fault->victim = fault_frail_member(fault);
	sim_disk_faults(fault_host(fault, fault->victim))->read_error_per_million = 20000;
	fault_strike(fault, fault->victim, SIM_KILL_PROCESS); /* starting is what reads */
}
static void disk_error_end(struct fault *fault)
{
	struct sim_disk_faults *faults = sim_disk_faults(fault_host(fault, fault->victim));
	faults->write_error_per_million = faults->sync_error_per_million = faults->read_error_per_million = 0;
}

static void rot_begin(struct fault *fault)
{
	unsigned victim = fault_frail_member(fault);
	struct sim_host *host = fault_host(fault, victim);
	fleet_kill(fault_fleet(fault), victim, SIM_KILL_POWER);
	sim_disk_flip(host, "log");
	fleet_start_in(fault_fleet(fault), victim, fault_down_us(fault));
}

static struct replica_stats raft_stats(const struct member *member)
{
	struct shard_stats stats = {.replica = {0}};
	if (member->state == MEMBER_UP) {
		shard_stats(node_shard(member->node), &stats);
	}
	return stats.replica;
}

static bool is_frail(const struct nemesis *nemesis, unsigned member)
{
	for (unsigned i = 0; i < nemesis->frail_count; i++) {
		if (nemesis->frail[i] == member) {
			return true;
		}
	}
	return false;
}

/* Two bits in the last group, which nothing proves: it looks like a torn write, and what was acknowledged is gone in silence.
 * So each disk that stays whole holds all of it: with one of them in every majority nothing is lost. */
static void rot_end_begin(struct fault *fault)
{
	unsigned victim = fault_frail_member(fault);
	struct fleet *fleet = fault_fleet(fault);
	uint64_t last = raft_stats(&fleet->members[victim]).durable_index;
	if (last == 0 || fault->nemesis->frail_count > (fleet->count - 1) / 2) {
		return;
	}
	for (unsigned i = 0; i < fleet->count; i++) {
		if (!is_frail(fault->nemesis, i) && raft_stats(&fleet->members[i]).applied_index < last) {
			return;
		}
	}
	fleet_kill(fleet, victim, SIM_KILL_POWER);
	sim_disk_flip_last(fault_host(fault, victim), ".log", 2);
	fleet_start_in(fleet, victim, fault_down_us(fault));
}

/* The two copies of term and vote: one of them may be lost. */
static void rot_vote_begin(struct fault *fault)
{
	unsigned victim = fault_frail_member(fault);
	fleet_kill(fault_fleet(fault), victim, SIM_KILL_POWER);
	sim_disk_flip(fault_host(fault, victim), "vote");
	fleet_start_in(fault_fleet(fault), victim, fault_down_us(fault));
}

static void rot_read_begin(struct fault *fault)
{
	fault->victim = fault_frail_member(fault);
	sim_disk_faults(fault_host(fault, fault->victim))->flip_per_million = 20000;
	fault_strike(fault, fault->victim, SIM_KILL_PROCESS); /* starting is what reads */
}
static void rot_read_end(struct fault *fault)
{
	sim_disk_faults(fault_host(fault, fault->victim))->flip_per_million = 0;
}

static void misdirect_begin(struct fault *fault)
{
	fault->victim = fault_frail_member(fault);
	sim_disk_faults(fault_host(fault, fault->victim))->misdirect_per_million = 5000;
}
static void misdirect_end(struct fault *fault)
{
	sim_disk_faults(fault_host(fault, fault->victim))->misdirect_per_million = 0;
}

const struct fault_kind nemesis_disk_kinds[] = {
	{"slow-disk", 8000, 4000, slow_disk_begin, slow_disk_end},
	{"stall-disk", 15000, 4000, stall_disk_begin, slow_disk_end},
	{"full", 12000, 4000, full_begin, full_end},
	{"write-error", 15000, 3000, write_error_begin, disk_error_end},
	{"sync-error", 15000, 3000, sync_error_begin, disk_error_end},
	{"read-error", 15000, 3000, read_error_begin, disk_error_end},
	{"rot", 30000, 0, rot_begin, NULL},
	{"rot-end", 6000, 0, rot_end_begin, NULL},
	{"rot-vote", 30000, 0, rot_vote_begin, NULL},
	{"rot-read", 20000, 3000, rot_read_begin, rot_read_end},
	{"misdirect", 30000, 3000, misdirect_begin, misdirect_end},
	{.name = NULL},
};

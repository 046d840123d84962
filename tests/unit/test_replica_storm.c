/* Bad nights of a group of replicas: kills, power cuts, partitions, pauses, slow
 * disks, handed-over leadership, trimmed logs, all at once and at random; then a
 * quiet hour in which it must come together. Judged: no two members are ever
 * handed different entries at one index, nothing acknowledged is missing at the
 * end, a confirmed read saw all that was acknowledged when it began. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/replica_private.h"
#include "tests/lib/group.h"
#include "tests/lib/tap.h"
#include "tests/sim/sim.h"

#define SECOND 1000000
#define STORM_STEPS 400

struct reading {
	struct replica_read read;
	struct storm *storm;
	struct group_member *member;
	uint64_t acknowledged; /* when it began */
	bool used;
};

struct storm {
	struct sim *sim;
	struct group group;
	struct sim_host *hosts[GROUP_MAX];
	struct log log;
	struct prng prng;
	struct reading readings[64];
	uint64_t unclosed, proposed, reads, stale_reads, starts, refused, stops, transfers, confirmed;
	bool crashed[GROUP_MAX];
};

static void sink(void *owner, enum log_level level, const char *line)
{
	struct storm *storm = owner;
	if (getenv("TALLY_TEST_VERBOSE") != NULL) {
		tap_note("%9.3f %s", (double)sim_now_us(storm->sim) / SECOND, line);
	}
}

static void crashed_cb(void *owner, struct sim_host *host)
{
	struct storm *storm = owner;
	for (size_t i = 0; i < storm->group.count; i++) {
		storm->crashed[i] |= storm->hosts[i] == host;
	}
}

static void forget_reads(struct storm *storm, const struct group_member *member)
{
	for (size_t i = 0; i < 64; i++) {
		if (storm->readings[i].member == member) {
			storm->readings[i].used = false;
		}
	}
}

static void down(struct storm *storm, size_t i, enum sim_kill kill)
{
	struct group_member *member = &storm->group.members[i];
	if (member->env == NULL) {
		return;
	}
	forget_reads(storm, member);
	sim_host_kill(storm->hosts[i], kill);
	replica_free(member->replica);
	sim_env_free(member->env);
	member->replica = NULL;
	member->env = NULL;
	member->open = false;
	storm->crashed[i] = false;
	/* The database forgets what was not flushed, whatever ended the process: it has no log of its own. */
	member->applied = member->flushed;
	member->configuration_index = member->flushed > 0 ? 1 : 0;
	member->configuration_len = member->flushed > 0 ? member->configuration_len : 0;
}

static void closed_cb(void *owner)
{
	((struct group_member *)owner)->closed = true;
}
static bool is_closed(void *owner)
{
	return ((struct group_member *)owner)->closed;
}

/* As an operator stops it. */
static void polite(struct storm *storm, size_t i)
{
	struct group_member *member = &storm->group.members[i];
	if (member->replica == NULL || storm->crashed[i] || sim_host_paused(storm->hosts[i])) {
		return;
	}
	forget_reads(storm, member);
	sim_disk_crash_after(storm->hosts[i], 0);
	replica_close(member->replica, closed_cb);
	storm->unclosed += !sim_run_until(storm->sim, is_closed, member, 10 * SECOND);
	down(storm, i, SIM_KILL_PROCESS);
}

static void up(struct storm *storm, size_t i)
{
	struct group_member *member = &storm->group.members[i];
	struct err err = {0};
	if (member->env != NULL) {
		return;
	}
	member->env = sim_host_start(storm->hosts[i]);
	storm->starts++;
	if (group_open(&storm->group, i, &err) == 0) {
		return;
	}
	if (!storm->crashed[i]) {
		storm->refused++;
		tap_note("n%zu: %s", i + 1, err.text);
	}
	sim_host_kill(storm->hosts[i], SIM_KILL_POWER);
	sim_env_free(member->env);
	member->env = NULL;
	storm->crashed[i] = false;
}

static void read_cb(struct replica_read *read, int status)
{
	struct reading *reading = list_entry(read, struct reading, read);
	reading->used = false;
	if (status == 0) {
		reading->storm->confirmed++;
		reading->storm->stale_reads += reading->member->commit_index < reading->acknowledged;
	}
}

static void read_somewhere(struct storm *storm, struct group_member *member)
{
	for (size_t i = 0; i < 64; i++) {
		struct reading *reading = &storm->readings[i];
		if (!reading->used) {
			*reading = (struct reading){.read.cb = read_cb,
						    .storm = storm,
						    .member = member,
						    .used = true,
						    .acknowledged = storm->group.acknowledged};
			storm->reads++;
			replica_read_start(member->replica, &reading->read, 1000);
			return;
		}
	}
}

static void transferred_cb(void *owner, int status) {}

static void flush_somewhere(struct storm *storm, struct group_member *member)
{
	if (member->applied > member->flushed) {
		member->flushed = member->applied;
		replica_database_durable(member->replica, member->applied);
	}
}

static void cut_link(struct storm *storm, size_t a, size_t b, bool off)
{
	sim_link(storm->sim, storm->hosts[a], storm->hosts[b])->cut = off;
}

static void heal(struct storm *storm)
{
	sim_links_reset(storm->sim);
	sim_links_healed(storm->sim);
	for (size_t i = 0; i < storm->group.count; i++) {
		*sim_disk_faults(storm->hosts[i]) = (struct sim_disk_faults){0};
		if (sim_host_up(storm->hosts[i]) && sim_host_paused(storm->hosts[i])) {
			sim_host_resume(storm->hosts[i]);
		}
		sim_disk_crash_after(storm->hosts[i], 0);
	}
}

static void fault(struct storm *storm)
{
	struct prng *prng = &storm->prng;
	size_t count = storm->group.count;
	size_t i = (size_t)prng_below(prng, count), j = (size_t)prng_below(prng, count);
	struct sim_link *link = i == j ? NULL : sim_link(storm->sim, storm->hosts[i], storm->hosts[j]);
	switch (prng_below(prng, 15)) {
	case 0:
		down(storm, i, SIM_KILL_PROCESS);
		break;
	case 1:
		down(storm, i, SIM_KILL_POWER);
		break;
	case 2:
		for (size_t k = 0; k < count && prng_chance(prng, 1, 3); k++) {
			down(storm, k, SIM_KILL_POWER);
		}
		break;
	case 3:
		if (sim_host_up(storm->hosts[i])) {
			sim_disk_crash_after(storm->hosts[i], 1 + prng_below(prng, 30));
		}
		break;
	case 4:
		if (i != j) {
			cut_link(storm, i, j, prng_chance(prng, 1, 2));
		}
		break;
	case 5:
		for (size_t k = 0; k < count; k++) {
			if (k != i) {
				cut_link(storm, i, k, true);
				cut_link(storm, k, i, true);
			}
		}
		break;
	case 6:
		if (sim_host_up(storm->hosts[i]) && !sim_host_paused(storm->hosts[i])) {
			sim_host_pause(storm->hosts[i]);
		}
		break;
	case 7:
		sim_disk_faults(storm->hosts[i])->sync_us = (uint32_t)prng_below(prng, 200000);
		break;
	case 8:
		if (link != NULL) {
			link->delay_us = (uint32_t)prng_below(prng, 100000);
			link->jitter_us = (uint32_t)prng_below(prng, 100000);
			link->flip_per_million = (uint32_t)prng_below(prng, 2000);
			link->reset_per_million = (uint32_t)prng_below(prng, 20000);
			link->split_per_million = (uint32_t)prng_below(prng, 300000);
		}
		break;
	case 9:
		polite(storm, i);
		break;
	default:
		heal(storm);
	}
}

static void work(struct storm *storm)
{
	struct prng *prng = &storm->prng;
	for (size_t i = 0; i < storm->group.count; i++) {
		struct group_member *member = &storm->group.members[i];
		if (storm->crashed[i] || (member->replica != NULL && member->stopped)) {
			storm->stops += member->replica != NULL && member->stopped;
			if (member->replica != NULL && member->stopped && !storm->crashed[i]) {
				tap_note("n%zu stopped: %s", i + 1, member->stop_line);
			}
			down(storm, i, SIM_KILL_POWER);
			continue;
		}
		if (member->replica == NULL || sim_host_paused(storm->hosts[i])) {
			continue;
		}
		if (prng_chance(prng, 1, 10)) {
			flush_somewhere(storm, member);
		}
		if (prng_chance(prng, 1, 4)) {
			read_somewhere(storm, member);
		}
		for (uint64_t n = prng_below(prng, 12); member->open && n > 0; n--) {
			size_t len = prng_chance(prng, 1, 20) ? KIB(20) : (size_t)prng_below(prng, 300);
			storm->proposed += group_propose(member, len) != 0;
		}
		if (member->open && prng_chance(prng, 1, 100) && !member->replica->handover.active) {
			storm->transfers++;
			replica_transfer(member->replica, 0, 500, transferred_cb, storm);
		}
	}
}

static bool together(void *owner)
{
	struct storm *storm = owner;
	struct group_member *leader = group_leader(&storm->group);
	if (leader == NULL || leader->commit_index < storm->group.acknowledged) {
		return false;
	}
	for (size_t i = 0; i < storm->group.count; i++) {
		if (storm->group.members[i].replica == NULL ||
		    storm->group.members[i].applied < storm->group.acknowledged) {
			return false;
		}
	}
	return true;
}

static struct storm *storm_new(uint64_t seed)
{
	struct storm *storm = calloc(1, sizeof(*storm));
	assert(storm != NULL);
	storm->sim = sim_new(seed);
	prng_init(&storm->prng, seed * 977);
	sim_on_crash(storm->sim, crashed_cb, storm);
	storm->log = (struct log){.level = LOG_DEBUG, .node = "n", .sink = sink, .owner = storm};
	storm->group.count = seed % 3 == 0 ? 5 : 3;
	storm->group.log = &storm->log;
	storm->group.segment_bytes = KIB(4) << prng_below(&storm->prng, 4);
	storm->group.keep_bytes = MIB(64); /* nobody falls behind for good: files are not shipped yet */
	storm->group.cache_bytes = KIB(4) << prng_below(&storm->prng, 6);
	for (size_t i = 0; i < storm->group.count; i++) {
		struct group_member *member = &storm->group.members[i];
		char name[32];
		snprintf(name, sizeof(name), "n%zu", i + 1);
		storm->hosts[i] = sim_host_new(storm->sim, name);
		member->id = i + 1;
		snprintf(member->dir, sizeof(member->dir), "log");
		snprintf(member->address, sizeof(member->address), "%s:7400", name);
	}
	return storm;
}

static void print_members(struct storm *storm)
{
	tap_note("acknowledged %llu", (unsigned long long)storm->group.acknowledged);
	for (size_t i = 0; i < storm->group.count; i++) {
		struct group_member *member = &storm->group.members[i];
		struct replica_stats stats;
		if (member->replica == NULL) {
			tap_note("n%zu down", i + 1);
			continue;
		}
		replica_stats(member->replica, &stats);
		tap_note("n%zu role %d open %d term %llu leader %llu log %llu..%llu durable %llu commit %llu "
			 "applied %llu",
			 i + 1, stats.role, member->open, (unsigned long long)stats.term,
			 (unsigned long long)stats.leader_id, (unsigned long long)stats.first_index,
			 (unsigned long long)stats.last_index, (unsigned long long)stats.durable_index,
			 (unsigned long long)stats.commit_index, (unsigned long long)member->applied);
		for (size_t j = 0; j < stats.peer_count; j++) {
			tap_note("   peer %llu connected %d match %llu unsent %llu behind %d",
				 (unsigned long long)stats.peers[j].id, stats.peers[j].connected,
				 (unsigned long long)stats.peers[j].match_index,
				 (unsigned long long)stats.peers[j].unsent_bytes,
				 stats.peers[j].needs_snapshot);
		}
	}
}

/* One night. Its trace, and whether the morning was good. */
static uint64_t night(uint64_t seed, bool *good)
{
	struct storm *storm = storm_new(seed);
	for (unsigned step = 0; step < STORM_STEPS && storm->group.agreed_upto < GROUP_INDEX_MAX - 4000;
	     step++) {
		for (size_t i = 0; i < storm->group.count; i++) {
			if (prng_chance(&storm->prng, 1, 5)) {
				up(storm, i);
			}
		}
		work(storm);
		if (prng_chance(&storm->prng, 1, 6)) {
			fault(storm);
		}
		sim_run(storm->sim, 1000 + prng_below(&storm->prng, 60000));
	}
	uint64_t storm_end = sim_now_us(storm->sim);
	heal(storm);
	bool came = false;
	for (unsigned round = 0; round < 100 && !came; round++) {
		for (size_t i = 0; i < storm->group.count; i++) {
			if (storm->crashed[i] ||
			    (storm->group.members[i].replica != NULL && storm->group.members[i].stopped)) {
				down(storm, i, SIM_KILL_POWER);
			}
			up(storm, i);
		}
		came = sim_run_until(storm->sim, together, storm, SECOND);
	}
	unsigned order = 0;
	for (size_t i = 0; i < storm->group.count; i++) {
		order += storm->group.members[i].order_errors;
	}
	*good = came && storm->group.disagreements == 0 && order == 0 && storm->stale_reads == 0 &&
		storm->refused == 0 && storm->unclosed == 0 && storm->stops == 0;
	if (!*good || getenv("TALLY_TEST_VERBOSE") != NULL) {
		tap_note("seed %llu: together %d, disagreements %u, order %u, stale reads %llu, refused "
			 "%llu, stops %llu",
			 (unsigned long long)seed, came, storm->group.disagreements, order,
			 (unsigned long long)storm->stale_reads, (unsigned long long)storm->refused,
			 (unsigned long long)storm->stops);
		tap_note("proposed %llu, applied %llu, reads %llu of %llu, starts %llu, transfers %llu, %.1f "
			 "s + %.1f s",
			 (unsigned long long)storm->proposed, (unsigned long long)storm->group.agreed_upto,
			 (unsigned long long)storm->confirmed, (unsigned long long)storm->reads,
			 (unsigned long long)storm->starts, (unsigned long long)storm->transfers,
			 (double)storm_end / SECOND, (double)(sim_now_us(storm->sim) - storm_end) / SECOND);
	}
	if (!*good) {
		print_members(storm);
	}
	uint64_t hash = sim_trace_hash(storm->sim);
	for (size_t i = 0; i < storm->group.count; i++) {
		down(storm, i, SIM_KILL_PROCESS);
	}
	sim_free(storm->sim);
	free(storm);
	return hash;
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : 16;
	unsigned bad = 0;
	for (uint64_t seed = first; seed < first + count; seed++) {
		bool good = false;
		night(seed, &good);
		bad += !good;
	}
	is_int(bad, 0, "%llu bad nights end well", (unsigned long long)count);
	bool good;
	ok(night(first, &good) == night(first, &good), "a night repeats bit for bit");
	return tap_done();
}

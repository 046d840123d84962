/* What went wrong in RedisRaft between its log and its snapshots, each told in
 * our terms: the database takes the place of the snapshot, trimming the place of the rewritten log.
 * docs/lineage.md names for each the line that brings it back. */
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define GOES_ON_CALLS 180

static struct replica_stats stats_of(const struct group_member *member)
{
	struct replica_stats stats;
	replica_stats(member->replica, &stats);
	return stats;
}

/* A lone member fills five segments, its database is durable, and the power goes in the call-th disk call
 * of the trimming, if there are so many. Its next life. */
static struct small_world *killed_while_trimming(unsigned call, bool *started, unsigned *cuts)
{
	struct small_world *world = small_world_new(call, 1);
	struct group_member *member = &world->group.members[0];
	*started = small_world_start(world, 0);
	small_world_write(world, small_world_leader(world), 40, 2000);
	small_world_run(world, 100);
	sim_disk_crash_after(world->hosts[0], call);
	small_world_flush(member);
	small_world_run(world, 20);
	*cuts += small_world_fallen(world, 0);
	small_world_end(world, 0, SIM_KILL_POWER);
	sim_disk_crash_after(world->hosts[0], 0);
	small_world_lose_unflushed(member);
	*started = *started && small_world_start(world, 0);
	return world;
}

/* #42: the header of the new log was off by one, seen only when it was started between two snapshots. */
static void test_header_of_the_new_log(void)
{
	unsigned cuts = 0;
	bool good = true;
	for (unsigned call = 1; call <= 12 && good; call++) {
		struct small_world *world = killed_while_trimming(call, &good, &cuts);
		struct group_member *member = &world->group.members[0];
		uint64_t flushed = member->flushed;
		good = good && small_world_leader(world) != NULL &&
		       stats_of(member).first_index <= flushed + 1 && stats_of(member).last_index > flushed;
		if (good) {
			small_world_write(world, member, 40, 2000);
			small_world_flush(member);
			small_world_run(world, 100);
			good = stats_of(member).first_index > flushed;
			small_world_end(world, 0, SIM_KILL_PROCESS);
			good = good && small_world_start(world, 0) && small_world_leader(world) != NULL &&
			       group_agrees(&world->group);
		}
		if (!good) {
			tap_note("the power went in disk call %u: %s", call, world->last_line);
		}
		small_world_free(world);
	}
	ok(good, "RedisRaft 42: a trimmed log starts where it was cut, after a kill at every step, and so "
		 "does the next one");
	ok(cuts >= 8, "the power went inside %u disk calls of the trimming", cuts);
}

/* Segments that were trimmed are used again; the database is flushed in the middle. */
static void test_log_goes_on(void)
{
	unsigned cuts = 0;
	bool good = true;
	for (unsigned call = 1; call <= GOES_ON_CALLS && good; call++) {
		struct small_world *world = small_world_new(1000 + call, 1);
		struct group_member *member = &world->group.members[0];
		good = small_world_start(world, 0) && small_world_leader(world) != NULL;
		small_world_write(world, member, 40, 2000);
		small_world_flush(member);
		small_world_run(world, 100);
		sim_disk_crash_after(world->hosts[0], call);
		for (unsigned i = 0; i < 4 && !small_world_fallen(world, 0); i++) {
			small_world_write(world, member, 15, 2000);
			if (!small_world_fallen(world, 0)) {
				small_world_flush(member);
			}
		}
		cuts += small_world_fallen(world, 0);
		small_world_end(world, 0, SIM_KILL_POWER);
		sim_disk_crash_after(world->hosts[0], 0);
		small_world_lose_unflushed(member);
		good = good && small_world_start(world, 0) && small_world_leader(world) != NULL &&
		       member->applied >= world->group.acknowledged && group_agrees(&world->group);
		if (!good) {
			tap_note("the power went in disk call %u: %s; applied %llu of %llu", call,
				 world->last_line, (unsigned long long)member->applied,
				 (unsigned long long)world->group.acknowledged);
		}
		small_world_free(world);
	}
	ok(good,
	   "RedisRaft 42: a log that goes on in the segments it trimmed loses nothing acknowledged, wherever "
	   "the power goes");
	ok(cuts >= GOES_ON_CALLS / 2, "the power went inside %u disk calls on the way", cuts);
}

/* ---- #52 ---- */

/* Member 1 follows puppet 2, fills its log, and gives its vote of term 60 to puppet 3. */
struct voter {
	struct small_world *world;
	struct group_member *member;
	struct puppet *leader, *candidate;
};

static void voter_open(struct voter *voter, uint64_t seed)
{
	static const uint8_t payload[2000] = {1};
	struct puppet_log log;
	voter->world = small_world_new(seed, 3);
	voter->member = &voter->world->group.members[0];
	small_world_start(voter->world, 0);
	voter->leader = puppet_new(voter->world, 2);
	voter->candidate = puppet_new(voter->world, 3);
	small_world_run(voter->world, 100);
	puppet_log_begin(&log, voter->member);
	for (unsigned i = 0; i < 40; i++) {
		puppet_log_add(&log, 50, ENTRY_COMMAND, slice_of(payload, sizeof(payload)));
	}
	for (unsigned i = 0; i < 40; i += 4) {
		puppet_send(voter->leader, &log, 50, i, 4, log.first + i + 3);
	}
	puppet_log_fini(&log);
	small_world_run(voter->world, 1000); /* the leader is silent */
	bool given = puppet_candidate(voter->candidate, 60);
	assert(given);
}

static bool voter_next_life(struct voter *voter)
{
	small_world_end(voter->world, 0, SIM_KILL_POWER);
	sim_disk_crash_after(voter->world->hosts[0], 0);
	small_world_lose_unflushed(voter->member);
	if (!small_world_start(voter->world, 0)) {
		return false;
	}
	/* Nobody told the puppets that their connections lead nowhere. */
	link_drop(&voter->leader->out);
	link_drop(&voter->candidate->out);
	small_world_run(voter->world, 100);
	return true;
}

static void voter_close(struct voter *voter)
{
	puppet_free(voter->leader);
	puppet_free(voter->candidate);
	small_world_free(voter->world);
}

/* #52: segments removed in the wrong order, and term and vote lost with the log that was rewritten. */
static void test_compaction_killed(void)
{
	bool starts = true;
	unsigned cuts = 0, second_votes = 0, later_votes = 0, lives = 0;
	for (unsigned call = 1; call <= 9; call++) {
		struct voter voter;
		voter_open(&voter, 100 + call);
		sim_disk_crash_after(voter.world->hosts[0], call);
		small_world_flush(voter.member);
		small_world_run(voter.world, 20);
		cuts += small_world_fallen(voter.world, 0);
		for (unsigned life = 0; life < 2 && starts; life++) {
			starts = voter_next_life(&voter);
			second_votes += starts && puppet_candidate(voter.leader, 60 + life);
			later_votes += starts && puppet_candidate(voter.candidate, 61 + life);
			lives++;
		}
		if (!starts) {
			tap_note("the power went in disk call %u: %s", call, voter.world->last_line);
		}
		voter_close(&voter);
	}
	ok(starts,
	   "RedisRaft 52: the log has no gap, wherever the power went while its oldest part was removed");
	is_int(second_votes, 0,
	       "RedisRaft 52: and the vote that was given before is not given again in that term");
	ok(cuts >= 6 && later_votes == lives,
	   "the power went inside %u disk calls of the removal, and votes of later terms are given", cuts);
}

/* ---- #53 ---- */

/* The disk of the log comes back from an older time, the database does not. */
static bool old_log_is_refused(void *owner)
{
	struct small_world *world = small_world_new(7, 1);
	struct group_member *member = &world->group.members[0];
	struct sim_host *spare = sim_host_new(world->sim, "spare");
	small_world_start(world, 0);
	small_world_write(world, small_world_leader(world), 5, 100);
	small_world_end(world, 0, SIM_KILL_PROCESS);
	sim_disk_copy(world->hosts[0], spare);
	small_world_start(world, 0);
	small_world_write(world, small_world_leader(world), 20, 100);
	small_world_end(world, 0, SIM_KILL_PROCESS);
	sim_disk_copy(spare, world->hosts[0]);
	bool refused = member->applied > 20 && !small_world_start(world, 0) &&
		       strstr(world->last_line, "before what the database holds") != NULL;
	small_world_free(world);
	return refused;
}

/* A follower hears of a commit while its disk still writes the entry before: nothing of that may be in the
 * database when the power goes. */
static bool database_stays_behind_log(void *owner)
{
	struct small_world *world = small_world_new(8, 3);
	struct group_member *member = &world->group.members[0];
	struct puppet_log log;
	small_world_start(world, 0);
	struct puppet *leader = puppet_new(world, 2);
	small_world_run(world, 100);
	puppet_log_begin(&log, member);
	for (unsigned i = 0; i < 6; i++) {
		puppet_log_add(&log, 50, ENTRY_COMMAND, SLICE_LIT("sold"));
	}
	sim_disk_faults(world->hosts[0])->sync_us = 5000000;
	puppet_send(leader, &log, 50, 0, 1, 1);
	puppet_send(leader, &log, 50, 1, 5, log.first + 5);
	bool told = raft_commit_index(&member->replica->core) == log.first + 5;
	member->flushed = member->applied;
	small_world_end(world, 0, SIM_KILL_POWER);
	sim_disk_faults(world->hosts[0])->sync_us = 0;
	bool starts = small_world_start(world, 0);
	bool shorter = starts && stats_of(member).last_index < log.first + 5;
	if (!starts) {
		tap_note("%s", world->last_line);
	}
	puppet_log_fini(&log);
	puppet_free(leader);
	small_world_free(world);
	return told && shorter;
}

static void test_log_shorter_than_database(void)
{
	ok(survives(old_log_is_refused, NULL),
	   "RedisRaft 53: a log that ends before what the database holds is refused at the start");
	ok(survives(database_stays_behind_log, NULL),
	   "RedisRaft 53: and no power cut makes one: the database waits for our own log");
}

/* ---- a file of no bytes (2025, #654) ---- */

static void test_first_start_killed(void)
{
	unsigned cuts = 0;
	bool good = true;
	for (unsigned call = 1; call <= 40 && good; call++) {
		struct small_world *world = small_world_new(300 + call, 1);
		sim_disk_crash_after(world->hosts[0], call);
		small_world_start(world, 0);
		small_world_run(world, 200);
		cuts += small_world_fallen(world, 0) || !sim_host_up(world->hosts[0]);
		small_world_end(world, 0, SIM_KILL_POWER);
		sim_disk_crash_after(world->hosts[0], 0);
		good = small_world_start(world, 0) && small_world_leader(world) != NULL;
		if (!good) {
			tap_note("the power went in disk call %u: %s", call, world->last_line);
		}
		small_world_free(world);
	}
	ok(good, "RedisRaft 654: a crash while a file is written for the first time leaves nothing that "
		 "forbids the next start");
	ok(cuts >= 10, "the power went inside %u disk calls of first starts", cuts);
}

int main(void)
{
	test_header_of_the_new_log();
	test_log_goes_on();
	test_compaction_killed();
	test_log_shorter_than_database();
	test_first_start_killed();
	return tap_done();
}

/* What RedisRaft did with the list of members that its snapshots carry, and with the gap between snapshot and
 * log: rows 13, 14, 15 and the last one of docs/lineage.md, which names the lines that bring them back. The
 * database's meta record carries ours. */
#include "engine/shard_private.h"
#include "raft/member.h"
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"
#include "tests/scenario/stage.h"

#include <stdio.h>
#include <string.h>

/* ---- whole nodes, with their real databases ---- */

static uint64_t first_index(const struct stage *stage, unsigned member)
{
	struct shard_stats stats;
	if (stage->fleet.members[member].state != MEMBER_UP) {
		return 0;
	}
	shard_stats(node_shard(stage->fleet.members[member].node), &stats);
	return stats.replica.first_index;
}

/* Writes until every member has trimmed its log up to beyond index. */
static bool write_until_trimmed(struct stage *stage, uint64_t index)
{
	char value[900];
	for (unsigned i = 0; i < 1500; i++) {
		snprintf(value, sizeof(value), "%0800u", i);
		if (stage_set(stage, "k", value) != TALLY_DONE) {
			return false;
		}
		stage_run(stage, i % 20 == 0 ? 100 : 1); /* heartbeats tell what all have */
		if (first_index(stage, 0) > index && first_index(stage, 1) > index &&
		    first_index(stage, 2) > index) {
			return true;
		}
	}
	return false;
}

static void all_lose_power(struct stage *stage)
{
	for (unsigned i = 0; i < 3; i++) {
		stage_kill(stage, i, SIM_KILL_POWER, 500);
	}
	stage_leader(stage);
	stage_run(stage, 2000);
}

static bool same_members(const struct stage *stage, struct slice members)
{
	bool same = true;
	for (unsigned i = 0; i < 3; i++) {
		uint64_t index;
		struct slice encoded = SLICE_NONE;
		if (stage->fleet.members[i].state == MEMBER_UP) {
			replica_configuration(node_shard(stage->fleet.members[i].node)->replica, &index,
					      &encoded);
		}
		same = same && slice_equal(encoded, members);
	}
	return same;
}

/* #44: a snapshot taken after a start from a snapshot had lost the members. */
static void test_second_generation(void)
{
	struct stage s;
	uint8_t bytes[512];
	uint64_t index;
	struct slice members;
	stage_open(&s, 14, 3);
	stage_leader(&s);
	replica_configuration(node_shard(s.fleet.members[0].node)->replica, &index, &members);
	members = slice_of(memcpy(bytes, members.data, members.len), members.len);
	for (unsigned generation = 1; generation <= 3; generation++) {
		uint64_t last = stage_applied(&s, 0);
		ok(write_until_trimmed(&s, last), "the log is trimmed behind all that the last life knew");
		all_lose_power(&s);
		if (!ok(same_members(&s, members),
			"RedisRaft 44: generation %u knows the members from the database alone",
			generation)) {
			break;
		}
		is_int(stage_set(&s, "after", "v"), TALLY_DONE, "and they elect a leader among them");
	}
	stage_close(&s);
}

/* #43: the log had been cut for a snapshot that was not there yet. */
static void test_trim_and_power(void)
{
	struct stage s;
	uint64_t known[3] = {1, 1, 1};
	unsigned kills = 0;
	unsigned done = 0;
	char value[900];
	stage_open(&s, 13, 3);
	stage_leader(&s);
	for (unsigned i = 0; i < 1000 && kills < 6 && done == i; i++) {
		snprintf(value, sizeof(value), "%0800u", i);
		done += stage_set(&s, "k", value) == TALLY_DONE;
		stage_run(&s, i % 10 == 0 ? 100 : 1);
		for (unsigned m = 0; m < 3; m++) {
			if (first_index(&s, m) > known[m]) {
				known[m] = first_index(&s, m);
				stage_kill(&s, m, SIM_KILL_POWER, 100);
				kills++;
				stage_run(&s, 1500);
				break;
			}
		}
	}
	ok(kills == 6 && done > 20, "six times a member trimmed its log and lost its power at once");
	is_int(s.fleet.refused, 0,
	       "RedisRaft 43: each starts again: no gap between the database and the log");
	is_str(stage_get(&s, "k"), value, "nothing acknowledged is lost");
	ok(stage_converges(&s), "and all have the same");
	stage_close(&s);
}

/* ---- replicas alone ---- */

/* #48: what a snapshot said about ourselves was not what we took it for. */
static void test_only_voter_of_a_database(void)
{
	struct small_world *world = small_world_new(48, 1);
	struct group_member *member = &world->group.members[0];
	bool trimmed = true, rising = true, votes = true;
	uint64_t term = 0;
	for (unsigned life = 0; life < 4; life++) {
		small_world_start(world, 0);
		bool leads = small_world_leader(world) != NULL;
		rising = rising && leads && member->term > term;
		term = member->term;
		votes = votes && member_voters(&member->replica->core.configuration) == 1 &&
			member_votes(&member->replica->core.configuration, 1);
		trimmed = trimmed && (life == 0 || wal_change_count(member->replica->wal) == 0);
		small_world_write(world, member, 40, 2000);
		small_world_flush(member);
		small_world_run(world, 100);
		small_world_end(world, 0, SIM_KILL_POWER);
		small_world_lose_unflushed(member);
	}
	ok(trimmed && votes,
	   "a voter whose log does not tell the members any more knows itself from the database");
	ok(rising, "RedisRaft 48: and that it is the only one: each start leads in a term of its own");
	small_world_free(world);
}

/* 2023, #643 to #651: configurations in another order than expected, by fuzzers. */
static bool reordered_changes(void *owner)
{
	struct small_world *world = small_world_new(51, 3);
	struct group_member *member = &world->group.members[0];
	struct puppet_log old, new;
	small_world_start(world, 0);
	struct puppet *leader = puppet_new(world, 2);
	small_world_run(world, 100);
	const struct raft *core = &member->replica->core;
	struct slice same = slice_of(member->configuration, member->configuration_len);
	puppet_log_begin(&old, member);
	puppet_log_begin(&new, member);
	puppet_log_add(&old, 50, ENTRY_COMMAND, SLICE_LIT("a"));
	puppet_log_add(&old, 50, ENTRY_COMMAND, SLICE_LIT("b"));
	puppet_log_add(&old, 50, ENTRY_CHANGE, same); /* 4, never committed */
	puppet_log_add(&old, 50, ENTRY_COMMAND, SLICE_LIT("c"));
	puppet_log_add(&new, 51, ENTRY_COMMAND, SLICE_LIT("d"));
	puppet_log_add(&new, 51, ENTRY_CHANGE, same); /* 3, earlier than the one it replaces */
	puppet_log_add(&new, 51, ENTRY_COMMAND, SLICE_LIT("e"));
	puppet_log_add(&new, 51, ENTRY_CHANGE,
		       same); /* 5, while 3 is not committed: a second one in flight */
	puppet_log_add(&new, 51, ENTRY_COMMAND, SLICE_LIT("f"));
	puppet_send(leader, &old, 50, 0, 4, 1);
	bool booked = core->configuration_uncommitted_index == 4;
	puppet_send(leader, &new, 51, 0, 3, 1);
	bool replaced = core->configuration_uncommitted_index == 3;
	puppet_send(leader, &new, 51, 3, 2,
		    4); /* the second arrives with the word that the first is committed */
	small_world_run(world, 100);
	bool second = core->configuration_uncommitted_index == 5 || core->configuration_committed_index == 5;
	puppet_send(leader, &new, 51, 5, 0, 6);
	small_world_run(world, 100);
	bool settled = core->configuration_uncommitted_index == 0 && core->configuration_committed_index == 5;
	bool alive = !member->stopped && member->applied == 6 && member->configuration_index == 5;
	if (!(booked && replaced && second && settled && alive)) {
		tap_note("booked %d replaced %d second %d settled %d alive %d: %s", booked, replaced, second,
			 settled, alive, member->stop_line);
		fflush(NULL);
	}
	puppet_log_fini(&old);
	puppet_log_fini(&new);
	puppet_free(leader);
	small_world_free(world);
	return booked && replaced && second && settled && alive;
}

int main(void)
{
	/* Before there are threads. */
	ok(survives(reordered_changes, NULL),
	   "RedisRaft 643: configurations that are replaced, come earlier, or in "
	   "the middle are booked where they lie");
	test_trim_and_power();
	test_second_generation();
	test_only_voter_of_a_database();
	return tap_done();
}

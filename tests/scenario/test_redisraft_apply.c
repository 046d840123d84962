/* Bugs that the ancestors of this design had (docs/lineage.md), each told as a
 * story: what happens to an entry once it is committed. */
#include "tests/scenario/stage.h"

#include "engine/shard_private.h"
#include "server/call.h"
#include "tests/lib/tap.h"

#include <stdio.h>

/* RedisRaft #13: a command that was applied went through the door for commands again; one RPUSH ran for
 * ever and the log grew without end. */
static void test_applied_once(void)
{
	struct stage s;
	stage_open(&s, 113, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	uint64_t before = stage_stats(&s, leader).replica.last_index;
	is_int(stage_ask(&s, false, 30000, (const char *const[]){"APPEND", "list", "x", NULL}), TALLY_DONE,
	       "RedisRaft 13: an APPEND is acknowledged");
	stage_run(&s, 10000);
	is_int(stage_stats(&s, leader).replica.last_index - before, 1,
	       "RedisRaft 13: ten quiet seconds later it is one entry of the log, not more");
	is_str(stage_get(&s, "list"), "x", "RedisRaft 13: and was appended once");
	stage_close(&s);
}

static struct request_command again;
static struct call inside;
static const struct slice again_words[] = {SLICE_LIT("APPEND"), SLICE_LIT("list"), SLICE_LIT("x")};

static void never_done(struct request *request)
{
	(void)request;
}

/* Who is told of an applied entry asks for another. */
static void propose_inside(void *owner, const struct entry *entry)
{
	struct shard *shard = owner;
	(void)entry;
	again = (struct request_command){command_find(again_words[0]), again_words, 3, 0};
	inside.request = (struct request){.kind = REQUEST_ONE,
					  .protocol = 2,
					  .commands = &again,
					  .command_count = 1,
					  .user = SLICE_LIT("default"),
					  .done = never_done,
					  .arrived_us = env_now_us(shard->env)};
	list_init(&inside.request.link);
	buf_init(&inside.request.reply, MIB(1));
	shard_submit(shard, &inside.request);
}

static void story_of_propose_inside(void)
{
	struct stage s;
	stage_open(&s, 114, 1);
	unsigned leader = (unsigned)stage_leader(&s);
	struct shard *shard = node_shard(s.fleet.members[leader].node);
	shard_watch_applied(shard, propose_inside, shard);
	stage_set(&s, "k", "v");
	stage_run(&s, 1000);
}

/* RedisRaft #14, by the same cause: followers never applied, and each failover lost everything. */
static void test_failover_keeps_data(void)
{
	struct stage s;
	char key[16], value[16];
	unsigned lost = 0, moved = 0, written = 0;
	stage_open(&s, 115, 3);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 10; i++, written++) {
			snprintf(key, sizeof(key), "k%u", written);
			snprintf(value, sizeof(value), "v%u", written);
			lost += stage_set(&s, key, value) != TALLY_DONE;
		}
		unsigned leader = (unsigned)stage_leader(&s);
		stage_kill(&s, leader, SIM_KILL_PROCESS, 3000);
		for (unsigned i = 0; i < written; i++) {
			snprintf(key, sizeof(key), "k%u", i);
			snprintf(value, sizeof(value), "v%u", i);
			const char *got = stage_get(&s, key);
			lost += got == NULL || strcmp(got, value) != 0;
		}
		moved += fleet_leader(&s.fleet) != (int)leader;
		stage_run(&s, 5000);
	}
	is_int(moved, 3, "RedisRaft 14: three leaders are killed, one after the other");
	is_int(lost, 0, "RedisRaft 14: after each failover every key is there");
	stage_close(&s);
}

int main(void)
{
	ok(stage_asserts(story_of_propose_inside),
	   "RedisRaft 13: proposing from inside an apply ends the process");
	test_applied_once();
	test_failover_keeps_data();
	return tap_done();
}

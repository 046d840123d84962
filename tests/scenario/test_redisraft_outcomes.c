/* Bugs that the ancestors of this design had (docs/lineage.md), each told as a
 * story: what a client is told of a write whose fate its node cannot know. */
#include "tests/scenario/plain.h"

#include "tests/lib/tap.h"

#include <stdio.h>
#include <string.h>

static bool says(const char *got, const char *outcome)
{
	char wanted[64];
	snprintf(wanted, sizeof(wanted), "\"outcome\":\"%s\"", outcome);
	return got != NULL && strstr(got, wanted) != NULL;
}

static unsigned follower_of(unsigned leader)
{
	return leader == 0 ? 1 : 0;
}

/* RedisRaft #23: a leader that lost its place answered NOLEADER, and the next one committed the write. */
static void test_leader_lost(void)
{
	struct stage s;
	struct plain at_leader;
	stage_open(&s, 123, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	plain_open(&at_leader, &s, leader);
	is_str(plain_ask(&at_leader, "SET k old"), "OK", "RedisRaft 23: a write at the leader");
	stage_run(&s, 100);
	uint64_t before = stage_stats(&s, leader).replica.last_index;
	stage_cut(&s, leader, true);
	plain_send(&at_leader, "SET k new");
	stage_run(&s, 20);
	unsigned holders = 0;
	for (unsigned i = 0; i < 3; i++) {
		holders += stage_stats(&s, i).replica.durable_index == before + 1;
	}
	is_int(holders, 3,
	       "RedisRaft 23: the next one is in all logs, but the leader hears of nobody that has it");
	const char *got = plain_read(&at_leader, 10000);
	ok(says(got, "unknown"), "RedisRaft 23: when it has lost its place it says that it does not know: %s",
	   got);
	is_str(stage_get(&s, "k"), "new",
	       "RedisRaft 23: and rightly so: the next leader has committed the write");
	stage_heal(&s);
	plain_close(&at_leader);
	stage_close(&s);
}

/* A definite error for a write that later commits: the deadline passes while the entry is under way. */
static void test_deadline(void)
{
	struct stage s;
	struct plain at_leader;
	stage_open(&s, 124, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	plain_open(&at_leader, &s, leader);
	plain_ask(&at_leader, "SET k old");
	for (unsigned i = 0; i < 3; i++) {
		sim_disk_faults(s.fleet.members[i].host)->sync_us = 400000;
	}
	plain_send(&at_leader, "DEADLINE 50 SET k new");
	const char *got = plain_read(&at_leader, 300);
	ok(says(got, "unknown"),
	   "deadline: it passes while the disks are slow; the answer is that nobody knows: %s", got);
	for (unsigned i = 0; i < 3; i++) {
		sim_disk_faults(s.fleet.members[i].host)->sync_us = 0;
	}
	is_str(stage_get(&s, "k"), "new", "deadline: a moment later the write is committed");
	plain_close(&at_leader);
	stage_close(&s);
}

/* The same at a node that passed the write on: its connection to the leader breaks before the answer comes.
 */
static void test_passed_on(void)
{
	struct stage s;
	struct plain client;
	stage_open(&s, 125, 3);
	unsigned leader = (unsigned)stage_leader(&s), follower = follower_of(leader);
	struct sim_host *there = s.fleet.members[leader].host, *here = s.fleet.members[follower].host;
	plain_open(&client, &s, follower);
	is_str(plain_ask(&client, "SET k old"), "OK", "passed on: a follower passes a write on");
	for (unsigned i = 0; i < 3; i++) {
		sim_disk_faults(s.fleet.members[i].host)->sync_us = i == leader ? 0 : 200000;
	}
	plain_send(&client, "SET k new");
	stage_run(&s, 20);
	ok(plain_read(&client, 0) == NULL,
	   "passed on: the next one waits at the leader for the others' disks");
	sim_links_break(s.sim, there, here);
	const char *got = plain_read(&client, 100);
	ok(says(got, "unknown"),
	   "passed on: the connection breaks; the follower says that it does not know: %s", got);
	is_str(stage_get(&s, "k"), "new", "passed on: the leader has committed it");
	plain_close(&client);
	stage_close(&s);
}

struct replicated {
	struct stage *stage;
	unsigned member;
	uint64_t index;
};

static bool is_replicated(void *owner)
{
	const struct replicated *r = owner;
	return stage_stats(r->stage, r->member).replica.durable_index >= r->index;
}

/* One transaction: the stock goes down and the order is there, or neither. */
#define BUY                                                                                                  \
	"EVAL "                                                                                              \
	"redis.call('DECRBY','stock',1);redis.call('APPEND',KEYS[1],'x');return(redis.call('GET','stock')) " \
	"1 order"

/* "Lost" stock: kills the leader between proposal and reply, when the others have the entry or nobody has,
 * and asks again under the same id. */
static void sell(uint64_t seed, bool kept)
{
	struct stage s;
	struct plain first, second;
	const char *which = kept ? "the others have the entry" : "nobody else has the entry";
	stage_open(&s, seed, 3);
	unsigned leader = (unsigned)stage_leader(&s), follower = follower_of(leader);
	stage_set(&s, "stock", "10");
	stage_run(&s, 200);
	plain_open(&first, &s, leader);
	plain_ask(&first, "PING");
	struct replicated entry = {&s, kept ? follower : leader,
				   stage_stats(&s, leader).replica.last_index + 1};
	for (unsigned i = 0; i < 3 && !kept; i++) {
		struct sim_host *there = s.fleet.members[leader].host, *other = s.fleet.members[i].host;
		sim_link(s.sim, there, other)->cut = i != leader;
		if (i != leader) {
			sim_links_break(s.sim, there, other); /* what is sent now is not even on its way */
		}
	}
	plain_send(&first, "ONCE o-1 " BUY);
	bool proposed = sim_run_until(s.sim, is_replicated, &entry, 1000000);
	ok(proposed && plain_read(&first, 0) == NULL, "stock: a sale is proposed, %s, and not answered",
	   which);
	stage_kill(&s, leader, SIM_KILL_POWER, 20000);
	stage_heal(&s);
	plain_close(&first);
	is_str(stage_get(&s, "stock"), kept ? "9" : "10",
	       "stock: the leader dies; the stock at the next one is as it must be");
	plain_open(&second, &s, follower);
	is_str(plain_ask(&second, "ONCE o-1 " BUY), "9",
	       "stock: asked again, the buyer is told the one sale");
	is_str(plain_ask(&second, "GET stock"), "9", "stock: one unit has left");
	is_str(plain_ask(&second, "GET order"), "x", "stock: for one order");
	plain_close(&second);
	stage_close(&s);
}

int main(void)
{
	test_leader_lost();
	test_deadline();
	test_passed_on();
	sell(126, true);
	sell(127, false);
	return tap_done();
}

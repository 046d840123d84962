/* Bugs that the ancestors of this design had (docs/lineage.md), each told as a
 * story: what a client's connection is told while the cluster looks for itself. */
#include "tests/scenario/plain.h"

#include "tests/lib/tap.h"

#include <stdio.h>
#include <string.h>

/* How many of the members that run do not say who leads. */
static unsigned lost_souls(struct stage *s)
{
	unsigned count = 0;
	for (unsigned i = 0; i < s->fleet.count; i++) {
		const struct member *m = &s->fleet.members[i];
		uint64_t leader_id;
		count += m->state == MEMBER_UP && !sim_host_paused(m->host) &&
			 shard_role(node_shard(m->node), &leader_id) == SHARD_UNKNOWN;
	}
	return count;
}

/* RedisRaft #21: a healthy cluster answered NOLEADER for long, for a node's idea of its role was stuck. */
static void test_leader_known(void)
{
	struct stage s;
	unsigned lost = 0, refused = 0;
	stage_open(&s, 121, 5);
	for (unsigned round = 0; round < 4; round++) {
		unsigned old = (unsigned)stage_leader(&s);
		sim_host_pause(s.fleet.members[old].host);
		stage_run(&s, 3000); /* an election, and two seconds more */
		lost += lost_souls(&s);
		sim_host_resume(s.fleet.members[old].host);
		stage_run(&s, 2000);
		lost += lost_souls(&s);
		for (unsigned i = 0; i < 5; i++) {
			struct plain client;
			plain_open(&client, &s, i);
			const char *got = plain_ask(&client, "GET nothing");
			refused += got == NULL || strcmp(got, "(nil)") != 0;
			plain_close(&client);
		}
	}
	is_int(lost, 0,
	       "RedisRaft 21: four leaders are stopped; two seconds later every node knows the next");
	is_int(refused, 0, "RedisRaft 21: and serves");
	stage_close(&s);
}

/* RedisRaft #25: without a leader DISCARD was refused, and the connection stayed in MULTI for ever. */
static void test_discard(void)
{
	struct stage s;
	struct plain client;
	stage_open(&s, 122, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	plain_open(&client, &s, leader);
	plain_ask(&client, "MULTI");
	is_str(plain_ask(&client, "SET k v"), "QUEUED", "RedisRaft 25: a command is queued");
	for (unsigned i = 0; i < 3; i++) {
		if (i != leader) {
			fleet_kill(&s.fleet, i, SIM_KILL_POWER);
		}
	}
	stage_run(&s, 3000);
	is_int(lost_souls(&s), 1, "RedisRaft 25: the others are gone, and nobody leads");
	is_str(plain_ask(&client, "DISCARD"), "OK", "RedisRaft 25: DISCARD needs no leader");
	is_str(plain_ask(&client, "PING"), "PONG", "RedisRaft 25: and ends the transaction");
	plain_ask(&client, "MULTI");
	plain_ask(&client, "SET k v");
	const char *got = plain_ask(&client, "EXEC");
	ok(got != NULL && strstr(got, "\"outcome\":\"retry\"") != NULL,
	   "RedisRaft 25: an EXEC is refused: %s", got);
	is_str(plain_ask(&client, "PING"), "PONG", "RedisRaft 25: that too ends the transaction");
	plain_ask(&client, "MULTI");
	is_str(plain_ask(&client, "RESET"), "RESET", "RedisRaft 25: so does RESET");
	is_str(plain_ask(&client, "PING"), "PONG", "RedisRaft 25: the connection is as new");
	plain_close(&client);
	stage_close(&s);
}

/* RedisRaft #26: answers that came late were given to the requests of the next connection. */
static void test_late_answers(void)
{
	struct stage s;
	struct plain client;
	char line[64], token[16];
	stage_open(&s, 126, 3);
	unsigned leader = (unsigned)stage_leader(&s), follower = leader == 0 ? 1 : 0;
	for (unsigned i = 0; i < 10; i++) {
		snprintf(line, sizeof(line), "t%u", i);
		snprintf(token, sizeof(token), "token%u", i);
		stage_set(&s, line, token);
	}
	plain_open(&client, &s, follower);
	plain_ask(&client, "PING");
	for (unsigned i = 0; i < 3; i++) {
		/* What is executed is not answered before it is on two disks. */
		sim_disk_faults(s.fleet.members[i].host)->sync_us = i == leader ? 0 : 400000;
	}
	for (unsigned i = 0; i < 5; i++) {
		snprintf(line, sizeof(line), "GETSET t%u taken", i);
		plain_send(&client, line);
	}
	stage_run(&s, 20);
	ok(plain_read(&client, 0) == NULL,
	   "RedisRaft 26: five requests are passed on and wait at the leader");
	sim_links_break(s.sim, s.fleet.members[leader].host, s.fleet.members[follower].host);
	unsigned unknown = 0;
	for (unsigned i = 0; i < 5; i++) {
		const char *got = plain_read(&client, 100);
		unknown += got != NULL && strstr(got, "\"outcome\":\"unknown\"") != NULL;
	}
	is_int(unknown, 5, "RedisRaft 26: the connection breaks, and they are answered: unknown");
	stage_run(&s, 100); /* they connect again; the first five still wait at the leader */
	for (unsigned i = 5; i < 10; i++) {
		snprintf(line, sizeof(line), "GETSET t%u taken", i);
		plain_send(&client, line);
	}
	unsigned own = 0;
	for (unsigned i = 5; i < 10; i++) {
		const char *got = plain_read(&client, 10000);
		snprintf(token, sizeof(token), "token%u", i);
		own += got != NULL && strcmp(got, token) == 0;
		if (got == NULL || strcmp(got, token) != 0) {
			tap_note("the answer to t%u is %s", i, got == NULL ? "nothing" : got);
		}
	}
	is_int(own, 5,
	       "RedisRaft 26: the next five go over the next connection, and each gets its own answer");
	plain_close(&client);
	stage_close(&s);
}

int main(void)
{
	test_leader_known();
	test_discard();
	test_late_answers();
	return tap_done();
}

/* Bugs that the ancestors of this design had (docs/lineage.md), each told as a
 * story: reads that saw what was no longer, or not yet, the state. */
#include "tests/scenario/plain.h"

#include "tests/lib/tap.h"

#include <stdio.h>
#include <string.h>

static bool all_up(void *owner)
{
	struct stage *s = owner;
	for (unsigned i = 0; i < s->fleet.count; i++) {
		if (s->fleet.members[i].state != MEMBER_UP) {
			return false;
		}
	}
	return true;
}

/* Nothing is flushed: after a power cut the databases are empty and everything is in the logs. */
static void open_without_flush(struct stage *s, uint64_t seed, unsigned nodes)
{
	stage_open(s, seed, nodes);
	for (unsigned i = 0; i < nodes; i++) {
		s->fleet.members[i].config.flush_entries = 0;
	}
}

/* Writes, cuts the power of all, and asks the very moment they are back. How many answers were neither the
 * last value nor "later". */
static unsigned blackout(struct stage *s, unsigned writes)
{
	char value[16];
	unsigned nodes = s->fleet.count, wrong = 0;
	struct plain clients[3];
	stage_leader(s);
	for (unsigned i = 0; i < writes; i++) {
		snprintf(value, sizeof(value), "%u", i);
		stage_set(s, "k", value);
	}
	for (unsigned i = 0; i < nodes; i++) {
		stage_kill(s, i, SIM_KILL_POWER, 100);
	}
	stage_run(s, 99);
	sim_run_until(s->sim, all_up, s, 10000000);
	for (unsigned i = 0; i < nodes; i++) {
		wrong += stage_stats(s, i).applied_index != 0; /* or the story would prove nothing */
		plain_open(&clients[i], s, i);
		plain_send(&clients[i], "GET k");
	}
	for (unsigned i = 0; i < nodes; i++) {
		const char *got = plain_read(&clients[i], 30000);
		bool later = got != NULL && strstr(got, "\"outcome\":\"retry\"") != NULL;
		wrong += !later && (got == NULL || strcmp(got, value) != 0);
		if (got == NULL || strcmp(got, value) != 0) {
			tap_note("n%u answered %s", i + 1, got == NULL ? "nothing" : got);
		}
	}
	for (unsigned i = 0; i < nodes; i++) {
		plain_close(&clients[i]);
	}
	return wrong;
}

/* RedisRaft #18: for seconds after a restart reads found nothing, for the log was not yet applied. */
static void test_restart(void)
{
	struct stage s;
	open_without_flush(&s, 118, 3);
	is_int(blackout(&s, 200), 0,
	       "RedisRaft 18: three nodes come back with empty databases; the first read sees the last "
	       "write");
	is_str(stage_get(&s, "k"), "199", "RedisRaft 18: and so do those that follow");
	stage_close(&s);
}

/* RedisRaft #30, second half: the only voter has nobody who tells it what is committed. */
static void test_only_voter(void)
{
	struct stage s;
	open_without_flush(&s, 130, 1);
	is_int(blackout(&s, 1500), 0,
	       "RedisRaft 30: the only voter comes back with an empty database; its first read sees the last "
	       "write");
	is_int(stage_stats(&s, 0).replica.commit_index, stage_stats(&s, 0).replica.last_index,
	       "RedisRaft 30: it knows its whole log as committed");
	stage_close(&s);
}

struct after {
	struct stage *stage;
	unsigned old;
};

static bool elected(void *owner)
{
	const struct after *after = owner;
	return fleet_leader(&after->stage->fleet) >= 0 &&
	       stage_stats(after->stage, after->old == 0 ? 1 : 0).replica.term >
		       stage_stats(after->stage, after->old).replica.term &&
	       fleet_leader(&after->stage->fleet) != (int)after->old;
}

/* RedisRaft #19: a new leader without an entry of its own term does not know what the old one had
 * acknowledged. */
static void test_new_leader(void)
{
	struct stage s;
	struct plain clients[3];
	stage_open(&s, 119, 3);
	unsigned old = (unsigned)stage_leader(&s);
	stage_set(&s, "k", "old");
	ok(stage_converges(&s), "RedisRaft 19: all have applied the old value");
	for (unsigned i = 0; i < 3; i++) {
		plain_open(&clients[i], &s, i);
		plain_ask(&clients[i], "PING");
	}
	is_int(stage_set(&s, "k", "new"), TALLY_DONE, "RedisRaft 19: the new value is acknowledged");
	uint64_t acknowledged = stage_stats(&s, old).replica.commit_index;
	sim_host_pause(s.fleet.members[old].host);
	unsigned told = 0;
	for (unsigned i = 0; i < 3; i++) {
		told += i != old && stage_stats(&s, i).replica.commit_index >= acknowledged;
		sim_disk_faults(s.fleet.members[i].host)->sync_us =
			20000; /* what a new leader proposes takes its time */
	}
	is_int(told, 0,
	       "RedisRaft 19: and the leader is paused before it tells the others that it is committed");
	struct after after = {&s, old};
	ok(sim_run_until(s.sim, elected, &after, 10000000), "RedisRaft 19: another is elected");
	for (unsigned i = 0; i < 3; i++) {
		if (i != old) {
			plain_send(&clients[i], "GET k");
		}
	}
	for (unsigned i = 0; i < 3; i++) {
		if (i != old) {
			is_str(plain_read(&clients[i], 30000), "new",
			       "RedisRaft 19: a read in that moment sees the new value (at n%u)", i + 1);
		}
	}
	sim_host_resume(s.fleet.members[old].host);
	for (unsigned i = 0; i < 3; i++) {
		plain_close(&clients[i]);
	}
	stage_close(&s);
}

/* A leader is stopped, another takes over, the first goes on: it believes that it leads, and has heard
 * nothing yet when a read comes in. */
static void test_woken_leader(void)
{
	struct stage s;
	struct plain at_old, at_other;
	stage_open(&s, 120, 3);
	unsigned old = (unsigned)stage_leader(&s);
	stage_set(&s, "k", "old");
	plain_open(&at_old, &s, old);
	plain_open(&at_other, &s, old == 0 ? 1 : 0);
	is_str(plain_ask(&at_old, "GET k"), "old", "SIGCONT: a client reads at the leader");
	struct sim_host *host = s.fleet.members[old].host;
	sim_host_pause(host);
	stage_cut(&s, old, true); /* not even what would wait in its sockets */
	struct after after = {&s, old};
	sim_run_until(s.sim, elected, &after, 10000000);
	stage_run(&s, 100);
	is_str(plain_ask(&at_other, "SET k new"), "OK",
	       "SIGCONT: it is stopped, and the next leader takes a write");
	plain_send(&at_old, "GET k");
	stage_run(&s, 10);
	sim_host_resume(host);
	stage_run(&s, 2);
	is_int(stage_stats(&s, old).replica.role, REPLICA_LEADER,
	       "SIGCONT: it goes on, and believes that it leads");
	const char *got = plain_read(&at_old, 30000);
	ok(got != NULL && strstr(got, "\"outcome\":\"retry\"") != NULL,
	   "SIGCONT: it answers later, not what it knows: %s", got);
	stage_heal(&s);
	stage_run(&s, 1000);
	is_str(plain_ask(&at_old, "GET k"), "new",
	       "SIGCONT: once it hears the others it reads the new value");
	plain_close(&at_old);
	plain_close(&at_other);
	stage_close(&s);
}

int main(void)
{
	test_restart();
	test_only_voter();
	test_new_leader();
	test_woken_leader();
	return tap_done();
}

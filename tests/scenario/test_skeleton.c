/* Three nodes in one process under simulated time: a SET is replicated, the
 * leader crashes, the value is read back. */
#include "tests/scenario/stage.h"

#include "tests/lib/tap.h"

#include <stdio.h>
#include <string.h>

static void test_leader_crashes(void)
{
	struct stage s;
	stage_open(&s, 1, 3);
	int leader = stage_leader(&s);
	ok(leader >= 0, "three nodes find a leader");
	is_int(stage_set(&s, "apples", "42"), TALLY_DONE, "a SET is acknowledged");
	ok(stage_converges(&s), "all three apply it");
	stage_kill(&s, (unsigned)leader, SIM_KILL_POWER, 3000);
	is_str(stage_get(&s, "apples"), "42", "the leader's power is cut; the value is read back from another");
	int second = fleet_leader(&s.fleet);
	ok(second >= 0 && second != leader, "which leads now");
	is_int(stage_set(&s, "pears", "7"), TALLY_DONE, "and takes writes");
	stage_run(&s, 5000);
	ok(s.fleet.members[leader].state == MEMBER_UP && stage_converges(&s), "the fallen node returns and catches up");
	is_str(stage_get(&s, "pears"), "7", "all is there");
	stage_close(&s);
}

static void test_minority(void)
{
	struct stage s;
	stage_open(&s, 2, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	stage_set(&s, "k", "1");
	stage_kill(&s, (leader + 1) % 3, SIM_KILL_PROCESS, 20000);
	stage_kill(&s, (leader + 2) % 3, SIM_KILL_PROCESS, 20000);
	is_int(stage_ask(&s, true, 3000, (const char *const[]){"GET", "k", NULL}), TALLY_RETRY,
	       "a leader without its majority serves no read");
	enum tally_outcome outcome = stage_ask(&s, false, 3000, (const char *const[]){"SET", "k", "2", NULL});
	ok(outcome == TALLY_RETRY || outcome == TALLY_UNKNOWN, "and acknowledges no write");
	is_int(stage_set(&s, "k", "3"), TALLY_DONE, "with the majority back, it goes on");
	is_str(stage_get(&s, "k"), "3", "and the last write is what is read");
	stage_close(&s);
}

static void test_blackout(void)
{
	struct stage s;
	stage_open(&s, 3, 3);
	stage_leader(&s);
	char value[16];
	for (int i = 0; i < 30; i++) {
		snprintf(value, sizeof(value), "%d", i);
		stage_set(&s, "last", value);
	}
	for (unsigned i = 0; i < 3; i++) {
		stage_kill(&s, i, SIM_KILL_POWER, 1000);
	}
	is_str(stage_get(&s, "last"), "29", "all lose power at once: what was acknowledged is there");
	stage_close(&s);
}

/* The Jepsen report's stale read: a leader that was paused must not answer from what it knew. */
static void test_paused_leader(void)
{
	struct stage s;
	stage_open(&s, 4, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	stage_set(&s, "k", "old");
	sim_host_pause(s.fleet.members[leader].host);
	is_int(stage_set(&s, "k", "new"), TALLY_DONE, "while the leader is paused another takes over");
	sim_host_resume(s.fleet.members[leader].host);
	is_str(stage_get(&s, "k"), "new", "after it wakes up nobody reads the old value");
	stage_run(&s, 1000);
	ok(stage_converges(&s), "and it follows");
	stage_close(&s);
}

static uint64_t trace_of(uint64_t seed)
{
	struct stage s;
	stage_open(&s, seed, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	stage_set(&s, "k", "v");
	stage_kill(&s, leader, SIM_KILL_POWER, 500);
	stage_set(&s, "k", "w");
	stage_run(&s, 3000);
	uint64_t trace = sim_trace_hash(s.sim);
	stage_close(&s);
	return trace;
}

int main(void)
{
	test_leader_crashes();
	test_minority();
	test_blackout();
	test_paused_leader();
	ok(trace_of(5) == trace_of(5), "a story with one seed repeats bit for bit");
	return tap_done();
}

/* Hours pass in which nobody asks for anything. Then somebody does. */
#include "tests/scenario/plain.h"

#include "tests/lib/tap.h"

#include <string.h>

#define HOURS 3
#define HOUR_MS 3600000

static bool says(struct stage *s, const char *word)
{
	for (unsigned i = 0; i < s->fleet.count; i++) {
		for (size_t line = 0; line < FLEET_LOG_LINES; line++) {
			if (strstr(s->fleet.members[i].lines[line], word) != NULL) {
				return true;
			}
		}
	}
	return false;
}

/* What the cluster's time is behind its members' clocks. */
static int64_t lag_s(struct stage *s)
{
	int64_t wall_ms = (int64_t)env_wall_ms(s->env), stamp_ms = 0;
	for (unsigned i = 0; i < s->fleet.count; i++) {
		int64_t of_member = (int64_t)stage_stats(s, i).stamp_ms;
		stamp_ms = of_member > stamp_ms ? of_member : stamp_ms;
	}
	return (wall_ms - stamp_ms) / 1000;
}

/* Or what has a time to live would have a tenth of it, and request ids of now would come from the future. */
static void test_long_stop(void)
{
	struct stage s;
	stage_open(&s, 65, 3);
	stage_leader(&s);
	for (unsigned i = 0; i < 200; i++) { /* enough to be flushed: an empty database believes any clock */
		stage_set(&s, "k", "1");
	}
	for (unsigned i = 0; i < 3; i++) {
		stage_kill(&s, i, SIM_KILL_POWER, 2 * HOUR_MS);
	}
	stage_run(&s, 2 * HOUR_MS - 1000);
	is_int(stage_set(&s, "k", "2"), TALLY_DONE, "three nodes come back after two hours, and an id of now is taken");
	ok(lag_s(&s) < 3 && !says(&s, "time_behind"), "their clocks agree, so that is the time");
	stage_close(&s);
}

/* One entry adds a second at most, so that a clock that is wrong cannot drag time along. */
static void test_wrong_clock(void)
{
	struct stage s;
	stage_open(&s, 66, 3);
	int leader = stage_leader(&s);
	sim_host_wall_jump(s.fleet.members[leader].host, 120000);
	stage_set(&s, "k", "1");
	ok(lag_s(&s) > -10, "a leader whose clock is two minutes ahead is not believed at once");
	stage_run(&s, 5000);
	ok(says(&s, "time_behind") && !says(&s, "time_caught_up"), "it says that time is behind");
	stage_run(&s, 15000);
	ok(says(&s, "time_caught_up"), "and when it has brought that forward, ten seconds in one");
	stage_close(&s);
}

int main(void)
{
	struct stage s;
	struct plain waits;
	test_long_stop();
	test_wrong_clock();
	stage_open(&s, 64, 3);
	int leader = stage_leader(&s);
	plain_open(&waits, &s, (unsigned)(leader + 1) % 3);
	stage_set(&s, "stays", "1");
	plain_send(&waits, "SET goes 1 EX 7200");
	is_str(plain_read(&waits, 5000), "OK", "a key that lives two hours is written through a follower");
	stage_run(&s, 5000);
	uint64_t changes = s.judge.leader_changes, applied = stage_applied(&s, (unsigned)leader);

	for (unsigned i = 0; i < HOURS; i++) {
		stage_run(&s, HOUR_MS);
	}
	is_int(s.judge.leader_changes, changes, "three hours without a request: nobody else has led");
	uint64_t written = stage_applied(&s, (unsigned)leader) - applied;
	tap_note("%llu entries in three hours", (unsigned long long)written);
	ok(written < 100, "and the log has hardly grown");

	plain_send(&waits, "GET stays");
	const char *got = plain_read(&waits, 1000);
	is_str(got != NULL ? got : "nothing", "1",
	       "a connection that said nothing for hours is answered within a second");
	got = stage_get(&s, "goes");
	is_str(got != NULL ? got : "nothing", "", "what had its time is gone");
	is_int(stage_set(&s, "stays", "2"), TALLY_DONE, "the client of the first hour writes");
	got = stage_get(&s, "stays");
	is_str(got != NULL ? got : "nothing", "2", "and reads it");
	is_int(fleet_leader(&s.fleet), leader, "the leader is the one of the first hour");
	ok(stage_converges(&s), "and all nodes come to the same");
	plain_close(&waits);
	stage_close(&s);
	return tap_done();
}

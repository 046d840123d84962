/* Hours pass in which nobody asks for anything. Then somebody does. */
#include "tests/scenario/plain.h"

#include "tests/lib/tap.h"

#include <string.h>

#define HOURS 3
#define HOUR_MS 3600000

int main(void)
{
	struct stage s;
	struct plain waits;
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

/* One shard over the double of its replica: what it owes when time is up, and when it leads again. */
#include <unistd.h>

#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

/* Requests wait for their turn, and the loop stands still until the deadline of one is over. */
static void test_deadline_while_parked(void)
{
	struct world w;
	struct ask first, late, other;
	world_lead(&w, NULL, NULL);
	env_timer_stop(
		&w.shard->tick); /* which refuses what is late every now and then: it may come after us */
	replica_double_busy(replica_double(), true);
	ask_start(&w, &first, "SET k v");
	world_turns(&w);
	ask_start(&w, &late, "DEADLINE 1 INCR late");
	ask_start(&w, &other, "INCR other");
	ok(w.shard->parked_count == 2, "while the log is busy requests are parked");
	usleep(2000);
	replica_double_busy(replica_double(), false);
	is_str(ask_wait(&first), "+OK||", "it is busy no longer");
	is_str(ask_wait(&other), ":1||", "who has time runs then");
	ok(strncmp(ask_wait(&late), "-DEADLINE_PASSED", 16) == 0,
	   "a request whose deadline is over does not: %s", late.text);
	is_str(world_ask(&w, "GET late"), "_||", "it was not begun");
	ask_end(&first);
	ask_end(&late);
	ask_end(&other);
	world_close(&w);
}

int main(void)
{
	test_deadline_while_parked();
	return tap_done();
}

/* What the simulator found, each told as a story of its own. */
#include "tests/scenario/stage.h"

#include "tests/lib/tap.h"

#include <stdio.h>

/* build/sim, seed 1002: followers commit what the leader's stalled disk does not hold yet. They must
 * not trim it either, or the leader comes back needing entries that nobody kept. */
static void test_stalled_leader(void)
{
	struct stage s;
	stage_open(&s, 11, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	struct sim_disk_faults *disk = sim_disk_faults(s.fleet.members[leader].host);
	disk->sync_us = 20000000;
	unsigned done = 0;
	/* Long values, so that segments fill and are trimmed. */
	char value[1000];
	for (unsigned i = 0; i < 400; i++) {
		snprintf(value, sizeof(value), "%0900u", i);
		done += stage_set(&s, "k", value) == TALLY_DONE;
		stage_run(&s, i % 20 == 0 ? 200 : 1); /* heartbeats tell what is kept */
	}
	is_int(done, 400, "a leader whose disk stalls costs no write: the others' disks commit");
	ok(fleet_leader(&s.fleet) >= 0 && fleet_leader(&s.fleet) != (int)leader, "it gives its place away");
	fleet_kill(&s.fleet, leader, SIM_KILL_PROCESS);
	disk->sync_us = 0;
	fleet_start_in(&s.fleet, leader, 100000);
	is_str(stage_get(&s, "k"), value, "it is killed; nothing acknowledged is lost");
	stage_run(&s, 2000);
	ok(s.fleet.members[leader].state == MEMBER_UP && stage_converges(&s), "it returns and catches up from the others' logs");
	stage_close(&s);
}

static void transferred(void *owner, int status) { *(int *)owner = status; }

/* build/sim, seed 20: a second transfer while one is under way ended the process. */
static void test_two_transfers(void)
{
	struct stage s;
	stage_open(&s, 12, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	struct shard *shard = node_shard(s.fleet.members[leader].node);
	int first = 1;
	int second = 1;
	shard_transfer(shard, 0, 1000, transferred, &first);
	shard_transfer(shard, 0, 1000, transferred, &second);
	ok(first == 1 && second == 1, "neither is answered from inside");
	stage_run(&s, 2000);
	is_int(first, 0, "the first transfer moves leadership");
	is_int(second, ERR_BUSY, "the second is told that one is under way");
	ok(fleet_leader(&s.fleet) >= 0 && fleet_leader(&s.fleet) != (int)leader, "another leads");
	is_int(stage_set(&s, "k", "v"), TALLY_DONE, "and serves");
	stage_close(&s);
}

int main(void)
{
	test_stalled_leader();
	test_two_transfers();
	return tap_done();
}

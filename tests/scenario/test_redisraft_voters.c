/* Bugs that the ancestors of this design had (docs/lineage.md), each told as a
 * story: who is a member, and whose data a node has. Members are changed below the
 * door here, for there is none yet. */
#include "tests/scenario/stage.h"

#include "engine/shard_private.h"
#include "raft/member.h"
#include "raft/replica_private.h"
#include "tests/lib/tap.h"

#include <stdio.h>
#include <string.h>

static struct replica *replica_of(struct stage *s, unsigned member)
{
	return node_shard(s->fleet.members[member].node)->replica;
}

/* An entry that makes the members those of the fleet whose bit is set. */
static struct entry *change_to(unsigned members)
{
	static const char *const addresses[] = {"n1:7501", "n2:7501", "n3:7501"};
	struct replica_member list[3];
	struct buf bytes;
	size_t count = 0;
	for (unsigned i = 0; i < 3; i++) {
		if ((members >> i & 1) != 0) {
			list[count++] = (struct replica_member){i + 1, addresses[i]};
		}
	}
	buf_init(&bytes, KIB(4));
	member_encode(list, count, &bytes);
	struct entry *entry = entry_new(ENTRY_CHANGE, buf_slice(&bytes));
	buf_fini(&bytes);
	return entry;
}

struct configured {
	struct stage *stage;
	unsigned member;
	uint64_t index;
};

static bool is_configured(void *owner)
{
	const struct configured *c = owner;
	uint64_t index;
	struct slice encoded;
	replica_configuration(replica_of(c->stage, c->member), &index, &encoded);
	return index >= c->index;
}

/* Changes the members through the leader's core and waits until that is applied there. */
static bool change_members(struct stage *s, unsigned leader, unsigned members)
{
	struct replica *replica = replica_of(s, leader);
	struct entry *entry = change_to(members);
	struct configured wanted = {s, leader, replica_next_index(replica)};
	if (step_submit(replica, entry) != 0) {
		entry_unref(entry);
		return false;
	}
	/* The shard counts its own proposals: its next leadership begins behind this one. */
	return sim_run_until(s->sim, is_configured, &wanted, 5000000);
}

/* ---- #17: several changes in flight ---- */

static void story_of_change_by_the_door(void)
{
	struct stage s;
	stage_open(&s, 117, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	replica_propose(replica_of(&s, leader), change_to(7), 1);
}

static void test_one_change(void)
{
	struct stage s;
	ok(stage_asserts(story_of_change_by_the_door),
	   "RedisRaft 17: the door to the log takes no change of members: proposing one ends the process");
	stage_open(&s, 117, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	stage_run(&s, 200);
	stage_cut(&s, leader, true);
	struct entry *first = change_to(7 & ~(1u << (leader + 1) % 3)), *second = change_to(1u << leader);
	is_int(step_submit(replica_of(&s, leader), first), 0,
	       "RedisRaft 17: below it a change goes to the log; nobody answers");
	bool refused = step_submit(replica_of(&s, leader), second) != 0;
	ok(refused, "RedisRaft 17: while it is under way another is refused");
	if (refused) {
		entry_unref(second);
	}
	stage_heal(&s);
	stage_close(&s);
}

/* ---- #28: an old identity ---- */

/* Opens a member's node with these settings and closes it again; its status. */
static int try_open(struct stage *s, unsigned member, const struct node_config *config, struct err *err)
{
	struct member *m = &s->fleet.members[member];
	struct node *node = NULL;
	memset(err, 0, sizeof(*err));
	struct env *env = sim_host_start(m->host);
	int status = node_open(env, config, &m->log, &node, err);
	sim_host_kill(m->host, SIM_KILL_PROCESS);
	node_free(status == 0 ? node : NULL);
	sim_env_free(env);
	return status;
}

/* Before the database has anything in it, only the directory says whose it is. */
static void test_other_cluster(void)
{
	struct stage s;
	struct err err;
	stage_open(&s, 129, 3);
	for (unsigned i = 0; i < 3; i++) {
		s.fleet.members[i].config.flush_entries = 0;
	}
	stage_set(&s, "k", "v");
	fleet_kill(&s.fleet, 1, SIM_KILL_POWER);
	stage_run(&s, 10);
	struct node_config config = s.fleet.members[1].config;
	config.cluster_id++;
	is_int(try_open(&s, 1, &config, &err), ERR_INVALID,
	       "RedisRaft 28: a node of another cluster is refused: %s", err.text);
	fleet_start_in(&s.fleet, 1, 0);
	stage_run(&s, 1000);
	stage_close(&s);
}

static void test_identity(void)
{
	struct stage s;
	struct err err;
	stage_open(&s, 128, 3);
	for (unsigned i = 0; i < 3; i++) {
		s.fleet.members[i].config.flush_entries = 5;
	}
	char value[16];
	for (unsigned i = 0; i < 50; i++) {
		snprintf(value, sizeof(value), "%u", i);
		stage_set(&s, "k", value);
	}
	stage_run(&s, 1000);
	for (unsigned i = 0; i < 3; i++) {
		fleet_kill(&s.fleet, i, SIM_KILL_PROCESS);
	}
	stage_run(&s, 10);
	struct node_config config = s.fleet.members[1].config;
	is_int(try_open(&s, 1, &config, &err), 0, "RedisRaft 28: a node opens with its own data");

	config.disk = s.fleet.members[2].disk;
	is_int(try_open(&s, 1, &config, &err), ERR_INVALID,
	       "RedisRaft 28: with another node's database: refused: %s", err.text);

	config = s.fleet.members[1].config;
	sim_disk_copy(s.fleet.members[2].host, s.fleet.members[1].host);
	is_int(try_open(&s, 1, &config, &err), ERR_INVALID,
	       "RedisRaft 28: with another node's directory: refused: %s", err.text);

	sim_disk_wipe(s.fleet.members[1].host);
	config.bootstrap = false;
	int status = try_open(&s, 1, &config, &err);
	is_int(status, ERR_NOT_FOUND, "RedisRaft 28: with nothing left, and not told to begin: refused: %s",
	       err.text);
	stage_close(&s);
}

/* ---- #30: members that are gone come back from the log ---- */

static void test_dead_addresses(void)
{
	struct stage s;
	stage_open(&s, 131, 3);
	for (unsigned i = 0; i < 3; i++) {
		s.fleet.members[i].config.flush_entries = 0; /* all of it is replayed */
	}
	unsigned leader = (unsigned)stage_leader(&s), next = (leader + 1) % 3, last = (leader + 2) % 3;
	stage_set(&s, "k", "1");
	stage_run(&s, 200);
	ok(change_members(&s, leader, 7 & ~(1u << last)), "RedisRaft 30: one of three is removed");
	fleet_kill(&s.fleet, last, SIM_KILL_POWER);
	ok(change_members(&s, leader, 1u << leader), "RedisRaft 30: then another; both machines are gone");
	fleet_kill(&s.fleet, next, SIM_KILL_POWER);
	stage_kill(&s, leader, SIM_KILL_POWER, 100);
	stage_run(&s, 5000);
	is_int(stage_stats(&s, leader).replica.role, REPLICA_LEADER,
	       "RedisRaft 30: the last one replays its log, and does not wait for those whom an old entry "
	       "names");
	is_int(stage_ask(&s, true, 5000, (const char *const[]){"GET", "k", NULL}), TALLY_DONE,
	       "RedisRaft 30: it serves");
	is_str(s.text, "1", "RedisRaft 30: what it had");
	is_int(stage_ask(&s, false, 5000, (const char *const[]){"SET", "k", "2", NULL}), TALLY_DONE,
	       "RedisRaft 30: and writes");
	stage_kill(&s, leader, SIM_KILL_POWER, 100);
	is_int(stage_ask(&s, true, 5000, (const char *const[]){"GET", "k", NULL}), TALLY_DONE,
	       "RedisRaft 30: once more");
	is_str(s.text, "2", "RedisRaft 30: nothing is missing");
	stage_close(&s);
}

int main(void)
{
	test_one_change();
	test_other_cluster();
	test_identity();
	test_dead_addresses();
	return tap_done();
}

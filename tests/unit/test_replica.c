/* Replicas over the production env: real sockets on loopback, real files. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "env/uv_env.h"
#include "raft/replica_private.h"
#include "tests/lib/group.h"
#include "tests/lib/tap.h"

#define LONG_MS 60000 /* never waited for when all is well */

static void sink(void *owner, enum log_level level, const char *line)
{
	tap_note("%s", line);
}

static void refuse(void *owner, struct env_stream *stream)
{
	env_stream_close(stream);
}

/* Ports that were free a moment ago. */
static void choose_addresses(struct env *env, struct group *group)
{
	struct env_listener *listeners[GROUP_MAX];
	for (size_t i = 0; i < group->count; i++) {
		listeners[i] = env_listen(env, "127.0.0.1:0", refuse, NULL, NULL);
		assert(listeners[i] != NULL);
		snprintf(group->members[i].address, sizeof(group->members[i].address), "127.0.0.1:%u",
			 env_listener_port(listeners[i]));
	}
	for (size_t i = 0; i < group->count; i++) {
		env_listener_close(listeners[i]);
	}
}

static struct group *group_new(struct env *env, size_t count, const char *name)
{
	struct group *group = calloc(1, sizeof(*group));
	assert(group != NULL);
	group->count = count;
	group->segment_bytes = KIB(64);
	group->keep_bytes = MIB(1);
	group->cache_bytes = MIB(1);
	for (size_t i = 0; i < count; i++) {
		struct group_member *member = &group->members[i];
		member->id = i + 1;
		member->env = env;
		member->answers = true;
		snprintf(member->dir, sizeof(member->dir), "%s/%s-%zu", tap_dir(), name, i + 1);
	}
	choose_addresses(env, group);
	return group;
}

static bool open_all(struct group *group)
{
	struct err err = {0};
	for (size_t i = 0; i < group->count; i++) {
		if (group->members[i].replica == NULL && group_open(group, i, &err) != 0) {
			tap_note("member %zu: %s", i + 1, err.text);
			return false;
		}
	}
	return true;
}

static void closed_cb(void *owner)
{
	((struct group_member *)owner)->closed = true;
}
static bool is_closed(void *owner)
{
	return ((struct group_member *)owner)->closed;
}

static void stop(struct group_member *member)
{
	if (member->replica == NULL) {
		return;
	}
	replica_close(member->replica, closed_cb);
	uv_env_run_until(member->env, is_closed, member, LONG_MS);
	assert(member->closed);
	replica_free(member->replica);
	member->replica = NULL;
	member->open = false;
}

static void group_free(struct group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		stop(&group->members[i]);
	}
	free(group);
}

static bool has_leader(void *owner)
{
	return group_leader(owner) != NULL;
}
static bool leads_with_all(void *owner)
{
	struct group *group = owner;
	struct group_member *leader = group_leader(group);
	if (leader == NULL) {
		return false;
	}
	for (size_t i = 0; i < group->count; i++) {
		if (group->members[i].replica != NULL && group->members[i].leader_id != leader->id) {
			return false;
		}
	}
	return true;
}
static bool wait_applied(struct group *group, uint64_t index)
{
	struct group_wait wait = {group, index};
	uv_env_run_until(group->members[0].env, group_wait_applied, &wait, LONG_MS);
	return group_wait_applied(&wait);
}

static struct group_member *wait_leader(struct group *group)
{
	uv_env_run_until(group->members[0].env, has_leader, group, LONG_MS);
	return group_leader(group);
}

static void test_three(struct env *env)
{
	struct group *group = group_new(env, 3, "three");
	ok(open_all(group), "three members start on empty directories");
	struct group_member *leader = wait_leader(group);
	ok(leader != NULL, "they elect a leader, whose OPEN entry is committed");
	if (leader == NULL) {
		return;
	}
	uint64_t last = 0;
	for (unsigned i = 0; i < 100; i++) {
		uint64_t index = group_propose(leader, 100 + i);
		last = index > 0 ? index : last;
	}
	ok(last > 100, "it takes proposals at the indexes it said");
	ok(wait_applied(group, last), "every member is handed every entry");
	ok(group_agrees(group), "in order, with the same chain");
	struct replica_stats stats;
	replica_stats(leader->replica, &stats);
	ok(stats.proposals == 100 && stats.commit_index >= last && stats.role == REPLICA_LEADER,
	   "figures fit");
	ok(stats.log_syncs < 100, "many entries share a sync");
	bool stamped = true;
	for (size_t i = 0; i < 3; i++) {
		stamped &= &group->members[i] == leader || group->members[i].stamp_ms == 2000 + last;
	}
	ok(stamped, "the highest stamp went with the frames");

	stop(leader);
	struct group_member *second = wait_leader(group);
	ok(second != NULL && second != leader, "when the leader stops another one is elected");
	last = group_propose(second, 5000);
	ok(last > 0 && wait_applied(group, last) && group_agrees(group), "and goes on where the first was");
	open_all(group);
	ok(wait_applied(group, last) && group_agrees(group), "the first one returns and catches up");
	ok(leader->replica != NULL && leader->order_errors == 0, "from where its database was");

	for (size_t i = 0; i < 3; i++) {
		stop(&group->members[i]);
	}
	ok(open_all(group) && wait_leader(group) != NULL, "all stop, and start again");
	last = group_propose(group_leader(group), 100);
	ok(wait_applied(group, last) && group_agrees(group), "with all that was committed");
	for (size_t i = 0; i < 3; i++) {
		stop(&group->members[i]);
		group_wipe(group, i);
	}
	ok(open_all(group) && wait_leader(group) != NULL, "with empty databases the log is replayed");
	ok(wait_applied(group, last) && group_agrees(group), "from its first entry");
	group_free(group);
}

static void test_one(struct env *env)
{
	struct group *group = group_new(env, 1, "one");
	ok(open_all(group), "a single member starts");
	struct group_member *leader = wait_leader(group);
	ok(leader != NULL, "and leads");
	uint64_t term = leader->term;
	uint64_t last = group_propose(leader, 10);
	ok(wait_applied(group, last), "and commits alone");
	stop(leader);
	ok(open_all(group) && wait_leader(group) != NULL, "it starts again");
	ok(leader->term > term, "in a higher term than before: no (index, term) is given twice");
	ok(wait_applied(group, last + 1) && group_agrees(group), "with its entries");
	group_free(group);
}

static bool was_read(void *owner)
{
	return ((struct group_reader *)owner)->called > 0;
}

static void test_reads(struct env *env)
{
	struct group *group = group_new(env, 3, "reads");
	open_all(group);
	struct group_member *leader = wait_leader(group);
	struct group_reader readers[10] = {0};
	struct replica_stats before, after;
	replica_stats(leader->replica, &before);
	for (size_t i = 0; i < 10; i++) {
		readers[i].read.cb = group_read_cb;
		replica_read_start(leader->replica, &readers[i].read, LONG_MS);
	}
	ok(readers[0].called == 0, "a read is never answered inside its start");
	replica_read_cancel(leader->replica, &readers[4].read);
	uv_env_run_until(env, was_read, &readers[9], LONG_MS);
	replica_stats(leader->replica, &after);
	bool all = true;
	for (size_t i = 0; i < 10; i++) {
		all &= i == 4 ? readers[i].called == 0 : readers[i].called == 1 && readers[i].status == 0;
	}
	ok(all, "all reads that wait are confirmed, a cancelled one is not called");
	is_int(after.read_rounds - before.read_rounds, 1, "by one probe");
	ok(after.last_index == before.last_index, "and no log entry");

	struct group_member *follower = &group->members[leader == &group->members[0] ? 1 : 0];
	struct group_reader reader = {.read.cb = group_read_cb};
	replica_read_start(follower->replica, &reader.read, LONG_MS);
	uv_env_run_until(env, was_read, &reader, LONG_MS);
	is_int(reader.status, ERR_NOT_LEADER, "a follower confirms nothing");

	for (size_t i = 0; i < 3; i++) {
		if (&group->members[i] != leader) {
			stop(&group->members[i]);
		}
	}
	struct group_reader alone = {.read.cb = group_read_cb};
	replica_read_start(leader->replica, &alone.read, LONG_MS);
	uv_env_run_until(env, was_read, &alone, LONG_MS);
	is_int(alone.status, ERR_NOT_LEADER, "a leader without a majority confirms nothing, and steps down");
	group_free(group);
}

static void transfer_cb(void *owner, int status)
{
	*(int *)owner = status;
}
static bool transferred(void *owner)
{
	return *(int *)owner != 99;
}

static void test_transfer(struct env *env)
{
	struct group *group = group_new(env, 3, "transfer");
	open_all(group);
	struct group_member *leader = wait_leader(group);
	for (unsigned round = 0; round < 5; round++) {
		uint64_t last = 0;
		for (unsigned i = 0; i < 50; i++) {
			last = group_propose(leader, 300);
		}
		uint64_t target = round % 2 == 0 ? 0 : leader->id % 3 + 1;
		int status = 99;
		replica_transfer(leader->replica, target, LONG_MS, transfer_cb, &status);
		uv_env_run_until(env, transferred, &status, LONG_MS);
		struct group_member *next = wait_leader(group);
		uv_env_run_until(env, leads_with_all, group, LONG_MS);
		next = group_leader(group);
		ok(status == 0 && next != leader && (target == 0 || next->id == target),
		   "leadership is handed over, under load%s",
		   target == 0 ? "" : ", to the one that was named");
		ok(wait_applied(group, last) && group_agrees(group), "and nothing that was proposed is lost");
		leader = next;
	}
	group_free(group);
}

struct asked {
	struct replica_forward forward;
	unsigned called;
	int status;
	char reply[64];
	size_t len;
};
static void forward_cb(struct replica_forward *forward, int status, struct slice reply)
{
	struct asked *asked = list_entry(forward, struct asked, forward);
	asked->called++;
	asked->status = status;
	asked->len = reply.len;
	memcpy(asked->reply, reply.data == NULL ? (const uint8_t *)"" : reply.data,
	       reply.len < 63 ? reply.len : 63);
}
static bool was_asked(void *owner)
{
	return ((struct asked *)owner)->called > 0;
}

static void test_forward(struct env *env)
{
	struct group *group = group_new(env, 3, "forward");
	open_all(group);
	struct group_member *leader = wait_leader(group);
	uv_env_run_until(env, leads_with_all, group, LONG_MS);
	struct group_member *follower = &group->members[leader == &group->members[0] ? 1 : 0];
	struct asked asked = {.forward.cb = forward_cb};
	/* The requests connection may come up a little later than the raft one. */
	do {
		asked.called = 0;
		replica_forward_start(follower->replica, &asked.forward, leader->id, SLICE_LIT("request"),
				      LONG_MS);
		uv_env_run_until(env, was_asked, &asked, LONG_MS);
	} while (asked.status == ERR_NOT_FOUND);
	ok(asked.called == 1 && asked.status == 0 && asked.len == 7 && memcmp(asked.reply, "tseuqer", 7) == 0,
	   "a request is answered over the requests connection");
	ok(leader->requests == 1 && leader->last_from == follower->id, "the leader knows whom it is from");
	leader->answers = false;
	struct asked late = {.forward.cb = forward_cb};
	replica_forward_start(follower->replica, &late.forward, leader->id, SLICE_LIT("x"), 50);
	uv_env_run_until(env, was_asked, &late, LONG_MS);
	is_int(late.status, ERR_TIMEOUT, "one that is not answered ends at its time");
	struct asked cut = {.forward.cb = forward_cb};
	replica_forward_start(follower->replica, &cut.forward, leader->id, SLICE_LIT("y"), LONG_MS);
	stop(leader);
	uv_env_run_until(env, was_asked, &cut, LONG_MS);
	is_int(cut.status, ERR_CLOSED, "one whose connection ends may have happened");
	struct asked none = {.forward.cb = forward_cb};
	replica_forward_start(follower->replica, &none.forward, leader->id, SLICE_LIT("z"), LONG_MS);
	ok(none.called == 0, "a forward never ends inside its start");
	uv_env_run_until(env, was_asked, &none, LONG_MS);
	is_int(none.status, ERR_NOT_FOUND, "one that was never sent did not happen");
	group_free(group);
}

static void test_lagging(struct env *env)
{
	struct group *group = group_new(env, 3, "lagging");
	group->cache_bytes = KIB(16);
	open_all(group);
	struct group_member *leader = wait_leader(group);
	struct group_member *follower = &group->members[leader == &group->members[0] ? 1 : 0];
	stop(follower);
	uint64_t last = 0;
	for (unsigned i = 0; i < 1500; i++) {
		uint64_t index = group_propose(leader, 200 + i % 100);
		last = index != 0 ? index : last;
		if (i % 50 == 49) {
			wait_applied(group, last);
		}
	}
	struct replica_stats stats;
	replica_database_durable(leader->replica, leader->applied);
	replica_stats(leader->replica, &stats);
	is_int(stats.first_index, 1, "the log is kept for a member that lags");
	open_all(group);
	ok(wait_applied(group, last) && group_agrees(group), "which is sent old entries from the disk");

	/* Trimming, once everybody has it. */
	struct replica_stats theirs = {0};
	for (unsigned i = 0; i < 400 && (i < 40 || theirs.first_index < 1000 || stats.first_index < 1000);
	     i++) {
		last = group_propose(leader, 4000);
		wait_applied(group, last);
		for (size_t j = 0; j < 3; j++) {
			replica_database_durable(group->members[j].replica, group->members[j].applied);
		}
		replica_stats(leader->replica, &stats);
		replica_stats(follower->replica, &theirs);
	}
	ok(stats.first_index > 1000, "what all members have goes with the database's durability");
	ok(theirs.first_index > 1000, "followers learn it from the leader");
	stop(follower);
	open_all(group);
	last = group_propose(leader, 10);
	ok(wait_applied(group, last) && group_agrees(group),
	   "a trimmed log starts again behind its database");

	/* Beyond keep_bytes a member is left behind. */
	stop(follower);
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t index = group_propose(leader, 1000);
		last = index != 0 ? index : last;
		if (i % 50 == 49) {
			wait_applied(group, last);
		}
	}
	for (size_t i = 0; i < 3; i++) {
		if (group->members[i].replica != NULL) {
			replica_database_durable(group->members[i].replica, group->members[i].applied);
		}
	}
	replica_stats(leader->replica, &stats);
	ok(stats.log_bytes < MIB(2), "a member that stays away costs keep_bytes and no more");
	open_all(group);
	for (unsigned i = 0; i < 2000 && follower->leader_id == 0; i++) {
		uv_env_run_until(env, has_leader, group, 5);
	}
	last = group_propose(leader, 10);
	struct group_member *rest[2];
	size_t found = 0;
	for (size_t i = 0; i < 3; i++) {
		if (&group->members[i] != follower) {
			rest[found++] = &group->members[i];
		}
	}
	for (unsigned i = 0; i < 4000 && (rest[0]->applied < last || rest[1]->applied < last); i++) {
		uv_env_run_until(env, was_read, &(struct group_reader){0}, 5);
	}
	bool told = false;
	for (unsigned i = 0; i < 2000 && !told; i++) {
		uv_env_run_until(env, was_read, &(struct group_reader){0}, 5);
		replica_stats(leader->replica, &stats);
		for (size_t j = 0; j < stats.peer_count; j++) {
			told |= stats.peers[j].id == follower->id && stats.peers[j].needs_snapshot;
		}
	}
	ok(told, "the leader says that it fell behind");
	ok(follower->applied < last && !follower->stopped && leader->open,
	   "it keeps its log, and the others go on");
	group_free(group);
}

/* Turns that each take longer than a heartbeat may wait, with something to do for a replica at the end of each. */
struct long_turns {
	struct env_timer timer;
	struct replica *replica;
	unsigned left;
};

static void long_turn_cb(struct env_timer *timer)
{
	struct long_turns *turns = list_entry(timer, struct long_turns, timer);
	struct timespec pause = {0, 55 * 1000000};
	nanosleep(&pause, NULL);
	replica_wake(turns->replica);
	if (--turns->left > 0) {
		env_timer_start(timer, 0);
	}
}

static bool turns_are_over(void *owner)
{
	return ((struct long_turns *)owner)->left == 0;
}

static void test_long_turns(struct env *env)
{
	struct group *group = group_new(env, 3, "turns");
	open_all(group);
	struct group_member *leader = wait_leader(group);
	uint64_t term = leader->term;
	struct long_turns turns = {.replica = leader->replica, .left = 25};
	env_timer_init(env, &turns.timer, long_turn_cb);
	env_timer_start(&turns.timer, 0);
	uv_env_run_until(env, turns_are_over, &turns, LONG_MS);
	ok(turns_are_over(&turns) && group_leader(group) == leader && leader->term == term,
	   "a leader whose turns are long speaks between them");
	group_free(group);
}

int main(void)
{
	struct log log = {.level = LOG_WARN, .node = "test", .sink = sink};
	(void)log;
	struct env *env = uv_env_new(NULL);
	test_one(env);
	test_three(env);
	test_reads(env);
	test_transfer(env);
	test_forward(env);
	test_lagging(env);
	test_long_turns(env);
	uv_env_free(env, NULL, NULL);
	return tap_done();
}

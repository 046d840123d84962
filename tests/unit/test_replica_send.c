/* What members send each other, what one that fell behind is told, leadership handed over, reads confirmed:
 * stories in simulated time, as test_replica_sim.c says. */
#include "tests/unit/replica_world.h"

#include <stdlib.h>

#include "tests/lib/tap.h"

/* A leader sends a SPARE no heartbeats and waits for when it should have: that time is past for ever. */
static void test_timeout_in_the_past(void)
{
	struct small_world *world = world_new(25, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	size_t other = (number(world, leader) + 1) % 3;
	uint8_t demoted[256];
	memcpy(demoted, leader->configuration, leader->configuration_len);
	/* Version and count; of each server its id, address and role. */
	demoted[9 + (other + 1) * (8 + sizeof("n1:7400") + 1) - 1] = RAFT_SPARE;
	struct entry *change = entry_new(ENTRY_CHANGE, slice_of(demoted, leader->configuration_len));
	step_submit(leader->replica, change);
	replica_wake(leader->replica);
	small_world_run(world, 2000);
	ok(leader->open && raft_timeout(&leader->replica->core) < sim_now_us(world->sim) / 1000,
	   "the core of a leader with a spare names a time in the past");
	uint64_t turns = sim_stats(world->sim)->turns;
	small_world_run(world, 1000);
	turns = sim_stats(world->sim)->turns - turns;
	tap_note("%llu turns a second", (unsigned long long)turns);
	ok(turns < 5000, "it wakes once a millisecond for that and does not spin");
	small_world_free(world);
}

/* ---- sending ---- */

static void test_silent_follower(void)
{
	struct small_world *world = world_new(17, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	size_t silent = leader == &world->group.members[0] ? 1 : 0;
	wait_applied(world, leader->open_index);
	sim_host_pause(world->hosts[silent]);
	uint64_t most = 0;
	uint64_t sent = 0;
	for (unsigned i = 0; i < 40; i++) {
		propose(leader, 1, KIB(100));
		small_world_run(world, 20);
		struct replica_stats stats;
		replica_stats(leader->replica, &stats);
		for (size_t j = 0; j < stats.peer_count; j++) {
			if (stats.peers[j].id == silent + 1) {
				most = stats.peers[j].unsent_bytes > most ? stats.peers[j].unsent_bytes
									  : most;
			}
		}
		sent = stats.frames_out;
	}
	(void)sent;
	tap_note("at most %llu bytes wait", (unsigned long long)most);
	ok(most < 10 * KIB(100), "a silent follower is not sent its window again and again");
	sim_host_resume(world->hosts[silent]);
	ok(wait_applied(world, leader->commit_index) && group_agrees(&world->group),
	   "and catches up when it reads again");
	small_world_free(world);
}

static void test_large_entries(void)
{
	struct small_world *world = world_new(18, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	uint64_t last = propose(leader, 20, LIMIT_ENTRY);
	ok(last > 0 && wait_applied(world, last) && group_agrees(&world->group),
	   "messages larger than a frame go in pieces, and arrive");
	small_world_free(world);
}

static void narrow(struct small_world *world, size_t from, size_t to, uint32_t bytes_per_ms)
{
	sim_link(world->sim, world->hosts[from], world->hosts[to])->bytes_per_ms = bytes_per_ms;
}

/* One entry is two seconds on its way to it. */
static void test_narrow_follower(void)
{
	struct small_world *world = world_new(19, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	narrow(world, number(world, leader), (number(world, leader) + 1) % 3, 250);
	uint64_t last = propose(leader, 5, 500000);
	ok(wait_applied(world, last), "a member behind 2 Mbit/s gets entries that take seconds");
	small_world_free(world);
}

/* Three, whose leader is heard over so little by both others. */
static struct small_world *narrow_leader(uint64_t seed, uint32_t bytes_per_ms, struct group_member **leader)
{
	struct small_world *world = world_new(seed, 3);
	start_all(world);
	*leader = open_leader(world);
	wait_applied(world, (*leader)->open_index);
	for (size_t i = 0; i < 3; i++) {
		narrow(world, number(world, *leader), i, bytes_per_ms);
	}
	return world;
}

/* Each takes more than four, to both others, who hear nothing else meanwhile. */
static void test_narrow_all(void)
{
	struct group_member *leader;
	struct small_world *world = narrow_leader(21, 250, &leader);
	uint64_t term = leader->term;
	uint64_t began_us = sim_now_us(world->sim);
	uint64_t last = propose(leader, 3, LIMIT_ENTRY);
	bool arrived = last > 0 && wait_applied(world, last);
	ok(arrived && leader->open && leader->term == term,
	   "a leader behind 2 Mbit/s keeps its place while its longest entries go out");
	uint64_t took_ms = (sim_now_us(world->sim) - began_us) / 1000;
	ok(took_ms < 3 * LIMIT_ENTRY / 250 + 500, "each of them once (%llu ms)", (unsigned long long)took_ms);
	small_world_free(world);
}

/* Eight entries on their way take longer than an election timeout, one does not. */
static void test_narrow_leader(void)
{
	struct group_member *leader;
	struct small_world *world = narrow_leader(20, 500, &leader);
	uint64_t term = leader->term;
	for (unsigned i = 0; i < 100 && leader->open; i++) {
		if (replica_in_flight(leader->replica) == 0) {
			propose(leader, 8, 60000);
		}
		small_world_run(world, 50);
	}
	ok(leader->open && leader->term == term, "a leader behind 4 Mbit/s keeps its place under load");
	small_world_free(world);
}

static void count_trims(void *owner, enum log_level level, const char *line)
{
	*(unsigned *)owner += strstr(line, "log_trimmed") != NULL;
}

/* The second comes while the first still takes segments away. */
static void test_trim_is_told(void)
{
	unsigned said = 0;
	struct small_world *world = world_new(20, 1);
	world->log = (struct log){.level = LOG_INFO, .node = "n", .sink = count_trims, .owner = &said};
	world->group.keep_bytes = KIB(64);
	start_all(world);
	struct group_member *leader = open_leader(world);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t last = propose(leader, 5, 2000);
		wait_applied(world, last);
	}
	struct replica_stats stats;
	replica_database_durable(leader->replica, leader->applied / 2);
	replica_stats(leader->replica, &stats);
	uint64_t first = stats.first_index;
	ok(first > 1 && said == 1, "a log that is trimmed says so");
	replica_database_durable(leader->replica, leader->applied);
	replica_stats(leader->replica, &stats);
	ok(stats.first_index == first, "the next trim waits for the segments to be gone");
	is_int(said, 1, "and is not told before it comes");
	small_world_free(world);
}

static void count_behind(void *owner, enum log_level level, const char *line)
{
	*(unsigned *)owner += strstr(line, "member_fell_behind") != NULL;
}

static void test_behind(void)
{
	unsigned said = 0;
	struct small_world *world = world_new(19, 3);
	world->log.sink = count_behind;
	world->log.owner = &said;
	world->group.keep_bytes = KIB(64);
	start_all(world);
	struct group_member *leader = open_leader(world);
	size_t away = leader == &world->group.members[0] ? 1 : 0;
	wait_applied(world, leader->open_index);
	small_world_end(world, away, SIM_KILL_PROCESS);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t last = propose(leader, 5, 2000);
		wait_applied(world, last);
	}
	for (size_t i = 0; i < 3; i++) {
		if (world->group.members[i].replica != NULL) {
			replica_database_durable(world->group.members[i].replica,
						 world->group.members[i].applied);
		}
	}
	small_world_run(world, 100);
	small_world_start(world, away);
	small_world_run(world, 5000);
	is_int(said, 1, "that a member fell behind the log is said once");
	size_t other = 3 - away - number(world, leader);
	small_world_end(world, number(world, leader), SIM_KILL_PROCESS);
	small_world_run(world, 3000);
	ok(world->group.members[other].role == REPLICA_LEADER && !world->group.members[away].stopped,
	   "it keeps its log, and its vote elects a leader");
	small_world_free(world);
}

/* A log of which all was trimmed begins exactly behind the database. */
static void test_empty_log(void)
{
	struct small_world *world = world_new(20, 3);
	world->group.keep_bytes = 0;
	start_all(world);
	struct group_member *leader = open_leader(world);
	uint64_t last = propose(leader, 20, 1000);
	wait_applied(world, last);
	small_world_run(world, 500);
	bool empty = true;
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < 3; i++) {
			small_world_end(world, i, SIM_KILL_PROCESS);
		}
		for (size_t i = 0; i < 3; i++) {
			small_world_start(world, i);
			struct group_member *member = &world->group.members[i];
			/* The segment of this start is empty; all others lie behind the database. */
			uint64_t first =
				wal_trim_point(member->replica->wal, member->applied, member->applied, 0);
			if (round == 0) {
				wal_trim(member->replica->wal, first);
				small_world_run(world, 1);
			}
			struct replica_stats stats;
			replica_stats(member->replica, &stats);
			empty &= round == 0 || stats.first_index > stats.last_index || stats.first_index > 10;
		}
		if (round == 1) {
			break;
		}
	}
	ok(empty, "all was trimmed that the database holds");
	leader = small_world_leader(world);
	ok(leader != NULL, "members with empty logs elect a leader");
	if (leader != NULL) {
		last = propose(leader, 5, 100);
		ok(wait_applied(world, last) && group_agrees(&world->group),
		   "and go on behind their databases");
	}
	small_world_free(world);
}

static bool empty_log(void *owner)
{
	test_empty_log();
	return tap_done() == 0;
}

/* ---- handing over, reading ---- */

static void status_cb(void *owner, int status)
{
	*(int *)owner = status;
}
static bool has_status(void *owner)
{
	return *(int *)owner != 99;
}

static void test_transfer_under_load(void)
{
	unsigned slow = 0, failed = 0;
	for (uint64_t seed = 1; seed <= 15; seed++) {
		struct small_world *world = world_new(300 + seed, 3);
		start_all(world);
		struct group_member *leader = open_leader(world);
		wait_applied(world, leader->open_index);
		for (unsigned i = 0; i < 20; i++) {
			propose(leader, 3, 5000);
			small_world_run(world, 1);
		}
		uint64_t last = propose(leader, 30, 5000);
		int status = 99;
		uint64_t at = sim_now_us(world->sim);
		replica_transfer(leader->replica, 0, 5000, status_cb, &status);
		sim_run_until(world->sim, has_status, &status, 10 * SECOND);
		failed += status != 0;
		slow += sim_now_us(world->sim) - at > 150000;
		open_leader(world);
		failed += !wait_applied(world, last) || !group_agrees(&world->group);
		small_world_free(world);
	}
	is_int(failed, 0, "leadership is handed over under load, and nothing is lost");
	is_int(slow, 0, "at once: the word is given when the other has the whole log");
}

static void test_old_leader_reads(void)
{
	struct small_world *world = world_new(21, 3);
	start_all(world);
	struct group_member *old = open_leader(world);
	wait_applied(world, old->open_index);
	size_t at = number(world, old);
	/* Paused, and then back in a world that has another leader: it does not know. */
	sim_host_pause(world->hosts[at]);
	struct group_member *new = wait_other(world, old);
	propose(new, 3, 100);
	small_world_run(world, 300);
	struct group_reader reader = {.read.cb = group_read_cb};
	isolate(world, at, true); /* what waits in its sockets it may read; nobody hears it */
	sim_host_resume(world->hosts[at]);
	replica_read_start(old->replica, &reader.read, 2000);
	small_world_run(world, 3000);
	ok(reader.called == 1 && reader.status != 0, "an old leader confirms no read after a pause");
	isolate(world, at, false);
	small_world_run(world, 2000);

	/* Cut off while it leads: no read is confirmed, at the latest when it steps down. */
	struct group_member *leader = open_leader(world);
	isolate(world, number(world, leader), true);
	struct group_reader cut_off = {.read.cb = group_read_cb};
	replica_read_start(leader->replica, &cut_off.read, 5000);
	small_world_run(world, 3000);
	ok(cut_off.called == 1 && cut_off.status != 0, "nor does one that is cut off");
	isolate(world, number(world, leader), false);
	small_world_run(world, 1000);
	leader = open_leader(world);
	struct group_reader good = {.read.cb = group_read_cb};
	replica_read_start(leader->replica, &good.read, 5000);
	small_world_run(world, 100);
	ok(good.called == 1 && good.status == 0, "a leader with a majority does");
	small_world_free(world);
}

int main(void)
{
	test_timeout_in_the_past();
	test_silent_follower();
	test_large_entries();
	test_narrow_follower();
	test_narrow_all();
	test_narrow_leader();
	test_trim_is_told();
	test_behind();
	ok(survives(empty_log, NULL), "an empty log is nothing that ends the process");
	test_empty_log();
	test_transfer_under_load();
	test_old_leader_reads();
	return tap_done();
}

/* The musts of the raft driver (docs/musts.md, with the line that was broken to see each fail).
 * Here: elections, term and vote, commit; others are in test_replica_send.c and test_replica_disk.c. Simulated
 * time, network and disk. Where a message must be just so: test_replica_puppet.c. */
#include "tests/unit/replica_world.h"

#include <stdlib.h>

#include "tests/lib/tap.h"

/* ---- elections ---- */

static uint64_t first_leader_trace(uint64_t seed)
{
	struct small_world *world = world_new(seed, 3);
	start_all(world);
	small_world_leader(world);
	uint64_t hash = sim_trace_hash(world->sim);
	small_world_free(world);
	return hash;
}

static void test_chance(void)
{
	ok(first_leader_trace(1) == first_leader_trace(1), "an election repeats with its seed");
	struct small_world *world = world_new(3, 5);
	start_all(world);
	bool same = true;
	for (size_t i = 1; i < 5; i++) {
		same &= world->group.members[i].replica->core.random ==
			world->group.members[0].replica->core.random;
	}
	ok(!same, "each member draws its own election timeouts");
	small_world_free(world);
}

static void test_open_entry(void)
{
	static const char sentence[] =
		"an election after which nothing is uncommitted still puts an entry of its term into the log";
	struct small_world *world = world_new(4, 3);
	start_all(world);
	struct group_member *leader = small_world_leader(world);
	if (leader == NULL) {
		ok(false, "%s: nobody can propose", sentence);
		small_world_free(world);
		return;
	}
	uint64_t last = propose(leader, 3, 100);
	wait_applied(world, last);
	small_world_run(world, 500);
	uint64_t idle = leader->applied;
	small_world_end(world, number(world, leader), SIM_KILL_PROCESS);
	struct group_member *next = wait_other(world, leader);
	ok(next != NULL && next->applied > idle && next->term_of[next->applied] == next->term, "%s",
	   sentence);
	small_world_free(world);
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static void test_first_election(void)
{
	uint64_t took[21];
	for (uint64_t seed = 0; seed < 21; seed++) {
		struct small_world *world = world_new(200 + seed, 3);
		uint64_t at = sim_now_us(world->sim);
		start_all(world);
		wait_other(world, NULL);
		took[seed] = (sim_now_us(world->sim) - at) / 1000;
		small_world_free(world);
	}
	qsort(took, 21, sizeof(took[0]), compare_u64);
	tap_note("from a start of all: median %llu ms, max %llu ms", (unsigned long long)took[10],
		 (unsigned long long)took[20]);
	ok(took[10] < 300, "when all start one leads in less than an election timeout");
}

/* What is usual where all is near does not get over a slower way, however often it is tried. */
static void test_slow_first_election(void)
{
	unsigned none = 0;
	for (uint64_t seed = 0; seed < 6; seed++) {
		struct small_world *world = world_new(230 + seed, 3);
		for (size_t i = 0; i < 3; i++) {
			for (size_t step = 1; step < 3; step++) {
				size_t to = (i + step) % 3;
				sim_link(world->sim, world->hosts[i], world->hosts[to])->delay_us = 120000;
			}
		}
		start_all(world);
		none += wait_other(world, NULL) == NULL;
		small_world_free(world);
	}
	is_int(none, 0, "members that are 120 ms from each other elect their first leader");
	for (uint64_t seed = 0; seed < 6; seed++) {
		struct small_world *world = world_new(240 + seed, 3);
		start_all(world);
		for (size_t i = 1; i < 3; i++) {
			sim_disk_faults(world->hosts[i])->sync_us = 250000;
		}
		none += wait_other(world, NULL) == NULL;
		small_world_free(world);
	}
	is_int(none, 0, "so does one whose disk is quick among slow ones");
}

static void test_fast_election(void)
{
	uint64_t took[21];
	for (uint64_t seed = 0; seed < 21; seed++) {
		struct small_world *world = world_new(100 + seed, 3);
		start_all(world);
		struct group_member *leader = open_leader(world);
		small_world_run(world, 1000 + seed * 7);
		uint64_t at = sim_now_us(world->sim);
		small_world_end(world, number(world, leader), SIM_KILL_PROCESS);
		wait_other(world, leader);
		took[seed] = (sim_now_us(world->sim) - at) / 1000;
		small_world_free(world);
	}
	qsort(took, 21, sizeof(took[0]), compare_u64);
	tap_note("failover: median %llu ms, max %llu ms", (unsigned long long)took[10],
		 (unsigned long long)took[20]);
	ok(took[10] < 300,
	   "when the leader's port refuses, another one leads in less than an election timeout");
	struct small_world *world = world_new(7, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	small_world_end(world, number(world, leader), SIM_KILL_PROCESS);
	struct group_member *next = wait_other(world, leader);
	small_world_run(world, 500);
	bool restored = true;
	for (size_t i = 0; i < 3; i++) {
		restored &= world->group.members[i].replica == NULL ||
			    world->group.members[i].replica->core.election_timeout == 300;
	}
	ok(restored, "then the timeout is as it was");
	start_all(world);
	uint64_t term = next->term;
	small_world_run(world, 3000);
	ok(next->open && next->term == term, "and the one that returns disturbs nobody");
	small_world_free(world);
}

static void count_late(void *owner, enum log_level level, const char *line)
{
	*(unsigned *)owner += strstr(line, "loop_late ms=") != NULL;
}

static void test_pause(void)
{
	struct small_world *world = world_new(8, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	small_world_run(world, 300);
	struct group_member *follower = &world->group.members[leader == &world->group.members[0] ? 1 : 0];
	uint64_t term = leader->term;
	unsigned changes = 0, said = 0;
	world->log.owner = &said;
	world->log.sink = count_late;
	for (unsigned i = 0; i < 10; i++) {
		sim_host_pause(world->hosts[number(world, follower)]);
		small_world_run(world, 700);
		sim_host_resume(world->hosts[number(world, follower)]);
		small_world_run(world, 5);
		changes += follower->role == REPLICA_CANDIDATE;
		small_world_run(world, 200);
	}
	ok(changes == 0 && leader->open && leader->term == term,
	   "after a stall the heartbeat that waits is read before the election timer counts");
	struct replica_stats stats, leaders;
	replica_stats(follower->replica, &stats);
	replica_stats(leader->replica, &leaders);
	ok(said > 0 && said <= 10 && stats.late_ms_max >= 100 && stats.late_ms_max < 700,
	   "who stood still says so, once each time: %u lines, %llu ms", said,
	   (unsigned long long)stats.late_ms_max);
	is_int(leaders.late_ms_max, 0, "and nobody else");
	small_world_free(world);
}

/* The machine gives no CPU to anybody for a while; who gets it first is chance. */
static void stand_still(struct small_world *world, uint64_t ms, size_t first)
{
	for (size_t i = 0; i < world->group.count; i++) {
		sim_host_pause(world->hosts[i]);
	}
	small_world_run(world, ms);
	for (size_t i = 0; i < world->group.count; i++) {
		sim_host_resume(world->hosts[(first + i) % world->group.count]);
		small_world_run(world, 3);
	}
}

static void test_stand_still(void)
{
	struct small_world *world = world_new(31, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	uint64_t term = leader->term;
	unsigned changes = 0, candidates = 0;
	for (unsigned i = 0; i < 30; i++) {
		small_world_run(world, 300 + i);
		stand_still(world, 100 + i * 40, i);
		for (size_t j = 0; j < 3; j++) {
			candidates += world->group.members[j].role == REPLICA_CANDIDATE;
		}
		struct group_member *now = open_leader(world);
		changes += now != leader || now->term != term;
		leader = now;
		term = now->term;
	}
	ok(changes == 0 && candidates == 0,
	   "time in which no loop ran is nobody's silence: %u changes, %u candidates", changes, candidates);
	small_world_run(world, 300);
	stand_still(world, 700, 0);
	uint64_t at = sim_now_us(world->sim);
	small_world_end(world, number(world, leader), SIM_KILL_POWER);
	wait_other(world, leader);
	ok(sim_now_us(world->sim) - at < 2 * SECOND, "a leader that dies in it is missed all the same");
	small_world_free(world);
}

/* It gives up when nobody spoke within an election timeout. One that has just begun when all stand still,
 * with its first heartbeat on the way, is over before anybody could. */
static void test_stand_still_leader(void)
{
	struct small_world *world = world_new(32, 3);
	for (size_t i = 0; i < 3; i++) {
		for (size_t step = 1; step < 3; step++) {
			size_t to = (i + step) % 3;
			sim_link(world->sim, world->hosts[i], world->hosts[to])->delay_us = 15000;
		}
	}
	start_all(world);
	struct group_member *leader = open_leader(world);
	uint64_t term = leader->term;
	unsigned lost = 0;
	for (unsigned i = 0; i < 20; i++) {
		small_world_run(world, 400);
		const struct raft *core = &leader->replica->core;
		uint64_t began = core->election_timer_start;
		for (unsigned ms = 0; ms < 400 && core->election_timer_start == began; ms++) {
			small_world_run(world, 1);
		}
		stand_still(world, 310, number(world, leader));
		small_world_run(world, 100);
		lost += leader->role != REPLICA_LEADER || leader->term != term;
	}
	is_int(lost, 0, "a leader that could ask nobody does not give up");
	small_world_free(world);
}

static void test_always_late(void)
{
	struct small_world *world = world_new(33, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	size_t late = (number(world, leader) + 1) % 3;
	const struct raft *core = &world->group.members[late].replica->core;
	small_world_run(world, 300);
	isolate(world, late, true);
	unsigned stalls = 0;
	for (; stalls < 100 && core->state == RAFT_FOLLOWER; stalls++) {
		sim_host_pause(world->hosts[late]);
		small_world_run(world, 450); /* longer than any hold */
		sim_host_resume(world->hosts[late]);
		small_world_run(world, 1);
	}
	ok(stalls < 20, "a loop that is late all the time does not wait for ever: %u stalls", stalls);
	small_world_free(world);
}

static void test_pre_vote(void)
{
	struct small_world *world = world_new(9, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	uint64_t term = leader->term;
	size_t alone = leader == &world->group.members[0] ? 1 : 0;
	isolate(world, alone, true);
	small_world_run(world, 10000);
	isolate(world, alone, false);
	small_world_run(world, 3000);
	ok(leader->open && leader->term == term, "a member that was cut off raises no term when it returns");
	small_world_free(world);
}

/* The others hear its heartbeats and elect nobody: it has to see by itself that no answer comes. */
static void test_deaf_leader(void)
{
	struct small_world *world = world_new(13, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	size_t at = number(world, leader);
	uint64_t term = leader->term;
	small_world_run(world, 1000);
	ok(leader->open && leader->term == term, "a leader that hears the others leads on");
	for (size_t j = 0; j < world->group.count; j++) {
		sim_link(world->sim, world->hosts[j], world->hosts[at])->cut = j != at;
	}
	small_world_run(world,
			leader->replica->config.election_ms + 2 * leader->replica->config.heartbeat_ms);
	ok(!leader->open,
	   "a leader that hears nobody leads no longer, after the time that others wait for one");
	ok(wait_other(world, leader) != NULL, "and then another does");
	small_world_free(world);
}

/* ---- term and vote ---- */

static void crashed_cb(void *owner, struct sim_host *host)
{
	*(bool *)owner = true;
}
static bool has_crashed(void *owner)
{
	return *(bool *)owner;
}

/* A member loses power inside the n-th disk call of the next election: what it had decided and not
 * written, as a candidate or as a voter, nobody may have heard. */
static void test_vote_barrier(void)
{
	unsigned cuts = 0, unwritten = 0, heard = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		bool gone = false;
		struct small_world *world = world_new(200 + seed, 3);
		sim_on_crash(world->sim, crashed_cb, &gone);
		start_all(world);
		struct group_member *leader = open_leader(world);
		small_world_run(world, 500 + seed % 7);
		struct group_member *a = &world->group.members[(number(world, leader) + 1) % 3];
		struct group_member *b = &world->group.members[(number(world, leader) + 2) % 3];
		small_world_end(world, number(world, leader), SIM_KILL_PROCESS);
		sim_disk_crash_after(world->hosts[number(world, a)], 1 + seed % 2);
		if (sim_run_until(world->sim, has_crashed, &gone, 3 * SECOND)) {
			cuts++;
			bool candidate = a->replica->core.state == RAFT_CANDIDATE;
			uint64_t term = a->replica->core.current_term, voted_for = a->replica->core.voted_for;
			small_world_end(world, number(world, a), SIM_KILL_POWER);
			small_world_run(world, 30);
			bool b_heard = candidate ? b->replica->core.state == RAFT_FOLLOWER &&
							   b->replica->core.current_term >= term
						 : b->role == REPLICA_LEADER &&
							   b->replica->core.current_term == term;
			if (small_world_start(world, number(world, a)) &&
			    (a->replica->vote.term < term || a->replica->vote.voted_for != voted_for)) {
				unwritten++;
				heard += b_heard;
			}
		}
		small_world_free(world);
	}
	ok(cuts > 20 && unwritten > 5,
	   "%u members lost power while they wrote a vote, %u of the votes are gone", cuts, unwritten);
	is_int(heard, 0, "and nobody has heard of those");
}

static void test_only_voter(void)
{
	struct small_world *world = world_new(10, 1);
	uint64_t terms[6];
	bool rising = true;
	for (unsigned i = 0; i < 6; i++) {
		start_all(world);
		struct group_member *leader = open_leader(world);
		terms[i] = leader->term;
		rising &= i == 0 || terms[i] > terms[i - 1];
		propose(leader, 2, 50);
		small_world_run(world, i % 2 == 0 ? 0 : 300);
		small_world_end(world, 0, SIM_KILL_POWER);
	}
	ok(rising, "a single voter leads in a new term after every start");
	small_world_free(world);
}

/* ---- commit ---- */

static void test_commit_ahead_of_own_log(void)
{
	struct small_world *world = world_new(11, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	small_world_run(world, 300);
	sim_disk_faults(world->hosts[number(world, leader)])->sync_us = 800000;
	uint64_t last = propose(leader, 5, 100);
	bool ahead = false, early = false;
	for (unsigned i = 0; i < 400; i++) {
		small_world_run(world, 1);
		struct replica_stats stats;
		replica_stats(leader->replica, &stats);
		ahead |= leader->commit_index >= last && stats.durable_index < last;
		early |= leader->applied > stats.durable_index;
	}
	ok(ahead,
	   "the others commit what the leader's own slow disk does not hold yet, and replies may go out");
	ok(!early, "but it hands over only what its own log holds");
	sim_disk_faults(world->hosts[number(world, leader)])->sync_us = 0;
	ok(wait_applied(world, last) && group_agrees(&world->group), "in the end all have all");
	small_world_free(world);
}

static void test_stalled_disk(void)
{
	struct small_world *world = world_new(24, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	sim_disk_faults(world->hosts[number(world, leader)])->sync_us = 20 * SECOND;
	uint64_t last = 0;
	struct group_member *next = NULL;
	for (unsigned i = 0; i < 150 && next == NULL; i++) {
		uint64_t index = leader->open ? propose(leader, 1, 100) : 0;
		last = index != 0 ? index : last;
		small_world_run(world, 10);
		struct other other = {.world = world, .except = leader};
		next = other_leads(&other) ? other.found : NULL;
	}
	ok(next != NULL, "a leader whose disk has stalled hands over, in spite of load");
	if (next != NULL) {
		uint64_t more = propose(next, 1, 100);
		small_world_run(world, 100);
		ok(next->commit_index >= more && more > last && group_agrees(&world->group),
		   "nothing is lost, and work goes on");
	}
	small_world_free(world);
}

/* Its own vote is durable, the others' are on their way. */
static bool has_voted(void *owner)
{
	struct other *candidate = owner;
	for (size_t i = 0; i < candidate->world->group.count; i++) {
		struct group_member *member = &candidate->world->group.members[i];
		if (member->replica != NULL && member->replica->core.state == RAFT_CANDIDATE &&
		    member->replica->vote.voted_for == member->id && !member->replica->vote_held) {
			candidate->found = member;
			return true;
		}
	}
	return false;
}

static void test_stalled_when_elected(void)
{
	struct small_world *world = world_new(25, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	small_world_end(world, number(world, leader), SIM_KILL_POWER);
	struct other candidate = {.world = world};
	sim_run_until(world->sim, has_voted, &candidate, 5 * SECOND);
	sim_disk_faults(world->hosts[number(world, candidate.found)])->sync_us = 20 * SECOND;
	small_world_start(world, number(world, leader));
	small_world_run(world, 100);
	ok(candidate.found->role == REPLICA_LEADER && !candidate.found->open,
	   "the disk of one that was just elected stalls before its first entry is durable");
	uint64_t at = sim_now_us(world->sim);
	ok(wait_other(world, candidate.found) != NULL && sim_now_us(world->sim) - at < 2 * SECOND,
	   "it hands over as well");
	small_world_free(world);
}

/* ---- slow disks everywhere ---- */

static void slow_disks(struct small_world *world, uint64_t sync_us)
{
	for (size_t i = 0; i < world->group.count; i++) {
		sim_disk_faults(world->hosts[i])->sync_us = (uint32_t)sync_us;
	}
}

/* Nodes on one machine share its disk; in a cloud, its storage. In the world of seed 468 two candidates stand
 * at the same millisecond; with less than VOTES_APART between their next tries they do so for ever. */
static void test_slow_everywhere(void)
{
	uint64_t rises = 0, slowest_ms = 0, terms = 0;
	bool all_led = true;
	for (uint64_t seed = 0; seed < 10; seed++) {
		struct small_world *world = world_new(460 + seed, 3);
		start_all(world);
		struct group_member *leader = open_leader(world);
		wait_applied(world, leader->open_index);
		uint64_t term = leader->term;
		for (unsigned i = 0; i < 400; i++) {
			slow_disks(world, i % 40 < 20 ? (uint64_t)(500 + seed * 100) * 1000 : 0);
			struct group_member *now = group_leader(&world->group);
			if (now != NULL) {
				propose(now, 1, 100);
			}
			small_world_run(world, 50);
		}
		slow_disks(world, 0);
		small_world_run(world, 2000);
		leader = open_leader(world);
		rises += leader->term - term;
		term = leader->term;
		slow_disks(world, (500 + seed * 100) * 1000);
		small_world_end(world, number(world, leader), SIM_KILL_POWER);
		uint64_t at = sim_now_us(world->sim);
		struct group_member *next = wait_other(world, leader);
		all_led &= next != NULL;
		uint64_t took_ms = (sim_now_us(world->sim) - at) / 1000;
		slowest_ms = took_ms > slowest_ms ? took_ms : slowest_ms;
		terms += next != NULL ? next->term - term : 0;
		small_world_free(world);
	}
	is_int(rises, 0, "syncs that take a second on every disk cost nobody his place");
	ok(all_led && slowest_ms < 15000 && terms <= 20,
	   "and a leader that dies then is replaced: in %llu ms at most, %llu terms in 10 elections",
	   (unsigned long long)slowest_ms, (unsigned long long)terms);
}

static bool wait_vote_held(struct small_world *world, const struct group_member *member, bool held,
			   unsigned ms)
{
	for (unsigned i = 0; i < ms && member->replica->vote_held != held; i++) {
		small_world_run(world, 1);
	}
	return member->replica->vote_held == held;
}

/* What was under way is lost. */
static void mend_anew(struct small_world *world, size_t a, size_t b)
{
	sim_links_break(world->sim, world->hosts[a], world->hosts[b]);
	cut(world, a, b, false);
}

/* Its vote for itself lies on a disk that stands still for 9.5 s, and what it asks then is lost. Only it can
 * lead: one is gone, the other has not the newest entries. */
static bool stands_again(uint64_t seed)
{
	struct small_world *world = world_new(seed, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	size_t only = number(world, leader), other = (only + 1) % 3;
	small_world_end(world, (only + 2) % 3, SIM_KILL_POWER);
	cut(world, only, other, true);
	propose(leader, 3, 100);
	small_world_run(world, 2000);
	sim_disk_faults(world->hosts[only])->sync_us = 9500000;
	mend_anew(world, only, other);
	bool votes = wait_vote_held(world, leader, true, 5000);
	sim_disk_faults(world->hosts[only])->sync_us = 0;
	small_world_run(world, 5000);
	cut(world, only, other, true);
	bool voted = votes && wait_vote_held(world, leader, false, 10000);
	small_world_run(world, 100);
	mend_anew(world, only, other);
	ok(voted && !leader->open, "a vote of 9.5 s elects nobody, for what it asked is lost");
	bool stood = false;
	for (unsigned i = 0; i < 250 && !stood; i++) {
		small_world_run(world, 100);
		stood = leader->open;
	}
	small_world_free(world);
	return stood;
}

static void test_vote_that_stood_still(void)
{
	unsigned stood = 0;
	for (uint64_t seed = 0; seed < 3; seed++) {
		stood += stands_again(470 + seed);
	}
	is_int(stood, 3,
	       "and its candidate leads within 25 s of a quick disk, not after eight times the 9.5");
}

int main(void)
{
	test_chance();
	test_open_entry();
	test_first_election();
	test_slow_first_election();
	test_fast_election();
	test_pause();
	test_stand_still();
	test_pre_vote();
	test_deaf_leader();
	test_vote_barrier();
	test_only_voter();
	test_commit_ahead_of_own_log();
	test_stalled_disk();
	test_stalled_when_elected();
	test_slow_everywhere();
	test_vote_that_stood_still();
	test_stand_still_leader();
	test_always_late();
	return tap_done();
}

/* Disks that take nothing more, and disks that fail: stories as test_replica_sim.c says. */
#include "tests/unit/replica_world.h"

#include <stdlib.h>

#include "tests/lib/tap.h"

/* ---- no room ---- */

/* Its disk takes nothing more, or everything again. */
static void fill(struct small_world *world, const struct group_member *member, bool full)
{
	struct sim_host *host = world->hosts[number(world, member)];
	sim_disk_faults(host)->capacity = full ? sim_disk_used(host) : 0;
}

/* Load until another leads or ms have passed; the longest time without a commit that its leader told. */
static struct group_member *load_until_other(struct small_world *world, struct group_member *leader,
					     unsigned ms, unsigned *silence)
{
	struct other other = {.world = world, .except = leader};
	uint64_t before = 0;
	unsigned quiet = 0;
	*silence = 0;
	for (unsigned i = 0; i < ms / 5; i++) {
		struct group_member *now = other_leads(&other) ? other.found : leader;
		if (now->open) {
			propose(now, 1, 2000);
		}
		small_world_run(world, 5);
		quiet = world->group.acknowledged > before ? 0 : quiet + 5;
		before = world->group.acknowledged;
		*silence = quiet > *silence ? quiet : *silence;
	}
	return other.found;
}

static void test_full_leader(void)
{
	struct small_world *world = world_new(41, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	struct group_member *a = &world->group.members[number(world, leader) == 0 ? 1 : 0];
	struct group_member *b = &world->group.members[3 - number(world, leader) - number(world, a)];
	/* What a has is known first: it would be chosen. */
	sim_link(world->sim, world->hosts[number(world, b)], world->hosts[number(world, leader)])->delay_us =
		3000;
	unsigned silence;
	replica_set_room(a->replica, false);
	fill(world, leader, true);
	struct group_member *next = load_until_other(world, leader, 4000, &silence);
	struct replica_stats stats;
	replica_stats(a->replica, &stats);
	ok(next == b && stats.elections == 0,
	   "a leader whose log finds no space hands over to the member that has room");
	ok(silence < 100, "and nobody waits for it: %u ms", silence);
	if (next != NULL) {
		uint64_t last = propose(next, 1, 100);
		small_world_run(world, 3000);
		ok(next->open && leader->role == REPLICA_FOLLOWER && leader->applied < last,
		   "which keeps the place while the disk is full");
		fill(world, leader, false);
		ok(wait_applied(world, last) && next->open && group_agrees(&world->group),
		   "with space again it follows and catches up");
	}
	small_world_free(world);
}

static void test_full_owners(void)
{
	struct small_world *world = world_new(42, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	small_world_run(world, 300);
	uint64_t term = leader->term;
	struct group_member *a = &world->group.members[(number(world, leader) + 1) % 3];
	replica_set_room(a->replica, false);
	replica_set_room(world->group.members[(number(world, leader) + 2) % 3].replica, false);
	small_world_run(world, 200);
	replica_set_room(leader->replica, false);
	small_world_run(world, 3000);
	ok(leader->open && leader->term == term, "when nobody has room leadership stays where it is");
	replica_set_room(a->replica, true);
	small_world_run(world, 200);
	ok(a->open, "as soon as one has it leads");
	small_world_free(world);
}

/* ---- an owner that applies too slowly ---- */

static bool wrote(const struct group_member *member, uint64_t index)
{
	return wal_durable_index(member->replica->wal) >= index;
}

static void test_behind(void)
{
	struct small_world *world = world_new(46, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	struct group_member *a = &world->group.members[(number(world, leader) + 1) % 3];
	struct group_member *b = &world->group.members[(number(world, leader) + 2) % 3];
	uint64_t before = wal_durable_index(a->replica->wal), term = leader->term;
	replica_set_behind(a->replica, true);
	uint64_t last = propose(leader, 40, 1000);
	small_world_run(world, 2000);
	ok(leader->applied == last && b->applied == last, "who is behind is waited for by nobody");
	ok(!wrote(a, before + 1) && a->applied == before, "it takes nothing more into its log");
	ok(wal_last_index(a->replica->wal) <= before + 8, "and holds no more than the leader's window");
	replica_set_behind(b->replica, true);
	uint64_t more = propose(leader, 4, 1000);
	small_world_run(world, 5000);
	ok(leader->applied == last, "when a majority is behind nothing more is committed");
	ok(leader->open && leader->term == term, "and the leader keeps its place");
	replica_set_behind(a->replica, false);
	small_world_run(world, 1000);
	ok(leader->applied == more && a->applied == more && !wrote(b, more),
	   "until one of them has caught up");
	replica_set_behind(a->replica, true);
	small_world_end(world, number(world, leader), SIM_KILL_PROCESS);
	small_world_run(world, 3000);
	struct group_member *next = a->role == REPLICA_LEADER ? a : b, *other = next == a ? b : a;
	ok(next->role == REPLICA_LEADER && next->open && wrote(other, next->open_index),
	   "who leads then opens, however far behind all are");
	last = propose(next, 4, 1000);
	small_world_run(world, 1000);
	ok(next->applied == next->open_index && !wrote(other, next->open_index + 1),
	   "but what it is asked for waits");
	replica_set_behind(other->replica, false);
	small_world_run(world, 1000);
	ok(next->applied == last && wrote(other, last), "until one of them takes it");
	small_world_free(world);
}

/* Until another leads, when the leader's power goes before one or both owners that are behind. */
static unsigned stands_after_ms(uint64_t seed, bool both)
{
	struct small_world *world = world_new(seed, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	struct group_member *a = &world->group.members[(number(world, leader) + 1) % 3];
	struct group_member *b = &world->group.members[(number(world, leader) + 2) % 3];
	replica_set_behind(a->replica, true);
	replica_set_behind(b->replica, both);
	propose(leader, 4, 1000);
	small_world_run(world, 500);
	unsigned ms = 0;
	small_world_end(world, number(world, leader), SIM_KILL_POWER);
	while (ms < 10000 && a->role != REPLICA_LEADER && b->role != REPLICA_LEADER) {
		small_world_run(world, 5);
		ms += 5;
	}
	small_world_free(world);
	return ms;
}

static unsigned stands_at_most_ms(bool both)
{
	unsigned most = 0;
	for (uint64_t seed = 50; seed < 70; seed++) {
		unsigned ms = stands_after_ms(seed, both);
		most = ms > most ? ms : most;
	}
	return most;
}

static void test_behind_silent(void)
{
	unsigned most = stands_at_most_ms(true);
	ok(most < 1000,
	   "when a leader falls silent before members that hold entries back, one of them stands: %u ms",
	   most);
	most = stands_at_most_ms(false);
	ok(most < 1000, "and one that does is not in another's way: %u ms", most);
}

static void count_offers(void *owner, enum log_level level, const char *line)
{
	*(unsigned *)owner += strstr(line, "leader_full") != NULL;
}

/* Who has room never has the whole log. */
static void test_full_again(void)
{
	unsigned offers = 0, taken = 0;
	struct small_world *world = world_new(45, 3);
	world->log.sink = count_offers;
	world->log.owner = &offers;
	start_all(world);
	struct group_member *leader = open_leader(world);
	wait_applied(world, leader->open_index);
	struct group_member *a = &world->group.members[(number(world, leader) + 1) % 3];
	replica_set_room(world->group.members[(number(world, leader) + 2) % 3].replica, false);
	small_world_run(world, 300);
	uint64_t term = leader->term;
	sim_disk_faults(world->hosts[number(world, a)])->sync_us = 30 * SECOND;
	propose(leader, 1, 100);
	replica_set_room(leader->replica, false);
	for (unsigned i = 0; i < 400; i++) {
		small_world_run(world, 10);
		taken += propose(leader, 1, 100) != 0;
	}
	ok(leader->open && leader->term == term && offers > 1,
	   "an offer that nobody can take is made again: %u in 4 s", offers);
	ok(taken > 200, "but not at once: meanwhile requests are taken, %u of 400", taken);
	for (unsigned i = 0; i < 200 && !handover_yields(leader->replica); i++) {
		small_world_run(world, 5);
	}
	bool offered = handover_yields(leader->replica);
	replica_set_room(leader->replica, true);
	small_world_run(world, 20);
	ok(offered && propose(leader, 1, 100) != 0, "it is taken back when there is room again");
	small_world_free(world);
}

static void test_full_stands_back(void)
{
	unsigned taken = 0;
	uint64_t slowest_ms = 0;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct small_world *world = world_new(430 + seed, 3);
		start_all(world);
		struct group_member *leader = open_leader(world);
		wait_applied(world, leader->open_index);
		struct group_member *a = &world->group.members[(number(world, leader) + 1) % 3];
		struct group_member *b = &world->group.members[(number(world, leader) + 2) % 3];
		replica_set_room(a->replica, false);
		small_world_run(world, 500);
		uint64_t opens = a->opens;
		small_world_end(world, number(world, leader),
				seed % 2 == 0 ? SIM_KILL_POWER : SIM_KILL_PROCESS);
		uint64_t at = sim_now_us(world->sim);
		struct group_member *next = wait_other(world, leader);
		uint64_t took_ms = (sim_now_us(world->sim) - at) / 1000;
		slowest_ms = took_ms > slowest_ms ? took_ms : slowest_ms;
		taken += next != b || a->opens != opens;
		small_world_free(world);
	}
	is_int(taken, 0, "a member without room leaves it to others to stand");
	ok(slowest_ms < 2000, "and votes for them: %llu ms at most", (unsigned long long)slowest_ms);
	struct small_world *world = world_new(44, 3);
	start_all(world);
	struct group_member *leader = open_leader(world);
	for (size_t i = 0; i < 3; i++) {
		replica_set_room(world->group.members[i].replica, false);
	}
	small_world_end(world, number(world, leader), SIM_KILL_POWER);
	ok(wait_other(world, leader) != NULL, "when all are without, one leads all the same: reads go on");
	small_world_free(world);
}

/* ---- storage ---- */

static void closed_cb(void *owner)
{
	((struct group_member *)owner)->closed = true;
}
static bool is_closed(void *owner)
{
	return ((struct group_member *)owner)->closed;
}

static void test_fail_stop(void)
{
	for (int kind = 0; kind < 2; kind++) {
		struct small_world *world = world_new(22 + (uint64_t)kind, 3);
		start_all(world);
		struct group_member *leader = open_leader(world);
		uint64_t last = propose(leader, 5, 100);
		wait_applied(world, last);
		struct sim_disk_faults *faults = sim_disk_faults(world->hosts[number(world, leader)]);
		if (kind == 0) {
			faults->write_error_per_million = 1000000;
		} else {
			faults->sync_error_per_million = 1000000;
		}
		propose(leader, 5, 100);
		small_world_run(world, 2000);
		ok(leader->stopped, "a failed %s of the log stops the member: %s",
		   kind == 0 ? "write" : "sync", leader->stop_line);
		faults->write_error_per_million = faults->sync_error_per_million = 0;
		ok(wait_other(world, leader) != NULL, "the others go on");
		replica_close(leader->replica, closed_cb);
		ok(sim_run_until(world->sim, is_closed, leader, 5 * SECOND), "the stopped one can be closed");
		small_world_end(world, number(world, leader), SIM_KILL_POWER);
		start_all(world);
		struct group_member *next = open_leader(world);
		last = propose(next, 3, 100);
		ok(wait_applied(world, last) && group_agrees(&world->group),
		   "and it comes back with the next start");
		small_world_free(world);
	}
}

int main(void)
{
	test_full_leader();
	test_full_owners();
	test_full_stands_back();
	test_fail_stop();
	test_full_again();
	test_behind();
	test_behind_silent();
	return tap_done();
}

/* Three stories in which an earlier consensus library or log went wrong: Figure 8 of the Raft paper, commits
 * under steady load, and a log write that fails although the data reached the disk. docs/lineage.md names the
 * lines that bring them back. */
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"

#include <stdio.h>

#define SECOND 1000000

/* ---- Figure 8: an entry of an older term is not committed by counting copies ---- */

/* S1 of the figure is real, S2 to S5 are puppets. */
struct figure {
	struct small_world *world;
	struct group_member *s1;
	struct puppet *others[4];
	struct puppet_log log; /* behind the bootstrap entry: one of S1's old term */
	uint64_t term;         /* that S1 leads again */
};

static bool leads(void *owner)
{
	return ((struct figure *)owner)->s1->role == REPLICA_LEADER;
}

/* Up to (c): S1 holds an entry of term 50 that S2 may have, was away, and leads again. */
static void figure_open(struct figure *figure, uint64_t seed)
{
	figure->world = small_world_new(seed, 5);
	figure->s1 = &figure->world->group.members[0];
	small_world_start(figure->world, 0);
	for (unsigned i = 0; i < 4; i++) {
		figure->others[i] = puppet_new(figure->world, i + 2);
	}
	small_world_run(figure->world, 100);
	puppet_log_begin(&figure->log, figure->s1);
	puppet_log_add(&figure->log, 50, ENTRY_COMMAND, SLICE_LIT("of term 50"));
	puppet_send(figure->others[0], &figure->log, 50, 0, 1, 1);
	for (unsigned i = 0; i < 4; i++) {
		figure->others[i]->votes_yes = true;
	}
	sim_run_until(figure->world->sim, leads, figure, 10 * SECOND);
	small_world_run(figure->world, 20);
	figure->term = figure->s1->term;
}

static void figure_close(struct figure *figure)
{
	for (unsigned i = 0; i < 4; i++) {
		puppet_free(figure->others[i]);
	}
	puppet_log_fini(&figure->log);
	small_world_free(figure->world);
}

/* S2 and S3 have all up to index: with S1 three of five. */
static void copies_upto(struct figure *figure, uint64_t index)
{
	puppet_acknowledge(figure->others[0], figure->term, index);
	puppet_acknowledge(figure->others[1], figure->term, index);
	small_world_run(figure->world, 20);
}

static void test_figure_8(void)
{
	struct figure figure;
	figure_open(&figure, 8);
	uint64_t old = figure.log.first;
	ok(figure.s1->role == REPLICA_LEADER && figure.term > 50 &&
		   wal_last_index(figure.s1->replica->wal) > old,
	   "S1 leads again, with an entry of an older term and one of its own");
	copies_upto(&figure, old);
	raft_index match = 0;
	raft_match_index(&figure.s1->replica->core, 3, &match);
	is_int(match, old, "S3 is known to have the entry of the older term");
	bool committed = figure.s1->commit_index >= old;
	ok(!committed, "Figure 8 (c): on a majority, and yet not committed");
	if (!committed) {
		/* (d): S5, which never had it, leads and puts another in its place. */
		struct puppet_log other;
		puppet_log_begin(&other, figure.s1);
		puppet_log_add(&other, 70, ENTRY_COMMAND, SLICE_LIT("of S5"));
		puppet_send(figure.others[3], &other, 70, 0, 1, old);
		ok(figure.s1->applied == old && figure.s1->term_of[old] == 70 && !figure.s1->stopped,
		   "Figure 8 (d): another leader may still put its own entry there");
		puppet_log_fini(&other);
	}
	figure_close(&figure);
	figure_open(&figure, 9);
	uint64_t last = wal_last_index(figure.s1->replica->wal);
	copies_upto(&figure, last);
	ok(last > old && figure.s1->commit_index >= last && figure.s1->term_of[old] == 50,
	   "Figure 8 (e): with an entry of the new term on a majority both are committed");
	figure_close(&figure);
}

/* ---- steady load ---- */

static void test_steady_load(void)
{
	struct small_world *world = small_world_new(20, 3);
	for (size_t i = 0; i < 9; i++) {
		sim_link(world->sim, world->hosts[i / 3], world->hosts[i % 3])->delay_us = 20000;
	}
	for (size_t i = 0; i < 3; i++) {
		small_world_start(world, i);
	}
	struct group_member *leader = small_world_leader(world);
	uint64_t behind = 0;
	uint64_t last = 0;
	for (unsigned second = 0; second < 4; second++) {
		last = small_world_write(world, leader, 200, 50); /* every 5 ms, a round trip takes 40 */
		uint64_t now = last > leader->commit_index ? last - leader->commit_index : 0;
		behind = now > behind ? now : behind;
	}
	tap_note("at most %llu of 800 not committed yet", (unsigned long long)behind);
	ok(leader->open && last > 800, "entries come faster than a round trip, without a pause");
	ok(behind < 60, "steady load faster than a round trip: commits go on meanwhile");
	small_world_free(world);
}

/* ---- a write that fails after the data reached the disk ---- */

/* The sync of the last entry fails. What the process finds when it starts again, and what of that is left
 * when the power goes next. */
static void test_failed_write(void)
{
	unsigned stopped = 0, told = 0, found = 0, kept = 0, lives = 0;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		struct small_world *world = small_world_new(40 + seed, 1);
		struct group_member *member = &world->group.members[0];
		small_world_start(world, 0);
		small_world_write(world, small_world_leader(world), 5, 300);
		sim_disk_faults(world->hosts[0])->sync_error_per_million = 1000000;
		uint64_t last = group_propose(member, 300);
		small_world_run(world, 50);
		stopped += member->stopped;
		told += member->commit_index >= last;
		sim_disk_faults(world->hosts[0])->sync_error_per_million = 0;
		small_world_end(world, 0, SIM_KILL_PROCESS);
		lives++;
		if (small_world_start(world, 0)) {
			/* The kernel still shows it: it is taken, committed, told. */
			small_world_leader(world);
			found += member->applied >= last;
			small_world_end(world, 0, SIM_KILL_POWER);
			member->applied = 0; /* and the database had flushed nothing */
			kept += small_world_start(world, 0) && small_world_leader(world) != NULL &&
				member->applied >= last && group_agrees(&world->group);
		}
		small_world_free(world);
	}
	ok(stopped == lives && told == 0, "a log write that fails ends the member, and acknowledges nothing");
	is_int(found, lives, "its data reached the disk all the same: the next life takes them");
	is_int(kept, lives, "and what that life acknowledged is there after a power cut");
}

int main(void)
{
	test_figure_8();
	test_steady_load();
	test_failed_write();
	return tap_done();
}

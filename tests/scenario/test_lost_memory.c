/* Members that lost their memory: an emptied directory, an older copy, a copy in use twice. None of them may
 * vote, acknowledge or lead, and nothing acknowledged is lost by them. Replicas alone. */
#include "tests/scenario/small_world.h"

#include "tests/lib/tap.h"

#include <stdlib.h>
#include <string.h>

/* Three of them, and a safe that takes copies of disks. */
struct story {
	struct small_world *world;
	struct sim_host *safe;
};

static struct story story_new(uint64_t seed, size_t count, size_t started)
{
	struct story s = {small_world_new(seed, count), NULL};
	s.safe = sim_host_new(s.world->sim, "safe");
	for (size_t i = 0; i < started; i++) {
		small_world_start(s.world, i);
	}
	return s;
}

static size_t number(const struct story *s, const struct group_member *member)
{
	return (size_t)(member - s->world->group.members);
}

static void copy_to_safe(struct story *s, size_t i)
{
	sim_disk_copy(s->world->hosts[i], s->safe);
}

static void copy_back(struct story *s, size_t i)
{
	sim_disk_copy(s->safe, s->world->hosts[i]);
	group_wipe(&s->world->group, i); /* the log has it all */
}

static void down(struct story *s, size_t i)
{
	small_world_end(s->world, i, SIM_KILL_PROCESS);
}

/* It ended with the line, and led nobody. */
static bool told_off(struct story *s, size_t i)
{
	const struct group_member *member = &s->world->group.members[i];
	return member->stopped && strstr(member->stop_line, "memory is gone") != NULL && !member->open;
}

/* All that run have it, and agree. */
static bool whole(struct story *s, uint64_t index)
{
	return group_applied(&s->world->group, index) && group_agrees(&s->world->group);
}

/* A leads, X has acknowledged what L(agging) does not have; then A and X go. */
struct cast {
	size_t a, x, l;
	uint64_t acknowledged;
};

static struct cast acknowledge_without_one(struct story *s)
{
	struct group_member *leader = small_world_leader(s->world);
	struct cast cast = {.a = number(s, leader)};
	cast.x = (cast.a + 1) % 3;
	cast.l = (cast.a + 2) % 3;
	small_world_write(s->world, leader, 3, 100);
	small_world_run(s->world, 200);
	down(s, cast.l);
	cast.acknowledged = small_world_write(s->world, leader, 5, 100);
	small_world_run(s->world, 200);
	return cast;
}

static void test_wiped(void)
{
	struct story s = story_new(71, 3, 3);
	struct cast cast = acknowledge_without_one(&s);
	struct group_member *x = &s.world->group.members[cast.x];
	ok(cast.acknowledged > 0 && s.world->group.acknowledged >= cast.acknowledged &&
		   x->applied >= cast.acknowledged,
	   "two of three acknowledge what the third does not have");
	down(&s, cast.a);
	down(&s, cast.x);
	copy_to_safe(&s, cast.x);
	sim_disk_wipe(s.world->hosts[cast.x]);
	group_wipe(&s.world->group, cast.x);
	small_world_start(s.world, cast.x);
	small_world_start(s.world, cast.l);
	small_world_run(s.world, 10000);
	ok(group_leader(&s.world->group) == NULL, "one that was emptied elects nobody with a lagging one");
	ok(told_off(&s, cast.x), "it ends: %s", x->stop_line);
	down(&s, cast.x);
	small_world_start(s.world, cast.x);
	small_world_run(s.world, 3000);
	ok(told_off(&s, cast.x), "so does every later start of it");
	down(&s, cast.x);
	copy_back(&s, cast.x);
	small_world_start(s.world, cast.x);
	struct group_member *leader = small_world_leader(s.world);
	ok(leader == x, "with its own directory it is the one that is elected");
	small_world_run(s.world, 1000);
	ok(whole(&s, cast.acknowledged), "and nothing that was acknowledged is lost");
	small_world_start(s.world, cast.a);
	small_world_run(s.world, 2000);
	uint64_t last = leader == NULL ? 0 : small_world_write(s.world, leader, 1, 10);
	small_world_run(s.world, 1000);
	ok(last > 0 && whole(&s, last), "all three go on");
	small_world_free(s.world);
}

/* The copy is of before its last start. */
static void test_older_copy(void)
{
	struct story s = story_new(72, 3, 3);
	struct group_member *leader = small_world_leader(s.world);
	size_t x = (number(&s, leader) + 1) % 3;
	small_world_write(s.world, leader, 3, 100);
	down(&s, x);
	copy_to_safe(&s, x);
	small_world_start(s.world, x);
	small_world_run(s.world, 500);
	struct cast cast = acknowledge_without_one(&s);
	if (cast.x != x) { /* the other follower lags: it met all lives of x too */
		cast.l = cast.x;
		down(&s, cast.a);
	}
	for (size_t i = 0; i < 3; i++) {
		down(&s, i);
	}
	copy_back(&s, x);
	for (size_t i = 0; i < 3; i++) {
		if (i != cast.a) {
			small_world_start(s.world, i);
		}
	}
	small_world_run(s.world, 10000);
	ok(group_leader(&s.world->group) == NULL, "one with an older copy elects nobody with a lagging one");
	ok(told_off(&s, x), "it ends: %s", s.world->group.members[x].stop_line);
	small_world_start(s.world, cast.a);
	leader = small_world_leader(s.world);
	ok(leader != NULL && leader != &s.world->group.members[x], "the others go on without it");
	small_world_run(s.world, 1000);
	down(&s, x);
	ok(whole(&s, s.world->group.acknowledged), "and nothing that was acknowledged is lost");
	for (unsigned i = 0; i < 3; i++) {
		small_world_start(s.world, x);
		small_world_run(s.world, 1000);
		down(&s, x);
	}
	small_world_start(s.world, x);
	small_world_run(s.world, 1000);
	ok(told_off(&s, x), "however often it is started it is not taken for a newer one");
	small_world_free(s.world);
}

/* A backup as docs/operations.md has it: copies of all at one stop, put back in the place of all. */
static void test_all_restored(void)
{
	struct story s = story_new(80, 3, 3);
	struct group *group = &s.world->group;
	struct sim_host *copies[3];
	uint64_t kept = small_world_write(s.world, small_world_leader(s.world), 3, 100);
	small_world_run(s.world, 500);
	for (size_t i = 0; i < 3; i++) {
		const char *const names[] = {"first", "second", "third"};
		down(&s, i);
		copies[i] = sim_host_new(s.world->sim, names[i]);
		sim_disk_copy(s.world->hosts[i], copies[i]);
	}
	uint64_t then = group->agreed_upto;
	for (size_t i = 0; i < 3; i++) {
		small_world_start(s.world, i);
	}
	uint64_t later = small_world_write(s.world, small_world_leader(s.world), 5, 100);
	small_world_run(s.world, 500);
	ok(kept > 0 && then >= kept && later > then, "three are copied at a stop, and go on");
	for (size_t i = 0; i < 3; i++) {
		down(&s, i);
		sim_disk_copy(copies[i], s.world->hosts[i]);
		group_wipe(group, i);
	}
	group->agreed_upto = group->acknowledged = then; /* what came behind is given up */
	for (size_t i = 0; i < 3; i++) {
		small_world_start(s.world, i);
	}
	struct group_member *leader = small_world_leader(s.world);
	small_world_run(s.world, 1000);
	ok(leader != NULL && whole(&s, kept), "copies of all, put back together, elect and hold what was acknowledged before them");
	uint64_t last = leader == NULL ? 0 : small_world_write(s.world, leader, 3, 100);
	small_world_run(s.world, 1000);
	ok(last > 0 && whole(&s, last), "and go on: nobody is told off");
	small_world_free(s.world);
}

/* The same directory on two machines, made while the first ran. */
static void test_twins(void)
{
	struct story s = story_new(73, 3, 3);
	struct group_member *leader = small_world_leader(s.world);
	size_t x = (number(&s, leader) + 1) % 3;
	struct group_member *member = &s.world->group.members[x];
	down(&s, x);
	copy_to_safe(&s, x);
	small_world_start(s.world, x); /* the twin lives once, meets all, and goes */
	small_world_run(s.world, 500);
	down(&s, x);
	copy_back(&s, x);
	small_world_start(s.world, x);
	small_world_run(s.world, 500);
	ok(told_off(&s, x), "of two that started from one copy the second is told off: %s",
	   member->stop_line);
	ok(small_world_leader(s.world) != NULL, "the others do not mind");
	small_world_free(s.world);
}

/* Two failures at once, which nobody can tell from none (docs/decisions/0008-founding.md), and what follows. */
static void test_let_in(void)
{
	struct story s = story_new(78, 3, 3);
	struct group_member *leader = small_world_leader(s.world);
	size_t a = number(&s, leader), x = (a + 1) % 3, away = (a + 2) % 3;
	struct group_member *member = &s.world->group.members[x];
	struct sim_host *right = sim_host_new(s.world->sim, "right");
	small_world_write(s.world, leader, 3, 100);
	small_world_run(s.world, 200);
	down(&s, away);
	down(&s, x);
	copy_to_safe(&s, x);
	small_world_start(s.world, x);
	small_world_run(s.world, 500);
	down(&s, x);
	sim_disk_copy(s.world->hosts[x], right);
	down(&s, a);
	copy_back(&s, x);
	small_world_start(s.world, x);
	small_world_start(s.world, away);
	ok(small_world_leader(s.world) != NULL, "an older copy is let in by one that was away meanwhile");
	down(&s, x);
	sim_disk_copy(right, s.world->hosts[x]);
	group_wipe(&s.world->group, x);
	small_world_start(s.world, x);
	small_world_run(s.world, 1000);
	ok(told_off(&s, x), "then the right one is told off: it does not know what the copy voted: %s",
	   member->stop_line);
	small_world_free(s.world);
}

static void test_founding(void)
{
	struct story s = story_new(74, 3, 1);
	small_world_run(s.world, 20000);
	ok(group_leader(&s.world->group) == NULL, "one of three founds nothing");
	uint64_t before = sim_now_us(s.world->sim);
	small_world_start(s.world, 2);
	struct group_member *leader = small_world_leader(s.world);
	uint64_t took_ms = (sim_now_us(s.world->sim) - before) / 1000;
	ok(leader != NULL && took_ms < 1000, "two do, the third unheard of (%llu ms)",
	   (unsigned long long)took_ms);
	uint64_t last = small_world_write(s.world, leader, 3, 10);
	ok(last > 0 && s.world->group.acknowledged >= last, "and acknowledge");
	small_world_run(s.world, 180000);
	small_world_start(s.world, 1);
	small_world_run(s.world, 1000);
	ok(whole(&s, last) && s.world->group.members[1].applied >= last,
	   "the third comes minutes later, and takes part");
	down(&s, number(&s, leader));
	ok(small_world_leader(s.world) != NULL, "also when the one that led is gone then");
	small_world_free(s.world);
	s = story_new(75, 1, 1);
	ok(small_world_leader(s.world) != NULL, "one alone has nobody to ask");
	small_world_free(s.world);
}

/* Everybody starts again and again, in any order: no true directory is ever taken for a false one. */
static void test_no_false_alarm(void)
{
	struct story s = story_new(76, 3, 3);
	unsigned stopped = 0;
	for (unsigned round = 0; round < 60; round++) {
		size_t i = round * 7 / 3 % 3;
		small_world_end(s.world, i, round % 2 == 0 ? SIM_KILL_POWER : SIM_KILL_PROCESS);
		small_world_run(s.world, round % 5 * 40);
		if (small_world_start(s.world, i)) {
			small_world_run(s.world, round * 13 % 97); /* often before anybody answered */
		}
		for (size_t j = 0; j < 3; j++) {
			stopped += s.world->group.members[j].stopped;
		}
	}
	is_int(stopped, 0, "sixty starts, many cut short: nobody is told off");
	struct group_member *leader = small_world_leader(s.world);
	uint64_t last = leader == NULL ? 0 : small_world_write(s.world, leader, 3, 10);
	small_world_run(s.world, 2000);
	ok(last > 0 && whole(&s, last), "and all three go on");
	small_world_free(s.world);
}

/* Of five: each life is remembered by two others at least before it votes. */
static void test_hears_enough(void)
{
	struct small_world *world = small_world_new(77, 5);
	small_world_start(world, 0);
	struct puppet *second = puppet_new(world, 2);
	small_world_run(world, 1000);
	ok(!puppet_candidate(second, 50), "one of five that has met one other gives no vote");
	struct puppet *third = puppet_new(world, 3);
	small_world_run(world, 1000);
	ok(puppet_candidate(second, 51), "when it has met two it does");
	puppet_free(third);
	puppet_free(second);
	small_world_free(world);
}

struct lines {
	unsigned waits, admitted;
};

static void count_lines(void *owner, enum log_level level, const char *line)
{
	struct lines *lines = owner;
	lines->waits += strstr(line, " not_admitted ") != NULL;
	lines->admitted += strstr(line, " admitted ") != NULL;
}

/* Nobody else would say why nobody leads. */
static void test_alone(void)
{
	struct story s = story_new(79, 3, 0);
	struct lines lines = {0, 0};
	s.world->log.sink = count_lines;
	s.world->log.owner = &lines;
	small_world_start(s.world, 0);
	small_world_run(s.world, 20000);
	is_int(lines.waits, 1, "a member that no majority has met says once that it takes no part");
	small_world_start(s.world, 1);
	ok(small_world_leader(s.world) != NULL && lines.waits == 1 && lines.admitted == 1,
	   "and that it does, when it is met");
	small_world_free(s.world);
}

int main(void)
{
	test_hears_enough();
	test_wiped();
	test_older_copy();
	test_all_restored();
	test_twins();
	test_let_in();
	test_founding();
	test_no_false_alarm();
	test_alone();
	return tap_done();
}

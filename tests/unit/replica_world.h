/* A group of members in a small world, for the stories of a replica. */
#ifndef TESTS_UNIT_REPLICA_WORLD_H
#define TESTS_UNIT_REPLICA_WORLD_H

#include "tests/scenario/small_world.h"

#define SECOND 1000000

/* Segments that hold a while, and a log that is kept. */
struct small_world *world_new(uint64_t seed, size_t count);
void start_all(struct small_world *world);
/* Without one no story can be told: says so and ends the program. */
struct group_member *open_leader(struct small_world *world);
size_t number(struct small_world *world, const struct group_member *member);

/* An open leader that is not this one. */
struct other {
	struct small_world *world;
	struct group_member *except;
	struct group_member *found;
};
bool other_leads(void *other);
/* NULL when none leads within half a minute. */
struct group_member *wait_other(struct small_world *world, struct group_member *except);
/* By all, within half a minute. */
bool wait_applied(struct small_world *world, uint64_t index);

/* Between two, both ways; off: healed when false. */
void cut(struct small_world *world, size_t a, size_t b, bool off);
/* From all others. */
void isolate(struct small_world *world, size_t i, bool off);
/* The last index that was given, or 0. */
uint64_t propose(struct group_member *leader, unsigned count, size_t len);

#endif /* TESTS_UNIT_REPLICA_WORLD_H */

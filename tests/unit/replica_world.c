#include "tests/unit/replica_world.h"

#include <stdlib.h>

#include "tests/lib/tap.h"

struct small_world *world_new(uint64_t seed, size_t count)
{
	struct small_world *world = small_world_new(seed, count);
	world->group.segment_bytes = KIB(64);
	world->group.keep_bytes = MIB(1);
	world->group.cache_bytes = MIB(8);
	return world;
}

struct group_member *open_leader(struct small_world *world)
{
	struct group_member *leader = small_world_leader(world);
	if (leader == NULL) {
		ok(false, "one leads, and may propose, within half a minute");
		exit(tap_done());
	}
	return leader;
}

void start_all(struct small_world *world)
{
	for (size_t i = 0; i < world->group.count; i++) {
		if (world->group.members[i].env == NULL && !small_world_start(world, i)) {
			tap_note("n%zu: %s", i + 1, world->last_line);
		}
	}
}

bool other_leads(void *owner)
{
	struct other *other = owner;
	struct group *group = &other->world->group;
	for (size_t i = 0; i < group->count; i++) {
		if (&group->members[i] != other->except && group->members[i].replica != NULL &&
		    group->members[i].open) {
			other->found = &group->members[i];
			return true;
		}
	}
	return false;
}
struct group_member *wait_other(struct small_world *world, struct group_member *except)
{
	struct other other = {.world = world, .except = except};
	sim_run_until(world->sim, other_leads, &other, 30 * SECOND);
	return other.found;
}

bool wait_applied(struct small_world *world, uint64_t index)
{
	struct group_wait wait = {&world->group, index};
	return sim_run_until(world->sim, group_wait_applied, &wait, 30 * SECOND);
}

size_t number(struct small_world *world, const struct group_member *member)
{
	return (size_t)(member - world->group.members);
}

void cut(struct small_world *world, size_t a, size_t b, bool off)
{
	sim_link(world->sim, world->hosts[a], world->hosts[b])->cut = off;
	sim_link(world->sim, world->hosts[b], world->hosts[a])->cut = off;
	if (!off) {
		sim_links_healed(world->sim);
	}
}

void isolate(struct small_world *world, size_t i, bool off)
{
	for (size_t j = 0; j < world->group.count; j++) {
		if (j != i) {
			cut(world, i, j, off);
		}
	}
}

uint64_t propose(struct group_member *leader, unsigned count, size_t len)
{
	uint64_t last = 0;
	for (unsigned i = 0; i < count; i++) {
		uint64_t index = group_propose(leader, len);
		last = index != 0 ? index : last;
	}
	return last;
}

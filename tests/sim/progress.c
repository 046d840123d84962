#include "tests/sim/progress.h"

#include <inttypes.h>

#define LOOK_US 50000
/* A candidate whose vote took long, for its disk stood still until just now, waits as long and eight times as
 * long again at most before it stands once more (raft/patience.c): 22 s with elections of 300 ms. */
#define SILENCE_US 30000000

static bool member_sound(const struct member *m)
{
	return m->state == MEMBER_UP && sim_host_sound(m->host);
}

static bool links_sound(const struct progress *progress, unsigned i, unsigned j)
{
	const struct member *members = progress->fleet->members;
	struct sim *sim = progress->fleet->sim;
	return sim_link_sound(sim_link(sim, members[i].host, members[j].host)) &&
	       sim_link_sound(sim_link(sim, members[j].host, members[i].host));
}

static void look_at_world(struct progress *progress, uint64_t now_us)
{
	for (unsigned i = 0; i < progress->fleet->count; i++) {
		const struct member *m = &progress->fleet->members[i];
		if (!member_sound(m) || m->starts != progress->starts[i]) {
			progress->sound_since_us[i][i] = now_us;
		}
		progress->starts[i] = m->starts;
		for (unsigned j = 0; j < i; j++) {
			if (!links_sound(progress, i, j)) {
				progress->sound_since_us[i][j] = now_us;
			}
		}
	}
}

/* Since when all of these members, and all links between them, are sound. */
static uint64_t set_sound_since(const struct progress *progress, unsigned set)
{
	uint64_t since_us = 0;
	for (unsigned i = 0; i < progress->fleet->count; i++) {
		for (unsigned j = 0; j <= i; j++) {
			bool both = (set >> i & 1) != 0 && (set >> j & 1) != 0;
			if (both && progress->sound_since_us[i][j] > since_us) {
				since_us = progress->sound_since_us[i][j];
			}
		}
	}
	return since_us;
}

/* Since when some majority is. */
static uint64_t majority_sound_since(const struct progress *progress)
{
	unsigned count = progress->fleet->count;
	uint64_t least_us = UINT64_MAX;
	for (unsigned set = 0; set < 1u << count; set++) {
		if ((unsigned)__builtin_popcount(set) == count / 2 + 1) {
			uint64_t since_us = set_sound_since(progress, set);
			least_us = since_us < least_us ? since_us : least_us;
		}
	}
	return least_us;
}

static bool goes_on(const struct progress *progress)
{
	int leader = fleet_leader(progress->fleet);
	bool led = leader >= 0 && !sim_host_paused(progress->fleet->members[leader].host);
	return led || progress->shops->last_done_us > progress->last_us;
}

static void look_fire(struct sim_event *event)
{
	struct progress *progress = list_entry(event, struct progress, look);
	struct fleet *fleet = progress->fleet;
	uint64_t now_us = sim_now_us(fleet->sim);
	look_at_world(progress, now_us);
	if (goes_on(progress)) {
		progress->last_us = now_us;
	}
	uint64_t since_us = majority_sound_since(progress);
	since_us = since_us > progress->last_us ? since_us : progress->last_us;
	uint64_t silent_us = now_us - since_us;
	if (silent_us > progress->longest_us) {
		progress->longest_us = silent_us;
	}
	if (silent_us > SILENCE_US) {
		judge_fail(fleet->judge,
			   "a majority is up, connected and not hindered since %" PRIu64
			   " s, and nobody leads",
			   silent_us / 1000000);
	}
	sim_event_in(fleet->sim, &progress->look, LOOK_US);
}

void progress_init(struct progress *progress, struct fleet *fleet, const struct shops *shops)
{
	*progress = (struct progress){.fleet = fleet, .shops = shops};
	progress->last_us = sim_now_us(fleet->sim);
	sim_event_init(&progress->look, look_fire);
	sim_event_in(fleet->sim, &progress->look, LOOK_US);
}

void progress_fini(struct progress *progress)
{
	sim_event_cancel(progress->fleet->sim, &progress->look);
}

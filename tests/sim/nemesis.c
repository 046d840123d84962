#include "tests/sim/nemesis_kind.h"

#include <assert.h>
#include <string.h>

#define FIRST_STRIKE_US 25000000
#define ALWAYS_ON "kill-leader,deposed"
/* What it takes may be trimmed at the others by then, and nothing ships files yet: such a member stays
 * behind. */
#define BY_NAME_ONLY "rot-end"
/* Where more may be damaged than can be repaired, it is, in every seed and so much more often. */
#define DAMAGE "rot,rot-read"
#define DAMAGE_TIMES 8

struct prng *fault_chance(struct fault *fault)
{
	return sim_prng(fault->nemesis->sim);
}
struct fleet *fault_fleet(struct fault *fault)
{
	return fault->nemesis->fleet;
}

unsigned fault_any_member(struct fault *fault)
{
	return (unsigned)prng_below(fault_chance(fault), fault_fleet(fault)->count);
}

/* The leader half of the time, when there is one. */
unsigned fault_some_member(struct fault *fault)
{
	int leader = fleet_leader(fault_fleet(fault));
	if (leader >= 0 && prng_chance(fault_chance(fault), 1, 2)) {
		return (unsigned)leader;
	}
	return fault_any_member(fault);
}

unsigned fault_frail_member(struct fault *fault)
{
	const struct nemesis *nemesis = fault->nemesis;
	return nemesis->frail[prng_below(fault_chance(fault), nemesis->frail_count)];
}

struct sim_host *fault_host(struct fault *fault, unsigned member)
{
	return fault_fleet(fault)->members[member].host;
}

uint64_t fault_down_us(struct fault *fault)
{
	static const uint64_t longest_us[4] = {1000, 200000, 2000000, 8000000};
	return 1 + prng_below(fault_chance(fault), longest_us[prng_below(fault_chance(fault), 4)]);
}

void fault_strike(struct fault *fault, unsigned member, enum sim_kill kill)
{
	fleet_kill(fault_fleet(fault), member, kill);
	fleet_start_in(fault_fleet(fault), member, fault_down_us(fault));
}

/* ---- the kinds ---- */

static const struct fault_kind *const files[] = {nemesis_host_kinds, nemesis_net_kinds, nemesis_disk_kinds,
						 nemesis_people_kinds};

/* NULL: there are not that many. */
static const struct fault_kind *kind_at(unsigned at)
{
	for (size_t file = 0; file < sizeof(files) / sizeof(files[0]); file++) {
		for (const struct fault_kind *kind = files[file]; kind->name != NULL; kind++) {
			if (at-- == 0) {
				return kind;
			}
		}
	}
	return NULL;
}

const char *nemesis_kind_name(unsigned at)
{
	const struct fault_kind *kind = kind_at(at);
	return kind == NULL ? NULL : kind->name;
}

/* ---- the life of a fault ---- */

static void fault_wait(struct fault *fault)
{
	sim_event_in(fault->nemesis->sim, &fault->event,
		     1 + prng_below(fault_chance(fault), 2 * fault->every_us));
}

static void fault_end(struct fault *fault)
{
	fault->active = false;
	sim_trace(fault->nemesis->sim, NULL, "heal", slice_str(fault->kind->name));
	fault->kind->end(fault);
}

static void fault_fire(struct sim_event *event)
{
	struct fault *fault = list_entry(event, struct fault, event);
	if (fault->active) {
		fault_end(fault);
		fault_wait(fault);
		return;
	}
	sim_trace(fault->nemesis->sim, NULL, "fault", slice_str(fault->kind->name));
	fault->fired++;
	fault->kind->begin(fault);
	if (fault->kind->end == NULL) {
		fault_wait(fault);
		return;
	}
	fault->active = true;
	sim_event_in(fault->nemesis->sim, &fault->event,
		     1 + prng_below(fault_chance(fault), 2 * fault->lasts_us));
}

static bool named(const char *list, const char *name)
{
	size_t len = strlen(name);
	for (const char *at = list; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0')) {
			return true;
		}
	}
	return false;
}

void nemesis_init(struct nemesis *nemesis, struct fleet *fleet, struct shops *shops, const char *only,
		  unsigned frail)
{
	memset(nemesis, 0, sizeof(*nemesis));
	nemesis->sim = fleet->sim;
	nemesis->fleet = fleet;
	nemesis->shops = shops;
	nemesis->judge = fleet->judge;
	nemesis->running = true;
	sim_links_remember(nemesis->sim);
	struct prng *prng = sim_prng(nemesis->sim);
	nemesis->frail_count = frail != 0 ? frail : (fleet->count - 1) / 2;
	assert(nemesis->frail_count > 0);
	unsigned first = (unsigned)prng_below(prng, fleet->count);
	for (unsigned i = 0; i < nemesis->frail_count; i++) {
		nemesis->frail[i] = (first + i) % fleet->count;
	}
	/* The last group of a log is proved by the next one only, and rot in it looks like a torn write
	 * (raft/wal/segment.h): a minority may lose it so, and gets it again; a majority would lie. */
	for (unsigned i = 0; i < fleet->count && frail != 0; i++) {
		sim_disk_faults(fleet->members[i].host)->flips_spare_end = true;
	}
	/* Of each seed a third of the kinds, more or less; leaders fall in every one, and do not know it. */
	uint64_t density = 1 + prng_below(prng, 5);
	const struct fault_kind *kind;
	for (unsigned i = 0; (kind = kind_at(i)) != NULL; i++) {
		assert(i < NEMESIS_KINDS_MAX);
		struct fault *fault = &nemesis->faults[nemesis->count++];
		fault->nemesis = nemesis;
		fault->kind = kind;
		fault->every_us = kind->every_ms * (250 + prng_below(prng, 1750));
		fault->lasts_us = kind->lasts_ms * (250 + prng_below(prng, 1750));
		fault->on = prng_chance(prng, (uint32_t)density, 10) || named(ALWAYS_ON, kind->name);
		if (frail != 0 && named(DAMAGE, kind->name)) {
			fault->on = true;
			fault->every_us /= DAMAGE_TIMES;
		}
		fault->on = fault->on && !named(BY_NAME_ONLY, kind->name);
		if (only != NULL) {
			fault->on = named(only, kind->name);
		}
		sim_event_init(&fault->event, fault_fire);
		if (fault->on) {
			/* The first strike comes early enough to be seen in the shortest run. */
			sim_event_in(nemesis->sim, &fault->event, 1 + prng_below(prng, FIRST_STRIKE_US));
		}
	}
}

void nemesis_abate(struct nemesis *nemesis)
{
	assert(nemesis->running);
	for (unsigned i = 0; i < nemesis->count; i++) {
		nemesis->faults[i].every_us *= 2;
	}
}

void nemesis_stop(struct nemesis *nemesis)
{
	for (unsigned i = 0; i < nemesis->count; i++) {
		struct fault *fault = &nemesis->faults[i];
		sim_event_cancel(nemesis->sim, &fault->event);
		if (fault->active) {
			fault_end(fault);
		}
	}
	nemesis->running = false;
	for (unsigned i = 0; i < nemesis->fleet->count; i++) {
		struct sim_host *host = nemesis->fleet->members[i].host;
		sim_disk_crash_after(host, 0);
		sim_host_resume(host);
	}
	nemesis_join(nemesis);
}

void nemesis_leave_majority(struct nemesis *nemesis)
{
	struct fleet *fleet = nemesis->fleet;
	struct prng *prng = sim_prng(nemesis->sim);
	/* Who has a damaged disk may refuse to start from now on. */
	unsigned ill = 0;
	for (unsigned i = 0; i < fleet->count; i++) {
		ill += fleet->members[i].state == MEMBER_LOST || sim_disk_wounds(fleet->members[i].host) > 0;
	}
	unsigned most = (fleet->count - 1) / 2;
	unsigned spare = most > ill ? most - ill : 0;
	unsigned gone = prng_chance(prng, 1, 2) ? (unsigned)prng_below(prng, spare + 1) : 0;
	unsigned first = (unsigned)prng_below(prng, fleet->count);
	for (unsigned i = 0; i < fleet->count; i++) {
		unsigned member = (first + i) % fleet->count;
		if (fleet->members[member].state == MEMBER_LOST) {
			continue;
		}
		if (gone > 0) {
			gone--;
			fleet_kill(fleet, member, SIM_KILL_POWER);
			fleet->members[member].state = MEMBER_LOST;
			sim_event_cancel(nemesis->sim, &fleet->members[member].start);
			continue;
		}
		fleet_start_in(fleet, member, 1 + prng_below(prng, 300000));
	}
}

const char *nemesis_idle(const struct nemesis *nemesis)
{
	for (unsigned i = 0; i < nemesis->count; i++) {
		if (nemesis->faults[i].on && nemesis->faults[i].fired == 0) {
			return nemesis->faults[i].kind->name;
		}
	}
	return NULL;
}

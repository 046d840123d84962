#include "tests/sim/nemesis.h"

#include <assert.h>
#include <string.h>

#define FIRST_STRIKE_US 25000000

struct fault_kind {
	const char *name;
	uint64_t every_ms, lasts_ms; /* the usual; a seed's own is a quarter to twice that */
	void (*begin)(struct fault *fault);
	void (*end)(struct fault *fault); /* NULL: one shot */
};

static struct prng *chance_of(struct fault *fault) { return sim_prng(fault->nemesis->sim); }
static struct fleet *fleet_of(struct fault *fault) { return fault->nemesis->fleet; }

static unsigned any_member(struct fault *fault)
{
	return (unsigned)prng_below(chance_of(fault), fleet_of(fault)->count);
}

/* The leader half of the time, when there is one. */
static unsigned some_member(struct fault *fault)
{
	int leader = fleet_leader(fleet_of(fault));
	if (leader >= 0 && prng_chance(chance_of(fault), 1, 2)) {
		return (unsigned)leader;
	}
	return any_member(fault);
}

static unsigned frail_member(struct fault *fault)
{
	const struct nemesis *nemesis = fault->nemesis;
	return nemesis->frail[prng_below(chance_of(fault), nemesis->frail_count)];
}

static struct sim_host *host_of(struct fault *fault, unsigned member)
{
	return fleet_of(fault)->members[member].host;
}

static uint64_t down_us(struct fault *fault)
{
	static const uint64_t longest_us[4] = {1000, 200000, 2000000, 8000000};
	return 1 + prng_below(chance_of(fault), longest_us[prng_below(chance_of(fault), 4)]);
}

static void strike(struct fault *fault, unsigned member, enum sim_kill kill)
{
	fleet_kill(fleet_of(fault), member, kill);
	fleet_start_in(fleet_of(fault), member, down_us(fault));
}

/* ---- crashes ---- */

static void kill_begin(struct fault *fault) { strike(fault, some_member(fault), SIM_KILL_PROCESS); }
static void power_begin(struct fault *fault) { strike(fault, some_member(fault), SIM_KILL_POWER); }

static void kill_leader_begin(struct fault *fault)
{
	int leader = fleet_leader(fleet_of(fault));
	strike(fault, leader >= 0 ? (unsigned)leader : any_member(fault),
	       prng_chance(chance_of(fault), 1, 2) ? SIM_KILL_PROCESS : SIM_KILL_POWER);
}

static void blackout_begin(struct fault *fault)
{
	for (unsigned i = 0; i < fleet_of(fault)->count; i++) {
		strike(fault, i, SIM_KILL_POWER);
	}
}

static void massacre_begin(struct fault *fault)
{
	for (unsigned i = 0; i < fleet_of(fault)->count; i++) {
		strike(fault, i, SIM_KILL_PROCESS);
	}
}

static void crash_inside_begin(struct fault *fault)
{
	sim_disk_crash_after(host_of(fault, some_member(fault)), 1 + prng_below(chance_of(fault), 60));
}

/* The power goes again while it starts. */
static void crash_start_begin(struct fault *fault)
{
	unsigned victim = some_member(fault);
	fleet_kill(fleet_of(fault), victim, SIM_KILL_POWER);
	sim_disk_crash_after(host_of(fault, victim), 1 + prng_below(chance_of(fault), 50));
	fleet_start_in(fleet_of(fault), victim, 1000);
}

static void polite_begin(struct fault *fault) { fleet_stop(fleet_of(fault), some_member(fault)); }

static void pause_begin(struct fault *fault)
{
	fault->victim = some_member(fault);
	sim_host_pause(host_of(fault, fault->victim));
}
static void pause_end(struct fault *fault) { sim_host_resume(host_of(fault, fault->victim)); }

static void slow_cpu_begin(struct fault *fault)
{
	fault->victim = some_member(fault);
	sim_host_slow(host_of(fault, fault->victim), 1000 + prng_below(chance_of(fault), 30000));
}
static void slow_cpu_end(struct fault *fault) { sim_host_slow(host_of(fault, fault->victim), 0); }

/* ---- the network ---- */

static void cut(struct fault *fault, unsigned from, unsigned to, bool on)
{
	sim_link(fault->nemesis->sim, host_of(fault, from), host_of(fault, to))->cut = on;
}

static void cut_none(struct fault *fault)
{
	struct nemesis *nemesis = fault->nemesis;
	for (unsigned i = 0; i < nemesis->fleet->count; i++) {
		for (unsigned j = 0; j < nemesis->fleet->count; j++) {
			cut(fault, i, j, false);
		}
		for (unsigned j = 0; j < nemesis->shops->count; j++) {
			sim_link(nemesis->sim, host_of(fault, i), nemesis->shops->list[j].host)->cut = false;
			sim_link(nemesis->sim, nemesis->shops->list[j].host, host_of(fault, i))->cut = false;
		}
	}
	sim_links_healed(nemesis->sim);
}

static void isolate_begin(struct fault *fault)
{
	unsigned victim = some_member(fault);
	for (unsigned i = 0; i < fleet_of(fault)->count; i++) {
		cut(fault, i, victim, i != victim);
		cut(fault, victim, i, i != victim);
	}
}

static void split_begin(struct fault *fault)
{
	uint64_t side = prng_next(chance_of(fault));
	for (unsigned i = 0; i < fleet_of(fault)->count; i++) {
		for (unsigned j = 0; j < fleet_of(fault)->count; j++) {
			cut(fault, i, j, ((side >> i) & 1) != ((side >> j) & 1));
		}
	}
}

/* Each sees only its neighbours: every node has another majority. */
static void ring_begin(struct fault *fault)
{
	unsigned count = fleet_of(fault)->count;
	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < count; j++) {
			unsigned apart = (i + count - j) % count;
			cut(fault, i, j, apart > 1 && apart < count - 1);
		}
	}
	if (count == 3) {
		cut(fault, 0, 1, true); /* of three, a chain */
		cut(fault, 1, 0, true);
	}
}

/* One node sees both halves, which do not see each other. */
static void bridge_begin(struct fault *fault)
{
	unsigned bridge = any_member(fault);
	unsigned count = fleet_of(fault)->count;
	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < count; j++) {
			cut(fault, i, j, i != bridge && j != bridge && (i % 2) != (j % 2));
		}
	}
}

static void oneway_begin(struct fault *fault)
{
	unsigned victim = some_member(fault);
	bool sends = prng_chance(chance_of(fault), 1, 2);
	for (unsigned i = 0; i < fleet_of(fault)->count; i++) {
		if (i != victim && prng_chance(chance_of(fault), 2, 3)) {
			cut(fault, sends ? i : victim, sends ? victim : i, true);
		}
	}
}

static void flap_begin(struct fault *fault)
{
	unsigned a = any_member(fault);
	unsigned b = any_member(fault);
	if (a != b) {
		cut(fault, a, b, true);
		cut(fault, b, a, true);
	}
}

/* The clients see some nodes only. */
static void blind_begin(struct fault *fault)
{
	struct nemesis *nemesis = fault->nemesis;
	unsigned victim = some_member(fault);
	for (unsigned j = 0; j < nemesis->shops->count; j++) {
		if (prng_chance(chance_of(fault), 2, 3)) {
			sim_link(nemesis->sim, host_of(fault, victim), nemesis->shops->list[j].host)->cut = true;
			sim_link(nemesis->sim, nemesis->shops->list[j].host, host_of(fault, victim))->cut = true;
		}
	}
}

static void for_links(struct fault *fault, void (*change)(struct fault *fault, struct sim_link *link))
{
	struct nemesis *nemesis = fault->nemesis;
	for (unsigned i = 0; i < nemesis->fleet->count; i++) {
		for (unsigned j = 0; j < nemesis->fleet->count; j++) {
			if (i != j) {
				change(fault, sim_link(nemesis->sim, host_of(fault, i), host_of(fault, j)));
			}
		}
	}
}

static void make_slow(struct fault *fault, struct sim_link *link)
{
	link->delay_us = (uint32_t)prng_below(chance_of(fault), 80000);
	link->jitter_us = (uint32_t)prng_below(chance_of(fault), 40000);
}
static void make_quick(struct fault *fault, struct sim_link *link) { link->delay_us = link->jitter_us = 50; }
static void delay_begin(struct fault *fault) { for_links(fault, make_slow); }
static void delay_end(struct fault *fault) { for_links(fault, make_quick); }

static void make_narrow(struct fault *fault, struct sim_link *link) { link->bytes_per_ms = 125; }
static void make_wide(struct fault *fault, struct sim_link *link) { link->bytes_per_ms = 0; }
static void narrow_begin(struct fault *fault) { for_links(fault, make_narrow); }
static void narrow_end(struct fault *fault) { for_links(fault, make_wide); }

static void make_resetting(struct fault *fault, struct sim_link *link) { link->reset_per_million = 5000; }
static void make_steady(struct fault *fault, struct sim_link *link) { link->reset_per_million = 0; }
static void reset_begin(struct fault *fault) { for_links(fault, make_resetting); }
static void reset_end(struct fault *fault) { for_links(fault, make_steady); }

static void make_lying(struct fault *fault, struct sim_link *link) { link->flip_per_million = 3000; }
static void make_honest(struct fault *fault, struct sim_link *link) { link->flip_per_million = 0; }
static void flip_begin(struct fault *fault) { for_links(fault, make_lying); }
static void flip_end(struct fault *fault) { for_links(fault, make_honest); }

static void make_crumbs(struct fault *fault, struct sim_link *link) { link->split_per_million = 500000; }
static void make_whole(struct fault *fault, struct sim_link *link) { link->split_per_million = 0; }
static void split_segments_begin(struct fault *fault) { for_links(fault, make_crumbs); }
static void split_segments_end(struct fault *fault) { for_links(fault, make_whole); }

static void break_begin(struct fault *fault)
{
	sim_links_break(fault->nemesis->sim, host_of(fault, any_member(fault)), host_of(fault, some_member(fault)));
}

static void break_clients_begin(struct fault *fault)
{
	struct nemesis *nemesis = fault->nemesis;
	for (unsigned j = 0; j < nemesis->shops->count; j++) {
		sim_links_break(nemesis->sim, nemesis->shops->list[j].host, host_of(fault, some_member(fault)));
	}
}

/* ---- disks ---- */

static void slow_disk_begin(struct fault *fault)
{
	fault->victim = some_member(fault);
	struct sim_disk_faults *faults = sim_disk_faults(host_of(fault, fault->victim));
	faults->sync_us = 5000 + (uint32_t)prng_below(chance_of(fault), 200000);
	faults->op_us = 100 + (uint32_t)prng_below(chance_of(fault), 1000);
}
static void stall_disk_begin(struct fault *fault)
{
	fault->victim = some_member(fault);
	sim_disk_faults(host_of(fault, fault->victim))->sync_us = 2000000 + (uint32_t)prng_below(chance_of(fault), 8000000);
}
static void slow_disk_end(struct fault *fault)
{
	struct sim_disk_faults *faults = sim_disk_faults(host_of(fault, fault->victim));
	faults->sync_us = 0;
	faults->op_us = 0;
}

static void full_begin(struct fault *fault)
{
	fault->victim = some_member(fault);
	struct sim_host *host = host_of(fault, fault->victim);
	sim_disk_faults(host)->capacity = sim_disk_used(host) + prng_below(chance_of(fault), 200000);
}
static void full_end(struct fault *fault) { sim_disk_faults(host_of(fault, fault->victim))->capacity = 0; }

static void write_error_begin(struct fault *fault)
{
	fault->victim = frail_member(fault);
	sim_disk_faults(host_of(fault, fault->victim))->write_error_per_million = 20000;
}
static void sync_error_begin(struct fault *fault)
{
	fault->victim = frail_member(fault);
	sim_disk_faults(host_of(fault, fault->victim))->sync_error_per_million = 20000;
}
static void read_error_begin(struct fault *fault)
{
	fault->victim = frail_member(fault);
	sim_disk_faults(host_of(fault, fault->victim))->read_error_per_million = 20000;
	strike(fault, fault->victim, SIM_KILL_PROCESS); /* starting is what reads */
}
static void disk_error_end(struct fault *fault)
{
	struct sim_disk_faults *faults = sim_disk_faults(host_of(fault, fault->victim));
	faults->write_error_per_million = faults->sync_error_per_million = faults->read_error_per_million = 0;
}

static void rot_begin(struct fault *fault)
{
	unsigned victim = frail_member(fault);
	struct sim_host *host = host_of(fault, victim);
	fleet_kill(fleet_of(fault), victim, SIM_KILL_POWER);
	sim_disk_flip(host, "log");
	fleet_start_in(fleet_of(fault), victim, down_us(fault));
}

static void misdirect_begin(struct fault *fault)
{
	fault->victim = frail_member(fault);
	sim_disk_faults(host_of(fault, fault->victim))->misdirect_per_million = 5000;
}
static void misdirect_end(struct fault *fault)
{
	sim_disk_faults(host_of(fault, fault->victim))->misdirect_per_million = 0;
}

/* ---- clocks, leadership, clients ---- */

static void clock_begin(struct fault *fault)
{
	int64_t ms = (int64_t)prng_below(chance_of(fault), 7200000) - 3600000;
	sim_host_wall_jump(host_of(fault, some_member(fault)), ms);
}

static void strobe_begin(struct fault *fault)
{
	fault->victim = some_member(fault);
	sim_host_wall_jump(host_of(fault, fault->victim), 5000);
}
static void strobe_end(struct fault *fault) { sim_host_wall_jump(host_of(fault, fault->victim), -5000); }

static void transferred(void *owner, int status) {}
static void transfer_begin(struct fault *fault)
{
	struct fleet *fleet = fleet_of(fault);
	int leader = fleet_leader(fleet);
	if (leader < 0 || fleet->members[leader].state != MEMBER_UP || sim_host_paused(fleet->members[leader].host)) {
		return;
	}
	uint64_t target = prng_below(chance_of(fault), fleet->count + 1);
	if (target == (uint64_t)leader + 1) {
		target = 0;
	}
	shard_transfer(node_shard(fleet->members[leader].node), target, 1000, transferred, NULL);
}

static void client_kill_begin(struct fault *fault)
{
	struct shops *shops = fault->nemesis->shops;
	shops_kill(shops, (unsigned)prng_below(chance_of(fault), shops->count));
}

static void client_pause_begin(struct fault *fault)
{
	struct shops *shops = fault->nemesis->shops;
	fault->victim = (unsigned)prng_below(chance_of(fault), shops->count);
	sim_host_pause(shops->list[fault->victim].host);
}
static void client_pause_end(struct fault *fault)
{
	sim_host_resume(fault->nemesis->shops->list[fault->victim].host);
}

static const struct fault_kind kinds[] = {
	{"kill", 6000, 0, kill_begin, NULL},
	{"power", 6000, 0, power_begin, NULL},
	{"kill-leader", 7000, 0, kill_leader_begin, NULL},
	{"blackout", 20000, 0, blackout_begin, NULL},
	{"massacre", 20000, 0, massacre_begin, NULL},
	{"crash-inside", 4000, 0, crash_inside_begin, NULL},
	{"crash-start", 8000, 0, crash_start_begin, NULL},
	{"polite", 12000, 0, polite_begin, NULL},
	{"pause", 6000, 1500, pause_begin, pause_end},
	{"slow-cpu", 8000, 3000, slow_cpu_begin, slow_cpu_end},
	{"isolate", 8000, 3000, isolate_begin, cut_none},
	{"split", 8000, 3000, split_begin, cut_none},
	{"ring", 12000, 3000, ring_begin, cut_none},
	{"bridge", 12000, 3000, bridge_begin, cut_none},
	{"oneway", 8000, 3000, oneway_begin, cut_none},
	{"flap", 1500, 300, flap_begin, cut_none},
	{"blind", 10000, 3000, blind_begin, cut_none},
	{"delay", 10000, 4000, delay_begin, delay_end},
	{"narrow", 12000, 3000, narrow_begin, narrow_end},
	{"reset", 8000, 3000, reset_begin, reset_end},
	{"flip", 8000, 3000, flip_begin, flip_end},
	{"crumbs", 8000, 4000, split_segments_begin, split_segments_end},
	{"break", 5000, 0, break_begin, NULL},
	{"break-clients", 8000, 0, break_clients_begin, NULL},
	{"slow-disk", 8000, 4000, slow_disk_begin, slow_disk_end},
	{"stall-disk", 15000, 4000, stall_disk_begin, slow_disk_end},
	{"full", 12000, 4000, full_begin, full_end},
	{"write-error", 15000, 3000, write_error_begin, disk_error_end},
	{"sync-error", 15000, 3000, sync_error_begin, disk_error_end},
	{"read-error", 15000, 3000, read_error_begin, disk_error_end},
	{"rot", 30000, 0, rot_begin, NULL},
	{"misdirect", 30000, 3000, misdirect_begin, misdirect_end},
	{"clock", 10000, 0, clock_begin, NULL},
	{"strobe", 2000, 200, strobe_begin, strobe_end},
	{"transfer", 6000, 0, transfer_begin, NULL},
	{"client-kill", 6000, 0, client_kill_begin, NULL},
	{"client-pause", 8000, 4000, client_pause_begin, client_pause_end},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))
_Static_assert(KIND_COUNT <= NEMESIS_KINDS_MAX, "every kind has a place");

unsigned nemesis_kind_count(void) { return KIND_COUNT; }
const char *nemesis_kind_name(unsigned at) { return kinds[at].name; }

/* ---- the life of a fault ---- */

static void fault_wait(struct fault *fault)
{
	sim_event_in(fault->nemesis->sim, &fault->event, 1 + prng_below(chance_of(fault), 2 * fault->every_us));
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
	sim_event_in(fault->nemesis->sim, &fault->event, 1 + prng_below(chance_of(fault), 2 * fault->lasts_us));
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

void nemesis_init(struct nemesis *nemesis, struct fleet *fleet, struct shops *shops, const char *only)
{
	memset(nemesis, 0, sizeof(*nemesis));
	nemesis->sim = fleet->sim;
	nemesis->fleet = fleet;
	nemesis->shops = shops;
	nemesis->judge = fleet->judge;
	nemesis->count = KIND_COUNT;
	nemesis->running = true;
	struct prng *prng = sim_prng(nemesis->sim);
	nemesis->frail_count = (fleet->count - 1) / 2;
	assert(nemesis->frail_count > 0);
	unsigned first = (unsigned)prng_below(prng, fleet->count);
	for (unsigned i = 0; i < nemesis->frail_count; i++) {
		nemesis->frail[i] = (first + i) % fleet->count;
	}
	/* Of each seed a third of the kinds, more or less; leaders fall in every one. */
	uint64_t density = 1 + prng_below(prng, 5);
	for (unsigned i = 0; i < KIND_COUNT; i++) {
		struct fault *fault = &nemesis->faults[i];
		fault->nemesis = nemesis;
		fault->kind = &kinds[i];
		fault->every_us = kinds[i].every_ms * (250 + prng_below(prng, 1750));
		fault->lasts_us = kinds[i].lasts_ms * (250 + prng_below(prng, 1750));
		fault->on = prng_chance(prng, (uint32_t)density, 8) || kinds[i].begin == kill_leader_begin;
		if (only != NULL) {
			fault->on = named(only, kinds[i].name);
		}
		sim_event_init(&fault->event, fault_fire);
		if (fault->on) {
			/* The first strike comes early enough to be seen in the shortest run. */
			sim_event_in(nemesis->sim, &fault->event, 1 + prng_below(prng, FIRST_STRIKE_US));
		}
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
	sim_links_healed(nemesis->sim);
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

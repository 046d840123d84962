/* Faults of the network: partitions of every kind, links that are slow, narrow or lie. */
#include "tests/sim/nemesis_kind.h"

static void cut(struct fault *fault, unsigned from, unsigned to, bool on)
{
	sim_link(fault->nemesis->sim, fault_host(fault, from), fault_host(fault, to))->cut = on;
}

void nemesis_join(struct nemesis *nemesis)
{
	struct sim *sim = nemesis->sim;
	for (unsigned i = 0; i < nemesis->fleet->count; i++) {
		struct sim_host *host = nemesis->fleet->members[i].host;
		for (unsigned j = 0; j < nemesis->fleet->count; j++) {
			sim_link(sim, host, nemesis->fleet->members[j].host)->cut = false;
		}
		for (unsigned j = 0; j < nemesis->shops->count; j++) {
			sim_link(sim, host, nemesis->shops->list[j].host)->cut = false;
			sim_link(sim, nemesis->shops->list[j].host, host)->cut = false;
		}
	}
	sim_links_healed(sim);
}

static void deposed_begin(struct fault *fault);
static void deposed_cut(struct fault *fault);

/* The end of one cut is the end of all, but of a leader that is being deposed. */
static void cut_none(struct fault *fault)
{
	struct nemesis *nemesis = fault->nemesis;
	nemesis_join(nemesis);
	for (unsigned i = 0; i < nemesis->count; i++) {
		if (nemesis->faults[i].active && nemesis->faults[i].kind->begin == deposed_begin) {
			deposed_cut(&nemesis->faults[i]);
		}
	}
}

static void isolate_begin(struct fault *fault)
{
	unsigned victim = fault_some_member(fault);
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		cut(fault, i, victim, i != victim);
		cut(fault, victim, i, i != victim);
	}
}

static void split_begin(struct fault *fault)
{
	uint64_t side = prng_next(fault_chance(fault));
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		for (unsigned j = 0; j < fault_fleet(fault)->count; j++) {
			cut(fault, i, j, ((side >> i) & 1) != ((side >> j) & 1));
		}
	}
}

/* Each sees only its neighbours: every node has another majority. */
static void ring_begin(struct fault *fault)
{
	unsigned count = fault_fleet(fault)->count;
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
	unsigned bridge = fault_any_member(fault);
	unsigned count = fault_fleet(fault)->count;
	for (unsigned i = 0; i < count; i++) {
		for (unsigned j = 0; j < count; j++) {
			cut(fault, i, j, i != bridge && j != bridge && (i % 2) != (j % 2));
		}
	}
}

static void oneway_begin(struct fault *fault)
{
	unsigned victim = fault_some_member(fault);
	bool sends = prng_chance(fault_chance(fault), 1, 2);
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		if (i != victim && prng_chance(fault_chance(fault), 2, 3)) {
			cut(fault, sends ? i : victim, sends ? victim : i, true);
		}
	}
}

static void flap_begin(struct fault *fault)
{
	unsigned a = fault_any_member(fault);
	unsigned b = fault_any_member(fault);
	if (a != b) {
		cut(fault, a, b, true);
		cut(fault, b, a, true);
	}
}

/* One node after the other loses its links, and one after the other gets them back. */
static void swizzle_begin(struct fault *fault)
{
	struct fleet *fleet = fault_fleet(fault);
	fault->chosen = 0;
	fault->victim = fault_any_member(fault);
	for (unsigned i = 0; i < fleet->count; i++) {
		cut(fault, i, fault->victim, i != fault->victim);
		cut(fault, fault->victim, i, i != fault->victim);
	}
}

/* Half of what is cut is whole again, link by link and one way at a time. */
static void swizzle_end(struct fault *fault)
{
	struct fleet *fleet = fault_fleet(fault);
	for (unsigned i = 0; i < fleet->count; i++) {
		for (unsigned j = 0; j < fleet->count; j++) {
			if (prng_chance(fault_chance(fault), 1, 2)) {
				cut(fault, i, j, false);
			}
		}
	}
	sim_links_healed(fault->nemesis->sim);
}

/* A leader keeps the window and perhaps some other clients, and nobody else, while the others write where it
 * cannot see it. Its clock is slow, or it stands still and goes on before it hears from anybody else: it believes
 * longest that it leads. chosen: a bit for each client that does not see it, and DEPOSED_PAUSED. */
#define DEPOSED_PAUSED ((uint64_t)1 << SHOPS_MAX)

static void deposed_cut(struct fault *fault)
{
	struct sim *sim = fault->nemesis->sim;
	const struct shops *shops = fault->nemesis->shops;
	struct sim_host *victim = fault_host(fault, fault->victim);
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		cut(fault, i, fault->victim, i != fault->victim);
		cut(fault, fault->victim, i, i != fault->victim);
	}
	for (unsigned j = 0; j < shops->count; j++) {
		bool blind = (fault->chosen >> j & 1) != 0;
		sim_link(sim, shops->list[j].host, victim)->cut |= blind;
		sim_link(sim, victim, shops->list[j].host)->cut |= blind;
	}
}

static void deposed_begin(struct fault *fault)
{
	struct prng *prng = fault_chance(fault);
	int leader = fleet_leader(fault_fleet(fault));
	fault->victim = leader >= 0 ? (unsigned)leader : fault_any_member(fault);
	fault->chosen = prng_chance(prng, 3, 4) ? DEPOSED_PAUSED - 1 : prng_below(prng, DEPOSED_PAUSED);
	deposed_cut(fault);
	window_stand(&fault->nemesis->shops->window, fault->victim);
	if (prng_chance(prng, 1, 2)) {
		fault->chosen |= DEPOSED_PAUSED;
		sim_host_pause(fault_host(fault, fault->victim));
	} else {
		sim_host_clock_rate(fault_host(fault, fault->victim), 500);
	}
}

static void deposed_end(struct fault *fault)
{
	struct sim_host *victim = fault_host(fault, fault->victim);
	if ((fault->chosen & DEPOSED_PAUSED) != 0) {
		sim_host_resume(victim);
	} else {
		sim_host_clock_rate(victim, 1000);
	}
	cut_none(fault);
}

/* The clients see some nodes only. */
static void blind_begin(struct fault *fault)
{
	struct nemesis *nemesis = fault->nemesis;
	unsigned victim = fault_some_member(fault);
	for (unsigned j = 0; j < nemesis->shops->count; j++) {
		if (prng_chance(fault_chance(fault), 2, 3)) {
			sim_link(nemesis->sim, fault_host(fault, victim), nemesis->shops->list[j].host)->cut = true;
			sim_link(nemesis->sim, nemesis->shops->list[j].host, fault_host(fault, victim))->cut = true;
		}
	}
}

static void for_links(struct fault *fault, void (*change)(struct fault *fault, struct sim_link *link))
{
	struct nemesis *nemesis = fault->nemesis;
	for (unsigned i = 0; i < nemesis->fleet->count; i++) {
		for (unsigned j = 0; j < nemesis->fleet->count; j++) {
			if (i != j) {
				change(fault, sim_link(nemesis->sim, fault_host(fault, i), fault_host(fault, j)));
			}
		}
	}
}

static void make_slow(struct fault *fault, struct sim_link *link)
{
	link->delay_us = (uint32_t)prng_below(fault_chance(fault), 80000);
	link->jitter_us = (uint32_t)prng_below(fault_chance(fault), 40000);
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

static void make_lossy(struct fault *fault, struct sim_link *link)
{
	link->loss_per_million = 1000 + (uint32_t)prng_below(fault_chance(fault), 200000);
}
static void make_sound(struct fault *fault, struct sim_link *link) { link->loss_per_million = 0; }
static void loss_begin(struct fault *fault) { for_links(fault, make_lossy); }
static void loss_end(struct fault *fault) { for_links(fault, make_sound); }

static void make_haunted(struct fault *fault, struct sim_link *link)
{
	link->replay_per_million = 1000 + (uint32_t)prng_below(fault_chance(fault), 50000);
}
static void make_fresh(struct fault *fault, struct sim_link *link) { link->replay_per_million = 0; }
static void replay_begin(struct fault *fault) { for_links(fault, make_haunted); }
static void replay_end(struct fault *fault) { for_links(fault, make_fresh); }

static void make_crumbs(struct fault *fault, struct sim_link *link) { link->split_per_million = 500000; }
static void make_whole(struct fault *fault, struct sim_link *link) { link->split_per_million = 0; }
static void split_segments_begin(struct fault *fault) { for_links(fault, make_crumbs); }
static void split_segments_end(struct fault *fault) { for_links(fault, make_whole); }

static void break_begin(struct fault *fault)
{
	sim_links_break(fault->nemesis->sim, fault_host(fault, fault_any_member(fault)), fault_host(fault, fault_some_member(fault)));
}

static void break_clients_begin(struct fault *fault)
{
	struct nemesis *nemesis = fault->nemesis;
	for (unsigned j = 0; j < nemesis->shops->count; j++) {
		sim_links_break(nemesis->sim, nemesis->shops->list[j].host, fault_host(fault, fault_some_member(fault)));
	}
}

const struct fault_kind nemesis_net_kinds[] = {
	{"isolate", 8000, 3000, isolate_begin, cut_none},
	{"split", 8000, 3000, split_begin, cut_none},
	{"ring", 12000, 3000, ring_begin, cut_none},
	{"bridge", 12000, 3000, bridge_begin, cut_none},
	{"oneway", 8000, 3000, oneway_begin, cut_none},
	{"flap", 1500, 300, flap_begin, cut_none},
	{"swizzle", 1500, 700, swizzle_begin, swizzle_end},
	{"deposed", 8000, 2000, deposed_begin, deposed_end},
	{"loss", 8000, 3000, loss_begin, loss_end},
	{"replay", 8000, 4000, replay_begin, replay_end},
	{"blind", 10000, 3000, blind_begin, cut_none},
	{"delay", 10000, 4000, delay_begin, delay_end},
	{"narrow", 12000, 3000, narrow_begin, narrow_end},
	{"reset", 8000, 3000, reset_begin, reset_end},
	{"flip", 8000, 3000, flip_begin, flip_end},
	{"crumbs", 8000, 4000, split_segments_begin, split_segments_end},
	{"break", 5000, 0, break_begin, NULL},
	{"break-clients", 8000, 0, break_clients_begin, NULL},
	{.name = NULL},
};

/* The clients of a simulated run: hosts on which libtally runs, each with some
 * workers that ask one thing after the other. What they ask is work.h's; what they saw
 * goes to the judge's history. Some of it is asked again, under the same id, by another of them. */
#ifndef TESTS_SIM_SHOP_H
#define TESTS_SIM_SHOP_H

#include "client/client.h"
#include "tests/sim/fleet.h"
#include "tests/sim/window.h"
#include "tests/sim/work.h"

#define SHOPS_MAX 8
#define SHOP_WORKERS_MAX 8
#define SHOP_AGAIN_MAX 64

struct shops;
struct shop;

struct worker {
	struct shop *shop;
	struct sim_event next; /* when it asks again */
	struct tally_call call;
	bool busy;
	bool final; /* reads back at the end, again until it is told */
	size_t final_number;
	struct work work;
};

struct shop {
	struct shops *shops;
	unsigned number;
	struct sim_host *host;
	struct env *env;
	struct tally *tally;
	struct worker workers[SHOP_WORKERS_MAX];
	unsigned worker_count;
	struct sim_event start;
};

/* To be asked again, by any shop but this. */
struct again {
	struct work work;
	unsigned shop;
};

struct shops {
	struct sim *sim;
	struct fleet *fleet;
	struct judge *judge;
	struct shop list[SHOPS_MAX];
	unsigned count;
	struct window window;
	bool open;       /* workers and readers ask on */
	unsigned busy;
	unsigned think_us;
	struct works works;
	struct again again[SHOP_AGAIN_MAX];
	unsigned again_count;
	uint64_t acknowledged, refused, retried, unknown, restarts, repeated, replayed;
	uint64_t last_done_us, longest_gap_us;
	uint64_t healed_us; /* when the faults ended for good */
	/* reading back: everything that may have been touched */
	bool reading_back;
	struct works final;
	size_t final_at, final_count, final_done;
};

void shops_init(struct shops *shops, struct fleet *fleet, struct judge *judge, unsigned count, unsigned workers,
		unsigned think_us /* at most, between requests of a worker */);
void shops_fini(struct shops *shops);
/* A client's process ends; it starts again a little later. What was under way is unknown. */
void shops_kill(struct shops *shops, unsigned number, enum sim_kill kill);
/* One more request that ended so. */
void shops_count(struct shops *shops, enum tally_outcome outcome);
/* No new requests; busy falls to 0. */
void shops_close(struct shops *shops);
/* Closed and no longer busy: reads every key back, each until it is told. */
void shops_read_back(struct shops *shops);
bool shops_are_read(const struct shops *shops);

#endif /* TESTS_SIM_SHOP_H */

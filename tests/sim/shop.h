/* The clients of a simulated run: hosts on which libtally runs, each with some
 * workers that ask one thing after the other, and the record of what they saw.
 *
 * Keys: registers "r<n>" (SET of unique numbers, GET), lists "l<n>" (APPEND of
 * unique numbers, GET), counters "c<n>" (INCR). Registers and lists move on to fresh
 * keys after a while, so that each key's history stays short enough to judge. */
#ifndef TESTS_SIM_SHOP_H
#define TESTS_SIM_SHOP_H

#include "client/client.h"
#include "tests/sim/fleet.h"

#define SHOPS_MAX 8
#define SHOP_WORKERS_MAX 8
#define SHOP_COUNTERS 3
/* The number of the client that only reads: answers come in order, so one that also writes would see
 * nothing any more of a leader that can commit nothing. */
#define SHOP_WINDOW 0

struct shops;
struct shop;

struct worker {
	struct shop *shop;
	struct sim_event next; /* when it asks again */
	struct tally_call call;
	bool busy;
	bool final; /* reads back at the end, again until it is told */
	int kind;
	struct history_op op;
	struct history_part part;
	unsigned counter;
	char key[24], text[48];
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

struct shop_counter {
	uint64_t done, unknown, value;
	bool read;
};

struct shops {
	struct sim *sim;
	struct fleet *fleet;
	struct judge *judge;
	struct shop list[SHOPS_MAX];
	unsigned count;
	bool open;       /* workers ask on */
	unsigned busy;
	uint64_t unique; /* the next value */
	unsigned think_us;
	struct history registers, lists;
	struct shop_counter counters[SHOP_COUNTERS];
	uint64_t acknowledged, refused, retried, unknown, started, restarts;
	uint64_t last_done_us, longest_gap_us;
	uint64_t healed_us; /* when the faults ended for good */
	/* reading back: every register, list and counter that may have been touched */
	bool reading_back;
	int64_t final_epochs;
	size_t final_at, final_count, final_done;
};

void shops_init(struct shops *shops, struct fleet *fleet, struct judge *judge, unsigned count, unsigned workers,
		unsigned think_us /* at most, between requests of a worker */);
void shops_fini(struct shops *shops);
/* A client's process ends; it starts again a little later. What was under way is unknown. */
void shops_kill(struct shops *shops, unsigned number, enum sim_kill kill);
/* No new requests; busy falls to 0. */
void shops_close(struct shops *shops);
/* Closed and no longer busy: reads every key back, each until it is told. */
void shops_read_back(struct shops *shops);
bool shops_are_read(const struct shops *shops);
/* Hands what was seen to the judge. */
void shops_judge(struct shops *shops);

#endif /* TESTS_SIM_SHOP_H */

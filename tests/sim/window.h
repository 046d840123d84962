/* A client that only reads, each time straight at one node: one that led when it looked, and it
 * stays there through partitions, pauses and elections, while the other clients (shop.h) write wherever
 * the cluster serves them. It asks mostly for what one of those was just told is written. So whoever still
 * answers reads after it was deposed is seen.
 *
 * No fault strikes it, and its links are never cut: what it cannot see is the node's doing. */
#ifndef TESTS_SIM_WINDOW_H
#define TESTS_SIM_WINDOW_H

#include "client/client.h"
#include "tests/sim/fleet.h"
#include "tests/sim/work.h"

#define WINDOW_READERS 2

struct shops;
struct window;

struct reader {
	struct window *window;
	uint32_t client; /* its number in the history */
	struct sim_event next;
	struct tally_call call;
	struct work work;
};

struct window {
	struct shops *shops; /* whose works it reads, and whose counters it shares */
	struct sim_host *host;
	struct env *env;
	struct tally *doors[JUDGE_MEMBERS]; /* each knows one node */
	unsigned at;                        /* the door it stands at */
	struct reader readers[WINDOW_READERS];
	unsigned think_us;
	struct sim_event start;
};

/* first_client: number of its first reader in the history. */
void window_init(struct window *window, struct shops *shops, uint32_t first_client,
		 unsigned think_us /* at most, between requests of a reader */);
void window_fini(struct window *window);
/* It asks this member from now on, until it looks again. */
void window_stand(struct window *window, unsigned member);

#endif /* TESTS_SIM_WINDOW_H */

/* The nemesis' clients: a few logical clients of libtally on one loop, each with
 * one operation under way, that record what they see (tests/check/history.h).
 *
 * A workload makes operations and understands their answers; load runs them. */
#ifndef TESTS_NEMESIS_LOAD_H
#define TESTS_NEMESIS_LOAD_H

#include <uv.h>

#include "base/prng.h"
#include "client/tally.h"
#include "tests/check/history.h"

struct load;

struct load_client {
	struct load *load;
	struct tally *tally;
	struct tally_call call;
	uv_timer_t pause;
	struct history_op op; /* the one under way */
	struct history_part parts[4];
	char text[4][64];     /* a workload's words */
	uint32_t id;
	bool busy, closed;
};

struct workload {
	const char *name;
	/* Runs before the clients, blocking. 0 or an error line in err. */
	int (*prepare)(struct load *load, struct tally_sync *sync, struct err *err);
	/* Fills client->op and starts client->call with load_done as its callback. */
	void (*start)(struct load_client *client);
	/* Reads the value of an OK answer into client->op (lists from load->history.arena). False: the answer makes no sense. */
	bool (*answer)(struct load_client *client, const struct tally_value *value);
	/* After the clients: final reads through sync, then judges. 0, or the broken demand in err. */
	int (*judge)(struct load *load, struct tally_sync *sync, struct err *err);
};
extern const struct workload workload_register, workload_append, workload_sale, workload_bank, workload_ring;

struct load {
	uv_loop_t loop;
	struct tally_options options;
	const struct workload *workload;
	const char *servers;
	struct prng prng;
	struct history history;
	struct load_client *clients;
	unsigned client_count, timeout_ms, pause_ms, closed;
	uint64_t seconds, seed, ends_us;
	uint64_t made; /* operations started: unique values */
	bool nonsense; /* an answer that no server of ours may give */
	char nonsense_text[256];
};

uint64_t load_now_us(void); /* CLOCK_MONOTONIC */
/* The callback of every call a workload starts. */
void load_done(struct tally_call *call);

#endif /* TESTS_NEMESIS_LOAD_H */

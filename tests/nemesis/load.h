/* The nemesis' clients: a few logical clients of libtally on one loop, each with
 * one operation under way, that record what they see (tests/check/history.h). What stayed unknown, and
 * now and then what was answered, is asked again under its id by another of them.
 *
 * A workload makes operations and understands their answers; load runs them, at their pace. */
#ifndef TESTS_NEMESIS_LOAD_H
#define TESTS_NEMESIS_LOAD_H

#include <uv.h>

#include "base/prng.h"
#include "client/tally.h"
#include "tests/check/history.h"
#include "tests/nemesis/pace.h"

#define LOAD_PARTS 4
#define LOAD_AGAIN_MAX 64

struct load;

struct load_client {
	struct load *load;
	struct tally *tally;
	struct tally_call call;
	uv_timer_t pause;
	struct history_op op; /* the one under way */
	struct history_part parts[LOAD_PARTS];
	char request_id[TALLY_ID_SIZE]; /* of it; "": it only looks */
	uint32_t id;
	bool busy, closed;
};

struct workload {
	const char *name;
	/* Runs before the clients, blocking. 0 or an error line in err. */
	int (*prepare)(struct load *load, struct tally_sync *sync, struct err *err);
	/* Fills client->op; its request_id too, when the question brings its own, else a write gets a fresh
	 * one. */
	void (*draw)(struct load_client *client);
	/* Asks what op says under request_id: starts client->call with load_done as its callback. */
	void (*ask)(struct load_client *client);
	/* Reads the value of an OK answer into client->op (lists from load->history.arena). False: the answer
	 * makes no sense. */
	bool (*answer)(struct load_client *client, const struct tally_value *value);
	/* After the clients: final reads through sync, then judges. 0, or the broken demand in err. */
	int (*judge)(struct load *load, struct tally_sync *sync, struct err *err);
};
/* A request that is to be asked again under its id, by any client but that one. */
struct load_again {
	struct history_op op;
	struct history_part parts[LOAD_PARTS];
	char request_id[TALLY_ID_SIZE];
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
	struct load_again again[LOAD_AGAIN_MAX];
	unsigned again_count, repeated;
	unsigned client_count, timeout_ms;
	struct pace pace;
	uint64_t seconds, seed, ends_us;
	uint64_t made; /* operations started: unique values */
	bool nonsense; /* an answer that no server of ours may give */
	char nonsense_text[256];
};

uint64_t load_now_us(void); /* CLOCK_MONOTONIC */
/* The callback of every call a workload starts. */
void load_done(struct tally_call *call);
/* What most workloads judge by: every judge of tests/check. */
int load_verdict(const struct load *load, struct err *err);

#endif /* TESTS_NEMESIS_LOAD_H */

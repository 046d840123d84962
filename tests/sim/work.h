/* What a client of a simulated run asks, one request after the other, and how the
 * answer becomes an operation of the history.
 *
 * Keys (tests/check/model.h): registers "r<n>" (SET of unique numbers, GET, compare and set), lists "l<n>"
 * (APPEND of unique numbers, GET, and scripts over several), counters "c<n>" (INCR), accounts "b<n>" (moves
 * by script, MGET of all), the ring "n<n>" (swaps by script, MGET of all), and DBSIZE, of all keys. Registers and lists move on to
 * fresh keys after a while, so that each key's history stays short enough to judge. */
#ifndef TESTS_SIM_WORK_H
#define TESTS_SIM_WORK_H

#include "base/prng.h"
#include "client/tally.h"
#include "tests/check/history.h"

#define WORK_COUNTERS 3
#define WORK_PARTS 4
#define WORK_KEY_OPS 120 /* requests after which registers and lists move on */

enum work_kind {
	WORK_SET,
	WORK_GET,
	WORK_CAS,
	WORK_APPEND,
	WORK_LIST,
	WORK_TXN,
	WORK_INCR,
	WORK_COUNT,
	WORK_BANK,
	WORK_MOVE,
	WORK_BALANCES,
	WORK_RING,
	WORK_SWAP,
	WORK_LINKS,
	WORK_SIZE,
};

struct work {
	enum work_kind kind;
	char id[TALLY_ID_SIZE]; /* "" when it needs none; who asks again keeps it */
	struct history_op op;
	struct history_part parts[WORK_PARTS];
	size_t part_count;
};

/* What all clients of a run have in common. */
struct works {
	uint64_t started, unique;
	bool bank_open, ring_laid; /* somebody was told */
	bool list_told;            /* the register or list that somebody was last told is written */
	int64_t told_key;
};

/* Anything, as chance has it. id stays for the caller to fill. */
void work_draw(struct work *work, struct works *works, struct prng *prng);
/* Only looks; mostly at what somebody was last told is written. */
void work_draw_read(struct work *work, struct works *works, struct prng *prng);
/* The number of things to read back at the end, and the at-th of them. */
size_t work_final_count(const struct works *works);
void work_final(struct work *work, const struct works *works, size_t at);
/* The id is made here when the request needs one and has none. */
void work_ask(struct work *work, struct tally *tally, struct tally_call *call, unsigned timeout_ms,
	      tally_call_cb cb);
/* Fills work->op with how it ended, and adds it to the history. False when the answer makes no sense. */
bool work_end(struct work *work, const struct tally_call *call, uint64_t now_us, struct history *history);
/* It ended well, and whoever asked was told. */
void work_told(const struct work *work, struct works *works);
/* Nobody hears the answer any more: unknown. */
void work_lose(struct work *work, struct history *history);
/* It may be asked again under its id. */
bool work_repeats(const struct work *work);
/* For messages and the trace: "r12". */
void work_name(const struct work *work, char *name, size_t size);

#endif /* TESTS_SIM_WORK_H */

/* What clients saw, recorded outside the system: one operation a client
 * request, with its times, its outcome and what it read or wrote. Judges
 * (verdict.h) read it and nothing else. The simulator adds the log's entries and the
 * databases' hashes, for the replay.
 *
 * An operation is OK (answered), FAIL (certainly never happened: refused, conflict or
 * retry) or INFO (unknown). A FAIL that is seen later is a violation.
 *
 * On disk: JSON lines, two an operation, in order of time; docs/history.md has the schema. */
#ifndef TESTS_CHECK_HISTORY_H
#define TESTS_CHECK_HISTORY_H

#include "base/arena.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdio.h>

enum history_outcome { HISTORY_OK, HISTORY_FAIL, HISTORY_INFO };
enum history_function {
	HISTORY_READ,  /* key -> value, found */
	HISTORY_WRITE, /* key := value */
	HISTORY_CAS,   /* key: expected -> value; OK with found = whether it swapped */
	HISTORY_TXN,   /* parts */
	HISTORY_BUY,   /* key: order, value: units, expected: customer; told: list = number, left */
	HISTORY_ADD,   /* key: a counter, value: what it was told to be now */
	HISTORY_COUNT, /* key: a counter -> value, found */
	HISTORY_BANK,  /* the accounts are opened with list = balances */
	HISTORY_MOVE,  /* value from account key to account expected; found = whether there was enough */
	HISTORY_BALANCES, /* all accounts at one moment -> list, found */
	HISTORY_RING,     /* the ring is laid: list = next of each node */
	HISTORY_SWAP,     /* the two nodes behind node key change places */
	HISTORY_LINKS,    /* the whole ring at one moment -> list, found */
	HISTORY_SIZE,     /* value: how many keys there were at one moment */
	HISTORY_ALLOT,    /* a sale begins: value: units, list = per_customer, price, pay_ttl_ms */
	HISTORY_ORDER,    /* a row read back at the end: key, value, expected as BUY, list = number */
	HISTORY_STOCK,    /* a sale's sums at the end: list, in the order of enum history_stock */
	HISTORY_OTHER,    /* took place once under its id; nothing else is said of it */
	HISTORY_FUNCTIONS
};
enum history_stock {
	STOCK_ALLOTTED,
	STOCK_AVAIL,
	STOCK_HELD,
	STOCK_COMMITTED,
	STOCK_SHIPPED,
	STOCK_RETURNED,
	STOCK_OUT, /* of the campaign's own row */
	STOCK_FIELDS
};

/* A part of a list-append transaction. */
struct history_part {
	bool append;
	int64_t key;
	int64_t value;       /* appended */
	const int64_t *list; /* read */
	size_t count;
};

#define HISTORY_NEVER UINT64_MAX
struct history_op {
	uint64_t invoked_us, returned_us; /* HISTORY_NEVER for INFO */
	uint32_t client, node;
	enum history_outcome outcome;
	enum history_function function;
	int64_t key, value, expected;
	bool found;
	const struct history_part *parts;
	size_t part_count;
	const int64_t *list; /* what the function says */
	size_t list_count;
	const char *id;      /* of the request; "" when it had none. Who asks again uses the same */
	bool replayed;       /* the server said that an earlier attempt had done it */
	uint64_t index; /* where the server says it took effect; 0: it did not say */
	uint32_t ordinal, attempts;
	const char *code; /* of the error; "" when none */
};

/* An entry of the log that some node applied; payload is empty for raft's own. */
struct history_entry {
	uint64_t index;
	struct slice payload;
};

/* A node's hash over its whole database at an index. */
struct history_hash {
	uint32_t node;
	uint64_t index;
	struct chain hash;
};

struct history {
	struct arena arena;
	struct history_op *ops;
	size_t count, cap;
	struct history_entry *entries;
	size_t entry_count, entry_cap;
	struct history_hash *hashes;
	size_t hash_count, hash_cap;
	bool cut; /* most nodes were lost for good: what was acknowledged last, none may have applied */
};

void history_init(struct history *history);
void history_fini(struct history *history);
/* Adds a copy (parts, lists, id and code too). The pointer is valid until the next add. */
struct history_op *history_add(struct history *history, const struct history_op *op);
/* The same without copying: what op points to must outlive the history. */
struct history_op *history_borrow(struct history *history, const struct history_op *op);
void history_add_entry(struct history *history, uint64_t index, struct slice payload); /* copies */
void history_add_hash(struct history *history, const struct history_hash *hash);
const char *history_function_name(enum history_function function);
/* Writes JSON lines. ERR_IO. */
int history_write(const struct history *history, FILE *out);
/* Reads what history_write wrote into an initialised history. ERR_INVALID with the line's number in err, or
 * that of an operation without one. */
int history_read(struct history *history, FILE *in, struct err *err);

#endif /* TESTS_CHECK_HISTORY_H */

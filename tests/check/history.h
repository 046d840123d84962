/* What clients saw, recorded outside the system: one operation a client
 * request, with its times, its outcome and what it read or wrote. Judges
 * (linear, append, replay, trade, ring) read it and nothing else.
 *
 * An operation is OK (answered), FAIL (certainly never happened: refused, conflict or
 * retry) or INFO (unknown). A FAIL that is seen later is a violation.
 *
 * On disk: JSON lines, two an operation, in order of time; docs/history.md has the schema. */
#ifndef TESTS_CHECK_HISTORY_H
#define TESTS_CHECK_HISTORY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#include <stdio.h>

enum history_outcome { HISTORY_OK, HISTORY_FAIL, HISTORY_INFO };
enum history_function {
	HISTORY_READ,  /* key -> value, found */
	HISTORY_WRITE, /* key := value */
	HISTORY_CAS,   /* key: expected -> value; OK with found = whether it swapped */
	HISTORY_TXN,   /* parts */
	HISTORY_BUY,   /* key: order, value: units, expected: customer */
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
	uint64_t index; /* where the server says it took effect; 0: it did not say */
	uint32_t ordinal, attempts;
	const char *code; /* of the error; "" when none */
};

struct history {
	struct arena arena;
	struct history_op *ops;
	size_t count, cap;
};

void history_init(struct history *history);
void history_fini(struct history *history);
/* Adds a copy (parts, lists and code too). The pointer is valid until the next add. */
struct history_op *history_add(struct history *history, const struct history_op *op);
/* Writes JSON lines. ERR_IO. */
int history_write(const struct history *history, FILE *out);
/* Reads what history_write wrote into an initialised history. ERR_INVALID with the line's number in err. */
int history_read(struct history *history, FILE *in, struct err *err);

#endif /* TESTS_CHECK_HISTORY_H */

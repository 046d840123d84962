/* The log's bytes, read by somebody else: a second opinion on what src/ writes,
 * made from the formats' descriptions (src/wire/entry.h, the heads of engine/once.c and command/row.c,
 * store/hash.c) and from none of their code.
 *
 *   payload   version 1, kind, 0 0, count(4), stamp_ms(8), sequence(8) 0, count(4), records
 *   record    01 klen key vlen value | 00 klen key; lengths are varints
 *   'o' row   key: 'o' ulen user id; value: version 1, outcome, 0 0, ordinal(4), index(8), stamp_ms(8),
 * print(16), reply 'k' row   key: 'k' db generation(4) key; value: 'S' flags version(8, big-endian)
 * [at_ms(8)] text
 *
 * Integers are little-endian where nothing else is said. */
#ifndef TESTS_CHECK_LEDGER_H
#define TESTS_CHECK_LEDGER_H

#include "base/arena.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/map.h"

struct ledger_batch {
	bool opens; /* kind 2: the first entry of a leader, of no account */
	uint64_t stamp_ms;
	uint32_t left; /* rows not yet taken */
	struct slice rest;
};
struct ledger_row {
	struct slice key, value;
	bool deleted;
};
/* ERR_CORRUPT when the payload is not as above. */
int ledger_begin(struct slice payload, struct ledger_batch *batch);
/* 1: *row is the next; 0: that was all; ERR_CORRUPT. */
int ledger_next(struct ledger_batch *batch, struct ledger_row *row);

/* A once record: a request took effect at (index, ordinal) and this was the answer. */
struct ledger_record {
	struct slice id, reply;
	uint64_t index, stamp_ms;
	uint32_t ordinal;
	uint8_t outcome; /* 0 done, 1 refused, 2 conflict */
};
bool ledger_record(const struct ledger_row *row, struct ledger_record *record);
/* The string of a Redis key in database 0. */
bool ledger_string(const struct ledger_row *row, struct slice *key, struct slice *text);

/* The database that the log makes: every row. Rows are borrowed from the payloads. */
struct ledger {
	struct arena arena;
	struct map rows; /* key -> struct slice */
};
void ledger_init(struct ledger *ledger);
void ledger_fini(struct ledger *ledger);
void ledger_put(struct ledger *ledger, const struct ledger_row *row); /* or deletes */
/* NULL when there is none. */
const struct slice *ledger_get(const struct ledger *ledger, struct slice key);
/* What a node that holds exactly these rows says of its database. */
struct chain ledger_hash(const struct ledger *ledger);

#endif /* TESTS_CHECK_LEDGER_H */

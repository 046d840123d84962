/* One key of Redis' key space: the row that holds it and the row of the expiry index.
 *
 * A key is found, read, written and deleted through a struct row; whoever has one
 * need not know about databases' generations, versions or the expiry
 * index. An expired key is not found. */
#ifndef COMMAND_ROW_H
#define COMMAND_ROW_H

#include "base/arena.h"
#include "base/limits.h"
#include "base/slice.h"
#include "txn/txn.h"

#define ROW_STRING 'S'

enum row_flags {
	ROW_EXPIRES = 1, /* the head has a time */
	ROW_RAW = 2,     /* a string that was changed in place: OBJECT ENCODING says raw */
	ROW_PLAIN = 4    /* a string that looks like an integer and is not one for OBJECT (INCRBYFLOAT) */
};

/* What they cost in steps (txn_spend): one that is looked for, one that a walk passes. */
#define ROW_STEPS_FOUND 200
#define ROW_STEPS_WALKED 20

#define ROW_HEAD_MIN 10
#define ROW_HEAD_MAX 18 /* with an expiry */
#define ROW_PREFIX 6

struct row {
	struct txn *txn;
	struct arena *arena;
	bool found;
	uint8_t type, flags;
	uint64_t version;      /* of the last write, 0 when not found */
	uint64_t expire_at_ms; /* 0: never */
	struct slice bytes;    /* borrowed from txn */
	bool key_fits;         /* a key over LIMIT_KEY is never found and never written */
	bool space_stored;     /* the database has its row */
	uint8_t db;
	size_t key_len;        /* of key, below */
	uint8_t key[ROW_PREFIX + LIMIT_KEY];
};

/* 0 whether found or not. Else ERR_IO, ERR_CORRUPT. */
int row_find(struct row *row, struct txn *txn, struct arena *arena, unsigned db, struct slice key);
/* As row_find, for a write that does not need to know what was there: reads nothing, found is false. */
int row_aim(struct row *row, struct txn *txn, struct arena *arena, unsigned db, struct slice key);
/* Writes the string and its expiry (0: none). flags: ROW_RAW, ROW_PLAIN or 0. ERR_TOO_LARGE, ERR_FULL: txn.h. */
int row_put(struct row *row, struct slice bytes, uint8_t flags, uint64_t expire_at_ms);
int row_delete(struct row *row);
/* Bytes that a found key takes in the database before compression: its row and, with an expiry, its entry in
 * the index. */
size_t row_bytes(const struct row *row);

/* ---- databases ---- */

/* What stands for a database now; SWAPDB exchanges two, FLUSHDB raises a generation. */
struct space {
	uint8_t number;      /* the db byte in its keys */
	uint32_t generation;
	uint32_t swept;      /* generations below it have no rows left */
	struct slice swept_to; /* the row key that sweeping reached; borrowed from the transaction */
	bool stored;         /* its row exists */
};
int space_get(struct txn *txn, unsigned db, struct space *space);
int space_put(struct txn *txn, unsigned db, const struct space *space);
/* What the keys of one of its generations begin with. */
void space_prefix(const struct space *space, uint32_t generation, uint8_t prefix[ROW_PREFIX]);

/* Begin and end of a generation's keys, in the arena; prefix narrows them. */
void space_range(const struct space *space, struct slice prefix, struct arena *arena, struct slice *from,
                 struct slice *to);

/* ---- walking ---- */

/* What stands before a string's bytes in the value of its row; the head of the value is enough. */
struct row_head {
	uint8_t type, flags;
	uint64_t version, expire_at_ms;
	size_t len; /* of the head itself */
};
bool row_head_decode(struct slice value, struct row_head *head);
/* What a cursor of the space's range found: false when the row is no live key (expired). */
bool row_decode(struct txn *txn, struct slice row_key, struct slice value, struct slice *key, struct row *row);
/* A row that a walk found expired: deletes it while the transaction has few writes, which makes
 * the time at which that was seen durable. A tight one lets it be. */
int row_forget_expired(struct txn *txn, struct slice row_key, uint64_t expire_at_ms);

#endif /* COMMAND_ROW_H */

/* Once records: what makes a request happen once (docs/request.md).
 *
 * A record is written in the same batch as the effects it stands for, and holds
 * the reply, so a retry gets the same answer from any later leader. This file
 * knows the formats and the rules of ids; the transaction is the caller's. */
#ifndef ENGINE_ONCE_H
#define ENGINE_ONCE_H

#include "base/arena.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/outcome.h"
#include "txn/txn.h"

#define ONCE_FUTURE_MS (10ull * 60 * 1000) /* how far an id may be ahead of the shard's time */
#define ONCE_USER_MAX 255
#define ONCE_KEY_MAX (2 + ONCE_USER_MAX + LIMIT_REQUEST_ID)

/* The record's key in out (ONCE_KEY_MAX bytes). user and id are within their bounds. */
struct slice once_key(uint8_t *out, struct slice user, struct slice id);

struct once_record {
	struct chain fingerprint; /* of what was asked: once_is_same */
	uint64_t index;           /* where it was written */
	uint32_t ordinal;
	uint64_t stamp_ms;
	enum outcome outcome;
	struct slice reply; /* RESP3, whatever the first client spoke */
};
/* The same request: one half of a fingerprint is of what it means, the other of its words. A call may be
 * spelled in several ways, and its words mean something else, or nothing, once another bundle is active; of
 * other requests both halves say the same. */
static inline bool once_is_same(struct chain kept, struct chain asked)
{
	return kept.low == asked.low || kept.high == asked.high;
}
/* Encoded in arena. */
struct slice once_encode(const struct once_record *record, struct arena *arena);
/* ERR_CORRUPT, or 0; reply is borrowed from value. */
int once_decode(struct slice value, struct once_record *record);

/* True when the id carries the time of its making: UUID version 7, or a ULID. */
bool once_id_time(struct slice id, uint64_t *made_ms);
/* An id without a record: CODE_NONE when it may run, else ID_TOO_OLD or ID_IN_FUTURE. */
enum code once_id_check(struct slice id, uint64_t now_ms, uint64_t retention_ms);

/* ---- age index ---- */

/* The ids of one batch, in blocks: gathered while the batch is open, written when it seals. */
#define ONCE_BLOCK_IDS 512
#define ONCE_BLOCK_WRITES (ONCE_BLOCK_IDS + 2) /* to remove one: its ids, itself, the horizon */
_Static_assert(ONCE_BLOCK_WRITES <= LIMIT_TXN_WRITES, "one is removed in a transaction");
struct once_block {
	uint8_t *bytes; /* of all keys gathered: length(2) key … */
	size_t len, cap;
	size_t ids;
};
void once_block_fini(struct once_block *block);
void once_block_add(struct once_block *block, struct slice key);
static inline void once_block_reset(struct once_block *block)
{
	block->len = block->ids = 0;
}
/* Puts what was gathered under keys of (stamp, index). */
int once_block_put(const struct once_block *block, struct txn *txn);

/* Deletes the records of at most one block whose stamp is before before_ms. *from (ONCE_AGE_KEY bytes, zero
 * at first) is where to look next. *deleted tells how many, *more whether another block is due. */
#define ONCE_AGE_KEY (1 + 8 + 8 + 2)
int once_sweep(struct txn *txn, uint8_t *from, uint64_t before_ms, size_t *deleted, bool *more);
/* Ids made up to *made_ms may have been used and their records removed; 0 before the first was. A row that is
 * written with what it tells of, so it holds on every leader, whatever its retention is. */
int once_horizon(struct txn *txn, uint64_t *made_ms);

#endif /* ENGINE_ONCE_H */

/* Gaps: stretches of the key space that are known to be empty. A gap is the open interval between two keys
 * that were neighbours in the database.
 *
 * Most of what a sale asks for is not there yet: a new request id, a new order. Ids that grow with time
 * (ULID, UUIDv7, numbers) all fall into the gap behind the last one of their kind; finding them there is a
 * few comparisons where RocksDB would ask the filter of every young file. Whoever writes such an id takes the
 * part of the gap below it away, and the part above is where the next one falls.
 *
 * A gap is learned from the database after a key was looked for in vain, and lasts until it is closed, or
 * until nobody has hit it for longest and its place is needed. Random ids never hit what was learned for
 * another one, so learning must not cost much: each attempt doubles the misses until the next, and a gap
 * that is hit often enough brings them back to the beginning.
 *
 * Why an answer is never wrong: a batch closes the gaps below its keys before RocksDB writes it, so a key
 * that can be read is in no gap; and what was learned counts only if no batch was under way meanwhile.
 *
 * Threads: any; one lock. Private to the store. */
#ifndef STORE_GAP_H
#define STORE_GAP_H

#include <pthread.h>

#include <rocksdb/c.h>

#include "wire/entry.h"

#define GAPS 32
/* Longer keys bound no gap. */
#define GAP_KEY 128
/* Misses until one is learned from: at first, and at most. */
#define GAP_PATIENCE_MIN 16
#define GAP_PATIENCE_MAX 65536
/* Hits that show that a gap was worth learning. */
#define GAP_WORTH 256

struct gap {
	uint8_t low[GAP_KEY], high[GAP_KEY];
	uint32_t low_len, high_len; /* 0: nothing below, nothing above */
	uint32_t hits;              /* up to GAP_WORTH */
	uint64_t hit_at;            /* the last one, in questions */
};

struct gaps {
	pthread_mutex_t lock;
	uint64_t writes; /* odd while a batch is under way */
	uint64_t questions;
	uint32_t misses, patience; /* misses since the last attempt to learn */
	size_t count;
	struct gap *at[GAPS]; /* in the order of their keys; no two overlap */
	struct gap places[GAPS];
};

void gaps_init(struct gaps *gaps);
void gaps_fini(struct gaps *gaps);

/* True when key is in a gap: the database does not have it. */
bool gaps_have(struct gaps *gaps, struct slice key);
/* db was asked for key and did not have it; learns from that if it is time (some 50 us, else nothing). */
void gaps_missed(struct gaps *gaps, rocksdb_t *db, struct slice key);

/* Around every write of a batch, which names what it puts and removes. */
void gaps_write_begin(struct gaps *gaps, const struct entry_view *view);
void gaps_write_end(struct gaps *gaps);

#endif /* STORE_GAP_H */

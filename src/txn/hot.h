/* Copies of rows that are read often. A hot row holds what is applied; uncommitted
 * versions of the key stand before it in the table, and when the last of them is
 * forgotten its value moves in here. So it is coherent without anybody invalidating.
 * That a row is absent is kept as well.
 *
 * Who comes in: a row that is read again before as many others were asked for as
 * would fit twice (hot_asked_before), so that rows which are read once, as a
 * sale's are, cost nothing; and at once what is known to be hot. Who goes: the
 * longest kept that was not read since it was last looked at (CLOCK, the second
 * chance of Corbató, 1968), looking at HOT_LOOKS rows at most, so that no
 * transaction pays for a whole round.
 *
 * Bounded by bytes, of which a row takes its struct, key, buffer, and HOT_ROW_EXTRA for its slots and the
 * heap. Private to txn. */
#ifndef TXN_HOT_H
#define TXN_HOT_H

#include "base/list.h"
#include "base/slice.h"

#define HOT_LOOKS 8
#define HOT_ROW_EXTRA 96

struct hot_row {
	struct list link; /* in the order of coming, latest first */
	struct slice key, value;
	uint64_t hash;
	size_t cap;      /* of the value's buffer */
	uint8_t *buffer; /* behind the key while the value fits there, else its own */
	bool absent;
	bool used; /* read since it came, or since it was looked at */
};
struct hot_cache {
	struct list rows;
	size_t count, bytes, bytes_max;
	uint32_t *asked; /* of each key that was asked for, by its hash: the other half of the hash */
	size_t asked_mask;
};

/* bytes_max > 0; the marks of what was asked for take up to a 16th of it besides. */
void hot_init(struct hot_cache *cache, size_t bytes_max);
void hot_fini(struct hot_cache *cache);
/* Frees all rows; the table is cleared by the caller. */
void hot_clear(struct hot_cache *cache);
/* Notes that the key was asked for; true when it was before, and not too many others since. */
bool hot_asked_before(struct hot_cache *cache, uint64_t hash);
/* A new row. Key and value are copied. absent: value does not matter. */
struct hot_row *hot_add(struct hot_cache *cache, struct slice key, uint64_t hash, struct slice value,
			bool absent);
/* The same for one that is there. */
void hot_set(struct hot_cache *cache, struct hot_row *row, struct slice value, bool absent);
static inline void hot_touch(struct hot_row *row)
{
	if (!row->used) {
		row->used = true;
	}
}
/* A row that should go because there are too many, or NULL. */
struct hot_row *hot_surplus(struct hot_cache *cache);
void hot_remove(struct hot_cache *cache, struct hot_row *row);

#endif /* TXN_HOT_H */

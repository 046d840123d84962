/* Copies of rows that many transactions read and few write: a campaign, the
 * active bundle. A hot row holds what is applied; uncommitted versions of the
 * key stand before it in the table, and when the last of them is forgotten
 * its value moves in here. So it is coherent without anybody invalidating.
 *
 * That a row is absent is kept as well. LIMIT_HOT_ROWS rows; the longest
 * unused goes first. Private to txn. */
#ifndef TXN_HOT_H
#define TXN_HOT_H

#include "base/list.h"
#include "base/slice.h"

struct hot_row {
	struct list link; /* in order of use, latest first */
	struct slice key, value;
	uint64_t hash;
	size_t cap; /* of the value's buffer */
	uint8_t *buffer;
	bool absent;
};
struct hot_cache {
	struct list used;
	size_t count;
};

void hot_init(struct hot_cache *cache);
/* Frees all rows; the table is cleared by the caller. */
void hot_clear(struct hot_cache *cache);
/* A new row, absent so far. The key is copied. */
struct hot_row *hot_add(struct hot_cache *cache, struct slice key, uint64_t hash);
/* absent: value does not matter. The value is copied. */
void hot_set(struct hot_row *row, struct slice value, bool absent);
static inline void hot_touch(struct hot_cache *cache, struct hot_row *row)
{
	if (cache->used.next != &row->link) {
		list_remove(&row->link);
		list_append(cache->used.next, &row->link);
	}
}
/* The row that should go because there are too many, or NULL. */
struct hot_row *hot_surplus(struct hot_cache *cache);
void hot_remove(struct hot_cache *cache, struct hot_row *row);

#endif /* TXN_HOT_H */

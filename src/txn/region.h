/* Memory of one layer: chunks that are handed back all at once, or back to a
 * mark. Empty chunks wait in a stock that all layers share, so a batch in
 * steady state costs no malloc. Private to txn. */
#ifndef TXN_REGION_H
#define TXN_REGION_H

#include "base/slice.h"

#define REGION_CHUNK_BYTES ((size_t)64 << 10)
#define REGION_STOCK_CHUNKS 128 /* 8 MiB are kept; further empty chunks are freed */

struct region_chunk {
	struct region_chunk *previous;
	size_t bytes;
	_Alignas(16) uint8_t data[];
};
struct region_stock {
	struct region_chunk *first;
	size_t count;
	size_t used_bytes; /* in regions now */
};
struct region {
	struct region_stock *stock;
	struct region_chunk *current;
	uint8_t *next, *end;
};
struct region_mark {
	struct region_chunk *chunk;
	uint8_t *next;
};

void region_stock_fini(struct region_stock *stock);

static inline void region_init(struct region *region, struct region_stock *stock)
{
	*region = (struct region){.stock = stock};
}
/* Gives all chunks back. */
void region_fini(struct region *region);

void *region_alloc_slow(struct region *region, size_t bytes);
/* Aligned to 8. Never fails. */
static inline void *region_alloc(struct region *region, size_t bytes)
{
	size_t rounded = (bytes + 7) & ~(size_t)7;
	if (rounded > (size_t)(region->end - region->next)) {
		return region_alloc_slow(region, rounded);
	}
	void *at = region->next;
	region->next += rounded;
	return at;
}

static inline struct region_mark region_mark(const struct region *region)
{
	return (struct region_mark){region->current, region->next};
}
/* All that was allocated after the mark is gone. */
void region_rewind(struct region *region, struct region_mark mark);

#endif /* TXN_REGION_H */

#include "txn/region.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

void region_stock_fini(struct region_stock *stock)
{
	assert(stock->used_bytes == 0);
	while (stock->first != NULL) {
		struct region_chunk *chunk = stock->first;
		stock->first = chunk->previous;
		free(chunk);
	}
	stock->count = 0;
}

static struct region_chunk *take_chunk(struct region_stock *stock, size_t bytes)
{
	struct region_chunk *chunk = stock->first;
	if (bytes <= REGION_CHUNK_BYTES && chunk != NULL) {
		stock->first = chunk->previous;
		stock->count--;
	} else {
		size_t room = bytes > REGION_CHUNK_BYTES ? bytes : REGION_CHUNK_BYTES;
		chunk = malloc(sizeof(*chunk) + room);
		if (chunk == NULL) {
			fatal("out of memory: %zu bytes of uncommitted writes", room);
		}
		chunk->bytes = room;
	}
	stock->used_bytes += chunk->bytes;
	return chunk;
}

static void give_back(struct region_stock *stock, struct region_chunk *chunk)
{
	assert(stock->used_bytes >= chunk->bytes);
	stock->used_bytes -= chunk->bytes;
	if (chunk->bytes != REGION_CHUNK_BYTES || stock->count >= REGION_STOCK_CHUNKS) {
		free(chunk);
		return;
	}
	chunk->previous = stock->first;
	stock->first = chunk;
	stock->count++;
}

void *region_alloc_slow(struct region *region, size_t bytes)
{
	struct region_chunk *chunk = take_chunk(region->stock, bytes);
	assert(chunk->bytes >= bytes);
	chunk->previous = region->current;
	region->current = chunk;
	region->next = chunk->data + bytes;
	region->end = chunk->data + chunk->bytes;
	return chunk->data;
}

void region_rewind(struct region *region, struct region_mark mark)
{
	while (region->current != mark.chunk) {
		struct region_chunk *chunk = region->current;
		region->current = chunk->previous;
		give_back(region->stock, chunk);
	}
	region->next = mark.next;
	region->end = mark.chunk == NULL ? NULL : mark.chunk->data + mark.chunk->bytes;
	assert(region->next <= region->end);
}

void region_fini(struct region *region)
{
	region_rewind(region, (struct region_mark){NULL, NULL});
}

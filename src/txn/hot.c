#include "txn/hot.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/limits.h"

void hot_init(struct hot_cache *cache)
{
	list_init(&cache->used);
	cache->count = 0;
}

void hot_clear(struct hot_cache *cache)
{
	while (!list_empty(&cache->used)) {
		hot_remove(cache, list_entry(cache->used.next, struct hot_row, link));
	}
	assert(cache->count == 0);
}

struct hot_row *hot_add(struct hot_cache *cache, struct slice key, uint64_t hash)
{
	assert(key.len > 0);
	struct hot_row *row = calloc(1, sizeof(*row) + key.len);
	if (row == NULL) {
		fatal("out of memory: a hot row");
	}
	uint8_t *copy = (uint8_t *)(row + 1);
	memcpy(copy, key.data, key.len);
	row->key = slice_of(copy, key.len);
	row->hash = hash;
	row->absent = true;
	list_append(cache->used.next, &row->link);
	cache->count++;
	return row;
}

void hot_set(struct hot_row *row, struct slice value, bool absent)
{
	row->absent = absent;
	row->value = SLICE_NONE;
	if (absent) {
		return;
	}
	if (value.len > row->cap) {
		free(row->buffer);
		row->cap = value.len * 2;
		row->buffer = malloc(row->cap);
		if (row->buffer == NULL) {
			fatal("out of memory: a hot row of %zu bytes", value.len);
		}
	}
	if (value.len > 0) {
		memcpy(row->buffer, value.data, value.len);
	}
	assert(value.len <= row->cap);
	row->value = slice_of(row->buffer, value.len);
}

struct hot_row *hot_surplus(struct hot_cache *cache)
{
	return cache->count <= LIMIT_HOT_ROWS ? NULL : list_entry(cache->used.prev, struct hot_row, link);
}

void hot_remove(struct hot_cache *cache, struct hot_row *row)
{
	assert(cache->count > 0);
	cache->count--;
	list_remove(&row->link);
	free(row->buffer);
	free(row);
}

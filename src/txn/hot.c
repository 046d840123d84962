#include "txn/hot.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/limits.h"

/* A small row: as many as fit have two marks each, and a power of two in all. */
#define ROW_BYTES 256
#define ASKED_MIN 64

void hot_init(struct hot_cache *cache, size_t bytes_max)
{
	assert(bytes_max > 0);
	*cache = (struct hot_cache){.bytes_max = bytes_max};
	list_init(&cache->rows);
	size_t marks = ASKED_MIN;
	while (marks < bytes_max / ROW_BYTES * 2) {
		marks *= 2;
	}
	cache->asked_mask = marks - 1;
	/* Zeroed by the system when it is first touched: an idle node has none of it. */
	cache->asked = calloc(marks, sizeof(*cache->asked));
	if (cache->asked == NULL) {
		fatal("out of memory: marks for %zu rows", marks);
	}
}

void hot_fini(struct hot_cache *cache)
{
	hot_clear(cache);
	free(cache->asked);
	cache->asked = NULL;
}

void hot_clear(struct hot_cache *cache)
{
	while (!list_empty(&cache->rows)) {
		hot_remove(cache, list_entry(cache->rows.next, struct hot_row, link));
	}
	assert(cache->count == 0);
	assert(cache->bytes == 0);
}

bool hot_asked_before(struct hot_cache *cache, uint64_t hash)
{
	uint32_t *mark = &cache->asked[hash & cache->asked_mask];
	uint32_t other = (uint32_t)(hash >> 32) | 1; /* 0: none was asked for */
	bool before = *mark == other;
	*mark = other;
	return before;
}

static size_t row_bytes(const struct hot_row *row)
{
	return sizeof(*row) + row->key.len + row->cap + HOT_ROW_EXTRA;
}

static uint8_t *behind_key(struct hot_row *row)
{
	return (uint8_t *)(row + 1) + row->key.len;
}

struct hot_row *hot_add(struct hot_cache *cache, struct slice key, uint64_t hash, struct slice value,
			bool absent)
{
	assert(key.len > 0);
	size_t cap = absent ? 0 : value.len;
	struct hot_row *row = malloc(sizeof(*row) + key.len + cap);
	if (row == NULL) {
		fatal("out of memory: a hot row of %zu bytes", cap);
	}
	memcpy(row + 1, key.data, key.len);
	*row = (struct hot_row){.key = slice_of(row + 1, key.len), .hash = hash, .cap = cap};
	row->buffer = behind_key(row);
	list_append(cache->rows.next, &row->link);
	cache->count++;
	cache->bytes += row_bytes(row);
	hot_set(cache, row, value, absent);
	return row;
}

/* Twice the room, for a row that grows may go on growing. */
static void grow(struct hot_cache *cache, struct hot_row *row, size_t len)
{
	uint8_t *buffer = malloc(len * 2);
	if (buffer == NULL) {
		fatal("out of memory: a hot row of %zu bytes", len);
	}
	if (row->buffer != behind_key(row)) {
		free(row->buffer);
	}
	cache->bytes += len * 2 - row->cap;
	row->buffer = buffer;
	row->cap = len * 2;
}

void hot_set(struct hot_cache *cache, struct hot_row *row, struct slice value, bool absent)
{
	row->absent = absent;
	row->value = SLICE_NONE;
	if (absent) {
		return;
	}
	if (value.len > row->cap) {
		grow(cache, row, value.len);
	}
	if (value.len > 0) {
		memcpy(row->buffer, value.data, value.len);
	}
	assert(value.len <= row->cap);
	row->value = slice_of(row->buffer, value.len);
}

struct hot_row *hot_surplus(struct hot_cache *cache)
{
	if (cache->bytes <= cache->bytes_max) {
		return NULL;
	}
	struct hot_row *row = NULL;
	for (int looks = 0; looks < HOT_LOOKS; looks++) {
		assert(!list_empty(&cache->rows));
		row = list_entry(cache->rows.prev, struct hot_row, link);
		if (!row->used) {
			return row;
		}
		row->used = false;
		list_remove(&row->link);
		list_append(cache->rows.next, &row->link);
	}
	return row;
}

void hot_remove(struct hot_cache *cache, struct hot_row *row)
{
	assert(cache->count > 0);
	cache->count--;
	cache->bytes -= row_bytes(row);
	list_remove(&row->link);
	if (row->buffer != behind_key(row)) {
		free(row->buffer);
	}
	free(row);
}

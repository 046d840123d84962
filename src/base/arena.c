#include "base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

struct arena_chunk {
	struct arena_chunk *next;
	size_t cap;
	_Alignas(16) uint8_t bytes[];
};

static struct arena_chunk *chunk_new(size_t cap)
{
	struct arena_chunk *chunk = malloc(sizeof(*chunk) + cap);
	if (chunk == NULL) {
		fatal("out of memory: an arena chunk of %zu bytes", cap);
	}
	chunk->next = NULL;
	chunk->cap = cap;
	return chunk;
}

static void use_chunk(struct arena *a, struct arena_chunk *chunk)
{
	a->current = chunk;
	a->next = chunk->bytes;
	a->end = chunk->bytes + chunk->cap;
}

void arena_init(struct arena *a, size_t first_bytes)
{
	*a = (struct arena){0};
	a->first = chunk_new(first_bytes < 64 ? 64 : (first_bytes + 15) & ~(size_t)15);
	use_chunk(a, a->first);
}

static void free_after(struct arena_chunk *chunk)
{
	struct arena_chunk *next = chunk->next;
	chunk->next = NULL;
	while (next != NULL) {
		struct arena_chunk *dead = next;
		next = next->next;
		free(dead);
	}
}

void arena_fini(struct arena *a)
{
	if (a->first != NULL) {
		free_after(a->first);
		free(a->first);
	}
	*a = (struct arena){0};
}

void arena_reset(struct arena *a)
{
	if (a->current != a->first) {
		free_after(a->first);
	}
	use_chunk(a, a->first);
	a->used = 0;
}

void *arena_alloc_slow(struct arena *a, size_t bytes)
{
	assert(a->first != NULL);
	size_t cap = a->current->cap * 2;
	if (cap > 1 << 20) {
		cap = 1 << 20;
	}
	struct arena_chunk *chunk = chunk_new(cap < bytes ? bytes : cap);
	a->current->next = chunk;
	use_chunk(a, chunk);
	void *p = a->next;
	a->next += bytes;
	a->used += bytes;
	return p;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
	return memset(arena_alloc(a, bytes), 0, bytes);
}

struct slice arena_copy(struct arena *a, struct slice s)
{
	uint8_t *copy = arena_alloc(a, s.len + 1);
	if (s.len > 0) {
		memcpy(copy, s.data, s.len);
	}
	copy[s.len] = '\0';
	return slice_of(copy, s.len);
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	assert(len >= 0);
	char *text = arena_alloc(a, (size_t)len + 1);
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

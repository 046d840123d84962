/* Memory of things that die together: allocate, never free, reset or fini at
 * the end. Alignment 16. Memory gone is fatal. Reset keeps the first chunk,
 * so a request that fits it costs no malloc. Not shared between threads. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_chunk;
struct arena {
	struct arena_chunk *first;
	struct arena_chunk *current;
	uint8_t *next;
	uint8_t *end;
	size_t used; /* bytes handed out since the last reset */
};

void arena_init(struct arena *a, size_t first_bytes);
void arena_fini(struct arena *a);
void arena_reset(struct arena *a);
void *arena_alloc_slow(struct arena *a, size_t bytes);

static inline void *arena_alloc(struct arena *a, size_t bytes)
{
	size_t rounded = (bytes + 15) & ~(size_t)15;
	if (rounded <= (size_t)(a->end - a->next)) {
		void *p = a->next;
		a->next += rounded;
		a->used += rounded;
		return p;
	}
	return arena_alloc_slow(a, rounded);
}
void *arena_zalloc(struct arena *a, size_t bytes);
/* Copies; the copy is NUL-terminated behind its length. */
struct slice arena_copy(struct arena *a, struct slice s);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif /* BASE_ARENA_H */

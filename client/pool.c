#include "client/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

/* Blocks beyond this are given back to malloc: a burst does not stay for ever. */
#define KEPT_MAX 4096

struct pool_block {
	struct pool_block *next;
};

static const size_t class_bytes[POOL_CLASSES] = {256, 512, 1024, 4096};

void pool_init(struct pool *pool)
{
	*pool = (struct pool){0};
}

void pool_fini(struct pool *pool)
{
	for (size_t class = 0; class < POOL_CLASSES; class ++) {
		while (pool->free[class] != NULL) {
			struct pool_block *block = pool->free[class];
			pool->free[class] = block->next;
			free(block);
		}
		pool->kept[class] = 0;
	}
}

/* POOL_CLASSES when no class is large enough. */
static size_t pool_class(size_t bytes)
{
	size_t class = 0;
	while (class < POOL_CLASSES && class_bytes[class] < bytes) {
		class ++;
	}
	return class;
}

void *pool_take(struct pool *pool, size_t bytes)
{
	size_t class = pool_class(bytes);
	if (class < POOL_CLASSES && pool->free[class] != NULL) {
		struct pool_block *block = pool->free[class];
		pool->free[class] = block->next;
		pool->kept[class]--;
		return block;
	}
	void *memory = malloc(class < POOL_CLASSES ? class_bytes[class] : bytes);
	if (memory == NULL) {
		fatal("out of memory for a request of %zu bytes", bytes);
	}
	return memory;
}

void pool_give(struct pool *pool, void *memory, size_t bytes)
{
	if (memory == NULL) {
		return;
	}
	size_t class = pool_class(bytes);
	if (class == POOL_CLASSES || pool->kept[class] == KEPT_MAX) {
		free(memory);
		return;
	}
	struct pool_block *block = memory;
	block->next = pool->free[class];
	pool->free[class] = block;
	pool->kept[class]++;
}

/* What libraft allocates. Some of its steps free twice, or leak, after an allocation that failed (0.22.1); so
 * it never sees one fail: memory gone is fatal here as everywhere. The table is the library's own global and
 * the same for all replicas. */
#include <stdlib.h>

#include "raft/replica_private.h"

static void *need(void *block, size_t bytes)
{
	if (block == NULL) {
		fatal("out of memory: %zu bytes for consensus", bytes);
	}
	return block;
}

static void *heap_malloc(void *data, size_t bytes)
{
	return need(malloc(bytes), bytes);
}

static void *heap_calloc(void *data, size_t count, size_t bytes)
{
	return need(calloc(count, bytes), count * bytes);
}

static void *heap_realloc(void *data, void *block, size_t bytes)
{
	return need(realloc(block, bytes), bytes);
}

static void *heap_aligned_alloc(void *data, size_t alignment, size_t bytes)
{
	return need(aligned_alloc(alignment, bytes), bytes);
}

static void heap_free(void *data, void *block)
{
	free(block);
}

static void heap_aligned_free(void *data, size_t alignment, void *block)
{
	free(block);
}

static const struct raft_heap heap = {
	.malloc = heap_malloc,
	.free = heap_free,
	.calloc = heap_calloc,
	.realloc = heap_realloc,
	.aligned_alloc = heap_aligned_alloc,
	.aligned_free = heap_aligned_free,
};

void core_heap_set(void)
{
	raft_heap_set((struct raft_heap *)(uintptr_t)&heap);
}

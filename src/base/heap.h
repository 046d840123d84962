/* An intrusive binary min-heap ordered by (at, order). Used for timers and
 * simulated events. The element embeds a node; slot is its place, so removal
 * is O(log n). */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_SLOT_NONE SIZE_MAX

struct heap_node {
	uint64_t at;
	uint64_t order; /* breaks ties: the smaller first */
	size_t slot;    /* HEAP_SLOT_NONE when in no heap */
};
struct heap {
	struct heap_node **nodes;
	size_t count, cap;
};

void heap_init(struct heap *h);
void heap_fini(struct heap *h);
static inline void heap_node_init(struct heap_node *n) { n->slot = HEAP_SLOT_NONE; }
static inline bool heap_holds(const struct heap_node *n) { return n->slot != HEAP_SLOT_NONE; }
void heap_push(struct heap *h, struct heap_node *n); /* at and order set; in no heap */
void heap_remove(struct heap *h, struct heap_node *n);
struct heap_node *heap_top(const struct heap *h); /* NULL when empty */

#endif /* BASE_HEAP_H */

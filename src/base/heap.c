#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

void heap_init(struct heap *h)
{
	*h = (struct heap){0};
}

void heap_fini(struct heap *h)
{
	free(h->nodes);
	*h = (struct heap){0};
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void place(struct heap *h, size_t slot, struct heap_node *n)
{
	h->nodes[slot] = n;
	n->slot = slot;
}

static void sift_up(struct heap *h, size_t slot, struct heap_node *n)
{
	while (slot > 0 && before(n, h->nodes[(slot - 1) / 2])) {
		place(h, slot, h->nodes[(slot - 1) / 2]);
		slot = (slot - 1) / 2;
	}
	place(h, slot, n);
}

static void sift_down(struct heap *h, size_t slot, struct heap_node *n)
{
	for (;;) {
		size_t child = 2 * slot + 1;
		if (child >= h->count) {
			break;
		}
		if (child + 1 < h->count && before(h->nodes[child + 1], h->nodes[child])) {
			child++;
		}
		if (!before(h->nodes[child], n)) {
			break;
		}
		place(h, slot, h->nodes[child]);
		slot = child;
	}
	place(h, slot, n);
}

void heap_push(struct heap *h, struct heap_node *n)
{
	assert(!heap_holds(n));
	if (h->count == h->cap) {
		h->cap = h->cap == 0 ? 16 : h->cap * 2;
		h->nodes = realloc(h->nodes, h->cap * sizeof(struct heap_node *));
		if (h->nodes == NULL) {
			fatal("out of memory: a heap of %zu nodes", h->cap);
		}
	}
	sift_up(h, h->count++, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
	assert(heap_holds(n));
	assert(h->nodes[n->slot] == n);
	size_t slot = n->slot;
	struct heap_node *last = h->nodes[--h->count];
	n->slot = HEAP_SLOT_NONE;
	if (last == n) {
		return;
	}
	if (slot > 0 && before(last, h->nodes[(slot - 1) / 2])) {
		sift_up(h, slot, last);
	} else {
		sift_down(h, slot, last);
	}
}

struct heap_node *heap_top(const struct heap *h)
{
	return h->count == 0 ? NULL : h->nodes[0];
}

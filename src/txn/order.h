/* Versions in the order of their keys: sorted once when a layer is sealed,
 * and kept in a tree for the open layer once somebody has walked over it (most
 * batches are never walked, so they do not pay). Private to txn. */
#ifndef TXN_ORDER_H
#define TXN_ORDER_H

#include "txn/layer.h"

/* Sorts count versions of distinct keys. scratch holds count items. */
struct order_item {
	uint64_t word; /* eight bytes of the key, big-endian */
	struct version *version;
};
void order_sort(struct version **versions, size_t count, struct order_item *scratch);

struct order_node {
	struct ordmap_node node;
	struct version *version;
};
/* Starts to keep the open layer's versions in order, if that is not done yet. */
void order_begin(struct overlay *overlay);
/* The open layer is gone. */
void order_end(struct overlay *overlay);
/* A version was added to or is leaving the open layer. */
void order_insert(struct overlay *overlay, struct version *version);
void order_remove(struct overlay *overlay, struct version *version);
static inline struct version *order_version(struct ordmap_node *node)
{
	return list_entry(node, struct order_node, node)->version;
}
#endif /* TXN_ORDER_H */

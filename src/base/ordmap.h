/* An ordered map from bytes to a pointer, intrusive: the caller's element
 * embeds a struct ordmap_node and owns key and memory. Balanced by a
 * deterministic priority (hash of the key), so equal contents give equal
 * shapes. Insert, remove, seek: O(log n) expected. */
#ifndef BASE_ORDMAP_H
#define BASE_ORDMAP_H

#include "base/slice.h"

struct ordmap_node {
	struct slice key; /* borrowed; constant while linked */
	struct ordmap_node *left, *right, *parent;
	uint64_t priority;
};
struct ordmap {
	struct ordmap_node *root;
	size_t count;
};

void ordmap_init(struct ordmap *m);
struct ordmap_node *ordmap_find(const struct ordmap *m, struct slice key);
/* The first node with a key >= key, or NULL. */
struct ordmap_node *ordmap_seek(const struct ordmap *m, struct slice key);
/* The last node with a key < key, or NULL. */
struct ordmap_node *ordmap_seek_before(const struct ordmap *m, struct slice key);
/* Links node (key set); returns the node that already holds this key, unchanged, or NULL when linked. */
struct ordmap_node *ordmap_insert(struct ordmap *m, struct ordmap_node *node);
void ordmap_remove(struct ordmap *m, struct ordmap_node *node);
struct ordmap_node *ordmap_first(const struct ordmap *m);
struct ordmap_node *ordmap_last(const struct ordmap *m);
struct ordmap_node *ordmap_next(const struct ordmap_node *node);
struct ordmap_node *ordmap_prev(const struct ordmap_node *node);

#endif /* BASE_ORDMAP_H */

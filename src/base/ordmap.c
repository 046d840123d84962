/* A treap: a search tree by key that is a heap by priority; the priority is a
 * hash of the key, so the shape depends on the contents alone (Seidel and Aragon 1996). */
#include "base/ordmap.h"

#include <assert.h>

#include "base/checksum.h"

void ordmap_init(struct ordmap *m)
{
	*m = (struct ordmap){0};
}

struct ordmap_node *ordmap_find(const struct ordmap *m, struct slice key)
{
	struct ordmap_node *node = m->root;
	while (node != NULL) {
		int order = slice_compare(key, node->key);
		if (order == 0) {
			return node;
		}
		node = order < 0 ? node->left : node->right;
	}
	return NULL;
}

struct ordmap_node *ordmap_seek(const struct ordmap *m, struct slice key)
{
	struct ordmap_node *best = NULL;
	for (struct ordmap_node *node = m->root; node != NULL;) {
		if (slice_compare(node->key, key) >= 0) {
			best = node;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return best;
}

struct ordmap_node *ordmap_seek_before(const struct ordmap *m, struct slice key)
{
	struct ordmap_node *best = NULL;
	for (struct ordmap_node *node = m->root; node != NULL;) {
		if (slice_compare(node->key, key) < 0) {
			best = node;
			node = node->right;
		} else {
			node = node->left;
		}
	}
	return best;
}

/* Puts child where node stands below node's parent. */
static void replace(struct ordmap *m, struct ordmap_node *node, struct ordmap_node *child)
{
	struct ordmap_node *parent = node->parent;
	if (parent == NULL) {
		m->root = child;
	} else if (parent->left == node) {
		parent->left = child;
	} else {
		parent->right = child;
	}
	if (child != NULL) {
		child->parent = parent;
	}
}

/* Turns node up over its parent. */
static void rotate_up(struct ordmap *m, struct ordmap_node *node)
{
	struct ordmap_node *parent = node->parent;
	replace(m, parent, node);
	if (parent->left == node) {
		parent->left = node->right;
		if (node->right != NULL) {
			node->right->parent = parent;
		}
		node->right = parent;
	} else {
		parent->right = node->left;
		if (node->left != NULL) {
			node->left->parent = parent;
		}
		node->left = parent;
	}
	parent->parent = node;
}

struct ordmap_node *ordmap_insert(struct ordmap *m, struct ordmap_node *node)
{
	struct ordmap_node *parent = NULL;
	struct ordmap_node **link = &m->root;
	while (*link != NULL) {
		parent = *link;
		int order = slice_compare(node->key, parent->key);
		if (order == 0) {
			return parent;
		}
		link = order < 0 ? &parent->left : &parent->right;
	}
	node->left = node->right = NULL;
	node->parent = parent;
	node->priority = checksum64(node->key);
	*link = node;
	m->count++;
	while (node->parent != NULL && node->parent->priority < node->priority) {
		rotate_up(m, node);
	}
	return NULL;
}

void ordmap_remove(struct ordmap *m, struct ordmap_node *node)
{
	assert(m->count > 0);
	while (node->left != NULL && node->right != NULL) {
		rotate_up(m, node->left->priority > node->right->priority ? node->left : node->right);
	}
	replace(m, node, node->left != NULL ? node->left : node->right);
	node->left = node->right = node->parent = NULL;
	m->count--;
}

struct ordmap_node *ordmap_first(const struct ordmap *m)
{
	struct ordmap_node *node = m->root;
	while (node != NULL && node->left != NULL) {
		node = node->left;
	}
	return node;
}

struct ordmap_node *ordmap_last(const struct ordmap *m)
{
	struct ordmap_node *node = m->root;
	while (node != NULL && node->right != NULL) {
		node = node->right;
	}
	return node;
}

struct ordmap_node *ordmap_next(const struct ordmap_node *node)
{
	if (node->right != NULL) {
		node = node->right;
		while (node->left != NULL) {
			node = node->left;
		}
		return (struct ordmap_node *)node;
	}
	while (node->parent != NULL && node->parent->right == node) {
		node = node->parent;
	}
	return node->parent;
}

struct ordmap_node *ordmap_prev(const struct ordmap_node *node)
{
	if (node->left != NULL) {
		node = node->left;
		while (node->right != NULL) {
			node = node->right;
		}
		return (struct ordmap_node *)node;
	}
	while (node->parent != NULL && node->parent->left == node) {
		node = node->parent;
	}
	return node->parent;
}

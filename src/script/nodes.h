/* The hash parts of Lua's tables as the allocator sees them: vectors of nodes, a place for a key each.
 *
 * A table that grows puts all its keys into a new vector within one instruction, and passes over each key
 * that begins at the same place: whole numbers and numbers with a point have places that a script can
 * foresee, and 131,072 of them that meet in the new vector take 15 seconds. So the large vectors are
 * remembered, and what a new one would cost is counted before there is one. Texts begin where nobody can
 * foresee.
 *
 * What is in no interface of Lua: how a table and a node are laid out, and where a number begins. All of that
 * is tried on each new state; should another Lua do otherwise, nothing begins. */
#ifndef SCRIPT_NODES_H
#define SCRIPT_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lua.h>

#include "base/limits.h"

#define NODES_NODE_BYTES 24
/* Vectors of fewer places are not remembered: to fill one of as many again takes 60 ms at worst. */
#define NODES_PLACES_MIN 8192
#define NODES_VECTORS (LIMIT_SCRIPT_MEMORY / (NODES_NODE_BYTES * NODES_PLACES_MIN) + 1)

/* Zeroes: none. */
struct nodes {
	struct nodes_vector {
		const void *block;
		size_t places;
	} vectors[NODES_VECTORS];
	size_t count;
};

/* The state has tables as we think; else an assertion fails. Leaves the stack as it was. */
void nodes_check_layout(lua_State *L);
/* Places of the table at index, those of its list included (or over half of these). */
size_t nodes_places(lua_State *L, int index);

/* Whether a new block of so many bytes would be a large vector. What is none after all is harmless. */
bool nodes_match(size_t bytes);
void nodes_add(struct nodes *nodes, const void *block, size_t bytes);
/* Nothing when it is none of them. */
void nodes_remove(struct nodes *nodes, const void *block, size_t bytes);
/* How many nodes are passed over when a vector of so many bytes is filled from one of these, whichever is the
 * worst; and *looked_at, how many were looked at to know. */
uint64_t nodes_passed(const struct nodes *nodes, size_t bytes, size_t *looked_at);

#endif /* SCRIPT_NODES_H */

#include "script/nodes.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* ---- what Lua 5.4 has ---- */

struct node {
	uint64_t value;
	uint8_t value_kind, key_kind;
	int next;
	union {
		int64_t whole;
		double real;
	} key;
};
_Static_assert(sizeof(struct node) == NODES_NODE_BYTES, "a node");

#define KIND_WHOLE 3 /* LUA_VNUMINT */
#define KIND_REAL 19 /* LUA_VNUMFLT */
#define KIND_BITS 15 /* zero when there is no value */

struct table_head {
	void *next;
	uint8_t kind, marked, flags;
	uint8_t nodes_log2; /* of places for keys that are not in the list */
	unsigned list;      /* places of the list, or over half of them */
	void *items;
	const struct node *nodes;
};

static uint64_t place_of_real(double real, uint64_t modulus)
{
	int exponent;
	double scaled = frexp(real, &exponent) * 2147483648.0;
	if (!(scaled >= -9223372036854775808.0 && scaled < 9223372036854775808.0)) {
		return 0;
	}
	unsigned place = (unsigned)exponent + (unsigned)(int64_t)scaled;
	return (place <= INT_MAX ? place : ~place) % modulus;
}

/* Where the search for a key begins; UINT64_MAX: not where a script wants it. */
static uint64_t place_of(const struct node *node, uint64_t modulus)
{
	if (node->key_kind == KIND_WHOLE) {
		return (uint64_t)node->key.whole % modulus;
	}
	return node->key_kind == KIND_REAL ? place_of_real(node->key.real, modulus) : UINT64_MAX;
}

static uint64_t modulus_of(size_t places)
{
	return (places - 1) | 1;
}

/* The key on top of the stack, alone in a table, is where we think. */
static bool found_alone(lua_State *L, uint8_t kind)
{
	lua_createtable(L, 0, 64);
	lua_insert(L, -2);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	const struct table_head *head = lua_topointer(L, -1);
	bool found = false;
	for (size_t i = 0; i < 64; i++) {
		const struct node *node = &head->nodes[i];
		if ((node->value_kind & KIND_BITS) != 0) {
			found = node->key_kind == kind && place_of(node, modulus_of(64)) == i;
		}
	}
	lua_pop(L, 1);
	return found;
}

void nodes_check_layout(lua_State *L)
{
	static const lua_Integer whole[] = {-1, 63 * 5 + 7, LUA_MAXINTEGER - 3};
	static const lua_Number real[] = {0.1, -2.75e40, 1.0 + 1.0 / 1024};
	lua_createtable(L, 5, 64);
	assert(nodes_places(L, -1) == 69);
	lua_createtable(L, 300, 0);
	assert(nodes_places(L, -1) == 301);
	lua_pop(L, 2);
	for (size_t i = 0; i < 3; i++) {
		lua_pushinteger(L, whole[i]);
		bool found = found_alone(L, KIND_WHOLE);
		assert(found);
		lua_pushnumber(L, real[i]);
		found = found_alone(L, KIND_REAL);
		assert(found);
	}
}

size_t nodes_places(lua_State *L, int index)
{
	assert(lua_istable(L, index));
	const struct table_head *head = lua_topointer(L, index);
	return ((size_t)1 << head->nodes_log2) + head->list;
}

/* ---- the large vectors ---- */

bool nodes_match(size_t bytes)
{
	size_t places = bytes / NODES_NODE_BYTES;
	return bytes % NODES_NODE_BYTES == 0 && places >= NODES_PLACES_MIN && (places & (places - 1)) == 0;
}

void nodes_add(struct nodes *nodes, const void *block, size_t bytes)
{
	assert(nodes_match(bytes));
	assert(nodes->count < NODES_VECTORS); /* more do not fit a script's memory */
	nodes->vectors[nodes->count++] = (struct nodes_vector){block, bytes / NODES_NODE_BYTES};
}

void nodes_remove(struct nodes *nodes, const void *block, size_t bytes)
{
	for (size_t i = 0; nodes_match(bytes) && i < nodes->count; i++) {
		if (nodes->vectors[i].block == block) {
			nodes->vectors[i] = nodes->vectors[--nodes->count];
			return;
		}
	}
}

/* began: how many began at each place; zeroes. */
static uint64_t passed_from(const struct nodes_vector *vector, uint64_t modulus, uint32_t *began)
{
	uint64_t passed = 0;
	const struct node *node = vector->block;
	for (size_t i = 0; i < vector->places; i++, node++) {
		uint64_t place = (node->value_kind & KIND_BITS) == 0 ? UINT64_MAX : place_of(node, modulus);
		if (place != UINT64_MAX) {
			passed += began[place]++;
		}
	}
	return passed;
}

uint64_t nodes_passed(const struct nodes *nodes, size_t bytes, size_t *looked_at)
{
	assert(nodes_match(bytes));
	uint64_t modulus = modulus_of(bytes / NODES_NODE_BYTES), worst = 0;
	uint32_t *began = malloc(modulus * sizeof *began);
	if (began == NULL) {
		fatal("out of memory: the places of %zu nodes", bytes / NODES_NODE_BYTES);
	}
	*looked_at = 0;
	for (size_t i = 0; i < nodes->count; i++) {
		memset(began, 0, modulus * sizeof *began);
		uint64_t passed = passed_from(&nodes->vectors[i], modulus, began);
		worst = passed > worst ? passed : worst;
		*looked_at += nodes->vectors[i].places;
	}
	free(began);
	return worst;
}

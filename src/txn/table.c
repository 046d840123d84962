#include "txn/table.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"
#include "txn/layer.h"

#define TABLE_MIN 1024

static struct table_slot *allocate(size_t cap)
{
	struct table_slot *slots = calloc(cap, sizeof(*slots));
	if (slots == NULL) {
		fatal("out of memory: a table of %zu uncommitted keys", cap);
	}
	return slots;
}

static bool is_free(const struct table_slot *slot)
{
	return slot->newest == NULL && slot->hot == NULL;
}

void table_init(struct table *table)
{
	table->slots = allocate(TABLE_MIN);
	table->mask = TABLE_MIN - 1;
	table->count = 0;
}

void table_fini(struct table *table)
{
	free(table->slots);
	table->slots = NULL;
}

void table_clear(struct table *table)
{
	table_fini(table);
	table_init(table);
}

static bool holds_key(const struct table_slot *slot, struct slice key)
{
	if (slot->newest != NULL) {
		return slot->newest->key_len == key.len && memcmp(slot->newest->key, key.data, key.len) == 0;
	}
	return slice_equal(slot->hot->key, key);
}

struct table_slot *table_find(const struct table *table, struct slice key, uint64_t hash)
{
	for (size_t i = hash & table->mask;; i = (i + 1) & table->mask) {
		struct table_slot *slot = &table->slots[i];
		if (is_free(slot)) {
			return NULL;
		}
		if (slot->hash == hash && holds_key(slot, key)) {
			return slot;
		}
	}
}

static struct table_slot *first_free(struct table_slot *slots, size_t mask, uint64_t hash)
{
	size_t i = hash & mask;
	while (!is_free(&slots[i])) {
		i = (i + 1) & mask;
	}
	return &slots[i];
}

static void grow(struct table *table)
{
	size_t mask = table->mask * 2 + 1;
	struct table_slot *slots = allocate(mask + 1);
	assert((mask & (mask + 1)) == 0);
	for (size_t i = 0; i <= table->mask; i++) {
		if (!is_free(&table->slots[i])) {
			*first_free(slots, mask, table->slots[i].hash) = table->slots[i];
		}
	}
	free(table->slots);
	table->slots = slots;
	table->mask = mask;
}

struct table_slot *table_add(struct table *table, uint64_t hash)
{
	/* At most half full: probes stay short. It never shrinks; LIMIT_APPLY_LAG bounds it. */
	if (table->count * 2 > table->mask) {
		grow(table);
	}
	struct table_slot *slot = first_free(table->slots, table->mask, hash);
	slot->hash = hash;
	table->count++;
	assert(table->count <= table->mask); /* one is free: every probe ends */
	return slot;
}

struct table_slot *table_slot_of(const struct table *table, const struct version *newest)
{
	size_t i = newest->hash & table->mask;
	while (table->slots[i].newest != newest) {
		assert(!is_free(&table->slots[i]));
		i = (i + 1) & table->mask;
	}
	return &table->slots[i];
}

/* Moves later slots of the run back over the hole, so that no probe ends early. */
void table_release(struct table *table, struct table_slot *slot)
{
	assert(is_free(slot));
	assert(table->count > 0);
	table->count--;
	size_t hole = (size_t)(slot - table->slots);
	for (size_t i = (hole + 1) & table->mask; !is_free(&table->slots[i]); i = (i + 1) & table->mask) {
		size_t home = table->slots[i].hash & table->mask;
		if (((i - home) & table->mask) >= ((i - hole) & table->mask)) {
			table->slots[hole] = table->slots[i];
			hole = i;
		}
	}
	table->slots[hole] = (struct table_slot){0};
}

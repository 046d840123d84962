/* Finds what is known about a key without asking the store: its newest
 * uncommitted version and its hot row. Open addressing; one probe serves all
 * layers. Slots move when others are added or released. Private to txn. */
#ifndef TXN_TABLE_H
#define TXN_TABLE_H

#include "base/slice.h"

struct version;
struct hot_row;

struct table_slot {
	uint64_t hash;
	struct version *newest; /* or NULL */
	struct hot_row *hot;    /* or NULL; both NULL: a free slot */
};
struct table {
	struct table_slot *slots;
	size_t mask; /* capacity - 1; the capacity is a power of two */
	size_t count;
};

void table_init(struct table *table);
void table_fini(struct table *table);
/* Empties it without looking at what it held. */
void table_clear(struct table *table);

/* The slot of key, or NULL. */
struct table_slot *table_find(const struct table *table, struct slice key, uint64_t hash);
/* A free slot for a key that has none; the caller fills newest or hot at once. */
struct table_slot *table_add(struct table *table, uint64_t hash);
/* The slot whose newest version this is; it has one. */
struct table_slot *table_slot_of(const struct table *table, const struct version *newest);
/* Frees a slot; the caller has emptied it. */
void table_release(struct table *table, struct table_slot *slot);

#endif /* TXN_TABLE_H */

#include "base/map.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/err.h"

void map_init(struct map *m)
{
	*m = (struct map){0};
}

void map_fini(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

static uint64_t map_hash(struct slice key)
{
	return checksum64(key);
}

/* The slot that holds key, or the empty one where it belongs. cap > count, so the walk ends. */
static struct map_slot *probe(const struct map *m, struct slice key, uint64_t hash)
{
	size_t mask = m->cap - 1;
	for (size_t at = hash & mask;; at = (at + 1) & mask) {
		struct map_slot *slot = &m->slots[at];
		if (slot->value == NULL || (slot->hash == hash && slice_equal(slot->key, key))) {
			return slot;
		}
	}
}

void *map_get(const struct map *m, struct slice key)
{
	return m->count == 0 ? NULL : probe(m, key, map_hash(key))->value;
}

static void grow(struct map *m)
{
	struct map old = *m;
	m->cap = old.cap == 0 ? 16 : old.cap * 2;
	m->slots = calloc(m->cap, sizeof(*m->slots));
	if (m->slots == NULL) {
		fatal("out of memory: a map of %zu slots", m->cap);
	}
	for (size_t i = 0; i < old.cap; i++) {
		if (old.slots[i].value != NULL) {
			*probe(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
		}
	}
	free(old.slots);
}

void *map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = map_hash(key);
	assert(value != NULL);
	if ((m->count + 1) * 4 > m->cap * 3) {
		grow(m);
	}
	struct map_slot *slot = probe(m, key, hash);
	void *former = slot->value;
	m->count += former == NULL;
	*slot = (struct map_slot){key, hash, value};
	return former;
}

void *map_remove(struct map *m, struct slice key)
{
	if (m->count == 0) {
		return NULL;
	}
	struct map_slot *hole = probe(m, key, map_hash(key));
	void *former = hole->value;
	if (former == NULL) {
		return NULL;
	}
	/* Backward shift: pull up what would no longer be found past the hole. */
	size_t mask = m->cap - 1;
	size_t at = (size_t)(hole - m->slots);
	for (size_t next = (at + 1) & mask; m->slots[next].value != NULL; next = (next + 1) & mask) {
		size_t home = m->slots[next].hash & mask;
		if (((next - home) & mask) >= ((next - at) & mask)) {
			m->slots[at] = m->slots[next];
			at = next;
		}
	}
	m->slots[at] = (struct map_slot){0};
	m->count--;
	return former;
}

bool map_next(const struct map *m, size_t *at, struct slice *key, void **value)
{
	for (; *at < m->cap; (*at)++) {
		if (m->slots[*at].value != NULL) {
			*key = m->slots[*at].key;
			*value = m->slots[*at].value;
			(*at)++;
			return true;
		}
	}
	return false;
}

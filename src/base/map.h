/* A hash map from bytes to a pointer, open addressing, XXH3 with a fixed
 * seed, so that two runs are alike. Keys are borrowed: they live as long as
 * their entry. Iteration order is the table's and must decide nothing. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_slot {
	struct slice key;
	uint64_t hash;
	void *value; /* never NULL in a used slot */
};
struct map {
	struct map_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t count;
};

void map_init(struct map *m);
void map_fini(struct map *m);
/* NULL when absent. */
void *map_get(const struct map *m, struct slice key);
/* Sets or replaces (the key slice too); returns the former value or NULL. value is not NULL. */
void *map_put(struct map *m, struct slice key, void *value);
/* Returns what was there, or NULL. */
void *map_remove(struct map *m, struct slice key);
/* Walks all entries: start with *at = 0; false at the end. */
bool map_next(const struct map *m, size_t *at, struct slice *key, void **value);

#endif /* BASE_MAP_H */

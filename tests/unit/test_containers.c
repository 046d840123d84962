/* map, ordmap and heap against naive twins: the same random operations, the same answers. */
#include "base/heap.h"
#include "base/map.h"
#include "base/ordmap.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS 200

struct twin {
	char name[16];
	bool present;
	int value;
	struct ordmap_node node;
};

static void name_twins(struct twin *twins)
{
	for (int i = 0; i < KEYS; i++) {
		snprintf(twins[i].name, sizeof(twins[i].name), "key-%03d", i);
		twins[i].present = false;
	}
}

static void map_is_its_twin(uint64_t seed)
{
	struct prng prng;
	struct twin twins[KEYS];
	struct map map;
	bool same = true;
	size_t count = 0;
	prng_init(&prng, seed);
	name_twins(twins);
	map_init(&map);
	for (int step = 0; step < 5000; step++) {
		struct twin *t = &twins[prng_below(&prng, KEYS)];
		struct slice key = slice_str(t->name);
		if (prng_chance(&prng, 1, 2)) {
			same = same && (map_put(&map, key, t) != NULL) == t->present;
			count += !t->present;
			t->present = true;
		} else {
			same = same && (map_remove(&map, key) != NULL) == t->present;
			count -= t->present;
			t->present = false;
		}
		for (int i = 0; i < KEYS; i += 17) {
			same = same && (map_get(&map, slice_str(twins[i].name)) != NULL) == twins[i].present;
		}
		same = same && map.count == count;
	}
	size_t at = 0, walked = 0;
	struct slice key;
	void *value;
	while (map_next(&map, &at, &key, &value)) {
		walked += ((struct twin *)value)->present;
	}
	ok(same && walked == count, "a map answers as its twin (seed %d)", (int)seed);
	map_fini(&map);
}

static bool walk_matches(const struct ordmap *map, const struct twin *twins)
{
	const struct ordmap_node *node = ordmap_first(map);
	for (int i = 0; i < KEYS; i++) {
		if (twins[i].present) {
			if (node != &twins[i].node) {
				return false;
			}
			node = ordmap_next(node);
		}
	}
	if (node != NULL) {
		return false;
	}
	node = ordmap_last(map);
	for (int i = KEYS - 1; i >= 0; i--) {
		if (twins[i].present) {
			if (node != &twins[i].node) {
				return false;
			}
			node = ordmap_prev(node);
		}
	}
	return node == NULL;
}

static bool seeks_match(const struct ordmap *map, const struct twin *twins, int at)
{
	const struct ordmap_node *after = NULL, *before = NULL;
	for (int i = at; i < KEYS && after == NULL; i++) {
		after = twins[i].present ? &twins[i].node : NULL;
	}
	for (int i = at - 1; i >= 0 && before == NULL; i--) {
		before = twins[i].present ? &twins[i].node : NULL;
	}
	struct slice key = slice_str(twins[at].name);
	return ordmap_seek(map, key) == after && ordmap_seek_before(map, key) == before &&
	       (ordmap_find(map, key) != NULL) == twins[at].present;
}

static void ordmap_is_its_twin(uint64_t seed)
{
	struct prng prng;
	struct twin twins[KEYS];
	struct ordmap map;
	bool same = true;
	prng_init(&prng, seed);
	name_twins(twins);
	ordmap_init(&map);
	for (int step = 0; step < 3000; step++) {
		struct twin *t = &twins[prng_below(&prng, KEYS)];
		if (prng_chance(&prng, 1, 2)) {
			t->node.key = slice_str(t->name);
			struct ordmap_node fresh = {.key = t->node.key};
			if (t->present) {
				same = same && ordmap_insert(&map, &fresh) == &t->node;
			} else {
				same = same && ordmap_insert(&map, &t->node) == NULL;
			}
			t->present = true;
		} else if (t->present) {
			ordmap_remove(&map, &t->node);
			t->present = false;
		}
		same = same && seeks_match(&map, twins, (int)prng_below(&prng, KEYS));
		if (step % 50 == 0) {
			same = same && walk_matches(&map, twins);
		}
	}
	ok(same, "an ordered map answers as its twin (seed %d)", (int)seed);
}

static void heap_is_its_twin(uint64_t seed)
{
	struct prng prng;
	struct heap heap;
	struct heap_node nodes[KEYS];
	bool same = true;
	prng_init(&prng, seed);
	heap_init(&heap);
	for (int i = 0; i < KEYS; i++) {
		heap_node_init(&nodes[i]);
	}
	for (int step = 0; step < 3000; step++) {
		struct heap_node *n = &nodes[prng_below(&prng, KEYS)];
		if (heap_holds(n)) {
			heap_remove(&heap, n);
		} else {
			n->at = prng_below(&prng, 50);
			n->order = (uint64_t)step;
			heap_push(&heap, n);
		}
		const struct heap_node *least = NULL;
		for (int i = 0; i < KEYS; i++) {
			const struct heap_node *o = &nodes[i];
			if (heap_holds(o) && (least == NULL || o->at < least->at ||
			                      (o->at == least->at && o->order < least->order))) {
				least = o;
			}
		}
		same = same && heap_top(&heap) == least;
	}
	ok(same, "a heap's top is its twin's least (seed %d)", (int)seed);
	heap_fini(&heap);
}

int main(void)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		map_is_its_twin(seed);
		ordmap_is_its_twin(seed);
		heap_is_its_twin(seed);
	}
	return tap_done();
}

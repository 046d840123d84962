#include "txn/order.h"

#include <assert.h>

/* ---- sorting ----
 *
 * Keys share long beginnings (table, campaign), so comparing whole keys again
 * and again would read the same bytes n log n times. A quicksort over words of eight
 * bytes goes deeper only among keys that are equal so far (Bentley, Sedgewick: Fast
 * Algorithms for Sorting and Searching Strings, 1997). */

#define INSERTION_MAX 12

static uint64_t word_at(const struct version *v, size_t depth)
{
	uint64_t word = 0;
	if (depth + 8 <= v->key_len) {
		memcpy(&word, v->key + depth, 8);
	} else if (depth < v->key_len) {
		memcpy(&word, v->key + depth, v->key_len - depth);
	}
	return __builtin_bswap64(word);
}

static void load_words(struct order_item *items, size_t count, size_t depth)
{
	for (size_t i = 0; i < count; i++) {
		items[i].word = word_at(items[i].version, depth);
	}
}

static bool item_before(const struct order_item *a, const struct order_item *b)
{
	if (a->word != b->word) {
		return a->word < b->word;
	}
	return slice_compare(version_key(a->version), version_key(b->version)) < 0;
}

static void insertion_sort(struct order_item *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct order_item item = items[i];
		size_t j = i;
		while (j > 0 && item_before(&item, &items[j - 1])) {
			items[j] = items[j - 1];
			j--;
		}
		items[j] = item;
	}
}

static uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
	if (a > b) {
		uint64_t t = a;
		a = b;
		b = t;
	}
	if (c <= a) {
		return a;
	}
	return c < b ? c : b;
}

static void swap(struct order_item *a, struct order_item *b)
{
	struct order_item t = *a;
	*a = *b;
	*b = t;
}

/* Of keys equal in a padded word, those that end inside it are a beginning of all the others and of
 * one another: they come first, by length. Returns how many they are. */
static size_t settle_ended(struct order_item *items, size_t count, size_t depth)
{
	size_t ended = 0;
	for (size_t i = 0; i < count; i++) {
		if (items[i].version->key_len <= depth + 8) {
			swap(&items[ended++], &items[i]);
		}
	}
	insertion_sort(items, ended);
	return ended;
}

/* Words of depth are loaded. Recursion: into the smaller parts and one level deeper in the keys. */
static void sort_items(struct order_item *items, size_t count, size_t depth)
{
	while (count > INSERTION_MAX) {
		uint64_t pivot = median(items[0].word, items[count / 2].word, items[count - 1].word);
		size_t less = 0, at = 0, more = count;
		while (at < more) {
			if (items[at].word < pivot) {
				swap(&items[less++], &items[at++]);
			} else if (items[at].word > pivot) {
				swap(&items[at], &items[--more]);
			} else {
				at++;
			}
		}
		assert(less < more); /* the pivot's own word */
		assert(more <= count);
		size_t ended = settle_ended(items + less, more - less, depth);
		struct order_item *deeper = items + less + ended;
		size_t deeper_count = more - less - ended;
		load_words(deeper, deeper_count, depth + 8);
		sort_items(deeper, deeper_count, depth + 8);
		/* The longer side goes on in this frame, so the stack stays log n. */
		if (less < count - more) {
			sort_items(items, less, depth);
			items += more;
			count -= more;
		} else {
			sort_items(items + more, count - more, depth);
			count = less;
		}
	}
	insertion_sort(items, count);
}

void order_sort(struct version **versions, size_t count, struct order_item *scratch)
{
	for (size_t i = 0; i < count; i++) {
		scratch[i].version = versions[i];
	}
	load_words(scratch, count, 0);
	sort_items(scratch, count, 0);
	for (size_t i = 0; i < count; i++) {
		versions[i] = scratch[i].version;
	}
}

/* ---- the open layer ---- */

void order_insert(struct overlay *overlay, struct version *version)
{
	struct order_node *node = region_alloc(&overlay->order_region, sizeof(*node));
	node->version = version;
	node->node.key = version_key(version);
	struct ordmap_node *there = ordmap_insert(&overlay->order, &node->node);
	assert(there == NULL);
	overlay->order_changes++;
}

void order_remove(struct overlay *overlay, struct version *version)
{
	struct ordmap_node *node = ordmap_find(&overlay->order, version_key(version));
	assert(node != NULL);
	ordmap_remove(&overlay->order, node);
	overlay->order_changes++;
}

void order_begin(struct overlay *overlay)
{
	if (overlay->in_order) {
		return;
	}
	assert(overlay->open != NULL);
	overlay->in_order = true;
	for (struct version *v = overlay->open->latest; v != NULL; v = v->next) {
		order_insert(overlay, v);
	}
}

void order_end(struct overlay *overlay)
{
	overlay->in_order = false;
	ordmap_init(&overlay->order);
	region_fini(&overlay->order_region);
}

#include "txn/overlay.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "store/keys.h"
#include "txn/layer.h"
#include "txn/order.h"
#include "wire/entry.h"

#define EVENT_KEY_BYTES 9

struct overlay *overlay_new(struct store *store, size_t hot_bytes, uint64_t seed)
{
	struct overlay *overlay = calloc(1, sizeof(*overlay));
	if (overlay == NULL) {
		fatal("out of memory: an overlay");
	}
	overlay->store = store;
	overlay->seed = seed;
	table_init(&overlay->table);
	list_init(&overlay->layers);
	buf_init(&overlay->events, LIMIT_ENTRY + LIMIT_TXN_BYTES);
	hot_init(&overlay->hot, hot_bytes);
	ordmap_init(&overlay->order);
	region_init(&overlay->order_region, &overlay->stock);
	return overlay;
}

void overlay_free(struct overlay *overlay)
{
	if (overlay == NULL) {
		return;
	}
	overlay_drop(overlay);
	hot_fini(&overlay->hot);
	table_fini(&overlay->table);
	buf_fini(&overlay->events);
	region_stock_fini(&overlay->stock);
	free(overlay->txn.undo);
	free(overlay->txn.pins);
	free(overlay);
}

/* ---- the open layer ---- */

void overlay_open(struct overlay *overlay, uint64_t index, uint64_t stamp_ms)
{
	assert(overlay->open == NULL);
	assert(overlay->txn.id == 0);
	assert(overlay->events.len == 0);
	struct layer *layer = calloc(1, sizeof(*layer));
	if (layer == NULL) {
		fatal("out of memory: a batch");
	}
	if (!list_empty(&overlay->layers)) {
		assert(list_entry(overlay->layers.prev, struct layer, link)->index < index);
	}
	layer->index = index;
	layer->stamp_ms = stamp_ms;
	region_init(&layer->region, &overlay->stock);
	list_append(&overlay->layers, &layer->link);
	overlay->layer_count++;
	overlay->open = layer;
}

bool overlay_is_open(const struct overlay *overlay)
{
	return overlay->open != NULL;
}

uint64_t overlay_open_index(const struct overlay *overlay)
{
	assert(overlay->open != NULL);
	return overlay->open->index;
}

uint64_t overlay_open_stamp_ms(const struct overlay *overlay)
{
	assert(overlay->open != NULL);
	return overlay->open->stamp_ms;
}

bool overlay_open_empty(const struct overlay *overlay)
{
	assert(overlay->open != NULL);
	return overlay->open->joined == 0;
}

void overlay_restamp(struct overlay *overlay, uint64_t stamp_ms)
{
	assert(overlay_open_empty(overlay));
	assert(overlay->txn.id == 0);
	assert(stamp_ms >= overlay->open->stamp_ms);
	overlay->open->stamp_ms = stamp_ms;
}

size_t overlay_open_bytes(const struct overlay *overlay)
{
	assert(overlay->open != NULL);
	size_t bytes = ENTRY_HEAD + 12 + overlay->open->record_bytes;
	if (overlay->events.len > 0) {
		bytes += layer_record_bytes(EVENT_KEY_BYTES, overlay->events.len, false);
	}
	return bytes;
}

bool overlay_fits(const struct overlay *overlay, const struct txn *txn)
{
	assert(txn == &overlay->txn);
	assert(txn->id != 0);
	if (txn->layer == NULL) {
		return true;
	}
	/* What txn wrote lies in the layer already, and is counted. */
	return overlay_open_bytes(overlay) <= LIMIT_ENTRY && overlay->open->joined + 1 < LIMIT_BATCH_TXNS;
}

/* The events become a row like all others, so that readers see them before they are applied. */
static void add_event_block(struct overlay *overlay)
{
	uint8_t key[EVENT_KEY_BYTES] = {TABLE_EVENT};
	assert(overlay->events.len > 0);
	bytes_put_u64_big(key + 1, overlay->open->index);
	struct slice block = slice_of(key, sizeof(key));
	uint64_t hash = overlay_hash(overlay, block);
	struct version *v = layer_add(overlay, table_find(&overlay->table, block, hash), block, hash);
	layer_set(overlay, v, buf_slice(&overlay->events), false);
	buf_reset(&overlay->events);
}

static void sort_layer(struct overlay *overlay, struct layer *layer)
{
	layer->ordered = region_alloc(&layer->region, layer->count * sizeof(struct version *));
	size_t i = 0;
	if (overlay->in_order) {
		for (struct ordmap_node *n = ordmap_first(&overlay->order); n != NULL; n = ordmap_next(n)) {
			layer->ordered[i++] = order_version(n);
		}
		assert(i == layer->count);
		return;
	}
	/* The list has the latest first; keys often ascend in time, so the array gets the first one first. */
	i = layer->count;
	for (struct version *v = layer->latest; v != NULL; v = v->next) {
		layer->ordered[--i] = v;
	}
	assert(i == 0);
	struct region_mark before = region_mark(&layer->region);
	struct order_item *scratch = region_alloc(&layer->region, layer->count * sizeof(*scratch));
	order_sort(layer->ordered, layer->count, scratch);
	region_rewind(&layer->region, before);
}

void overlay_seal(struct overlay *overlay, struct buf *payload)
{
	struct layer *layer = overlay->open;
	assert(layer != NULL);
	assert(layer->joined > 0);
	assert(overlay->txn.id == 0);
	size_t expected = overlay_open_bytes(overlay);
	if (overlay->events.len > 0) {
		add_event_block(overlay);
	}
	sort_layer(overlay, layer);
	entry_begin(payload, ENTRY_BATCH, layer->stamp_ms);
	for (size_t i = 0; i < layer->count; i++) {
		const struct version *v = layer->ordered[i];
		if (v->deleted) {
			entry_delete(payload, version_key(v));
		} else {
			entry_put(payload, version_key(v), version_value(v));
		}
	}
	bool whole = entry_end(payload);
	assert(whole);
	assert(payload->len == expected);
	order_end(overlay);
	layer->sealed = true;
	overlay->open = NULL;
}

/* ---- forgetting ---- */

static void remove_layer(struct overlay *overlay, struct layer *layer)
{
	assert(overlay->layer_count > 0);
	overlay->layer_count--;
	list_remove(&layer->link);
	region_fini(&layer->region);
	free(layer);
}

void overlay_cancel(struct overlay *overlay)
{
	assert(overlay_open_empty(overlay));
	assert(overlay->txn.id == 0);
	assert(overlay->open->count == 0);
	order_end(overlay);
	remove_layer(overlay, overlay->open);
	overlay->open = NULL;
}

/* v was the last word on its key and is applied: only a hot row needs to remember it. */
static void settle(struct overlay *overlay, const struct version *v)
{
	struct table_slot *slot = table_slot_of(&overlay->table, v);
	struct hot_row *row = slot->hot;
	assert(slot->newest == v);
	slot->newest = NULL;
	if (row != NULL && v->len > LIMIT_HOT_VALUE) {
		hot_remove(&overlay->hot, row);
		slot->hot = row = NULL;
	}
	if (row == NULL) {
		table_release(&overlay->table, slot);
		return;
	}
	hot_set(&overlay->hot, row, version_value(v), v->deleted);
}

static void forget_layer(struct overlay *overlay, struct layer *layer)
{
	assert(layer->sealed);
	assert(layer != overlay->open);
	assert(layer->link.prev == &overlay->layers); /* oldest first */
	for (struct version *v = layer->latest; v != NULL; v = v->next) {
		assert(v->older == NULL);
		if (v->newer != NULL) {
			v->newer->older = NULL;
		} else {
			settle(overlay, v);
		}
	}
	remove_layer(overlay, layer);
}

void overlay_forget(struct overlay *overlay, uint64_t index)
{
	assert(overlay->txn.id == 0);
	while (!list_empty(&overlay->layers)) {
		struct layer *oldest = list_entry(overlay->layers.next, struct layer, link);
		if (!oldest->sealed || oldest->index > index) {
			return;
		}
		forget_layer(overlay, oldest);
	}
}

void overlay_drop(struct overlay *overlay)
{
	if (overlay->txn.id != 0) {
		txn_abort(&overlay->txn); /* its env was killed under it */
	}
	order_end(overlay);
	while (!list_empty(&overlay->layers)) {
		remove_layer(overlay, list_entry(overlay->layers.next, struct layer, link));
	}
	assert(overlay->layer_count == 0);
	overlay->open = NULL;
	buf_reset(&overlay->events);
	hot_clear(&overlay->hot);
	table_clear(&overlay->table);
}

size_t overlay_layers(const struct overlay *overlay)
{
	return overlay->layer_count;
}

size_t overlay_hot_bytes(const struct overlay *overlay)
{
	return overlay->hot.bytes;
}

size_t overlay_bytes(const struct overlay *overlay)
{
	return overlay->stock.used_bytes;
}

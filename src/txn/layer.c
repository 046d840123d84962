#include "txn/layer.h"

#include <assert.h>

#include "txn/order.h"

struct version *layer_add(struct overlay *overlay, struct table_slot *slot, struct slice key, uint64_t hash)
{
	struct layer *layer = overlay->open;
	assert(layer != NULL);
	assert(!layer->sealed);
	assert(key.len > 0);
	assert(key.len <= LIMIT_ROW_KEY);
	struct version *v = region_alloc(&layer->region, sizeof(*v) + key.len);
	struct version *older = slot == NULL ? NULL : slot->newest;
	assert(older == NULL || older->layer != layer);
	*v = (struct version){
		.older = older,
		.next = layer->latest,
		.layer = layer,
		.hash = hash,
		.key_len = (uint16_t)key.len,
		.deleted = true,
	};
	memcpy(v->key, key.data, key.len);
	if (slot == NULL) {
		slot = table_add(&overlay->table, hash);
	}
	slot->newest = v;
	if (older != NULL) {
		older->newer = v;
	}
	layer->latest = v;
	layer->count++;
	layer->record_bytes += layer_record_bytes(key.len, 0, true);
	if (overlay->in_order) {
		order_insert(overlay, v);
	}
	return v;
}

void layer_remove_latest(struct overlay *overlay, struct version *v)
{
	struct layer *layer = overlay->open;
	assert(layer->count > 0);
	assert(v == layer->latest);
	assert(v->newer == NULL);
	if (overlay->in_order) {
		order_remove(overlay, v);
	}
	struct table_slot *slot = table_slot_of(&overlay->table, v);
	slot->newest = v->older;
	if (v->older != NULL) {
		v->older->newer = NULL;
	} else if (slot->hot == NULL) {
		table_release(&overlay->table, slot);
	}
	layer->latest = v->next;
	layer->count--;
	layer->record_bytes -= layer_record_bytes(v->key_len, v->len, v->deleted);
}

void layer_set(struct overlay *overlay, struct version *v, struct slice value, bool deleted)
{
	struct layer *layer = overlay->open;
	assert(v->layer == layer);
	assert(v->newer == NULL);
	assert(layer->record_bytes >= layer_record_bytes(v->key_len, v->len, v->deleted));
	layer->record_bytes -= layer_record_bytes(v->key_len, v->len, v->deleted);
	layer->record_bytes += layer_record_bytes(v->key_len, value.len, deleted);
	uint8_t *buffer = NULL;
	if (value.len > 0) {
		if (value.len <= v->spare_cap) {
			buffer = v->spare;
			v->cap = v->spare_cap;
			v->spare = NULL;
			v->spare_cap = 0;
		} else {
			buffer = region_alloc(&layer->region, value.len);
			v->cap = (uint32_t)value.len;
		}
		memcpy(buffer, value.data, value.len);
	} else {
		v->cap = 0;
	}
	v->data = buffer;
	v->len = (uint32_t)value.len;
	v->deleted = deleted;
}

#include "txn/txn.h"

#include <assert.h>
#include <stdlib.h>

#include "txn/layer.h"

/* ---- life ---- */

struct txn *txn_begin(struct overlay *overlay, struct arena *arena)
{
	struct txn *txn = &overlay->txn;
	assert(txn->id == 0); /* one at a time */
	assert(txn->cursors == 0);
	txn->overlay = overlay;
	txn->arena = arena;
	txn->layer = overlay->open;
	txn->id = ++overlay->last_txn_id;
	txn->read_index = 0;
	txn->undo_count = 0;
	txn->undo_marked = 0;
	txn->writes = 0;
	txn->bytes = 0;
	txn->churn = 0;
	txn->events_begin = overlay->events.len;
	txn->pin_count = 0;
	txn->trace = NULL;
	txn->tight = false;
	txn->spent = 0;
	if (txn->layer != NULL) {
		txn->begin = region_mark(&txn->layer->region);
	}
	return txn;
}

/* Releases what the store lent, and rows that are one too many now. */
static void end(struct txn *txn)
{
	struct overlay *overlay = txn->overlay;
	assert(txn->cursors == 0);
	for (size_t i = 0; i < txn->pin_count; i++) {
		store_unpin(&txn->pins[i]);
	}
	txn->pin_count = 0;
	txn->id = 0;
	struct hot_row *row;
	while ((row = hot_surplus(&overlay->hot)) != NULL) {
		struct table_slot *slot = table_find(&overlay->table, row->key, row->hash);
		assert(slot->hot == row);
		slot->hot = NULL;
		if (slot->newest == NULL) {
			table_release(&overlay->table, slot);
		}
		hot_remove(&overlay->hot, row);
	}
}

void txn_commit(struct txn *txn)
{
	assert(txn->id != 0);
	if (txn_wrote(txn)) {
		assert(overlay_fits(txn->overlay, txn));
		txn->layer->joined++;
		/* Replaced buffers have no reader any more: the next writer of the key may have them. */
		for (size_t i = 0; i < txn->undo_count; i++) {
			struct undo *undo = &txn->undo[i];
			struct version *v = undo->version;
			if (undo->cap > v->spare_cap && undo->data != v->data) {
				v->spare = (uint8_t *)(uintptr_t)undo->data;
				v->spare_cap = undo->cap;
			}
		}
	}
	end(txn);
}

/* Spare buffers that were used up are spare again, once nobody can read them any more. */
static void return_spares(struct txn *txn)
{
	for (size_t i = 0; i < txn->undo_count; i++) {
		struct undo *undo = &txn->undo[i];
		if (undo->spare != NULL) {
			undo->version->spare = undo->spare;
			undo->version->spare_cap = undo->spare_cap;
		}
	}
}

void txn_abort(struct txn *txn)
{
	assert(txn->id != 0);
	if (txn->layer != NULL) {
		return_spares(txn);
		txn_rollback(txn, (struct txn_mark){0, txn->events_begin});
		region_rewind(&txn->layer->region, txn->begin);
	}
	end(txn);
}

uint64_t txn_now_ms(const struct txn *txn)
{
	return txn->layer == NULL ? 0 : txn->layer->stamp_ms;
}

uint64_t txn_index(const struct txn *txn)
{
	return txn->layer == NULL ? 0 : txn->layer->index;
}

uint32_t txn_ordinal(const struct txn *txn)
{
	return txn->layer == NULL ? 0 : txn->layer->joined;
}

bool txn_wrote(const struct txn *txn)
{
	return txn->undo_count > 0 || txn->overlay->events.len > txn->events_begin;
}

size_t txn_write_count(const struct txn *txn)
{
	return txn->writes;
}

uint64_t txn_read_index(const struct txn *txn)
{
	return txn->read_index;
}

void txn_tighten(struct txn *txn)
{
	assert(txn->id != 0);
	assert(!txn_wrote(txn));
	txn->tight = true;
}

bool txn_is_tight(const struct txn *txn)
{
	return txn->tight;
}

void txn_spend(struct txn *txn, size_t steps)
{
	assert(txn->id != 0);
	txn->spent += steps;
}

uint64_t txn_spent(const struct txn *txn)
{
	return txn->spent;
}

/* ---- reading ---- */

static int read_version(struct txn *txn, const struct version *v, struct slice *value)
{
	assert(v->writer <= txn->id);
	assert(v->newer == NULL);
	if (v->writer != txn->id && v->layer->index > txn->read_index) {
		txn->read_index = v->layer->index;
	}
	if (v->deleted) {
		return ERR_NOT_FOUND;
	}
	*value = version_value(v);
	return 0;
}

static int read_hot(struct hot_row *row, struct slice *value)
{
	assert(row != NULL);
	hot_touch(row);
	if (row->absent) {
		return ERR_NOT_FOUND;
	}
	*value = row->value;
	return 0;
}

static struct store_pin *new_pin(struct txn *txn)
{
	if (txn->pin_count == txn->pin_cap) {
		txn->pin_cap = txn->pin_cap == 0 ? 64 : txn->pin_cap * 2;
		txn->pins = realloc(txn->pins, txn->pin_cap * sizeof(*txn->pins));
		if (txn->pins == NULL) {
			fatal("out of memory: a transaction's reads");
		}
	}
	return &txn->pins[txn->pin_count];
}

/* A procedure that looks and then adds reads a row twice: the store is asked once. The
 * store's answer stands as long as the transaction, for keys without an uncommitted version are not being
 * written. */
static int read_store(struct txn *txn, struct slice key, uint64_t hash, struct slice *value)
{
	struct seen *seen = &txn->seen[hash % TXN_SEEN];
	if (seen->reader == txn->id && seen->hash == hash && slice_equal(seen->key, key)) {
		if (seen->status == 0) {
			*value = seen->value;
		}
		return seen->status;
	}
	struct store_pin *pin = new_pin(txn);
	int status = store_get(txn->overlay->store, key, pin);
	if (status != 0 && status != ERR_NOT_FOUND) {
		return status;
	}
	*seen = (struct seen){.reader = txn->id, .hash = hash, .status = status};
	seen->key = arena_copy(txn->arena, key);
	if (status == 0) {
		txn->pin_count++;
		seen->value = pin->value;
		*value = pin->value;
	}
	return status;
}

void txn_trace_reads(struct txn *txn, struct txn_trace *trace)
{
	assert(txn->id != 0);
	*trace = (struct txn_trace){0};
	txn->trace = trace;
}

void txn_note_key(struct txn *txn, struct slice key)
{
	struct txn_trace *trace = txn->trace;
	if (trace == NULL) {
		return;
	}
	for (size_t i = 0; i < trace->count; i++) {
		if (slice_equal(trace->keys[i], key)) {
			return;
		}
	}
	if (trace->count == TXN_TRACE_MAX) {
		trace->more = true;
		return;
	}
	trace->keys[trace->count++] = arena_copy(txn->arena, key);
}

/* Nothing uncommitted and no hot row has the key. */
static int read_through(struct txn *txn, struct slice key, uint64_t hash, struct slice *value, bool hot)
{
	struct overlay *overlay = txn->overlay;
	struct slice read = SLICE_NONE;
	int status = read_store(txn, key, hash, &read);
	if (status != 0 && status != ERR_NOT_FOUND) {
		return status;
	}
	/* Without an open layer we may be a follower, whose store changes without passing here. */
	if (txn->layer != NULL && read.len <= LIMIT_HOT_VALUE &&
	    (hot_asked_before(&overlay->hot, hash) || hot)) {
		table_add(&overlay->table, hash)->hot =
			hot_add(&overlay->hot, key, hash, read, status == ERR_NOT_FOUND);
	}
	if (status == 0) {
		*value = read;
	}
	return status;
}

static int get(struct txn *txn, struct slice key, struct slice *value, bool hot)
{
	assert(txn->id != 0);
	txn_note_key(txn, key);
	uint64_t hash = overlay_hash(txn->overlay, key);
	struct table_slot *slot = table_find(&txn->overlay->table, key, hash);
	if (slot == NULL) {
		return read_through(txn, key, hash, value, hot);
	}
	return slot->newest != NULL ? read_version(txn, slot->newest, value) : read_hot(slot->hot, value);
}

int txn_get(struct txn *txn, struct slice key, struct slice *value)
{
	return get(txn, key, value, false);
}

int txn_get_hot(struct txn *txn, struct slice key, struct slice *value)
{
	return get(txn, key, value, true);
}

/* ---- writing ---- */

static struct undo *new_undo(struct txn *txn)
{
	if (txn->undo_count == txn->undo_cap) {
		txn->undo_cap = txn->undo_cap == 0 ? 256 : txn->undo_cap * 2;
		txn->undo = realloc(txn->undo, txn->undo_cap * sizeof(*txn->undo));
		if (txn->undo == NULL) {
			fatal("out of memory: a transaction's writes");
		}
	}
	return &txn->undo[txn->undo_count++];
}

/* What v is now, before a write, can be brought back. Not needed twice between two marks. */
static void keep_undo(struct txn *txn, struct version *v, size_t value_len, bool created)
{
	assert(v->layer == txn->layer);
	if (v->writer == txn->id && v->undo_at >= txn->undo_marked && !created) {
		return;
	}
	struct undo *undo = new_undo(txn);
	bool takes_spare = value_len > 0 && value_len <= v->spare_cap;
	*undo = (struct undo){
		.version = v,
		.data = v->data,
		.writer = v->writer,
		.len = v->len,
		.cap = v->cap,
		.undo_at = v->undo_at,
		.txn_bytes = txn->bytes,
		.spare = takes_spare ? v->spare : NULL,
		.spare_cap = takes_spare ? v->spare_cap : 0,
		.deleted = v->deleted,
		.created = created,
	};
	v->undo_at = (uint32_t)(txn->undo_count - 1);
}

static size_t event_bytes(const struct txn *txn)
{
	return txn->overlay->events.len - txn->events_begin;
}

static int write(struct txn *txn, struct slice key, struct slice value, bool deleted)
{
	assert(txn->id != 0);
	assert(txn->layer != NULL);
	assert(key.len > 0);
	if (key.len > LIMIT_ROW_KEY || value.len > LIMIT_ROW_VALUE) {
		return ERR_TOO_LARGE;
	}
	struct overlay *overlay = txn->overlay;
	uint64_t hash = overlay_hash(overlay, key);
	struct table_slot *slot = table_find(&overlay->table, key, hash);
	struct version *v = slot == NULL ? NULL : slot->newest;
	bool in_layer = v != NULL && v->layer == txn->layer;
	bool own = in_layer && v->writer == txn->id;
	size_t bytes = txn->bytes + value.len + (own ? 0 : key.len) - (own ? v->len : 0);
	if (bytes + event_bytes(txn) > LIMIT_TXN_BYTES || txn->churn + value.len > LIMIT_TXN_CHURN) {
		return ERR_FULL;
	}
	if (!own && txn->writes == LIMIT_TXN_WRITES) {
		return ERR_FULL;
	}
	if (!in_layer) {
		v = layer_add(overlay, slot, key, hash);
	}
	keep_undo(txn, v, value.len, !in_layer);
	layer_set(overlay, v, value, deleted);
	v->writer = txn->id;
	txn->writes += !own;
	txn->bytes = (uint32_t)bytes;
	txn->churn += value.len;
	assert(txn->bytes <= LIMIT_TXN_BYTES);
	assert(txn->writes > 0);
	assert(txn->writes <= LIMIT_TXN_WRITES);
	return 0;
}

int txn_put(struct txn *txn, struct slice key, struct slice value)
{
	return write(txn, key, value, false);
}

int txn_delete(struct txn *txn, struct slice key)
{
	return write(txn, key, SLICE_NONE, true);
}

int txn_emit(struct txn *txn, struct slice event)
{
	assert(txn->id != 0);
	assert(txn->layer != NULL);
	struct buf *events = &txn->overlay->events;
	if (event.len > LIMIT_TXN_BYTES || txn->bytes + event_bytes(txn) + event.len + 20 > LIMIT_TXN_BYTES) {
		return ERR_FULL;
	}
	buf_append_varint(events, txn->layer->joined);
	buf_append_varint(events, event.len);
	buf_append_slice(events, event);
	assert(!buf_failed(events));
	return 0;
}

bool txn_next_written(const struct txn *txn, size_t *at, struct slice *key, bool *deleted)
{
	while (*at < txn->undo_count) {
		const struct undo *undo = &txn->undo[(*at)++];
		if (undo->writer != txn->id) { /* its first writing by this transaction */
			*key = version_key(undo->version);
			*deleted = undo->version->deleted;
			return true;
		}
	}
	return false;
}

/* ---- marks ---- */

struct txn_mark txn_mark(struct txn *txn)
{
	assert(txn->id != 0);
	txn->undo_marked = txn->undo_count;
	return (struct txn_mark){txn->undo_count, txn->overlay->events.len};
}

static void take_back(struct txn *txn, const struct undo *undo)
{
	struct version *v = undo->version;
	assert(v->writer == txn->id);
	assert(v->layer == txn->layer);
	if (undo->writer != txn->id) {
		assert(txn->writes > 0);
		txn->writes--;
	}
	txn->bytes = undo->txn_bytes;
	if (undo->created) {
		layer_remove_latest(txn->overlay, v);
		return;
	}
	v->layer->record_bytes -= layer_record_bytes(v->key_len, v->len, v->deleted);
	v->layer->record_bytes += layer_record_bytes(v->key_len, undo->len, undo->deleted);
	v->data = undo->data;
	v->len = undo->len;
	v->cap = undo->cap;
	v->undo_at = undo->undo_at;
	v->writer = undo->writer;
	v->deleted = undo->deleted;
}

void txn_rollback(struct txn *txn, struct txn_mark mark)
{
	assert(txn->id != 0);
	assert(mark.undo <= txn->undo_count);
	assert(mark.events <= txn->overlay->events.len);
	while (txn->undo_count > mark.undo) {
		take_back(txn, &txn->undo[--txn->undo_count]);
	}
	assert(txn->undo_count == mark.undo);
	txn->overlay->events.len = mark.events;
}

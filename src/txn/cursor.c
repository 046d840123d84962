/* A walk over three levels at once: the open layer (own writes among them),
 * the sealed layers, the store. Each is ordered; the smallest key is next,
 * and of several versions of it the newest level's is the row. */
#include <assert.h>

#include "txn/cursor.h"
#include "txn/order.h"

/* One sealed layer's part of the range. */
struct source {
	struct version **at, **end; /* backward: the next is end[-1] */
	bool taken;                 /* it has the key that was returned last */
};

struct txn_cursor {
	struct txn *txn;
	struct slice from, to;
	bool backward;
	int error;

	/* the open layer */
	struct ordmap_node *open_at;
	bool open_taken;
	uint64_t changes;

	/* the store; valid: key and value are its next row */
	struct store_cursor *store;
	struct slice store_key, store_value;
	bool store_valid, store_taken;

	struct slice last; /* in last_bytes: where the walk stands, once it has begun */
	bool begun;
	uint8_t last_bytes[LIMIT_ROW_KEY];

	size_t source_count; /* newest layer first */
	struct source sources[];
};

/* ---- opening ---- */

/* How many of count ordered versions have keys below the bound. */
static size_t count_below(struct version **ordered, size_t count, struct slice bound)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (slice_compare(version_key(ordered[middle]), bound) < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

static void open_sources(struct txn_cursor *cursor)
{
	struct overlay *overlay = cursor->txn->overlay;
	for (struct list *link = overlay->layers.prev; link != &overlay->layers; link = link->prev) {
		struct layer *layer = list_entry(link, struct layer, link);
		if (!layer->sealed) {
			continue;
		}
		size_t begin = count_below(layer->ordered, layer->count, cursor->from);
		size_t end = cursor->to.len == 0 ? layer->count
						 : count_below(layer->ordered, layer->count, cursor->to);
		if (begin < end) {
			cursor->sources[cursor->source_count++] =
				(struct source){layer->ordered + begin, layer->ordered + end, false};
		}
	}
	assert(cursor->source_count <= overlay->layer_count);
}

static bool in_range(const struct txn_cursor *cursor, struct ordmap_node *node)
{
	if (cursor->backward) {
		return slice_compare(node->key, cursor->from) >= 0;
	}
	return cursor->to.len == 0 || slice_compare(node->key, cursor->to) < 0;
}

/* The open layer's first node behind the walk's place. */
static struct ordmap_node *seek_open(const struct txn_cursor *cursor)
{
	struct ordmap *order = &cursor->txn->overlay->order;
	struct ordmap_node *node;
	if (cursor->backward) {
		struct slice bound = cursor->begun ? cursor->last : cursor->to;
		node = bound.len == 0 ? ordmap_last(order) : ordmap_seek_before(order, bound);
	} else if (!cursor->begun) {
		node = ordmap_seek(order, cursor->from);
	} else {
		node = ordmap_seek(order, cursor->last);
		if (node != NULL && slice_equal(node->key, cursor->last)) {
			node = ordmap_next(node);
		}
	}
	return node != NULL && in_range(cursor, node) ? node : NULL;
}

struct txn_cursor *cursor_open_layers(struct txn *txn, struct slice from, struct slice to, bool backward)
{
	assert(txn->id != 0);
	struct overlay *overlay = txn->overlay;
	size_t bytes = sizeof(struct txn_cursor) + overlay->layer_count * sizeof(struct source);
	struct txn_cursor *cursor = arena_alloc(txn->arena, bytes);
	*cursor = (struct txn_cursor){.txn = txn, .backward = backward};
	cursor->from = arena_copy(txn->arena, from);
	cursor->to = arena_copy(txn->arena, to);
	open_sources(cursor);
	if (txn->layer != NULL) {
		order_begin(overlay);
		cursor->open_at = seek_open(cursor);
		cursor->changes = overlay->order_changes;
	}
	txn->cursors++;
	return cursor;
}

struct txn_cursor *txn_cursor_open(struct txn *txn, struct slice from, struct slice to, bool backward)
{
	struct txn_cursor *cursor = cursor_open_layers(txn, from, to, backward);
	cursor->store = store_cursor_open(txn->overlay->store, from, to, backward);
	cursor->store_taken = true;
	return cursor;
}

/* ---- walking ---- */

static void advance_store(struct txn_cursor *cursor)
{
	if (!cursor->store_taken) {
		return;
	}
	cursor->store_taken = false;
	cursor->store_valid = store_cursor_next(cursor->store, &cursor->store_key, &cursor->store_value);
	if (!cursor->store_valid) {
		cursor->error = store_cursor_error(cursor->store);
	}
}

static void advance_open(struct txn_cursor *cursor)
{
	struct overlay *overlay = cursor->txn->overlay;
	if (cursor->changes != overlay->order_changes) {
		cursor->changes = overlay->order_changes;
		/* What it pointed to may have been rolled back, or no longer be the next. */
		cursor->open_at = seek_open(cursor);
	} else if (cursor->open_taken) {
		assert(cursor->open_at != NULL);
		struct ordmap_node *node =
			cursor->backward ? ordmap_prev(cursor->open_at) : ordmap_next(cursor->open_at);
		cursor->open_at = node != NULL && in_range(cursor, node) ? node : NULL;
	}
	cursor->open_taken = false;
}

static void advance_sources(struct txn_cursor *cursor)
{
	for (size_t i = 0; i < cursor->source_count; i++) {
		struct source *source = &cursor->sources[i];
		if (!source->taken) {
			continue;
		}
		assert(source->at < source->end);
		source->taken = false;
		if (cursor->backward) {
			source->end--;
		} else {
			source->at++;
		}
	}
}

static struct version *source_next(const struct txn_cursor *cursor, const struct source *source)
{
	if (source->at == source->end) {
		return NULL;
	}
	return cursor->backward ? source->end[-1] : *source->at;
}

/* <0: a comes before b in the walk's direction. */
static int walk_order(const struct txn_cursor *cursor, struct slice a, struct slice b)
{
	int order = slice_compare(a, b);
	return cursor->backward ? -order : order;
}

/* The newest version of the next key among open and sealed layers, or NULL; marks those that have this key as
 * taken. */
static struct version *next_version(struct txn_cursor *cursor)
{
	struct version *best = cursor->open_at == NULL ? NULL : order_version(cursor->open_at);
	for (size_t i = 0; i < cursor->source_count; i++) {
		struct version *v = source_next(cursor, &cursor->sources[i]);
		if (v != NULL &&
		    (best == NULL || walk_order(cursor, version_key(v), version_key(best)) < 0)) {
			best = v;
		}
	}
	return best;
}

static void take_equal(struct txn_cursor *cursor, struct slice key)
{
	cursor->open_taken = cursor->open_at != NULL && slice_equal(cursor->open_at->key, key);
	for (size_t i = 0; i < cursor->source_count; i++) {
		struct version *v = source_next(cursor, &cursor->sources[i]);
		cursor->sources[i].taken = v != NULL && slice_equal(version_key(v), key);
	}
}

static void remember(struct txn_cursor *cursor, struct slice key)
{
	assert(key.len <= sizeof(cursor->last_bytes));
	memcpy(cursor->last_bytes, key.data, key.len);
	cursor->last = slice_of(cursor->last_bytes, key.len);
	cursor->begun = true;
}

static void note_read(struct txn *txn, const struct version *v)
{
	if (v->writer != txn->id && v->layer->index > txn->read_index) {
		txn->read_index = v->layer->index;
	}
}

const struct version *cursor_next_version(struct txn_cursor *cursor)
{
	assert(cursor->txn->id != 0);
	assert(cursor->store == NULL);
	advance_open(cursor);
	advance_sources(cursor);
	struct version *v = next_version(cursor);
	if (v != NULL) {
		remember(cursor, version_key(v));
		take_equal(cursor, version_key(v));
		note_read(cursor->txn, v);
	}
	return v;
}

bool txn_cursor_next(struct txn_cursor *cursor, struct slice *key, struct slice *value)
{
	assert(cursor->txn->id != 0);
	for (;;) {
		advance_open(cursor);
		advance_sources(cursor);
		advance_store(cursor);
		if (cursor->error != 0) {
			return false;
		}
		struct version *v = next_version(cursor);
		if (v == NULL && !cursor->store_valid) {
			return false;
		}
		int order = v == NULL              ? 1
			    : !cursor->store_valid ? -1
						   : walk_order(cursor, version_key(v), cursor->store_key);
		if (order > 0) {
			remember(cursor, cursor->store_key);
			txn_note_key(cursor->txn, cursor->store_key);
			cursor->store_taken = true;
			*key = cursor->store_key;
			*value = cursor->store_value;
			return true;
		}
		cursor->store_taken = order == 0;
		remember(cursor, version_key(v));
		take_equal(cursor, version_key(v));
		note_read(cursor->txn, v);
		if (!v->deleted) {
			txn_note_key(cursor->txn, version_key(v));
			*key = version_key(v);
			*value = version_value(v);
			return true;
		}
	}
}

int txn_cursor_error(const struct txn_cursor *cursor)
{
	return cursor->error;
}

void txn_cursor_close(struct txn_cursor *cursor)
{
	if (cursor != NULL) {
		assert(cursor->txn->cursors > 0);
		cursor->txn->cursors--;
		store_cursor_close(cursor->store);
	}
}

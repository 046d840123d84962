/* A pending row is kept as
 *
 *   length of the key (2)  kept length of the value (4)  deleted (1)  key  value
 *
 * one behind the other in the order of keys: they are only ever read in sequence. */
#include "txn/view.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "txn/cursor.h"

struct row_of_view {
	struct slice key, value;
	bool valid, deleted;
};

struct txn_view {
	struct store_cursor *store;
	struct buf pending;
	struct slice rest;               /* of pending, not read yet */
	struct row_of_view newer, older; /* the next of pending and of the store */
	bool newer_taken, older_taken;   /* they were returned, or are hidden: read on */
};

static bool keep_pending(struct txn_view *view, struct txn *txn, struct slice from, struct slice to,
			 size_t head_max)
{
	struct txn_cursor *cursor = cursor_open_layers(txn, from, to, false);
	const struct version *v;
	while (!buf_failed(&view->pending) && (v = cursor_next_version(cursor)) != NULL) {
		struct slice value = v->deleted ? SLICE_NONE : version_value(v);
		size_t kept = value.len < head_max ? value.len : head_max;
		buf_append_u16(&view->pending, v->key_len);
		buf_append_u32(&view->pending, (uint32_t)kept);
		buf_append_byte(&view->pending, v->deleted);
		buf_append_slice(&view->pending, version_key(v));
		buf_append(&view->pending, value.data, kept);
	}
	txn_cursor_close(cursor);
	return !buf_failed(&view->pending);
}

struct txn_view *txn_view_open(struct txn *txn, struct slice from, struct slice to, size_t head_max,
			       uint64_t removed_max)
{
	struct txn_view *view = calloc(1, sizeof *view);
	if (view == NULL) {
		fatal("out of memory: a view");
	}
	buf_init(&view->pending, VIEW_PENDING_MAX);
	if (!keep_pending(view, txn, from, to, head_max)) {
		txn_view_close(view);
		return NULL;
	}
	view->rest = buf_slice(&view->pending);
	view->store = store_cursor_open_short(txn->overlay->store, from, to, removed_max);
	view->newer_taken = view->older_taken = true;
	return view;
}

static void advance_newer(struct txn_view *view)
{
	struct row_of_view *row = &view->newer;
	uint16_t key_len = 0;
	uint32_t value_len = 0;
	uint8_t deleted = 0;
	row->valid = slice_take_u16(&view->rest, &key_len);
	if (!row->valid) {
		return;
	}
	bool whole = slice_take_u32(&view->rest, &value_len) && slice_take_u8(&view->rest, &deleted) &&
		     slice_take(&view->rest, key_len, &row->key) &&
		     slice_take(&view->rest, value_len, &row->value);
	assert(whole); /* we wrote it ourselves */
	row->deleted = deleted != 0;
}

static void advance(struct txn_view *view)
{
	if (view->newer_taken) {
		view->newer_taken = false;
		advance_newer(view);
	}
	if (view->older_taken) {
		view->older_taken = false;
		view->older.valid = store_cursor_next(view->store, &view->older.key, &view->older.value);
	}
}

/* <0: the pending row is next, >0: the store's, 0: the pending one hides the store's. */
static int order_of_next(const struct txn_view *view)
{
	if (!view->newer.valid || !view->older.valid) {
		return view->newer.valid ? -1 : 1;
	}
	return slice_compare(view->newer.key, view->older.key);
}

bool txn_view_next(struct txn_view *view, struct slice *key, struct slice *value)
{
	for (;;) {
		advance(view);
		if (txn_view_error(view) != 0 || (!view->newer.valid && !view->older.valid)) {
			return false;
		}
		int order = order_of_next(view);
		const struct row_of_view *next = order <= 0 ? &view->newer : &view->older;
		view->newer_taken = order <= 0;
		view->older_taken = order >= 0;
		if (!next->deleted) {
			*key = next->key;
			*value = next->value;
			return true;
		}
	}
}

int txn_view_error(const struct txn_view *view)
{
	return store_cursor_error(view->store);
}

void txn_view_close(struct txn_view *view)
{
	if (view != NULL) {
		store_cursor_close(view->store);
		buf_fini(&view->pending);
		free(view);
	}
}

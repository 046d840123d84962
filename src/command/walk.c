#include "command/walk.h"

#include "base/err.h"

/* An iterator of the database's, and its first seek. */
#define WALK_STEPS_OPENED 600

int walk_open(struct walk *walk, struct command_call *call, struct slice prefix, struct slice after,
                     bool backward)
{
	struct slice from, to;
	struct space space;
	int rc = space_get(call->txn, call->db, &space);

	walk->txn = call->txn;
	walk->cursor = NULL;
	walk->rows = walk->place_len = 0;
	walk->rows_max = COMMAND_WALK_MAX;
	walk->rc = 0;
	if (rc != 0 || !space.stored) {
		return rc;
	}
	space_range(&space, prefix, call->arena, &from, &to);
	if (after.len > 0 && slice_compare(after, prefix) >= 0) {
		struct slice ignored;
		space_range(&space, after, call->arena, &from, &ignored);
	}
	txn_spend(call->txn, WALK_STEPS_OPENED);
	walk->cursor = txn_cursor_open(call->txn, from, to, backward);
	return 0;
}

bool walk_next(struct walk *walk, struct slice *key, struct row *row)
{
	struct slice row_key, value;

	while (walk->cursor != NULL && walk->rc == 0 && walk->rows < walk->rows_max) {
		if (!txn_cursor_next(walk->cursor, &row_key, &value)) {
			walk->rc = txn_cursor_error(walk->cursor);
			return false;
		}
		if (row_key.len < ROW_PREFIX || row_key.len > ROW_PREFIX + LIMIT_KEY) {
			walk->rc = ERR_CORRUPT;
			return false;
		}
		walk->rows++;
		txn_spend(walk->txn, ROW_STEPS_WALKED);
		walk->place_len = row_key.len - ROW_PREFIX;
		memcpy(walk->place, row_key.data + ROW_PREFIX, walk->place_len);
		if (row_decode(walk->txn, row_key, value, key, row)) {
			return true;
		}
		if (!(row->flags & ROW_EXPIRES)) {
			walk->rc = ERR_CORRUPT;
			return false;
		}
		walk->rc = row_forget_expired(walk->txn, row_key, row->expire_at_ms);
	}
	return false;
}

int walk_close(struct walk *walk, bool *cut)
{
	struct slice key, value;

	*cut = false;
	if (walk->cursor == NULL) {
		return walk->rc;
	}
	if (walk->rc == 0 && walk->rows == walk->rows_max) {
		*cut = txn_cursor_next(walk->cursor, &key, &value);
		walk->rc = txn_cursor_error(walk->cursor);
	}
	txn_cursor_close(walk->cursor);
	return walk->rc;
}

void gather_add(struct gather *g, struct arena *arena, struct slice item)
{
	if (g->count == g->cap) {
		size_t cap = g->cap == 0 ? 16 : g->cap * 2;
		struct slice *items = arena_alloc(arena, cap * sizeof(*items));
		if (g->count > 0) {
			memcpy(items, g->items, g->count * sizeof(*items));
		}
		g->items = items;
		g->cap = cap;
	}
	g->items[g->count++] = arena_copy(arena, item);
	g->bytes += item.len;
}

void reply_gathered(struct reply *r, const struct gather *g)
{
	reply_array(r, g->count);
	for (size_t i = 0; i < g->count; i++) {
		reply_bulk(r, g->items[i]);
	}
}

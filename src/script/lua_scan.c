/* db.t:scan and scan_by: walking over rows by their key or by an index. */
#include "script/lua_db.h"

#include <assert.h>
#include <inttypes.h>

#include <lauxlib.h>

#include "wire/tuple.h"

struct scan_box {
	enum box_kind kind;
	const struct schema_table *table;
	const struct schema_index *index; /* NULL: by the table's own key */
	uint64_t call_id;
	size_t cursor; /* place in the call */
	lua_Integer left;
};

/* ---- scanning ---- */

void db_close_cursors(struct script_call *call)
{
	for (size_t i = 0; i < CALL_CURSORS; i++) {
		if (call->cursors[i] != NULL) {
			txn_cursor_close(call->cursors[i]);
			call->cursors[i] = NULL;
		}
	}
}

static void close_scan(struct script_call *call, struct scan_box *scan)
{
	txn_cursor_close(call->cursors[scan->cursor]);
	call->cursors[scan->cursor] = NULL;
	scan->left = 0;
}

/* The row an index entry leads to. */
static bool row_of_entry(lua_State *L, struct script_call *call, struct scan_box *scan, struct slice entry,
			 struct slice *key, struct slice *value)
{
	struct slice rest = slice_skip(entry, scan->index->prefix.len);
	for (size_t i = 0; i < scan->index->column_count; i++) {
		struct tuple_item item;
		if (tuple_read(&rest, &item) < 0) {
			call_broken(L, ERR_CORRUPT);
		}
	}
	uint8_t *bytes = arena_alloc(call->arena, scan->table->prefix.len + rest.len);
	memcpy(bytes, scan->table->prefix.data, scan->table->prefix.len);
	memcpy(bytes + scan->table->prefix.len, rest.data, rest.len);
	*key = slice_of(bytes, scan->table->prefix.len + rest.len);
	budget_charge(L, STEPS_PER_READ);
	int status = txn_get(call->txn, *key, value);
	db_check(L, status);
	return status == 0;
}

/* Who leaves the loop by break, return or an error has closed the scan: eight may be open at once. */
static int scan_close(lua_State *L)
{
	struct scan_box *scan = lua_touserdata(L, 1);
	struct script_call *call = bundle_of(L)->call;
	if (call != NULL && scan->call_id == call->id && scan->left > 0) {
		close_scan(call, scan);
	}
	return 0;
}

void db_make_scan_meta(lua_State *L, struct script_bundle *bundle)
{
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, scan_close);
	lua_setfield(L, -2, "__close");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	bundle->scan_meta_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static int scan_next(lua_State *L)
{
	struct scan_box *scan = lua_touserdata(L, lua_upvalueindex(1));
	struct script_call *call = db_running(L);
	if (scan->left <= 0 || scan->call_id != call->id) {
		return 0;
	}
	struct slice key, value;
	struct txn_cursor *cursor = call->cursors[scan->cursor];
	budget_charge(L, STEPS_PER_ROW);
	if (!txn_cursor_next(cursor, &key, &value)) {
		int status = txn_cursor_error(cursor);
		close_scan(call, scan);
		db_check(L, status);
		return 0;
	}
	if (scan->index != NULL) {
		if (!row_of_entry(L, call, scan, key, &key, &value)) {
			call_broken(L, ERR_CORRUPT); /* an entry without its row */
		}
	} else {
		key = arena_copy(call->arena, key);
		value = arena_copy(call->arena, value);
	}
	budget_charge(L, (key.len + value.len) / 16);
	struct cell *cells = db_new_cells(L, call, scan->table);
	if (db_decode_key(scan->table, key, call->arena, cells) < 0) {
		call_broken(L, ERR_CORRUPT);
	}
	db_push_row(L, scan->table, cells, key, value, false);
	if (--scan->left == 0) {
		close_scan(call, scan);
	}
	return 1;
}

struct bounds {
	struct slice from, to;
	bool reverse;
	lua_Integer limit;
};

/* Goes on behind the row of this key, which need not be one of those that are scanned. */
static void begin_behind(struct script_call *call, struct slice key, struct bounds *bounds)
{
	assert(bounds->to.len > 0);
	if (bounds->reverse) {
		bounds->to = slice_compare(key, bounds->to) < 0 ? key : bounds->to;
	} else {
		uint8_t *bytes = arena_alloc(call->arena, key.len + 1);
		memcpy(bytes, key.data, key.len);
		bytes[key.len] = 0; /* the first key behind it */
		struct slice next = slice_of(bytes, key.len + 1);
		bounds->from = slice_compare(next, bounds->from) > 0 ? next : bounds->from;
	}
	if (slice_compare(bounds->from, bounds->to) >= 0) {
		bounds->limit = 0;
	}
}

/* Options behind the key: limit, reverse, after = { whole key } (the row to go on behind). */
static void read_options(lua_State *L, struct script_call *call, const struct schema_table *table, int index,
			 bool by_index, struct bounds *bounds)
{
	if (lua_getfield(L, index, "limit") != LUA_TNIL) {
		bounds->limit = luaL_checkinteger(L, -1);
	}
	lua_getfield(L, index, "reverse");
	bounds->reverse = lua_toboolean(L, -1);
	if (lua_getfield(L, index, "after") == LUA_TNIL) {
		return;
	}
	if (by_index || lua_type(L, -1) != LUA_TTABLE) {
		luaL_error(L, "scan: after is a list, the key of a row, and for scan only");
	}
	int list = lua_gettop(L);
	int count = (int)lua_rawlen(L, list);
	luaL_checkstack(L, SCHEMA_KEY_MAX, NULL);
	for (int i = 1; i <= count && i <= SCHEMA_KEY_MAX; i++) {
		lua_rawgeti(L, list, i);
	}
	struct cell *cells = db_new_cells(L, call, table);
	if (db_read_key(L, table, list + 1, lua_gettop(L), cells) != table->key_count) {
		luaL_error(L, "scan: after has all columns of the key");
	}
	begin_behind(call, db_encode_key(L, call, table, cells, table->key_count), bounds);
}

/* Returns what `for` wants: the function, no state, no first value, and what it closes in the end. */
static int open_scan(lua_State *L, struct script_call *call, const struct schema_table *table,
		     const struct schema_index *index, struct bounds bounds)
{
	size_t place = 0;
	while (place < CALL_CURSORS && call->cursors[place] != NULL) {
		place++;
	}
	if (place == CALL_CURSORS) {
		return luaL_error(L, "more than %d scans are open", CALL_CURSORS);
	}
	struct scan_box *scan = lua_newuserdatauv(L, sizeof *scan, 0);
	*scan = (struct scan_box){BOX_SCAN, table, index, call->id, place, bounds.limit};
	lua_rawgeti(L, LUA_REGISTRYINDEX, call->bundle->scan_meta_ref);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, scan_next, 1);
	lua_pushnil(L);
	lua_pushnil(L);
	lua_pushvalue(L, -4);
	budget_count(L); /* a loop begins here (site.c, is_endless) */
	budget_charge(L, STEPS_PER_READ);
	if (bounds.limit > 0) {
		call->cursors[place] = txn_cursor_open(call->txn, bounds.from, bounds.to, bounds.reverse);
	}
	return 4;
}

static struct bounds bounds_of(struct script_call *call, struct slice prefix)
{
	uint8_t *end = arena_alloc(call->arena, prefix.len);
	size_t len = tuple_prefix_end(prefix, end);
	return (struct bounds){.from = prefix, .to = slice_of(end, len), .limit = LUA_MAXINTEGER};
}

/* db.t:scan(leading key columns…, [options]) */
int db_scan(lua_State *L, const struct schema_table *table, int first)
{
	struct script_call *call = db_running(L);
	int last = lua_gettop(L);
	bool options = last >= first && lua_istable(L, last);
	struct cell *cells = db_new_cells(L, call, table);
	int keys = options ? last - 1 : last;
	size_t count = db_read_key(L, table, first, keys, cells);
	if ((int)count != keys - first + 1) {
		return luaL_error(L, "db.%s: its key has %d columns", (const char *)table->name.data,
				  (int)table->key_count);
	}
	struct bounds bounds = bounds_of(call, db_encode_key(L, call, table, cells, count));
	if (options) {
		read_options(L, call, table, last, false, &bounds);
	}
	return open_scan(L, call, table, NULL, bounds);
}

/* db.t:scan_by("index", leading columns…, [options]) */
int db_scan_by(lua_State *L, const struct schema_table *table, int first)
{
	struct script_call *call = db_running(L);
	struct slice name = slice_str(luaL_checkstring(L, first));
	const struct schema_index *index = NULL;
	for (size_t i = 0; i < table->index_count; i++) {
		if (slice_equal(table->indexes[i].name, name)) {
			index = &table->indexes[i];
		}
	}
	if (index == NULL) {
		return luaL_error(L, "db.%s has no index '%s'", (const char *)table->name.data,
				  lua_tostring(L, first));
	}
	int last = lua_gettop(L);
	bool options = last > first && lua_istable(L, last);
	int keys = options ? last - 1 : last;
	if ((size_t)(keys - first) > index->column_count) {
		return luaL_error(L, "index %s has %d columns", lua_tostring(L, first),
				  (int)index->column_count);
	}
	struct cell cells[SCHEMA_KEY_MAX];
	size_t room = index->prefix.len, count = (size_t)(keys - first);
	for (size_t i = 0; i < count; i++) {
		const char *why = value_to_cell(L, first + 1 + (int)i, &cells[i]);
		if (why != NULL || cells[i].kind == CELL_NESTED) {
			return luaL_error(L, "index %s: column %d %s", lua_tostring(L, first), (int)i + 1,
					  why == NULL ? "is a table" : why);
		}
		room += db_tuple_max(&cells[i]);
	}
	uint8_t *prefix = db_key_room(L, call, room);
	memcpy(prefix, index->prefix.data, index->prefix.len);
	uint8_t *out = prefix + index->prefix.len;
	for (size_t i = 0; i < count; i++) {
		out = db_tuple_write(out, &cells[i]);
	}
	struct bounds bounds = bounds_of(call, slice_of(prefix, (size_t)(out - prefix)));
	if (options) {
		read_options(L, call, table, last, true, &bounds);
	}
	return open_scan(L, call, table, index, bounds);
}

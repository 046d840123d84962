/* Rows as scripts see them, and how a call ends when one is not as it should be.
 *
 * A row is a light object over cells in the call's arena: nothing becomes a Lua value
 * before it is asked for. Rows cannot be changed; what is written is what the call names. */
#include "script/lua_db.h"

#include <assert.h>
#include <inttypes.h>

#include <lauxlib.h>

#include "wire/json.h"
#include "wire/tuple.h"

/* ---- endings ---- */

void call_broken(lua_State *L, int status)
{
	bundle_of(L)->call->status = status;
	budget_raise(L, BUDGET_RAISED);
}

void call_fail(lua_State *L, const char *code, const char *details)
{
	struct script_call *call = bundle_of(L)->call;
	enum code known = code_find(slice_str(code));
	assert(known != CODE_NONE);
	call->fail_code = slice_str(code);
	call->fail_details = details;
	call->fail_outcome = code_outcome(known);
	call->fail_declared = false;
	budget_raise(L, BUDGET_RAISED);
}

/* "table":"order","key":["o1"] */
const char *db_row_details(lua_State *L, const struct schema_table *table, const struct cell *cells)
{
	struct buf *out = &bundle_of(L)->scratch;
	buf_reset(out);
	buf_append_text(out, "\"table\":");
	json_write_text(out, table->name);
	buf_append_text(out, ",\"key\":[");
	for (size_t i = 0; i < table->key_count; i++) {
		const struct cell *cell = &cells[table->key[i]];
		if (i > 0) {
			buf_append_byte(out, ',');
		}
		if (cell->kind == CELL_TEXT) {
			json_write_text(out, cell_slice(cell));
		} else {
			json_write_int(out, cell->integer);
		}
	}
	buf_append_byte(out, ']');
	return (const char *)arena_copy(bundle_of(L)->call->arena, buf_slice(out)).data;
}

const char *db_column_details(lua_State *L, const struct schema_table *table, const struct field *column,
			      int64_t value, int64_t add)
{
	return arena_printf(bundle_of(L)->call->arena,
			    "\"table\":\"%s\",\"column\":\"%s\",\"value\":%" PRId64 ",\"add\":%" PRId64,
			    (const char *)table->name.data, (const char *)column->name.data, value, add);
}

struct script_call *db_running(lua_State *L)
{
	struct script_call *call = bundle_of(L)->call;
	if (call == NULL) {
		luaL_error(L, "rows can be reached during a call only");
	}
	return call;
}

struct script_call *db_writing(lua_State *L)
{
	struct script_call *call = db_running(L);
	if (!call->procedure->writes) {
		luaL_error(L, "%s is declared without writes = true",
			   (const char *)call->procedure->name.data);
	}
	return call;
}

void db_check(lua_State *L, int status)
{
	if (status == ERR_TOO_LARGE) {
		call_fail(L, "TOO_LARGE", NULL);
	}
	if (status < 0 && status != ERR_NOT_FOUND) {
		call_broken(L, status);
	}
}

/* ---- stored rows ---- */

int db_decode_value(const struct schema_table *table, struct slice value, struct cell *cells)
{
	if (value.len == 0) {
		return ERR_CORRUPT;
	}
	size_t count = value.data[0];
	value = slice_skip(value, 1);
	for (size_t i = 0; i < table->stored_count; i++) {
		struct cell *cell = &cells[table->stored[i]];
		if (i >= count) {
			*cell = (struct cell){.kind = CELL_NOTHING};
		} else if (cell_read(&value, cell) < 0) {
			return ERR_CORRUPT;
		}
		if (cell->kind == CELL_NOTHING &&
		    table->columns.items[table->stored[i]].type.kind == TYPE_COUNT &&
		    !table->columns.items[table->stored[i]].type.optional) {
			*cell = cell_int(0); /* a count added later */
		}
	}
	return 0;
}

int db_decode_key(const struct schema_table *table, struct slice key, struct arena *arena, struct cell *cells)
{
	if (!slice_starts_with(key, table->prefix)) {
		return ERR_CORRUPT;
	}
	key = slice_skip(key, table->prefix.len);
	for (size_t i = 0; i < table->key_count; i++) {
		struct tuple_item item;
		if (tuple_read(&key, &item) < 0) {
			return ERR_CORRUPT;
		}
		struct cell *cell = &cells[table->key[i]];
		if (item.kind == TUPLE_TEXT) {
			struct slice text = item.text;
			if (item.escaped) {
				uint8_t *plain = arena_alloc(arena, text.len);
				text = slice_of(plain, tuple_unescape(text, plain));
			}
			*cell = cell_text(text);
		} else if (item.kind == TUPLE_NOTHING) {
			return ERR_CORRUPT; /* no column of a key is optional */
		} else {
			*cell = (struct cell){.kind = item.kind == TUPLE_INT ? CELL_INT : CELL_BOOL,
					      .integer = item.integer};
		}
	}
	return key.len == 0 ? 0 : ERR_CORRUPT;
}

void db_decode_row(lua_State *L, const struct schema_table *table, struct slice value, struct cell *cells)
{
	if (db_decode_value(table, value, cells) < 0) {
		call_broken(L, ERR_CORRUPT);
	}
}

void db_push_row(lua_State *L, const struct schema_table *table, struct cell *cells, struct slice key,
		 struct slice value, bool decoded)
{
	struct row_box *row = lua_newuserdatauv(L, sizeof *row, 0);
	*row = (struct row_box){BOX_ROW, decoded, table, cells, key, value};
	lua_rawgeti(L, LUA_REGISTRYINDEX, bundle_of(L)->row_meta_ref);
	lua_setmetatable(L, -2);
}

/* ---- rows as scripts see them ---- */

struct row_box *db_row(lua_State *L, int index)
{
	struct row_box *row = lua_touserdata(L, index);
	return row != NULL && row->kind == BOX_ROW ? row : NULL;
}

const struct cell *db_row_cells(lua_State *L, struct row_box *row)
{
	if (!row->decoded) {
		db_decode_row(L, row->table, row->value, row->cells);
		row->decoded = true;
	}
	return row->cells;
}

const struct schema_table *db_row_table(const struct row_box *row)
{
	return row->table;
}

void db_row_bytes(lua_State *L, struct row_box *row, struct slice *key, struct slice *value)
{
	*key = slice_skip(row->key, row->table->prefix.len);
	*value = row->value;
}

static int row_index(lua_State *L)
{
	struct row_box *row = lua_touserdata(L, 1);
	int column = -1;
	if (lua_type(L, 2) == LUA_TSTRING) {
		column = fields_find(&row->table->columns, lua_tolstring(L, 2, NULL));
	}
	if (column < 0) {
		return luaL_error(L, "%s has no column '%s'", (const char *)row->table->name.data,
				  luaL_tolstring(L, 2, NULL));
	}
	value_push_cell(L, &db_row_cells(L, row)[column]);
	return 1;
}

static int row_newindex(lua_State *L)
{
	return luaL_error(L, "a row cannot be changed: write with db.name:update(…)");
}

/* pairs(row): columns in declared order. */
static int row_next(lua_State *L)
{
	struct row_box *row = db_row(L, 1);
	if (row == NULL) {
		return luaL_error(L, "not a row");
	}
	const struct fields *columns = &row->table->columns;
	int column = lua_isnil(L, 2) ? 0 : fields_find(columns, luaL_checkstring(L, 2)) + 1;
	const struct cell *cells = db_row_cells(L, row);
	for (; (size_t)column < columns->count; column++) {
		if (cells[column].kind != CELL_NOTHING) {
			lua_rawgeti(L, LUA_REGISTRYINDEX, columns->items[column].name_ref);
			value_push_cell(L, &cells[column]);
			return 2;
		}
	}
	lua_pushnil(L);
	return 1;
}

static int row_pairs(lua_State *L)
{
	lua_pushcfunction(L, row_next);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

void db_make_row_meta(lua_State *L, struct script_bundle *bundle)
{
	static const luaL_Reg meta[] = {
		{"__index", row_index}, {"__newindex", row_newindex}, {"__pairs", row_pairs}, {NULL, NULL}};
	lua_newtable(L);
	luaL_setfuncs(L, meta, 0);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	bundle->row_meta_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

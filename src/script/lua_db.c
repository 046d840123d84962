/* db.<table>:get, need, vacant, insert, put, update, add, delete, scan, scan_by. The only
 * way from a procedure to the store.
 *
 * A row is a light object over cells in the call's arena: nothing becomes a Lua value
 * before it is asked for. Rows cannot be changed; what is written is what the call names. */
#include "script/internal.h"

#include <assert.h>
#include <inttypes.h>

#include <lauxlib.h>

#include "script/sandbox.h"
#include "store/keys.h"
#include "wire/json.h"
#include "wire/tuple.h"

/* The first word of every userdata a script can hold says what it is. */
enum box_kind { BOX_TABLE = 0x74626c31, BOX_ROW = 0x726f7731, BOX_SCAN = 0x73636e31, BOX_DB = 0x64623131 };

struct table_box {
	enum box_kind kind;
	const struct schema_table *table;
};
struct row_box {
	enum box_kind kind;
	bool decoded;
	const struct schema_table *table;
	struct cell *cells; /* key cells are there; the others when decoded */
	struct slice key, value;
};
struct scan_box {
	enum box_kind kind;
	const struct schema_table *table;
	const struct schema_index *index; /* NULL: by the table's own key */
	uint64_t call_id;
	size_t cursor; /* place in the call */
	lua_Integer left;
};

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
static const char *row_details(lua_State *L, const struct schema_table *table, const struct cell *cells)
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

static const char *column_details(lua_State *L, const struct schema_table *table, const struct field *column,
				  int64_t value, int64_t add)
{
	return arena_printf(bundle_of(L)->call->arena,
			    "\"table\":\"%s\",\"column\":\"%s\",\"value\":%" PRId64 ",\"add\":%" PRId64,
			    (const char *)table->name.data, (const char *)column->name.data, value, add);
}

static struct script_call *running(lua_State *L)
{
	struct script_call *call = bundle_of(L)->call;
	if (call == NULL) {
		luaL_error(L, "rows can be reached during a call only");
	}
	return call;
}

static struct script_call *writing(lua_State *L)
{
	struct script_call *call = running(L);
	if (!call->procedure->writes) {
		luaL_error(L, "%s is declared without writes = true",
			   (const char *)call->procedure->name.data);
	}
	return call;
}

static void check_status(lua_State *L, int status)
{
	if (status == ERR_TOO_LARGE) {
		call_fail(L, "TOO_LARGE", NULL);
	}
	if (status < 0 && status != ERR_NOT_FOUND) {
		call_broken(L, status);
	}
}

/* ---- arguments ---- */

static const struct schema_table *check_table(lua_State *L)
{
	struct table_box *box = lua_touserdata(L, 1);
	if (box == NULL || box->kind != BOX_TABLE) {
		luaL_error(L, "call it with a colon: db.name:get(…)");
	}
	return box->table;
}

static struct cell *new_cells(struct script_call *call, const struct schema_table *table)
{
	struct cell *cells = arena_alloc(call->arena, table->columns.count * sizeof *cells);
	for (size_t i = 0; i < table->columns.count; i++) {
		cells[i].kind = CELL_NOTHING;
	}
	return cells;
}

/* Checks that a key cell is of its column's kind. Longer ones are found nowhere, so bounds wait for writes.
 */
static void check_key_cell(lua_State *L, const struct schema_table *table, size_t place,
			   const struct cell *cell)
{
	enum type_kind kind = table->columns.items[table->key[place]].type.kind;
	bool fits = type_is_number(kind) ? cell->kind == CELL_INT
					 : cell->kind == (kind == TYPE_BOOL ? CELL_BOOL : CELL_TEXT);
	if (!fits) {
		luaL_error(L, "db.%s: key column %s must be a %s", (const char *)table->name.data,
			   (const char *)table->columns.items[table->key[place]].name.data, type_name(kind));
	}
}

/* Takes up to the key's columns from the stack at from on. Their count. */
static size_t read_key_cells(lua_State *L, const struct schema_table *table, int from, int to,
			     struct cell *cells)
{
	size_t count = 0;
	for (int i = from; i <= to && count < table->key_count; i++, count++) {
		struct cell *cell = &cells[table->key[count]];
		const char *why = value_to_cell(L, i, cell);
		if (why != NULL) {
			luaL_error(L, "db.%s: the key %s", (const char *)table->name.data, why);
		}
		check_key_cell(L, table, count, cell);
	}
	return count;
}

static size_t tuple_max(const struct cell *cell)
{
	return cell->kind == CELL_TEXT ? tuple_text_max(cell->len) : TUPLE_INT_MAX;
}

static uint8_t *tuple_write_cell(uint8_t *out, const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_INT:
		return tuple_write_int(out, cell->integer);
	case CELL_BOOL:
		return tuple_write_bool(out, cell->integer != 0);
	case CELL_TEXT:
		return tuple_write_text(out, cell_slice(cell));
	default:
		return tuple_write_nothing(out);
	}
}

/* The key of count leading key cells, in the arena. Text cells then point into it, where the bytes are the
 * same. */
static struct slice encode_key(struct script_call *call, const struct schema_table *table, struct cell *cells,
			       size_t count)
{
	size_t room = table->prefix.len;
	for (size_t i = 0; i < count; i++) {
		room += tuple_max(&cells[table->key[i]]);
	}
	uint8_t *key = arena_alloc(call->arena, room);
	memcpy(key, table->prefix.data, table->prefix.len);
	uint8_t *out = key + table->prefix.len;
	for (size_t i = 0; i < count; i++) {
		struct cell *cell = &cells[table->key[i]];
		uint8_t *from = out;
		out = tuple_write_cell(out, cell);
		if (cell->kind == CELL_TEXT && (size_t)(out - from) == cell->len + 2u) {
			cell->bytes = from + 1;
		} else if (cell->kind == CELL_TEXT) {
			cell->bytes = arena_copy(call->arena, cell_slice(cell)).data;
		}
	}
	assert((size_t)(out - key) <= room);
	return slice_of(key, (size_t)(out - key));
}

/* ---- looking up ---- */

/* The row's value, or false. Asks the transaction once for a key that was asked for last. */
static bool find_row(lua_State *L, struct script_call *call, const struct schema_table *table,
		     struct slice key, struct slice *value)
{
	struct lookup *last = &call->bundle->lookups[table->number];
	if (last->call_id != call->id || !slice_equal(last->key, key)) {
		struct slice found = SLICE_NONE;
		budget_charge(L, STEPS_PER_READ);
		int status =
			table->hot ? txn_get_hot(call->txn, key, &found) : txn_get(call->txn, key, &found);
		check_status(L, status);
		*last = (struct lookup){
			.call_id = call->id, .present = status == 0, .key = key, .value = found};
	}
	*value = last->value;
	return last->present;
}

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
		} else {
			*cell = (struct cell){.kind = item.kind == TUPLE_INT ? CELL_INT : CELL_BOOL,
					      .integer = item.integer};
		}
	}
	return key.len == 0 ? 0 : ERR_CORRUPT;
}

static void decode_row(lua_State *L, const struct schema_table *table, struct slice value, struct cell *cells)
{
	if (db_decode_value(table, value, cells) < 0) {
		call_broken(L, ERR_CORRUPT);
	}
}

static void push_row(lua_State *L, const struct schema_table *table, struct cell *cells, struct slice key,
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
		decode_row(L, row->table, row->value, row->cells);
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

/* ---- reading ---- */

struct target {
	struct script_call *call;
	const struct schema_table *table;
	struct cell *cells; /* the key's are set */
	struct slice key;
	bool present;
	struct slice value;
};

/* A whole key at arguments first to last; looks it up. Only the key's cells are set. */
static struct target find_target(lua_State *L, struct script_call *call, const struct schema_table *table,
				 int first, int last)
{
	struct target target = {.call = call, .table = table};
	target.cells = arena_alloc(call->arena, table->columns.count * sizeof *target.cells);
	size_t count = read_key_cells(L, target.table, first, last, target.cells);
	if (count < target.table->key_count || last - first + 1 != (int)count) {
		luaL_error(L, "db.%s: its key has %d columns", (const char *)target.table->name.data,
			   (int)target.table->key_count);
	}
	target.key = encode_key(call, target.table, target.cells, count);
	target.present = find_row(L, call, target.table, target.key, &target.value);
	return target;
}

static void push_target(lua_State *L, const struct target *target, struct slice value, bool decoded)
{
	push_row(L, target->table, target->cells, target->key, value, decoded);
}

static int get_row(lua_State *L, const struct schema_table *table, int first)
{
	struct target target = find_target(L, running(L), table, first, lua_gettop(L));
	if (target.present) {
		push_target(L, &target, target.value, false);
	} else {
		lua_pushnil(L);
	}
	return 1;
}

static struct target need_row(lua_State *L, const struct schema_table *table, int first)
{
	struct target target = find_target(L, running(L), table, first, lua_gettop(L));
	if (!target.present) {
		call_fail(L, "NOT_FOUND", row_details(L, target.table, target.cells));
	}
	return target;
}

static int vacant_row(lua_State *L, const struct schema_table *table, int first)
{
	struct target target = find_target(L, running(L), table, first, lua_gettop(L));
	if (target.present) {
		call_fail(L, "ALREADY_EXISTS", row_details(L, target.table, target.cells));
	}
	return 0;
}

/* ---- writing ---- */

/* An entry of an index: its columns, then the row's key behind its prefix. */
static struct slice index_key(struct script_call *call, const struct schema_table *table,
			      const struct schema_index *index, const struct cell *cells, struct slice key)
{
	size_t room = index->prefix.len + key.len;
	for (size_t i = 0; i < index->column_count; i++) {
		room += tuple_max(&cells[index->columns[i]]);
	}
	uint8_t *bytes = arena_alloc(call->arena, room);
	memcpy(bytes, index->prefix.data, index->prefix.len);
	uint8_t *out = bytes + index->prefix.len;
	for (size_t i = 0; i < index->column_count; i++) {
		out = tuple_write_cell(out, &cells[index->columns[i]]);
	}
	struct slice primary = slice_skip(key, table->prefix.len);
	memcpy(out, primary.data, primary.len);
	return slice_of(bytes, (size_t)(out - bytes) + primary.len);
}

/* before or after NULL: there is no row on that side. */
static void keep_indexes(lua_State *L, const struct target *target, const struct cell *before,
			 const struct cell *after)
{
	struct script_call *call = target->call;
	for (size_t i = 0; i < target->table->index_count; i++) {
		const struct schema_index *index = &target->table->indexes[i];
		struct slice old = SLICE_NONE, new = SLICE_NONE;
		if (before != NULL) {
			old = index_key(call, target->table, index, before, target->key);
		}
		if (after != NULL) {
			new = index_key(call, target->table, index, after, target->key);
		}
		if (slice_equal(old, new)) {
			continue;
		}
		if (before != NULL) {
			check_status(L, txn_delete(call->txn, old));
		}
		if (after != NULL) {
			check_status(L, txn_put(call->txn, new, SLICE_NONE));
		}
	}
}

/* The cells of the row that is there, of its own. */
static struct cell *cells_before(lua_State *L, const struct target *target)
{
	if (!target->present) {
		return NULL;
	}
	struct cell *cells = new_cells(target->call, target->table);
	memcpy(cells, target->cells, target->table->columns.count * sizeof *cells);
	decode_row(L, target->table, target->value, cells);
	return cells;
}

/* Encodes the stored cells; they point into the value afterwards. */
static struct slice encode_value(struct script_call *call, const struct schema_table *table,
				 struct cell *cells)
{
	size_t room = 1;
	for (size_t i = 0; i < table->stored_count; i++) {
		room += cell_bytes_max(&cells[table->stored[i]]);
	}
	uint8_t *value = arena_alloc(call->arena, room);
	value[0] = (uint8_t)table->stored_count;
	uint8_t *out = value + 1;
	for (size_t i = 0; i < table->stored_count; i++) {
		out = cell_write(out, &cells[table->stored[i]]);
	}
	assert((size_t)(out - value) <= room);
	return slice_of(value, (size_t)(out - value));
}

/* Writes target->cells as the row. Returns its value. */
static struct slice write_row(lua_State *L, struct target *target)
{
	struct script_call *call = target->call;
	struct slice value = encode_value(call, target->table, target->cells);
	if (target->table->index_count > 0) {
		keep_indexes(L, target, cells_before(L, target), target->cells);
	}
	check_status(L, txn_put(call->txn, target->key, value));
	call->bundle->lookups[target->table->number] =
		(struct lookup){.call_id = call->id, .present = true, .key = target->key, .value = value};
	return value;
}

/* Checks every cell of a row to be written; counts that were not given become 0. */
static void check_row(lua_State *L, struct script_call *call, const struct schema_table *table,
		      struct cell *cells)
{
	for (size_t i = 0; i < table->columns.count; i++) {
		const struct field *column = &table->columns.items[i];
		struct cell *cell = &cells[i];
		if (type_fits_number(&column->type, cell)) {
			continue;
		}
		if (cell->kind == CELL_NOTHING && column->type.kind == TYPE_COUNT && !column->type.optional) {
			*cell = cell_int(0);
		}
		if (cell->kind == CELL_INT && column->type.kind == TYPE_COUNT && cell->integer < 0) {
			call_fail(L, "NEGATIVE", column_details(L, table, column, cell->integer, 0));
		}
		const char *why = type_refuses(&column->type, cell, call->arena);
		if (why != NULL) {
			luaL_error(L, "%s.%s %s", (const char *)table->name.data,
				   (const char *)column->name.data, why);
		}
	}
}

/* The row whose cells are given: checks it and looks it up. */
static struct target meet_row(lua_State *L, struct script_call *call, const struct schema_table *table,
			      struct cell *cells)
{
	struct target target = {.call = call, .table = table, .cells = cells};
	check_row(L, call, table, cells);
	target.key = encode_key(call, table, cells, table->key_count);
	target.present = find_row(L, call, table, target.key, &target.value);
	return target;
}

/* A whole row in a table at index. */
static struct cell *read_row(lua_State *L, struct script_call *call, const struct schema_table *table,
			     int index)
{
	luaL_checktype(L, index, LUA_TTABLE);
	struct cell *cells = arena_alloc(call->arena, table->columns.count * sizeof *cells);
	value_read_fields(L, index, &table->columns, cells, (const char *)table->name.data);
	return cells;
}

static struct slice insert_row(lua_State *L, struct target *target)
{
	if (target->present) {
		call_fail(L, "ALREADY_EXISTS", row_details(L, target->table, target->cells));
	}
	return write_row(L, target);
}

/* The row to be changed, decoded. changes has one cell a column. */
static struct target meet_change(lua_State *L, struct script_call *call, const struct schema_table *table,
				 int first, int last, const struct cell *changes)
{
	struct target target = find_target(L, call, table, first, last);
	for (size_t i = 0; i < table->key_count; i++) {
		if (changes[table->key[i]].kind != CELL_NOTHING) {
			luaL_error(L, "%s: a key cannot be changed", (const char *)table->name.data);
		}
	}
	if (target.present) {
		decode_row(L, table, target.value, target.cells);
	} else {
		for (size_t i = 0; i < table->stored_count; i++) {
			target.cells[table->stored[i]].kind = CELL_NOTHING;
		}
	}
	return target;
}

static void update_row(lua_State *L, struct target *target, const struct cell *changes)
{
	if (!target->present) {
		call_fail(L, "NOT_FOUND", row_details(L, target->table, target->cells));
	}
	for (size_t i = 0; i < target->table->columns.count; i++) {
		if (changes[i].kind != CELL_NOTHING) {
			target->cells[i] = changes[i];
		}
	}
	check_row(L, target->call, target->table, target->cells);
	write_row(L, target);
}

static void add_to_cell(lua_State *L, const struct target *target, size_t place, const struct cell *change)
{
	const struct field *column = &target->table->columns.items[place];
	struct cell *cell = &target->cells[place];
	if (!type_is_number(column->type.kind) || change->kind != CELL_INT) {
		luaL_error(L, "%s.%s: only whole numbers can be added",
			   (const char *)target->table->name.data, (const char *)column->name.data);
	}
	int64_t now = cell->kind == CELL_INT ? cell->integer : 0, sum;
	bool over = __builtin_add_overflow(now, change->integer, &sum);
	if (!over && column->type.kind == TYPE_COUNT && sum < 0) {
		call_fail(L, "NEGATIVE", column_details(L, target->table, column, now, change->integer));
	}
	if (over || sum < column->type.min || sum > column->type.max) {
		call_fail(L, "OVERFLOW", column_details(L, target->table, column, now, change->integer));
	}
	*cell = cell_int(sum);
}

/* A row that is not there is made, if all it needs are numbers. */
static void add_row(lua_State *L, struct target *target, const struct cell *changes)
{
	for (size_t i = 0; i < target->table->columns.count; i++) {
		if (changes[i].kind != CELL_NOTHING) {
			add_to_cell(L, target, i, &changes[i]);
		}
	}
	if (!target->present) {
		check_row(L, target->call, target->table, target->cells);
	}
	write_row(L, target);
}

static int delete_row(lua_State *L, const struct schema_table *table, int first)
{
	struct target target = find_target(L, writing(L), table, first, lua_gettop(L));
	if (target.present) {
		keep_indexes(L, &target, table->index_count > 0 ? cells_before(L, &target) : NULL, NULL);
		check_status(L, txn_delete(target.call->txn, target.key));
		target.call->bundle->lookups[table->number] =
			(struct lookup){.call_id = target.call->id, .present = false, .key = target.key};
	}
	lua_pushboolean(L, target.present);
	return 1;
}

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
	check_status(L, status);
	return status == 0;
}

static int scan_next(lua_State *L)
{
	struct scan_box *scan = lua_touserdata(L, lua_upvalueindex(1));
	struct script_call *call = running(L);
	if (scan->left <= 0 || scan->call_id != call->id) {
		return 0;
	}
	struct slice key, value;
	struct txn_cursor *cursor = call->cursors[scan->cursor];
	budget_charge(L, STEPS_PER_ROW);
	if (!txn_cursor_next(cursor, &key, &value)) {
		int status = txn_cursor_error(cursor);
		close_scan(call, scan);
		check_status(L, status);
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
	struct cell *cells = new_cells(call, scan->table);
	if (db_decode_key(scan->table, key, call->arena, cells) < 0) {
		call_broken(L, ERR_CORRUPT);
	}
	push_row(L, scan->table, cells, key, value, false);
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
	struct cell *cells = new_cells(call, table);
	if (read_key_cells(L, table, list + 1, lua_gettop(L), cells) != table->key_count) {
		luaL_error(L, "scan: after has all columns of the key");
	}
	struct slice key = encode_key(call, table, cells, table->key_count);
	if (bounds->reverse) {
		bounds->to = key;
	} else {
		uint8_t *next = arena_alloc(call->arena, key.len + 1);
		memcpy(next, key.data, key.len);
		next[key.len] = 0; /* the first key behind it */
		bounds->from = slice_of(next, key.len + 1);
	}
}

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
	lua_pushcclosure(L, scan_next, 1);
	budget_charge(L, STEPS_PER_READ);
	if (bounds.limit > 0) {
		call->cursors[place] = txn_cursor_open(call->txn, bounds.from, bounds.to, bounds.reverse);
	}
	return 1;
}

static struct bounds bounds_of(struct script_call *call, struct slice prefix)
{
	uint8_t *end = arena_alloc(call->arena, prefix.len);
	size_t len = tuple_prefix_end(prefix, end);
	return (struct bounds){.from = prefix, .to = slice_of(end, len), .limit = LUA_MAXINTEGER};
}

/* db.t:scan(leading key columns…, [options]) */
static int scan_rows(lua_State *L, const struct schema_table *table, int first)
{
	struct script_call *call = running(L);
	int last = lua_gettop(L);
	bool options = last >= first && lua_istable(L, last);
	struct cell *cells = new_cells(call, table);
	int keys = options ? last - 1 : last;
	size_t count = read_key_cells(L, table, first, keys, cells);
	if ((int)count != keys - first + 1) {
		return luaL_error(L, "db.%s: its key has %d columns", (const char *)table->name.data,
				  (int)table->key_count);
	}
	struct bounds bounds = bounds_of(call, encode_key(call, table, cells, count));
	if (options) {
		read_options(L, call, table, last, false, &bounds);
	}
	return open_scan(L, call, table, NULL, bounds);
}

/* db.t:scan_by("index", leading columns…, [options]) */
static int scan_index(lua_State *L, const struct schema_table *table, int first)
{
	struct script_call *call = running(L);
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
		room += tuple_max(&cells[i]);
	}
	uint8_t *prefix = arena_alloc(call->arena, room);
	memcpy(prefix, index->prefix.data, index->prefix.len);
	uint8_t *out = prefix + index->prefix.len;
	for (size_t i = 0; i < count; i++) {
		out = tuple_write_cell(out, &cells[i]);
	}
	struct bounds bounds = bounds_of(call, slice_of(prefix, (size_t)(out - prefix)));
	if (options) {
		read_options(L, call, table, last, true, &bounds);
	}
	return open_scan(L, call, table, index, bounds);
}

/* ---- methods: the table is the first argument ---- */

static int method_get(lua_State *L)
{
	return get_row(L, check_table(L), 2);
}
static int method_vacant(lua_State *L)
{
	return vacant_row(L, check_table(L), 2);
}
static int method_delete(lua_State *L)
{
	return delete_row(L, check_table(L), 2);
}
static int method_scan(lua_State *L)
{
	return scan_rows(L, check_table(L), 2);
}
static int method_scan_by(lua_State *L)
{
	return scan_index(L, check_table(L), 2);
}

static int method_need(lua_State *L)
{
	struct target target = need_row(L, check_table(L), 2);
	push_target(L, &target, target.value, false);
	return 1;
}

static int method_insert(lua_State *L)
{
	struct script_call *call = writing(L);
	const struct schema_table *table = check_table(L);
	struct target target = meet_row(L, call, table, read_row(L, call, table, 2));
	push_target(L, &target, insert_row(L, &target), true);
	return 1;
}

static int method_put(lua_State *L)
{
	struct script_call *call = writing(L);
	const struct schema_table *table = check_table(L);
	struct target target = meet_row(L, call, table, read_row(L, call, table, 2));
	push_target(L, &target, write_row(L, &target), true);
	return 1;
}

static struct target method_change(lua_State *L, struct cell *changes)
{
	struct script_call *call = writing(L);
	const struct schema_table *table = check_table(L);
	int last = lua_gettop(L);
	luaL_checktype(L, last, LUA_TTABLE);
	value_read_fields(L, last, &table->columns, changes, (const char *)table->name.data);
	return meet_change(L, call, table, 2, last - 1, changes);
}

static int method_update(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct target target = method_change(L, changes);
	update_row(L, &target, changes);
	return 0;
}

static int method_add(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct target target = method_change(L, changes);
	add_row(L, &target, changes);
	return 0;
}

/* ---- sites: the table is known, fields are arguments (site.h) ---- */

static const struct site *site_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

static int site_get(lua_State *L)
{
	return get_row(L, site_of(L)->table, 1);
}
static int site_vacant(lua_State *L)
{
	return vacant_row(L, site_of(L)->table, 1);
}
static int site_delete(lua_State *L)
{
	return delete_row(L, site_of(L)->table, 1);
}
static int site_scan(lua_State *L)
{
	return scan_rows(L, site_of(L)->table, 1);
}
static int site_scan_by(lua_State *L)
{
	return scan_index(L, site_of(L)->table, 1);
}

/* The row, and the columns of it that the source names. */
static int return_row(lua_State *L, const struct site *site, const struct target *target, struct slice value)
{
	luaL_checkstack(L, SCHEMA_FIELDS_MAX, NULL);
	if (site->whole) {
		push_target(L, target, value, true);
	}
	for (size_t i = 0; i < site->column_count; i++) {
		value_push_cell(L, &target->cells[site->columns[i]]);
	}
	return (int)site->column_count + site->whole;
}

static int site_need(lua_State *L)
{
	const struct site *site = site_of(L);
	struct target target = need_row(L, site->table, 1);
	decode_row(L, site->table, target.value, target.cells);
	return return_row(L, site, &target, target.value);
}

static void read_site_fields(lua_State *L, const struct site *site, int first, struct cell *cells)
{
	for (size_t i = 0; i < site->table->columns.count; i++) {
		cells[i].kind = CELL_NOTHING;
	}
	for (size_t i = 0; i < site->field_count; i++) {
		const char *why = value_to_cell(L, first + (int)i, &cells[site->fields[i]]);
		if (why != NULL) {
			luaL_error(L, "%s: %s %s", (const char *)site->table->name.data,
				   (const char *)site->table->columns.items[site->fields[i]].name.data, why);
		}
	}
}

static struct target site_row(lua_State *L, const struct site *site)
{
	struct script_call *call = writing(L);
	struct cell *cells;
	if (site->shaped) {
		cells = arena_alloc(call->arena, site->table->columns.count * sizeof *cells);
		read_site_fields(L, site, 1, cells);
	} else {
		cells = read_row(L, call, site->table, 1);
	}
	return meet_row(L, call, site->table, cells);
}

static int site_insert(lua_State *L)
{
	const struct site *site = site_of(L);
	struct target target = site_row(L, site);
	struct slice value = insert_row(L, &target);
	return return_row(L, site, &target, value);
}

static int site_put(lua_State *L)
{
	const struct site *site = site_of(L);
	struct target target = site_row(L, site);
	struct slice value = write_row(L, &target);
	return return_row(L, site, &target, value);
}

static struct target site_change(lua_State *L, const struct site *site, struct cell *changes)
{
	struct script_call *call = writing(L);
	int last = lua_gettop(L);
	if (site->shaped) {
		last = (int)site->table->key_count;
		read_site_fields(L, site, last + 1, changes);
	} else {
		luaL_checktype(L, last, LUA_TTABLE);
		value_read_fields(L, last, &site->table->columns, changes,
				  (const char *)site->table->name.data);
		last--;
	}
	return meet_change(L, call, site->table, 1, last, changes);
}

static int site_update(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct target target = site_change(L, site_of(L), changes);
	update_row(L, &target, changes);
	return 0;
}

static int site_add(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct target target = site_change(L, site_of(L), changes);
	add_row(L, &target, changes);
	return 0;
}

void db_push_site(lua_State *L, struct site *site)
{
	static const lua_CFunction functions[] = {
		[SITE_GET] = site_get,       [SITE_NEED] = site_need,    [SITE_VACANT] = site_vacant,
		[SITE_DELETE] = site_delete, [SITE_SCAN] = site_scan,    [SITE_SCAN_BY] = site_scan_by,
		[SITE_INSERT] = site_insert, [SITE_PUT] = site_put,      [SITE_UPDATE] = site_update,
		[SITE_ADD] = site_add,       [SITE_RESULT] = result_site};
	lua_pushlightuserdata(L, site);
	lua_pushcclosure(L, functions[site->kind], 1);
}

/* ---- handles ---- */

static void make_row_meta(lua_State *L, struct script_bundle *bundle)
{
	static const luaL_Reg meta[] = {
		{"__index", row_index}, {"__newindex", row_newindex}, {"__pairs", row_pairs}, {NULL, NULL}};
	lua_newtable(L);
	luaL_setfuncs(L, meta, 0);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	bundle->row_meta_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

static int locked(lua_State *L)
{
	return luaL_error(L, "db is read-only");
}

/* The metatable of a handle: __index is the table on top of the stack (consumed). */
static void push_meta(lua_State *L)
{
	lua_createtable(L, 0, 3);
	lua_insert(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, locked);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
}

void db_open_tables(lua_State *L, struct script_bundle *bundle)
{
	static const luaL_Reg methods[] = {{"get", method_get},
					   {"need", method_need},
					   {"vacant", method_vacant},
					   {"insert", method_insert},
					   {"put", method_put},
					   {"update", method_update},
					   {"add", method_add},
					   {"delete", method_delete},
					   {"scan", method_scan},
					   {"scan_by", method_scan_by},
					   {NULL, NULL}};
	make_row_meta(L, bundle);
	enum box_kind *db = lua_newuserdatauv(L, sizeof *db, 0);
	*db = BOX_DB;
	lua_newtable(L); /* tables by name */
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	push_meta(L); /* of every table */
	for (size_t i = 0; i < bundle->table_count; i++) {
		struct table_box *box = lua_newuserdatauv(L, sizeof *box, 0);
		*box = (struct table_box){BOX_TABLE, &bundle->tables[i]};
		lua_pushvalue(L, -2);
		lua_setmetatable(L, -2);
		lua_setfield(L, -3, (const char *)bundle->tables[i].name.data);
	}
	lua_pop(L, 1);
	push_meta(L);
	lua_setmetatable(L, -2);
	lua_setfield(L, -2, "db");
}

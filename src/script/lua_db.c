/* Rows by key: looking up, inserting, changing, deleting, and the indexes kept with them. The only
 * way from a procedure to the store, together with lua_scan.c. */
#include "script/lua_db.h"

#include <assert.h>
#include <inttypes.h>

#include <lauxlib.h>

#include "wire/tuple.h"

/* ---- arguments ---- */

/* One a column, unset. As with a key's room, they are the arena's until the call ends. */
struct cell *db_cells_room(lua_State *L, struct script_call *call, const struct schema_table *table)
{
	_Static_assert(sizeof(struct cell) == 16, "a step is 16 bytes");
	budget_charge(L, table->columns.count);
	return arena_alloc(call->arena, table->columns.count * sizeof(struct cell));
}

struct cell *db_new_cells(lua_State *L, struct script_call *call, const struct schema_table *table)
{
	struct cell *cells = db_cells_room(L, call, table);
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
size_t db_read_key(lua_State *L, const struct schema_table *table, int from, int to, struct cell *cells)
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

size_t db_tuple_max(const struct cell *cell)
{
	return cell->kind == CELL_TEXT ? tuple_text_max(cell->len) : TUPLE_INT_MAX;
}

uint8_t *db_tuple_write(uint8_t *out, const struct cell *cell)
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

/* Room for a key. It is the arena's until the call ends, and no memory of the script's: that counts steps. */
uint8_t *db_key_room(lua_State *L, struct script_call *call, size_t room)
{
	budget_charge(L, room / 16);
	return arena_alloc(call->arena, room);
}

/* The key of count leading key cells, in the arena. Text cells then point into it, where the bytes are the
 * same. */
struct slice db_encode_key(lua_State *L, struct script_call *call, const struct schema_table *table,
			   struct cell *cells, size_t count)
{
	size_t room = table->prefix.len;
	for (size_t i = 0; i < count; i++) {
		room += db_tuple_max(&cells[table->key[i]]);
	}
	uint8_t *key = db_key_room(L, call, room);
	memcpy(key, table->prefix.data, table->prefix.len);
	uint8_t *out = key + table->prefix.len;
	for (size_t i = 0; i < count; i++) {
		struct cell *cell = &cells[table->key[i]];
		uint8_t *from = out;
		out = db_tuple_write(out, cell);
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
		db_check(L, status);
		*last = (struct lookup){
			.call_id = call->id, .present = status == 0, .key = key, .value = found};
	}
	*value = last->value;
	return last->present;
}

/* ---- reading ---- */

/* A whole key at arguments first to last; looks it up. Only the key's cells are set. */
struct db_target db_find(lua_State *L, struct script_call *call, const struct schema_table *table, int first,
			 int last)
{
	struct db_target target = {.call = call, .table = table};
	target.cells = db_cells_room(L, call, table);
	size_t count = db_read_key(L, target.table, first, last, target.cells);
	if (count < target.table->key_count || last - first + 1 != (int)count) {
		luaL_error(L, "db.%s: its key has %d columns", (const char *)target.table->name.data,
			   (int)target.table->key_count);
	}
	target.key = db_encode_key(L, call, target.table, target.cells, count);
	target.present = find_row(L, call, target.table, target.key, &target.value);
	return target;
}

static bool asked_before(const struct lookup *last, const struct script_call *call, const struct site *site)
{
	if (last->call_id != call->id || !last->asked) {
		return false;
	}
	for (size_t k = 0; k < site->table->key_count; k++) {
		const struct cell *a = &last->key_cells[k], *b = &call->args[site->key_args[k]];
		/* Texts of arguments stay where they are: the same place is the same text. */
		if (a->kind != b->kind || a->integer != b->integer ||
		    (a->kind == CELL_TEXT && a->len != b->len)) {
			return false;
		}
	}
	return true;
}

struct db_target db_find_bound(lua_State *L, struct script_call *call, const struct site *site)
{
	const struct schema_table *table = site->table;
	struct lookup *last = &call->bundle->lookups[table->number];
	struct db_target target = {.call = call, .table = table};
	target.cells = db_cells_room(L, call, table);
	for (size_t k = 0; k < table->key_count; k++) {
		target.cells[table->key[k]] = call->args[site->key_args[k]];
	}
	if (asked_before(last, call, site)) {
		target.key = last->key;
		target.present = last->present;
		target.value = last->value;
		return target;
	}
	target.key = db_encode_key(L, call, table, target.cells, table->key_count);
	target.present = find_row(L, call, table, target.key, &target.value);
	last->asked = true;
	for (size_t k = 0; k < table->key_count; k++) {
		last->key_cells[k] = call->args[site->key_args[k]];
	}
	return target;
}

void db_push_target(lua_State *L, const struct db_target *target, struct slice value, bool decoded)
{
	db_push_row(L, target->table, target->cells, target->key, value, decoded);
}

int db_get(lua_State *L, const struct db_target *target)
{
	if (target->present) {
		db_push_target(L, target, target->value, false);
	} else {
		lua_pushnil(L);
	}
	return 1;
}

int db_need(lua_State *L, const struct db_target *target)
{
	if (!target->present) {
		call_fail(L, "NOT_FOUND", db_row_details(L, target->table, target->cells));
	}
	return 0;
}

int db_vacant(lua_State *L, const struct db_target *target)
{
	if (target->present) {
		call_fail(L, "ALREADY_EXISTS", db_row_details(L, target->table, target->cells));
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
		room += db_tuple_max(&cells[index->columns[i]]);
	}
	uint8_t *bytes = arena_alloc(call->arena, room);
	memcpy(bytes, index->prefix.data, index->prefix.len);
	uint8_t *out = bytes + index->prefix.len;
	for (size_t i = 0; i < index->column_count; i++) {
		out = db_tuple_write(out, &cells[index->columns[i]]);
	}
	struct slice primary = slice_skip(key, table->prefix.len);
	memcpy(out, primary.data, primary.len);
	return slice_of(bytes, (size_t)(out - bytes) + primary.len);
}

/* before or after NULL: there is no row on that side. */
static void keep_indexes(lua_State *L, const struct db_target *target, const struct cell *before,
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
			db_check(L, txn_delete(call->txn, old));
		}
		if (after != NULL) {
			db_check(L, txn_put(call->txn, new, SLICE_NONE));
		}
	}
}

/* The cells of the row that is there, of its own. */
static struct cell *cells_before(lua_State *L, const struct db_target *target)
{
	if (!target->present) {
		return NULL;
	}
	struct cell *cells = db_new_cells(L, target->call, target->table);
	memcpy(cells, target->cells, target->table->columns.count * sizeof *cells);
	db_decode_row(L, target->table, target->value, cells);
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

/* The row is as it was written now: the next look-up need not ask. */
static void note_row(struct script_call *call, const struct db_target *target, bool present,
		     struct slice value)
{
	struct lookup *last = &call->bundle->lookups[target->table->number];
	last->asked = last->asked && last->call_id == call->id && last->key.data == target->key.data;
	last->call_id = call->id;
	last->present = present;
	last->key = target->key;
	last->value = value;
}

/* Writes target->cells as the row. Returns its value. */
struct slice db_write(lua_State *L, struct db_target *target)
{
	struct script_call *call = target->call;
	struct slice value = encode_value(call, target->table, target->cells);
	if (target->table->index_count > 0) {
		keep_indexes(L, target, cells_before(L, target), target->cells);
	}
	db_check(L, txn_put(call->txn, target->key, value));
	note_row(call, target, true, value);
	return value;
}

/* Checks every cell of a row to be written; counts that were not given become 0. */
static void check_row(lua_State *L, struct script_call *call, const struct schema_table *table,
		      struct cell *cells, uint64_t trusted)
{
	for (size_t i = 0; i < table->columns.count; i++) {
		const struct field *column = &table->columns.items[i];
		struct cell *cell = &cells[i];
		if ((trusted >> i & 1) || type_fits_number(&column->type, cell)) {
			continue;
		}
		if (cell->kind == CELL_NOTHING && column->type.kind == TYPE_COUNT && !column->type.optional) {
			*cell = cell_int(0);
		}
		if (cell->kind == CELL_INT && column->type.kind == TYPE_COUNT && cell->integer < 0) {
			call_fail(L, "NEGATIVE", db_column_details(L, table, column, cell->integer, 0));
		}
		const char *why = type_refuses(&column->type, cell, call->arena);
		if (why != NULL) {
			luaL_error(L, "%s.%s %s", (const char *)table->name.data,
				   (const char *)column->name.data, why);
		}
	}
}

/* The row whose cells are given: checks it and looks it up. */
struct db_target db_meet(lua_State *L, struct script_call *call, const struct schema_table *table,
			 struct cell *cells, uint64_t trusted)
{
	struct db_target target = {.call = call, .table = table, .cells = cells};
	check_row(L, call, table, cells, trusted);
	target.key = db_encode_key(L, call, table, cells, table->key_count);
	target.present = find_row(L, call, table, target.key, &target.value);
	return target;
}

/* A whole row in a table at index. */
struct cell *db_read(lua_State *L, struct script_call *call, const struct schema_table *table, int index)
{
	luaL_checktype(L, index, LUA_TTABLE);
	struct cell *cells = db_cells_room(L, call, table);
	value_read_fields(L, index, &table->columns, cells, (const char *)table->name.data);
	return cells;
}

struct slice db_insert(lua_State *L, struct db_target *target)
{
	if (target->present) {
		call_fail(L, "ALREADY_EXISTS", db_row_details(L, target->table, target->cells));
	}
	return db_write(L, target);
}

/* The row to be changed, decoded. changes has one cell a column. */
struct db_target db_meet_change(lua_State *L, struct db_target target, const struct cell *changes)
{
	const struct schema_table *table = target.table;
	for (size_t i = 0; i < table->key_count; i++) {
		if (changes[table->key[i]].kind != CELL_NOTHING) {
			luaL_error(L, "%s: a key cannot be changed", (const char *)table->name.data);
		}
	}
	if (target.present) {
		db_decode_row(L, table, target.value, target.cells);
	} else {
		for (size_t i = 0; i < table->stored_count; i++) {
			target.cells[table->stored[i]].kind = CELL_NOTHING;
		}
	}
	return target;
}

void db_update(lua_State *L, struct db_target *target, const struct cell *changes)
{
	if (!target->present) {
		call_fail(L, "NOT_FOUND", db_row_details(L, target->table, target->cells));
	}
	for (size_t i = 0; i < target->table->columns.count; i++) {
		if (changes[i].kind != CELL_NOTHING) {
			target->cells[i] = changes[i];
		}
	}
	check_row(L, target->call, target->table, target->cells, 0);
	db_write(L, target);
}

static void add_to_cell(lua_State *L, const struct db_target *target, size_t place, const struct cell *change)
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
		call_fail(L, "NEGATIVE", db_column_details(L, target->table, column, now, change->integer));
	}
	if (over || sum < column->type.min || sum > column->type.max) {
		call_fail(L, "OVERFLOW", db_column_details(L, target->table, column, now, change->integer));
	}
	*cell = cell_int(sum);
}

/* A row that is not there is made, if all it needs are numbers. */
void db_add(lua_State *L, struct db_target *target, const struct cell *changes)
{
	for (size_t i = 0; i < target->table->columns.count; i++) {
		if (changes[i].kind != CELL_NOTHING) {
			add_to_cell(L, target, i, &changes[i]);
		}
	}
	if (!target->present) {
		check_row(L, target->call, target->table, target->cells, 0);
	}
	db_write(L, target);
}

int db_delete(lua_State *L, const struct db_target *target)
{
	if (target->present) {
		const struct cell *before = target->table->index_count > 0 ? cells_before(L, target) : NULL;
		keep_indexes(L, target, before, NULL);
		db_check(L, txn_delete(target->call->txn, target->key));
		note_row(target->call, target, false, SLICE_NONE);
	}
	lua_pushboolean(L, target->present);
	return 1;
}

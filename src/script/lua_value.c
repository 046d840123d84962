/* Values on their way in and out of Lua. */
#include "script/internal.h"

#include <lauxlib.h>

#include "script/sandbox.h"
#include "wire/json.h"

const char *value_to_cell(lua_State *L, int index, struct cell *cell)
{
	switch (lua_type(L, index)) {
	case LUA_TNUMBER:
		if (!lua_isinteger(L, index)) {
			return "is not a whole number";
		}
		*cell = cell_int(lua_tointeger(L, index));
		return NULL;
	case LUA_TSTRING: {
		size_t len;
		const char *bytes = lua_tolstring(L, index, &len);
		*cell = cell_text(slice_of(bytes, len));
		return NULL;
	}
	case LUA_TBOOLEAN:
		*cell = (struct cell){.kind = CELL_BOOL, .integer = lua_toboolean(L, index)};
		return NULL;
	case LUA_TNIL:
		*cell = (struct cell){.kind = CELL_NOTHING};
		return NULL;
	case LUA_TTABLE:
		*cell = (struct cell){.kind = CELL_NESTED};
		return NULL;
	case LUA_TUSERDATA:
		if (db_row(L, index) != NULL) {
			*cell = (struct cell){.kind = CELL_NESTED};
			return NULL;
		}
		return "is no value that can be kept or sent";
	default:
		return "is no value that can be kept or sent";
	}
}

void value_push_cell(lua_State *L, const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_INT:
		lua_pushinteger(L, cell->integer);
		return;
	case CELL_TEXT:
		lua_pushlstring(L, (const char *)cell->bytes, cell->len);
		return;
	case CELL_BOOL:
		lua_pushboolean(L, cell->integer != 0);
		return;
	default:
		lua_pushnil(L);
		return;
	}
}

void value_push(lua_State *L, const struct value *value)
{
	luaL_checkstack(L, 4, "nested too deep");
	switch (value->kind) {
	case VALUE_BOOL:
		lua_pushboolean(L, value->boolean);
		return;
	case VALUE_INT:
		lua_pushinteger(L, value->integer);
		return;
	case VALUE_REAL:
		lua_pushnumber(L, value->real);
		return;
	case VALUE_TEXT:
		lua_pushlstring(L, (const char *)value->text.data, value->text.len);
		return;
	case VALUE_NOTHING:
		lua_pushnil(L);
		return;
	case VALUE_LIST:
		lua_createtable(L, (int)value->items->count, 0);
		for (size_t i = 0; i < value->items->count; i++) {
			value_push(L, &value->items->values[i]);
			lua_rawseti(L, -2, (lua_Integer)i + 1);
		}
		return;
	case VALUE_MAP:
		lua_createtable(L, 0, (int)value->items->count);
		for (size_t i = 0; i < value->items->count; i++) {
			struct slice name = value->items->names[i];
			lua_pushlstring(L, (const char *)name.data, name.len);
			value_push(L, &value->items->values[i]);
			lua_rawset(L, -3);
		}
		return;
	}
}

/* Raises for the first unknown name in the order of bytes: Lua's own order must decide nothing. */
static void raise_unknown(lua_State *L, int index, const struct fields *fields, const char *what)
{
	const char *unknown = NULL;
	budget_charge_walk(L, index);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		if (lua_type(L, -1) != LUA_TSTRING) {
			luaL_error(L, "%s: names are expected, not a list", what);
		}
		size_t len;
		const char *name = lua_tolstring(L, -1, &len);
		budget_charge(L, 4 + fields->count + len / 64);
		if (fields_find_name(fields, slice_str(name)) < 0 &&
		    (unknown == NULL || strcmp(name, unknown) < 0)) {
			unknown = name;
		}
	}
	luaL_error(L, "%s: '%s' is not declared", what, unknown == NULL ? "?" : unknown);
}

void value_read_fields(lua_State *L, int index, const struct fields *fields, struct cell *cells,
		       const char *what)
{
	for (size_t i = 0; i < fields->count; i++) {
		cells[i].kind = CELL_NOTHING;
	}
	budget_charge_walk(L, index);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		int place = -1;
		if (lua_type(L, -2) == LUA_TSTRING) {
			place = fields_find(fields, lua_tolstring(L, -2, NULL));
		}
		if (place < 0) {
			raise_unknown(L, index, fields, what);
		}
		const char *why = value_to_cell(L, -1, &cells[place]);
		if (why != NULL) {
			luaL_error(L, "%s: %s %s", what, (const char *)fields->items[place].name.data, why);
		}
		lua_pop(L, 1);
	}
}

/* ---- details of a refusal ---- */

struct detail {
	struct slice name;
	struct cell cell;
};
#define DETAILS_MAX 32

static void sort_details(struct detail *details, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct detail moved = details[i];
		size_t at = i;
		for (; at > 0 && slice_compare(moved.name, details[at - 1].name) < 0; at--) {
			details[at] = details[at - 1];
		}
		details[at] = moved;
	}
}

static void write_cell_json(struct buf *out, const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_INT:
		json_write_int(out, cell->integer);
		return;
	case CELL_TEXT:
		json_write_text(out, cell_slice(cell));
		return;
	case CELL_BOOL:
		buf_append_text(out, cell->integer ? "true" : "false");
		return;
	default:
		buf_append_text(out, "null");
		return;
	}
}

const char *value_details(lua_State *L, int index, struct arena *arena)
{
	struct detail details[DETAILS_MAX];
	size_t count = 0;
	luaL_checktype(L, index, LUA_TTABLE);
	budget_charge_walk(L, index);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		size_t len;
		if (count == DETAILS_MAX || lua_type(L, -2) != LUA_TSTRING) {
			luaL_error(L, "details: at most %d named values", DETAILS_MAX);
		}
		const char *name = lua_tolstring(L, -2, &len);
		details[count].name = slice_of(name, len);
		if (len > SCHEMA_NAME_MAX || value_to_cell(L, -1, &details[count].cell) != NULL ||
		    details[count].cell.kind == CELL_NESTED ||
		    (details[count].cell.kind == CELL_TEXT && details[count].cell.len > KIB(1))) {
			luaL_error(L, "details: short names, and numbers, short texts or booleans");
		}
		if (slice_equal(details[count].name, SLICE_LIT("outcome"))) {
			luaL_error(L, "details: the outcome is what the code says: give yours another name");
		}
		count++;
		lua_pop(L, 1);
	}
	sort_details(details, count);
	struct buf *out = &bundle_of(L)->scratch;
	buf_reset(out);
	for (size_t i = 0; i < count; i++) {
		if (i > 0) {
			buf_append_byte(out, ',');
		}
		json_write_text(out, details[i].name);
		buf_append_byte(out, ':');
		write_cell_json(out, &details[i].cell);
	}
	return (const char *)arena_copy(arena, buf_slice(out)).data;
}

/* ---- arguments ---- */

static const char *fit(struct arena *arena, const struct type *type, const struct value *value);

static const char *fit_record(struct arena *arena, const struct fields *fields, const struct value *value)
{
	if (value->kind != VALUE_MAP) {
		return "must be a record";
	}
	for (size_t i = 0; i < value->items->count; i++) {
		if (fields_find_name(fields, value->items->names[i]) < 0) {
			return arena_printf(arena, "has an unknown field %.*s",
					    (int)value->items->names[i].len,
					    (const char *)value->items->names[i].data);
		}
	}
	for (size_t i = 0; i < fields->count; i++) {
		static const struct value nothing = {.kind = VALUE_NOTHING};
		const struct value *part = value_find(value, fields->items[i].name);
		const char *why = fit(arena, &fields->items[i].type, part == NULL ? &nothing : part);
		if (why != NULL) {
			return arena_printf(arena, "%s: %s", (const char *)fields->items[i].name.data, why);
		}
	}
	return NULL;
}

static const char *fit(struct arena *arena, const struct type *type, const struct value *value)
{
	struct cell cell = {.kind = CELL_NOTHING};
	switch (value->kind) {
	case VALUE_INT:
		cell = cell_int(value->integer);
		break;
	case VALUE_TEXT:
		cell = cell_text(value->text);
		break;
	case VALUE_BOOL:
		cell = (struct cell){.kind = CELL_BOOL, .integer = value->boolean};
		break;
	case VALUE_REAL:
		return "must be a whole number";
	case VALUE_NOTHING:
		break;
	default:
		cell.kind = CELL_NESTED;
		break;
	}
	const char *why = type_refuses(type, &cell, arena);
	if (why != NULL || cell.kind != CELL_NESTED) {
		return why;
	}
	if (type->kind == TYPE_RECORD) {
		return fit_record(arena, type->fields, value);
	}
	if (value->kind != VALUE_LIST) {
		return "must be a list";
	}
	for (size_t i = 0; i < value->items->count; i++) {
		why = fit(arena, type->item, &value->items->values[i]);
		if (why != NULL) {
			return arena_printf(arena, "item %zu: %s", i + 1, why);
		}
	}
	return NULL;
}

static const char *parse_nested(struct arena *arena, const struct type *type, struct slice text,
				const struct value **nested)
{
	struct value *value = arena_alloc(arena, sizeof *value);
	struct err err = {0};
	if (json_parse(text, arena, value, &err) < 0) {
		return arena_printf(arena, "%s", err.text);
	}
	*nested = value;
	return fit(arena, type, value);
}

const char *value_parse(struct arena *arena, const struct type *type, struct slice text, struct cell *cell,
			const struct value **nested)
{
	switch (type->kind) {
	case TYPE_LIST:
	case TYPE_RECORD:
		*cell = (struct cell){.kind = CELL_NESTED};
		return parse_nested(arena, type, text, nested);
	case TYPE_BOOL:
		if (!slice_is_word(text, "true") && !slice_is_word(text, "false")) {
			return "must be true or false";
		}
		*cell = (struct cell){.kind = CELL_BOOL, .integer = slice_is_word(text, "true")};
		return NULL;
	case TYPE_INT:
	case TYPE_MONEY:
	case TYPE_COUNT: {
		int64_t number;
		if (!slice_to_int64(text, &number)) {
			return "must be a whole number";
		}
		*cell = cell_int(number);
		if (type_fits_number(type, cell)) {
			return NULL;
		}
		break;
	}
	default:
		*cell = cell_text(text);
		break;
	}
	return type_refuses(type, cell, arena);
}

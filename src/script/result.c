/* A procedure's result, written straight to the wire in its declared order: a map in RESP3,
 * one bulk string of JSON in RESP2. */
#include "script/internal.h"

#include <lauxlib.h>

#include "wire/json.h"

/* Where values go: RESP3 (json NULL) or JSON. */
struct sink {
	struct reply *reply;
	struct buf *json;
	size_t left; /* values that may still be written */
};

static _Noreturn void refuse(lua_State *L, const struct field *field, const char *why)
{
	struct script_call *call = bundle_of(L)->call;
	call_fail(L, "RESULT_INVALID",
		  arena_printf(call->arena, "\"field\":\"%s\",\"reason\":\"%s\"",
			       field == NULL ? "" : (const char *)field->name.data, why));
}

void result_write_cell(struct reply *reply, const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_INT:
		reply_integer(reply, cell->integer);
		return;
	case CELL_TEXT:
		reply_bulk(reply, cell_slice(cell));
		return;
	case CELL_BOOL:
		reply_bool(reply, cell->integer != 0);
		return;
	default:
		reply_null(reply);
		return;
	}
}

static void write_json_cell(struct buf *json, const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_INT:
		json_write_int(json, cell->integer);
		return;
	case CELL_TEXT:
		json_write_text(json, cell_slice(cell));
		return;
	case CELL_BOOL:
		buf_append_text(json, cell->integer != 0 ? "true" : "false");
		return;
	default:
		buf_append_text(json, "null");
		return;
	}
}

static void write_fields(lua_State *L, int index, const struct fields *fields, struct sink *sink);

static void write_list(lua_State *L, int index, const struct field *field, struct sink *sink);

/* A checked cell; nested ones are read from the Lua value on top of the stack. */
static void write_item(lua_State *L, const struct field *field, const struct type *type,
		       const struct cell *cell, struct sink *sink)
{
	const char *why = type_refuses(type, cell, bundle_of(L)->call->arena);
	if (why != NULL) {
		refuse(L, field, why);
	}
	if (sink->left-- == 0) {
		refuse(L, field, "has too many values");
	}
	if (cell->kind == CELL_NESTED) {
		struct field inner = {.name = field->name, .type = *type};
		if (type->kind == TYPE_LIST) {
			write_list(L, lua_gettop(L), &inner, sink);
		} else {
			write_fields(L, lua_gettop(L), type->fields, sink);
		}
	} else if (sink->json != NULL) {
		write_json_cell(sink->json, cell);
	} else {
		result_write_cell(sink->reply, cell);
	}
}

static void write_list(lua_State *L, int index, const struct field *field, struct sink *sink)
{
	if (!lua_istable(L, index)) {
		refuse(L, field, "must be a list");
	}
	luaL_checkstack(L, 8, NULL);
	size_t count = lua_rawlen(L, index);
	if (sink->json != NULL) {
		buf_append_byte(sink->json, '[');
	} else {
		reply_array(sink->reply, count);
	}
	for (size_t i = 1; i <= count; i++) {
		struct cell cell;
		budget_charge(L, 4);
		lua_rawgeti(L, index, (lua_Integer)i);
		const char *why = value_to_cell(L, -1, &cell);
		if (why != NULL) {
			refuse(L, field, why);
		}
		if (sink->json != NULL && i > 1) {
			buf_append_byte(sink->json, ',');
		}
		write_item(L, field, field->type.item, &cell, sink);
		lua_pop(L, 1);
	}
	if (sink->json != NULL) {
		buf_append_byte(sink->json, ']');
	}
}

/* The cells of the fields, from a table or from a row. */
static void read_cells(lua_State *L, int index, const struct fields *fields, struct cell *cells)
{
	struct row_box *row = db_row(L, index);
	if (row == NULL) {
		if (!lua_istable(L, index)) {
			refuse(L, NULL, "the result must be a table of the declared fields");
		}
		value_read_fields(L, index, fields, cells, "result");
		return;
	}
	const struct cell *columns = db_row_cells(L, row);
	for (size_t i = 0; i < fields->count; i++) {
		int column = fields_find(&db_row_table(row)->columns, fields->items[i].interned);
		if (column < 0) {
			refuse(L, &fields->items[i], "is no column of the row");
		}
		cells[i] = columns[column];
	}
}

static void write_fields(lua_State *L, int index, const struct fields *fields, struct sink *sink)
{
	struct cell cells[SCHEMA_FIELDS_MAX];
	luaL_checkstack(L, 8, NULL);
	read_cells(L, index, fields, cells);
	if (sink->json != NULL) {
		buf_append_byte(sink->json, '{');
	} else {
		reply_map(sink->reply, fields->count);
	}
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->items[i];
		if (sink->json != NULL) {
			if (i > 0) {
				buf_append_byte(sink->json, ',');
			}
			json_write_text(sink->json, field->name);
			buf_append_byte(sink->json, ':');
		} else {
			reply_bulk(sink->reply, field->name);
		}
		if (cells[i].kind == CELL_NESTED) {
			lua_rawgeti(L, LUA_REGISTRYINDEX, field->name_ref);
			lua_rawget(L, index);
			write_item(L, field, &field->type, &cells[i], sink);
			lua_pop(L, 1);
		} else {
			write_item(L, field, &field->type, &cells[i], sink);
		}
	}
	if (sink->json != NULL) {
		buf_append_byte(sink->json, '}');
	}
}

void result_write(lua_State *L, int index, const struct fields *fields, struct reply *reply,
		  struct buf *scratch)
{
	struct sink sink = {.reply = reply, .left = LIMIT_RESULT_ITEMS};
	if (reply->protocol != 3) {
		buf_reset(scratch);
		sink.json = scratch;
	}
	if (fields->count == 0 && lua_isnil(L, index)) {
		lua_newtable(L);
		index = lua_gettop(L);
	}
	write_fields(L, index, fields, &sink);
	if (sink.json != NULL) {
		if (buf_failed(scratch)) {
			call_fail(L, "TOO_LARGE", NULL);
		}
		reply_bulk(reply, buf_slice(scratch));
	}
	if (buf_failed(reply->out)) {
		call_fail(L, "TOO_LARGE", NULL);
	}
}

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

/* index: where nested values are read from. */
static void write_cells(lua_State *L, int index, const struct fields *fields, const struct cell *cells,
			struct sink *sink)
{
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
		bool nested = cells[i].kind == CELL_NESTED && index != 0;
		if (nested) {
			lua_rawgeti(L, LUA_REGISTRYINDEX, field->name_ref);
			lua_rawget(L, index);
		}
		write_item(L, field, &field->type, &cells[i], sink);
		if (nested) {
			lua_pop(L, 1);
		}
	}
	if (sink->json != NULL) {
		buf_append_byte(sink->json, '}');
	}
}

static void write_fields(lua_State *L, int index, const struct fields *fields, struct sink *sink)
{
	struct cell cells[SCHEMA_FIELDS_MAX];
	luaL_checkstack(L, 8, NULL);
	read_cells(L, index, fields, cells);
	write_cells(L, index, fields, cells, sink);
}

static void open_sink(struct sink *sink, struct buf *scratch)
{
	if (sink->reply->protocol != 3) {
		buf_reset(scratch);
		sink->json = scratch;
	}
}

static void close_sink(lua_State *L, struct sink *sink)
{
	if (sink->json != NULL) {
		if (buf_failed(sink->json)) {
			call_fail(L, "TOO_LARGE", NULL);
		}
		reply_bulk(sink->reply, buf_slice(sink->json));
	}
	if (buf_failed(sink->reply->out)) {
		call_fail(L, "TOO_LARGE", NULL);
	}
}

/* ---- results of plain values, the common case: one reservation, no calls ---- */

static uint8_t *put_number(uint8_t *out, int64_t value)
{
	uint8_t digits[20];
	size_t count = 0;
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
	if (value < 0) {
		*out++ = '-';
	}
	do {
		digits[count++] = (uint8_t)('0' + rest % 10);
		rest /= 10;
	} while (rest != 0);
	while (count > 0) {
		*out++ = digits[--count];
	}
	return out;
}

static uint8_t *put_line_end(uint8_t *out)
{
	out[0] = '\r';
	out[1] = '\n';
	return out + 2;
}

static uint8_t *put_cell(uint8_t *out, const struct cell *cell)
{
	switch (cell->kind) {
	case CELL_INT:
		*out++ = ':';
		return put_line_end(put_number(out, cell->integer));
	case CELL_TEXT:
		*out++ = '$';
		out = put_line_end(put_number(out, cell->len));
		memcpy(out, cell->bytes, cell->len);
		return put_line_end(out + cell->len);
	case CELL_BOOL:
		*out++ = '#';
		*out++ = cell->integer != 0 ? 't' : 'f';
		return put_line_end(out);
	default:
		*out++ = '_';
		return put_line_end(out);
	}
}

/* RESP3 without lists and records. */
static void put_scalars(lua_State *L, const struct fields *fields, const struct cell *cells, struct buf *out)
{
	size_t room = 32;
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *field = &fields->items[i];
		const char *why = NULL;
		if (!type_fits_number(&field->type, &cells[i])) {
			why = type_refuses(&field->type, &cells[i], bundle_of(L)->call->arena);
		}
		if (why != NULL) {
			refuse(L, field, why);
		}
		room += 64 + field->name.len + (cells[i].kind == CELL_TEXT ? cells[i].len : 0);
	}
	uint8_t *at = buf_reserve(out, room);
	if (at == NULL) {
		call_fail(L, "TOO_LARGE", NULL);
	}
	uint8_t *begin = at;
	*at++ = '%';
	at = put_line_end(put_number(at, (int64_t)fields->count));
	for (size_t i = 0; i < fields->count; i++) {
		memcpy(at, fields->items[i].wire.data, fields->items[i].wire.len);
		at = put_cell(at + fields->items[i].wire.len, &cells[i]);
	}
	out->len += (size_t)(at - begin);
}

/* A result without lists and records. */
static void write_scalars(lua_State *L, const struct fields *fields, const struct cell *cells,
			  struct reply *reply, struct buf *scratch)
{
	struct sink sink = {.reply = reply, .left = LIMIT_RESULT_ITEMS};
	if (reply->protocol == 3) {
		put_scalars(L, fields, cells, reply->out);
		return;
	}
	open_sink(&sink, scratch);
	write_cells(L, 0, fields, cells, &sink);
	close_sink(L, &sink);
}

void result_write(lua_State *L, int index, const struct fields *fields, struct reply *reply,
		  struct buf *scratch)
{
	struct sink sink = {.reply = reply, .left = LIMIT_RESULT_ITEMS};
	if (fields->count == 0 && lua_isnil(L, index)) {
		lua_newtable(L);
		index = lua_gettop(L);
	}
	open_sink(&sink, scratch);
	write_fields(L, index, fields, &sink);
	close_sink(L, &sink);
}

int result_site(lua_State *L)
{
	const struct site *site = lua_touserdata(L, lua_upvalueindex(1));
	struct script_call *call = bundle_of(L)->call;
	const struct fields *fields = site->results;
	struct cell cells[SCHEMA_FIELDS_MAX];
	for (size_t i = 0; i < fields->count; i++) {
		cells[i].kind = CELL_NOTHING;
	}
	for (size_t i = 0; i < site->field_count; i++) {
		const struct field *field = &fields->items[site->fields[i]];
		const char *why = value_to_cell(L, (int)i + 1, &cells[site->fields[i]]);
		if (why != NULL) {
			luaL_error(L, "result: %s %s", (const char *)field->name.data, why);
		}
	}
	write_scalars(L, fields, cells, call->reply, &call->bundle->scratch);
	call->answered = true;
	return 0;
}

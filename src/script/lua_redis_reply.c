/* Lua values into replies, and replies of our own commands into Lua values, by
 * the tables of redis.io/docs/interact/programmability/lua-api ("Data type conversion"). */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "base/limits.h"
#include "script/lua_redis.h"
#include "script/sandbox.h"

#define DEPTH_MAX 100

/* ---- from Lua ---- */

static struct slice text_at(lua_State *L, int index)
{
	size_t len;
	const char *text = lua_tolstring(L, index, &len);
	return slice_of(text, len);
}

/* Leaves field of the table on top when it is of this type. */
static bool has_field(lua_State *L, const char *field, int type)
{
	lua_pushstring(L, field);
	if (lua_rawget(L, -2) == type) {
		return true;
	}
	lua_pop(L, 1);
	return false;
}

static int64_t number_to_integer(lua_State *L, int index)
{
	if (lua_isinteger(L, index)) {
		return lua_tointeger(L, index);
	}
	double number = lua_tonumber(L, index);
	if (!(number >= -9223372036854775808.0 && number < 9223372036854775808.0)) {
		return INT64_MIN; /* what the cast gives on x86, and so in Redis */
	}
	return (int64_t)number;
}

static void write_value(lua_State *L, struct reply *reply, int depth);

static void write_array(lua_State *L, struct reply *reply, int depth)
{
	size_t count = 0;
	for (;; count++) {
		bool more = lua_rawgeti(L, -1, (lua_Integer)count + 1) != LUA_TNIL;
		lua_pop(L, 1);
		if (!more) {
			break;
		}
	}
	budget_charge(L, count * 4);
	reply_array(reply, count);
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i);
		write_value(L, reply, depth + 1);
	}
}

/* The table on top is a map (pairs) or a set (its keys). */
static void write_map(lua_State *L, struct reply *reply, int depth, bool set)
{
	sandbox_push_sorted_keys(L, lua_gettop(L));
	size_t count = lua_rawlen(L, -1);
	if (set) {
		reply_set(reply, count);
	} else {
		reply_map(reply, count);
	}
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i);
		lua_pushvalue(L, -1);
		lua_rawget(L, -4);
		lua_insert(L, -2);
		write_value(L, reply, depth + 1);
		if (set) {
			lua_pop(L, 1);
		} else {
			write_value(L, reply, depth + 1);
		}
	}
	lua_pop(L, 1);
}

static void write_simple(lua_State *L, struct reply *reply)
{
	struct slice text = text_at(L, -1);
	char *line = malloc(text.len + 1);
	if (line == NULL) {
		fatal("out of memory: a reply of a script");
	}
	for (size_t i = 0; i < text.len; i++) {
		bool breaks = text.data[i] == '\r' || text.data[i] == '\n' || text.data[i] == '\0';
		line[i] = breaks ? ' ' : (char)text.data[i];
	}
	line[text.len] = '\0';
	reply_simple(reply, line);
	free(line);
}

static void write_verbatim(lua_State *L, struct reply *reply)
{
	if (has_field(L, "string", LUA_TSTRING)) {
		lua_insert(L, -2);
		if (has_field(L, "format", LUA_TSTRING)) {
			char format[4] = "txt";
			struct slice word = text_at(L, -1);
			for (size_t i = 0; i < 3; i++) {
				format[i] = i < word.len ? (char)word.data[i] : ' ';
			}
			reply_verbatim(reply, format, text_at(L, -3));
			lua_pop(L, 3);
			return;
		}
		lua_remove(L, -2);
	}
	lua_pop(L, 1);
	reply_null(reply);
}

static void write_big_number(lua_State *L, struct reply *reply)
{
	struct slice text = text_at(L, -1);
	if (reply->protocol < 3) {
		reply_bulk(reply, text);
		return;
	}
	buf_append_byte(reply->out, '(');
	for (size_t i = 0; i < text.len; i++) {
		bool breaks = text.data[i] == '\r' || text.data[i] == '\n';
		buf_append_byte(reply->out, breaks ? ' ' : text.data[i]);
	}
	buf_append_text(reply->out, "\r\n");
}

/* The table on top of the stack stays. An error in the depth of a reply is an element of it; one that is the
 * whole reply is told to reply_from_lua. */
static void write_table(lua_State *L, struct reply *reply, int depth)
{
	if (has_field(L, "err", LUA_TSTRING)) {
		struct slice text = text_at(L, -1);
		const char *line = (const char *)text.data;
		reply_error(reply, "%s", line[0] == '-' ? line + 1 : line);
	} else if (has_field(L, "ok", LUA_TSTRING)) {
		write_simple(L, reply);
	} else if (has_field(L, "double", LUA_TNUMBER)) {
		reply_double(reply, lua_tonumber(L, -1));
	} else if (has_field(L, "map", LUA_TTABLE)) {
		write_map(L, reply, depth, false);
	} else if (has_field(L, "set", LUA_TTABLE)) {
		write_map(L, reply, depth, true);
	} else if (has_field(L, "big_number", LUA_TSTRING)) {
		write_big_number(L, reply);
	} else if (has_field(L, "verbatim_string", LUA_TTABLE)) {
		write_verbatim(L, reply);
		return;
	} else {
		write_array(L, reply, depth);
		return;
	}
	lua_pop(L, 1);
}

/* Writes and pops the value on top. */
static void write_value(lua_State *L, struct reply *reply, int depth)
{
	if (depth > DEPTH_MAX) {
		luaL_error(L, "reached lua stack limit");
	}
	luaL_checkstack(L, 12, NULL);
	budget_charge(L, 2);
	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		budget_charge_bytes(L, lua_rawlen(L, -1));
		reply_bulk(reply, text_at(L, -1));
		break;
	case LUA_TNUMBER:
		reply_integer(reply, number_to_integer(L, -1));
		break;
	case LUA_TBOOLEAN:
		if (machine_of(L)->protocol >= 3) {
			reply_bool(reply, lua_toboolean(L, -1));
		} else if (lua_toboolean(L, -1)) {
			reply_integer(reply, 1);
		} else {
			reply_null(reply);
		}
		break;
	case LUA_TTABLE:
		write_table(L, reply, depth);
		break;
	default:
		reply_null(reply);
		break;
	}
	lua_pop(L, 1);
}

bool reply_from_lua(lua_State *L, struct reply *reply)
{
	bool error = false;
	if (lua_istable(L, -1) && has_field(L, "err", LUA_TSTRING)) {
		lua_pop(L, 1);
		error = true;
	}
	write_value(L, reply, 0);
	return !error;
}

/* ---- to Lua ---- */

/* Takes a line without its CR LF. Our own commands wrote it, so it is there. */
static struct slice take_line(struct slice *bytes)
{
	const uint8_t *end = memchr(bytes->data, '\r', bytes->len);
	assert(end != NULL);
	struct slice line = slice_of(bytes->data, (size_t)(end - bytes->data));
	*bytes = slice_skip(*bytes, line.len + 2);
	return line;
}

static int64_t take_number(struct slice *bytes)
{
	int64_t number;
	bool whole = slice_to_int64(take_line(bytes), &number);
	assert(whole);
	return whole ? number : 0;
}

static void push_slice(lua_State *L, struct slice s)
{
	lua_pushlstring(L, s.len == 0 ? "" : (const char *)s.data, s.len);
}

static void push_field(lua_State *L, const char *field, struct slice text)
{
	lua_createtable(L, 0, 1);
	push_slice(L, text);
	lua_setfield(L, -2, field);
}

static struct slice take_bulk(struct slice *bytes, int64_t len)
{
	struct slice text = slice_of(bytes->data, (size_t)len);
	*bytes = slice_skip(*bytes, text.len + 2);
	return text;
}

/* RESP2's nulls are bulks and arrays of less than nothing: false, as in Redis. */
static void push_bulk(lua_State *L, struct slice *bytes)
{
	int64_t len = take_number(bytes);
	if (len < 0) {
		lua_pushboolean(L, 0);
		return;
	}
	push_slice(L, take_bulk(bytes, len));
}

static void push_array(lua_State *L, struct slice *bytes)
{
	int64_t count = take_number(bytes);
	if (count < 0) {
		lua_pushboolean(L, 0);
		return;
	}
	lua_createtable(L, (int)count, 0);
	for (int64_t i = 1; i <= count; i++) {
		reply_to_lua(L, bytes);
		lua_rawseti(L, -2, i);
	}
}

/* {map = {…}} or {set = {… = true}} */
static void push_pairs(lua_State *L, struct slice *bytes, const char *field, int64_t count, bool set)
{
	lua_createtable(L, 0, 1);
	lua_createtable(L, 0, (int)count);
	for (int64_t i = 0; i < count; i++) {
		reply_to_lua(L, bytes);
		if (set) {
			lua_pushboolean(L, 1);
		} else {
			reply_to_lua(L, bytes);
		}
		lua_rawset(L, -3);
	}
	lua_setfield(L, -2, field);
}

static void push_verbatim(lua_State *L, struct slice *bytes)
{
	int64_t len = take_number(bytes);
	struct slice text = take_bulk(bytes, len);
	lua_createtable(L, 0, 1);
	lua_createtable(L, 0, 2);
	push_slice(L, slice_of(text.data, 3));
	lua_setfield(L, -2, "format");
	push_slice(L, slice_skip(text, 4));
	lua_setfield(L, -2, "string");
	lua_setfield(L, -2, "verbatim_string");
}

static void push_double(lua_State *L, struct slice text)
{
	char digits[64];
	size_t len = text.len < sizeof(digits) - 1 ? text.len : sizeof(digits) - 1;
	memcpy(digits, text.data, len);
	digits[len] = '\0';
	lua_createtable(L, 0, 1);
	lua_pushnumber(L, strtod(digits, NULL));
	lua_setfield(L, -2, "double");
}

void reply_to_lua(lua_State *L, struct slice *bytes)
{
	luaL_checkstack(L, 8, NULL);
	budget_charge(L, 2);
	assert(bytes->len > 0);
	uint8_t type = bytes->data[0];
	*bytes = slice_skip(*bytes, 1);
	switch (type) {
	case '+':
		push_field(L, "ok", take_line(bytes));
		return;
	case '-':
		push_field(L, "err", take_line(bytes));
		return;
	case ':':
		lua_pushinteger(L, take_number(bytes));
		return;
	case '$':
		push_bulk(L, bytes);
		return;
	case '*':
		push_array(L, bytes);
		return;
	case '%':
		push_pairs(L, bytes, "map", take_number(bytes), false);
		return;
	case '~':
		push_pairs(L, bytes, "set", take_number(bytes), true);
		return;
	case '_':
		take_line(bytes);
		lua_pushnil(L);
		return;
	case '#':
		lua_pushboolean(L, take_line(bytes).data[0] == 't');
		return;
	case ',':
		push_double(L, take_line(bytes));
		return;
	case '(':
		push_field(L, "big_number", take_line(bytes));
		return;
	default:
		assert(type == '=');
		push_verbatim(L, bytes);
		return;
	}
}

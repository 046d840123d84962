/* cjson.encode, into the machine's buffer. Objects come out in the order of pairs. */
#include <math.h>

#include <lauxlib.h>

#include "script/lua_cjson.h"
#include "script/lua_redis.h"
#include "script/sandbox.h"

static void write_text(lua_State *L, struct buf *out, int index)
{
	size_t len;
	const char *text = lua_tolstring(L, index, &len);
	budget_charge_bytes(L, len * 4);
	buf_append_byte(out, '"');
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];
		const char *at = strchr("\"\"\\\\//\bb\ff\nn\rr\tt", c);
		if (c == 0 || c == 127 || (c < 32 && at == NULL)) {
			buf_appendf(out, "\\u%04x", c);
		} else if (at != NULL && (c < 32 || strchr("\"\\/", c) != NULL)) {
			buf_append_byte(out, '\\');
			buf_append_byte(out, (uint8_t)at[1]);
		} else {
			buf_append_byte(out, c);
		}
	}
	buf_append_byte(out, '"');
}

static void write_number(lua_State *L, struct buf *out, int index)
{
	const struct json_settings *set = &machine_of(L)->json;
	if (lua_isinteger(L, index)) {
		buf_appendf(out, "%lld", (long long)lua_tointeger(L, index));
		return;
	}
	double number = lua_tonumber(L, index);
	if (isfinite(number)) {
		buf_appendf(out, "%.*g", (int)set->precision, number);
	} else if (set->encode_invalid == 0) {
		luaL_error(L, "Cannot serialise number: must not be NaN or Inf");
	} else if (set->encode_invalid == 2) {
		buf_append_text(out, "null");
	} else {
		buf_append_text(out, isnan(number) ? "nan" : number > 0 ? "inf" : "-inf");
	}
}

/* The length of the table on top as an array, or -1 when it is an object. */
static lua_Integer array_length(lua_State *L)
{
	const struct json_settings *set = &machine_of(L)->json;
	lua_Integer max = 0, items = 0;
	bool array = true;
	budget_charge_walk(L, -1);
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		lua_pop(L, 1);
		budget_charge(L, 2);
		int type = lua_type(L, -1);
		if (type != LUA_TNUMBER && type != LUA_TSTRING) {
			luaL_error(L, "Cannot serialise %s: table key must be a number or string",
				   luaL_typename(L, -1));
		}
		lua_Integer key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
		array = array && key > 0;
		max = key > max ? key : max;
		items++;
	}
	if (!array || items == 0) {
		return -1;
	}
	if (set->sparse_ratio > 0 && max > set->sparse_safe && max > items * set->sparse_ratio) {
		if (!set->sparse_convert) {
			luaL_error(L, "Cannot serialise table: excessively sparse array");
		}
		return -1;
	}
	return max;
}

static void write_value(lua_State *L, struct buf *out, int depth);

static void write_array(lua_State *L, struct buf *out, lua_Integer length, int depth)
{
	buf_append_byte(out, '[');
	for (lua_Integer i = 1; i <= length; i++) {
		if (i > 1) {
			buf_append_byte(out, ',');
		}
		lua_rawgeti(L, -1, i);
		write_value(L, out, depth);
		lua_pop(L, 1);
	}
	buf_append_byte(out, ']');
}

static void write_object(lua_State *L, struct buf *out, int depth)
{
	int table = lua_gettop(L);
	sandbox_push_sorted_keys(L, table);
	lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
	buf_append_byte(out, '{');
	for (lua_Integer i = 1; i <= count; i++) {
		if (i > 1) {
			buf_append_byte(out, ',');
		}
		lua_rawgeti(L, table + 1, i);
		if (lua_type(L, -1) == LUA_TSTRING) {
			write_text(L, out, -1);
		} else {
			buf_append_byte(out, '"');
			write_number(L, out, -1);
			buf_append_byte(out, '"');
		}
		buf_append_byte(out, ':');
		lua_rawget(L, table);
		write_value(L, out, depth);
		lua_pop(L, 1);
	}
	buf_append_byte(out, '}');
	lua_pop(L, 1);
}

static void write_table(lua_State *L, struct buf *out, int depth)
{
	const struct json_settings *set = &machine_of(L)->json;
	if (depth > set->encode_depth || depth > CJSON_DEPTH_MAX) {
		luaL_error(L, "Cannot serialise, excessive nesting (%d)", depth);
	}
	lua_Integer length = array_length(L);
	if (length > 0) {
		write_array(L, out, length, depth);
	} else {
		write_object(L, out, depth);
	}
}

/* The value on top of the stack stays. depth counts the tables around it. */
static void write_value(lua_State *L, struct buf *out, int depth)
{
	luaL_checkstack(L, 8, "nested too deep");
	budget_charge(L, 4);
	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		write_text(L, out, -1);
		return;
	case LUA_TNUMBER:
		write_number(L, out, -1);
		return;
	case LUA_TBOOLEAN:
		buf_append_text(out, lua_toboolean(L, -1) ? "true" : "false");
		return;
	case LUA_TTABLE:
		write_table(L, out, depth + 1);
		return;
	case LUA_TNIL:
		buf_append_text(out, "null");
		return;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, -1) == NULL) {
			buf_append_text(out, "null");
			return;
		}
		break;
	default:
		break;
	}
	luaL_error(L, "Cannot serialise %s: type not supported", luaL_typename(L, -1));
}

int json_encode(lua_State *L)
{
	luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
	struct buf *out = &machine_of(L)->bytes;
	buf_reset(out);
	write_value(L, out, 0);
	if (buf_failed(out)) {
		budget_raise(L, BUDGET_MEMORY);
	}
	budget_charge_bytes(L, out->len);
	lua_pushlstring(L, (const char *)out->data, out->len);
	return 1;
}

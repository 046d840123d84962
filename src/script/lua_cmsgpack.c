/* cmsgpack: MessagePack (msgpack.org) as the library of this name reads and
 * writes it. Nothing recurses deeper than NESTING_MAX, lengths are compared with what is there before they
 * are believed (CVE-2018-11218). Maps come out in the order of pairs. */
#include <assert.h>
#include <math.h>

#include <lauxlib.h>

#include "script/lua_redis.h"
#include "script/sandbox.h"

#define NESTING_MAX 16 /* of tables that are packed; deeper ones become nil */
#define UNPACK_NESTING 100

/* ---- packing ---- */

static void put_big(struct buf *out, uint64_t bits, size_t size)
{
	for (size_t i = size; i > 0; i--) {
		buf_append_byte(out, (uint8_t)(bits >> (8 * (i - 1))));
	}
}

static void put_tagged(struct buf *out, uint8_t tag, uint64_t bits, size_t size)
{
	buf_append_byte(out, tag);
	put_big(out, bits, size);
}

static void pack_integer(struct buf *out, int64_t n)
{
	uint64_t bits = (uint64_t)n;
	if (n >= -32 && n <= 127) {
		buf_append_byte(out, (uint8_t)bits);
	} else if (n >= 0) {
		uint8_t power = n <= 0xff ? 0 : n <= 0xffff ? 1 : n <= 0xffffffff ? 2 : 3;
		put_tagged(out, (uint8_t)(0xcc + power), bits, (size_t)1 << power);
	} else {
		uint8_t power = n >= INT8_MIN ? 0 : n >= INT16_MIN ? 1 : n >= INT32_MIN ? 2 : 3;
		put_tagged(out, (uint8_t)(0xd0 + power), bits, (size_t)1 << power);
	}
}

static void pack_number(lua_State *L, struct buf *out)
{
	if (lua_isinteger(L, -1)) {
		pack_integer(out, lua_tointeger(L, -1));
		return;
	}
	double number = lua_tonumber(L, -1);
	if (number >= -9223372036854775808.0 && number < 9223372036854775808.0 && number == floor(number)) {
		pack_integer(out, (int64_t)number);
		return;
	}
	float single = (float)number;
	if ((double)single == number) {
		uint32_t half;
		memcpy(&half, &single, 4);
		put_tagged(out, 0xca, half, 4);
	} else {
		uint64_t bits;
		memcpy(&bits, &number, 8);
		put_tagged(out, 0xcb, bits, 8);
	}
}

/* Head of a text, array or map of n: short is its form for small n. */
static void pack_head(struct buf *out, uint8_t short_tag, size_t short_max, uint8_t tag16, size_t n)
{
	if (n <= short_max) {
		buf_append_byte(out, (uint8_t)(short_tag | n));
	} else if (n <= 0xffff) {
		put_tagged(out, tag16, n, 2);
	} else {
		put_tagged(out, (uint8_t)(tag16 + 1), n, 4);
	}
}

static void pack_text(lua_State *L, struct buf *out)
{
	size_t len;
	const char *text = lua_tolstring(L, -1, &len);
	budget_charge_bytes(L, len);
	if (len > 31 && len <= 0xff) {
		put_tagged(out, 0xd9, len, 1);
	} else {
		pack_head(out, 0xa0, 31, 0xda, len);
	}
	buf_append(out, text, len);
}

/* The number of keys of the table on top; *array: they are 1 to that number. */
static size_t count_keys(lua_State *L, bool *array)
{
	size_t count = 0;
	lua_Integer max = 0;
	*array = true;
	budget_charge_walk(L, -1);
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		lua_pop(L, 1);
		budget_charge(L, 2);
		lua_Integer key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
		*array = *array && key > 0;
		max = key > max ? key : max;
		count++;
	}
	*array = *array && (size_t)max == count;
	return count;
}

static void pack_value(lua_State *L, struct buf *out, int depth);

static void pack_map(lua_State *L, struct buf *out, size_t count, int depth)
{
	int table = lua_gettop(L);
	sandbox_push_sorted_keys(L, table);
	pack_head(out, 0x80, 15, 0xde, count);
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(L, table + 1, (lua_Integer)i);
		pack_value(L, out, depth);
		lua_rawget(L, table);
		pack_value(L, out, depth);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static void pack_table(lua_State *L, struct buf *out, int depth)
{
	bool array;
	size_t count = count_keys(L, &array);
	if (!array) {
		pack_map(L, out, count, depth);
		return;
	}
	pack_head(out, 0x90, 15, 0xdc, count);
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i);
		pack_value(L, out, depth);
		lua_pop(L, 1);
	}
}

/* The value on top stays. */
static void pack_value(lua_State *L, struct buf *out, int depth)
{
	luaL_checkstack(L, 8, "nested too deep");
	budget_charge(L, 2);
	int type = lua_type(L, -1);
	if (type == LUA_TSTRING) {
		pack_text(L, out);
	} else if (type == LUA_TNUMBER) {
		pack_number(L, out);
	} else if (type == LUA_TBOOLEAN) {
		buf_append_byte(out, lua_toboolean(L, -1) ? 0xc3 : 0xc2);
	} else if (type == LUA_TTABLE && depth < NESTING_MAX) {
		pack_table(L, out, depth + 1);
	} else {
		buf_append_byte(out, 0xc0);
	}
}

static int msgpack_pack(lua_State *L)
{
	int count = lua_gettop(L);
	if (count == 0) {
		return luaL_argerror(L, 0, "MessagePack pack needs input.");
	}
	struct buf *out = &machine_of(L)->bytes;
	buf_reset(out);
	for (int i = 1; i <= count; i++) {
		lua_pushvalue(L, i);
		pack_value(L, out, 0);
		lua_pop(L, 1);
	}
	if (buf_failed(out)) {
		budget_raise(L, BUDGET_MEMORY);
	}
	lua_pushlstring(L, (const char *)out->data, out->len);
	return 1;
}

/* ---- unpacking ---- */

static _Noreturn void missing(lua_State *L)
{
	luaL_error(L, "Missing bytes in input.");
	fatal("luaL_error returned");
}

static uint64_t take_big(lua_State *L, struct slice *in, size_t size)
{
	if (in->len < size) {
		missing(L);
	}
	uint64_t bits = 0;
	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | in->data[i];
	}
	*in = slice_skip(*in, size);
	return bits;
}

static void unpack_text(lua_State *L, struct slice *in, uint64_t len)
{
	if (in->len < len) {
		missing(L);
	}
	budget_charge_bytes(L, len);
	lua_pushlstring(L, len == 0 ? "" : (const char *)in->data, len);
	*in = slice_skip(*in, len);
}

static void unpack_value(lua_State *L, struct slice *in, int depth);

/* An element takes a byte at least: a count larger than the rest is a lie. */
static void unpack_array(lua_State *L, struct slice *in, uint64_t count, int depth)
{
	lua_createtable(L, 0, 0);
	for (uint64_t i = 1; i <= count; i++) {
		unpack_value(L, in, depth + 1);
		lua_rawseti(L, -2, (lua_Integer)i);
	}
}

static void unpack_map(lua_State *L, struct slice *in, uint64_t count, int depth)
{
	lua_createtable(L, 0, 0);
	for (uint64_t i = 0; i < count; i++) {
		unpack_value(L, in, depth + 1);
		unpack_value(L, in, depth + 1);
		bool is_nan = lua_type(L, -2) == LUA_TNUMBER && lua_tonumber(L, -2) != lua_tonumber(L, -2);
		if (lua_isnil(L, -2) || is_nan) {
			luaL_error(L, "Bad data format in input.");
		}
		lua_rawset(L, -3);
	}
}

static void unpack_float(lua_State *L, struct slice *in)
{
	uint32_t half = (uint32_t)take_big(L, in, 4);
	float single;
	memcpy(&single, &half, 4);
	lua_pushnumber(L, (double)single);
}

static void unpack_double(lua_State *L, struct slice *in)
{
	uint64_t bits = take_big(L, in, 8);
	double number;
	memcpy(&number, &bits, 8);
	lua_pushnumber(L, number);
}

static void unpack_signed(lua_State *L, struct slice *in, unsigned power)
{
	size_t size = (size_t)1 << power;
	uint64_t bits = take_big(L, in, size);
	if (size < 8) {
		uint64_t sign = (uint64_t)1 << (8 * size - 1);
		bits = (bits ^ sign) - sign;
	}
	lua_pushinteger(L, (lua_Integer)bits);
}

static void unpack_tagged(lua_State *L, struct slice *in, uint8_t tag, int depth)
{
	switch (tag) {
	case 0xc0:
		lua_pushnil(L);
		return;
	case 0xc2:
	case 0xc3:
		lua_pushboolean(L, tag == 0xc3);
		return;
	case 0xca:
		unpack_float(L, in);
		return;
	case 0xcb:
		unpack_double(L, in);
		return;
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		lua_pushinteger(L, (lua_Integer)take_big(L, in, (size_t)1 << (tag - 0xcc)));
		return;
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		unpack_signed(L, in, tag - 0xd0u);
		return;
	case 0xd9:
	case 0xda:
	case 0xdb:
		unpack_text(L, in, take_big(L, in, (size_t)1 << (tag - 0xd9)));
		return;
	case 0xdc:
	case 0xdd:
		unpack_array(L, in, take_big(L, in, (size_t)2 << (tag - 0xdc)), depth);
		return;
	case 0xde:
	case 0xdf:
		unpack_map(L, in, take_big(L, in, (size_t)2 << (tag - 0xde)), depth);
		return;
	default:
		luaL_error(L, "Bad data format in input.");
	}
}

static void unpack_value(lua_State *L, struct slice *in, int depth)
{
	luaL_checkstack(L, 4, "too many results");
	budget_charge(L, 2);
	if (depth > UNPACK_NESTING) {
		luaL_error(L, "Bad data format in input.");
	}
	uint8_t tag = (uint8_t)take_big(L, in, 1);
	if (tag <= 0x7f || tag >= 0xe0) {
		lua_pushinteger(L, (int8_t)tag);
	} else if (tag <= 0x8f) {
		unpack_map(L, in, tag & 15, depth);
	} else if (tag <= 0x9f) {
		unpack_array(L, in, tag & 15, depth);
	} else if (tag <= 0xbf) {
		unpack_text(L, in, tag & 31);
	} else {
		unpack_tagged(L, in, tag, depth);
	}
}

/* limit 0: all. With one given, the offset behind the last value (-1 at the end) comes first. */
static int unpack_full(lua_State *L, lua_Integer limit, lua_Integer offset)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	if (offset < 0 || limit < 0) {
		return luaL_error(L, "Invalid request to unpack with offset of %d and limit of %d.",
				  (int)offset, (int)len);
	}
	if ((size_t)offset > len) {
		return luaL_error(L, "Start offset %d greater than input length %d.", (int)offset, (int)len);
	}
	bool one_by_one = limit > 0;
	struct slice in = slice_skip(slice_of(text, len), (size_t)offset);
	lua_settop(L, 1);
	int count = 0;
	while (in.len > 0 && (!one_by_one || count < limit)) {
		unpack_value(L, &in, 0);
		count++;
	}
	if (one_by_one) {
		lua_pushinteger(L, in.len == 0 ? -1 : (lua_Integer)(len - in.len));
		lua_insert(L, 2);
		count++;
	}
	return count;
}

static int msgpack_unpack(lua_State *L)
{
	return unpack_full(L, 0, 0);
}

static int msgpack_unpack_one(lua_State *L)
{
	return unpack_full(L, 1, luaL_optinteger(L, 2, 0));
}

static int msgpack_unpack_limit(lua_State *L)
{
	return unpack_full(L, luaL_checkinteger(L, 2), luaL_optinteger(L, 3, 0));
}

void lua_cmsgpack_open(lua_State *L)
{
	static const luaL_Reg functions[] = {{"pack", msgpack_pack},
					     {"unpack", msgpack_unpack},
					     {"unpack_one", msgpack_unpack_one},
					     {"unpack_limit", msgpack_unpack_limit},
					     {NULL, NULL}};
	lua_createtable(L, 0, 8);
	luaL_setfuncs(L, functions, 0);
	lua_pushliteral(L, "cmsgpack");
	lua_setfield(L, -2, "_NAME");
	lua_pushliteral(L, "lua-cmsgpack 0.4.0");
	lua_setfield(L, -2, "_VERSION");
}

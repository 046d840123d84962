/* The table library, on raw access and charged: Lua's own honours metamethods and
 * can be made to loop in C without an end. Sorting is heap sort: n log n whatever the comparison says. */
#include "script/sandbox.h"

#include <limits.h>

#include <lauxlib.h>

static lua_Integer raw_length(lua_State *L, int arg)
{
	return (lua_Integer)lua_rawlen(L, arg);
}

static int table_insert(lua_State *L)
{
	sandbox_check_table(L, 1);
	lua_Integer count = raw_length(L, 1), at;
	switch (lua_gettop(L)) {
	case 2:
		at = count + 1;
		break;
	case 3:
		at = luaL_checkinteger(L, 2);
		luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)count + 1u, 2,
			      "position out of bounds");
		break;
	default:
		return luaL_error(L, "wrong number of arguments to 'insert'");
	}
	budget_charge(L, (size_t)(count + 1 - at) / 4);
	for (lua_Integer i = count + 1; i > at; i--) {
		lua_rawgeti(L, 1, i - 1);
		lua_rawseti(L, 1, i);
	}
	lua_rawseti(L, 1, at);
	return 0;
}

static int table_remove(lua_State *L)
{
	sandbox_check_table(L, 1);
	lua_Integer count = raw_length(L, 1);
	lua_Integer at = luaL_optinteger(L, 2, count);
	if (lua_gettop(L) > 1) {
		luaL_argcheck(L,
			      (lua_Unsigned)count + 1u - (lua_Unsigned)at < (lua_Unsigned)count + 1u ||
				      count == at || (count == 0 && at == 0) || at == count + 1,
			      2, "position out of bounds");
	}
	lua_rawgeti(L, 1, at);
	budget_charge(L, at < count ? (size_t)(count - at) / 4 : 0);
	for (; at < count; at++) {
		lua_rawgeti(L, 1, at + 1);
		lua_rawseti(L, 1, at);
	}
	if (at >= 1 && at <= count) {
		lua_pushnil(L);
		lua_rawseti(L, 1, at);
	}
	return 1;
}

static int table_concat(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	size_t gap_len;
	sandbox_float_text(L, 2);
	const char *gap = luaL_optlstring(L, 2, "", &gap_len);
	lua_Integer from = luaL_optinteger(L, 3, 1);
	lua_Integer to = luaL_optinteger(L, 4, raw_length(L, 1));
	luaL_Buffer out;
	luaL_buffinit(L, &out);
	for (lua_Integer i = from; i <= to; i++) {
		lua_rawgeti(L, 1, i);
		if (!lua_isstring(L, -1)) {
			return luaL_error(L, "invalid value (at index %I) in table for 'concat'",
					  (LUAI_UACINT)i);
		}
		sandbox_float_text(L, -1);
		budget_charge_bytes(L, lua_rawlen(L, -1) + gap_len);
		luaL_addvalue(&out);
		if (i == to) { /* i + 1 may overflow */
			break;
		}
		luaL_addlstring(&out, gap, gap_len);
	}
	luaL_pushresult(&out);
	return 1;
}

static int table_unpack(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer from = luaL_optinteger(L, 2, 1);
	lua_Integer to = lua_isnoneornil(L, 3) ? raw_length(L, 1) : luaL_checkinteger(L, 3);
	if (from > to) {
		return 0;
	}
	lua_Unsigned count = (lua_Unsigned)to - (lua_Unsigned)from;
	if (count >= SANDBOX_VALUES_MAX || !lua_checkstack(L, (int)++count)) {
		return luaL_error(L, "too many results to unpack");
	}
	budget_charge(L, (size_t)count / 4);
	for (lua_Unsigned i = 0; i < count; i++) {
		lua_rawgeti(L, 1, (lua_Integer)((lua_Unsigned)from + i));
	}
	return (int)count;
}

static int table_pack(lua_State *L)
{
	int count = lua_gettop(L);
	lua_createtable(L, count, 1);
	lua_insert(L, 1);
	for (int i = count; i >= 1; i--) {
		lua_rawseti(L, 1, i);
	}
	lua_pushinteger(L, count);
	lua_setfield(L, 1, "n");
	return 1;
}

static int table_move(lua_State *L)
{
	int target = lua_isnoneornil(L, 5) ? 1 : 5;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer from = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3),
		    to = luaL_checkinteger(L, 4);
	sandbox_check_table(L, target);
	if (last >= from) {
		luaL_argcheck(L, from > 0 || last < LUA_MAXINTEGER + from, 3, "too many elements to move");
		lua_Integer count = last - from + 1;
		luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
		bool downward = to > from && to <= last && (target == 1 || lua_rawequal(L, 1, target));
		for (lua_Integer i = 0; i < count; i++) {
			lua_Integer at = downward ? count - 1 - i : i;
			budget_charge(L, 1);
			lua_rawgeti(L, 1, from + at);
			lua_rawseti(L, target, to + at);
		}
	}
	lua_pushvalue(L, target);
	return 1;
}

/* ---- sort ---- */

static bool less(lua_State *L, int a, int b)
{
	budget_charge(L, 2);
	if (lua_isnil(L, 2)) {
		if (lua_type(L, a) == LUA_TSTRING && lua_type(L, b) == LUA_TSTRING) {
			size_t len = lua_rawlen(L, a), other = lua_rawlen(L, b);
			budget_charge(L, (len < other ? len : other) / 64);
		}
		return lua_compare(L, a, b, LUA_OPLT);
	}
	lua_pushvalue(L, 2);
	lua_pushvalue(L, a < 0 ? a - 1 : a);
	lua_pushvalue(L, b < 0 ? b - 2 : b);
	lua_call(L, 2, 1);
	bool is_less = lua_toboolean(L, -1);
	lua_pop(L, 1);
	return is_less;
}

/* Lets the element at root sink until no child within count is greater. */
static void sink(lua_State *L, lua_Integer root, lua_Integer count)
{
	lua_rawgeti(L, 1, root); /* the sinking one stays on the stack */
	for (;;) {
		lua_Integer child = 2 * root;
		if (child > count) {
			break;
		}
		lua_rawgeti(L, 1, child);
		if (child < count) {
			lua_rawgeti(L, 1, child + 1);
			if (less(L, -2, -1)) {
				child++;
				lua_remove(L, -2);
			} else {
				lua_pop(L, 1);
			}
		}
		if (!less(L, -2, -1)) {
			lua_pop(L, 1);
			break;
		}
		lua_rawseti(L, 1, root);
		root = child;
	}
	lua_rawseti(L, 1, root);
}

static int table_sort(lua_State *L)
{
	sandbox_check_table(L, 1);
	lua_Integer count = raw_length(L, 1);
	luaL_argcheck(L, count < INT_MAX, 1, "array too big");
	if (!lua_isnoneornil(L, 2)) {
		luaL_checktype(L, 2, LUA_TFUNCTION);
	}
	lua_settop(L, 2);
	luaL_checkstack(L, 10, NULL);
	for (lua_Integer root = count / 2; root >= 1; root--) {
		sink(L, root, count);
	}
	for (lua_Integer last = count; last > 1; last--) {
		lua_rawgeti(L, 1, 1);
		lua_rawgeti(L, 1, last);
		lua_rawseti(L, 1, 1);
		lua_rawseti(L, 1, last);
		sink(L, 1, last - 1);
	}
	return 0;
}

static int table_getn(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushinteger(L, raw_length(L, 1));
	return 1;
}

void sandbox_table_open(lua_State *L, enum sandbox_flavour flavour)
{
	static const luaL_Reg ours[] = {{"insert", table_insert}, {"remove", table_remove},
					{"concat", table_concat}, {"unpack", table_unpack},
					{"pack", table_pack},     {"move", table_move},
					{"sort", table_sort},     {NULL, NULL}};
	luaL_setfuncs(L, ours, 0);
	if (flavour == SANDBOX_REDIS) {
		lua_pushcfunction(L, table_getn);
		lua_setfield(L, -2, "getn");
	}
}

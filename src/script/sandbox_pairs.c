/* pairs and next in an order that depends on the keys alone: false, true, numbers
 * ascending, texts by bytes. Keys of other kinds have no order and are refused. */
#include "script/sandbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "base/slice.h"

struct sort_key {
	int type; /* LUA_TBOOLEAN, LUA_TNUMBER, LUA_TSTRING: in this order */
	bool whole;
	lua_Integer integer; /* BOOLEAN too */
	lua_Number number;
	struct slice text; /* the string's own bytes: it is a key of the table */
};

static struct sort_key key_at(lua_State *L, int index)
{
	struct sort_key key = {.type = lua_type(L, index)};
	switch (key.type) {
	case LUA_TBOOLEAN:
		key.integer = lua_toboolean(L, index);
		break;
	case LUA_TNUMBER:
		key.whole = lua_isinteger(L, index);
		key.integer = key.whole ? lua_tointeger(L, index) : 0;
		key.number = lua_tonumber(L, index);
		break;
	case LUA_TSTRING: {
		size_t len;
		const char *bytes = lua_tolstring(L, index, &len);
		key.text = slice_of(bytes, len);
		break;
	}
	default:
		luaL_error(L, "pairs: keys of type %s have no order", luaL_typename(L, index));
	}
	return key;
}

static int compare_keys(const void *left, const void *right)
{
	const struct sort_key *a = left, *b = right;
	if (a->type != b->type) {
		return a->type < b->type ? -1 : 1;
	}
	if (a->type == LUA_TSTRING) {
		return slice_compare(a->text, b->text);
	}
	if (a->type == LUA_TNUMBER && !(a->whole && b->whole) && a->number != b->number) {
		return a->number < b->number ? -1 : 1;
	}
	return a->integer < b->integer ? -1 : a->integer > b->integer;
}

static void push_key(lua_State *L, const struct sort_key *key)
{
	if (key->type == LUA_TBOOLEAN) {
		lua_pushboolean(L, (int)key->integer);
	} else if (key->type == LUA_TSTRING) {
		lua_pushlstring(L, (const char *)key->text.data, key->text.len);
	} else if (key->whole) {
		lua_pushinteger(L, key->integer);
	} else {
		lua_pushnumber(L, key->number);
	}
}

void sandbox_push_sorted_keys(lua_State *L, int index)
{
	size_t count = 0, room = 16;
	bool sorted = true;
	struct sort_key *keys = lua_newuserdatauv(L, room * sizeof *keys, 0);
	int memory = lua_gettop(L);
	budget_charge_walk(L, index);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		if (count == room) {
			room *= 2;
			struct sort_key *wider = lua_newuserdatauv(L, room * sizeof *keys, 0);
			memcpy(wider, keys, count * sizeof *keys);
			keys = wider;
			lua_replace(L, memory);
		}
		keys[count] = key_at(L, -1);
		sorted = sorted && (count == 0 || compare_keys(&keys[count - 1], &keys[count]) < 0);
		count++;
		budget_charge(L, 4);
	}
	if (!sorted) {
		budget_charge(L, count * 8);
		qsort(keys, count, sizeof *keys, compare_keys);
	}
	lua_createtable(L, count > INT32_MAX ? INT32_MAX : (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		push_key(L, &keys[i]);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_remove(L, memory);
}

/* Upvalues: the sorted keys, the last place used. Keys whose value is gone meanwhile are passed over. */
static int pairs_next(lua_State *L)
{
	lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
	lua_settop(L, 1);
	for (;;) {
		budget_charge(L, 2);
		if (lua_rawgeti(L, lua_upvalueindex(1), ++at) == LUA_TNIL) {
			return 1;
		}
		lua_pushvalue(L, -1);
		if (lua_rawget(L, 1) != LUA_TNIL) {
			break;
		}
		lua_settop(L, 1);
	}
	lua_pushinteger(L, at);
	lua_replace(L, lua_upvalueindex(2));
	return 2;
}

static int sorted_pairs(lua_State *L)
{
	luaL_checkany(L, 1);
	if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
		lua_pushvalue(L, 1);
		lua_call(L, 1, 3);
		return 3;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	sandbox_push_sorted_keys(L, 1);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, pairs_next, 2);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

/* Without a memory between calls, next looks at every key: fine for `next(t) == nil`, slow for walks. */
static int sorted_next(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	budget_charge_walk(L, 1);
	bool first = lua_isnil(L, 2), found = false;
	struct sort_key after = {0}, best = {0};
	if (!first) {
		after = key_at(L, 2);
	}
	lua_pushnil(L); /* 3: the best key so far */
	lua_pushnil(L);
	while (lua_next(L, 1) != 0) {
		lua_pop(L, 1);
		struct sort_key key = key_at(L, -1);
		budget_charge(L, 2 + key.text.len / 32);
		if ((first || compare_keys(&after, &key) < 0) && (!found || compare_keys(&key, &best) < 0)) {
			found = true;
			best = key;
			lua_pushvalue(L, -1);
			lua_replace(L, 3);
		}
	}
	if (!found) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushvalue(L, 3);
	lua_rawget(L, 1);
	return 2;
}

void sandbox_pairs_open(lua_State *L)
{
	static const luaL_Reg ours[] = {{"pairs", sorted_pairs}, {"next", sorted_next}, {NULL, NULL}};
	luaL_setfuncs(L, ours, 0);
}

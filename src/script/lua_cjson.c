/* cjson: JSON as the library of this name reads and writes it, error texts
 * included. Objects come out in the order of pairs, so equal tables give equal texts;
 * depth and size are bounded (CVE-2022-24834). Settings last for one call. */
#include <lauxlib.h>

#include "script/lua_cjson.h"
#include "script/lua_redis.h"

void lua_cjson_reset(struct json_settings *settings)
{
	*settings = (struct json_settings){
		.sparse_ratio = 2,
		.sparse_safe = 10,
		.encode_depth = 1000,
		.decode_depth = 1000,
		.precision = 14,
		.decode_invalid = true,
		.keep_buffer = true,
	};
}

/* ---- settings ---- */

static void set_integer(lua_State *L, int arg, lua_Integer *setting, lua_Integer min, lua_Integer max)
{
	if (lua_isnoneornil(L, arg)) {
		return;
	}
	lua_Integer value = luaL_checkinteger(L, arg);
	if (value < min || value > max) {
		luaL_argerror(L, arg,
			      lua_pushfstring(L, "expected integer between %d and %d", (int)min, (int)max));
	}
	*setting = value;
}

static int json_encode_sparse_array(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (!lua_isnoneornil(L, 1)) {
		set->sparse_convert = lua_toboolean(L, 1);
	}
	set_integer(L, 2, &set->sparse_ratio, 0, INT32_MAX);
	set_integer(L, 3, &set->sparse_safe, 0, INT32_MAX);
	lua_pushboolean(L, set->sparse_convert);
	lua_pushinteger(L, set->sparse_ratio);
	lua_pushinteger(L, set->sparse_safe);
	return 3;
}

static int give_integer(lua_State *L, lua_Integer *setting, lua_Integer max)
{
	set_integer(L, 1, setting, 1, max);
	lua_pushinteger(L, *setting);
	return 1;
}

static int json_encode_max_depth(lua_State *L)
{
	return give_integer(L, &machine_of(L)->json.encode_depth, INT32_MAX);
}

static int json_decode_max_depth(lua_State *L)
{
	return give_integer(L, &machine_of(L)->json.decode_depth, INT32_MAX);
}

static int json_encode_number_precision(lua_State *L)
{
	return give_integer(L, &machine_of(L)->json.precision, 14);
}

static int json_encode_keep_buffer(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (!lua_isnoneornil(L, 1)) {
		set->keep_buffer = lua_toboolean(L, 1);
	}
	lua_pushboolean(L, set->keep_buffer);
	return 1;
}

static int json_encode_invalid_numbers(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (lua_type(L, 1) == LUA_TSTRING) {
		static const char *const words[] = {"off", "on", "null", NULL};
		set->encode_invalid = luaL_checkoption(L, 1, NULL, words);
	} else if (!lua_isnoneornil(L, 1)) {
		set->encode_invalid = lua_toboolean(L, 1);
	}
	if (set->encode_invalid == 2) {
		lua_pushliteral(L, "null");
	} else {
		lua_pushboolean(L, set->encode_invalid);
	}
	return 1;
}

static int json_decode_invalid_numbers(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (!lua_isnoneornil(L, 1)) {
		set->decode_invalid = lua_toboolean(L, 1);
	}
	lua_pushboolean(L, set->decode_invalid);
	return 1;
}

/* A table of its own with the same functions; the settings are shared. */
static int json_new(lua_State *L)
{
	lua_cjson_open(L);
	return 1;
}

void lua_cjson_open(lua_State *L)
{
	static const luaL_Reg functions[] = {{"encode", json_encode},
					     {"decode", json_decode},
					     {"encode_sparse_array", json_encode_sparse_array},
					     {"encode_max_depth", json_encode_max_depth},
					     {"decode_max_depth", json_decode_max_depth},
					     {"encode_number_precision", json_encode_number_precision},
					     {"encode_keep_buffer", json_encode_keep_buffer},
					     {"encode_invalid_numbers", json_encode_invalid_numbers},
					     {"decode_invalid_numbers", json_decode_invalid_numbers},
					     {"new", json_new},
					     {NULL, NULL}};
	lua_createtable(L, 0, 16);
	luaL_setfuncs(L, functions, 0);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	lua_pushliteral(L, "cjson");
	lua_setfield(L, -2, "_NAME");
	lua_pushliteral(L, "2.1.0");
	lua_setfield(L, -2, "_VERSION");
}

/* redis.register_function, while a library's chunk runs. */
#include <lauxlib.h>

#include "base/limits.h"
#include "script/lua_redis.h"

/* Raised as {err = …}: the text comes without a place. */
static _Noreturn void refuse(lua_State *L, const char *text)
{
	lua_createtable(L, 0, 1);
	lua_pushstring(L, text);
	lua_setfield(L, -2, "err");
	lua_error(L);
	fatal("lua_error returned");
}

bool function_name_is_good(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_')) {
			return false;
		}
	}
	return name.len > 0 && name.len <= LIMIT_KEY;
}

static struct slice keep_text(lua_State *L, int index)
{
	size_t len;
	const char *text = lua_tolstring(L, index, &len);
	return arena_copy(machine_of(L)->call->arena, slice_of(text, len));
}

static uint8_t read_flags(lua_State *L, int index)
{
	uint8_t flags = 0;
	if (!lua_istable(L, index)) {
		refuse(L, "ERR flags argument to redis.register_function must be a table representing "
			  "function flags");
	}
	for (lua_Integer i = 1; lua_rawgeti(L, index, i) != LUA_TNIL; i++) {
		uint8_t flag = 0;
		for (unsigned n = 0; n < FUNCTION_FLAGS && lua_type(L, -1) == LUA_TSTRING; n++) {
			flag |= strcmp(lua_tostring(L, -1), function_flag_names[n]) == 0 ? (uint8_t)(1u << n)
											 : 0;
		}
		if (flag == 0) {
			refuse(L, "ERR unknown flag given");
		}
		flags |= flag;
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return flags;
}

/* One named argument: its name at -2, its value at -1. A callback is copied to stack index 2. */
static void read_named(lua_State *L, struct redis_function *function)
{
	const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
	if (strcmp(name, "function_name") == 0) {
		if (!lua_isstring(L, -1)) {
			refuse(L, "ERR function_name argument given to redis.register_function must be a "
				  "string");
		}
		lua_pushvalue(L, -1);
		function->name = keep_text(L, -1);
		lua_pop(L, 1);
	} else if (strcmp(name, "description") == 0) {
		if (!lua_isstring(L, -1)) {
			refuse(L,
			       "ERR description argument given to redis.register_function must be a string");
		}
		lua_pushvalue(L, -1);
		function->description = keep_text(L, -1);
		lua_pop(L, 1);
	} else if (strcmp(name, "callback") == 0) {
		if (!lua_isfunction(L, -1)) {
			refuse(L,
			       "ERR callback argument given to redis.register_function must be a function");
		}
		lua_pushvalue(L, -1);
		lua_replace(L, 2);
	} else if (strcmp(name, "flags") == 0) {
		function->flags = read_flags(L, lua_gettop(L));
	} else {
		refuse(L, "ERR unknown argument given to redis.register_function");
	}
}

/* Leaves the callback at stack index 2. */
static void read_named_arguments(lua_State *L, struct redis_function *function)
{
	if (!lua_istable(L, 1)) {
		refuse(L, "ERR calling redis.register_function with a single argument is only applicable to "
			  "Lua table "
			  "(representing named arguments).");
	}
	lua_settop(L, 2);
	budget_charge_walk(L, 1);
	lua_pushnil(L);
	while (lua_next(L, 1) != 0) {
		read_named(L, function);
		lua_pop(L, 1);
	}
	if (function->name.data == NULL) {
		refuse(L, "ERR redis.register_function must get a function name argument");
	}
	if (lua_isnil(L, 2)) {
		refuse(L, "ERR redis.register_function must get a callback argument");
	}
}

static void read_two_arguments(lua_State *L, struct redis_function *function)
{
	if (!lua_isstring(L, 1)) {
		refuse(L, "ERR first argument to redis.register_function must be a string");
	}
	if (!lua_isfunction(L, 2)) {
		refuse(L, "ERR second argument to redis.register_function must be a function");
	}
	function->name = keep_text(L, 1);
}

bool function_same_name(struct slice a, struct slice b)
{
	return a.len == b.len && slice_is_word(a, (const char *)b.data); /* kept texts end in a zero */
}

int function_register(lua_State *L)
{
	struct redis_loading *loading = machine_of(L)->loading;
	int argc = lua_gettop(L);
	if (loading == NULL) {
		refuse(L, "ERR redis.register_function can only be called on FUNCTION LOAD command");
	}
	if (argc < 1 || argc > 2) {
		refuse(L, "ERR wrong number of arguments to redis.register_function");
	}
	struct redis_function function = {0};
	if (argc == 1) {
		read_named_arguments(L, &function);
	} else {
		read_two_arguments(L, &function);
	}
	if (!function_name_is_good(function.name)) {
		refuse(L, "ERR Library names can only contain letters, numbers, or underscores(_) and must "
			  "be at least "
			  "one character long");
	}
	for (size_t i = 0; i < loading->count; i++) {
		if (function_same_name(function.name, loading->functions[i].name)) {
			refuse(L, "ERR Function already exists in the library");
		}
	}
	if (loading->count == FUNCTIONS_MAX) {
		refuse(L, "ERR too many functions in the library");
	}
	loading->functions[loading->count++] = function;
	if (loading->wanted.data != NULL && function_same_name(loading->wanted, function.name)) {
		lua_pushvalue(L, 2);
		lua_rawsetp(L, LUA_REGISTRYINDEX, loading);
	}
	return 0;
}

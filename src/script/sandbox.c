#include "script/sandbox.h"

#include <assert.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "script/lua51.h"

/* ---- locked tables ---- */

static int locked_write(lua_State *L)
{
	return luaL_error(L, "table %s is read-only", lua_tostring(L, lua_upvalueindex(1)));
}

void sandbox_lock(lua_State *L, const char *what)
{
	luaL_checkstack(L, 4, NULL);
	lua_createtable(L, 0, 0);
	lua_createtable(L, 0, 3);
	lua_rotate(L, -3, -1); /* shell, metatable, content */
	lua_setfield(L, -2, "__index");
	lua_pushstring(L, what);
	lua_pushcclosure(L, locked_write, 1);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
}

bool sandbox_is_locked(lua_State *L, int index)
{
	if (!lua_getmetatable(L, index)) {
		return false;
	}
	lua_pushliteral(L, "__metatable");
	bool hidden = lua_rawget(L, -2) != LUA_TNIL;
	lua_pop(L, 2);
	return hidden;
}

void sandbox_check_table(lua_State *L, int arg)
{
	luaL_checktype(L, arg, LUA_TTABLE);
	if (sandbox_is_locked(L, arg)) {
		luaL_argerror(L, arg, "a table that is read-only");
	}
}

static int safe_rawset(lua_State *L)
{
	sandbox_check_table(L, 1);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 1;
}

/* ---- calls that catch errors, but not the end of the call ---- */

static int guarded_pcall_end(lua_State *L, int status, lua_KContext extra)
{
	if (budget_ended(L, status)) {
		budget_raise(L, budget_of(L)->end);
	}
	if (status == LUA_OK || status == LUA_YIELD) {
		return lua_gettop(L) - (int)extra;
	}
	lua_pushboolean(L, 0);
	lua_pushvalue(L, -2);
	return 2;
}

static int guarded_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, guarded_pcall_end);
	return guarded_pcall_end(L, status, 0);
}

/* The script's handler is not asked when the call has ended. */
static int guarded_handler(lua_State *L)
{
	if (budget_of(L)->end != BUDGET_OPEN) {
		return 1;
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

static int guarded_xpcall(lua_State *L)
{
	luaL_checktype(L, 2, LUA_TFUNCTION);
	int argc = lua_gettop(L) - 2;
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, guarded_handler, 1);
	lua_replace(L, 2); /* f, handler, arguments… */
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2); /* f, handler, true, f, arguments… */
	int status = lua_pcallk(L, argc, LUA_MULTRET, 2, 2, guarded_pcall_end);
	return guarded_pcall_end(L, status, 2);
}

/* ---- texts without addresses ---- */

void sandbox_charge_float(lua_State *L, int index)
{
	if (lua_type(L, index) == LUA_TNUMBER && !lua_isinteger(L, index)) {
		budget_charge(L, SANDBOX_FLOAT_STEPS);
	}
}

/* In the registry of a state for Redis. */
static const char redis_key;

void sandbox_float_text(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TNUMBER || lua_isinteger(L, index)) {
		return;
	}
	char text[32];
	index = lua_absindex(L, index);
	sandbox_charge_float(L, index);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &redis_key) != LUA_TNIL) {
		lua_pushlstring(L, text, lua51_number_text(L, index, text));
		lua_replace(L, index);
	}
	lua_pop(L, 1);
}

const char *sandbox_tostring(lua_State *L, int index, size_t *len)
{
	int type = lua_type(L, index);
	if (type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TNIL || type == LUA_TBOOLEAN) {
		return luaL_tolstring(L, index, len);
	}
	if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
		lua_pop(L, 1);
		return luaL_tolstring(L, index, len);
	}
	bool null = type == LUA_TLIGHTUSERDATA && lua_touserdata(L, index) == NULL; /* cjson.null */
	lua_pushstring(L, null ? "userdata: (nil)" : luaL_typename(L, index));
	return lua_tolstring(L, -1, len);
}

static int safe_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	sandbox_charge_float(L, 1);
	sandbox_tostring(L, 1, NULL);
	return 1;
}

const char *sandbox_error_text(lua_State *L, int index)
{
	switch (lua_type(L, index)) {
	case LUA_TSTRING:
		return lua_tostring(L, index);
	case LUA_TNUMBER:
		return "(error object is a number)";
	case LUA_TNIL:
		return "(error object is nil)";
	default:
		return "(error object is not a text)";
	}
}

/* Upvalue 1: Lua's function, which makes numbers of texts. */
static int charged_digits(lua_State *L)
{
	for (int i = 1; i <= lua_gettop(L) && i <= 2; i++) {
		if (lua_type(L, i) == LUA_TSTRING) {
			budget_charge(L, 1 + lua_rawlen(L, i) / SANDBOX_DIGITS_A_STEP);
		}
	}
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, lua_gettop(L) - 1, 1);
	return 1;
}

/* ---- math ---- */

static int math_abs(lua_State *L)
{
	if (!lua_isinteger(L, 1)) {
		lua_Number n = luaL_checknumber(L, 1);
		lua_pushnumber(L, n < 0 ? -n : n);
		return 1;
	}
	lua_Integer n = lua_tointeger(L, 1);
	if (n == LUA_MININTEGER) {
		return luaL_error(L, "math.abs: the smallest integer has no opposite");
	}
	lua_pushinteger(L, n < 0 ? -n : n);
	return 1;
}

static void copy_fields(lua_State *L, int from, int to, const char *const *names)
{
	for (; *names != NULL; names++) {
		int type = lua_getfield(L, from, *names);
		assert(type != LUA_TNIL);
		lua_setfield(L, to, *names);
		(void)type;
	}
}

static void open_math(lua_State *L, enum sandbox_flavour flavour)
{
	static const char *const whole[] = {"max", "min",        "tointeger",  "type",
					    "ult", "maxinteger", "mininteger", NULL};
	static const char *const real[] = {"acos", "asin",  "atan", "ceil", "cos", "deg",
					   "exp",  "floor", "fmod", "huge", "log", "modf",
					   "pi",   "rad",   "sin",  "sqrt", "tan", NULL};
	luaL_requiref(L, LUA_MATHLIBNAME, luaopen_math, 0);
	int from = lua_gettop(L);
	lua_createtable(L, 0, 32);
	copy_fields(L, from, from + 1, whole);
	if (flavour == SANDBOX_REDIS) {
		copy_fields(L, from, from + 1, real);
	}
	lua_pushcfunction(L, math_abs);
	lua_setfield(L, from + 1, "abs");
	lua_remove(L, from);
	sandbox_lock(L, "math");
}

/* ---- all of it ---- */

static const char *const procedure_names[] = {"assert",   "error",    "getmetatable", "ipairs",   "math",
					      "next",     "pairs",    "pcall",        "rawequal", "rawget",
					      "rawlen",   "select",   "setmetatable", "string",   "table",
					      "tonumber", "tostring", "type",         "xpcall",   NULL};
static const char *const redis_names[] = {"assert", "coroutine", "error",    "getmetatable", "ipairs",
					  "math",   "next",      "pairs",    "pcall",        "rawequal",
					  "rawget", "rawlen",    "rawset",   "select",       "setmetatable",
					  "string", "table",     "tonumber", "tostring",     "type",
					  "unpack", "xpcall",    NULL};

const char *const *sandbox_names(enum sandbox_flavour flavour)
{
	return flavour == SANDBOX_PROCEDURE ? procedure_names : redis_names;
}

static void open_base(lua_State *L, int globals, enum sandbox_flavour flavour)
{
	static const char *const as_they_are[] = {"assert", "error",  "ipairs", "rawequal", "rawget",
						  "rawlen", "select", "type",   NULL};
	static const luaL_Reg ours[] = {{"pcall", guarded_pcall},
					{"xpcall", guarded_xpcall},
					{"tostring", safe_tostring},
					{NULL, NULL}};
	luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
	copy_fields(L, lua_gettop(L), globals, as_they_are);
	lua_getfield(L, -1, "tonumber");
	lua_pushcclosure(L, charged_digits, 1);
	lua_setfield(L, globals, "tonumber");
	lua_pop(L, 1);
	lua_pushvalue(L, globals);
	luaL_setfuncs(L, ours, 0);
	sandbox_metatable_open(L, flavour);
	sandbox_pairs_open(L);
	lua_pop(L, 1);
}

/* The metatable of strings, on top of the stack. */
static void charge_arithmetic(lua_State *L)
{
	static const char *const names[] = {"__add", "__sub", "__mul",  "__mod", "__pow",
					    "__div", "__unm", "__idiv", NULL};
	for (int i = 0; names[i] != NULL; i++) {
		int type = lua_getfield(L, -1, names[i]);
		assert(type == LUA_TFUNCTION);
		lua_pushcclosure(L, charged_digits, 1);
		lua_setfield(L, -2, names[i]);
		(void)type;
	}
}

/* Lua's string library sets the metatable of all strings. Ours replaces it: methods, and for
 * Redis the arithmetic that turns texts into numbers. */
static void open_string(lua_State *L, int globals, enum sandbox_flavour flavour)
{
	luaL_requiref(L, LUA_STRLIBNAME, luaopen_string, 0);
	lua_createtable(L, 0, 16);
	sandbox_string_open(L, flavour);
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1); /* strlib, ours, "", metatable */
	if (flavour == SANDBOX_PROCEDURE) {
		lua_pop(L, 1);
		lua_createtable(L, 0, 2);
	} else {
		charge_arithmetic(L);
	}
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_pop(L, 1);
	sandbox_lock(L, "string");
	lua_setfield(L, globals, "string");
	lua_pop(L, 1);
}

/* Nothing of the libraries we opened stays reachable from the state itself. */
static void forget_libraries(lua_State *L)
{
	lua_pushnil(L);
	lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	lua_newtable(L);
	lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

void sandbox_open(lua_State *L, enum sandbox_flavour flavour)
{
	luaL_checkstack(L, 12, NULL);
	if (flavour == SANDBOX_REDIS) {
		lua_pushboolean(L, 1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &redis_key);
	}
	lua_createtable(L, 0, 32);
	int globals = lua_gettop(L);
	open_base(L, globals, flavour);
	open_math(L, flavour);
	lua_setfield(L, globals, "math");
	lua_createtable(L, 0, 8);
	sandbox_table_open(L, flavour);
	if (flavour == SANDBOX_REDIS) {
		lua_getfield(L, -1, "unpack");
		lua_setfield(L, globals, "unpack");
		lua_pushcfunction(L, safe_rawset);
		lua_setfield(L, globals, "rawset");
	}
	sandbox_lock(L, "table");
	lua_setfield(L, globals, "table");
	if (flavour == SANDBOX_REDIS) {
		lua_createtable(L, 0, 8);
		sandbox_coroutine_open(L);
		sandbox_lock(L, "coroutine");
		lua_setfield(L, globals, "coroutine");
	}
	open_string(L, globals, flavour);
	forget_libraries(L);
	assert(lua_gettop(L) == globals);
}

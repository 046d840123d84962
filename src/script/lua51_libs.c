/* The libraries string, math and table where 5.1 has them differently. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include <lauxlib.h>

#include "script/lua51.h"
#include "script/sandbox.h"

#define READONLY "Attempt to modify a readonly table"

/* ---- places and counts ---- */

/* An argument of %d and its like, a place, a count: 5.1 cuts what is behind the point. */
static void cut_to_integer(lua_State *L, int arg)
{
	int is_number;
	lua_Number n = lua_tonumberx(L, arg, &is_number);
	if (!is_number || lua_isinteger(L, arg)) {
		return;
	}
	if (n >= -9223372036854775808.0 && n < 9223372036854775808.0) {
		lua_pushinteger(L, (lua_Integer)n);
	} else {
		lua_pushinteger(L, LUA_MININTEGER);
	}
	lua_replace(L, arg);
}

void lua51_cut(lua_State *L, int arg)
{
	if (lua_type(L, arg) == LUA_TSTRING) {
		budget_charge(L, 1 + lua_rawlen(L, arg) / SANDBOX_DIGITS_A_STEP);
	}
	cut_to_integer(L, arg);
}

/* Upvalues: a function without any, which goes on here, and which arguments are places: bit i is the i-th. The
 * first is a text, or a table. */
static int cut_places(lua_State *L)
{
	unsigned places = (unsigned)lua_tointeger(L, lua_upvalueindex(2));
	sandbox_float_text(L, 1);
	for (int arg = 1; arg <= lua_gettop(L) && places >> arg != 0; arg++) {
		if (places >> arg & 1) {
			lua51_cut(L, arg);
		}
	}
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

struct placed {
	const char *name;
	unsigned places;
};

static void wrap_places(lua_State *L, int index, const struct placed *functions)
{
	index = lua_absindex(L, index);
	for (; functions->name != NULL; functions++) {
		lua_getfield(L, index, functions->name);
		assert(lua_tocfunction(L, -1) != NULL && lua_getupvalue(L, -1, 1) == NULL);
		lua_pushinteger(L, functions->places);
		lua_pushcclosure(L, cut_places, 2);
		lua_setfield(L, index, functions->name);
	}
}

/* ---- string ---- */

/* Checks the argument as 5.1 does and makes of it what 5.4's format prints alike. */
static void prepare_argument(lua_State *L, int arg, char kind)
{
	if (kind == 's' || kind == 'q') {
		sandbox_float_text(L, arg);
		luaL_checkstring(L, arg);
		return;
	}
	luaL_checknumber(L, arg);
	if (strchr("diouxXc", kind) != NULL) {
		cut_to_integer(L, arg);
	}
}

static int string_format(lua_State *L)
{
	size_t len;
	const char *format = luaL_checklstring(L, 1, &len);
	int argc = lua_gettop(L), arg = 1;
	luaL_Buffer out;
	lua_pushvalue(L, 1); /* stays while the buffer is built */
	luaL_buffinit(L, &out);
	for (size_t i = 0; i < len; i++) {
		luaL_addchar(&out, format[i]);
		if (format[i] != '%' || ++i >= len) {
			continue;
		}
		if (format[i] == '%') {
			luaL_addchar(&out, '%');
			continue;
		}
		arg++;
		while (i < len && format[i] != '\0' && strchr("-+ #0123456789.", format[i]) != NULL) {
			luaL_addchar(&out, format[i++]);
		}
		char kind = i < len ? format[i] : '\0';
		if (kind == '\0' || strchr("cdiouxXeEfgGqs", kind) == NULL) {
			return luaL_error(L, "invalid option '%%%c' to 'format'", kind);
		}
		luaL_addchar(&out, kind == 'u' ? 'd' : kind);
		luaL_argcheck(L, arg <= argc, arg, "no value");
		prepare_argument(L, arg, kind);
	}
	luaL_pushresult(&out);
	lua_replace(L, 1);
	lua_settop(L, argc);
	return lua51_pass_on(L, 1);
}

/* 5.1 knows no third argument. */
static int string_rep(lua_State *L)
{
	if (lua_gettop(L) > 2) {
		lua_settop(L, 2);
	}
	lua51_cut(L, 2);
	return lua51_pass_on(L, 1);
}

/* upper, lower, reverse */
static int string_whole(lua_State *L)
{
	sandbox_float_text(L, 1);
	return lua51_pass_on(L, 1);
}

static int string_char(lua_State *L)
{
	for (int arg = 1; arg <= lua_gettop(L); arg++) {
		lua51_cut(L, arg);
	}
	return lua51_pass_on(L, 1);
}

/* ---- math ---- */

static int math_pow(lua_State *L)
{
	lua_pushnumber(L, pow(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
	return 1;
}

static int math_log10(lua_State *L)
{
	lua_pushnumber(L, log10(luaL_checknumber(L, 1)));
	return 1;
}

static int math_log(lua_State *L)
{
	lua_pushnumber(L, log(luaL_checknumber(L, 1)));
	return 1;
}

static int math_sinh(lua_State *L)
{
	lua_pushnumber(L, sinh(luaL_checknumber(L, 1)));
	return 1;
}

static int math_cosh(lua_State *L)
{
	lua_pushnumber(L, cosh(luaL_checknumber(L, 1)));
	return 1;
}

static int math_tanh(lua_State *L)
{
	lua_pushnumber(L, tanh(luaL_checknumber(L, 1)));
	return 1;
}

static int math_atan2(lua_State *L)
{
	lua_pushnumber(L, atan2(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
	return 1;
}

static int math_fmod(lua_State *L)
{
	lua_pushnumber(L, fmod(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
	return 1;
}

static int math_ldexp(lua_State *L)
{
	lua_Integer exponent = luaL_checkinteger(L, 2);
	int bounded = exponent < -5000 ? -5000 : exponent > 5000 ? 5000 : (int)exponent;
	lua_pushnumber(L, ldexp(luaL_checknumber(L, 1), bounded));
	return 1;
}

static int math_frexp(lua_State *L)
{
	int exponent;
	lua_pushnumber(L, frexp(luaL_checknumber(L, 1), &exponent));
	lua_pushinteger(L, exponent);
	return 2;
}

/* ---- table ---- */

/* With two arguments the second is the value. */
static int table_insert(lua_State *L)
{
	if (lua_gettop(L) == 3) {
		lua51_cut(L, 2);
	}
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int table_maxn(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Number max = 0;
	budget_charge_walk(L, 1);
	lua_pushnil(L);
	while (lua_next(L, 1) != 0) {
		budget_charge(L, 1);
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) > max) {
			max = lua_tonumber(L, -1);
		}
	}
	lua_pushnumber(L, max);
	return 1;
}

/* Calls the function at 2 with the two values on top; true when it returned something. */
static bool visit(lua_State *L)
{
	lua_pushvalue(L, 2);
	lua_insert(L, -3);
	lua_call(L, 2, 1);
	if (!lua_isnil(L, -1)) {
		return true;
	}
	lua_pop(L, 1);
	return false;
}

static int table_foreachi(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_Integer count = (lua_Integer)lua_rawlen(L, 1);
	for (lua_Integer i = 1; i <= count; i++) {
		lua_pushinteger(L, i);
		lua_rawgeti(L, 1, i);
		if (visit(L)) {
			return 1;
		}
	}
	return 0;
}

/* Upvalue 1: the sandbox's pairs, which goes in order. */
static int table_foreach(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	lua_call(L, 1, 3); /* next, state, key at 3, 4, 5 */
	for (;;) {
		lua_pushvalue(L, 3);
		lua_pushvalue(L, 4);
		lua_pushvalue(L, 5);
		lua_call(L, 2, 2);
		if (lua_isnil(L, -2)) {
			return 0;
		}
		lua_pushvalue(L, -2);
		lua_replace(L, 5);
		if (visit(L)) {
			return 1;
		}
	}
}

/* ---- coroutine ---- */

static int co_running(lua_State *L)
{
	if (lua_pushthread(L)) {
		lua_pushnil(L); /* there is none in 5.1 */
	}
	return 1;
}

/* ---- putting them in place ---- */

/* From Lua code the message tells where, as Redis' does. */
static int readonly_write(lua_State *L)
{
	return luaL_error(L, READONLY);
}

/* The content of the locked library name, on the stack; its writes are refused in Redis' words from now on.
 */
static void push_library(lua_State *L, int globals, const char *name)
{
	lua_getfield(L, globals, name);
	int has = lua_getmetatable(L, -1);
	assert(has);
	(void)has;
	lua_pushcfunction(L, readonly_write);
	lua_setfield(L, -2, "__newindex");
	lua_getfield(L, -1, "__index");
	lua_replace(L, -3);
	lua_pop(L, 1);
}

static void open_string(lua_State *L, int globals)
{
	static const struct placed placed[] = {{"len", 0},
					       {"sub", 1 << 2 | 1 << 3},
					       {"byte", 1 << 2 | 1 << 3},
					       {"find", 1 << 3},
					       {"match", 1 << 3},
					       {"gsub", 1 << 4},
					       {NULL, 0}};
	push_library(L, globals, "string");
	wrap_places(L, -1, placed);
	lua51_wrap(L, -1, "rep", string_rep);
	lua51_wrap(L, -1, "char", string_char);
	lua51_wrap(L, -1, "upper", string_whole);
	lua51_wrap(L, -1, "lower", string_whole);
	lua51_wrap(L, -1, "reverse", string_whole);
	lua51_wrap(L, -1, "format", string_format);
	lua_getfield(L, -1, "gmatch");
	lua_setfield(L, -2, "gfind");
	lua_pop(L, 1);
}

static void open_math(lua_State *L, int globals)
{
	static const luaL_Reg more[] = {{"pow", math_pow},     {"log10", math_log10}, {"log", math_log},
					{"sinh", math_sinh},   {"cosh", math_cosh},   {"tanh", math_tanh},
					{"atan2", math_atan2}, {"fmod", math_fmod},   {"mod", math_fmod},
					{"ldexp", math_ldexp}, {"frexp", math_frexp}, {NULL, NULL}};
	push_library(L, globals, "math");
	luaL_setfuncs(L, more, 0);
	lua_pop(L, 1);
}

static void open_table(lua_State *L, int globals)
{
	static const luaL_Reg more[] = {{"maxn", table_maxn}, {"foreachi", table_foreachi}, {NULL, NULL}};
	static const struct placed placed[] = {
		{"concat", 1 << 3 | 1 << 4}, {"remove", 1 << 2}, {"unpack", 1 << 2 | 1 << 3}, {NULL, 0}};
	push_library(L, globals, "table");
	wrap_places(L, -1, placed);
	lua51_wrap(L, -1, "insert", table_insert);
	lua_getfield(L, -1, "unpack");
	lua_setfield(L, globals, "unpack");
	luaL_setfuncs(L, more, 0);
	lua_getfield(L, globals, "pairs");
	lua_pushcclosure(L, table_foreach, 1);
	lua_setfield(L, -2, "foreach");
	lua_pop(L, 1);
}

void lua51_open_libraries(lua_State *L, int globals)
{
	open_string(L, globals);
	open_math(L, globals);
	open_table(L, globals);
	wrap_places(L, globals, (const struct placed[]){{"select", 1 << 1}, {NULL, 0}});
	push_library(L, globals, "coroutine");
	lua_pushcfunction(L, co_running);
	lua_setfield(L, -2, "running");
	lua_pop(L, 1);
}

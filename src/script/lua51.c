#include "script/lua51.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <lauxlib.h>

#include "script/compile.h"
#include "script/sandbox.h"

#define READONLY "Attempt to modify a readonly table"

/* Keys of the registry: C, and the metatable of boxes. */
static const char operator_key, box_key;

/* ---- numbers as text ---- */

size_t lua51_number_text(lua_State *L, int index, char *out)
{
	int len = lua_isinteger(L, index) ? snprintf(out, 32, LUA_INTEGER_FMT, lua_tointeger(L, index))
					  : snprintf(out, 32, "%.14g", lua_tonumber(L, index));
	return (size_t)len;
}

void lua51_push_number_text(lua_State *L, int index)
{
	char text[32];
	sandbox_charge_float(L, index);
	lua_pushlstring(L, text, lua51_number_text(L, index, text));
}

/* ---- `a << C << b` ----
 *
 * `x << C` makes a text of x; what is neither text nor number goes into a box, for b may know how to join
 * it. `x << b`, x a text or a box, joins. No other use of << can be in a source of 5.1. */

static int join(lua_State *L)
{
	budget_charge_bytes(L, lua_type(L, 1) == LUA_TSTRING ? lua_rawlen(L, 1) : 0);
	if (lua_type(L, 2) == LUA_TNUMBER) {
		lua51_push_number_text(L, 2);
		lua_replace(L, 2);
	}
	lua_settop(L, 2);
	if (lua_type(L, 1) == LUA_TSTRING && lua_type(L, 2) == LUA_TSTRING) {
		lua_concat(L, 2);
		return 1;
	}
	/* Called from here: 5.4.4 loses what a metamethod of lua_concat returns when the stack grows. */
	if (luaL_getmetafield(L, 1, "__concat") == LUA_TNIL &&
	    luaL_getmetafield(L, 2, "__concat") == LUA_TNIL) {
		int wrong = lua_type(L, 1) == LUA_TSTRING ? 2 : 1;
		return luaL_error(L, "attempt to concatenate a %s value", luaL_typename(L, wrong));
	}
	lua_insert(L, 1);
	lua_call(L, 2, 1);
	return 1;
}

/* The metamethod of texts: both `text << C` and `text << b`. */
static int text_shl(lua_State *L)
{
	if (lua_type(L, 2) == LUA_TUSERDATA) {
		lua_settop(L, 1);
		return 1;
	}
	return join(L);
}

static int operator_shl(lua_State *L)
{
	if (lua_type(L, 1) == LUA_TNUMBER) {
		lua51_push_number_text(L, 1);
		return 1;
	}
	lua_newuserdatauv(L, 0, 1);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
	lua_setmetatable(L, -2);
	return 1;
}

/* A script may write << itself, and have the box on the other side. */
static int box_shl(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TUSERDATA) {
		return luaL_error(L, "attempt to concatenate a %s value", luaL_typename(L, 1));
	}
	lua_getiuservalue(L, 1, 1);
	lua_replace(L, 1);
	return join(L);
}

static void push_metatable(lua_State *L, lua_CFunction shl)
{
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, shl);
	lua_setfield(L, -2, "__shl");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
}

static void open_operator(lua_State *L)
{
	lua_newuserdatauv(L, 0, 0);
	push_metatable(L, operator_shl);
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &operator_key);
	push_metatable(L, box_shl);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &box_key);
	lua_pushliteral(L, "");
	int has = lua_getmetatable(L, -1);
	assert(has);
	(void)has;
	lua_pushcfunction(L, text_shl);
	lua_setfield(L, -2, "__shl");
	lua_pop(L, 2);
}

int lua51_load(lua_State *L, struct slice translated, const char *chunk_name, int env)
{
	env = lua_absindex(L, env);
	int status = compile_load(L, translated, chunk_name);
	if (status == LUA_OK) {
		lua_pushvalue(L, env);
		const char *name = lua_setupvalue(L, -2, 1);
		assert(name != NULL);
		(void)name;
	}
	return status;
}

void lua51_push_operator(lua_State *L)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &operator_key);
}

/* ---- base ---- */

/* Upvalue 1 of each wrapper: the sandbox's function. */
int lua51_pass_on(lua_State *L, int results)
{
	int argc = lua_gettop(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, argc, results);
	return lua_gettop(L);
}

static int base_tostring(lua_State *L)
{
	if (lua_type(L, 1) == LUA_TNUMBER) {
		lua51_push_number_text(L, 1);
		return 1;
	}
	return lua51_pass_on(L, 1);
}

static int refuse_readonly(lua_State *L)
{
	lua_pushliteral(L, READONLY);
	return lua_error(L);
}

static int base_rawset(lua_State *L)
{
	return sandbox_is_locked(L, 1) ? refuse_readonly(L) : lua51_pass_on(L, 1);
}

static int base_setmetatable(lua_State *L)
{
	return sandbox_is_locked(L, 1) ? refuse_readonly(L) : lua51_pass_on(L, 1);
}

/* pcall as Redis has it: of an error {err = …} the caller gets the text. */
static int pcall_end(lua_State *L, int status, lua_KContext extra)
{
	(void)extra;
	if (budget_ended(L, status)) {
		budget_raise(L, budget_of(L)->end);
	}
	if (status == LUA_OK || status == LUA_YIELD) {
		return lua_gettop(L);
	}
	if (lua_istable(L, -1)) {
		lua_pushliteral(L, "err");
		if (lua_rawget(L, -2) != LUA_TSTRING) {
			lua_pop(L, 1);
		}
	} else if (lua_type(L, -1) == LUA_TSTRING) {
		lua51_push_message(L, lua_tostring(L, -1));
	}
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static int base_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, pcall_end);
	return pcall_end(L, status, 0);
}

/* 5.1 puts the place before numbers, too. */
static int base_error(lua_State *L)
{
	lua_Integer level = luaL_optinteger(L, 2, 1);
	lua_settop(L, 1);
	if (lua_isstring(L, 1) && level > 0) {
		luaL_where(L, level > 100 ? 100 : (int)level);
		if (lua_type(L, 1) == LUA_TNUMBER) {
			lua51_push_number_text(L, 1);
			lua_replace(L, 1);
		}
		lua_pushvalue(L, 1);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

/* ---- putting it together ---- */

/* Puts wrapper around what the table at index has under name. */
void lua51_wrap(lua_State *L, int index, const char *name, lua_CFunction wrapper)
{
	index = lua_absindex(L, index);
	lua_getfield(L, index, name);
	lua_pushcclosure(L, wrapper, 1);
	lua_setfield(L, index, name);
}

void lua51_open(lua_State *L)
{
	luaL_checkstack(L, 12, NULL);
	int globals = lua_gettop(L);
	open_operator(L);
	lua51_open_libraries(L, globals);
	lua51_wrap(L, globals, "tostring", base_tostring);
	lua_pushcfunction(L, base_error);
	lua_setfield(L, globals, "error");
	lua51_wrap(L, globals, "rawset", base_rawset);
	lua51_wrap(L, globals, "setmetatable", base_setmetatable);
	lua_pushcfunction(L, base_pcall);
	lua_setfield(L, globals, "pcall");
	lua_pushnil(L);
	lua_setfield(L, globals, "rawlen"); /* 5.1 has none */
	lua_pushliteral(L, "Lua 5.1");
	lua_setfield(L, globals, "_VERSION");
	assert(lua_gettop(L) == globals);
}

/* ---- messages ---- */

/* "attempt to index a nil value (local 't')" was "attempt to index local 't' (a nil value)". */
static bool push_variable_message(lua_State *L, const char *message)
{
	const char *attempt = strstr(message, "attempt to ");
	const char *article = attempt == NULL ? NULL : strstr(attempt, " a ");
	const char *value = article == NULL ? NULL : strstr(article, " value (");
	const char *end = message + strlen(message);
	if (value == NULL || end[-1] != ')') {
		return false;
	}
	const char *variable = value + strlen(" value (");
	lua_pushlstring(L, message, (size_t)(article - message) + 1);
	lua_pushlstring(L, variable, (size_t)(end - 1 - variable));
	lua_pushfstring(L, "%s%s (", lua_tostring(L, -2), lua_tostring(L, -1));
	lua_pushlstring(L, article + 1, (size_t)(value - article - 1));
	lua_pushliteral(L, " value)");
	lua_concat(L, 3);
	lua_replace(L, -3);
	lua_pop(L, 1);
	return true;
}

void lua51_push_message(lua_State *L, const char *message)
{
	if (!push_variable_message(L, message)) {
		luaL_gsub(L, message, "<name> expected", "'<name>' expected");
		luaL_gsub(L, lua_tostring(L, -1), "near <eof>", "near '<eof>'");
		lua_remove(L, -2);
	}
}

/* setmetatable and getmetatable: what a script puts on a table is ours, made from what it gave. */
#include "script/sandbox.h"

#include <lauxlib.h>

/* A script's metatable is copied, so that names refused here cannot be put in later. The
 * original is kept in the copy under this key, for getmetatable. */
static const char original_key;

/* What stands for a table under __index and __newindex: Lua goes down 2,000 of them in one instruction. */
static int index_table(lua_State *L)
{
	budget_charge(L, 4);
	lua_settop(L, 2);
	lua_gettable(L, lua_upvalueindex(1));
	return 1;
}

static int newindex_table(lua_State *L)
{
	budget_charge(L, 4);
	lua_settop(L, 3);
	lua_settable(L, lua_upvalueindex(1));
	return 0;
}

/* The copy is on top of the stack. */
static void stand_for_table(lua_State *L, const char *name, lua_CFunction access)
{
	lua_pushstring(L, name);
	lua_pushstring(L, name);
	if (lua_rawget(L, -3) != LUA_TTABLE) {
		lua_pop(L, 2);
		return;
	}
	lua_pushcclosure(L, access, 1);
	lua_rawset(L, -3);
}

/* In 5.4 what is called may be a table that can be called itself, and so on; in 5.1 it is a function. */
static void drop_callable(lua_State *L)
{
	lua_pushliteral(L, "__call");
	lua_pushliteral(L, "__call");
	if (lua_rawget(L, -3) == LUA_TFUNCTION) {
		lua_pop(L, 2);
		return;
	}
	lua_pop(L, 1);
	lua_pushnil(L);
	lua_rawset(L, -3);
}

static int safe_setmetatable(lua_State *L)
{
	/* The last one is refused to procedures only: a concatenation that calls a metamethod may lose its
	 * result in Lua 5.4.4, when the stack has to grow for it. Redis' scripts do not concatenate with it
	 * (lua51.h). */
	static const char *const refused[] = {"__gc", "__close", "__mode", "__name", "__concat"};
	size_t count = sizeof refused / sizeof refused[0] - (lua_toboolean(L, lua_upvalueindex(1)) ? 1 : 0);
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
	if (sandbox_is_locked(L, 1)) {
		return luaL_error(L, "cannot change a protected metatable");
	}
	lua_settop(L, 2);
	if (lua_isnil(L, 2)) {
		lua_setmetatable(L, 1);
		return 1;
	}
	for (size_t i = 0; i < count; i++) {
		lua_pushstring(L, refused[i]);
		if (lua_rawget(L, 2) != LUA_TNIL) {
			return luaL_error(L, "setmetatable: %s is not allowed", refused[i]);
		}
		lua_pop(L, 1);
	}
	lua_createtable(L, 0, 4);
	budget_charge_walk(L, 2);
	lua_pushnil(L);
	while (lua_next(L, 2) != 0) {
		budget_charge(L, 2);
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, 3);
	}
	stand_for_table(L, "__index", index_table);
	stand_for_table(L, "__newindex", newindex_table);
	drop_callable(L);
	lua_pushvalue(L, 2);
	lua_rawsetp(L, 3, &original_key);
	lua_setmetatable(L, 1);
	lua_settop(L, 1);
	return 1;
}

static int safe_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	if (!lua_getmetatable(L, 1)) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushliteral(L, "__metatable");
	if (lua_rawget(L, -2) != LUA_TNIL) {
		return 1;
	}
	lua_pop(L, 1);
	if (lua_rawgetp(L, -1, &original_key) == LUA_TNIL) {
		lua_pushboolean(L, 0); /* one of ours */
	}
	return 1;
}

void sandbox_metatable_open(lua_State *L, enum sandbox_flavour flavour)
{
	lua_pushboolean(L, flavour == SANDBOX_REDIS);
	lua_pushcclosure(L, safe_setmetatable, 1);
	lua_setfield(L, -2, "setmetatable");
	lua_pushcfunction(L, safe_getmetatable);
	lua_setfield(L, -2, "getmetatable");
}

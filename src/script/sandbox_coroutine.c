/* Coroutines that cannot hide the end of a call: whoever resumes one that
 * ended by its budget ends too. */
#include "script/sandbox.h"

#include <lauxlib.h>

static lua_State *check_thread(lua_State *L)
{
	lua_State *thread = lua_tothread(L, 1);
	luaL_argexpected(L, thread != NULL, 1, "coroutine");
	return thread;
}

/* Moves argc values over, runs, moves the results back: their count, or -1 with the error on top. */
static int resume(lua_State *L, lua_State *thread, int argc)
{
	struct budget *b = budget_of(L);
	int count = 0;
	if (lua_status(thread) == LUA_OK && lua_gettop(thread) == 0) {
		lua_pushliteral(L, "cannot resume dead coroutine");
		return -1;
	}
	if (!lua_checkstack(thread, argc)) {
		lua_pushliteral(L, "too many arguments to resume");
		return -1;
	}
	lua_xmove(L, thread, argc);
	if (b->counting) {
		lua_sethook(thread, lua_gethook(L), LUA_MASKCOUNT, lua_gethookcount(L));
	}
	b->running = thread;
	int status = lua_resume(thread, L, argc, &count);
	b->running = L;
	if (budget_ended(L, status)) {
		budget_raise(L, b->end);
	}
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_xmove(thread, L, 1);
		return -1;
	}
	if (!lua_checkstack(L, count + 1)) {
		lua_pop(thread, count);
		lua_pushliteral(L, "too many results to resume");
		return -1;
	}
	lua_xmove(thread, L, count);
	return count;
}

static int co_resume(lua_State *L)
{
	lua_State *thread = check_thread(L);
	int count = resume(L, thread, lua_gettop(L) - 1);
	if (count < 0) {
		lua_pushboolean(L, 0);
		lua_insert(L, -2);
		return 2;
	}
	lua_pushboolean(L, 1);
	lua_insert(L, -(count + 1));
	return count + 1;
}

static int co_create(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	budget_charge(L, 100);
	lua_State *thread = lua_newthread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, thread, 1);
	return 1;
}

static int wrapped(lua_State *L)
{
	lua_State *thread = lua_tothread(L, lua_upvalueindex(1));
	int count = resume(L, thread, lua_gettop(L));
	if (count < 0) {
		if (lua_type(L, -1) == LUA_TSTRING) {
			luaL_where(L, 1);
			lua_insert(L, -2);
			lua_concat(L, 2);
		}
		return lua_error(L);
	}
	return count;
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushcclosure(L, wrapped, 1);
	return 1;
}

static int co_yield (lua_State *L)
{
	return lua_yield(L, lua_gettop(L));
}

static int co_status(lua_State *L)
{
	lua_State *thread = check_thread(L);
	lua_Debug frame;
	const char *status;
	if (thread == L) {
		status = "running";
	} else if (lua_status(thread) == LUA_YIELD) {
		status = "suspended";
	} else if (lua_status(thread) != LUA_OK) {
		status = "dead";
	} else if (lua_getstack(thread, 0, &frame)) {
		status = "normal";
	} else {
		status = lua_gettop(thread) == 0 ? "dead" : "suspended";
	}
	lua_pushstring(L, status);
	return 1;
}

static int co_running(lua_State *L)
{
	lua_pushboolean(L, lua_pushthread(L));
	return 2;
}

static int co_isyieldable(lua_State *L)
{
	lua_pushboolean(L, lua_isyieldable(L));
	return 1;
}

void sandbox_coroutine_open(lua_State *L)
{
	static const luaL_Reg ours[] = {{"create", co_create},
					{"resume", co_resume},
					{"wrap", co_wrap},
					{"yield", co_yield },
					{"status", co_status},
					{"running", co_running},
					{"isyieldable", co_isyieldable},
					{NULL, NULL}};
	luaL_setfuncs(L, ours, 0);
}

#include "script/lua_redis.h"

void lua_cmsgpack_open(lua_State *L)
{
	lua_createtable(L, 0, 0);
}

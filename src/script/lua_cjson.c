#include "script/lua_redis.h"

void lua_cjson_open(lua_State *L)
{
	lua_createtable(L, 0, 0);
}

/* The two halves of cjson; see lua_cjson.c. Private to script. */
#ifndef SCRIPT_LUA_CJSON_H
#define SCRIPT_LUA_CJSON_H

#include <lua.h>

#define CJSON_DEPTH_MAX 1000 /* settings may ask for more; C's stack has an end */

int json_encode(lua_State *L);
int json_decode(lua_State *L);

#endif /* SCRIPT_LUA_CJSON_H */

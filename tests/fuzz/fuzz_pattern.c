/* Lua's patterns: byte 0 is the length of the pattern, the rest pattern and subject. At every place of the
 * subject ours finds what Lua's own matcher finds, captures too, or refuses what it refuses. */
#include <assert.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/err.h"
#include "script/luapattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lua's counts no steps. */
#define PATTERN_MAX 24
#define SUBJECT_MAX 32
#define STEPS 20000

static lua_State *lua(void)
{
	static lua_State *kept;
	if (kept == NULL) {
		kept = luaL_newstate();
		assert(kept != NULL);
		luaL_requiref(kept, "string", luaopen_string, 1);
		lua_settop(kept, 0);
	}
	return kept;
}

/* string.find with an anchor from at on: its results, or its message, are on the stack. */
static bool lua_finds(lua_State *L, struct slice subject, struct slice pattern, size_t at)
{
	lua_settop(L, 0);
	lua_getglobal(L, "string");
	lua_getfield(L, -1, "find");
	lua_remove(L, 1);
	lua_pushlstring(L, (const char *)subject.data, subject.len);
	lua_pushliteral(L, "^");
	lua_pushlstring(L, (const char *)pattern.data, pattern.len);
	lua_concat(L, 2);
	lua_pushinteger(L, (lua_Integer)at + 1);
	return lua_pcall(L, 3, LUA_MULTRET, 0) == LUA_OK;
}

static void same_capture(lua_State *L, const struct luapattern *p, int number)
{
	const struct luapattern_capture *capture = &p->captures[number];
	int index = 3 + number;
	if (capture->len == LUAPATTERN_POSITION) {
		assert(lua_type(L, index) == LUA_TNUMBER &&
		       lua_tointeger(L, index) == (lua_Integer)capture->start + 1);
		return;
	}
	size_t len = 0;
	const char *text = lua_tolstring(L, index, &len);
	assert(text != NULL && capture->len >= 0 && len == (size_t)capture->len);
	assert(capture->start + len <= p->subject.len &&
	       memcmp(text, p->subject.data + capture->start, len) == 0);
}

static bool is_too_complex(const char *why)
{
	return strstr(why, "too complex") != NULL;
}

static void match(struct slice subject, struct slice pattern, size_t at)
{
	lua_State *L = lua();
	struct luapattern p = {.subject = subject, .pattern = pattern, .steps = STEPS};
	size_t end = 0;
	int status = luapattern_match(&p, at, &end);
	if (status == ERR_BUDGET) {
		return;
	}
	assert(status == 0 || status == 1 || (status == ERR_INVALID && p.why != NULL));
	bool fine = lua_finds(L, subject, pattern, at);
	if ((status == ERR_INVALID && is_too_complex(p.why)) ||
	    (!fine && is_too_complex(lua_tostring(L, -1)))) {
		return;
	}
	bool unclosed = false;
	for (int i = 0; status == 1 && i < p.capture_count; i++) {
		unclosed = unclosed || p.captures[i].len == LUAPATTERN_UNCLOSED;
	}
	/* A capture that nothing closed is refused by whoever fetches it. */
	assert(fine == (status != ERR_INVALID && !unclosed));
	if (!fine) {
		return;
	}
	assert((status == 1) == (lua_type(L, 1) == LUA_TNUMBER));
	if (status == 1) {
		assert(lua_tointeger(L, 1) == (lua_Integer)at + 1 && lua_tointeger(L, 2) == (lua_Integer)end);
		assert(lua_gettop(L) == 2 + p.capture_count);
		for (int i = 0; i < p.capture_count; i++) {
			same_capture(L, &p, i);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	struct slice rest = slice_of(data + 1, size - 1);
	size_t len = data[0] % (PATTERN_MAX + 1);
	struct slice pattern = slice_of(rest.data, len < rest.len ? len : rest.len);
	struct slice subject = slice_skip(rest, pattern.len);
	subject.len = subject.len < SUBJECT_MAX ? subject.len : SUBJECT_MAX;
	for (size_t at = 0; at <= subject.len; at++) {
		match(subject, pattern, at);
	}
	return 0;
}

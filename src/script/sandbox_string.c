/* The string library: searching on our own matcher, everything charged by the bytes it moves. */
#include "script/sandbox.h"

#include <assert.h>
#include <limits.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/err.h"
#include "script/luapattern.h"

static struct slice check_text(lua_State *L, int arg)
{
	size_t len;
	sandbox_float_text(L, arg);
	const char *bytes = luaL_checklstring(L, arg, &len);
	return slice_of(bytes, len);
}

static void push_slice(lua_State *L, struct slice s)
{
	lua_pushlstring(L, s.len == 0 ? "" : (const char *)s.data, s.len);
}

/* ---- captures ---- */

/* One attempt with match at place at. Charges what it took; raises what is wrong with the pattern. */
static bool attempt(lua_State *L, struct luapattern *p, int (*match)(struct luapattern *, size_t, size_t *),
		    size_t at, size_t *end)
{
	struct budget *b = budget_of(L);
	int64_t granted = b->active ? b->left : INT64_MAX;
	p->steps = granted;
	int status = match(p, at, end);
	if (b->active) {
		budget_charge(L, (size_t)(granted - (p->steps < 0 ? -1 : p->steps)));
	}
	if (status == ERR_INVALID) {
		luaL_error(L, p->why, p->why_number);
	}
	assert(status == 0 || status == 1);
	return status == 1;
}

static bool try_match(lua_State *L, struct luapattern *p, size_t at, size_t *end)
{
	return attempt(L, p, luapattern_match, at, end);
}

/* The n-th capture, or the whole match when there is none and n is 0. */
static void push_capture(lua_State *L, const struct luapattern *p, int n, size_t from, size_t end)
{
	if (n >= p->capture_count) {
		if (n != 0) {
			luaL_error(L, "invalid capture index %%%d", n + 1);
		}
		push_slice(L, slice_of(p->subject.data + from, end - from));
		return;
	}
	const struct luapattern_capture *capture = &p->captures[n];
	if (capture->len == LUAPATTERN_POSITION) {
		lua_pushinteger(L, (lua_Integer)capture->start + 1);
	} else {
		push_slice(L, slice_of(p->subject.data + capture->start, (size_t)capture->len));
	}
}

static int push_captures(lua_State *L, const struct luapattern *p, bool whole, size_t from, size_t end)
{
	int count = p->capture_count == 0 && whole ? 1 : p->capture_count;
	luaL_checkstack(L, count, "too many captures");
	for (int n = 0; n < count; n++) {
		push_capture(L, p, n, from, end);
	}
	return count;
}

/* ---- find, match ---- */

/* Lua's start position: 1-based, negative from the end; SIZE_MAX behind the end. */
static size_t start_place(lua_State *L, int arg, size_t len)
{
	lua_Integer init = luaL_optinteger(L, arg, 1);
	if (init > 0) {
		return (lua_Unsigned)init - 1 > len ? SIZE_MAX : (size_t)init - 1;
	}
	if (init == 0 || (lua_Unsigned)0 - (lua_Unsigned)init > len) {
		return 0;
	}
	return len - (size_t)((lua_Unsigned)0 - (lua_Unsigned)init);
}

static int search(lua_State *L, bool find)
{
	struct slice subject = check_text(L, 1), what = check_text(L, 2);
	size_t at = start_place(L, 3, subject.len);
	if (at == SIZE_MAX) {
		lua_pushnil(L);
		return 1;
	}
	struct luapattern p = {.subject = subject, .pattern = what};
	if (find && (lua_toboolean(L, 4) || luapattern_is_plain(what))) {
		size_t found;
		budget_charge_bytes(L, what.len);
		if (!attempt(L, &p, luapattern_find_plain, at, &found)) {
			lua_pushnil(L);
			return 1;
		}
		lua_pushinteger(L, (lua_Integer)found + 1);
		lua_pushinteger(L, (lua_Integer)(found + what.len));
		return 2;
	}
	bool anchored = what.len > 0 && what.data[0] == '^';
	if (anchored) {
		p.pattern = slice_skip(what, 1);
	}
	do {
		size_t end;
		if (try_match(L, &p, at, &end)) {
			if (!find) {
				return push_captures(L, &p, true, at, end);
			}
			lua_pushinteger(L, (lua_Integer)at + 1);
			lua_pushinteger(L, (lua_Integer)end);
			return push_captures(L, &p, false, at, end) + 2;
		}
	} while (at++ < subject.len && !anchored);
	lua_pushnil(L);
	return 1;
}

static int str_find(lua_State *L)
{
	return search(L, true);
}

static int str_match(lua_State *L)
{
	return search(L, false);
}

/* ---- gmatch: upvalues subject, pattern, next place, end of the last match + 1 ---- */

static int gmatch_next(lua_State *L)
{
	struct luapattern p = {.subject = check_text(L, lua_upvalueindex(1)),
			       .pattern = check_text(L, lua_upvalueindex(2))};
	size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(3));
	size_t last = (size_t)lua_tointeger(L, lua_upvalueindex(4));
	for (; at <= p.subject.len; at++) {
		size_t end;
		if (try_match(L, &p, at, &end) && end + 1 != last) {
			lua_pushinteger(L, (lua_Integer)end);
			lua_replace(L, lua_upvalueindex(3));
			lua_pushinteger(L, (lua_Integer)end + 1);
			lua_replace(L, lua_upvalueindex(4));
			return push_captures(L, &p, true, at, end);
		}
	}
	return 0;
}

static int str_gmatch(lua_State *L)
{
	struct slice subject = check_text(L, 1);
	check_text(L, 2);
	size_t at = start_place(L, 3, subject.len);
	lua_settop(L, 2);
	lua_pushinteger(L, at == SIZE_MAX ? (lua_Integer)subject.len + 1 : (lua_Integer)at);
	lua_pushinteger(L, 0);
	lua_pushcclosure(L, gmatch_next, 4);
	return 1;
}

/* ---- gsub ---- */

struct substitution {
	struct luapattern p;
	size_t from, end; /* of the match */
	int kind;         /* type of argument 3 */
	luaL_Buffer out;
};

static void add_text(lua_State *L, struct substitution *sub)
{
	struct slice text = check_text(L, 3);
	for (size_t i = 0; i < text.len; i++) {
		char c = (char)text.data[i];
		if (c != '%') {
			luaL_addchar(&sub->out, c);
			continue;
		}
		char next = ++i < text.len ? (char)text.data[i] : '\0';
		if (next == '%') {
			luaL_addchar(&sub->out, '%');
		} else if (next == '0') {
			luaL_addlstring(&sub->out, (const char *)sub->p.subject.data + sub->from,
					sub->end - sub->from);
		} else if (next >= '1' && next <= '9') {
			budget_charge(L, 4); /* it may be empty, and many of it nothing */
			push_capture(L, &sub->p, next - '1', sub->from, sub->end);
			luaL_tolstring(L, -1, NULL);
			lua_remove(L, -2);
			luaL_addvalue(&sub->out);
		} else {
			luaL_error(L, "invalid use of '%%' in replacement string");
		}
	}
}

static void add_replacement(lua_State *L, struct substitution *sub)
{
	if (sub->kind == LUA_TSTRING || sub->kind == LUA_TNUMBER) {
		add_text(L, sub);
		return;
	}
	if (sub->kind == LUA_TFUNCTION) {
		lua_pushvalue(L, 3);
		int count = push_captures(L, &sub->p, true, sub->from, sub->end);
		lua_call(L, count, 1);
	} else {
		push_capture(L, &sub->p, 0, sub->from, sub->end);
		lua_gettable(L, 3);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(&sub->out, (const char *)sub->p.subject.data + sub->from,
				sub->end - sub->from);
		return;
	}
	if (!lua_isstring(L, -1)) {
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	}
	sandbox_float_text(L, -1);
	luaL_addvalue(&sub->out);
}

static int str_gsub(lua_State *L)
{
	struct slice subject = check_text(L, 1), what = check_text(L, 2);
	struct substitution sub = {.kind = lua_type(L, 3)};
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)subject.len + 1);
	bool anchored = what.len > 0 && what.data[0] == '^';
	size_t at = 0, last = SIZE_MAX;
	lua_Integer count = 0;

	luaL_argexpected(L,
			 sub.kind == LUA_TNUMBER || sub.kind == LUA_TSTRING || sub.kind == LUA_TFUNCTION ||
				 sub.kind == LUA_TTABLE,
			 3, "string/function/table");
	sub.p = (struct luapattern){.subject = subject, .pattern = anchored ? slice_skip(what, 1) : what};
	luaL_buffinit(L, &sub.out);
	while (count < most) {
		if (try_match(L, &sub.p, at, &sub.end) && sub.end != last) {
			count++;
			sub.from = at;
			budget_charge(L, 4);
			add_replacement(L, &sub);
			at = last = sub.end;
		} else if (at < subject.len) {
			luaL_addchar(&sub.out, (char)subject.data[at++]);
		} else {
			break;
		}
		if (anchored) {
			break;
		}
	}
	luaL_addlstring(&sub.out, (const char *)subject.data + at, subject.len - at);
	luaL_pushresult(&sub.out);
	lua_pushinteger(L, count);
	return 2;
}

/* ---- functions of Lua's own, charged ---- */

/* Upvalue 1: Lua's function. Cost by the longest thing among the arguments. */
static int charged(lua_State *L)
{
	int argc = lua_gettop(L);
	size_t bytes = 0;
	for (int i = 1; i <= argc; i++) {
		if (lua_type(L, i) == LUA_TSTRING) {
			bytes += lua_rawlen(L, i);
		}
	}
	budget_charge_bytes(L, bytes);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, argc, LUA_MULTRET);
	return lua_gettop(L);
}

/* A negative place counts from the end. */
static lua_Integer from_front(lua_Integer place, size_t len)
{
	return place >= 0 ? place : place < -(lua_Integer)len ? 0 : (lua_Integer)len + place + 1;
}

static int str_byte(lua_State *L)
{
	struct slice text = check_text(L, 1);
	lua_Integer first = luaL_optinteger(L, 2, 1), last = luaL_optinteger(L, 3, first);
	first = from_front(first, text.len);
	last = from_front(last, text.len);
	first = first < 1 ? 1 : first;
	last = last > (lua_Integer)text.len ? (lua_Integer)text.len : last;
	if (first > last) {
		return 0;
	}
	if (last - first >= SANDBOX_VALUES_MAX) {
		return luaL_error(L, "string slice too long");
	}
	int count = (int)(last - first) + 1;
	luaL_checkstack(L, count, "string slice too long");
	budget_charge(L, (size_t)count / 4);
	for (int i = 0; i < count; i++) {
		lua_pushinteger(L, text.data[first - 1 + i]);
	}
	return count;
}

static int str_rep(lua_State *L)
{
	struct slice text = check_text(L, 1);
	lua_Integer times = luaL_checkinteger(L, 2);
	size_t gap = 0;
	luaL_optlstring(L, 3, "", &gap);
	if (text.len + gap == 0) { /* Lua would go round all the same */
		lua_pushliteral(L, "");
		return 1;
	}
	if (times > 0) {
		size_t limit = budget_of(L)->footprint_max;
		if ((lua_Unsigned)times > limit / (text.len + gap)) {
			budget_raise(L, BUDGET_MEMORY);
		}
		budget_charge_bytes(L, (text.len + gap) * (size_t)times);
	}
	return charged(L);
}

/* Lua's format prints addresses for %p and for tables: the one is refused, the others become plain words. */
static int str_format(lua_State *L)
{
	struct slice format = check_text(L, 1);
	int argc = lua_gettop(L), arg = 1;
	for (size_t i = 0; i + 1 < format.len; i++) {
		if (format.data[i] != '%') {
			continue;
		}
		if (format.data[++i] == '%') {
			continue;
		}
		arg++;
		while (i < format.len && strchr("-+ #0123456789.", format.data[i]) != NULL &&
		       format.data[i] != 0) {
			i++;
		}
		char kind = i < format.len ? (char)format.data[i] : '\0';
		if (kind == 'p') {
			return luaL_error(L, "invalid conversion '%%p' to 'format'");
		}
		if (kind != '\0' && strchr("aAeEfgG", kind) != NULL) {
			budget_charge(L, 2 * SANDBOX_FLOAT_STEPS);
		}
		if (kind == 's' && arg <= argc) {
			sandbox_charge_float(L, arg);
			sandbox_tostring(L, arg, NULL);
			lua_replace(L, arg);
		}
	}
	return charged(L);
}

void sandbox_string_open(lua_State *L, enum sandbox_flavour flavour)
{
	static const char *const as_they_are[] = {"len", "sub", NULL};
	static const char *const by_size[] = {"char",    "lower",  "pack",  "packsize",
					      "reverse", "unpack", "upper", NULL};
	static const luaL_Reg ours[] = {{"byte", str_byte},     {"find", str_find}, {"match", str_match},
					{"gmatch", str_gmatch}, {"gsub", str_gsub}, {NULL, NULL}};
	(void)flavour;
	int lib = lua_gettop(L) - 1;
	luaL_setfuncs(L, ours, 0);
	for (int i = 0; as_they_are[i] != NULL; i++) {
		lua_getfield(L, lib, as_they_are[i]);
		lua_setfield(L, lib + 1, as_they_are[i]);
	}
	for (int i = 0; by_size[i] != NULL; i++) {
		lua_getfield(L, lib, by_size[i]);
		lua_pushcclosure(L, charged, 1);
		lua_setfield(L, lib + 1, by_size[i]);
	}
	lua_getfield(L, lib, "rep");
	lua_pushcclosure(L, str_rep, 1);
	lua_setfield(L, lib + 1, "rep");
	lua_getfield(L, lib, "format");
	lua_pushcclosure(L, str_format, 1);
	lua_setfield(L, lib + 1, "format");
}

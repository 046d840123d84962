/* What `procedure { … }` declared: name, arguments, result, failures, events, the request id. */
#include "script/internal.h"

#include <ctype.h>
#include <stdlib.h>

#include <lauxlib.h>

static int compare_failures(const void *left, const void *right)
{
	return slice_compare(((const struct failure *)left)->code, ((const struct failure *)right)->code);
}

static void check_code(lua_State *L, struct slice code)
{
	static const char *const repeated[] = {"LOADING",  "READONLY",  "MASTERDOWN", "CLUSTERDOWN",
					       "TRYAGAIN", "MOVED",     "ASK",        "ERR",
					       "NOSCRIPT", "WRONGTYPE", NULL};
	for (size_t i = 0; i < code.len; i++) {
		if (!isupper(code.data[i]) && !isdigit(code.data[i]) && code.data[i] != '_') {
			luaL_error(L, "fails: %s is not a code (CAPITALS_LIKE_THIS)",
				   (const char *)code.data);
		}
	}
	for (size_t i = 0; repeated[i] != NULL; i++) {
		if (slice_equal(code, slice_str(repeated[i]))) {
			luaL_error(L, "fails: %s has a meaning to Redis clients", repeated[i]);
		}
	}
	if (code_find(code) != CODE_NONE) {
		luaL_error(L, "fails: %s is one of the store's own codes", (const char *)code.data);
	}
}

static void read_fails(lua_State *L, int index, struct procedure *procedure)
{
	struct arena *arena = &bundle_of(L)->arena;
	procedure->fails = arena_zalloc(arena, SCHEMA_FIELDS_MAX * sizeof *procedure->fails);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		if (procedure->fail_count == SCHEMA_FIELDS_MAX) {
			luaL_error(L, "more than %d codes", SCHEMA_FIELDS_MAX);
		}
		struct failure *failure = &procedure->fails[procedure->fail_count++];
		failure->code = declare_name(L, -2, "fails");
		check_code(L, failure->code);
		const char *class = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
		failure->conflict = strcmp(class, "conflict") == 0;
		if (!failure->conflict && strcmp(class, "refused") != 0) {
			luaL_error(L, "fails: %s must be \"refused\" or \"conflict\"",
				   (const char *)failure->code.data);
		}
		lua_pop(L, 1);
	}
	qsort(procedure->fails, procedure->fail_count, sizeof *procedure->fails, compare_failures);
	for (size_t i = 0; i < procedure->fail_count; i++) {
		int ref;
		procedure->fails[i].interned = declare_intern(L, procedure->fails[i].code, &ref);
	}
}

static void read_emits(lua_State *L, int index, struct procedure *procedure)
{
	struct arena *arena = &bundle_of(L)->arena;
	procedure->emit_count = lua_rawlen(L, index);
	if (procedure->emit_count > SCHEMA_FIELDS_MAX) { /* it may say any number (a border) */
		luaL_error(L, "more than %d events", SCHEMA_FIELDS_MAX);
	}
	procedure->emits = arena_zalloc(arena, procedure->emit_count * sizeof *procedure->emits);
	for (size_t i = 0; i < procedure->emit_count; i++) {
		struct emitted *emitted = &procedure->emits[i];
		int ref;
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		size_t len;
		const char *type = lua_tolstring(L, -1, &len);
		if (lua_type(L, -1) != LUA_TSTRING || len == 0 || len > SCHEMA_NAME_MAX) {
			luaL_error(L, "emits: a list of event types of at most %d bytes", SCHEMA_NAME_MAX);
		}
		emitted->type = arena_copy(arena, slice_of(type, len));
		emitted->interned = declare_intern(L, emitted->type, &ref);
		lua_pop(L, 1);
	}
}

static void read_once(lua_State *L, int index, struct procedure *procedure)
{
	procedure->once = -1;
	if (declare_part(L, index, "once", LUA_TSTRING)) {
		struct slice name = slice_str(lua_tostring(L, -1));
		procedure->once = fields_find_name(&procedure->args, name);
		if (procedure->once < 0 || procedure->args.items[procedure->once].type.kind != TYPE_ID ||
		    procedure->args.items[procedure->once].type.optional) {
			luaL_error(L, "once: '%s' is not an argument of type id", lua_tostring(L, -1));
		}
		lua_pop(L, 1);
	}
	if (declare_part(L, index, "keep", LUA_TSTRING)) {
		const char *keep = lua_tostring(L, -1);
		procedure->keeps_refusals = strcmp(keep, "all") == 0;
		if (!procedure->keeps_refusals && strcmp(keep, "success") != 0) {
			luaL_error(L, "keep is \"success\" or \"all\"");
		}
		lua_pop(L, 1);
	}
}

/* "order/flash_buy.lua" holds order.flash_buy. */
static struct slice name_of_file(struct arena *arena, struct slice file)
{
	struct slice copy = arena_copy(arena, slice_of(file.data, file.len - strlen(".lua")));
	uint8_t *bytes = (uint8_t *)(uintptr_t)copy.data;
	for (size_t i = 0; i < copy.len; i++) {
		bytes[i] = bytes[i] == '/' ? '.' : bytes[i];
	}
	return copy;
}

void declare_procedure(lua_State *L, struct script_bundle *bundle, struct procedure *procedure)
{
	static const char *const parts[] = {"name",   "writes", "once",  "keep", "args",
					    "result", "fails",  "emits", NULL};
	int index = lua_gettop(L);
	declare_only(L, index, parts);
	procedure->name = name_of_file(&bundle->arena, procedure->source.name);
	if (!declare_part(L, index, "name", LUA_TSTRING)) {
		luaL_error(L, "the declaration has no name");
	}
	if (!slice_equal(procedure->name, slice_str(lua_tostring(L, -1)))) {
		luaL_error(L, "the file is for %s, the declaration names %s",
			   (const char *)procedure->name.data, lua_tostring(L, -1));
	}
	lua_settop(L, index);
	if (declare_part(L, index, "writes", LUA_TBOOLEAN)) {
		procedure->writes = lua_toboolean(L, -1);
	}
	fields_index(&procedure->args, &bundle->arena);
	fields_index(&procedure->results, &bundle->arena);
	if (declare_part(L, index, "args", LUA_TTABLE)) {
		declare_fields(L, -1, &procedure->args);
	}
	if (declare_part(L, index, "result", LUA_TTABLE)) {
		declare_fields(L, -1, &procedure->results);
		if (fields_find_name(&procedure->results, SLICE_LIT("replayed")) >= 0) {
			luaL_error(L, "result: 'replayed' is what an answer gains that is given again");
		}
	}
	if (declare_part(L, index, "fails", LUA_TTABLE)) {
		read_fails(L, lua_gettop(L), procedure);
	}
	if (declare_part(L, index, "emits", LUA_TTABLE)) {
		read_emits(L, lua_gettop(L), procedure);
	}
	read_once(L, index, procedure);
	lua_settop(L, index - 1);
}

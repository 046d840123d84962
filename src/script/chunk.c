/* A file's code as Lua runs it.
 *
 * A file's chunk gets the names it uses as constants in front of it, on its first line:
 * `local db<const>,fail<const> =...;`. So a name costs what a local costs, cannot be
 * assigned (Lua's compiler refuses), and the environment behind is empty and locked. */
#include "script/internal.h"

#include <assert.h>

#include <lauxlib.h>

#include "script/compile.h"
#include "script/sandbox.h"

const char *const chunk_names[] = {"assert",   "error",    "getmetatable", "ipairs",   "math",
				   "next",     "pairs",    "pcall",        "rawequal", "rawget",
				   "rawlen",   "select",   "setmetatable", "string",   "table",
				   "tonumber", "tostring", "type",         "xpcall",   "db",
				   "emit",     "fail",     "import",       "money",    "now_ms",
				   "sequence", NULL};
#define NAME_COUNT (sizeof chunk_names / sizeof chunk_names[0] - 1)
_Static_assert(NAME_COUNT <= BUNDLE_NAMES && BUNDLE_NAMES <= 32, "uses is a set of 32 bits");

int chunk_push_names(lua_State *L, const struct script_bundle *bundle, uint32_t uses,
		     const struct site *sites, size_t site_count)
{
	int count = 0;
	luaL_checkstack(L, BUNDLE_NAMES + SITES_MAX, NULL);
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if ((uses >> i & 1) == 0) {
			continue;
		}
		if (strcmp(chunk_names[i], "now_ms") == 0) {
			lua_pushinteger(L, bundle->call == NULL ? 0
								: (lua_Integer)txn_now_ms(bundle->call->txn));
		} else {
			lua_rawgeti(L, LUA_REGISTRYINDEX, bundle->name_refs[i]);
		}
		count++;
	}
	for (size_t i = 0; i < site_count; i++) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, sites[i].ref);
	}
	return count + (int)site_count;
}

/* ---- the environment ---- */

static int unknown_name(lua_State *L)
{
	return luaL_error(L, "'%s' is not known here", lua_tostring(L, 2));
}

static int assigned_name(lua_State *L)
{
	return luaL_error(L, "'%s' is not local: nothing outlives a call", lua_tostring(L, 2));
}

static void make_environment(lua_State *L, struct script_bundle *bundle)
{
	lua_newtable(L);
	lua_createtable(L, 0, 3);
	lua_pushcfunction(L, unknown_name);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, assigned_name);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	bundle->environment_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* import "lib.name": the library's chunk runs once a call, so what it returns is that call's. */
int chunk_import(lua_State *L)
{
	struct script_bundle *bundle = bundle_of(L);
	size_t len;
	const char *name = luaL_checklstring(L, 1, &len);
	lua_settop(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, bundle->imports_ref);
	switch (lua_getfield(L, -1, name)) {
	case LUA_TNIL:
		break;
	case LUA_TLIGHTUSERDATA:
		return luaL_error(L, "%s imports itself", name);
	default:
		return 1;
	}
	for (size_t i = 0; i < bundle->library_count; i++) {
		const struct library *library = &bundle->libraries[i];
		if (!slice_equal(library->name, slice_of(name, len))) {
			continue;
		}
		if (library->chunk_ref == 0) {
			return luaL_error(L, "%s did not compile", name);
		}
		lua_pushlightuserdata(L, bundle);
		lua_setfield(L, 2, name);
		lua_rawgeti(L, LUA_REGISTRYINDEX, library->chunk_ref);
		lua_call(L,
			 chunk_push_names(L, bundle, library->source.uses, library->sites,
					  library->site_count),
			 1);
		if (lua_isnil(L, -1)) {
			return luaL_error(L, "%s returned nothing", name);
		}
		lua_pushvalue(L, -1);
		lua_setfield(L, 2, name);
		return 1;
	}
	return luaL_error(L, "there is no %s in this bundle", name);
}

static void make_names(lua_State *L, struct script_bundle *bundle)
{
	sandbox_open(L, SANDBOX_PROCEDURE);
	lua_pushcfunction(L, chunk_import);
	lua_setfield(L, -2, "import");
	db_open(L, bundle);
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		lua_getfield(L, -1, chunk_names[i]);
		assert(!lua_isnil(L, -1) || strcmp(chunk_names[i], "now_ms") == 0);
		bundle->name_refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	lua_pop(L, 1);
}

void chunk_open(lua_State *L, struct script_bundle *bundle)
{
	make_environment(L, bundle);
	lua_newtable(L);
	bundle->imports_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	make_names(L, bundle);
}

/* ---- loading ---- */

/* The file's code as site.c leaves it, its names in front; lines stay where they are. */
static struct slice chunk_text(struct script_bundle *bundle, const struct source *source,
			       const struct site_file *file)
{
	struct buf text;
	buf_init(&text, MIB(1));
	const char *between = "local ";
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if (source->uses >> i & 1) {
			buf_appendf(&text, "%s%s<const>", between, chunk_names[i]);
			between = ",";
		}
	}
	for (size_t i = 0; i < file->site_count; i++) {
		bool result = file->sites[i].kind == SITE_RESULT;
		buf_appendf(&text, "%s%s__%zu<const>", between, result ? "result" : "db", i + 1);
		between = ",";
	}
	if (text.len > 0) {
		buf_append_text(&text, " =...;");
	}
	buf_append_slice(&text, file->text);
	struct slice copy = arena_copy(&bundle->arena, buf_slice(&text));
	buf_fini(&text);
	return copy;
}

/* Leaves the chunk, or the message of the compiler, on the stack. */
static int load_text(lua_State *L, struct script_bundle *bundle, const struct source *source,
		     struct site_file *file)
{
	struct err err = {0};
	if (site_find(file, source, &bundle->arena, &err) < 0) {
		luaL_error(L, "%s", err.text);
	}
	struct slice text = chunk_text(bundle, source, file);
	const char *name =
		arena_printf(&bundle->arena, "=%.*s", (int)source->name.len, (const char *)source->name.data);
	compile_charge(L, text);
	return compile_load(L, text, name);
}

/* What does not compile with sites is tried as written: their locals may be too many for
 * Lua, and a mistake is told in the words of the source. */
int chunk_load(lua_State *L, struct script_bundle *bundle, const struct source *source,
	       struct site_file *file)
{
	file->tables = bundle->tables;
	file->table_count = bundle->table_count;
	file->plain = bundle->plain;
	if (load_text(L, bundle, source, file) != LUA_OK) {
		lua_pop(L, 1);
		file->plain = true;
		if (load_text(L, bundle, source, file) != LUA_OK) {
			lua_error(L);
		}
	}
	for (size_t i = 0; i < file->site_count; i++) {
		db_push_site(L, &file->sites[i]);
		file->sites[i].ref = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, bundle->environment_ref);
	if (lua_setupvalue(L, -2, 1) == NULL) {
		lua_pop(L, 1);
	}
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* The variable of this name is one of those in front of the chunk. The source may have made another of the
 * same name, which holds what it likes. */
static bool is_ours(const struct procedure *procedure, uint32_t declared, const char *name)
{
	if (strcmp(name, "_ENV") == 0) {
		return true;
	}
	if (strncmp(name, "db__", 4) == 0 || strncmp(name, "result__", 8) == 0) {
		return procedure->site_count > 0; /* a source with such names has no sites */
	}
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if ((procedure->source.uses >> i & 1) && strcmp(name, chunk_names[i]) == 0) {
			return (declared >> i & 1) == 0;
		}
	}
	return false;
}

void chunk_examine(lua_State *L, struct procedure *procedure, const struct site_file *file)
{
	uint32_t declared = source_declares(file->tokens, file->token_count, chunk_names);
	procedure->pure = true;
	procedure->now_upvalue = 0;
	const char *name;
	for (int i = 1; (name = lua_getupvalue(L, -1, i)) != NULL; i++) {
		lua_pop(L, 1);
		procedure->pure = procedure->pure && is_ours(procedure, declared, name);
		if (strcmp(name, "now_ms") == 0) {
			procedure->now_upvalue = i;
		}
	}
}

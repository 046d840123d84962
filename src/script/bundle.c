/* Compiling a bundle: a Lua state with every procedure, library and table in it.
 *
 * A file's chunk gets the names it uses as constants in front of it, on its first line:
 * `local db<const>,fail<const> =...;`. So a name costs what a local costs, cannot be
 * assigned (Lua's compiler refuses), and the environment behind is empty and locked. */
#include "script/internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "script/sandbox.h"

static const char *const names[] = {"assert",   "error",    "getmetatable", "ipairs",   "math",
				    "next",     "pairs",    "pcall",        "rawequal", "rawget",
				    "rawlen",   "select",   "setmetatable", "string",   "table",
				    "tonumber", "tostring", "type",         "xpcall",   "db",
				    "emit",     "fail",     "import",       "money",    "now_ms",
				    "sequence", NULL};
#define NAME_COUNT (sizeof names / sizeof names[0] - 1)
_Static_assert(NAME_COUNT <= BUNDLE_NAMES && BUNDLE_NAMES <= 32, "uses is a set of 32 bits");

int bundle_push_names(lua_State *L, const struct script_bundle *bundle, uint32_t uses,
		      const struct site *sites, size_t site_count)
{
	int count = 0;
	luaL_checkstack(L, BUNDLE_NAMES + SITES_MAX, NULL);
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if ((uses >> i & 1) == 0) {
			continue;
		}
		if (strcmp(names[i], "now_ms") == 0) {
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
static int import(lua_State *L)
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
			 bundle_push_names(L, bundle, library->source.uses, library->sites,
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
	lua_pushcfunction(L, import);
	lua_setfield(L, -2, "import");
	db_open(L, bundle);
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		lua_getfield(L, -1, names[i]);
		assert(!lua_isnil(L, -1) || strcmp(names[i], "now_ms") == 0);
		bundle->name_refs[i] = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	lua_pop(L, 1);
}

/* ---- chunks ---- */

/* The file's code as site.c leaves it, its names in front; lines stay where they are. */
static struct slice chunk_text(struct script_bundle *bundle, const struct source *source,
			       const struct site_file *file)
{
	struct buf text;
	buf_init(&text, MIB(1));
	const char *between = "local ";
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if (source->uses >> i & 1) {
			buf_appendf(&text, "%s%s<const>", between, names[i]);
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
	return luaL_loadbufferx(L, text.len == 0 ? "" : (const char *)text.data, text.len, name, "t");
}

/* Loads the file. What does not compile with sites is tried as written: their locals may be too many for
 * Lua, and a mistake is told in the words of the source. */
static int load_chunk(lua_State *L, struct script_bundle *bundle, const struct source *source,
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

static bool is_name(const char *name, const struct source *source)
{
	if (strcmp(name, "_ENV") == 0 || strncmp(name, "db__", 4) == 0 || strncmp(name, "result__", 8) == 0) {
		return true;
	}
	for (unsigned i = 0; i < NAME_COUNT; i++) {
		if ((source->uses >> i & 1) && strcmp(name, names[i]) == 0) {
			return true;
		}
	}
	return false;
}

/* The function on top of the stack: does it hold anything that is not ours? */
static void examine_function(lua_State *L, struct procedure *procedure)
{
	procedure->pure = true;
	procedure->now_upvalue = 0;
	const char *name;
	for (int i = 1; (name = lua_getupvalue(L, -1, i)) != NULL; i++) {
		lua_pop(L, 1);
		procedure->pure = procedure->pure && is_name(name, &procedure->source);
		if (strcmp(name, "now_ms") == 0) {
			procedure->now_upvalue = i;
		}
	}
}

static void compile_procedure(lua_State *L, struct script_bundle *bundle, int environment,
			      struct procedure *procedure)
{
	const struct source *source = &procedure->source;
	/* The declaration alone, on the lines where it stands. */
	uint8_t *text = arena_alloc(&bundle->arena, source->declare_to + 1);
	memcpy(text, source->text.data, source->declare_to);
	for (size_t i = 0; i < source->declare_from; i++) {
		text[i] = text[i] == '\n' ? '\n' : ' ';
	}
	declare_run(L, environment, source, slice_of(text, source->declare_to), "procedure");
	declare_procedure(L, bundle, procedure);
	struct site_file file = {.args = &procedure->args, .results = &procedure->results};
	procedure->chunk_ref = load_chunk(L, bundle, source, &file);
	procedure->sites = file.sites;
	procedure->site_count = file.site_count;
	procedure->endless = file.endless;
	procedure->spread = file.spread;
	procedure->unread = file.unread;
	lua_rawgeti(L, LUA_REGISTRYINDEX, procedure->chunk_ref);
	lua_call(L, bundle_push_names(L, bundle, source->uses, file.sites, file.site_count), 1);
	if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1)) {
		luaL_error(L, "%s: the file must return its function", (const char *)source->name.data);
	}
	examine_function(L, procedure);
	procedure->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* ---- files ---- */

static bool is_library(struct slice file)
{
	return slice_starts_with(file, SLICE_LIT("lib/"));
}

static bool ends_with_lua(struct slice file)
{
	return file.len > 4 && memcmp(file.data + file.len - 4, ".lua", 4) == 0;
}

static bool has_library(const struct script_bundle *bundle, struct slice name)
{
	for (size_t i = 0; i < bundle->library_count; i++) {
		if (slice_equal(bundle->libraries[i].name, name)) {
			return true;
		}
	}
	return false;
}

static int check_imports(const struct script_bundle *bundle, const struct source *source, struct err *err)
{
	for (size_t i = 0; i < source->import_count; i++) {
		if (!has_library(bundle, source->imports[i])) {
			return err_set(err, ERR_INVALID, "%.*s: imports %.*s, which is not in the bundle",
				       (int)source->name.len, (const char *)source->name.data,
				       (int)source->imports[i].len, (const char *)source->imports[i].data);
		}
	}
	return 0;
}

static struct slice dotted(struct arena *arena, struct slice file)
{
	struct slice copy = arena_copy(arena, slice_of(file.data, file.len - 4));
	for (size_t i = 0; i < copy.len; i++) {
		if (copy.data[i] == '/') {
			((uint8_t *)(uintptr_t)copy.data)[i] = '.';
		}
	}
	return copy;
}

static int compare_procedures(const void *left, const void *right)
{
	return slice_compare(((const struct procedure *)left)->source.name,
			     ((const struct procedure *)right)->source.name);
}

/* Looks at every source and sorts it: tables, libraries, procedures. */
static int sort_files(struct script_bundle *bundle, struct source *tables, struct err *err)
{
	bundle->procedures = arena_zalloc(&bundle->arena, bundle->file_count * sizeof *bundle->procedures);
	bundle->libraries = arena_zalloc(&bundle->arena, bundle->file_count * sizeof *bundle->libraries);
	bundle->procedure_count = bundle->library_count = bundle->table_count = 0;
	for (size_t i = 0; i < bundle->file_count; i++) {
		const struct script_file *file = &bundle->files[i];
		const char *name = (const char *)file->name.data;
		struct source source;
		if (!ends_with_lua(file->name) || file->name.len > 60) {
			return err_set(err, ERR_INVALID,
				       "%s: a file's name ends in .lua and has at most 60 bytes", name);
		}
		if (source_check(&source, file->name, file->source, names, err) < 0) {
			return ERR_INVALID;
		}
		bool declares = source.declare_to > source.declare_from;
		if (slice_equal(file->name, SLICE_LIT("tables.lua"))) {
			*tables = source;
		} else if (is_library(file->name)) {
			struct library *library = &bundle->libraries[bundle->library_count++];
			*library = (struct library){.source = source,
						    .name = dotted(&bundle->arena, file->name)};
		} else if (declares) {
			bundle->procedures[bundle->procedure_count++] =
				(struct procedure){.source = source, .once = -1};
		} else {
			return err_set(err, ERR_INVALID,
				       "%s:1: no `procedure { … }` (shared code lives in lib/)", name);
		}
		if (declares &&
		    (is_library(file->name) || slice_equal(file->name, SLICE_LIT("tables.lua")))) {
			return err_set(err, ERR_INVALID, "%s: a procedure cannot live here", name);
		}
	}
	qsort(bundle->procedures, bundle->procedure_count, sizeof *bundle->procedures, compare_procedures);
	for (size_t i = 0; i < bundle->library_count; i++) {
		if (check_imports(bundle, &bundle->libraries[i].source, err) < 0) {
			return ERR_INVALID;
		}
	}
	for (size_t i = 0; i < bundle->procedure_count; i++) {
		if (check_imports(bundle, &bundle->procedures[i].source, err) < 0) {
			return ERR_INVALID;
		}
	}
	return 0;
}

/* ---- building ---- */

struct build {
	struct script_bundle *bundle;
	struct source tables;
	const char *file; /* what is being declared, for errors that do not say where */
};

static void compile_libraries(lua_State *L, struct script_bundle *bundle)
{
	for (size_t i = 0; i < bundle->library_count; i++) {
		struct library *library = &bundle->libraries[i];
		struct site_file file = {.args = NULL};
		library->chunk_ref = load_chunk(L, bundle, &library->source, &file);
		library->sites = file.sites;
		library->site_count = file.site_count;
	}
	for (size_t i = 0; i < bundle->library_count; i++) { /* run once, so that mistakes are seen now */
		lua_pushcfunction(L, import);
		lua_pushlstring(L, (const char *)bundle->libraries[i].name.data,
				bundle->libraries[i].name.len);
		lua_call(L, 1, 0);
	}
}

static int build_cb(lua_State *L)
{
	struct build *build = lua_touserdata(L, 1);
	struct script_bundle *bundle = build->bundle;
	luaL_checkstack(L, 100, NULL);
	declare_environment(L);
	int environment = lua_gettop(L);
	if (build->tables.text.data != NULL) {
		build->file = (const char *)build->tables.name.data;
		declare_run(L, environment, &build->tables, build->tables.text, "tables");
		declare_tables(L, bundle);
	}
	build->file = NULL;
	make_environment(L, bundle);
	lua_newtable(L);
	bundle->imports_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	make_names(L, bundle);
	compile_libraries(L, bundle);
	for (size_t i = 0; i < bundle->procedure_count; i++) {
		build->file = (const char *)bundle->procedures[i].source.name.data;
		compile_procedure(L, bundle, environment, &bundle->procedures[i]);
	}
	return 0;
}

static int tell_where(const struct build *build, const char *text, struct err *err)
{
	bool told = build->file == NULL || strstr(text, ".lua:") != NULL;
	return err_set(err, ERR_INVALID, "%s%s%s", told ? "" : build->file, told ? "" : ": ", text);
}

/* Over all that a procedure's call may run: its source and the libraries, in the order of their names. */
static void hash_procedures(struct script_bundle *bundle)
{
	struct chain shared = {0, 0};
	for (size_t i = 0; i < bundle->library_count; i++) {
		const struct library *library = &bundle->libraries[i];
		shared = chain_next(shared, library->name.len, 0, 0, library->name);
		shared = chain_next(shared, library->source.text.len, 0, 0, library->source.text);
	}
	for (size_t i = 0; i < bundle->procedure_count; i++) {
		struct procedure *procedure = &bundle->procedures[i];
		struct chain hash = chain_next(shared, procedure->name.len, 0, 1, procedure->name);
		hash = chain_next(hash, procedure->source.text.len, 0, 1, procedure->source.text);
		snprintf(procedure->hash, sizeof procedure->hash, "%016" PRIx64 "%016" PRIx64, hash.high,
			 hash.low);
	}
}

int bundle_build(struct script_bundle *bundle, struct err *err)
{
	struct build build = {.bundle = bundle};
	bundle->call_meta_ref = 0;
	bundle->tables = NULL;
	arena_init(&bundle->arena, KIB(64));
	buf_init(&bundle->scratch, MIB(1));
	if (budget_open(&bundle->budget, LIMIT_SCRIPT_MEMORY) == NULL) {
		bundle_unbuild(bundle);
		return err_set(err, ERR_BUDGET, "no memory for a Lua state");
	}
	int status = sort_files(bundle, &build.tables, err);
	if (status == 0) {
		lua_State *L = bundle->budget.state;
		budget_start(&bundle->budget, LIMIT_SCRIPT_STEPS, true);
		lua_pushcfunction(L, build_cb);
		lua_pushlightuserdata(L, &build);
		int lua_status = lua_pcall(L, 1, 0, 0);
		bool ended = budget_ended(L, lua_status);
		budget_stop(&bundle->budget);
		if (lua_status != LUA_OK) {
			status = ended ? err_set(err, ERR_INVALID,
						 "running the files once used up the budget of steps or "
						 "memory")
				       : tell_where(&build, sandbox_error_text(L, -1), err);
		}
		lua_settop(L, 0);
	}
	if (status < 0) {
		bundle_unbuild(bundle);
		return status;
	}
	bundle->lookups = arena_zalloc(&bundle->arena, (bundle->table_count + 1) * sizeof *bundle->lookups);
	bundle->spoiled = false;
	hash_procedures(bundle);
	budget_settle(&bundle->budget);
	return 0;
}

void bundle_unbuild(struct script_bundle *bundle)
{
	budget_close(&bundle->budget);
	buf_fini(&bundle->scratch);
	arena_fini(&bundle->arena);
}

const struct procedure *bundle_procedure(const struct script_bundle *bundle, struct slice name)
{
	size_t low = 0, high = bundle->procedure_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = slice_compare(bundle->procedures[middle].name, name);
		if (order == 0) {
			return &bundle->procedures[middle];
		}
		if (order < 0) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return NULL;
}

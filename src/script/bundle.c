/* Compiling a bundle: a Lua state with every procedure, library and table in it. */
#include "script/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "script/sandbox.h"

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
		if (source_check(&source, file->name, file->source, chunk_names, err) < 0) {
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
		library->chunk_ref = chunk_load(L, bundle, &library->source, &file);
		library->sites = file.sites;
		library->site_count = file.site_count;
	}
	for (size_t i = 0; i < bundle->library_count; i++) { /* run once, so that mistakes are seen now */
		lua_pushcfunction(L, chunk_import);
		lua_pushlstring(L, (const char *)bundle->libraries[i].name.data,
				bundle->libraries[i].name.len);
		lua_call(L, 1, 0);
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
	procedure->chunk_ref = chunk_load(L, bundle, source, &file);
	procedure->sites = file.sites;
	procedure->site_count = file.site_count;
	procedure->endless = file.endless;
	procedure->spread = file.spread;
	procedure->unread = file.unread;
	lua_rawgeti(L, LUA_REGISTRYINDEX, procedure->chunk_ref);
	lua_call(L, chunk_push_names(L, bundle, source->uses, file.sites, file.site_count), 1);
	if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1)) {
		luaL_error(L, "%s: the file must return its function", (const char *)source->name.data);
	}
	chunk_examine(L, procedure, &file);
	procedure->function_ref = luaL_ref(L, LUA_REGISTRYINDEX);
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
	chunk_open(L, bundle);
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
						 "compiling the files and running them once used up the "
						 "budget of steps or memory: a file with thousands of `and`, "
						 "`or` and `elseif` wants a table instead")
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

/* FCALL, and loading a library's code.
 *
 * The code's chunk registers functions. It runs when the library is loaded, to
 * learn what they are, and again before each call, to have them: nothing stays in a library from one call to
 * the next, for it would be lost with the leader (Redis keeps it until a restart). */
#include <assert.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "base/limits.h"
#include "script/lua51.h"
#include "script/lua_redis.h"

#define CHUNK_NAME "@user_function"

/* ---- compiled chunks ---- */

static void chunk_remove(struct redis_machine *m, struct redis_chunk *chunk)
{
	if (chunk->ref != LUA_NOREF) {
		luaL_unref(m->budget.state, LUA_REGISTRYINDEX, chunk->ref);
	}
	map_remove(&m->by_code, chunk->code);
	list_remove(&chunk->link);
	free(chunk);
}

static struct redis_chunk *chunk_get(struct redis_machine *m, struct slice code)
{
	struct redis_chunk *chunk = map_get(&m->by_code, code);
	if (chunk != NULL) {
		list_remove(&chunk->link);
		list_append(m->chunks.next, &chunk->link);
		return chunk;
	}
	if (m->by_code.count >= LIMIT_LIBRARIES_CACHED) {
		chunk_remove(m, list_entry(m->chunks.prev, struct redis_chunk, link));
	}
	chunk = calloc(1, sizeof(*chunk) + code.len);
	if (chunk == NULL) {
		fatal("out of memory: a library of %zu bytes", code.len);
	}
	uint8_t *copy = (uint8_t *)(chunk + 1);
	memcpy(copy, code.data, code.len);
	chunk->code = slice_of(copy, code.len);
	chunk->ref = LUA_NOREF;
	sha1_hex(code, chunk->sha);
	map_put(&m->by_code, chunk->code, chunk);
	list_append(m->chunks.next, &chunk->link);
	return chunk;
}

void function_forget_chunks(struct redis_machine *m)
{
	list_for_each (link, &m->chunks) {
		list_entry(link, struct redis_chunk, link)->ref = LUA_NOREF;
	}
}

void function_free(struct redis_machine *m)
{
	while (!list_empty(&m->chunks)) {
		chunk_remove(m, list_entry(m->chunks.next, struct redis_chunk, link));
	}
	map_fini(&m->by_code);
	free(m->workspace);
}

/* ---- running a library's chunk ---- */

static struct redis_loading *workspace(struct redis_machine *m)
{
	if (m->workspace == NULL) {
		m->workspace = malloc(sizeof(*m->workspace));
		if (m->workspace == NULL) {
			fatal("out of memory: the functions of a library");
		}
	}
	m->workspace->count = 0;
	m->workspace->wanted = SLICE_NONE;
	return m->workspace;
}

/* Its source begins at the end of the first line, so lines keep their numbers. */
static struct slice without_first_line(struct slice code)
{
	const uint8_t *end = memchr(code.data, '\n', code.len);
	return end == NULL ? SLICE_NONE : slice_skip(code, (size_t)(end - code.data));
}

/* Leaves nothing. False: the error text is on the stack. */
static bool run_chunk(struct redis_machine *m, struct redis_loading *loading)
{
	lua_State *L = m->budget.state;
	m->loading = loading;
	machine_use_globals(m, true);
	lua51_push_operator(L);
	int status = lua_pcall(L, 1, 0, 0);
	machine_use_globals(m, false);
	m->loading = NULL;
	if (budget_ended(L, status)) {
		budget_raise(L, m->budget.end);
	}
	if (status != LUA_OK) {
		machine_error_text(L);
	}
	return status == LUA_OK;
}

struct load_job {
	struct redis_chunk *chunk;
	struct redis_loading *loading;
};

static int load_body(struct redis_machine *m, void *data)
{
	struct load_job *job = data;
	lua_State *L = m->budget.state;
	if (!machine_compile(m, without_first_line(job->chunk->code), &job->chunk->ref)) {
		reply_error(m->call->reply, "ERR Error compiling function: %s", lua_tostring(L, -1));
		return ERR_DENIED;
	}
	if (!run_chunk(m, job->loading)) {
		reply_error(m->call->reply, "ERR Error registering functions: %s", lua_tostring(L, -1));
		return ERR_DENIED;
	}
	return 0;
}

/* ---- FUNCTION LOAD ---- */

static bool take_part(struct slice *line, struct slice *part)
{
	while (line->len > 0 && line->data[0] == ' ') {
		*line = slice_skip(*line, 1);
	}
	size_t len = 0;
	while (len < line->len && line->data[len] != ' ') {
		len++;
	}
	*part = slice_of(line->data, len);
	*line = slice_skip(*line, len);
	return len > 0;
}

static bool deny(struct script_redis *call, const char *text, struct slice detail)
{
	reply_error(call->reply, "ERR %s%.*s", text, (int)(detail.len > 128 ? 128 : detail.len),
		    detail.len == 0 ? "" : (const char *)detail.data);
	return false;
}

/* "#!lua name=<name>". False: the error is written. */
static bool read_metadata(struct script_redis *call, struct slice code, struct slice *name)
{
	if (!slice_starts_with(code, SLICE_LIT("#!"))) {
		return deny(call, "Missing library metadata", SLICE_NONE);
	}
	const uint8_t *end = memchr(code.data, '\n', code.len);
	if (end == NULL) {
		return deny(call, "Invalid library metadata", SLICE_NONE);
	}
	struct slice line = slice_of(code.data, (size_t)(end - code.data)), engine, part;
	take_part(&line, &engine);
	engine = slice_skip(engine, 2);
	*name = SLICE_NONE;
	while (take_part(&line, &part)) {
		if (part.len < 5 || !slice_is_word(slice_of(part.data, 5), "name=")) {
			return deny(call, "Invalid metadata value given: ", part);
		}
		if (name->data != NULL) {
			return deny(call, "Invalid metadata value, name argument was given multiple times",
				    SLICE_NONE);
		}
		*name = slice_skip(part, 5);
	}
	if (name->data == NULL) {
		return deny(call, "Library name was not given", SLICE_NONE);
	}
	if (!function_name_is_good(*name)) {
		return deny(
			call,
			"Library names can only contain letters, numbers, or underscores(_) and must be at "
			"least one character long",
			SLICE_NONE);
	}
	if (!slice_is_word(engine, "LUA")) {
		reply_error(call->reply, "ERR Engine '%.*s' not found",
			    (int)(engine.len > 128 ? 128 : engine.len), (const char *)engine.data);
		return false;
	}
	return true;
}

/* Writes the library unless another one has a function of its names. former: what it replaces, or NULL. */
static int store_library(struct script_redis *call, const struct redis_library *library,
			 struct redis_library *former)
{
	int status = former == NULL ? 0 : library_delete(call, former);
	for (size_t i = 0; i < library->count && status == 0; i++) {
		struct slice other;
		status = library_of_function(call, library->functions[i].name, &other);
		if (status == 0) {
			reply_error(call->reply, "ERR Function %s already exists",
				    (const char *)library->functions[i].name.data);
			return ERR_DENIED;
		}
		status = status == ERR_NOT_FOUND ? 0 : status;
	}
	return status == 0 ? library_write(call, library) : status;
}

int function_load(struct redis_machine *m, struct script_redis *call, struct slice code, bool replace,
		  struct slice *name)
{
	if (code.len > LIMIT_SCRIPT_SOURCE) {
		reply_code(call->reply, CODE_TOO_LARGE, NULL);
		return ERR_DENIED;
	}
	struct redis_library former, library = {.code = code};
	if (!read_metadata(call, code, &library.name)) {
		return ERR_DENIED;
	}
	int status = library_read(call, library.name, &former);
	if (status != 0 && status != ERR_NOT_FOUND) {
		return status;
	}
	bool exists = status == 0;
	if (exists && !replace) {
		reply_error(call->reply, "ERR Library '%.*s' already exists", (int)library.name.len,
			    (const char *)library.name.data);
		return ERR_DENIED;
	}
	struct redis_loading *loading = workspace(m);
	struct load_job job = {chunk_get(m, code), loading};
	const struct script_identity identity = {SCRIPT_LIBRARY, library.name, job.chunk->sha};
	const char *text = (const char *)arena_copy(call->arena, library.name).data;
	m->read_only = true;
	status = machine_protect(m, call, &identity, text, CHUNK_NAME, load_body, &job);
	if (status != 0) {
		if (job.chunk->ref == LUA_NOREF) {
			chunk_remove(m, job.chunk); /* it does not compile, or is refused */
		}
		return status;
	}
	if (loading->count == 0) {
		reply_error(call->reply, "ERR No functions registered");
		return ERR_DENIED;
	}
	library.functions = loading->functions;
	library.count = loading->count;
	*name = library.name;
	return store_library(call, &library, exists ? &former : NULL);
}

/* ---- FCALL ---- */

struct call_job {
	struct redis_chunk *chunk;
	struct redis_loading *loading;
	const struct slice *argv; /* behind numkeys */
	size_t key_count, arg_count;
};

static int call_body(struct redis_machine *m, void *data)
{
	struct call_job *job = data;
	lua_State *L = m->budget.state;
	lua_pushnil(L);
	machine_set_global(m, "KEYS");
	lua_pushnil(L);
	machine_set_global(m, "ARGV");
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, job->loading);
	if (!machine_compile(m, without_first_line(job->chunk->code), &job->chunk->ref) || !run_chunk(m, job->loading)) {
		reply_error(m->call->reply, "ERR the library does not load any more: %s",
			    lua_tostring(L, -1));
		return ERR_DENIED;
	}
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, job->loading) != LUA_TFUNCTION) {
		reply_error(m->call->reply, "ERR Function not found");
		return ERR_DENIED;
	}
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, job->loading);
	machine_push_texts(L, job->argv, job->key_count);
	machine_push_texts(L, job->argv + job->key_count, job->arg_count);
	lua_call(L, 2, 1);
	return reply_from_lua(L, m->call->reply) ? 0 : ERR_DENIED;
}

/* FCALL's own words for a bad numkeys; the rest is EVAL's. */
static bool read_key_count(struct script_redis *call, size_t *count)
{
	int64_t number;
	if (!slice_to_int64(call->argv[2], &number)) {
		reply_error(call->reply, "ERR Bad number of keys provided");
		return false;
	}
	return eval_key_count(call, count);
}

static const struct redis_function *find_function(const struct redis_library *library, struct slice name)
{
	for (size_t i = 0; i < library->count; i++) {
		if (function_same_name(library->functions[i].name, name)) {
			return &library->functions[i];
		}
	}
	return NULL;
}

int function_call(struct redis_machine *m, struct script_redis *call, bool read_only)
{
	struct slice library_name, name = arena_copy(call->arena, call->argv[1]);
	struct redis_library library;
	int status = library_of_function(call, name, &library_name);
	if (status == 0) {
		status = library_read(call, library_name, &library);
	}
	if (status == ERR_NOT_FOUND) {
		reply_error(call->reply, "ERR Function not found");
		return ERR_DENIED;
	}
	if (status != 0) {
		return status;
	}
	const struct redis_function *function = find_function(&library, name);
	if (function == NULL) {
		return ERR_CORRUPT; /* its name's row says it is there */
	}
	struct call_job job = {.argv = call->argv + 3};
	if (!read_key_count(call, &job.key_count)) {
		return ERR_DENIED;
	}
	job.arg_count = call->argc - 3 - job.key_count;
	bool no_writes = function->flags & FUNCTION_NO_WRITES;
	if (read_only && !no_writes) {
		reply_error(call->reply, "ERR Can not execute a script with write flag using *_ro command.");
		return ERR_DENIED;
	}
	job.chunk = chunk_get(m, library.code);
	job.loading = workspace(m);
	job.loading->wanted = name;
	m->read_only = no_writes;
	const struct script_identity identity = {SCRIPT_LIBRARY, library_name, job.chunk->sha};
	return machine_protect(m, call, &identity, (const char *)name.data, CHUNK_NAME, call_body, &job);
}

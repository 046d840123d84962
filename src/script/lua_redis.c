#include "script/lua_redis.h"

#include <assert.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "base/limits.h"
#include "script/compile.h"
#include "script/host.h"
#include "script/lua51.h"
#include "script/sandbox.h"

/* ---- life ---- */

struct redis_machine *redis_machine_new(struct script_host *host)
{
	struct redis_machine *m = calloc(1, sizeof(*m));
	if (m == NULL) {
		fatal("out of memory: the machine of EVAL");
	}
	m->host = host;
	m->stats = &host->stats;
	map_init(&m->by_body);
	map_init(&m->by_sha);
	list_init(&m->scripts);
	map_init(&m->by_code);
	list_init(&m->chunks);
	buf_init(&m->bytes, LIMIT_SCRIPT_MEMORY);
	arena_init(&m->arena, KIB(16));
	return m;
}

void redis_machine_free(struct redis_machine *m)
{
	if (m == NULL) {
		return;
	}
	eval_free(m);
	function_free(m);
	budget_close(&m->budget);
	buf_fini(&m->bytes);
	arena_fini(&m->arena);
	free(m);
}

/* ---- the state ---- */

/* Upvalue 1: the content of the globals. A name that is not there is an error, as in Redis. */
static int missing_global(lua_State *L)
{
	return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
			  lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

static int readonly_global(lua_State *L)
{
	return luaL_error(L, "Attempt to modify a readonly table");
}

/* A locked shell over the content on top of the stack, which it replaces. */
static void lock_in_redis_words(lua_State *L, const char *name)
{
	sandbox_lock(L, name);
	lua_getmetatable(L, -1);
	lua_pushcfunction(L, readonly_global);
	lua_setfield(L, -2, "__newindex");
	lua_pop(L, 1);
}

static void add_library(lua_State *L, int globals, const char *name, void (*open)(lua_State *))
{
	open(L);
	lock_in_redis_words(L, name);
	lua_setfield(L, globals, name);
}

/* Reading what the table at index has not raises. */
static void refuse_missing(lua_State *L, int index)
{
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, missing_global);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, index);
}

/* Builds everything scripts share. */
static int open_body(lua_State *L)
{
	struct redis_machine *m = machine_of(L);
	luaL_checkstack(L, 20, NULL);
	sandbox_open(L, SANDBOX_REDIS);
	int globals = lua_gettop(L);
	lua51_open(L);
	add_library(L, globals, "cjson", lua_cjson_open);
	add_library(L, globals, "cmsgpack", lua_cmsgpack_open);
	add_library(L, globals, "struct", lua_struct_open);
	add_library(L, globals, "bit", lua_bit_open);
	api_open(L, false);
	lock_in_redis_words(L, "redis");
	lua_setfield(L, globals, "redis");
	refuse_missing(L, globals);
	lua_pushvalue(L, globals);
	m->globals_ref = luaL_ref(L, LUA_REGISTRYINDEX);

	lua_pushvalue(L, globals);
	lock_in_redis_words(L, "_G");
	lua_pushvalue(L, -1);
	lua_setfield(L, globals, "_G");
	m->env_ref = luaL_ref(L, LUA_REGISTRYINDEX);

	lua_createtable(L, 0, 1);
	int loading = lua_gettop(L);
	refuse_missing(L, loading);
	api_open(L, true);
	refuse_missing(L, lua_gettop(L));
	lock_in_redis_words(L, "redis");
	lua_pushliteral(L, "redis");
	lua_insert(L, -2);
	lua_rawset(L, loading);
	m->load_globals_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

static bool open_state(struct redis_machine *m)
{
	lua_State *L = budget_open(&m->budget, LIMIT_SCRIPT_MEMORY);
	if (L == NULL) {
		return false;
	}
	lua_pushcfunction(L, open_body);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
		budget_close(&m->budget);
		return false;
	}
	budget_settle(&m->budget);
	return true;
}

static void close_state(struct redis_machine *m)
{
	eval_forget_chunks(m);
	function_forget_chunks(m);
	budget_close(&m->budget);
}

void machine_use_globals(struct redis_machine *m, bool loading)
{
	lua_State *L = m->budget.state;
	lua_rawgeti(L, LUA_REGISTRYINDEX, m->env_ref);
	int has = lua_getmetatable(L, -1);
	assert(has);
	(void)has;
	lua_rawgeti(L, LUA_REGISTRYINDEX, loading ? m->load_globals_ref : m->globals_ref);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 2);
}

/* ---- errors ---- */

/* Where the error was raised: the innermost function, or who called it when it is ours. */
static bool find_place(lua_State *L, lua_Debug *place)
{
	for (int level = 1; level <= 2; level++) {
		if (!lua_getstack(L, level, place)) {
			return false;
		}
		lua_getinfo(L, "Sl", place);
		if (place->what[0] != 'C') {
			return true;
		}
	}
	return false;
}

const char *machine_error_text(lua_State *L)
{
	int error = lua_gettop(L);
	if (lua_istable(L, error)) {
		lua_pushliteral(L, "err");
		if (lua_rawget(L, error) == LUA_TSTRING) {
			return lua_tostring(L, -1);
		}
		lua_pushliteral(L, "ERR unknown error");
		return lua_tostring(L, -1);
	}
	bool is_text = lua_type(L, error) == LUA_TSTRING;
	lua51_push_message(L, is_text ? lua_tostring(L, error) : sandbox_tostring(L, error, NULL));
	return lua_pushfstring(L, "ERR %s", lua_tostring(L, -1));
}

/* The message handler. The text ends as Redis': "… script: <sha>, on @user_script:1." */
static int error_handler(lua_State *L)
{
	struct redis_machine *m = machine_of(L);
	if (m->budget.end != BUDGET_OPEN) {
		return 1;
	}
	luaL_checkstack(L, 8, NULL);
	lua_settop(L, 1);
	const char *text = machine_error_text(L);
	lua_Debug place;
	if (find_place(L, &place)) {
		lua_pushfstring(L, "%s script: %s, on %s:%d.", text, m->name, m->chunk_name,
				place.currentline);
	} else {
		lua_pushfstring(L, "%s script: %s", text, m->name);
	}
	return 1;
}

/* ---- running ---- */

struct protected
{
	machine_body *body;
	void *job;
	int status;
};

static int run_body(lua_State *L)
{
	struct protected *p = lua_touserdata(L, 1);
	lua_settop(L, 0);
	luaL_checkstack(L, 20, NULL);
	p->status = p->body(machine_of(L), p->job);
	return 0;
}

/* The error is on top of the stack. */
static int fail(struct redis_machine *m, int lua_status)
{
	lua_State *L = m->budget.state;
	struct reply *reply = m->call->reply;
	m->stats->failures++;
	if (!budget_ended(L, lua_status)) {
		const char *text = lua_tostring(L, -1);
		reply_error(reply, "%s", text == NULL ? "ERR unknown error" : text);
		return ERR_DENIED;
	}
	switch (m->budget.end) {
	case BUDGET_STEPS:
		m->stats->budget_exceeded++;
		reply_code(reply, CODE_BUDGET_EXCEEDED, NULL);
		return ERR_DENIED;
	case BUDGET_TIME:
		host_end_late(m->host, reply);
		return ERR_DENIED;
	case BUDGET_RAISED:
		assert(m->status != 0);
		return m->status;
	default:
		m->stats->memory_exceeded++;
		reply_code(reply, CODE_MEMORY_EXCEEDED, NULL);
		return ERR_DENIED;
	}
}

/* Between calls: KEYS and ARGV go, and garbage is collected when there is enough. */
static void tidy(struct redis_machine *m)
{
	lua_settop(m->budget.state, 0);
	arena_reset(&m->arena);
	if (!budget_tidy(&m->budget)) {
		close_state(m);
	}
}

int machine_protect(struct redis_machine *m, struct script_redis *call, const struct script_identity *script,
		    const char *name, const char *chunk_name, machine_body *body, void *job)
{
	if (m->budget.state == NULL && !open_state(m)) {
		reply_code(call->reply, CODE_MEMORY_EXCEEDED, NULL);
		return ERR_DENIED;
	}
	if (!host_begin(m->host, &m->budget, script, call->arena, call->reply)) {
		return ERR_DENIED;
	}
	lua_State *L = m->budget.state;
	m->stats->calls++;
	m->call = call;
	m->name = name;
	m->chunk_name = chunk_name;
	m->db = call->db;
	m->protocol = 2;
	m->status = 0;
	prng_init(&m->random, call->random);
	lua_cjson_reset(&m->json);
	size_t reply_begin = call->reply->out->len;

	struct protected p = {body, job, 0};
	machine_use_globals(m, false);
	budget_start(&m->budget, LIMIT_SCRIPT_STEPS, true);
	lua_settop(L, 0);
	lua_pushcfunction(L, error_handler);
	lua_pushcfunction(L, run_body);
	lua_pushlightuserdata(L, &p);
	int lua_status = lua_pcall(L, 1, 0, 1);
	host_end(m->host);
	m->stats->steps += (uint64_t)budget_stop(&m->budget);
	int status = p.status;
	if (lua_status != LUA_OK) {
		call->reply->out->len = reply_begin; /* what was half written */
		status = fail(m, lua_status);
	}
	m->call = NULL;
	m->loading = NULL;
	tidy(m);
	return status;
}

bool machine_compile(struct redis_machine *m, struct slice source, int *ref)
{
	lua_State *L = m->budget.state;
	if (*ref != LUA_NOREF) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, *ref);
		return true;
	}
	compile_charge(L, source);
	struct buf translated;
	buf_init(&translated, 16 * LIMIT_SCRIPT_SOURCE);
	lua51_translate(source, &translated);
	lua_rawgeti(L, LUA_REGISTRYINDEX, m->env_ref);
	int status = lua51_load(L, buf_slice(&translated), m->chunk_name, -1);
	buf_fini(&translated);
	lua_remove(L, -2);
	if (budget_ended(L, status)) {
		budget_raise(L, m->budget.end);
	}
	if (status != LUA_OK) {
		lua51_push_message(L, lua_tostring(L, -1));
		return false;
	}
	m->stats->compiled++;
	lua_pushvalue(L, -1);
	*ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return true;
}

void machine_call_chunk(struct redis_machine *m)
{
	lua51_push_operator(m->budget.state);
	lua_call(m->budget.state, 1, 1);
}

void machine_push_texts(lua_State *L, const struct slice *texts, size_t count)
{
	luaL_checkstack(L, 2, NULL);
	lua_createtable(L, count > 10000 ? 10000 : (int)count, 0);
	for (size_t i = 0; i < count; i++) {
		lua_pushlstring(L, texts[i].len == 0 ? "" : (const char *)texts[i].data, texts[i].len);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
}

void machine_set_global(struct redis_machine *m, const char *name)
{
	lua_State *L = m->budget.state;
	lua_rawgeti(L, LUA_REGISTRYINDEX, m->globals_ref);
	lua_insert(L, -2);
	lua_pushstring(L, name);
	lua_insert(L, -2);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

/* ---- the door ---- */

int redis_machine_run(struct redis_machine *m, struct script_redis *call)
{
	struct slice name = call->argv[0];
	if (slice_is_word(name, "EVAL") || slice_is_word(name, "EVAL_RO")) {
		return eval_run(m, call, false, name.len > 4);
	}
	if (slice_is_word(name, "EVALSHA") || slice_is_word(name, "EVALSHA_RO")) {
		return eval_run(m, call, true, name.len > 7);
	}
	if (slice_is_word(name, "FCALL") || slice_is_word(name, "FCALL_RO")) {
		return function_call(m, call, name.len > 5);
	}
	if (slice_is_word(name, "SCRIPT")) {
		return eval_script_command(m, call);
	}
	assert(slice_is_word(name, "FUNCTION"));
	return function_command(m, call);
}

static void free_machine(void *redis)
{
	redis_machine_free(redis);
}

int script_redis_run(struct script_redis *call)
{
	struct script_host *host = call->host;
	if (host->redis == NULL) {
		host->redis = redis_machine_new(host);
		host->redis_free = free_machine;
	}
	return redis_machine_run(host->redis, call);
}

/* EVAL, EVALSHA, SCRIPT, and the cache of scripts, which is this node's alone:
 * after a failover the new leader answers NOSCRIPT, as Redis does. */
#include <assert.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "base/limits.h"
#include "script/lua_redis.h"

#define CHUNK_NAME "@user_script"

/* ---- the cache ---- */

static struct redis_script *cache_find(const struct redis_machine *m, struct slice sha)
{
	char lower[SHA1_HEX];
	if (sha.len != SHA1_HEX) {
		return NULL;
	}
	for (size_t i = 0; i < SHA1_HEX; i++) {
		uint8_t c = sha.data[i];
		lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	return map_get(&m->by_sha, slice_of(lower, SHA1_HEX));
}

static void touch(struct redis_machine *m, struct redis_script *script)
{
	if (m->scripts.next != &script->link) {
		list_remove(&script->link);
		list_append(m->scripts.next, &script->link);
	}
}

static void cache_remove(struct redis_machine *m, struct redis_script *script)
{
	if (script->chunk_ref != LUA_NOREF) {
		luaL_unref(m->budget.state, LUA_REGISTRYINDEX, script->chunk_ref);
	}
	map_remove(&m->by_body, script->body);
	map_remove(&m->by_sha, slice_of(script->sha, SHA1_HEX));
	list_remove(&script->link);
	m->stats->scripts_cached = m->by_sha.count;
	free(script);
}

static struct redis_script *cache_add(struct redis_machine *m, struct slice body)
{
	if (m->by_sha.count >= LIMIT_SCRIPTS_CACHED) {
		cache_remove(m, list_entry(m->scripts.prev, struct redis_script, link));
	}
	struct redis_script *script = calloc(1, sizeof(*script) + body.len);
	if (script == NULL) {
		fatal("out of memory: a script of %zu bytes", body.len);
	}
	uint8_t *copy = (uint8_t *)(script + 1);
	memcpy(copy, body.data, body.len);
	script->body = slice_of(copy, body.len);
	script->chunk_ref = LUA_NOREF;
	sha1_hex(body, script->sha);
	map_put(&m->by_body, script->body, script);
	map_put(&m->by_sha, slice_of(script->sha, SHA1_HEX), script);
	m->stats->scripts_cached = m->by_sha.count;
	list_append(m->scripts.next, &script->link);
	return script;
}

void eval_forget_chunks(struct redis_machine *m)
{
	list_for_each (link, &m->scripts) {
		list_entry(link, struct redis_script, link)->chunk_ref = LUA_NOREF;
	}
}

static void cache_clear(struct redis_machine *m)
{
	while (!list_empty(&m->scripts)) {
		cache_remove(m, list_entry(m->scripts.next, struct redis_script, link));
	}
}

void eval_free(struct redis_machine *m)
{
	cache_clear(m);
	map_fini(&m->by_body);
	map_fini(&m->by_sha);
}

/* ---- the first line: #!lua flags=no-writes,… ---- */

static bool take_word(struct slice *line, struct slice *word, char until)
{
	while (line->len > 0 && line->data[0] == ' ') {
		*line = slice_skip(*line, 1);
	}
	size_t len = 0;
	while (len < line->len && line->data[len] != (uint8_t)until) {
		len++;
	}
	*word = slice_of(line->data, len);
	*line = slice_skip(*line, len + (len < line->len));
	return word->len > 0;
}

static bool read_flags(struct script_redis *call, struct slice flags, bool *read_only)
{
	static const char *const known[] = {"no-writes", "allow-oom", "allow-stale", "no-cluster",
					    "allow-cross-slot-keys"};
	struct slice flag;
	while (take_word(&flags, &flag, ',')) {
		size_t i = 0;
		while (i < sizeof(known) / sizeof(known[0]) && !slice_equal(flag, slice_str(known[i]))) {
			i++;
		}
		if (i == sizeof(known) / sizeof(known[0])) {
			reply_error(call->reply, "ERR Unexpected flag in script shebang: %.*s", (int)flag.len,
				    (const char *)flag.data);
			return false;
		}
		*read_only = *read_only || i == 0;
	}
	return true;
}

/* Splits body into its first line's flags and the code. False: the error is written. */
static bool read_shebang(struct script_redis *call, struct slice body, struct slice *code, bool *read_only)
{
	*code = body;
	*read_only = false;
	if (!slice_starts_with(body, SLICE_LIT("#!"))) {
		return true;
	}
	const uint8_t *end = memchr(body.data, '\n', body.len);
	if (end == NULL) {
		reply_error(call->reply, "ERR Invalid script shebang");
		return false;
	}
	struct slice line = slice_of(body.data, (size_t)(end - body.data)), word;
	*code = slice_skip(body, line.len); /* from the line's end on: lines keep their numbers */
	take_word(&line, &word, ' ');
	if (!slice_equal(word, SLICE_LIT("#!lua"))) {
		reply_error(call->reply, "ERR Unexpected engine in script shebang: %.*s", (int)word.len,
			    (const char *)word.data);
		return false;
	}
	while (take_word(&line, &word, ' ')) {
		if (!slice_starts_with(word, SLICE_LIT("flags="))) {
			reply_error(call->reply, "ERR Unknown lua shebang option: %.*s", (int)word.len,
				    (const char *)word.data);
			return false;
		}
		if (!read_flags(call, slice_skip(word, strlen("flags=")), read_only)) {
			return false;
		}
	}
	return true;
}

/* ---- running ---- */

struct eval_job {
	struct redis_script *script;
	struct slice code;
	const struct slice *argv; /* behind numkeys */
	size_t key_count, arg_count;
};

static int compile_body(struct redis_machine *m, void *data)
{
	struct eval_job *job = data;
	if (!machine_compile(m, job->code, &job->script->chunk_ref)) {
		reply_error(m->call->reply, "ERR Error compiling script (new function): %s",
			    lua_tostring(m->budget.state, -1));
		return ERR_DENIED;
	}
	return 0;
}

static int eval_body(struct redis_machine *m, void *data)
{
	struct eval_job *job = data;
	lua_State *L = m->budget.state;
	int status = compile_body(m, data);
	if (status != 0) {
		return status;
	}
	machine_push_texts(L, job->argv, job->key_count);
	machine_set_global(m, "KEYS");
	machine_push_texts(L, job->argv + job->key_count, job->arg_count);
	machine_set_global(m, "ARGV");
	machine_call_chunk(m);
	return reply_from_lua(L, m->call->reply) ? 0 : ERR_DENIED;
}

bool eval_key_count(struct script_redis *call, size_t *count)
{
	int64_t number;
	if (!slice_to_int64(call->argv[2], &number)) {
		reply_error(call->reply, "ERR value is not an integer or out of range");
		return false;
	}
	if (number > (int64_t)call->argc - 3) {
		reply_error(call->reply, "ERR Number of keys can't be greater than number of args");
		return false;
	}
	if (number < 0) {
		reply_error(call->reply, "ERR Number of keys can't be negative");
		return false;
	}
	*count = (size_t)number;
	return true;
}

static int protect(struct redis_machine *m, struct script_redis *call, machine_body *body, struct eval_job *job)
{
	const struct script_identity identity = {SCRIPT_EVAL, SLICE_LIT("-"), job->script->sha};
	return machine_protect(m, call, &identity, job->script->sha, CHUNK_NAME, body, job);
}

/* The script of this body: from the cache, or new and compiled. NULL: the error is written, *status set. */
static struct redis_script *find_or_add(struct redis_machine *m, struct script_redis *call, struct slice body,
					int *status)
{
	struct redis_script *script = map_get(&m->by_body, body);
	if (script != NULL) {
		touch(m, script);
		return script;
	}
	struct eval_job job = {0};
	bool read_only;
	*status = ERR_DENIED;
	if (body.len > LIMIT_SCRIPT_SOURCE) {
		reply_code(call->reply, CODE_TOO_LARGE, NULL);
		return NULL;
	}
	if (!read_shebang(call, body, &job.code, &read_only)) {
		return NULL;
	}
	job.script = script = cache_add(m, body);
	script->read_only = read_only;
	*status = protect(m, call, compile_body, &job);
	if (*status != 0) {
		cache_remove(m, script);
		return NULL;
	}
	return script;
}

static int no_script(struct script_redis *call)
{
	reply_error(call->reply, "NOSCRIPT No matching script. Please use EVAL.");
	return ERR_DENIED;
}

int eval_run(struct redis_machine *m, struct script_redis *call, bool by_sha, bool read_only)
{
	struct eval_job job = {.argv = call->argv + 3};
	if (by_sha && call->argv[1].len != SHA1_HEX) {
		return no_script(call); /* before the keys are counted, as in Redis */
	}
	if (!eval_key_count(call, &job.key_count)) {
		return ERR_DENIED;
	}
	job.arg_count = call->argc - 3 - job.key_count;
	if (by_sha) {
		job.script = cache_find(m, call->argv[1]);
		if (job.script == NULL) {
			return no_script(call);
		}
		touch(m, job.script);
	} else {
		int status = 0;
		job.script = find_or_add(m, call, call->argv[1], &status);
		if (job.script == NULL) {
			return status;
		}
	}
	bool flag;
	if (!read_shebang(call, job.script->body, &job.code, &flag)) {
		return ERR_DENIED;
	}
	m->read_only = read_only || job.script->read_only;
	return protect(m, call, eval_body, &job);
}

/* ---- SCRIPT ---- */

static int script_load(struct redis_machine *m, struct script_redis *call)
{
	int status = 0;
	struct redis_script *script = find_or_add(m, call, call->argv[2], &status);
	if (script == NULL) {
		return status;
	}
	reply_bulk_text(call->reply, script->sha);
	return 0;
}

static void script_exists(struct redis_machine *m, struct script_redis *call)
{
	reply_array(call->reply, call->argc - 2);
	for (size_t i = 2; i < call->argc; i++) {
		reply_integer(call->reply, cache_find(m, call->argv[i]) != NULL);
	}
}

static void script_help(struct script_redis *call)
{
	static const char *const lines[] = {
		"SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"EXISTS <sha1> [<sha1> ...]",
		"    Return information about the existence of the scripts in the script cache.",
		"FLUSH [ASYNC|SYNC]",
		"    Flush the Lua scripts cache. Very dangerous on replicas.",
		"LOAD <script>",
		"    Load a script into the scripts cache without executing it.",
		"HELP",
		"    Prints this help."};
	size_t count = sizeof(lines) / sizeof(lines[0]);
	reply_array(call->reply, count);
	for (size_t i = 0; i < count; i++) {
		reply_simple(call->reply, lines[i]);
	}
}

int eval_script_command(struct redis_machine *m, struct script_redis *call)
{
	struct slice word = call->argv[1];
	if (slice_is_word(word, "LOAD") && call->argc == 3) {
		return script_load(m, call);
	}
	if (slice_is_word(word, "EXISTS") && call->argc >= 3) {
		script_exists(m, call);
		return 0;
	}
	if (slice_is_word(word, "FLUSH")) {
		if (call->argc > 3 || (call->argc == 3 && !slice_is_word(call->argv[2], "SYNC") &&
				       !slice_is_word(call->argv[2], "ASYNC"))) {
			reply_error(call->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
			return ERR_DENIED;
		}
		cache_clear(m);
		reply_simple(call->reply, "OK");
		return 0;
	}
	if (slice_is_word(word, "KILL") && call->argc == 2) {
		reply_error(call->reply, "NOTBUSY No scripts in execution right now.");
		return ERR_DENIED;
	}
	if (slice_is_word(word, "HELP") && call->argc == 2) {
		script_help(call);
		return 0;
	}
	reply_error(call->reply, "ERR unknown subcommand '%.*s'. Try SCRIPT HELP.",
		    (int)(word.len > 128 ? 128 : word.len), (const char *)word.data);
	return ERR_DENIED;
}

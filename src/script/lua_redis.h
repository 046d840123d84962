/* Redis' side of scripts: EVAL, SCRIPT, FUNCTION and FCALL. One Lua state serves
 * them all; nothing of a call stays in it. Private to script.
 *
 *   lua_redis.c           the machine: its state, running a chunk, errors
 *   lua_redis_eval.c      EVAL, EVALSHA, SCRIPT and the cache of scripts (this node's)
 *   lua_redis_function.c  FCALL, and loading a library's code
 *   lua_redis_register.c  what a library's code registers
 *   lua_redis_library.c   FUNCTION, and the rows of libraries (replicated, table 'f')
 *   lua_redis_dump.c      FUNCTION DUMP and RESTORE
 *   lua_redis_api.c       what scripts see as `redis`
 *   lua_redis_reply.c     Lua values into replies, replies into Lua values
 *   lua51*.c, lua_cjson.c, lua_cmsgpack.c, lua_struct.c, lua_bit.c   their language */
#ifndef SCRIPT_LUA_REDIS_H
#define SCRIPT_LUA_REDIS_H

#include <lua.h>

#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "script/budget.h"
#include "script/script.h"
#include "script/sha1.h"

#define STEPS_PER_COMMAND 200 /* redis.call: a point read, two microseconds when it misses */

/* One script of the cache. */
struct redis_script {
	struct list link; /* in order of use, latest first */
	struct slice body;
	char sha[SHA1_HEX + 1];
	int chunk_ref; /* compiled, or LUA_NOREF */
	bool read_only;
};

/* One library whose code is compiled, by its code. */
struct redis_chunk {
	struct list link;
	struct slice code;
	char sha[SHA1_HEX + 1];
	int ref;
};

enum function_flags { FUNCTION_NO_WRITES = 1 }; /* the first of function_flag_names */
#define FUNCTION_FLAGS 5
#define FUNCTIONS_MAX 512 /* of one library */

struct redis_function {
	struct slice name, description; /* description.data NULL: none */
	uint8_t flags;
};
/* The run of a library's chunk. Its address is the registry's key of the callback that FCALL wants. */
struct redis_loading {
	struct redis_function functions[FUNCTIONS_MAX];
	size_t count;
	struct slice wanted; /* FCALL: keep this one's callback */
};
struct redis_library {
	struct slice name, code;
	struct redis_function *functions;
	size_t count;
};

/* What a script may set of cjson; each call begins with the defaults. */
struct json_settings {
	bool sparse_convert;
	lua_Integer sparse_ratio, sparse_safe;
	lua_Integer encode_depth, decode_depth, precision;
	int encode_invalid; /* 0: an error, 1: written, 2: null */
	bool decode_invalid, keep_buffer;
};

struct redis_machine {
	struct budget budget; /* first: budget_of(L) is the machine */
	int globals_ref;      /* content behind the locked globals */
	int env_ref;          /* the locked globals */
	int load_globals_ref; /* what a library's chunk sees while it registers its functions */

	struct map by_body, by_sha; /* of struct redis_script */
	struct list scripts;
	struct map by_code; /* of struct redis_chunk */
	struct list chunks;
	struct redis_loading *workspace; /* one for all loads */

	/* the running call */
	struct script_redis *call;
	const char *name;              /* its SHA or the function's name, for messages */
	const char *chunk_name;        /* "@user_script" or "@user_function" */
	struct redis_loading *loading; /* while a library's chunk runs */
	unsigned db;
	int protocol; /* redis.setresp */
	bool read_only;
	int status; /* of the store or the transaction, when the budget's end is BUDGET_RAISED */
	struct prng random;
	struct json_settings json;
	struct buf bytes;   /* the reply of a command */
	struct arena arena; /* for one command */

	struct script_host *host;
	struct script_stats *stats; /* the host's */
};
static inline struct redis_machine *machine_of(lua_State *L)
{
	return (struct redis_machine *)budget_of(L);
}

/* ---- the door for the rest of the room ---- */

struct redis_machine *redis_machine_new(struct script_host *host);
void redis_machine_free(struct redis_machine *m);
/* Runs one of EVAL, EVALSHA, EVAL_RO, EVALSHA_RO, SCRIPT, FUNCTION, FCALL, FCALL_RO; as script_redis_run. */
int redis_machine_run(struct redis_machine *m, struct script_redis *call);

/* ---- lua_redis.c ---- */

/* What a call does inside Lua: everything that can raise. Returns 0 or ERR_DENIED when it wrote an error
 * reply itself. */
typedef int machine_body(struct redis_machine *m, void *job);
/* Runs body, which runs code of this script, within a budget, below lua_pcall. name and chunk_name are for
 * messages. Whatever it raises becomes the reply. 0, ERR_DENIED (also: the script is refused), or the status of
 * the store: as script_redis_run. */
int machine_protect(struct redis_machine *m, struct script_redis *call, const struct script_identity *script,
		    const char *name, const char *chunk_name, machine_body *body, void *job);
/* Inside a body: compiles source (of 5.1) and leaves the chunk, keeping it as *ref; LUA_NOREF before. False:
 * leaves the compiler's message. */
bool machine_compile(struct redis_machine *m, struct slice source, int *ref);
/* Inside a body: calls the chunk on top of the stack; leaves its first result. */
void machine_call_chunk(struct redis_machine *m);
/* Inside a body: pushes a table of texts; sets the value on top as a global of scripts. */
void machine_push_texts(lua_State *L, const struct slice *texts, size_t count);
void machine_set_global(struct redis_machine *m, const char *name);
/* What the globals are from now on: of scripts, or of a library's chunk. */
void machine_use_globals(struct redis_machine *m, bool loading);
/* The text of the error on top of the stack, with no place behind it: for what is caught inside a body. */
const char *machine_error_text(lua_State *L);

/* ---- lua_redis_eval.c, lua_redis_function.c ---- */

int eval_run(struct redis_machine *m, struct script_redis *call, bool by_sha, bool read_only);
int eval_script_command(struct redis_machine *m, struct script_redis *call);
void eval_forget_chunks(struct redis_machine *m); /* the state is gone */
void eval_free(struct redis_machine *m);
/* Reads EVAL's and FCALL's "numkeys": false and the error written. */
bool eval_key_count(struct script_redis *call, size_t *count);
int function_call(struct redis_machine *m, struct script_redis *call, bool read_only);
/* Runs the code of a library and stores it. 0 and the library's name in the arena; ERR_DENIED (the error is
 * written); store errors. */
int function_load(struct redis_machine *m, struct script_redis *call, struct slice code, bool replace,
		  struct slice *name);
void function_forget_chunks(struct redis_machine *m);
void function_free(struct redis_machine *m);
int function_command(struct redis_machine *m, struct script_redis *call);

/* ---- lua_redis_register.c ---- */

int function_register(lua_State *L);
bool function_name_is_good(struct slice name);
/* Without regard to case. b ends in a zero. */
bool function_same_name(struct slice a, struct slice b);

/* ---- lua_redis_library.c ---- */

extern const char *const function_flag_names[FUNCTION_FLAGS];
/* ERR_NOT_FOUND, ERR_CORRUPT, store errors. What is read is borrowed from the transaction, arrays from the
 * arena. */
int library_read(struct script_redis *call, struct slice name, struct redis_library *library);
/* The library that has this function, in any case of its letters. */
int library_of_function(struct script_redis *call, struct slice function, struct slice *library);
int library_write(struct script_redis *call, const struct redis_library *library);
int library_delete(struct script_redis *call, const struct redis_library *library);
/* Every library's name, in order, in the arena. */
int library_names(struct script_redis *call, struct slice **names, size_t *count);
int library_delete_all(struct script_redis *call);

/* ---- lua_redis_dump.c ---- */

int dump_write(struct script_redis *call);
int dump_restore(struct redis_machine *m, struct script_redis *call);

/* ---- lua_redis_api.c ---- */

/* Leaves the content of `redis` on the stack; with the little of it that a library's chunk sees for loading.
 */
void api_open(lua_State *L, bool loading);

/* ---- lua_redis_reply.c ---- */

/* Writes the value on top of the stack as the reply. Returns false when it was an error. */
bool reply_from_lua(lua_State *L, struct reply *reply);
/* Pushes what one whole reply of our own commands means. protocol as redis.setresp. Raises. */
void reply_to_lua(lua_State *L, struct slice *bytes);

/* ---- libraries: each leaves its table on the stack ---- */

void lua_cjson_open(lua_State *L);
void lua_cjson_reset(struct json_settings *settings);
void lua_cmsgpack_open(lua_State *L);
void lua_struct_open(lua_State *L);
void lua_bit_open(lua_State *L);

#endif /* SCRIPT_LUA_REDIS_H */

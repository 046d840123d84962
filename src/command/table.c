/* Every command of the surface, in the order of their names as bytes ('_' is
 * behind the letters), so that they are found by halving. The columns are what COMMAND INFO
 * of Redis 7.0.15 tells of them. */
#include "command/room.h"

#include <assert.h>

#define W COMMAND_WRITE
#define R COMMAND_READ
#define L COMMAND_LOCAL
#define S COMMAND_SCRIPT
#define NQ COMMAND_QUEUE_NOT
#define NS COMMAND_SCRIPT_NOT
#define SLOW COMMAND_SLOW
#define C COMMAND_CONTAINER

/* name, arity, flags, keys: first, last, step; group, redis_flags, run */
static const struct command commands[] = {
	{"APPEND", 3, W, 1, 1, 1, "string", "write denyoom fast", append_command},
	{"AUTH", -2, L | NS, 0, 0, 0, "connection", "noscript loading stale fast no_auth allow_busy", NULL},
	{"BITCOUNT", -2, R, 1, 1, 1, "bitmap", "readonly", bitcount_command},
	{"BITFIELD", -2, W, 1, 1, 1, "bitmap", "write denyoom", bitfield_command},
	{"BITFIELD_RO", -2, R, 1, 1, 1, "bitmap", "readonly fast", bitfield_ro_command},
	{"BITOP", -4, W, 2, -1, 1, "bitmap", "write denyoom", bitop_command},
	{"BITPOS", -3, R, 1, 1, 1, "bitmap", "readonly", bitpos_command},
	{"BUNDLE", -2, S | W | NS, 0, 0, 0, "tally", "noscript", NULL},
	{"CALL", -2, S | W | NS, 0, 0, 0, "tally", "noscript", NULL},
	{"CLIENT", -2, L | NS | C, 0, 0, 0, "connection", "", NULL},
	{"COMMAND", -1, L | C, 0, 0, 0, "server", "loading stale", NULL},
	{"CONFIG", -2, L | NS | C, 0, 0, 0, "server", "", NULL},
	{"COPY", -3, W, 1, 2, 1, "generic", "write denyoom", copy_command},
	{"DBSIZE", 1, R | SLOW, 0, 0, 0, "server", "readonly fast", dbsize_command},
	{"DEADLINE", -3, NS, 0, 0, 0, "tally", "noscript", NULL},
	{"DEBUG", -2, L | NS, 0, 0, 0, "server", "admin noscript loading stale", NULL},
	{"DECR", 2, W, 1, 1, 1, "string", "write denyoom fast", decr_command},
	{"DECRBY", 3, W, 1, 1, 1, "string", "write denyoom fast", decrby_command},
	{"DEL", -2, W, 1, -1, 1, "generic", "write", del_command},
	{"DISCARD", 1, L | NQ | NS, 0, 0, 0, "transactions", "noscript loading stale fast allow_busy", NULL},
	{"DRYRUN", -2, NS, 0, 0, 0, "tally", "noscript", NULL},
	{"ECHO", 2, L, 0, 0, 0, "connection", "loading stale fast", echo_command},
	{"EVAL", -3, S | W | NS, 0, 0, 0, "scripting",
         "noscript stale skip_monitor no_mandatory_keys movablekeys", NULL},
	{"EVALSHA", -3, S | W | NS, 0, 0, 0, "scripting",
         "noscript stale skip_monitor no_mandatory_keys movablekeys", NULL},
	{"EVALSHA_RO", -3, S | R | NS, 0, 0, 0, "scripting",
         "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", NULL},
	{"EVAL_RO", -3, S | R | NS, 0, 0, 0, "scripting",
         "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", NULL},
	{"EXEC", 1, L | NQ | NS, 0, 0, 0, "transactions", "noscript loading stale skip_slowlog", NULL},
	{"EXISTS", -2, R, 1, -1, 1, "generic", "readonly fast", exists_command},
	{"EXPIRE", -3, W, 1, 1, 1, "generic", "write fast", expire_command},
	{"EXPIREAT", -3, W, 1, 1, 1, "generic", "write fast", expireat_command},
	{"EXPIRETIME", 2, R, 1, 1, 1, "generic", "readonly fast", expiretime_command},
	{"EXPLAIN", -2, NS, 0, 0, 0, "tally", "noscript", NULL},
	{"FCALL", -3, S | W | NS, 0, 0, 0, "scripting",
         "noscript stale skip_monitor no_mandatory_keys movablekeys", NULL},
	{"FCALL_RO", -3, S | R | NS, 0, 0, 0, "scripting",
         "readonly noscript stale skip_monitor no_mandatory_keys movablekeys", NULL},
	{"FLUSHALL", -1, W, 0, 0, 0, "server", "write", flushall_command},
	{"FLUSHDB", -1, W, 0, 0, 0, "server", "write", flushdb_command},
	{"FUNCTION", -2, S | W | NS | C, 0, 0, 0, "scripting", "", NULL},
	{"GET", 2, R, 1, 1, 1, "string", "readonly fast", get_command},
	{"GETBIT", 3, R, 1, 1, 1, "bitmap", "readonly fast", getbit_command},
	{"GETDEL", 2, W, 1, 1, 1, "string", "write fast", getdel_command},
	{"GETEX", -2, W, 1, 1, 1, "string", "write fast", getex_command},
	{"GETRANGE", 4, R, 1, 1, 1, "string", "readonly", getrange_command},
	{"GETSET", 3, W, 1, 1, 1, "string", "write denyoom fast", getset_command},
	{"HELLO", -1, L | NS, 0, 0, 0, "connection", "noscript loading stale fast no_auth allow_busy", NULL},
	{"INCR", 2, W, 1, 1, 1, "string", "write denyoom fast", incr_command},
	{"INCRBY", 3, W, 1, 1, 1, "string", "write denyoom fast", incrby_command},
	{"INCRBYFLOAT", 3, W, 1, 1, 1, "string", "write denyoom fast", incrbyfloat_command},
	{"INFO", -1, L, 0, 0, 0, "server", "loading stale", NULL},
	{"KEYS", 2, R | SLOW, 0, 0, 0, "generic", "readonly", keys_command},
	{"LCS", -3, R, 1, 2, 1, "string", "readonly", lcs_command},
	{"MGET", -2, R, 1, -1, 1, "string", "readonly fast", mget_command},
	{"MOVE", 3, W, 1, 1, 1, "generic", "write fast", move_command},
	{"MSET", -3, W, 1, -1, 2, "string", "write denyoom", mset_command},
	{"MSETNX", -3, W, 1, -1, 2, "string", "write denyoom", msetnx_command},
	{"MULTI", 1, L | NQ | NS, 0, 0, 0, "transactions", "noscript loading stale fast allow_busy", NULL},
	{"OBJECT", -2, R | C, 2, 2, 1, "generic", "", object_command},
	{"ONCE", -3, NS, 0, 0, 0, "tally", "noscript", NULL},
	{"PERSIST", 2, W, 1, 1, 1, "generic", "write fast", persist_command},
	{"PEXPIRE", -3, W, 1, 1, 1, "generic", "write fast", pexpire_command},
	{"PEXPIREAT", -3, W, 1, 1, 1, "generic", "write fast", pexpireat_command},
	{"PEXPIRETIME", 2, R, 1, 1, 1, "generic", "readonly fast", pexpiretime_command},
	{"PING", -1, L, 0, 0, 0, "connection", "fast", ping_command},
	{"PSETEX", 4, W, 1, 1, 1, "string", "write denyoom", psetex_command},
	{"PTTL", 2, R, 1, 1, 1, "generic", "readonly fast", pttl_command},
	{"QUIT", -1, L | NQ | NS, 0, 0, 0, "connection", "noscript loading stale fast no_auth allow_busy", NULL},
	{"RANDOMKEY", 1, R, 0, 0, 0, "generic", "readonly", randomkey_command},
	{"RANGE", -3, R | SLOW, 0, 0, 0, "tally", "readonly", range_command},
	{"READONLY", 1, L, 0, 0, 0, "cluster", "loading stale fast", NULL},
	{"READWRITE", 1, L, 0, 0, 0, "cluster", "loading stale fast", NULL},
	{"RENAME", 3, W, 1, 2, 1, "generic", "write", rename_command},
	{"RENAMENX", 3, W, 1, 2, 1, "generic", "write fast", renamenx_command},
	{"RESET", 1, L | NQ | NS, 0, 0, 0, "connection", "noscript loading stale fast no_auth allow_busy", NULL},
	{"ROW", -3, S | R | NS, 0, 0, 0, "tally", "readonly noscript", NULL},
	{"ROWS", -2, S | R | NS | SLOW, 0, 0, 0, "tally", "readonly noscript", NULL},
	{"SCAN", -2, R | SLOW, 0, 0, 0, "generic", "readonly", scan_command},
	{"SCRIPT", -2, S | R | NS | C, 0, 0, 0, "scripting", "", NULL},
	{"SELECT", 2, L, 0, 0, 0, "connection", "loading stale fast", NULL},
	{"SET", -3, W, 1, 1, 1, "string", "write denyoom", set_command},
	{"SETBIT", 4, W, 1, 1, 1, "bitmap", "write denyoom", setbit_command},
	{"SETEX", 4, W, 1, 1, 1, "string", "write denyoom", setex_command},
	{"SETNX", 3, W, 1, 1, 1, "string", "write denyoom fast", setnx_command},
	{"SETRANGE", 4, W, 1, 1, 1, "string", "write denyoom", setrange_command},
	{"SETTLE", -2, NS, 0, 0, 0, "tally", "noscript", NULL},
	{"SLOWLOG", -2, L | NS | C, 0, 0, 0, "server", "", NULL},
	{"STRLEN", 2, R, 1, 1, 1, "string", "readonly fast", strlen_command},
	{"SUBSTR", 4, R, 1, 1, 1, "string", "readonly", getrange_command},
	{"SWAPDB", 3, W, 0, 0, 0, "server", "write fast", swapdb_command},
	{"TALLY", -2, L | NS, 0, 0, 0, "tally", "noscript", NULL},
	{"TIME", 1, L, 0, 0, 0, "server", "loading stale fast", time_command},
	{"TOUCH", -2, R, 1, -1, 1, "generic", "readonly fast", touch_command},
	{"TTL", 2, R, 1, 1, 1, "generic", "readonly fast", ttl_command},
	{"TYPE", 2, R, 1, 1, 1, "generic", "readonly fast", type_command},
	{"UNLINK", -2, W, 1, -1, 1, "generic", "write fast", unlink_command},
	{"UNWATCH", 1, L | NS, 0, 0, 0, "transactions", "noscript loading stale fast allow_busy", NULL},
	{"WAIT", 3, L | NS, 0, 0, 0, "generic", "noscript", NULL},
	{"WATCH", -2, L | NQ | NS, 1, -1, 1, "transactions", "noscript loading stale fast allow_busy", NULL},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))
#define NAME_MAX_BYTES 16

const struct command *command_table(size_t *count)
{
	*count = COMMAND_COUNT;
	return commands;
}

const struct command *command_find(struct slice name)
{
	char upper[NAME_MAX_BYTES];
	size_t low = 0, high = COMMAND_COUNT;

	if (name.len >= sizeof(upper)) {
		return NULL;
	}
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		upper[i] = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
	}
	upper[name.len] = '\0';
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(upper, commands[middle].name);
		if (order == 0) {
			return strlen(upper) == name.len ? &commands[middle] : NULL;
		}
		if (order < 0) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return NULL;
}

/* ---- errors ---- */

#define ERROR_ARGS_MAX 128

/* As printf's %.*s sees a slice: up to a NUL. */
static int shown(struct slice s, size_t max)
{
	const uint8_t *nul = s.len == 0 ? NULL : memchr(s.data, '\0', s.len);
	size_t len = nul == NULL ? s.len : (size_t)(nul - s.data);
	return (int)(len < max ? len : max);
}

static void reply_unknown(const struct slice *argv, size_t argc, struct reply *reply)
{
	char args[2 * ERROR_ARGS_MAX];
	size_t used = 0;

	args[0] = '\0';
	for (size_t i = 1; i < argc && used < ERROR_ARGS_MAX; i++) {
		int len = shown(argv[i], ERROR_ARGS_MAX - used);
		args[used++] = '\'';
		memcpy(args + used, argv[i].data == NULL ? (const uint8_t *)"" : argv[i].data, (size_t)len);
		used += (size_t)len;
		args[used++] = '\'';
		args[used++] = ' ';
		assert(used < sizeof(args));
	}
	args[used] = '\0';
	reply_error(reply, "ERR unknown command '%.*s', with args beginning with: %s",
	            shown(argv[0], ERROR_ARGS_MAX), (const char *)argv[0].data, args);
}

static bool arity_fits(int arity, size_t argc)
{
	return arity >= 0 ? argc == (size_t)arity : argc >= (size_t)-arity;
}

static void lower(char *out, const char *name)
{
	while (*name != '\0') {
		char c = *name++;
		*out++ = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	*out = '\0';
}

static bool subcommand_check(const struct command *command, const struct slice *argv, size_t argc,
                             struct reply *reply)
{
	const struct subcommand *sub = subcommand_find(command, argv[1]);
	char container[NAME_MAX_BYTES], name[NAME_MAX_BYTES * 2];

	if (sub == NULL) {
		reply_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown(argv[1], ERROR_ARGS_MAX),
		            (const char *)argv[1].data, command->name);
		return false;
	}
	if (!arity_fits(sub->arity, argc)) {
		lower(container, sub->container);
		lower(name, sub->name);
		reply_error(reply, "ERR wrong number of arguments for '%s|%s' command", container, name);
		return false;
	}
	return true;
}

bool command_check(const struct command *command, const struct slice *argv, size_t argc, struct reply *reply)
{
	char name[NAME_MAX_BYTES];

	assert(argc > 0);
	if (command == NULL) {
		reply_unknown(argv, argc, reply);
		return false;
	}
	if (argc >= 2 && (command->flags & COMMAND_CONTAINER)) {
		return subcommand_check(command, argv, argc, reply);
	}
	if (!arity_fits(command->arity, argc)) {
		lower(name, command->name);
		if (strcmp(command->name, "EXEC") == 0) { /* it discards the transaction */
			reply_error(reply, "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
			                   "command");
		} else {
			reply_wrong_arity(reply, name);
		}
		return false;
	}
	return true;
}

int command_run(struct command_call *call)
{
	assert(call->command->run != NULL);
	assert(arity_fits(call->command->arity, call->argc));
	return call->command->run(call);
}

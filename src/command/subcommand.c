/* The subcommands of containers, for the checks before a command runs; and the commands that need nothing: PING, ECHO, TIME. */
#include "command/room.h"

#define ADMIN "admin noscript loading stale"
#define QUIET "noscript loading stale"
#define CLUSTER "admin stale no_async_loading"

/* In the order of their containers, as Redis 7.0.15 has them: another word is an unknown subcommand. */
static const struct subcommand subcommands[] = {
	{"ACL", "CAT", -2, QUIET},
	{"ACL", "GETUSER", 3, ADMIN},
	{"ACL", "HELP", 2, "loading stale"},
	{"ACL", "LIST", 2, ADMIN},
	{"ACL", "USERS", 2, ADMIN},
	{"ACL", "WHOAMI", 2, QUIET},
	{"CLIENT", "CACHING", 3, QUIET},
	{"CLIENT", "GETNAME", 2, QUIET},
	{"CLIENT", "GETREDIR", 2, QUIET},
	{"CLIENT", "HELP", 2, "loading stale"},
	{"CLIENT", "ID", 2, QUIET},
	{"CLIENT", "INFO", 2, QUIET},
	{"CLIENT", "KILL", -3, ADMIN},
	{"CLIENT", "LIST", -2, ADMIN},
	{"CLIENT", "NO-EVICT", 3, ADMIN},
	{"CLIENT", "PAUSE", -3, ADMIN},
	{"CLIENT", "REPLY", 3, QUIET},
	{"CLIENT", "SETNAME", 3, QUIET},
	{"CLIENT", "TRACKING", -3, QUIET},
	{"CLIENT", "TRACKINGINFO", 2, QUIET},
	{"CLIENT", "UNBLOCK", -3, ADMIN},
	{"CLIENT", "UNPAUSE", 2, ADMIN},
	{"CLUSTER", "ADDSLOTS", -3, CLUSTER},
	{"CLUSTER", "ADDSLOTSRANGE", -4, CLUSTER},
	{"CLUSTER", "BUMPEPOCH", 2, CLUSTER},
	{"CLUSTER", "COUNT-FAILURE-REPORTS", 3, "admin stale"},
	{"CLUSTER", "COUNTKEYSINSLOT", 3, "stale"},
	{"CLUSTER", "DELSLOTS", -3, CLUSTER},
	{"CLUSTER", "DELSLOTSRANGE", -4, CLUSTER},
	{"CLUSTER", "FAILOVER", -2, CLUSTER},
	{"CLUSTER", "FLUSHSLOTS", 2, CLUSTER},
	{"CLUSTER", "FORGET", 3, CLUSTER},
	{"CLUSTER", "GETKEYSINSLOT", 4, "stale"},
	{"CLUSTER", "HELP", 2, "loading stale"},
	{"CLUSTER", "INFO", 2, "stale"},
	{"CLUSTER", "KEYSLOT", 3, "stale"},
	{"CLUSTER", "LINKS", 2, "stale"},
	{"CLUSTER", "MEET", -4, CLUSTER},
	{"CLUSTER", "MYID", 2, "stale"},
	{"CLUSTER", "NODES", 2, "stale"},
	{"CLUSTER", "REPLICAS", 3, "admin stale"},
	{"CLUSTER", "REPLICATE", 3, CLUSTER},
	{"CLUSTER", "RESET", -2, "admin noscript stale"},
	{"CLUSTER", "SAVECONFIG", 2, CLUSTER},
	{"CLUSTER", "SET-CONFIG-EPOCH", 3, CLUSTER},
	{"CLUSTER", "SETSLOT", -4, CLUSTER},
	{"CLUSTER", "SHARDS", 2, "stale"},
	{"CLUSTER", "SLAVES", 3, "admin stale"},
	{"CLUSTER", "SLOTS", 2, "stale"},
	{"COMMAND", "COUNT", 2, "loading stale"},
	{"COMMAND", "DOCS", -2, "loading stale"},
	{"COMMAND", "GETKEYS", -4, "loading stale"},
	{"COMMAND", "GETKEYSANDFLAGS", -4, "loading stale"},
	{"COMMAND", "HELP", 2, "loading stale"},
	{"COMMAND", "INFO", -2, "loading stale"},
	{"COMMAND", "LIST", -2, "loading stale"},
	{"CONFIG", "GET", -3, ADMIN},
	{"CONFIG", "HELP", 2, "loading stale"},
	{"CONFIG", "RESETSTAT", 2, ADMIN},
	{"CONFIG", "REWRITE", 2, ADMIN},
	{"CONFIG", "SET", -4, ADMIN},
	{"FUNCTION", "DELETE", 3, "write noscript"},
	{"FUNCTION", "DUMP", 2, "noscript"},
	{"FUNCTION", "FLUSH", -2, "write noscript"},
	{"FUNCTION", "HELP", 2, "loading stale"},
	{"FUNCTION", "KILL", 2, "noscript allow_busy"},
	{"FUNCTION", "LIST", -2, "noscript"},
	{"FUNCTION", "LOAD", -3, "write denyoom noscript"},
	{"FUNCTION", "RESTORE", -3, "write denyoom noscript"},
	{"FUNCTION", "STATS", 2, "noscript allow_busy"},
	{"LATENCY", "DOCTOR", 2, ADMIN},
	{"LATENCY", "GRAPH", 3, ADMIN},
	{"LATENCY", "HELP", 2, "loading stale"},
	{"LATENCY", "HISTOGRAM", -2, ADMIN},
	{"LATENCY", "HISTORY", 3, ADMIN},
	{"LATENCY", "LATEST", 2, ADMIN},
	{"LATENCY", "RESET", -2, ADMIN},
	{"MEMORY", "DOCTOR", 2, ""},
	{"MEMORY", "HELP", 2, "loading stale"},
	{"MEMORY", "MALLOC-STATS", 2, ""},
	{"MEMORY", "PURGE", 2, ""},
	{"MEMORY", "STATS", 2, ""},
	{"MEMORY", "USAGE", -3, "readonly"},
	{"MODULE", "HELP", 2, "loading stale"},
	{"MODULE", "LIST", 2, "admin noscript"},
	{"OBJECT", "ENCODING", 3, "readonly"},
	{"OBJECT", "FREQ", 3, "readonly"},
	{"OBJECT", "HELP", 2, "loading stale"},
	{"OBJECT", "IDLETIME", 3, "readonly"},
	{"OBJECT", "REFCOUNT", 3, "readonly"},
	{"SCRIPT", "DEBUG", 3, "noscript"},
	{"SCRIPT", "EXISTS", -3, "noscript"},
	{"SCRIPT", "FLUSH", -2, "noscript"},
	{"SCRIPT", "HELP", 2, "loading stale"},
	{"SCRIPT", "KILL", 2, "noscript allow_busy"},
	{"SCRIPT", "LOAD", 3, "noscript stale"},
	{"SLOWLOG", "GET", -2, "admin loading stale"},
	{"SLOWLOG", "HELP", 2, "loading stale"},
	{"SLOWLOG", "LEN", 2, "admin loading stale"},
	{"SLOWLOG", "RESET", 2, "admin loading stale"},
};

#define SUBCOMMAND_COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

const struct subcommand *subcommand_find(const struct command *container, struct slice name)
{
	for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
		if (strcmp(subcommands[i].container, container->name) == 0 && slice_is_word(name, subcommands[i].name)) {
			return &subcommands[i];
		}
	}
	return NULL;
}

const struct subcommand *subcommand_at(const struct command *container, size_t at)
{
	for (size_t i = 0; i < SUBCOMMAND_COUNT; i++) {
		if (strcmp(subcommands[i].container, container->name) == 0 && at-- == 0) {
			return &subcommands[i];
		}
	}
	return NULL;
}

int ping_command(struct command_call *call)
{
	if (call->argc > 2) {
		reply_wrong_arity(call->reply, "ping");
	} else if (call->argc == 2) {
		reply_bulk(call->reply, call->argv[1]);
	} else {
		reply_simple(call->reply, "PONG");
	}
	return 0;
}

int echo_command(struct command_call *call)
{
	reply_bulk(call->reply, call->argv[1]);
	return 0;
}

int time_command(struct command_call *call)
{
	char text[NUMBER_TEXT_MAX];
	uint64_t now_ms = txn_now_ms(call->txn);

	reply_array(call->reply, 2);
	reply_bulk(call->reply, number_text((int64_t)(now_ms / 1000), text));
	reply_bulk(call->reply, number_text((int64_t)(now_ms % 1000) * 1000, text));
	return 0;
}

/* The Redis commands over a transaction: strings, keys, counters, expiry, scan.
 * Behaviour, reply types and error texts are those of Redis 7.0.
 *
 * A command reads and writes through the txn only, is all-or-nothing by itself
 * (it checks before it writes), has no clock (txn_now_ms) and no connection.
 * redis.call in scripts, EXEC and plain requests come through the same door. */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H

#include "base/limits.h"
#include "base/slice.h"
#include "txn/txn.h"
#include "wire/reply.h"

enum command_flags {
	COMMAND_WRITE = 1,      /* may write: needs the leader's open batch */
	COMMAND_READ = 2,       /* data is read: needs a read proof */
	COMMAND_LOCAL = 4,      /* answered by the connection's node (PING, CLIENT, …): run by server */
	COMMAND_QUEUE_NOT = 8,  /* not queued by MULTI (EXEC, DISCARD, WATCH, …) */
	COMMAND_SCRIPT_NOT = 16, /* refused inside scripts */
	COMMAND_SLOW = 32,      /* walks many keys */
	COMMAND_SCRIPT = 64,    /* EVAL, FCALL, CALL: run by engine through script */
	COMMAND_CONTAINER = 128, /* its first argument is a subcommand: OBJECT, CLIENT, … */
	COMMAND_SURVEY = 256    /* alone it walks off the loop (survey.h); in a queue or a script it runs, bounded */
};

struct command_call;
struct command {
	const char *name;  /* upper case; "CONFIG" for all its subcommands */
	int arity;         /* as Redis: exact with the name, or -minimum */
	unsigned flags;
	int first_key, last_key, key_step; /* as COMMAND INFO tells */
	const char *group; /* "string", "generic", "connection", … */
	const char *redis_flags; /* space separated, for COMMAND: "write denyoom" */
	/* NULL for SCRIPT and for most LOCAL commands: their rooms run them. PING, ECHO and TIME are LOCAL and have a
	 * body for EXEC and scripts (only TIME uses txn). ONCE, DEADLINE, SETTLE, DRYRUN and EXPLAIN are envelope words: in the
	 * table for COMMAND, never run. Writes exactly one
	 * reply. 0, or ERR_IO/ERR_CORRUPT (store), ERR_FULL/ERR_TOO_LARGE (transaction bound): then the reply is
	 * to be thrown away and the request fails whole. */
	int (*run)(struct command_call *call);
};

struct command_call {
	const struct command *command;
	struct txn *txn;
	struct arena *arena;
	const struct slice *argv; /* argv[0] is the name */
	size_t argc;
	unsigned db;              /* 0–15, SELECT */
	struct reply *reply;
	uint64_t random;          /* a random number the engine drew for this call (RANDOMKEY) */
};

/* Looks a name up, any case; NULL when unknown. O(1). */
const struct command *command_find(struct slice name);
/* All of them, for COMMAND; in alphabetical order. */
const struct command *command_table(size_t *count);
/* Whether so many words, names included, are what an arity of the table says. */
static inline bool arity_fits(int arity, size_t argc)
{
	return arity >= 0 ? argc == (size_t)arity : argc >= (size_t)-arity;
}
/* Writes the error Redis gives for an unknown command or a wrong number of arguments; false when argv is fine. */
bool command_check(const struct command *command, const struct slice *argv, size_t argc, struct reply *reply);
/* What COMMAND INFO tells of it: an array of ten. */
void command_describe(const struct command *command, struct reply *reply);
/* Is it in this category of ACLs ("read", without the @)? */
bool command_in_category(const struct command *command, struct slice category);
/* The at-th of all categories in Redis' order, NULL behind the last. */
const char *command_category(size_t at);
/* What it does to the key at argv[at], as COMMAND GETKEYSANDFLAGS tells: "RW access update". */
const char *command_key_flags(const struct command *command, const struct slice *argv, size_t argc, size_t at);
/* Runs it in call->txn. */
int command_run(struct command_call *call);

/* WATCH: the version of a key now, (index << 20 | ordinal) of its last write, 0 when it is
 * absent or expired. */
int command_key_version(struct txn *txn, unsigned db, struct slice key, uint64_t *version);

/* EXPLAIN: whose key a row of TABLE_KV is. False when it is no database's (any more). */
bool command_row_name(struct txn *txn, struct slice row_key, unsigned *db, struct slice *key);

/* Where expiry goes on: nothing before it in the index ('x') is due any more. Zero when a term begins. */
struct command_expiry {
	size_t len;
	uint8_t key[LIMIT_ROW_KEY];
};
/* Expiry by replicated batches: deletes at most max expired keys in txn, tells how many and whether more are due.
 * The place is behind them, which is true only with the transaction; or, when none was due, behind txn's time. */
int command_expire_due(struct txn *txn, struct command_expiry *place, size_t max, size_t *deleted, bool *more);
/* None was due: whoever leads next begins there. */
int command_expire_note(struct txn *txn, const struct command_expiry *place);
/* It is such a place; *at_ms is its time. */
bool command_expiry_is_time(const struct command_expiry *place, uint64_t *at_ms);
/* Background removal of keys of flushed generations, at most max in txn. */
int command_sweep(struct txn *txn, size_t max, size_t *deleted, bool *more);

/* Glob as Redis': * ? [a-z] [^a] and \ as escape. For FUNCTION LIST, too. */
bool glob_match(struct slice pattern, struct slice text);

#endif /* COMMAND_COMMAND_H */

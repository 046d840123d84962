/* The commands that the connection's node answers itself, without the shard:
 * PING, HELLO, CLIENT, COMMAND, CONFIG, INFO, SLOWLOG, TALLY and their like.
 *
 * command/ knows their names and arity, this table who runs them. A handler writes
 * exactly one reply and is done, unless it is marked LOCAL_LATER. */
#ifndef SERVER_LOCAL_H
#define SERVER_LOCAL_H

#include "command/command.h"
#include "server/conn.h"

enum local_flags {
	LOCAL_LATER = 1,  /* takes a call and answers later; not inside MULTI */
	LOCAL_ALWAYS = 2, /* run at once also inside MULTI, as Redis does */
	LOCAL_SPEAKS = 4  /* decides itself whether it answers (CLIENT REPLY) */
};

struct local_call {
	struct conn *conn;
	const struct slice *argv; /* the whole command */
	size_t argc;
	struct reply *reply; /* LOCAL_LATER: NULL */
	struct call *call;   /* LOCAL_LATER: the answer goes here; else NULL */
};

struct local {
	const char *name; /* upper case, as in command/ */
	const char *sub;  /* upper case; NULL: no subcommands, or the name alone */
	int arity;        /* of the subcommand, as Redis; 0: the command's own was checked */
	unsigned flags;
	void (*run)(struct local_call *call);
};

/* The entry for a LOCAL command of the right arity; NULL after the error was written. */
const struct local *local_find(const struct command *command, const struct slice *argv, size_t argc,
			       struct reply *reply);

/* Runs one that answers at once. A reply over LIMIT_REPLY, or what its buffer takes yet, becomes TOO_LARGE, and that is
 * false. */
bool local_run(const struct local *local, struct local_call *call);

/* Decimal int64 as Redis reads it, or its error. */
bool local_integer(struct slice word, int64_t *value, struct reply *reply);
/* HELP: an array of simple strings, the last two lines are HELP's own. */
void local_help(struct reply *reply, const char *name, const char *const *lines, size_t count);
/* Whether patterns are short enough to be tried on all names there are, or the error. */
bool local_patterns(const struct slice *patterns, size_t count, struct reply *reply);
/* Whether text fits a glob pattern, without regard to case. */
bool local_glob(struct slice pattern, struct slice text);

#endif /* SERVER_LOCAL_H */

/* Inside the room: what the files of commands share. Each command is one
 * function `<name>_command`, named in table.c and declared here. */
#ifndef COMMAND_ROOM_H
#define COMMAND_ROOM_H

#include "command/command.h"
#include "command/row.h"

#define COMMAND_DATABASES 16
/* Keys that one KEYS, DBSIZE or RANDOMKEY walks on the loop; beyond: TOO_LARGE. */
#define COMMAND_WALK_MAX 100000
/* Bytes of keys and values in one answer of KEYS, SCAN or RANGE. */
#define COMMAND_ANSWER_MAX MIB(4)

/* Bytes that BITOP goes through: its sources, each as long as the longest. */
#define COMMAND_BITOP_MAX MIB(64)
/* Bytes of a value that a command goes through in one step (txn_spend). */
#define COMMAND_STEP_BYTES 16

/* ---- replies that many commands give ---- */

static inline void reply_ok(struct reply *r)
{
	reply_simple(r, "OK");
}
void reply_syntax_error(struct reply *r);
void reply_not_integer(struct reply *r);
void reply_wrong_type(struct reply *r);
void reply_too_long(struct reply *r); /* a string over its bound */
void reply_wrong_arity(struct reply *r, const char *name);
void reply_expire_invalid(struct command_call *call);

/* ---- arguments ---- */

/* False when the argument is no integer; then the error is written. */
bool argument_integer(struct command_call *call, size_t at, int64_t *value);
/* As SELECT, COPY and MOVE read a database: false and the error written. */
bool argument_db(struct command_call *call, size_t at, unsigned *db);
static inline bool argument_is(const struct command_call *call, size_t at, const char *word)
{
	return slice_is_word(call->argv[at], word);
}
/* Milliseconds since the epoch of a time argument. relative: from now on. False and the error
 * of "invalid expire time" is written when it is not positive or does not fit. */
bool argument_expire(struct command_call *call, size_t at, bool seconds, bool relative, uint64_t *at_ms);

/* The name in lower case, as error texts say it; NUL-terminated, in the call's arena. */
const char *command_lower_name(struct command_call *call);

/* ---- strings (string.c) ---- */

/* Finds the key in argv[at] and checks its type. ERR_TYPE: the error is written. */
int string_find(struct command_call *call, size_t at, struct row *row);
/* The value, or null when the row was not found. */
void reply_value(struct reply *r, const struct row *row);
/* What a command returns when string_find did: an error that is written is an answer. */
static inline int string_answered(int rc)
{
	return rc == ERR_TYPE ? 0 : rc;
}

/* ---- numbers ---- */

#define NUMBER_TEXT_MAX 24
/* Decimal digits of value in text; a slice of it. */
struct slice number_text(int64_t value, char text[NUMBER_TEXT_MAX]);

/* ---- patterns ---- */

/* What every match begins with: the pattern up to its first special byte, unescaped, in
 * the arena. */
struct slice pattern_prefix(struct slice pattern, struct arena *arena);
/* Matching so many keys with it takes about as long as matching `rows` with a short one. At least 1. */
size_t pattern_rows(struct slice pattern, size_t rows);

/* ---- subcommands (subcommand.c) ---- */

struct subcommand {
	const char *container, *name; /* upper case */
	int arity;
	const char *redis_flags;
};
/* NULL when container has none of this name. */
const struct subcommand *subcommand_find(const struct command *container, struct slice name);
/* The at-th of a container, or NULL. */
const struct subcommand *subcommand_at(const struct command *container, size_t at);

/* ---- every command ---- */

#define COMMAND_BODIES(X)                                                                                    \
	X(append) X(bitcount) X(bitfield) X(bitfield_ro) X(bitop) X(bitpos) X(copy) X(dbsize)     \
	X(decr) X(decrby) X(del) X(echo) X(exists) X(expire) X(expireat) X(expiretime) X(flushall)           \
	X(flushdb) X(get) X(getbit) X(getdel) X(getex) X(getrange) X(getset) X(incr) X(incrby)               \
	X(incrbyfloat) X(keys) X(lcs) X(memory) X(mget) X(move) X(mset) X(msetnx) X(object) X(persist) X(pexpire)      \
	X(pexpireat) X(pexpiretime) X(ping) X(psetex) X(pttl) X(randomkey) X(range) X(rename) X(renamenx)    \
	X(scan) X(set) X(setbit) X(setex) X(setnx) X(setrange) X(strlen) X(swapdb) X(time) X(touch) X(ttl)   \
	X(type) X(unlink)
#define X(name) int name##_command(struct command_call *call);
COMMAND_BODIES(X)
#undef X

#endif /* COMMAND_ROOM_H */

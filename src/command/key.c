/* Keys as such, whatever they hold. */
#include "command/room.h"

#include "base/err.h"

int command_key_version(struct txn *txn, unsigned db, struct slice key, uint64_t *version)
{
	struct row row;
	int rc = row_find(&row, txn, NULL, db, key);

	if (rc == 0) {
		*version = row.version;
	}
	return rc;
}

/* ---- counting ---- */

/* Every key of the arguments that is there; what to do with it. */
static int for_each_found(struct command_call *call, int (*act)(struct row *row))
{
	int64_t count = 0;

	for (size_t i = 1; i < call->argc; i++) {
		struct row row;
		int rc = row_find(&row, call->txn, call->arena, call->db, call->argv[i]);
		if (rc != 0) {
			return rc;
		}
		if (!row.found) {
			continue;
		}
		count++;
		rc = act == NULL ? 0 : act(&row);
		if (rc != 0) {
			return rc;
		}
	}
	reply_integer(call->reply, count);
	return 0;
}

int del_command(struct command_call *call)
{
	return for_each_found(call, row_delete);
}

int unlink_command(struct command_call *call)
{
	return for_each_found(call, row_delete);
}

int exists_command(struct command_call *call)
{
	return for_each_found(call, NULL);
}

int touch_command(struct command_call *call)
{
	return for_each_found(call, NULL);
}

int type_command(struct command_call *call)
{
	struct row row;
	int rc = row_find(&row, call->txn, call->arena, call->db, call->argv[1]);

	if (rc == 0) {
		reply_simple(call->reply, row.found ? "string" : "none");
	}
	return rc;
}

/* ---- under another name ---- */

/* Writes what from holds under to, with its expiry. */
static int carry(const struct row *from, struct row *to)
{
	return row_put(to, from->bytes, from->flags, from->expire_at_ms);
}

static int rename_key(struct command_call *call, bool only_new, const char *done)
{
	bool same = slice_equal(call->argv[1], call->argv[2]);
	struct row from, to;
	int rc = row_find(&from, call->txn, call->arena, call->db, call->argv[1]);

	if (rc != 0) {
		return rc;
	}
	if (!from.found) {
		reply_error(call->reply, "ERR no such key");
		return 0;
	}
	rc = same ? 0 : row_find(&to, call->txn, call->arena, call->db, call->argv[2]);
	if (rc != 0) {
		return rc;
	}
	if (only_new && (same || to.found)) {
		reply_integer(call->reply, 0);
		return 0;
	}
	if (done != NULL) {
		reply_simple(call->reply, done);
	} else {
		reply_integer(call->reply, 1);
	}
	if (same) {
		return 0;
	}
	rc = carry(&from, &to);
	return rc != 0 ? rc : row_delete(&from);
}

int rename_command(struct command_call *call)
{
	return rename_key(call, false, "OK");
}

int renamenx_command(struct command_call *call)
{
	return rename_key(call, true, NULL);
}

static int copy_to(struct command_call *call, struct slice key, unsigned db, bool replace, bool move)
{
	struct row from, to;
	int rc = row_find(&from, call->txn, call->arena, call->db, call->argv[1]);

	if (rc == 0) {
		rc = row_find(&to, call->txn, call->arena, db, key);
	}
	if (rc != 0) {
		return rc;
	}
	if (!from.found || (to.found && !replace)) {
		reply_integer(call->reply, 0);
		return 0;
	}
	reply_integer(call->reply, 1);
	rc = carry(&from, &to);
	return rc != 0 || !move ? rc : row_delete(&from);
}

static void reply_same_object(struct reply *r)
{
	reply_error(r, "ERR source and destination objects are the same");
}

int copy_command(struct command_call *call)
{
	unsigned db = call->db;
	bool replace = false;

	for (size_t at = 3; at < call->argc; at++) {
		if (argument_is(call, at, "REPLACE")) {
			replace = true;
		} else if (argument_is(call, at, "DB") && at + 1 < call->argc) {
			if (!argument_db(call, ++at, &db)) {
				return 0;
			}
		} else {
			reply_syntax_error(call->reply);
			return 0;
		}
	}
	if (db == call->db && slice_equal(call->argv[1], call->argv[2])) {
		reply_same_object(call->reply);
		return 0;
	}
	return copy_to(call, call->argv[2], db, replace, false);
}

int move_command(struct command_call *call)
{
	unsigned db;

	if (!argument_db(call, 2, &db)) {
		return 0;
	}
	if (db == call->db) {
		reply_same_object(call->reply);
		return 0;
	}
	return copy_to(call, call->argv[1], db, false, true);
}

/* ---- HELP, of OBJECT and MEMORY ---- */

static void tell_lines(struct reply *r, const char *const *lines, size_t count)
{
	reply_array(r, count);
	for (size_t i = 0; i < count; i++) {
		reply_simple(r, lines[i]);
	}
}

/* ---- OBJECT ---- */

/* The longest string that Redis keeps in one piece with its object. */
#define EMBEDDED_MAX 44
/* Small integers are shared objects in Redis, and counted as this many. */
#define SHARED_INTEGERS 10000
#define SHARED_REFCOUNT INT32_MAX

static bool holds_integer(const struct row *row, int64_t *value)
{
	return !(row->flags & (ROW_RAW | ROW_PLAIN)) && row->bytes.len <= 20 && slice_to_int64(row->bytes, value);
}

static void tell_encoding(struct command_call *call, const struct row *row)
{
	int64_t value;

	if (holds_integer(row, &value)) {
		reply_bulk_text(call->reply, "int");
	} else if (row->flags & ROW_RAW || row->bytes.len > EMBEDDED_MAX) {
		reply_bulk_text(call->reply, "raw");
	} else {
		reply_bulk_text(call->reply, "embstr");
	}
}

static void tell_refcount(struct command_call *call, const struct row *row)
{
	int64_t value;
	bool shared = holds_integer(row, &value) && value >= 0 && value < SHARED_INTEGERS;

	reply_integer(call->reply, shared ? SHARED_REFCOUNT : 1);
}

static void tell_object_help(struct reply *r)
{
	static const char *const lines[] = {
		"OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"ENCODING <key>",
		"    Return the kind of internal representation used in order to store the value",
		"    associated with a <key>.",
		"FREQ <key>",
		"    Return the access frequency index of the <key>. The returned integer is",
		"    proportional to the logarithm of the recent access frequency of the key.",
		"IDLETIME <key>",
		"    Return the idle time of the <key>, that is the approximated number of",
		"    seconds elapsed since the last access to the key.",
		"REFCOUNT <key>",
		"    Return the number of references of the value associated with the specified",
		"    <key>.",
		"HELP",
		"    Prints this help.",
	};

	tell_lines(r, lines, sizeof(lines) / sizeof(lines[0]));
}

int object_command(struct command_call *call)
{
	struct row row;
	int rc;

	if (argument_is(call, 1, "HELP")) {
		tell_object_help(call->reply);
		return 0;
	}
	rc = row_find(&row, call->txn, call->arena, call->db, call->argv[2]);
	if (rc != 0) {
		return rc;
	}
	if (!row.found) {
		reply_null(call->reply);
	} else if (argument_is(call, 1, "ENCODING")) {
		tell_encoding(call, &row);
	} else if (argument_is(call, 1, "REFCOUNT")) {
		tell_refcount(call, &row);
	} else if (argument_is(call, 1, "IDLETIME")) {
		reply_integer(call->reply, 0); /* nobody writes down when a key was read */
	} else {
		reply_error(call->reply,
		            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
		            "that when switching between policies at runtime LRU and LFU data will take some time to "
		            "adjust.");
	}
	return 0;
}

/* ---- MEMORY ---- */

/* SAMPLES says how many members of a list or hash to weigh; a string is weighed whole. */
static bool samples_make_sense(struct command_call *call)
{
	for (size_t i = 3; i < call->argc; i += 2) {
		int64_t samples;
		if (!argument_is(call, i, "SAMPLES") || i + 1 == call->argc) {
			reply_syntax_error(call->reply);
			return false;
		}
		if (!argument_integer(call, i + 1, &samples)) {
			return false;
		}
		if (samples < 0) {
			reply_syntax_error(call->reply);
			return false;
		}
	}
	return true;
}

static void tell_memory_help(struct reply *r)
{
	static const char *const lines[] = {
		"MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"DOCTOR",
		"    Tell where to look: INFO memory.",
		"MALLOC-STATS",
		"    Nothing of this allocator.",
		"PURGE",
		"    Nothing is done: memory that is free goes back by itself.",
		"STATS",
		"    Return the numbers of INFO memory.",
		"USAGE <key> [SAMPLES <count>]",
		"    Return the bytes that <key> and its value take in the database, before",
		"    compression. What memory holds is in INFO memory.",
		"HELP",
		"    Prints this help.",
	};

	tell_lines(r, lines, sizeof(lines) / sizeof(lines[0]));
}

int memory_command(struct command_call *call)
{
	struct row row;
	int rc;

	if (argument_is(call, 1, "HELP")) {
		tell_memory_help(call->reply);
		return 0;
	}
	if (!argument_is(call, 1, "USAGE")) {
		reply_error(call->reply, "ERR this subcommand of MEMORY tells of a node, not of the data: ask a node");
		return 0;
	}
	if (!samples_make_sense(call)) {
		return 0;
	}
	rc = row_find(&row, call->txn, call->arena, call->db, call->argv[2]);
	if (rc != 0) {
		return rc;
	}
	if (row.found) {
		reply_integer(call->reply, (int64_t)row_bytes(&row));
	} else {
		reply_null(call->reply);
	}
	return 0;
}

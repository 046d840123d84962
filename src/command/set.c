/* A whole value written or taken: SET and its older sisters, GETSET, GETDEL, GETEX. */
#include "command/room.h"

#include "base/err.h"

enum set_option { SET_NX = 1, SET_XX = 2, SET_GET = 4, SET_KEEPTTL = 8, SET_PERSIST = 16, SET_TIME = 32 };

struct set_options {
	unsigned set;
	size_t time_at;         /* index of the time argument */
	bool seconds, relative; /* EX, EXAT count seconds; EX, PX count from now */
	const char *unit;       /* the word; another one is a syntax error */
	uint64_t expire_at_ms;
};

static const struct {
	const char *word;
	bool seconds, relative;
} units[] = {{"EX", true, true}, {"PX", false, true}, {"EXAT", true, false}, {"PXAT", false, false}};

/* EX, PX, EXAT or PXAT with its time: true when the words at `at` are that and fit what was said before. */
static bool time_option(const struct command_call *call, size_t at, struct set_options *options)
{
	if (at + 1 >= call->argc || (options->set & (SET_KEEPTTL | SET_PERSIST))) {
		return false;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!argument_is(call, at, units[i].word)) {
			continue;
		}
		if ((options->set & SET_TIME) && options->unit != units[i].word) {
			return false;
		}
		options->set |= SET_TIME;
		options->time_at = at + 1;
		options->seconds = units[i].seconds;
		options->relative = units[i].relative;
		options->unit = units[i].word;
		return true;
	}
	return false;
}

/* The one-word options of SET; 0 when the word is none or contradicts what was said. */
static unsigned set_option(const struct command_call *call, size_t at, unsigned set)
{
	if (argument_is(call, at, "NX") && !(set & SET_XX)) {
		return SET_NX;
	}
	if (argument_is(call, at, "XX") && !(set & SET_NX)) {
		return SET_XX;
	}
	if (argument_is(call, at, "GET")) {
		return SET_GET;
	}
	if (argument_is(call, at, "KEEPTTL") && !(set & SET_TIME)) {
		return SET_KEEPTTL;
	}
	return 0;
}

static unsigned getex_option(const struct command_call *call, size_t at, unsigned set)
{
	return argument_is(call, at, "PERSIST") && !(set & SET_TIME) ? SET_PERSIST : 0;
}

/* False and a syntax error written. The time itself is read later: Redis looks at it last. */
static bool parse_options(struct command_call *call, size_t from, struct set_options *options,
                          unsigned (*word)(const struct command_call *, size_t, unsigned))
{
	*options = (struct set_options){0};
	for (size_t at = from; at < call->argc; at++) {
		unsigned option = word(call, at, options->set);
		if (option != 0) {
			options->set |= option;
		} else if (time_option(call, at, options)) {
			at++;
		} else {
			reply_syntax_error(call->reply);
			return false;
		}
	}
	return true;
}

static bool parse_time(struct command_call *call, struct set_options *options)
{
	return !(options->set & SET_TIME) ||
	       argument_expire(call, options->time_at, options->seconds, options->relative, &options->expire_at_ms);
}

/* SET with nothing behind: what it overwrites is not read. */
static int set_plain(struct command_call *call)
{
	struct row row;
	int rc = row_aim(&row, call->txn, call->arena, call->db, call->argv[1]);

	if (rc == 0) {
		rc = row_put(&row, call->argv[2], 0, 0);
	}
	if (rc == 0) {
		reply_ok(call->reply);
	}
	return rc;
}

int set_command(struct command_call *call)
{
	struct set_options options;
	struct row row;
	int rc;

	if (call->argc == 3) {
		return set_plain(call);
	}
	if (!parse_options(call, 3, &options, set_option) || !parse_time(call, &options)) {
		return 0;
	}
	rc = options.set & SET_GET ? string_find(call, 1, &row)
	                           : row_find(&row, call->txn, call->arena, call->db, call->argv[1]);
	if (rc != 0) {
		return string_answered(rc);
	}
	if (options.set & SET_GET) {
		reply_value(call->reply, &row);
	}
	if (((options.set & SET_NX) && row.found) || ((options.set & SET_XX) && !row.found)) {
		if (!(options.set & SET_GET)) {
			reply_null(call->reply);
		}
		return 0;
	}
	if (options.set & SET_KEEPTTL) {
		options.expire_at_ms = row.expire_at_ms;
	}
	if (!(options.set & SET_GET)) {
		reply_ok(call->reply);
	}
	if (options.expire_at_ms != 0 && options.expire_at_ms <= txn_now_ms(call->txn)) {
		return row.found ? row_delete(&row) : 0; /* EXAT in the past: gone at once */
	}
	return row_put(&row, call->argv[2], 0, options.expire_at_ms);
}

/* SETEX and PSETEX: key, time, value. */
static int set_for(struct command_call *call, bool seconds)
{
	struct row row;
	uint64_t at_ms;
	int rc;

	if (!argument_expire(call, 2, seconds, true, &at_ms)) {
		return 0;
	}
	rc = row_find(&row, call->txn, call->arena, call->db, call->argv[1]);
	if (rc != 0) {
		return rc;
	}
	reply_ok(call->reply);
	return row_put(&row, call->argv[3], 0, at_ms);
}

int setex_command(struct command_call *call)
{
	return set_for(call, true);
}

int psetex_command(struct command_call *call)
{
	return set_for(call, false);
}

int setnx_command(struct command_call *call)
{
	struct row row;
	int rc = row_find(&row, call->txn, call->arena, call->db, call->argv[1]);

	if (rc != 0) {
		return rc;
	}
	reply_integer(call->reply, !row.found);
	return row.found ? 0 : row_put(&row, call->argv[2], 0, 0);
}

int getset_command(struct command_call *call)
{
	struct row row;
	int rc = string_find(call, 1, &row);

	if (rc != 0) {
		return string_answered(rc);
	}
	reply_value(call->reply, &row);
	return row_put(&row, call->argv[2], 0, 0);
}

int getdel_command(struct command_call *call)
{
	struct row row;
	int rc = string_find(call, 1, &row);

	if (rc != 0) {
		return string_answered(rc);
	}
	reply_value(call->reply, &row);
	return row.found ? row_delete(&row) : 0;
}

int getex_command(struct command_call *call)
{
	struct set_options options;
	struct row row;
	int rc;

	if (!parse_options(call, 2, &options, getex_option)) {
		return 0;
	}
	rc = string_find(call, 1, &row);
	if (rc != 0) {
		return string_answered(rc);
	}
	if (!row.found) {
		reply_null(call->reply);
		return 0;
	}
	if (!parse_time(call, &options)) {
		return 0;
	}
	reply_value(call->reply, &row);
	if (options.set & SET_TIME) {
		return options.expire_at_ms <= txn_now_ms(call->txn)
		               ? row_delete(&row)
		               : row_put(&row, row.bytes, row.flags, options.expire_at_ms);
	}
	return options.set & SET_PERSIST && row.expire_at_ms != 0 ? row_put(&row, row.bytes, row.flags, 0) : 0;
}

#include "command/room.h"

#include <ctype.h>

/* ---- replies that many commands give ---- */

void reply_syntax_error(struct reply *r)
{
	reply_error(r, "ERR syntax error");
}

void reply_not_integer(struct reply *r)
{
	reply_error(r, "ERR value is not an integer or out of range");
}

void reply_wrong_type(struct reply *r)
{
	reply_error(r, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void reply_too_long(struct reply *r)
{
	reply_error(r, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
}

void reply_wrong_arity(struct reply *r, const char *name)
{
	reply_error(r, "ERR wrong number of arguments for '%s' command", name);
}

void reply_expire_invalid(struct command_call *call)
{
	reply_error(call->reply, "ERR invalid expire time in '%s' command", command_lower_name(call));
}

const char *command_lower_name(struct command_call *call)
{
	size_t len = strlen(call->command->name);
	char *lower = arena_alloc(call->arena, len + 1);

	for (size_t i = 0; i <= len; i++) {
		lower[i] = (char)tolower((unsigned char)call->command->name[i]);
	}
	return lower;
}

/* ---- arguments ---- */

bool argument_integer(struct command_call *call, size_t at, int64_t *value)
{
	if (slice_to_int64(call->argv[at], value)) {
		return true;
	}
	reply_not_integer(call->reply);
	return false;
}

bool argument_db(struct command_call *call, size_t at, unsigned *db)
{
	int64_t value;

	if (!argument_integer(call, at, &value)) {
		return false;
	}
	if (value < INT32_MIN || value > INT32_MAX) {
		reply_error(call->reply, "ERR value is out of range, value must between %d and %d", INT32_MIN, INT32_MAX);
		return false;
	}
	if (value < 0 || value >= COMMAND_DATABASES) {
		reply_error(call->reply, "ERR DB index is out of range");
		return false;
	}
	*db = (unsigned)value;
	return true;
}

bool argument_expire(struct command_call *call, size_t at, bool seconds, bool relative, uint64_t *at_ms)
{
	int64_t when, now = (int64_t)txn_now_ms(call->txn);

	if (!argument_integer(call, at, &when)) {
		return false;
	}
	if (when <= 0 || (seconds && when > INT64_MAX / 1000)) {
		reply_expire_invalid(call);
		return false;
	}
	when *= seconds ? 1000 : 1;
	if (relative && when > INT64_MAX - now) {
		reply_expire_invalid(call);
		return false;
	}
	*at_ms = (uint64_t)(relative ? when + now : when);
	return true;
}

/* ---- numbers ---- */

struct slice number_text(int64_t value, char text[NUMBER_TEXT_MAX])
{
	char *end = text + NUMBER_TEXT_MAX, *at = end;
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		*--at = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest != 0);
	if (value < 0) {
		*--at = '-';
	}
	return slice_of(at, (size_t)(end - at));
}

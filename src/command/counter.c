/* Numbers in strings. Integers are 64-bit and exact; INCRBYFLOAT computes and
 * prints in long double, as Redis does. */
#include "command/room.h"

#include <errno.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

/* ---- integers ---- */

static int add(struct command_call *call, int64_t by)
{
	char text[NUMBER_TEXT_MAX];
	struct row row;
	int64_t value = 0;
	int rc = string_find(call, 1, &row);

	if (rc != 0) {
		return string_answered(rc);
	}
	if (row.found && !slice_to_int64(row.bytes, &value)) {
		reply_not_integer(call->reply);
		return 0;
	}
	if (__builtin_add_overflow(value, by, &value)) {
		reply_error(call->reply, "ERR increment or decrement would overflow");
		return 0;
	}
	reply_integer(call->reply, value);
	return row_put(&row, number_text(value, text), 0, row.expire_at_ms);
}

int incr_command(struct command_call *call)
{
	return add(call, 1);
}

int decr_command(struct command_call *call)
{
	return add(call, -1);
}

int incrby_command(struct command_call *call)
{
	int64_t by;
	return argument_integer(call, 2, &by) ? add(call, by) : 0;
}

int decrby_command(struct command_call *call)
{
	int64_t by;

	if (!argument_integer(call, 2, &by)) {
		return 0;
	}
	if (by == INT64_MIN) {
		reply_error(call->reply, "ERR decrement would overflow");
		return 0;
	}
	return add(call, -by);
}

/* ---- long double ---- */

/* The longest text of a finite long double: 4,933 digits, a point and 17 more. */
#define FLOAT_TEXT_MAX (5 * 1024)

static bool parse_float(struct slice text, struct arena *arena, long double *value)
{
	struct slice copy;
	char *end;
	bool out_of_range;

	if (text.len == 0 || text.len >= FLOAT_TEXT_MAX || isspace(text.data[0])) {
		return false;
	}
	copy = arena_copy(arena, text);
	errno = 0;
	*value = strtold((const char *)copy.data, &end);
	out_of_range = errno == ERANGE && (isinf(*value) || fpclassify(*value) == FP_ZERO);
	return (size_t)(end - (const char *)copy.data) == text.len && !out_of_range && !isnan(*value);
}

/* Seventeen decimals, without the zeros at the end and without a lone point. */
static struct slice float_text(long double value, struct arena *arena)
{
	char *text = arena_alloc(arena, FLOAT_TEXT_MAX);
	int len = snprintf(text, FLOAT_TEXT_MAX, "%.17Lf", value);

	while (text[len - 1] == '0') {
		len--;
	}
	if (text[len - 1] == '.') {
		len--;
	}
	if (len == 2 && memcmp(text, "-0", 2) == 0) {
		return slice_of(text + 1, 1);
	}
	return slice_of(text, (size_t)len);
}

int incrbyfloat_command(struct command_call *call)
{
	long double value = 0, by;
	struct slice text;
	struct row row;
	int rc = string_find(call, 1, &row);

	if (rc != 0) {
		return string_answered(rc);
	}
	if ((row.found && !parse_float(row.bytes, call->arena, &value)) ||
	    !parse_float(call->argv[2], call->arena, &by)) {
		reply_error(call->reply, "ERR value is not a valid float");
		return 0;
	}
	value += by;
	if (isnan(value) || isinf(value)) {
		reply_error(call->reply, "ERR increment would produce NaN or Infinity");
		return 0;
	}
	text = float_text(value, call->arena);
	reply_bulk(call->reply, text);
	return row_put(&row, text, ROW_PLAIN, row.expire_at_ms);
}

/* Requests. The other half, replies as a client reads them, is resp_reply.c.
 *
 * A request is either an array of bulk strings,
 *
 *   *2\r\n $3\r\nGET\r\n $1\r\nk\r\n        (without the spaces)
 *
 * or one line of words ("inline"), which people type into telnet. As in Redis
 * the bytes behind a bulk are skipped unseen, and a head counts as arrived when
 * the byte after its CR is there, whatever it is. */
#include "wire/resp.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#include "base/limits.h"

void resp_request_init(struct resp_request_state *state)
{
	*state = (struct resp_request_state){0};
}

void resp_request_fini(struct resp_request_state *state)
{
	free(state->bounds);
	*state = (struct resp_request_state){0};
}

/* Back to a boundary; the memory of bounds stays for the next request. */
static void rewind_state(struct resp_request_state *state)
{
	state->at = 0;
	state->remaining = 0;
	state->count = 0;
	state->bytes = 0;
}

/* ---- multibulk ---- */

/* proto-max-bulk-len of Redis: a longer one is no length there either. */
#define REDIS_BULK_MAX ((int64_t)MIB(512))

/* The number of a head that begins at data[at] (behind its type byte). 0 and *next behind
 * CR LF; ERR_MORE; ERR_TOO_LARGE without a CR in a whole inline limit; ERR_INVALID. */
static int take_number(struct slice input, size_t at, int64_t *number, size_t *next)
{
	const uint8_t *p = input.data + at;
	const uint8_t *end = input.data + input.len;
	const uint8_t *cr;
	int64_t n = 0;

	/* Nearly always: up to seven digits without a leading zero, then CR LF. */
	if (p < end && *p >= '1' && *p <= '9') {
		const uint8_t *digits_end = end - p > 7 ? p + 7 : end;
		while (p < digits_end && *p >= '0' && *p <= '9') {
			n = n * 10 + (*p++ - '0');
		}
		if (end - p >= 2 && *p == '\r') {
			*number = n;
			*next = (size_t)(p - input.data) + 2;
			return 0;
		}
	}
	p = input.data + at;
	cr = p < end ? memchr(p, '\r', (size_t)(end - p)) : NULL;
	if (cr == NULL) {
		return end - p >= (ptrdiff_t)LIMIT_RESP_INLINE ? ERR_TOO_LARGE : ERR_MORE;
	}
	if (cr + 1 == end) {
		return ERR_MORE;
	}
	if (!slice_to_int64(slice_of(p, (size_t)(cr - p)), &n)) {
		return ERR_INVALID;
	}
	*number = n;
	*next = (size_t)(cr - input.data) + 2;
	return 0;
}

static int take_header(struct resp_request_state *state, struct slice input, struct err *err)
{
	int64_t count;
	size_t next;
	int rc = take_number(input, 1, &count, &next);

	if (rc == ERR_MORE) {
		return rc;
	}
	if (rc == ERR_TOO_LARGE) {
		return err_set(err, ERR_INVALID, "too big mbulk count string");
	}
	if (rc != 0 || count > (int64_t)LIMIT_RESP_ARGS) {
		return err_set(err, ERR_INVALID, "invalid multibulk length");
	}
	state->at = next;
	state->remaining = count > 0 ? count : 0;
	return 0;
}

static void remember(struct resp_request_state *state, size_t begin, size_t len)
{
	if (state->count == state->bounds_cap) {
		size_t cap = state->bounds_cap == 0 ? 8 : state->bounds_cap * 2;
		size_t *bounds = realloc(state->bounds, cap * 2 * sizeof(*bounds));
		if (bounds == NULL) {
			fatal("out of memory: %zu arguments of one request", cap);
		}
		state->bounds = bounds;
		state->bounds_cap = cap;
	}
	state->bounds[2 * state->count] = begin;
	state->bounds[2 * state->count + 1] = len;
	state->count++;
}

/* One bulk at state->at. Its head is read again when its body has not arrived: that is O(1). */
static int take_bulk(struct resp_request_state *state, struct slice input, struct err *err)
{
	int64_t len = 0;
	size_t body = 0;
	int rc;

	if (state->at >= input.len) {
		return ERR_MORE;
	}
	rc = take_number(input, state->at + 1, &len, &body);
	if (input.data[state->at] == '\r' && state->at + 1 < input.len) {
		rc = ERR_INVALID; /* an empty head ends at its own first byte */
	}
	if (rc == ERR_MORE) {
		return rc;
	}
	if (rc == ERR_TOO_LARGE) {
		return err_set(err, ERR_INVALID, "too big bulk count string");
	}
	if (input.data[state->at] != '$') {
		return err_set(err, ERR_INVALID, "expected '$', got '%c'", input.data[state->at]);
	}
	if (rc != 0 || len < 0 || len > REDIS_BULK_MAX) {
		return err_set(err, ERR_INVALID, "invalid bulk length");
	}
	if (state->bytes + (size_t)len > LIMIT_REQUEST_BYTES) {
		return err_set(err, ERR_TOO_LARGE, "too big request");
	}
	if (input.len - body < (size_t)len + 2) {
		return ERR_MORE;
	}
	remember(state, body, (size_t)len);
	state->bytes += (size_t)len;
	state->at = body + (size_t)len + 2;
	state->remaining--;
	return 0;
}

/* Nearly every bulk: its length has one to four digits and all of it is here. Takes as many as
 * are like that; what is not, whole or half, is left to take_bulk. */
static void take_plain_bulks(struct resp_request_state *state, struct slice input)
{
	const uint8_t *at = input.data + state->at, *end = input.data + input.len;

	while (state->remaining > 0 && end - at >= 6 && at[0] == '$' && state->count < state->bounds_cap) {
		unsigned digit = at[1] - (unsigned)'0';
		const uint8_t *p = at + 2;
		size_t len = digit;
		if (digit > 9 || (digit == 0 && *p != '\r')) {
			break;
		}
		while (p < at + 5 && (digit = *p - (unsigned)'0') <= 9) {
			len = len * 10 + digit;
			p++;
		}
		if (*p != '\r' || (size_t)(end - p) < len + 4 || state->bytes + len > LIMIT_REQUEST_BYTES) {
			break;
		}
		state->bounds[2 * state->count] = (size_t)(p + 2 - input.data);
		state->bounds[2 * state->count + 1] = len;
		state->count++;
		state->bytes += len;
		state->remaining--;
		at = p + 2 + len + 2;
	}
	state->at = (size_t)(at - input.data);
}

static int parse_multibulk(struct resp_request_state *state, struct slice input, struct arena *arena,
                           struct slice **argv, size_t *argc, size_t *used, struct err *err)
{
	struct slice *args;
	int rc;

	if (state->at == 0) {
		rc = take_header(state, input, err);
		if (rc != 0) {
			return rc;
		}
	}
	while (state->remaining > 0) {
		take_plain_bulks(state, input);
		if (state->remaining == 0) {
			break;
		}
		rc = take_bulk(state, input, err);
		if (rc != 0) {
			return rc;
		}
	}
	args = arena_alloc(arena, (state->count + 1) * sizeof(*args));
	for (size_t i = 0; i < state->count; i++) {
		args[i] = slice_of(input.data + state->bounds[2 * i], state->bounds[2 * i + 1]);
	}
	*argv = args;
	*argc = state->count;
	*used = state->at;
	return 0;
}

/* ---- inline ---- */

static int hex_value(uint8_t c)
{
	return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The byte that an escape inside double quotes means; *at is behind its backslash. */
static uint8_t take_escape(const uint8_t *line, size_t len, size_t *at)
{
	uint8_t c = line[*at];

	if (c == 'x' && *at + 2 < len && isxdigit(line[*at + 1]) && isxdigit(line[*at + 2])) {
		uint8_t byte = (uint8_t)(hex_value(line[*at + 1]) * 16 + hex_value(line[*at + 2]));
		*at += 3;
		return byte;
	}
	*at += 1;
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'b':
		return '\b';
	case 'a':
		return '\a';
	default:
		return c;
	}
}

/* A quoted part from its opening quote on; false when it does not close, or
 * when anything but a space follows the closing quote. */
static bool take_quoted(const uint8_t *line, size_t len, size_t *at, uint8_t *out, size_t *out_len)
{
	uint8_t quote = line[*at];

	*at += 1;
	while (*at < len) {
		uint8_t c = line[*at];
		*at += 1;
		if (c == quote) {
			return *at == len || isspace(line[*at]);
		}
		if (quote == '"' && c == '\\' && *at < len) {
			c = take_escape(line, len, at);
		} else if (quote == '\'' && c == '\\' && *at < len && line[*at] == '\'') {
			c = '\'';
			*at += 1;
		}
		out[(*out_len)++] = c;
	}
	return false;
}

/* One word of an inline request; its bytes go to out, which has room for the rest of the line. */
static bool take_word(const uint8_t *line, size_t len, size_t *at, uint8_t *out, size_t *out_len)
{
	while (*at < len) {
		uint8_t c = line[*at];
		if (c == '"' || c == '\'') {
			return take_quoted(line, len, at, out, out_len);
		}
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0') {
			return true;
		}
		out[(*out_len)++] = c;
		*at += 1;
	}
	return true;
}

static int parse_inline(struct slice input, struct arena *arena, struct slice **argv, size_t *argc, size_t *used,
                        struct err *err)
{
	const uint8_t *line = input.data;
	const uint8_t *newline = memchr(line, '\n', input.len);
	size_t len = newline == NULL ? input.len : (size_t)(newline - line);
	size_t at = 0, count = 0;
	struct slice *args;
	uint8_t *bytes;

	if (len > LIMIT_RESP_INLINE) {
		return err_set(err, ERR_INVALID, "too big inline request");
	}
	if (newline == NULL) {
		return ERR_MORE;
	}
	*used = len + 1;
	if (len > 0 && line[len - 1] == '\r') {
		len--;
	}
	args = arena_alloc(arena, (len / 2 + 1) * sizeof(*args)); /* a word and its space are two bytes */
	bytes = arena_alloc(arena, len + 1);
	for (;;) {
		size_t word = 0;
		while (at < len && (isspace(line[at]) || line[at] == '\0')) {
			at++;
		}
		if (at == len) {
			break;
		}
		if (!take_word(line, len, &at, bytes, &word)) {
			return err_set(err, ERR_INVALID, "unbalanced quotes in request");
		}
		args[count++] = slice_of(bytes, word);
		bytes += word;
	}
	*argv = args;
	*argc = count;
	return 0;
}

int resp_request_parse(struct resp_request_state *state, struct slice input, struct arena *arena,
                       struct slice **argv, size_t *argc, size_t *used, struct err *err)
{
	int rc;

	assert(state->at <= input.len);
	if (input.len == 0) {
		return ERR_MORE;
	}
	if (input.data[0] != '*') {
		assert(state->at == 0);
		return parse_inline(input, arena, argv, argc, used, err);
	}
	rc = parse_multibulk(state, input, arena, argv, argc, used, err);
	if (rc != ERR_MORE) {
		rewind_state(state);
	}
	return rc;
}

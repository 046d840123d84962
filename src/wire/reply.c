#include "wire/reply.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DIGITS_MAX 20 /* of a 64-bit number */

static size_t digits_of(uint64_t v)
{
	size_t digits = 1;
	for (uint64_t limit = 10; digits < DIGITS_MAX && v >= limit; limit *= 10) {
		digits++;
	}
	return digits;
}

/* Digits, CR LF at at; returns what is behind them. */
static uint8_t *write_number(uint8_t *at, uint64_t v, size_t digits)
{
	for (size_t i = digits; i > 0; i--) {
		at[i - 1] = (uint8_t)('0' + v % 10);
		v /= 10;
	}
	at[digits] = '\r';
	at[digits + 1] = '\n';
	return at + digits + 2;
}

/* type, number, CR LF. Every reply has at least one of these, so it makes no printf call. */
static void put_head(struct reply *r, char type, int64_t number)
{
	bool negative = number < 0;
	uint64_t size = negative ? 0 - (uint64_t)number : (uint64_t)number;
	size_t digits = digits_of(size);
	uint8_t *at = buf_reserve(r->out, 1 + negative + digits + 2);

	if (at == NULL) {
		return;
	}
	at[0] = (uint8_t)type;
	at[1] = '-';
	write_number(at + 1 + negative, size, digits);
	r->out->len += 1 + negative + digits + 2;
}

static void put_text(struct reply *r, const char *text)
{
	buf_append(r->out, text, strlen(text));
}

void reply_simple(struct reply *r, const char *text)
{
	size_t len = strlen(text);
	uint8_t *at = buf_reserve(r->out, len + 3);

	if (at == NULL) {
		return;
	}
	at[0] = '+';
	memcpy(at + 1, text, len);
	at[len + 1] = '\r';
	at[len + 2] = '\n';
	r->out->len += len + 3;
}

/* An error is one line: what came from a client may hold line ends. As Redis:
 * those at the end are dropped, the others become spaces. */
static size_t one_line(uint8_t *text, size_t len)
{
	while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == '\n')) {
		len--;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\r' || text[i] == '\n') {
			text[i] = ' ';
		}
	}
	return len;
}

void reply_error(struct reply *r, const char *format, ...)
{
	va_list args;
	int len;
	uint8_t *at;
	size_t kept;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	assert(len >= 0);
	at = buf_reserve(r->out, (size_t)len + 4);
	if (at == NULL) {
		return;
	}
	at[0] = '-';
	va_start(args, format);
	vsnprintf((char *)at + 1, (size_t)len + 1, format, args);
	va_end(args);
	kept = one_line(at + 1, (size_t)len);
	at[kept + 1] = '\r';
	at[kept + 2] = '\n';
	r->out->len += kept + 3;
}

void reply_code(struct reply *r, enum code code, const char *details)
{
	const char *outcome = outcome_name(code_outcome(code));

	assert(code != CODE_NONE);
	if (details == NULL || details[0] == '\0') {
		reply_error(r, "%s {\"outcome\":\"%s\",\"reason\":\"%s\"}", code_name(code), outcome, code_text(code));
	} else {
		reply_error(r, "%s {\"outcome\":\"%s\",%s}", code_name(code), outcome, details);
	}
}

void reply_integer(struct reply *r, int64_t value)
{
	put_head(r, ':', value);
}

void reply_bulk(struct reply *r, struct slice bytes)
{
	size_t digits = digits_of(bytes.len);
	size_t size = 1 + digits + 2 + bytes.len + 2;
	uint8_t *at = buf_reserve(r->out, size);

	if (at == NULL) {
		return;
	}
	at[0] = '$';
	at = write_number(at + 1, bytes.len, digits);
	if (bytes.len > 0) {
		memcpy(at, bytes.data, bytes.len);
	}
	at[bytes.len] = '\r';
	at[bytes.len + 1] = '\n';
	r->out->len += size;
}

void reply_bulk_text(struct reply *r, const char *text)
{
	reply_bulk(r, slice_str(text));
}

void reply_null(struct reply *r)
{
	put_text(r, r->protocol == 2 ? "$-1\r\n" : "_\r\n");
}

void reply_null_array(struct reply *r)
{
	put_text(r, r->protocol == 2 ? "*-1\r\n" : "_\r\n");
}

void reply_array(struct reply *r, size_t count)
{
	put_head(r, '*', (int64_t)count);
}

void reply_map(struct reply *r, size_t pairs)
{
	if (r->protocol == 2) {
		put_head(r, '*', (int64_t)pairs * 2);
	} else {
		put_head(r, '%', (int64_t)pairs);
	}
}

void reply_attribute(struct reply *r, size_t pairs)
{
	put_head(r, '|', (int64_t)pairs);
}

void reply_set(struct reply *r, size_t count)
{
	put_head(r, r->protocol == 2 ? '*' : '~', (int64_t)count);
}

void reply_bool(struct reply *r, bool value)
{
	if (r->protocol == 2) {
		put_head(r, ':', value ? 1 : 0);
	} else {
		put_text(r, value ? "#t\r\n" : "#f\r\n");
	}
}

void reply_double(struct reply *r, double value)
{
	char text[40];

	if (isinf(value)) {
		snprintf(text, sizeof(text), "%s", value > 0 ? "inf" : "-inf");
	} else if (isnan(value)) {
		snprintf(text, sizeof(text), "nan");
	} else {
		snprintf(text, sizeof(text), "%.17g", value);
	}
	if (r->protocol == 2) {
		reply_bulk_text(r, text);
		return;
	}
	buf_append_byte(r->out, ',');
	put_text(r, text);
	put_text(r, "\r\n");
}

void reply_verbatim(struct reply *r, const char *format3, struct slice text)
{
	assert(strlen(format3) == 3);
	if (r->protocol == 2) {
		reply_bulk(r, text);
		return;
	}
	put_head(r, '=', (int64_t)text.len + 4);
	put_text(r, format3);
	buf_append_byte(r->out, ':');
	buf_append_slice(r->out, text);
	put_text(r, "\r\n");
}

/* From the words of Lua 5.1 to those of 5.4: a lexer that copies. */
#include "script/lua51.h"

#define OPERATOR "_TALLY_JOIN_"

struct reader {
	struct slice in;
	size_t at;
	struct buf *out;
};

static int peek(const struct reader *r, size_t ahead)
{
	return r->at + ahead < r->in.len ? r->in.data[r->at + ahead] : -1;
}

static void copy(struct reader *r, size_t count)
{
	if (count > r->in.len - r->at) {
		count = r->in.len - r->at;
	}
	buf_append(r->out, r->in.data + r->at, count);
	r->at += count;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(int c)
{
	return c == '_' || is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* At "[": the number of '=' of a long bracket, or -1. */
static int long_bracket(const struct reader *r)
{
	size_t level = 0;
	while (peek(r, 1 + level) == '=') {
		level++;
	}
	return peek(r, 1 + level) == '[' ? (int)level : -1;
}

static void copy_long(struct reader *r, size_t level)
{
	copy(r, level + 2);
	while (r->at < r->in.len) {
		if (peek(r, 0) == ']') {
			size_t count = 0;
			while (peek(r, 1 + count) == '=') {
				count++;
			}
			if (count == level && peek(r, 1 + count) == ']') {
				copy(r, level + 2);
				return;
			}
		}
		copy(r, 1);
	}
}

static void copy_comment(struct reader *r)
{
	copy(r, 2);
	int level = peek(r, 0) == '[' ? long_bracket(r) : -1;
	if (level >= 0) {
		copy_long(r, (size_t)level);
		return;
	}
	while (r->at < r->in.len && peek(r, 0) != '\n' && peek(r, 0) != '\r') {
		copy(r, 1);
	}
}

/* What may follow a backslash in both languages with one meaning. */
static bool escape_is_known(int c)
{
	return is_digit(c) || (c > 0 && strchr("abfnrtv\\\"'\n\r", c) != NULL);
}

static void copy_string(struct reader *r)
{
	int quote = peek(r, 0);
	copy(r, 1);
	while (r->at < r->in.len && peek(r, 0) != quote && peek(r, 0) != '\n' && peek(r, 0) != '\r') {
		if (peek(r, 0) != '\\') {
			copy(r, 1);
		} else if (escape_is_known(peek(r, 1))) {
			int c = peek(r, 1), next = peek(r, 2);
			bool two = (c == '\r' && next == '\n') || (c == '\n' && next == '\r'); /* one line's end */
			copy(r, two ? 3 : 2);
		} else {
			r->at++;
			copy(r, 1);
		}
	}
	copy(r, 1);
}

static void copy_number(struct reader *r)
{
	while (is_name(peek(r, 0)) || peek(r, 0) == '.') {
		int c = peek(r, 0), next = peek(r, 1);
		bool exponent = (c == 'e' || c == 'E') && (next == '+' || next == '-');
		copy(r, exponent ? 2 : 1);
	}
}

static void copy_name(struct reader *r)
{
	size_t len = 0;
	while (is_name(peek(r, len))) {
		len++;
	}
	if (slice_equal(slice_of(r->in.data + r->at, len), SLICE_LIT("goto"))) {
		buf_append_text(r->out, "goto_"); /* a word of 5.4, a name in 5.1 */
		r->at += len;
		return;
	}
	copy(r, len);
}

static void copy_dots(struct reader *r)
{
	if (is_digit(peek(r, 1))) {
		copy_number(r);
	} else if (peek(r, 1) == '.' && peek(r, 2) == '.') {
		copy(r, 3);
	} else if (peek(r, 1) == '.') {
		buf_append_text(r->out, "<<" OPERATOR "<<");
		r->at += 2;
	} else {
		copy(r, 1);
	}
}

void lua51_translate(struct slice source, struct buf *out)
{
	struct reader r = {.in = source, .out = out};
	/* The chunk's only argument; see lua51_push_operator. */
	buf_append_text(out, "local " OPERATOR "=... ");
	while (r.at < source.len) {
		int c = peek(&r, 0);
		if (c == '-' && peek(&r, 1) == '-') {
			copy_comment(&r);
		} else if (c == '[' && long_bracket(&r) >= 0) {
			copy_long(&r, (size_t)long_bracket(&r));
		} else if (c == '"' || c == '\'') {
			copy_string(&r);
		} else if (is_digit(c)) {
			copy_number(&r);
		} else if (is_name(c)) {
			copy_name(&r);
		} else if (c == '.') {
			copy_dots(&r);
		} else {
			copy(&r, 1);
		}
	}
}

/* cjson.decode: a reader that goes down into itself, to a bounded depth. */
#include <math.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "script/lua_cjson.h"
#include "script/lua_redis.h"

enum token {
	T_OBJ_BEGIN,
	T_OBJ_END,
	T_ARR_BEGIN,
	T_ARR_END,
	T_STRING,
	T_NUMBER,
	T_BOOLEAN,
	T_NULL,
	T_COLON,
	T_COMMA,
	T_END,
	T_ERROR
};

struct decoder {
	lua_State *L;
	const char *text; /* a zero behind its end */
	size_t len, at;
	int depth;
	/* the token read last */
	enum token token;
	size_t begin;      /* where it, or what is wrong with it, stands */
	const char *wrong; /* T_ERROR */
	bool truth;
};

static _Noreturn void refuse(const struct decoder *d, const char *expected)
{
	static const char *const names[] = {"T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END",
					    "T_STRING",    "T_NUMBER",  "T_BOOLEAN",   "T_NULL",
					    "T_COLON",     "T_COMMA",   "T_END"};
	luaL_error(d->L, "Expected %s but found %s at character %d", expected,
		   d->token == T_ERROR ? d->wrong : names[d->token], (int)d->begin + 1);
	fatal("luaL_error returned");
}

static void wrong_at(struct decoder *d, size_t at, const char *what)
{
	d->token = T_ERROR;
	d->begin = at;
	d->wrong = what;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hexadecimal digits at at, or -1. The zero behind the text is none. */
static int32_t hex4(const struct decoder *d, size_t at)
{
	int32_t value = 0;
	for (size_t i = 0; i < 4; i++) {
		int digit = at + i < d->len ? hex_digit(d->text[at + i]) : -1;
		if (digit < 0) {
			return -1;
		}
		value = value << 4 | digit;
	}
	return value;
}

static void append_utf8(struct buf *out, uint32_t code)
{
	if (code < 0x80) {
		buf_append_byte(out, (uint8_t)code);
		return;
	}
	int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
	static const uint8_t heads[] = {0, 0xc0, 0xe0, 0xf0};
	buf_append_byte(out, (uint8_t)(heads[more] | code >> (6 * more)));
	while (more-- > 0) {
		buf_append_byte(out, (uint8_t)(0x80 | (code >> (6 * more) & 0x3f)));
	}
}

/* At the 'u' of \uXXXX. Sets at behind it; false when it is no code. */
static bool read_unicode(struct decoder *d, struct buf *out)
{
	int32_t code = hex4(d, d->at + 1);
	if (code < 0 || (code >= 0xdc00 && code < 0xe000)) {
		return false;
	}
	d->at += 5;
	if (code >= 0xd800 && code < 0xdc00) {
		bool pair = d->at + 1 < d->len && d->text[d->at] == '\\' && d->text[d->at + 1] == 'u';
		int32_t low = pair ? hex4(d, d->at + 2) : -1;
		if (low < 0xdc00 || low >= 0xe000) {
			return false;
		}
		code = 0x10000 + (code - 0xd800) * 0x400 + (low - 0xdc00);
		d->at += 6;
	}
	append_utf8(out, (uint32_t)code);
	return true;
}

/* At the backslash. False: the token is an error. */
static bool read_escape(struct decoder *d, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	size_t begin = d->at++;
	char c = d->at < d->len ? d->text[d->at] : '\0';
	if (c == 'u') {
		if (!read_unicode(d, out)) {
			wrong_at(d, begin, "invalid unicode escape code");
			return false;
		}
		return true;
	}
	const char *place = c == '\0' ? NULL : strchr(from, c);
	if (place == NULL) {
		wrong_at(d, begin, "invalid escape code");
		return false;
	}
	buf_append_byte(out, (uint8_t)to[place - from]);
	d->at++;
	return true;
}

/* At the quote. Pushes the text. */
static void read_string(struct decoder *d)
{
	struct buf *out = &machine_of(d->L)->bytes;
	buf_reset(out);
	d->at++;
	while (d->at < d->len && d->text[d->at] != '"') {
		if (d->text[d->at] != '\\') {
			buf_append_byte(out, (uint8_t)d->text[d->at++]);
		} else if (!read_escape(d, out)) {
			return;
		}
	}
	if (d->at >= d->len) {
		wrong_at(d, d->len, "unexpected end of string");
		return;
	}
	d->at++;
	d->token = T_STRING;
	lua_pushlstring(d->L, out->len == 0 ? "" : (const char *)out->data, out->len);
}

/* Hexadecimal, a zero in front, infinity, not a number. */
static bool number_is_odd(const char *text)
{
	text += *text == '-' || *text == '+';
	if (*text == '0') {
		return (text[1] | 0x20) == 'x' || (text[1] >= '0' && text[1] <= '9');
	}
	return *text < '0' || *text > '9';
}

static void read_number(struct decoder *d)
{
	const char *begin = d->text + d->at;
	if (number_is_odd(begin) && !machine_of(d->L)->json.decode_invalid) {
		wrong_at(d, d->at, "invalid token");
		return;
	}
	char *end;
	double number = strtod(begin, &end);
	if (end == begin) {
		wrong_at(d, d->at, "invalid token");
		return;
	}
	size_t len = (size_t)(end - begin), sign = begin[0] == '+';
	int64_t whole;
	if (slice_to_int64(slice_of(begin + sign, len - sign), &whole)) {
		lua_pushinteger(d->L, whole);
	} else {
		lua_pushnumber(d->L, number);
		if (number == floor(number) && fabs(number) < 0x1p53) {
			lua_pop(d->L, 1);
			lua_pushinteger(d->L, (lua_Integer)number);
		}
	}
	d->at += len;
	d->token = T_NUMBER;
}

static bool read_word(struct decoder *d, const char *word, enum token token)
{
	size_t len = strlen(word);
	if (d->len - d->at < len || memcmp(d->text + d->at, word, len) != 0) {
		return false;
	}
	d->at += len;
	d->token = token;
	return true;
}

/* Texts and numbers are pushed. */
static void next_token(struct decoder *d)
{
	static const char marks[] = "{}[]:,";
	static const enum token mark_tokens[] = {T_OBJ_BEGIN, T_OBJ_END, T_ARR_BEGIN,
						 T_ARR_END,   T_COLON,   T_COMMA};
	while (d->at < d->len && strchr(" \t\r\n", d->text[d->at]) != NULL && d->text[d->at] != '\0') {
		d->at++;
	}
	d->begin = d->at;
	budget_charge(d->L, 1);
	if (d->at >= d->len) {
		d->token = T_END;
		return;
	}
	char c = d->text[d->at];
	const char *mark = c == '\0' ? NULL : strchr(marks, c);
	if (mark != NULL) {
		d->token = mark_tokens[mark - marks];
		d->at++;
	} else if (c == '"') {
		read_string(d);
	} else if (read_word(d, "true", T_BOOLEAN)) {
		d->truth = true;
	} else if (read_word(d, "false", T_BOOLEAN)) {
		d->truth = false;
	} else if (!read_word(d, "null", T_NULL)) {
		if (c != '\0' && strchr("-+0123456789iInN", c) != NULL) {
			read_number(d);
		} else {
			wrong_at(d, d->at, "invalid token");
		}
	}
}

static void read_value(struct decoder *d);

static void descend(struct decoder *d)
{
	d->depth++;
	if (d->depth > machine_of(d->L)->json.decode_depth || d->depth > CJSON_DEPTH_MAX) {
		luaL_error(d->L, "Found too many nested data structures (%d) at character %d", d->depth,
			   (int)d->at);
	}
	luaL_checkstack(d->L, 6, "nested too deep");
}

static void read_object(struct decoder *d)
{
	descend(d);
	lua_createtable(d->L, 0, 0);
	next_token(d);
	while (d->token != T_OBJ_END) {
		if (d->token != T_STRING) {
			refuse(d, "object key string");
		}
		next_token(d);
		if (d->token != T_COLON) {
			refuse(d, "colon");
		}
		next_token(d);
		read_value(d);
		lua_rawset(d->L, -3);
		next_token(d);
		if (d->token == T_OBJ_END) {
			break;
		}
		if (d->token != T_COMMA) {
			refuse(d, "comma or object end");
		}
		next_token(d);
		if (d->token == T_OBJ_END) {
			refuse(d, "object key string");
		}
	}
	d->depth--;
}

static void read_array(struct decoder *d)
{
	descend(d);
	lua_createtable(d->L, 0, 0);
	next_token(d);
	if (d->token != T_ARR_END) {
		for (lua_Integer i = 1;; i++) {
			read_value(d);
			lua_rawseti(d->L, -2, i);
			next_token(d);
			if (d->token == T_ARR_END) {
				break;
			}
			if (d->token != T_COMMA) {
				refuse(d, "comma or array end");
			}
			next_token(d);
		}
	}
	d->depth--;
}

/* Pushes the value whose first token was read. */
static void read_value(struct decoder *d)
{
	switch (d->token) {
	case T_STRING:
	case T_NUMBER:
		return;
	case T_BOOLEAN:
		lua_pushboolean(d->L, d->truth);
		return;
	case T_NULL:
		lua_pushlightuserdata(d->L, NULL);
		return;
	case T_OBJ_BEGIN:
		read_object(d);
		return;
	case T_ARR_BEGIN:
		read_array(d);
		return;
	default:
		refuse(d, "value");
	}
}

int json_decode(lua_State *L)
{
	luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
	struct decoder d = {.L = L};
	d.text = luaL_checklstring(L, 1, &d.len);
	budget_charge_bytes(L, d.len * 4);
	next_token(&d);
	read_value(&d);
	if (buf_failed(&machine_of(L)->bytes)) {
		budget_raise(L, BUDGET_MEMORY);
	}
	next_token(&d);
	if (d.token != T_END) {
		refuse(&d, "the end");
	}
	return 1;
}

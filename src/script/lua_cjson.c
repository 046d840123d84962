/* cjson: JSON as the library of this name reads and writes it, error texts
 * included. Objects come out in the order of pairs, so equal tables give equal texts;
 * depth and size are bounded (CVE-2022-24834). Settings last for one call. */
#include <math.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "script/lua_redis.h"
#include "script/sandbox.h"

#define DEPTH_MAX 1000 /* settings may ask for more; C's stack has an end */

void lua_cjson_reset(struct json_settings *settings)
{
	*settings = (struct json_settings){
		.sparse_ratio = 2,
		.sparse_safe = 10,
		.encode_depth = 1000,
		.decode_depth = 1000,
		.precision = 14,
		.decode_invalid = true,
		.keep_buffer = true,
	};
}

/* ---- encoding, into the machine's buffer ---- */

static void write_text(lua_State *L, struct buf *out, int index)
{
	size_t len;
	const char *text = lua_tolstring(L, index, &len);
	budget_charge_bytes(L, len * 4);
	buf_append_byte(out, '"');
	for (size_t i = 0; i < len; i++) {
		uint8_t c = (uint8_t)text[i];
		const char *at = strchr("\"\"\\\\//\bb\ff\nn\rr\tt", c);
		if (c == 0 || c == 127 || (c < 32 && at == NULL)) {
			buf_appendf(out, "\\u%04x", c);
		} else if (at != NULL && (c < 32 || strchr("\"\\/", c) != NULL)) {
			buf_append_byte(out, '\\');
			buf_append_byte(out, (uint8_t)at[1]);
		} else {
			buf_append_byte(out, c);
		}
	}
	buf_append_byte(out, '"');
}

static void write_number(lua_State *L, struct buf *out, int index)
{
	const struct json_settings *set = &machine_of(L)->json;
	if (lua_isinteger(L, index)) {
		buf_appendf(out, "%lld", (long long)lua_tointeger(L, index));
		return;
	}
	double number = lua_tonumber(L, index);
	if (isfinite(number)) {
		buf_appendf(out, "%.*g", (int)set->precision, number);
	} else if (set->encode_invalid == 0) {
		luaL_error(L, "Cannot serialise number: must not be NaN or Inf");
	} else if (set->encode_invalid == 2) {
		buf_append_text(out, "null");
	} else {
		buf_append_text(out, isnan(number) ? "nan" : number > 0 ? "inf" : "-inf");
	}
}

/* The length of the table on top as an array, or -1 when it is an object. */
static lua_Integer array_length(lua_State *L)
{
	const struct json_settings *set = &machine_of(L)->json;
	lua_Integer max = 0, items = 0;
	bool array = true;
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		lua_pop(L, 1);
		budget_charge(L, 2);
		int type = lua_type(L, -1);
		if (type != LUA_TNUMBER && type != LUA_TSTRING) {
			luaL_error(L, "Cannot serialise %s: table key must be a number or string",
				   luaL_typename(L, -1));
		}
		lua_Integer key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
		array = array && key > 0;
		max = key > max ? key : max;
		items++;
	}
	if (!array || items == 0) {
		return -1;
	}
	if (set->sparse_ratio > 0 && max > set->sparse_safe && max / set->sparse_ratio > items) {
		if (!set->sparse_convert) {
			luaL_error(L, "Cannot serialise table: excessively sparse array");
		}
		return -1;
	}
	return max;
}

static void write_value(lua_State *L, struct buf *out, int depth);

static void write_array(lua_State *L, struct buf *out, lua_Integer length, int depth)
{
	buf_append_byte(out, '[');
	for (lua_Integer i = 1; i <= length; i++) {
		if (i > 1) {
			buf_append_byte(out, ',');
		}
		lua_rawgeti(L, -1, i);
		write_value(L, out, depth);
		lua_pop(L, 1);
	}
	buf_append_byte(out, ']');
}

static void write_object(lua_State *L, struct buf *out, int depth)
{
	int table = lua_gettop(L);
	sandbox_push_sorted_keys(L, table);
	lua_Integer count = (lua_Integer)lua_rawlen(L, -1);
	buf_append_byte(out, '{');
	for (lua_Integer i = 1; i <= count; i++) {
		if (i > 1) {
			buf_append_byte(out, ',');
		}
		lua_rawgeti(L, table + 1, i);
		if (lua_type(L, -1) == LUA_TSTRING) {
			write_text(L, out, -1);
		} else {
			buf_append_byte(out, '"');
			write_number(L, out, -1);
			buf_append_byte(out, '"');
		}
		buf_append_byte(out, ':');
		lua_rawget(L, table);
		write_value(L, out, depth);
		lua_pop(L, 1);
	}
	buf_append_byte(out, '}');
	lua_pop(L, 1);
}

static void write_table(lua_State *L, struct buf *out, int depth)
{
	const struct json_settings *set = &machine_of(L)->json;
	if (depth > set->encode_depth || depth > DEPTH_MAX) {
		luaL_error(L, "Cannot serialise, excessive nesting (%d)", depth);
	}
	lua_Integer length = array_length(L);
	if (length > 0) {
		write_array(L, out, length, depth);
	} else {
		write_object(L, out, depth);
	}
}

/* The value on top of the stack stays. depth counts the tables around it. */
static void write_value(lua_State *L, struct buf *out, int depth)
{
	luaL_checkstack(L, 8, "nested too deep");
	budget_charge(L, 4);
	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		write_text(L, out, -1);
		return;
	case LUA_TNUMBER:
		write_number(L, out, -1);
		return;
	case LUA_TBOOLEAN:
		buf_append_text(out, lua_toboolean(L, -1) ? "true" : "false");
		return;
	case LUA_TTABLE:
		write_table(L, out, depth + 1);
		return;
	case LUA_TNIL:
		buf_append_text(out, "null");
		return;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, -1) == NULL) {
			buf_append_text(out, "null");
			return;
		}
		break;
	default:
		break;
	}
	luaL_error(L, "Cannot serialise %s: type not supported", luaL_typename(L, -1));
}

static int json_encode(lua_State *L)
{
	luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
	struct buf *out = &machine_of(L)->bytes;
	buf_reset(out);
	write_value(L, out, 0);
	if (buf_failed(out)) {
		budget_raise(L, BUDGET_MEMORY);
	}
	budget_charge_bytes(L, out->len);
	lua_pushlstring(L, (const char *)out->data, out->len);
	return 1;
}

/* ---- decoding ---- */

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
	if (d->depth > machine_of(d->L)->json.decode_depth || d->depth > DEPTH_MAX) {
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

static int json_decode(lua_State *L)
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

/* ---- settings ---- */

static void set_integer(lua_State *L, int arg, lua_Integer *setting, lua_Integer min, lua_Integer max)
{
	if (lua_isnoneornil(L, arg)) {
		return;
	}
	lua_Integer value = luaL_checkinteger(L, arg);
	if (value < min || value > max) {
		luaL_argerror(L, arg,
			      lua_pushfstring(L, "expected integer between %d and %d", (int)min, (int)max));
	}
	*setting = value;
}

static int json_encode_sparse_array(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (!lua_isnoneornil(L, 1)) {
		set->sparse_convert = lua_toboolean(L, 1);
	}
	set_integer(L, 2, &set->sparse_ratio, 0, INT32_MAX);
	set_integer(L, 3, &set->sparse_safe, 0, INT32_MAX);
	lua_pushboolean(L, set->sparse_convert);
	lua_pushinteger(L, set->sparse_ratio);
	lua_pushinteger(L, set->sparse_safe);
	return 3;
}

static int give_integer(lua_State *L, lua_Integer *setting, lua_Integer max)
{
	set_integer(L, 1, setting, 1, max);
	lua_pushinteger(L, *setting);
	return 1;
}

static int json_encode_max_depth(lua_State *L)
{
	return give_integer(L, &machine_of(L)->json.encode_depth, INT32_MAX);
}

static int json_decode_max_depth(lua_State *L)
{
	return give_integer(L, &machine_of(L)->json.decode_depth, INT32_MAX);
}

static int json_encode_number_precision(lua_State *L)
{
	return give_integer(L, &machine_of(L)->json.precision, 14);
}

static int json_encode_keep_buffer(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (!lua_isnoneornil(L, 1)) {
		set->keep_buffer = lua_toboolean(L, 1);
	}
	lua_pushboolean(L, set->keep_buffer);
	return 1;
}

static int json_encode_invalid_numbers(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (lua_type(L, 1) == LUA_TSTRING) {
		static const char *const words[] = {"off", "on", "null", NULL};
		set->encode_invalid = luaL_checkoption(L, 1, NULL, words);
	} else if (!lua_isnoneornil(L, 1)) {
		set->encode_invalid = lua_toboolean(L, 1);
	}
	if (set->encode_invalid == 2) {
		lua_pushliteral(L, "null");
	} else {
		lua_pushboolean(L, set->encode_invalid);
	}
	return 1;
}

static int json_decode_invalid_numbers(lua_State *L)
{
	struct json_settings *set = &machine_of(L)->json;
	if (!lua_isnoneornil(L, 1)) {
		set->decode_invalid = lua_toboolean(L, 1);
	}
	lua_pushboolean(L, set->decode_invalid);
	return 1;
}

/* A table of its own with the same functions; the settings are shared. */
static int json_new(lua_State *L)
{
	lua_cjson_open(L);
	return 1;
}

void lua_cjson_open(lua_State *L)
{
	static const luaL_Reg functions[] = {{"encode", json_encode},
					     {"decode", json_decode},
					     {"encode_sparse_array", json_encode_sparse_array},
					     {"encode_max_depth", json_encode_max_depth},
					     {"decode_max_depth", json_decode_max_depth},
					     {"encode_number_precision", json_encode_number_precision},
					     {"encode_keep_buffer", json_encode_keep_buffer},
					     {"encode_invalid_numbers", json_encode_invalid_numbers},
					     {"decode_invalid_numbers", json_decode_invalid_numbers},
					     {"new", json_new},
					     {NULL, NULL}};
	lua_createtable(L, 0, 16);
	luaL_setfuncs(L, functions, 0);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	lua_pushliteral(L, "cjson");
	lua_setfield(L, -2, "_NAME");
	lua_pushliteral(L, "2.1.0");
	lua_setfield(L, -2, "_VERSION");
}

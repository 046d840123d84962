/* struct: numbers and texts in C's layout, as the struct library that Redis
 * carries. A format is one letter an item, sizes behind some of them:
 *
 *   > < =  endianness       ! [n]  alignment, n a power of two, 8 without      x  one zero byte
 *   b B h H i[n] I[n] l L T  integers of 1, 2, n (4), 8 bytes, capital: unsigned
 *   f d  float, double      s  text with a zero behind     c[n]  n bytes; c0: all, or as many as the number
 * before */
#include <lauxlib.h>

#include "base/buf.h"
#include "script/lua_redis.h"
#include "script/sandbox.h"

#define INTEGER_MAX 32 /* what is above eight bytes is sign only */
#define OUT_MAX ((size_t)1 << 20)

struct format {
	const char *at;
	bool big;
	size_t align; /* most */
};

struct item {
	char kind; /* 'i', 'I', 'f', 'd', 's', 'c', 'x' */
	size_t size;
	size_t pad; /* zero bytes before it */
};

/* Digits behind a letter; bounded, so nothing can overflow (CVE-2015-8080, CVE-2020-14147). */
static size_t read_size(lua_State *L, struct format *f, size_t otherwise, size_t max)
{
	if (*f->at < '0' || *f->at > '9') {
		return otherwise;
	}
	size_t size = 0;
	while (*f->at >= '0' && *f->at <= '9') {
		size = size * 10 + (size_t)(*f->at++ - '0');
		if (size > max) {
			luaL_error(L, "integral size overflow");
		}
	}
	return size;
}

static size_t integer_size(lua_State *L, struct format *f)
{
	size_t size = read_size(L, f, 4, OUT_MAX);
	if (size == 0 || size > INTEGER_MAX) {
		luaL_error(L, "integral size %d is larger than limit of %d", (int)size, INTEGER_MAX);
	}
	return size;
}

/* True when the letter was a setting. */
static bool read_setting(lua_State *L, struct format *f, char letter)
{
	switch (letter) {
	case ' ':
		return true;
	case '>':
		f->big = true;
		return true;
	case '<':
	case '=':
		f->big = false;
		return true;
	case '!':
		f->align = read_size(L, f, 8, 1024);
		if (f->align == 0 || (f->align & (f->align - 1)) != 0) {
			luaL_error(L, "alignment is not a power of 2");
		}
		return true;
	default:
		return false;
	}
}

/* The next item, at offset of the whole. False at the end. */
static bool next_item(lua_State *L, struct format *f, size_t offset, struct item *item)
{
	char letter;
	do {
		budget_charge(L, 1);
		letter = *f->at;
		if (letter == '\0') {
			return false;
		}
		f->at++;
	} while (read_setting(L, f, letter));
	bool is_unsigned = letter >= 'A' && letter <= 'Z';
	*item = (struct item){.kind = is_unsigned ? 'I' : 'i'};
	switch (letter) {
	case 'b':
	case 'B':
		item->size = 1;
		break;
	case 'h':
	case 'H':
		item->size = 2;
		break;
	case 'i':
	case 'I':
		item->size = integer_size(L, f);
		break;
	case 'l':
	case 'L':
	case 'T':
		item->size = 8;
		break;
	case 'f':
	case 'd':
		item->kind = letter;
		item->size = letter == 'f' ? 4 : 8;
		break;
	case 'x':
	case 's':
		item->kind = letter;
		item->size = letter == 'x' ? 1 : 0;
		return true;
	case 'c':
		item->kind = 'c';
		item->size = read_size(L, f, 1, OUT_MAX);
		return true;
	default:
		luaL_argerror(L, 1, lua_pushfstring(L, "invalid format option '%c'", letter));
	}
	size_t align = item->size < f->align ? item->size : f->align;
	item->pad = align > 1 ? (align - offset % align) % align : 0;
	return true;
}

/* ---- packing ---- */

static void put_integer(struct buf *out, const struct format *f, uint64_t bits, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		size_t place = f->big ? size - 1 - i : i;
		uint8_t above = bits >> 63 != 0 ? 0xff : 0;
		buf_append_byte(out, place < 8 ? (uint8_t)(bits >> (8 * place)) : above);
	}
}

static uint64_t check_integer(lua_State *L, int arg, bool is_unsigned)
{
	if (lua_isinteger(L, arg)) {
		return (uint64_t)lua_tointeger(L, arg);
	}
	double number = luaL_checknumber(L, arg);
	if (is_unsigned && number >= 9223372036854775808.0 && number < 18446744073709551616.0) {
		return (uint64_t)number;
	}
	if (!(number >= -9223372036854775808.0 && number < 9223372036854775808.0)) {
		return (uint64_t)1 << 63;
	}
	return (uint64_t)(int64_t)number;
}

static void put_real(struct buf *out, const struct format *f, double number, size_t size)
{
	uint64_t bits = 0;
	if (size == 4) {
		float single = (float)number;
		memcpy(&bits, &single, 4);
	} else {
		memcpy(&bits, &number, 8);
	}
	put_integer(out, f, bits, size);
}

static void put_text(lua_State *L, struct buf *out, const struct item *item, int arg)
{
	size_t len;
	sandbox_float_text(L, arg);
	const char *text = luaL_checklstring(L, arg, &len);
	size_t size = item->kind == 's' || item->size == 0 ? len : item->size;
	luaL_argcheck(L, len >= size, arg, "string too short");
	buf_append(out, text, size);
	if (item->kind == 's') {
		buf_append_byte(out, 0);
	}
}

static void pack_items(lua_State *L, struct format *f, struct buf *out)
{
	struct item item;
	int arg = 2;
	while (next_item(L, f, out->len, &item)) {
		for (size_t i = 0; i < item.pad; i++) {
			buf_append_byte(out, 0);
		}
		switch (item.kind) {
		case 'i':
		case 'I':
			put_integer(out, f, check_integer(L, arg++, item.kind == 'I'), item.size);
			break;
		case 'f':
		case 'd':
			put_real(out, f, luaL_checknumber(L, arg++), item.size);
			break;
		case 'x':
			buf_append_byte(out, 0);
			break;
		default:
			put_text(L, out, &item, arg++);
			break;
		}
	}
}

/* The machine's buffer is the workspace: an error leaves it to the next user, and nothing leaks. */
static int struct_pack(lua_State *L)
{
	struct format f = {.at = luaL_checkstring(L, 1), .align = 1};
	struct buf *out = &machine_of(L)->bytes;
	buf_reset(out);
	pack_items(L, &f, out);
	if (buf_failed(out)) {
		return luaL_error(L, "format result too large");
	}
	budget_charge_bytes(L, out->len);
	lua_pushlstring(L, out->len == 0 ? "" : (const char *)out->data, out->len);
	return 1;
}

/* ---- unpacking ---- */

static uint64_t get_integer(const struct format *f, const uint8_t *at, size_t size)
{
	uint64_t bits = 0;
	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | at[f->big ? i : size - 1 - i];
	}
	return bits;
}

static void push_integer(lua_State *L, uint64_t bits, const struct item *item)
{
	if (item->kind == 'i' && item->size < 8) { /* longer ones have lost what was above */
		uint64_t sign = (uint64_t)1 << (8 * item->size - 1);
		bits = (bits ^ sign) - sign;
	}
	if (item->kind == 'I' && bits > INT64_MAX) {
		lua_pushnumber(L, (double)bits);
	} else {
		lua_pushinteger(L, (lua_Integer)bits);
	}
}

static void push_real(lua_State *L, uint64_t bits, size_t size)
{
	float single;
	double number;
	if (size == 4) {
		uint32_t half = (uint32_t)bits;
		memcpy(&single, &half, 4);
		number = (double)single;
	} else {
		memcpy(&number, &bits, 8);
	}
	lua_pushnumber(L, number);
}

/* How many bytes item takes at data, which has left bytes; its size is set for c0. */
static size_t measure(lua_State *L, struct item *item, const uint8_t *data, size_t left)
{
	if (item->kind == 'c' && item->size == 0) {
		if (lua_type(L, -1) != LUA_TNUMBER) {
			luaL_error(L, "format 'c0' needs a previous size");
		}
		double size = lua_tonumber(L, -1);
		lua_pop(L, 1);
		luaL_argcheck(L, size >= 0 && size <= (double)left, 2, "data string too short");
		item->size = (size_t)size;
	}
	if (item->kind == 's') {
		const uint8_t *end = memchr(data, 0, left);
		if (end == NULL) {
			luaL_error(L, "unfinished string in data");
		}
		item->size = (size_t)(end - data);
		return item->size + 1;
	}
	luaL_argcheck(L, item->size <= left, 2, "data string too short");
	return item->size;
}

static int struct_unpack(lua_State *L)
{
	struct format f = {.at = luaL_checkstring(L, 1), .align = 1};
	size_t len;
	const uint8_t *data = (const uint8_t *)luaL_checklstring(L, 2, &len);
	lua_Integer from = luaL_optinteger(L, 3, 1);
	luaL_argcheck(L, from >= 1, 3, "offset must be 1 or greater");
	size_t at = (size_t)from - 1;
	luaL_argcheck(L, at <= len, 2, "data string too short");
	lua_settop(L, 2);
	struct item item;
	while (next_item(L, &f, at, &item)) {
		luaL_checkstack(L, 3, "too many results"); /* CVE-2021-32626 */
		luaL_argcheck(L, item.pad <= len - at, 2, "data string too short");
		at += item.pad;
		size_t taken = measure(L, &item, data + at, len - at);
		switch (item.kind) {
		case 'i':
		case 'I':
			push_integer(L, get_integer(&f, data + at, item.size), &item);
			break;
		case 'f':
		case 'd':
			push_real(L, get_integer(&f, data + at, item.size), item.size);
			break;
		case 'x':
			break;
		default:
			lua_pushlstring(L, (const char *)data + at, item.size);
			break;
		}
		at += taken;
	}
	lua_pushinteger(L, (lua_Integer)at + 1);
	return lua_gettop(L) - 2;
}

static int struct_size(lua_State *L)
{
	struct format f = {.at = luaL_checkstring(L, 1), .align = 1};
	size_t total = 0;
	struct item item;
	while (next_item(L, &f, total, &item)) {
		if (item.kind == 's') {
			return luaL_argerror(L, 1, "option 's' has no fixed size");
		}
		if (item.kind == 'c' && item.size == 0) {
			return luaL_argerror(L, 1, "option 'c0' has no fixed size");
		}
		total += item.pad + item.size;
	}
	lua_pushinteger(L, (lua_Integer)total);
	return 1;
}

void lua_struct_open(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"pack", struct_pack}, {"unpack", struct_unpack}, {"size", struct_size}, {NULL, NULL}};
	lua_createtable(L, 0, 3);
	luaL_setfuncs(L, functions, 0);
}

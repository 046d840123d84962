/* FUNCTION DUMP and RESTORE, in Redis' own format, so that libraries move between it and us:
 *
 *   for each library: 0xf5, the code as a string of an RDB file
 *   then: version (2, little-endian; 10), CRC-64 (Jones) of all before (8, little-endian)
 *
 * A string of an RDB file begins with its length: 00xxxxxx | 01xxxxxx 8 bits | 0x80 32 bits, big-endian; or
 * with 0xc3, two such lengths (compressed, plain) and bytes compressed by LZF. We write plain ones and read
 * both. */
#include "base/limits.h"
#include "script/lua_redis.h"

#define OPCODE_FUNCTION 0xf5
#define RDB_VERSION 10
#define FOOTER 10
#define DUMP_MAX (LIMIT_TXN_BYTES + KIB(64))

static uint64_t crc64(struct slice bytes)
{
	uint64_t crc = 0;
	for (size_t i = 0; i < bytes.len; i++) {
		crc ^= bytes.data[i];
		for (unsigned bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^
			      (crc & 1 ? UINT64_C(0x95ac9329ac4bc9b5) : 0); /* 0xad93d23594c935a9 reversed */
		}
	}
	return crc;
}

/* ---- writing ---- */

static void put_string(struct buf *out, struct slice text)
{
	if (text.len < 64) {
		buf_append_byte(out, (uint8_t)text.len);
	} else if (text.len < 16384) {
		buf_append_byte(out, (uint8_t)(0x40 | text.len >> 8));
		buf_append_byte(out, (uint8_t)text.len);
	} else {
		buf_append_byte(out, 0x80);
		for (int shift = 24; shift >= 0; shift -= 8) {
			buf_append_byte(out, (uint8_t)(text.len >> shift));
		}
	}
	buf_append_slice(out, text);
}

int dump_write(struct script_redis *call)
{
	struct slice *names;
	size_t count;
	int status = library_names(call, &names, &count);
	struct buf out;
	buf_init(&out, MIB(8));
	for (size_t i = 0; i < count && status == 0; i++) {
		struct redis_library library;
		status = library_read(call, names[i], &library);
		if (status == 0) {
			buf_append_byte(&out, OPCODE_FUNCTION);
			put_string(&out, library.code);
		}
	}
	buf_append_u16(&out, RDB_VERSION);
	buf_append_u64(&out, crc64(buf_slice(&out)));
	if (status == 0 && buf_failed(&out)) {
		reply_code(call->reply, CODE_TOO_LARGE, NULL);
		status = ERR_DENIED;
	} else if (status == 0) {
		reply_bulk(call->reply, buf_slice(&out));
	}
	buf_fini(&out);
	return status;
}

/* ---- reading ---- */

/* 1: a length; 2: a compressed string; 0: neither. */
static int take_length(struct slice *in, uint32_t *length)
{
	uint8_t first, next;
	if (!slice_take_u8(in, &first)) {
		return 0;
	}
	if (first < 0x40) {
		*length = first;
		return 1;
	}
	if (first < 0x80) {
		*length = 0;
		return slice_take_u8(in, &next) ? (*length = (uint32_t)(first & 0x3f) << 8 | next, 1) : 0;
	}
	if (first == 0x80) {
		*length = 0;
		for (int i = 0; i < 4; i++) {
			if (!slice_take_u8(in, &next)) {
				return 0;
			}
			*length = *length << 8 | next;
		}
		return 1;
	}
	return first == 0xc3 ? 2 : 0;
}

/* LZF: a byte below 32 is followed by so many plain bytes and one; others by a place to copy from. */
static bool decompress(struct slice in, uint8_t *out, size_t out_len)
{
	size_t at = 0;
	uint8_t control, next;
	while (slice_take_u8(&in, &control)) {
		struct slice plain;
		size_t len = control >> 5;
		if (len == 0) {
			len = (size_t)control + 1;
			if (len > out_len - at || !slice_take(&in, len, &plain)) {
				return false;
			}
			memcpy(out + at, plain.data, len);
			at += len;
			continue;
		}
		if (len == 7) {
			if (!slice_take_u8(&in, &next)) {
				return false;
			}
			len += next;
		}
		len += 2;
		if (!slice_take_u8(&in, &next)) {
			return false;
		}
		size_t back = ((size_t)(control & 31) << 8 | next) + 1;
		if (back > at || len > out_len - at) {
			return false;
		}
		for (size_t i = 0; i < len; i++, at++) {
			out[at] = out[at - back]; /* may overlap itself: byte by byte */
		}
	}
	return at == out_len;
}

static bool take_string(struct slice *in, struct arena *arena, struct slice *text)
{
	uint32_t length, plain_length;
	struct slice bytes;
	int kind = take_length(in, &length);
	if (kind == 1) {
		return slice_take(in, length, text);
	}
	if (kind == 0 || take_length(in, &length) != 1 || take_length(in, &plain_length) != 1) {
		return false;
	}
	if (plain_length > LIMIT_SCRIPT_SOURCE || !slice_take(in, length, &bytes)) {
		return false;
	}
	uint8_t *out = arena_alloc(arena, plain_length);
	*text = slice_of(out, plain_length);
	return decompress(bytes, out, plain_length);
}

static bool payload_is_sound(struct slice payload)
{
	if (payload.len < FOOTER || payload.len > DUMP_MAX) {
		return false;
	}
	struct slice footer = slice_skip(payload, payload.len - FOOTER);
	uint16_t version;
	uint64_t sum;
	return slice_take_u16(&footer, &version) && version <= RDB_VERSION && slice_take_u64(&footer, &sum) &&
	       sum == crc64(slice_of(payload.data, payload.len - 8));
}

static int restore_library(struct redis_machine *m, struct script_redis *call, struct slice code,
			   bool replace)
{
	struct slice name;
	size_t begin = call->reply->out->len;
	int status = function_load(m, call, code, replace, &name);
	if (status == ERR_DENIED) { /* Redis' text has no quotes here */
		static const char quoted[] = "-ERR Library '";
		struct slice written = slice_skip(buf_slice(call->reply->out), begin);
		if (slice_starts_with(written, SLICE_LIT(quoted))) {
			struct slice rest = slice_skip(written, sizeof(quoted) - 1);
			size_t len = (size_t)((const uint8_t *)memchr(rest.data, '\'', rest.len) - rest.data);
			struct slice copy = arena_copy(call->arena, slice_of(rest.data, len));
			call->reply->out->len = begin;
			reply_error(call->reply, "ERR Library %s already exists", (const char *)copy.data);
		}
	}
	return status;
}

int dump_restore(struct redis_machine *m, struct script_redis *call)
{
	bool replace = call->argc == 4 && slice_is_word(call->argv[3], "REPLACE");
	bool flush = call->argc == 4 && slice_is_word(call->argv[3], "FLUSH");
	if (call->argc == 4 && !replace && !flush && !slice_is_word(call->argv[3], "APPEND")) {
		reply_error(
			call->reply,
			"ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
		return ERR_DENIED;
	}
	struct slice in = call->argv[2];
	if (!payload_is_sound(in)) {
		reply_error(call->reply, "ERR DUMP payload version or checksum are wrong");
		return ERR_DENIED;
	}
	int status = flush ? library_delete_all(call) : 0;
	in.len -= FOOTER;
	uint8_t opcode;
	while (status == 0 && slice_take_u8(&in, &opcode)) {
		struct slice code;
		if (opcode != OPCODE_FUNCTION || !take_string(&in, call->arena, &code)) {
			reply_error(call->reply, "ERR failed loading functions payload");
			return ERR_DENIED;
		}
		status = restore_library(m, call, code, replace);
	}
	if (status == 0) {
		reply_simple(call->reply, "OK");
	}
	return status;
}

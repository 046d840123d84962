/* Bits of strings. Bit 0 is the highest of the first byte; behind a string's end all bits are zero. */
#include "command/room.h"

#include "base/err.h"

/* A place that Redis accepts: in a string of 512 MiB. Writing is bounded by LIMIT_VALUE. */
#define BIT_OFFSET_END ((int64_t)512 << 23)

/* `#n`, where hash_bits is not 0: the n-th integer of so many bits. */
static bool argument_offset(struct command_call *call, size_t at, unsigned hash_bits, uint64_t *offset)
{
	struct slice text = call->argv[at];
	bool hash = hash_bits > 0 && text.len > 0 && text.data[0] == '#';
	int64_t value;

	if (slice_to_int64(hash ? slice_skip(text, 1) : text, &value) &&
	    !(hash && __builtin_mul_overflow(value, (int64_t)hash_bits, &value)) && value >= 0 &&
	    value < BIT_OFFSET_END) {
		*offset = (uint64_t)value;
		return true;
	}
	reply_error(call->reply, "ERR bit offset is not an integer or out of range");
	return false;
}

static bool bit_at(struct slice bytes, uint64_t offset)
{
	return offset / 8 < bytes.len && (bytes.data[offset / 8] >> (7 - offset % 8) & 1);
}

/* A copy that reaches at least to the bit `highest`. NULL and an error written when that is too long. */
static uint8_t *grown_copy(struct command_call *call, struct slice bytes, uint64_t highest, size_t *len)
{
	uint8_t *copy;

	if (highest / 8 >= LIMIT_VALUE) {
		reply_too_long(call->reply);
		return NULL;
	}
	*len = highest / 8 + 1 > bytes.len ? (size_t)(highest / 8 + 1) : bytes.len;
	copy = arena_zalloc(call->arena, *len);
	if (bytes.len > 0) {
		memcpy(copy, bytes.data, bytes.len);
	}
	return copy;
}

static void set_bit(uint8_t *bytes, uint64_t offset, bool on)
{
	uint8_t mask = (uint8_t)(0x80 >> offset % 8);
	bytes[offset / 8] = (uint8_t)(on ? bytes[offset / 8] | mask : bytes[offset / 8] & ~mask);
}

int getbit_command(struct command_call *call)
{
	uint64_t offset;
	struct row row;
	int rc;

	if (!argument_offset(call, 2, 0, &offset)) {
		return 0;
	}
	rc = string_find(call, 1, &row);
	if (rc == 0) {
		reply_integer(call->reply, bit_at(row.bytes, offset));
	}
	return string_answered(rc);
}

int setbit_command(struct command_call *call)
{
	uint64_t offset;
	uint8_t *copy;
	int64_t on;
	struct row row;
	size_t len;
	int rc;

	if (!argument_offset(call, 2, 0, &offset)) {
		return 0;
	}
	if (!slice_to_int64(call->argv[3], &on) || (on & ~(int64_t)1) != 0) {
		reply_error(call->reply, "ERR bit is not an integer or out of range");
		return 0;
	}
	rc = string_find(call, 1, &row);
	if (rc != 0) {
		return string_answered(rc);
	}
	copy = grown_copy(call, row.bytes, offset, &len);
	if (copy == NULL) {
		return 0;
	}
	reply_integer(call->reply, bit_at(row.bytes, offset));
	set_bit(copy, offset, on == 1);
	return row_put(&row, slice_of(copy, len), ROW_RAW, row.expire_at_ms);
}

/* ---- ranges of bits: BITCOUNT, BITPOS ---- */

/* BYTE or BIT at argv[at]; false and a syntax error written for another word. */
static bool argument_unit(struct command_call *call, size_t at, bool *bits)
{
	*bits = argument_is(call, at, "BIT");
	if (*bits || argument_is(call, at, "BYTE")) {
		return true;
	}
	reply_syntax_error(call->reply);
	return false;
}

/* From what was asked, negative ones from the end, to bits [*start, *end] of a string; false: none. */
static bool clamp_range(int64_t len, bool bits, int64_t *start, int64_t *end)
{
	int64_t total = bits ? len * 8 : len;

	*start += *start < 0 ? total : 0;
	*end += *end < 0 ? total : 0;
	*start = *start < 0 ? 0 : *start;
	*end = *end < 0 ? 0 : *end;
	*end = *end >= total ? total - 1 : *end; /* below start when the string is empty */
	if (*start > *end) {
		return false;
	}
	if (!bits) {
		*start *= 8;
		*end = *end * 8 + 7;
	}
	return true;
}

static int64_t count_bits(struct slice bytes, int64_t start, int64_t end)
{
	int64_t count = 0, at = start;

	for (; at <= end && at % 8 != 0; at++) {
		count += bit_at(bytes, (uint64_t)at);
	}
	for (; at + 63 <= end; at += 64) {
		uint64_t word;
		memcpy(&word, bytes.data + at / 8, 8);
		count += __builtin_popcountll(word);
	}
	for (; at <= end; at++) {
		count += bit_at(bytes, (uint64_t)at);
	}
	return count;
}

int bitcount_command(struct command_call *call)
{
	int64_t start = 0, end = -1;
	bool bits = false;
	struct row row;
	int rc = string_find(call, 1, &row);

	if (rc != 0) {
		return string_answered(rc);
	}
	if (!row.found) {
		reply_integer(call->reply, 0); /* whatever the other arguments are */
		return 0;
	}
	if (call->argc == 3 || call->argc > 5) {
		reply_syntax_error(call->reply);
		return 0;
	}
	if (call->argc > 3) {
		if (!argument_integer(call, 2, &start) || !argument_integer(call, 3, &end)) {
			return 0;
		}
		if (start < 0 && end < 0 && start > end) {
			reply_integer(call->reply, 0);
			return 0;
		}
		if (call->argc == 5 && !argument_unit(call, 4, &bits)) {
			return 0;
		}
	}
	txn_spend(call->txn, row.bytes.len / COMMAND_STEP_BYTES);
	bool some = clamp_range((int64_t)row.bytes.len, bits, &start, &end);
	reply_integer(call->reply, some ? count_bits(row.bytes, start, end) : 0);
	return 0;
}

/* The first such bit in [start, end], or -1. */
static int64_t find_bit(struct slice bytes, bool on, int64_t start, int64_t end)
{
	uint8_t skip = on ? 0x00 : 0xff;

	for (int64_t at = start; at <= end; at++) {
		while (at % 8 == 0 && at + 7 <= end && bytes.data[at / 8] == skip) {
			at += 8;
		}
		if (at <= end && bit_at(bytes, (uint64_t)at) == on) {
			return at;
		}
	}
	return -1;
}

int bitpos_command(struct command_call *call)
{
	int64_t bit, start = 0, end = -1, found = -1;
	bool bits = false, end_given = call->argc >= 5;
	struct row row;
	int rc;

	if (!argument_integer(call, 2, &bit)) {
		return 0;
	}
	if (bit != 0 && bit != 1) {
		reply_error(call->reply, "ERR The bit argument must be 1 or 0.");
		return 0;
	}
	rc = string_find(call, 1, &row);
	if (rc != 0) {
		return string_answered(rc);
	}
	if (!row.found) {
		reply_integer(call->reply, bit ? -1 : 0);
		return 0;
	}
	if (call->argc > 6) {
		reply_syntax_error(call->reply);
		return 0;
	}
	if ((call->argc > 3 && !argument_integer(call, 3, &start)) ||
	    (call->argc == 6 && !argument_unit(call, 5, &bits)) || (end_given && !argument_integer(call, 4, &end))) {
		return 0;
	}
	txn_spend(call->txn, row.bytes.len / COMMAND_STEP_BYTES);
	if (clamp_range((int64_t)row.bytes.len, bits, &start, &end)) {
		found = find_bit(row.bytes, bit == 1, start, end);
		if (found == -1 && bit == 0 && !end_given) {
			found = (int64_t)row.bytes.len * 8; /* the zeros behind the end */
		}
	}
	reply_integer(call->reply, found);
	return 0;
}

/* ---- BITOP ---- */

static void combine(uint8_t *into, size_t len, struct slice other, char op)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t byte = i < other.len ? other.data[i] : 0;
		into[i] = (uint8_t)(op == 'A' ? into[i] & byte : op == 'O' ? into[i] | byte : into[i] ^ byte);
	}
}

/* Reads the sources and computes; 0, ERR_TYPE (the error is written), ERR_TOO_LARGE, or the store's error. */
static int compute(struct command_call *call, char op, uint8_t **result, size_t *len)
{
	size_t count = call->argc - 3;
	struct slice *sources = arena_alloc(call->arena, count * sizeof(*sources));

	*len = 0;
	for (size_t i = 0; i < count; i++) {
		struct row row;
		int rc = string_find(call, 3 + i, &row);
		if (rc != 0) {
			return rc;
		}
		sources[i] = row.bytes;
		*len = row.bytes.len > *len ? row.bytes.len : *len;
	}
	if (count * *len > COMMAND_BITOP_MAX) {
		return ERR_TOO_LARGE;
	}
	txn_spend(call->txn, count * *len / COMMAND_STEP_BYTES);
	*result = arena_zalloc(call->arena, *len);
	if (sources[0].len > 0) {
		memcpy(*result, sources[0].data, sources[0].len);
	}
	for (size_t i = 1; i < count; i++) {
		combine(*result, *len, sources[i], op);
	}
	for (size_t i = 0; op == 'N' && i < *len; i++) {
		(*result)[i] = (uint8_t)~(*result)[i];
	}
	return 0;
}

int bitop_command(struct command_call *call)
{
	static const char *const words[] = {"AND", "OR", "XOR", "NOT"};
	uint8_t *result;
	struct row row;
	size_t len, op = 0;
	int rc;

	while (op < 4 && !argument_is(call, 1, words[op])) {
		op++;
	}
	if (op == 4) {
		reply_syntax_error(call->reply);
		return 0;
	}
	if (op == 3 && call->argc != 4) {
		reply_error(call->reply, "ERR BITOP NOT must be called with a single source key.");
		return 0;
	}
	rc = compute(call, words[op][0], &result, &len);
	if (rc == 0) {
		rc = row_find(&row, call->txn, call->arena, call->db, call->argv[2]);
	}
	if (rc != 0) {
		return string_answered(rc);
	}
	reply_integer(call->reply, (int64_t)len);
	if (len > 0) {
		return row_put(&row, slice_of(result, len), ROW_RAW, 0);
	}
	return row.found ? row_delete(&row) : 0;
}

/* BITFIELD: a string as an array of integers of 1 to 64 bits.
 *
 * All operations are read first, so that the command is refused before it writes
 * anything; then they run in order on one copy of the string. */
#include "command/room.h"

#include "base/err.h"

enum overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field_operation {
	char op; /* 'G', 'S', 'I' */
	bool is_signed;
	unsigned bits;
	uint64_t offset;
	int64_t value; /* of SET and INCRBY */
	enum overflow overflow;
};

struct field_program {
	struct field_operation *operations;
	size_t count;
	bool writes;
	uint64_t highest; /* bit that is written */
};

/* ---- reading the operations ---- */

static bool parse_type(struct command_call *call, size_t at, struct field_operation *operation)
{
	struct slice text = call->argv[at];
	int64_t bits;

	operation->is_signed = text.len > 0 && text.data[0] == 'i';
	if (text.len > 1 && (text.data[0] == 'i' || text.data[0] == 'u') &&
	    slice_to_int64(slice_skip(text, 1), &bits) && bits >= 1 && bits <= (operation->is_signed ? 64 : 63)) {
		operation->bits = (unsigned)bits;
		return true;
	}
	reply_error(call->reply, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
	                         "but i64 is.");
	return false;
}

static bool parse_offset(struct command_call *call, size_t at, struct field_operation *operation)
{
	struct slice text = call->argv[at];
	bool hash = text.len > 0 && text.data[0] == '#';
	int64_t value;

	if (slice_to_int64(hash ? slice_skip(text, 1) : text, &value) &&
	    !(hash && __builtin_mul_overflow(value, (int64_t)operation->bits, &value)) && value >= 0 &&
	    value < (int64_t)512 << 23) {
		operation->offset = (uint64_t)value;
		return true;
	}
	reply_error(call->reply, "ERR bit offset is not an integer or out of range");
	return false;
}

static bool parse_overflow(struct command_call *call, size_t at, enum overflow *overflow)
{
	static const char *const words[] = {"WRAP", "SAT", "FAIL"};

	for (size_t i = 0; i < 3; i++) {
		if (argument_is(call, at, words[i])) {
			*overflow = (enum overflow)i;
			return true;
		}
	}
	reply_error(call->reply, "ERR Invalid OVERFLOW type specified");
	return false;
}

/* GET, SET or INCRBY at argv[at] with enough words behind it, or 0. */
static char operation_at(const struct command_call *call, size_t at)
{
	size_t behind = call->argc - at - 1;

	if (behind >= 2 && argument_is(call, at, "GET")) {
		return 'G';
	}
	if (behind >= 3 && argument_is(call, at, "SET")) {
		return 'S';
	}
	return behind >= 3 && argument_is(call, at, "INCRBY") ? 'I' : 0;
}

static bool parse_operation(struct command_call *call, size_t at, char op, struct field_program *program,
                            enum overflow overflow)
{
	struct field_operation *operation = &program->operations[program->count];

	*operation = (struct field_operation){.op = op, .overflow = overflow};
	if (!parse_type(call, at + 1, operation) || !parse_offset(call, at + 2, operation)) {
		return false;
	}
	if (op != 'G') {
		uint64_t last = operation->offset + operation->bits - 1;
		program->writes = true;
		program->highest = last > program->highest ? last : program->highest;
		if (!argument_integer(call, at + 3, &operation->value)) {
			return false;
		}
	}
	program->count++;
	return true;
}

static bool parse_program(struct command_call *call, struct field_program *program)
{
	enum overflow overflow = OVERFLOW_WRAP;
	size_t at = 2;

	*program = (struct field_program){0};
	program->operations = arena_alloc(call->arena, call->argc * sizeof(*program->operations));
	while (at < call->argc) {
		char op = operation_at(call, at);
		if (op != 0) {
			if (!parse_operation(call, at, op, program, overflow)) {
				return false;
			}
			at += op == 'G' ? 3 : 4;
		} else if (argument_is(call, at, "OVERFLOW") && at + 1 < call->argc) {
			if (!parse_overflow(call, at + 1, &overflow)) {
				return false;
			}
			at += 2;
		} else {
			reply_syntax_error(call->reply);
			return false;
		}
	}
	return true;
}

/* ---- running them ---- */

static uint64_t mask_of(unsigned bits)
{
	return bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

static uint64_t read_bits(struct slice bytes, uint64_t offset, unsigned bits)
{
	uint64_t value = 0;

	for (uint64_t at = offset; at < offset + bits; at++) {
		unsigned bit = at / 8 < bytes.len ? bytes.data[at / 8] >> (7 - at % 8) & 1u : 0;
		value = value << 1 | bit;
	}
	return value;
}

static void write_bits(uint8_t *bytes, uint64_t offset, unsigned bits, uint64_t value)
{
	for (unsigned i = 0; i < bits; i++) {
		uint64_t at = offset + i;
		uint8_t mask = (uint8_t)(0x80 >> at % 8);
		bool on = value >> (bits - 1 - i) & 1;
		bytes[at / 8] = (uint8_t)(on ? bytes[at / 8] | mask : bytes[at / 8] & ~mask);
	}
}

/* The low bits of a number, with their sign. */
static __int128 as_number(const struct field_operation *operation, uint64_t low)
{
	uint64_t mask = mask_of(operation->bits);

	low &= mask;
	if (operation->is_signed && low >> (operation->bits - 1) & 1) {
		return (__int128)(int64_t)(low | ~mask);
	}
	return (__int128)low;
}

/* Fits value into the field; false when it does not fit and OVERFLOW says FAIL. */
static bool fit(const struct field_operation *operation, __int128 *value)
{
	__int128 high = operation->is_signed ? (__int128)(mask_of(operation->bits) >> 1) : mask_of(operation->bits);
	__int128 low = operation->is_signed ? -high - 1 : 0;

	if (*value >= low && *value <= high) {
		return true;
	}
	if (operation->overflow == OVERFLOW_SAT) {
		*value = *value < low ? low : high;
	} else if (operation->overflow == OVERFLOW_WRAP) {
		*value = as_number(operation, (uint64_t)*value);
	}
	return operation->overflow != OVERFLOW_FAIL;
}

/* SET of an unsigned field reads its argument as unsigned, as Redis does. */
static __int128 wanted(const struct field_operation *operation, __int128 old)
{
	if (operation->op == 'I') {
		return old + operation->value;
	}
	return operation->is_signed ? (__int128)operation->value : (__int128)(uint64_t)operation->value;
}

static bool run_operation(struct reply *r, const struct field_operation *operation, struct slice bytes,
                          uint8_t *writable)
{
	__int128 old = as_number(operation, read_bits(bytes, operation->offset, operation->bits)), value;

	if (operation->op == 'G') {
		reply_integer(r, (int64_t)old);
		return false;
	}
	value = wanted(operation, old);
	if (!fit(operation, &value)) {
		reply_null(r);
		return false;
	}
	reply_integer(r, (int64_t)(operation->op == 'S' ? old : value));
	write_bits(writable, operation->offset, operation->bits, (uint64_t)value);
	return true;
}

static int run_program(struct command_call *call, const struct field_program *program, struct row *row)
{
	struct slice bytes = row->bytes;
	uint8_t *copy = NULL;
	bool changed = false;

	if (program->writes) {
		size_t len = (size_t)(program->highest / 8) + 1;
		len = len > bytes.len ? len : bytes.len;
		if (len > LIMIT_VALUE) {
			reply_too_long(call->reply);
			return 0;
		}
		copy = arena_zalloc(call->arena, len);
		if (bytes.len > 0) {
			memcpy(copy, bytes.data, bytes.len);
		}
		changed = len > bytes.len;
		bytes = slice_of(copy, len);
	}
	reply_array(call->reply, program->count);
	for (size_t i = 0; i < program->count; i++) {
		changed |= run_operation(call->reply, &program->operations[i], bytes, copy);
	}
	return changed ? row_put(row, bytes, ROW_RAW, row->expire_at_ms) : 0;
}

static int bitfield(struct command_call *call, bool read_only)
{
	struct field_program program;
	struct row row;
	int rc;

	if (!parse_program(call, &program)) {
		return 0;
	}
	if (read_only && program.writes) {
		reply_error(call->reply, "ERR BITFIELD_RO only supports the GET subcommand");
		return 0;
	}
	rc = string_find(call, 1, &row);
	return rc != 0 ? string_answered(rc) : run_program(call, &program, &row);
}

int bitfield_command(struct command_call *call)
{
	return bitfield(call, false);
}

int bitfield_ro_command(struct command_call *call)
{
	return bitfield(call, true);
}

#include "tests/diff/random.h"

#include <ctype.h>
#include <string.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"

/* Capital letters alone are drawn:
 * K key  V value  I integer  F float  O offset  B bit  T time  Y type of a bitfield
 * N integer that is not at an end  D database  G pattern  X condition of EXPIRE  U unit
 * A point in time  L condition that compares: with A only, as the two sides' clocks differ by a little  W overflow  P operation */
static const char *const templates[] = {
	"SET K V", "SET K V NX", "SET K V XX", "SET K V XX GET", "SET K V NX GET", "SET K V KEEPTTL", "SET K V EX T",
	"SET K V PX T", "SET K I", "SET K I", "SET K F", "GET K", "GETSET K V", "GETDEL K", "GETEX K", "GETEX K EX T",
	"GETEX K PERSIST", "SETNX K V", "SETEX K T V", "MSET K V K V", "MSETNX K V K V", "MGET K K K", "APPEND K V",
	"STRLEN K", "SETRANGE K O V", "GETRANGE K I I", "SUBSTR K I I", "INCR K", "DECR K", "INCRBY K I", "DECRBY K I",
	"INCRBYFLOAT K F", "INCRBYFLOAT K I", "DEL K", "DEL K K", "UNLINK K", "EXISTS K K", "TOUCH K", "TYPE K",
	"RENAME K K", "RENAMENX K K", "COPY K K", "COPY K K REPLACE", "COPY K K DB D", "MOVE K D", "OBJECT ENCODING K", "SETBIT K O B", "GETBIT K O", "BITCOUNT K", "BITCOUNT K I I", "BITCOUNT K I I U",
	"BITPOS K B", "BITPOS K B I", "BITPOS K B I I", "BITPOS K B I I U", "BITOP P K K", "BITOP P K K K",
	"BITOP NOT K K", "BITFIELD K GET Y O", "BITFIELD K SET Y O N", "BITFIELD K INCRBY Y O I GET Y O",
	"BITFIELD K OVERFLOW W SET Y O N INCRBY Y O I", "BITFIELD_RO K GET Y O", "LCS K K", "LCS K K LEN",
	"LCS K K IDX", "LCS K K IDX WITHMATCHLEN MINMATCHLEN I", "PERSIST K", "EXPIRE K T", "EXPIRE K T X",
	"EXPIREAT K T", "EXPIREAT K A L", "% TTL K", "% TTL K", "~ KEYS G", "~ KEYS G", "DBSIZE", "SELECT 0", "SELECT 1", "SWAPDB D D", "FLUSHDB"};

#define PICK(list) (list)[prng_below(prng, sizeof(list) / sizeof((list)[0]))]

static const char *draw(struct prng *prng, char kind)
{
	static const char *const keys[] = {"a", "b", "c", "aa", "ab", "x\\x00y"};
	static const char *const values[] = {"", "a", "abc", "hello world", "\\x00\\xff\\x0f", "foobar", "abcabcabc",
	                                     "bacbacbac", "12", "0", "-1", "3.25", " 7", "1e3",
	                                     "0123456789012345678901234567890123456789", "9223372036854775807"};
	static const char *const integers[] = {"0", "1", "-1", "2", "7", "-3", "100", "-100", "255", "128", "-129",
	                                       "9223372036854775807", "-9223372036854775808", "9223372036854775808", "x",
	                                       "1.5", ""};
	static const char *const numbers[] = {"0", "1", "-1", "100", "-100", "255", "128", "-129", "65536", "x"};
	static const char *const floats[] = {"0.1", "-0.1", "1e10", "3", "1.5e-7", "123456789.125", "-0", "nan", "inf",
	                                     "abc", "0x1p4", "1 ", ".5"};
	static const char *const offsets[] = {"0", "1", "5", "7", "8", "31", "64", "#1", "-1", "100", "4294967296", "x"};
	static const char *const bits[] = {"0", "1", "1", "0", "2", "x"};
	static const char *const times[] = {"100000", "200000", "300000", "4102444800", "-1", "0", "x",
	                                    "9223372036854775807"};
	static const char *const types[] = {"u8", "i8", "u1", "i1", "u5", "i16", "u63", "i64", "u64", "x8", "i0"};
	static const char *const databases[] = {"0", "0", "1", "2", "16", "-1", "x"};
	static const char *const patterns[] = {"*", "a*", "?", "[ab]*", "[^a]", "a?", "\\\\a", "x*", "*a", "[a-c]", "["};
	static const char *const conditions[] = {"NX", "XX", "FOO"};
	static const char *const points[] = {"4102444800", "4102448400", "4102444801", "0"};
	static const char *const comparisons[] = {"GT", "LT"};
	static const char *const units[] = {"BYTE", "BIT", "bit", "FOO"};
	static const char *const overflows[] = {"WRAP", "SAT", "FOO"};
	static const char *const operations[] = {"AND", "OR", "XOR", "and", "FOO"};

	switch (kind) {
	case 'K':
		return PICK(keys);
	case 'V':
		return PICK(values);
	case 'I':
		return PICK(integers);
	case 'N':
		return PICK(numbers);
	case 'F':
		return PICK(floats);
	case 'O':
		return PICK(offsets);
	case 'B':
		return PICK(bits);
	case 'T':
		return PICK(times);
	case 'Y':
		return PICK(types);
	case 'D':
		return PICK(databases);
	case 'G':
		return PICK(patterns);
	case 'X':
		return PICK(conditions);
	case 'A':
		return PICK(points);
	case 'L':
		return PICK(comparisons);
	case 'U':
		return PICK(units);
	case 'W':
		return PICK(overflows);
	default:
		return PICK(operations);
	}
}

const char *random_line(struct prng *prng, struct arena *arena)
{
	const char *at = PICK(templates);
	struct buf line;
	struct slice kept;

	buf_init(&line, KIB(64));
	for (; *at != '\0'; at++) {
		bool alone = isupper((unsigned char)*at) && (at[1] == ' ' || at[1] == '\0') && line.len > 0 && at[-1] == ' ';
		if (alone) {
			/* Now and then a word is missing, or is another kind's. */
			char kind = strchr("TAL", *at) == NULL && prng_chance(prng, 1, 40) ? "KVIFO"[prng_below(prng, 5)] : *at;
			if (!prng_chance(prng, 1, 100)) {
				buf_appendf(&line, "\"%s\"", draw(prng, kind));
			}
		} else {
			buf_append_byte(&line, (uint8_t)*at);
		}
	}
	kept = arena_copy(arena, buf_slice(&line));
	buf_fini(&line);
	return (const char *)kept.data;
}

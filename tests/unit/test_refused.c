/* The list of refused scripts and its file. */
#include "base/checksum.h"
#include "base/err.h"
#include "script/refused.h"
#include "tests/lib/tap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char hash_a[] = "00112233445566778899aabbccddeeff";
static const char hash_b[] = "ffeeddccbbaa99887766554433221100";
static const char sha[] = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

static struct script_identity script(enum script_kind kind, const char *name, const char *hash)
{
	return (struct script_identity){kind, slice_str(name), hash};
}

static bool has(const struct refused *refused, enum script_kind kind, const char *name, const char *hash)
{
	struct script_identity asked = script(kind, name, hash);
	return refused_has(refused, &asked);
}

static void add(struct refused *refused, enum script_kind kind, const char *name, const char *hash)
{
	struct script_identity added = script(kind, name, hash);
	refused_add(refused, &added);
}

static void fill(struct refused *refused)
{
	memset(refused, 0, sizeof *refused);
	add(refused, SCRIPT_PROCEDURE, "order.flash_buy", hash_a);
	add(refused, SCRIPT_EVAL, "-", sha);
	add(refused, SCRIPT_LIBRARY, "mylib", sha);
}

static bool same(const struct refused *a, const struct refused *b)
{
	bool equal = a->count == b->count;
	for (size_t i = 0; i < a->count && equal; i++) {
		equal = a->scripts[i].kind == b->scripts[i].kind &&
			strcmp(a->scripts[i].name, b->scripts[i].name) == 0 &&
			strcmp(a->scripts[i].hash, b->scripts[i].hash) == 0;
	}
	return equal;
}

static void test_list(void)
{
	struct refused refused = {.count = 0};
	char hash[REFUSED_HASH + 1];
	ok(!has(&refused, SCRIPT_PROCEDURE, "order.flash_buy", hash_a), "at first nothing is refused");
	fill(&refused);
	ok(has(&refused, SCRIPT_PROCEDURE, "order.flash_buy", hash_a) &&
		   has(&refused, SCRIPT_EVAL, "-", sha) && has(&refused, SCRIPT_LIBRARY, "mylib", sha),
	   "what was added is refused");
	ok(!has(&refused, SCRIPT_PROCEDURE, "order.flash_buy", hash_b),
	   "another source of the same name is not");
	ok(has(&refused, SCRIPT_PROCEDURE, "order.other_name", hash_a),
	   "the hash decides, the name is for people");
	add(&refused, SCRIPT_EVAL, "-", sha);
	is_int(refused.count, 3, "what is there already is not added");
	add(&refused, SCRIPT_LIBRARY, "a b\n\"", "0123456789012345678901234567890123456789");
	is_str(refused.scripts[3].name, "a_b__", "a name cannot break a line");
	for (int i = 0; i < LIMIT_REFUSED; i++) {
		snprintf(hash, sizeof hash, "%032x", i + 1);
		add(&refused, SCRIPT_PROCEDURE, "p", hash);
	}
	ok(refused.count == LIMIT_REFUSED && !has(&refused, SCRIPT_EVAL, "-", sha) &&
		   strcmp(refused.scripts[0].hash, "00000000000000000000000000000001") == 0 &&
		   has(&refused, SCRIPT_PROCEDURE, "p", hash),
	   "in a full list the oldest go");
}

static void test_file(void)
{
	struct refused refused, back, full = {.count = 0};
	struct buf bytes;
	char hash[REFUSED_HASH + 1], name[2 * REFUSED_NAME + 1];
	buf_init(&bytes, REFUSED_BYTES);
	memset(&back, 0, sizeof back);
	refused_encode(&full, &bytes);
	ok(refused_decode(buf_slice(&bytes), &back) == 0 && back.count == 0, "an empty list comes back");
	buf_reset(&bytes);
	fill(&refused);
	refused_encode(&refused, &bytes);
	ok(refused_decode(buf_slice(&bytes), &back) == 0 && same(&refused, &back),
	   "a list comes back as it was");
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	for (int i = 0; i < LIMIT_REFUSED; i++) {
		snprintf(hash, sizeof hash, "%040x", i);
		add(&full, SCRIPT_LIBRARY, name, hash);
	}
	buf_reset(&bytes);
	refused_encode(&full, &bytes);
	ok(bytes.len <= REFUSED_BYTES && refused_decode(buf_slice(&bytes), &back) == 0 && same(&full, &back),
	   "so does the longest, and it fits its bound");
	buf_fini(&bytes);
}

static void test_damage(void)
{
	struct refused refused, back = {.count = 0};
	struct buf bytes;
	size_t torn = 0, flipped = 0;
	buf_init(&bytes, REFUSED_BYTES);
	fill(&refused);
	refused_encode(&refused, &bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		torn += refused_decode(slice_of(bytes.data, len), &back) == ERR_CORRUPT;
	}
	is_int(torn, bytes.len, "a file that is torn anywhere is none");
	for (size_t bit = 0; bit < bytes.len * 8; bit++) {
		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		flipped += refused_decode(buf_slice(&bytes), &back) == ERR_CORRUPT;
		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	is_int(flipped, bytes.len * 8, "nor is one with a bit flipped");
	buf_append_byte(&bytes, '\n');
	is_int(refused_decode(buf_slice(&bytes), &back), ERR_CORRUPT, "nor one with a byte behind its end");
	is_int(back.count, 0, "and nothing of any of them is taken");
	buf_fini(&bytes);
}

/* The checksum is right. */
static int decode_lines(const char *lines)
{
	struct refused back;
	struct buf bytes;
	buf_init(&bytes, KIB(64));
	buf_appendf(&bytes, "tally-refused 1\n%s", lines);
	buf_appendf(&bytes, "check %016" PRIx64 "\n", checksum64(buf_slice(&bytes)));
	int rc = refused_decode(buf_slice(&bytes), &back);
	buf_fini(&bytes);
	return rc;
}

static void test_nonsense(void)
{
	static const char *const nonsense[] = {
		"procedures p 00112233445566778899aabbccddeeff\n", /* no kind */
		"procedure p 00112233445566778899aabbccddeef\n",   /* too short */
		"procedure p 00112233445566778899aabbccddeeff0\n", /* too long */
		"eval - 00112233445566778899aabbccddeeff\n",       /* of another kind's length */
		"procedure p 00112233445566778899AABBCCDDEEFF\n",  /* capital letters */
		"procedure  00112233445566778899aabbccddeeff\n",   /* no name */
		"procedure p q 00112233445566778899aabbccddeeff\n",
		"procedure p\" 00112233445566778899aabbccddeeff\n",
		"procedure p 00112233445566778899aabbccddeeff", /* no end of line */
		"procedure p 00112233445566778899aabbccddeeff\n\n",
		("eval - e0e1f9fabfc9d4800c877a703b823ac0578ff8db\n"
		 "eval q e0e1f9fabfc9d4800c877a703b823ac0578ff8db\n"),
	};
	char lines[(LIMIT_REFUSED + 1) * 64], long_name[128];
	size_t right = 0, at = 0;
	is_int(decode_lines("procedure p 00112233445566778899aabbccddeeff\n"), 0,
	       "a right line with its checksum");
	for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++) {
		bool refused = decode_lines(nonsense[i]) == ERR_CORRUPT;
		right += refused;
		if (!refused) {
			tap_note("taken: %s", nonsense[i]);
		}
	}
	is_int(right, sizeof nonsense / sizeof nonsense[0],
	       "lines that make no sense are refused, checksum or not");
	snprintf(long_name, sizeof long_name, "procedure %065d 00112233445566778899aabbccddeeff\n", 0);
	is_int(decode_lines(long_name), ERR_CORRUPT, "and a name over its bound");
	for (int i = 0; i <= LIMIT_REFUSED; i++) {
		at += (size_t)snprintf(lines + at, sizeof lines - at, "procedure p %032x\n", i);
	}
	is_int(decode_lines(lines), ERR_CORRUPT, "and one script too many");
}

int main(void)
{
	test_list();
	test_file();
	test_damage();
	test_nonsense();
	return tap_done();
}

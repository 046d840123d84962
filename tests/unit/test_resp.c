/* Requests: every segmentation of a stream reads the same, and every lie gets Redis' words. */
#include "wire/resp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

/* Reads all requests of input, of which first only `step` bytes have arrived, then twice as many, …
 * (step 0: all at once; else that many more a time). What was read is written to told. */
static void tell(struct slice input, size_t step, struct buf *told)
{
	struct resp_request_state state;
	struct arena arena;
	size_t start = 0, seen = step == 0 ? input.len : 0;

	resp_request_init(&state);
	arena_init(&arena, 4096);
	for (;;) {
		struct slice *argv;
		size_t argc, used;
		struct err err = {0};
		/* A copy of exactly what has arrived, so that a reader past its end is seen by ASan. */
		uint8_t *arrived = malloc(seen - start + 1);
		memcpy(arrived, input.data + start, seen - start);
		int rc = resp_request_parse(&state, slice_of(arrived, seen - start), &arena, &argv, &argc, &used, &err);
		if (rc == 0) {
			buf_appendf(told, "%zu:", argc);
			for (size_t i = 0; i < argc; i++) {
				buf_appendf(told, "<");
				buf_append_slice(told, argv[i]);
				buf_appendf(told, ">");
			}
			start += used;
		}
		free(arrived);
		if (rc == ERR_MORE && seen < input.len) {
			seen = seen + step < input.len ? seen + step : input.len;
		} else if (rc == ERR_MORE) {
			buf_appendf(told, "more");
			break;
		} else if (rc != 0) {
			buf_appendf(told, "!%s", err.text);
			break;
		}
	}
	resp_request_fini(&state);
	arena_fini(&arena);
	buf_append_byte(told, '\0');
}

/* As tell, and the same for every step of segmentation up to the whole. */
static void reads(struct slice input, const char *wanted, const char *sentence)
{
	struct buf whole, cut;
	bool same = true;

	buf_init(&whole, MIB(4));
	buf_init(&cut, MIB(4));
	tell(input, 0, &whole);
	is_str((const char *)whole.data, wanted, "%s", sentence);
	for (size_t step = 1; step <= input.len && step < 70; step++) {
		buf_reset(&cut);
		tell(input, step, &cut);
		same = same && slice_equal(buf_slice(&whole), buf_slice(&cut));
	}
	ok(same, "… however it is cut");
	buf_fini(&whole);
	buf_fini(&cut);
}

#define READS(text, wanted, sentence) reads(SLICE_LIT(text), wanted, sentence)

static void test_multibulk(void)
{
	READS("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "2:<GET><k>more", "a request is read");
	READS("*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$4\r\nPI", "1:<PING>2:<ECHO><>more",
	      "a pipeline is read up to what has arrived");
	READS("*0\r\n*-1\r\n*-7\r\n*1\r\n$1\r\nx\r\n", "0:0:0:1:<x>more", "counts below one are empty requests");
	READS("*1\r\n$5\r\na\r\nb\n\r\n", "1:<a\r\nb\n>more", "a bulk may hold line ends");
	READS("*1\r\n$1\r\nxyz*1\r\n$1\r\nq\r\n", "1:<x>1:<q>more", "the two bytes behind a bulk are not looked at");
	READS("*1\rX$1\rXa\r\n", "1:<a>more", "nor the one behind a CR");
	READS("*12\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n"
	      "$1\r\nj\r\n$1\r\nk\r\n$11\r\nlllllllllll\r\n",
	      "12:<a><b><c><d><e><f><g><h><i><j><k><lllllllllll>more", "a longer request is read");
}

static void test_multibulk_lies(void)
{
	READS("*x\r\n", "!invalid multibulk length", "a count that is no number");
	READS("*\r\n", "!invalid multibulk length", "no count");
	READS("*03\r\n", "!invalid multibulk length", "a count with a leading zero");
	READS("*1048577\r\n", "!invalid multibulk length", "a count over the bound");
	READS("*99999999999999999999\r\n", "!invalid multibulk length", "a count over all numbers");
	READS("*1\r\n:5\r\n", "!expected '$', got ':'", "an integer for a bulk");
	READS("*1\r\n\r\n", "!expected '$', got '\r'", "an empty line for a bulk");
	READS("*1\r\n$\r\n", "!invalid bulk length", "a bulk without a length");
	READS("*1\r\n$-1\r\n", "!invalid bulk length", "a null bulk");
	READS("*1\r\n$1x\r\n", "!invalid bulk length", "a length that is no number");
	READS("*2\r\n$1\r\na\r\n$2000000000\r\n", "!invalid bulk length", "a length over the bound");
	READS("*1\r\n$4\r\nPING\r\n*1\r\n$a\r\n", "1:<PING>!invalid bulk length", "what came before a lie is read");
}

static void test_inline(void)
{
	READS("PING\r\n", "1:<PING>more", "a line is a request");
	READS("PING\n\r\n \n", "1:<PING>0:0:more", "LF alone ends it, empty lines are empty requests");
	READS("  set  k\tv  \r\n", "3:<set><k><v>more", "words are cut at blanks");
	READS("set k \"a b\\x41\\n\\\"\\q\"\r\n", "3:<set><k><a bA\n\"q>more", "double quotes know escapes");
	READS("set k '\\n it\\'s' x'y z'\r\n", "4:<set><k><\\n it's><xy z>more", "single quotes know one");
	READS("a \"\" ''\r\n", "3:<a><><>more", "quoted nothing is an empty word");
	READS("a \"b\r\n", "!unbalanced quotes in request", "a quote that does not close");
	READS("a 'b\\'\r\n", "!unbalanced quotes in request", "a quote closed by an escaped one");
	READS("a \"b\"c\r\n", "!unbalanced quotes in request", "a word behind a closing quote");
	READS("a \"\\", "more", "half a line waits");
}

static void test_bounds(void)
{
	size_t len = LIMIT_RESP_INLINE + 2;
	uint8_t *bytes = malloc(len);
	struct buf told;

	buf_init(&told, MIB(4));
	memset(bytes, 'a', len);
	tell(slice_of(bytes, len), 0, &told);
	is_str((const char *)told.data, "!too big inline request", "a line without an end");
	bytes[len - 1] = '\n';
	buf_reset(&told);
	tell(slice_of(bytes, len), 0, &told);
	is_str((const char *)told.data, "!too big inline request", "a line over the bound");
	memset(bytes, '1', len);
	bytes[0] = '*';
	buf_reset(&told);
	tell(slice_of(bytes, len), 0, &told);
	is_str((const char *)told.data, "!too big mbulk count string", "a count without an end");
	free(bytes);

	len += 8;
	bytes = malloc(len);
	memset(bytes, '1', len);
	memcpy(bytes, "*1\r\n$", 5);
	buf_reset(&told);
	tell(slice_of(bytes, len), 0, &told);
	is_str((const char *)told.data, "!too big bulk count string", "a length without an end");
	free(bytes);

	buf_reset(&told);
	buf_appendf(&told, "*3\r\n$1048576\r\n");
	memset(buf_reserve(&told, MIB(1) + 2), 'v', MIB(1) + 2);
	told.len += MIB(1) + 2;
	buf_appendf(&told, "$1048576\r\n");
	struct buf answer;
	buf_init(&answer, MIB(4));
	tell(buf_slice(&told), 0, &answer);
	is_str((const char *)answer.data, "!too big request", "arguments over the bound together");

	buf_reset(&told);
	buf_reset(&answer);
	for (int i = 0; i < 3; i++) {
		buf_appendf(&told, "*1\r\n$1048576\r\n");
		memset(buf_reserve(&told, MIB(1) + 2), 0x76, MIB(1) + 2);
		told.len += MIB(1) + 2;
	}
	tell(buf_slice(&told), 0, &answer);
	ok(slice_equal(slice_of(answer.data + answer.len - 5, 4), SLICE_LIT("more")), "but not those of several requests");
	buf_fini(&answer);
	buf_fini(&told);
}

/* Random bytes made of the protocol's own letters: the answer may be anything, but the same for every cut. */
static void test_garbage(void)
{
	static const char *const pieces[] = {"*", "$", "\r\n", "\r", "\n", "1", "2", "0", "-1", "a", "\"", "'", " ", "\\x4",
					     "*1\r\n$1\r\n", "*2\r\n$4\r\nPING\r\n", "$3\r\nabc\r\n"};
	struct prng prng;
	struct buf input, whole, cut;
	size_t different = 0;

	prng_init(&prng, 7);
	buf_init(&input, MIB(1));
	buf_init(&whole, MIB(1));
	buf_init(&cut, MIB(1));
	for (int round = 0; round < 3000; round++) {
		buf_reset(&input);
		buf_reset(&whole);
		for (uint64_t n = prng_below(&prng, 20) + 1; n > 0; n--) {
			buf_append_text(&input, pieces[prng_below(&prng, sizeof(pieces) / sizeof(pieces[0]))]);
		}
		tell(buf_slice(&input), 0, &whole);
		for (size_t step = 1; step < 6; step++) {
			buf_reset(&cut);
			tell(buf_slice(&input), step, &cut);
			different += !slice_equal(buf_slice(&whole), buf_slice(&cut));
		}
	}
	is_int(different, 0, "garbage reads the same however it is cut");
	buf_fini(&input);
	buf_fini(&whole);
	buf_fini(&cut);
}

int main(void)
{
	test_multibulk();
	test_multibulk_lies();
	test_inline();
	test_bounds();
	test_garbage();
	return tap_done();
}

/* Replies: what is written in RESP2 and RESP3, and that a client reads it back. */
#include "wire/reply.h"

#include <math.h>
#include <stdlib.h>

#include "base/limits.h"
#include "tests/lib/tap.h"
#include "wire/resp.h"

static struct buf out;

static struct reply *in(int protocol)
{
	static struct reply r;

	buf_reset(&out);
	r = (struct reply){&out, protocol};
	return &r;
}

static void wrote(const char *wanted, const char *sentence)
{
	is_bytes(out.data, out.len, wanted, strlen(wanted), "%s", sentence);
}

static void test_both(void)
{
	reply_simple(in(2), "OK");
	wrote("+OK\r\n", "a simple string");
	reply_error(in(2), "ERR no '%s'", "x\r\ny\r\n");
	wrote("-ERR no 'x  y  '\r\n", "line ends inside an error become spaces");
	reply_error(in(2), "ERR x\r\n\n");
	wrote("-ERR x\r\n", "line ends at an error's end are dropped");
	reply_code(in(2), CODE_OVERLOADED, NULL);
	wrote("-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little later\"}\r\n", "a code of ours");
	reply_code(in(2), CODE_NOT_FOUND, "\"table\":\"order\"");
	wrote("-NOT_FOUND {\"outcome\":\"refused\",\"table\":\"order\"}\r\n", "a code of ours with details");
	reply_integer(in(2), INT64_MIN);
	wrote(":-9223372036854775808\r\n", "the smallest integer");
	reply_integer(in(2), 0);
	wrote(":0\r\n", "zero");
	reply_bulk(in(2), SLICE_NONE);
	wrote("$0\r\n\r\n", "an empty bulk");
	reply_bulk_text(in(3), "a\r\n");
	wrote("$3\r\na\r\n\r\n", "a bulk");
	reply_array(in(3), 12);
	wrote("*12\r\n", "an array's head");
}

static void test_differences(void)
{
	reply_null(in(2));
	wrote("$-1\r\n", "null in RESP2");
	reply_null(in(3));
	wrote("_\r\n", "null in RESP3");
	reply_null_array(in(2));
	wrote("*-1\r\n", "null array in RESP2");
	reply_null_array(in(3));
	wrote("_\r\n", "null array in RESP3");
	reply_map(in(2), 3);
	wrote("*6\r\n", "map in RESP2");
	reply_map(in(3), 3);
	wrote("%3\r\n", "map in RESP3");
	reply_set(in(2), 3);
	wrote("*3\r\n", "set in RESP2");
	reply_set(in(3), 3);
	wrote("~3\r\n", "set in RESP3");
	reply_bool(in(2), true);
	wrote(":1\r\n", "true in RESP2");
	reply_bool(in(3), false);
	wrote("#f\r\n", "false in RESP3");
	reply_double(in(2), 3.5);
	wrote("$3\r\n3.5\r\n", "double in RESP2");
	reply_double(in(3), -INFINITY);
	wrote(",-inf\r\n", "double in RESP3");
	reply_verbatim(in(2), "txt", SLICE_LIT("hi"));
	wrote("$2\r\nhi\r\n", "verbatim string in RESP2");
	reply_verbatim(in(3), "txt", SLICE_LIT("hi"));
	wrote("=6\r\ntxt:hi\r\n", "verbatim string in RESP3");
}

static void write_all(struct reply *r)
{
	reply_map(r, 4);
	reply_bulk_text(r, "number");
	reply_integer(r, 42);
	reply_bulk_text(r, "rate");
	reply_double(r, 0.25);
	reply_bulk_text(r, "items");
	reply_array(r, 3);
	reply_null(r);
	reply_bool(r, true);
	reply_error(r, "ERR no");
	reply_bulk_text(r, "note");
	reply_verbatim(r, "txt", SLICE_LIT("hi"));
}

static void test_client_reads(void)
{
	struct arena arena;
	struct resp_value value;
	size_t used, measured, early = 0;

	arena_init(&arena, 1024);
	write_all(in(3));
	is_int(resp_reply_parse(buf_slice(&out), &arena, &value, &used), 0, "a client reads a whole reply");
	is_int(used, out.len, "to its end");
	is_int(value.type, RESP_MAP, "it is a map");
	is_int(resp_map_get(&value, "number")->integer, 42, "of an integer");
	ok(resp_map_get(&value, "rate")->number == 0.25, "a double");
	const struct resp_value *items = resp_map_get(&value, "items");
	ok(items->count == 3 && items->items[0].type == RESP_NULL && items->items[1].integer == 1 &&
		   items->items[2].type == RESP_ERROR,
	   "an array with null, true and an error");
	ok(slice_equal(resp_map_get(&value, "note")->text, SLICE_LIT("hi")), "and a verbatim string without its prefix");
	ok(resp_map_get(&value, "none") == NULL, "what is not in the map is NULL");

	ok(resp_reply_measure(buf_slice(&out), MIB(1), &measured) == 0 && measured == used, "measure agrees with parse");
	for (size_t len = 0; len < out.len; len++) {
		uint8_t *exact = malloc(len + 1);
		memcpy(exact, out.data, len);
		early += resp_reply_measure(slice_of(exact, len), MIB(1), &measured) != ERR_MORE;
		early += resp_reply_parse(slice_of(exact, len), &arena, &value, &used) != ERR_MORE;
		free(exact);
	}
	is_int(early, 0, "each part of it asks for more");

	write_all(in(2));
	is_int(resp_reply_parse(buf_slice(&out), &arena, &value, &used), 0, "the same in RESP2");
	is_int(resp_map_get(&value, "number")->integer, 42, "is looked up in the flat array");
	arena_fini(&arena);
}

static int parse_text(const char *text)
{
	struct arena arena;
	struct resp_value value;
	size_t used;

	arena_init(&arena, 256);
	int rc = resp_reply_parse(slice_str(text), &arena, &value, &used);
	arena_fini(&arena);
	return rc;
}

static void test_lies(void)
{
	size_t used;
	struct buf deep;

	is_int(parse_text("?what\r\n"), ERR_INVALID, "an unknown type");
	is_int(parse_text(":1x\r\n"), ERR_INVALID, "an integer that is none");
	is_int(parse_text("$-2\r\n"), ERR_INVALID, "a length below null");
	is_int(parse_text("$2\r\nabc\r\n"), ERR_INVALID, "a string without its end");
	is_int(parse_text("*1000000\r\n:1\r\n"), ERR_MORE, "a long array waits and allocates nothing");
	is_int(parse_text(",x\r\n"), ERR_INVALID, "a double that is none");
	is_int(parse_text("#x\r\n"), ERR_INVALID, "a boolean that is none");
	is_int(parse_text("+a\nb\r\n"), ERR_INVALID, "LF without CR");
	is_int(resp_reply_measure(SLICE_LIT("$2000000\r\nab"), MIB(1), &used), ERR_TOO_LARGE, "a string over the maximum");
	is_int(resp_reply_measure(SLICE_LIT("*2000000\r\n"), MIB(1), &used), ERR_TOO_LARGE, "an array over the maximum");
	buf_init(&deep, MIB(1));
	for (int i = 0; i < 1000; i++) {
		buf_append_text(&deep, "*1\r\n");
	}
	is_int(resp_reply_measure(buf_slice(&deep), MIB(1), &used), ERR_TOO_LARGE, "a reply nested too deeply");
	buf_fini(&deep);
}

int main(void)
{
	buf_init(&out, MIB(1));
	test_both();
	test_differences();
	test_client_reads();
	test_lies();
	buf_fini(&out);
	return tap_done();
}

/* JSON in and out, with its bounds. */
#include "wire/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "tests/lib/tap.h"

static struct arena arena;

static int parse(const char *text, struct value *value)
{
	struct err err = {0};
	int status = json_parse(slice_str(text), &arena, value, &err);
	if (status < 0 && err.text[0] == '\0') {
		return 1; /* a failure must say why */
	}
	return status;
}

static void round_trip(const char *text)
{
	struct value value, again;
	struct buf out;
	buf_init(&out, 1 << 16);
	bool fine = parse(text, &value) == 0;
	if (fine) {
		json_write(&out, &value);
		buf_append_byte(&out, 0);
		fine = parse((const char *)out.data, &again) == 0 && value_equal(&value, &again);
	}
	ok(fine, "reads, writes and reads back: %.40s", text);
	buf_fini(&out);
}

static void refused(const char *text, int code, const char *what)
{
	struct value value;
	is_int(parse(text, &value), code, "%s is refused", what);
}

static void written(struct slice text, const char *want, const char *what)
{
	struct buf out;
	buf_init(&out, 1024);
	json_write_text(&out, text);
	is_bytes(out.data, out.len, want, strlen(want), "%s", what);
	buf_fini(&out);
}

int main(void)
{
	arena_init(&arena, 4096);
	round_trip(
		"{\"b\":[1,2,{\"c\":null}],\"a\":true,\"x\":-9223372036854775808,\"y\":9223372036854775807}");
	round_trip("\"\\u0000\\u001f\\\"\\\\/\\ud83d\\ude00\"");
	round_trip("[]");
	round_trip("[0.1,1e300,-0.0,1.5]");

	struct value value;
	ok(parse("{\"z\":1,\"a\":2}", &value) == 0 && slice_equal(value.items->names[0], SLICE_LIT("z")),
	   "a map keeps the order it was written in");
	ok(parse("1.0", &value) == 0 && value.kind == VALUE_REAL, "a number with a point is not an integer");

	refused("", ERR_INVALID, "nothing");
	refused("{\"a\":1,\"a\":2}", ERR_INVALID, "a name twice");
	refused("9223372036854775808", ERR_INVALID, "an integer over 64 bits");
	refused("[1,]", ERR_INVALID, "a comma too many");
	refused("{}x", ERR_INVALID, "something behind the value");
	refused("\"\xff\"", ERR_INVALID, "text that is not UTF-8");

	char deep[2 * LIMIT_VALUE_DEPTH + 3];
	memset(deep, '[', LIMIT_VALUE_DEPTH);
	memset(deep + LIMIT_VALUE_DEPTH, ']', LIMIT_VALUE_DEPTH);
	deep[2 * LIMIT_VALUE_DEPTH] = '\0';
	round_trip(deep);
	memset(deep, '[', LIMIT_VALUE_DEPTH + 1);
	memset(deep + LIMIT_VALUE_DEPTH + 1, ']', LIMIT_VALUE_DEPTH + 1);
	deep[2 * LIMIT_VALUE_DEPTH + 2] = '\0';
	refused(deep, ERR_TOO_LARGE, "a level too many");
	char *bomb = malloc(1000001);
	memset(bomb, '[', 1000000);
	bomb[1000000] = '\0';
	refused(bomb, ERR_TOO_LARGE, "a million brackets");
	for (size_t i = 0; i < 1000000; i++) {
		bomb[i] = i % 2 == 0 ? '1' : ',';
	}
	bomb[0] = '[';
	refused(bomb, ERR_TOO_LARGE, "half a million values");
	free(bomb);

	written(SLICE_LIT("a\0\x1f\x7f\"\\\n\b\t\f\r\v"),
		"\"a\\u0000\\u001f\\u007f\\\"\\\\\\n\\b\\t\\f\\r\\u000b\"", "controls are escaped");
	written(SLICE_LIT("\xe4\xbd\xa0\xe5\xa5\xbd"), "\"\xe4\xbd\xa0\xe5\xa5\xbd\"", "UTF-8 passes");
	written(SLICE_LIT("\xc0\x80|\xed\xa0\x80|\xff|\xe4\xbd"),
		"\"\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd|"
		"\xef\xbf\xbd\xef\xbf\xbd\"",
		"bytes that are not UTF-8 become replacement characters");
	struct buf out;
	buf_init(&out, 64);
	json_write_real(&out, NAN);
	buf_append_byte(&out, ' ');
	json_write_real(&out, 3);
	buf_append_byte(&out, ' ');
	json_write_real(&out, 0.1);
	is_bytes(out.data, out.len, "null 3.0 0.1", 12, "reals are spelled so that they read back");
	buf_fini(&out);
	arena_fini(&arena);
	return tap_done();
}

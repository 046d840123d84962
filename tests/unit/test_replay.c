#include "engine/replay.h"

#include "tests/lib/tap.h"

static const struct command call = {.name = "CALL"}, get = {.name = "GET"};

/* What an asker of protocol sees of the kept bytes. */
static const char *shown(const struct command *const *commands, size_t count, bool exec, const char *kept,
			 int protocol, bool mark)
{
	static char text[1024];
	struct request_command c[4] = {{0}};
	struct arena arena;
	struct buf out;
	struct reply reply = {&out, protocol};
	arena_init(&arena, 1024);
	buf_init(&out, sizeof text - 1);
	for (size_t i = 0; i < count; i++) {
		c[i].command = commands[i];
	}
	struct replay replay = {slice_str(kept), c, count, exec, &call, mark};
	int rc = replay_write(&replay, &arena, &reply);
	if (out.len > 0) {
		memcpy(text, out.data, out.len);
	}
	text[out.len] = 0;
	buf_fini(&out);
	arena_fini(&arena);
	return rc != 0 ? "failed" : text;
}

static void test_plain(void)
{
	const struct command *one[] = {&get};
	is_str(shown(one, 1, false, "$1\r\nv\r\n", 3, true), "$1\r\nv\r\n",
	       "a plain reply is the same again");
	is_str(shown(one, 1, false, "$1\r\nv\r\n", 2, true), "$1\r\nv\r\n", "in either protocol");
	is_str(shown(one, 1, false, "_\r\n", 2, true), "$-1\r\n", "null is RESP2's null");
	is_str(shown(one, 1, false, "%1\r\n$1\r\na\r\n,1.5\r\n", 2, true), "*2\r\n$1\r\na\r\n$3\r\n1.5\r\n",
	       "a map is a flat array, a double a string");
	is_str(shown(one, 1, false, "-WRONGTYPE no\r\n", 2, true), "-WRONGTYPE no\r\n",
	       "an error is the same error");
	is_str(shown(one, 1, false, "!5\r\nE a\nb\r\n", 2, true), "-E a b\r\n",
	       "one of lines becomes one line");
	is_str(shown(one, 1, false, "~1\r\n#t\r\n", 2, true), "*1\r\n:1\r\n",
	       "a set is an array, true is one");
}

static void test_call(void)
{
	const struct command *one[] = {&call};
	const char *kept = "%2\r\n$6\r\nnumber\r\n:1042\r\n$4\r\nleft\r\n:57\r\n";
	is_str(shown(one, 1, false, kept, 3, false), kept,
	       "the first answer of CALL is the kept one in RESP3");
	is_str(shown(one, 1, false, kept, 3, true),
	       "%3\r\n$6\r\nnumber\r\n:1042\r\n$4\r\nleft\r\n:57\r\n$8\r\nreplayed\r\n#t\r\n",
	       "a replayed one is marked");
	is_str(shown(one, 1, false, kept, 2, false), "$25\r\n{\"number\":1042,\"left\":57}\r\n",
	       "in RESP2 it is JSON");
	is_str(shown(one, 1, false, kept, 2, true),
	       "$41\r\n{\"number\":1042,\"left\":57,\"replayed\":true}\r\n", "marked as well");
	is_str(shown(one, 1, false, "-SOLD_OUT {\"outcome\":\"refused\"}\r\n", 2, true),
	       "-SOLD_OUT {\"outcome\":\"refused\"}\r\n", "a kept refusal stays an error");
}

static void test_exec(void)
{
	const struct command *two[] = {&get, &call};
	const char *kept = "*2\r\n%1\r\n$1\r\na\r\n:1\r\n%1\r\n$1\r\nb\r\n:2\r\n";
	is_str(shown(two, 2, true, kept, 2, true),
	       "*2\r\n*2\r\n$1\r\na\r\n:1\r\n$23\r\n{\"b\":2,\"replayed\":true}\r\n",
	       "in a queue each command's reply is written in its own way");
	is_str(shown(two, 2, true, "_\r\n", 2, true), "*-1\r\n",
	       "a queue that was not run stays null, an array's as without an id");
	is_str(shown(two, 1, true, "_\r\n", 2, false), "*-1\r\n", "also one without calls, the first time");
	is_str(shown(two, 2, true, "*2\r\n:1\r\n%2\r\n$1\r\nb\r\n:2\r\n$8\r\nreplayed\r\n#t\r\n", 2, true),
	       "*2\r\n:1\r\n$23\r\n{\"b\":2,\"replayed\":true}\r\n",
	       "a call that was a replay in the first run already is marked once");
	is_str(shown(two, 2, true, "*2\r\n:1\r\n", 2, true), "failed", "bytes that are no reply are refused");
}

int main(void)
{
	test_plain();
	test_call();
	test_exec();
	return tap_done();
}

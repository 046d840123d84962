#include "engine/request.h"

#include "engine/shard_private.h"
#include "tests/lib/tap.h"

#define MAX_WORDS 16

/* Parses a line of words; returns what the prefixes took, or the error. */
static int parse(const char *line, struct request_envelope *envelope, struct buf *out)
{
	struct slice argv[MAX_WORDS];
	size_t argc = 0, skip = 99;
	struct reply reply = {out, 3};
	buf_reset(out);
	while (*line != 0) {
		size_t len = strcspn(line, " ");
		argv[argc++] = slice_of(line, len);
		line += len + (line[len] == ' ');
	}
	int rc = request_envelope_parse(argv, argc, envelope, &skip, &reply);
	return rc != 0 ? rc : (int)skip;
}

static void test_envelope(void)
{
	struct request_envelope e;
	struct buf out;
	buf_init(&out, 4096);
	is_int(parse("SET k v", &e, &out), 0, "a plain command has no prefix");
	ok(e.once.len == 0 && e.deadline_ms == 0 && !e.settle && !e.dryrun && !e.explain,
	   "and nothing is set");
	is_int(parse("ONCE id1 SET k v", &e, &out), 2, "ONCE takes two words");
	ok(slice_equal(e.once, SLICE_LIT("id1")), "and gives the id");
	is_int(parse("deadline 50 dryrun once x settle explain CALL p", &e, &out), 7,
	       "prefixes compose in any order and case");
	ok(e.deadline_ms == 50 && e.dryrun && e.settle && e.explain && slice_equal(e.once, SLICE_LIT("x")),
	   "all are kept");
	is_int(parse("ONCE", &e, &out), 0, "a lone ONCE is an unknown command, not a prefix");
	is_int(out.len, 0, "success writes no reply");
	is_int(parse("DRYRUN", &e, &out), ERR_INVALID, "a prefix needs a command behind it");
	ok(out.len > 0 && out.data[0] == '-', "and the error is written");
	is_int(parse("ONCE a ONCE b SET k v", &e, &out), ERR_INVALID, "one id a request");
	is_int(parse("DEADLINE 5 DEADLINE 6 GET k", &e, &out), ERR_INVALID, "and one deadline");
	is_int(parse("SETTLE SET k v", &e, &out), ERR_INVALID, "SETTLE needs an id");
	is_int(parse("DEADLINE 0 GET k", &e, &out), ERR_INVALID, "a deadline of zero is none");
	is_int(parse("DEADLINE soon GET k", &e, &out), ERR_INVALID, "a deadline is a number");
	is_int(parse("DEADLINE 3600001 GET k", &e, &out), ERR_INVALID, "of at most an hour");
	buf_fini(&out);
}

static void test_parking(void)
{
	struct request r;
	char words[] = "SETkeyvalueidanna";
	struct slice argv[] = {slice_of(words, 3), slice_of(words + 3, 3), slice_of(words + 6, 5)};
	struct request_command c[] = {{NULL, argv, 3, 2}, {NULL, argv, 2, 3}};
	struct request_watch w[] = {{slice_of(words + 3, 3), 1, 42}};
	request_init(&r);
	r.commands = c;
	r.command_count = 2;
	r.watches = w;
	r.watch_count = 1;
	r.envelope.once = slice_of(words + 11, 2);
	r.user = slice_of(words + 13, 4);
	request_park(&r);
	memset(words, 'x', sizeof words - 1);
	memset(argv, 0, sizeof argv);
	memset(c, 0, sizeof c);
	memset(w, 0, sizeof w);
	ok(slice_equal(r.commands[0].argv[2], SLICE_LIT("value")) && r.commands[0].argc == 3,
	   "a parked request keeps its words");
	ok(slice_equal(r.commands[1].argv[1], SLICE_LIT("key")) && r.commands[1].db == 3, "of every command");
	ok(slice_equal(r.watches[0].key, SLICE_LIT("key")) && r.watches[0].version == 42, "its watches");
	ok(slice_equal(r.user, SLICE_LIT("anna")) && slice_equal(r.envelope.once, SLICE_LIT("id")),
	   "its user and id");
	request_park(&r);
	request_fini(&r);
	ok(r.parked == NULL, "and gives them back once");
}

static void test_judging(void)
{
	enum outcome o;
	enum code c;
	request_judge(SLICE_LIT("+OK\r\n"), &o, &c);
	ok(o == OUTCOME_DONE && c == CODE_NONE, "a reply that is no error is done");
	request_judge(SLICE_LIT("-WRONGTYPE Operation\r\n"), &o, &c);
	ok(o == OUTCOME_REFUSED && c == CODE_NONE, "an error of Redis is a refusal");
	request_judge(SLICE_LIT("-VERSION_CONFLICT {\"outcome\":\"conflict\"}\r\n"), &o, &c);
	ok(o == OUTCOME_CONFLICT && c == CODE_VERSION_CONFLICT, "one of ours says its outcome");
	request_judge(SLICE_LIT("-OVERLOADED\r\n"), &o, &c);
	ok(o == OUTCOME_RETRY && c == CODE_OVERLOADED, "with or without details");
}

int main(void)
{
	test_envelope();
	test_parking();
	test_judging();
	return tap_done();
}

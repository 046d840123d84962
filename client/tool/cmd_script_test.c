/* script test: a bundle's own tests, on a node that is thrown away afterwards.
 *
 * Tests are text files DIR/tests/NAME.test, each on an empty database:
 *
 *   # a buyer gets what is there
 *   call campaign.allot campaign=c1 sku=phone qty=2
 *   done
 *   call order.flash_buy order_id=o1 campaign=c1 sku=phone customer=c7 qty=1
 *   done left=1
 *   call order.flash_buy order_id=o2 campaign=c1 sku=phone customer=c7 qty=1
 *   refused PURCHASE_LIMIT_EXCEEDED bought=1
 *   row slice c1 phone
 *   done avail=1
 *
 * docs/scripts.md tells authors what may stand in a line. Prints TAP. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/tool/commands.h"
#include "client/tool/options.h"
#include "client/tool/script.h"

#define WORDS_MAX 64
#define LINE_MAX_BYTES 1024

struct test_run {
	struct tool *tool;
	const char *file;
	unsigned line;
	char title[256];
	const struct tally_call *call; /* the last one, not yet compared */
	unsigned count, failed;
	bool broken; /* something of the present case failed */
	bool open;   /* a case has begun */
};

static void test_end_case(struct test_run *run)
{
	if (run->open) {
		run->count++;
		run->failed += run->broken;
		printf("%sok %u - %s: %s\n", run->broken ? "not " : "", run->count, run->file, run->title);
	}
	run->open = run->broken = false;
}

static void test_complain(struct test_run *run, const char *what, const char *detail)
{
	run->broken = true;
	printf("# %s:%u: %s %s\n", run->file, run->line, what, detail);
}

/* The quote that opens a value with blanks: at a word's beginning or behind its =. */
static bool opens_quote(const char *word, const char *at)
{
	return *at == '\'' && (at == word || at[-1] == '=');
}

/* Cuts a line into words, in place; what stands between '…' is one, without the quotes. NULL, or what is
 * wrong. */
static const char *cut_words(char *line, char *words[WORDS_MAX], size_t *count)
{
	*count = 0;
	for (char *at = line + strspn(line, " \t"); *at != '\0'; at += strspn(at, " \t")) {
		char *word = at, *to = at;
		if (*count == WORDS_MAX) {
			return "more words than a line may have:";
		}
		while (*at != '\0' && *at != ' ' && *at != '\t') {
			char *quoted = at + 1;
			if (!opens_quote(word, at)) {
				*to++ = *at++;
				continue;
			}
			at = strchr(quoted, '\'');
			if (at == NULL) {
				return "no ' ends what begins at";
			}
			memmove(to, quoted, (size_t)(at - quoted));
			to += at - quoted;
			at++;
		}
		at += *at != '\0';
		*to = '\0';
		words[(*count)++] = word;
	}
	return NULL;
}

static const char *test_value(const char *text, char *room, size_t size)
{
	if (strncmp(text, "~now", 4) != 0) {
		return text;
	}
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(room, size, "%lld", (long long)now.tv_sec * 1000 + atoll(text + 4));
	return room;
}

/* A call whose outcome nobody looked at proves nothing. */
static void test_unjudged(struct test_run *run)
{
	if (run->call != NULL && !run->broken) {
		test_complain(run, "nothing is expected of the call before", "this line");
	}
	run->call = NULL;
}

static void test_ask(struct test_run *run, char **words, size_t count)
{
	const char *sent[3 + 2 * WORDS_MAX];
	char rooms[WORDS_MAX][32];
	size_t sent_count = 0;
	bool call = strcmp(words[0], "call") == 0;
	sent[sent_count++] = call ? "CALL" : "ROW";
	for (size_t i = 1; i < count; i++) {
		char *equals = call && i > 1 ? strchr(words[i], '=') : NULL;
		sent[sent_count++] = words[i];
		if (equals != NULL) {
			*equals = '\0';
			sent[sent_count++] = test_value(equals + 1, rooms[i], sizeof(rooms[i]));
		}
	}
	run->call = tool_ask(run->tool, NULL, sent, NULL, sent_count, call ? 0 : TALLY_READ);
}

/* One expected field `name=text` against the answer. */
static void test_field(struct test_run *run, const char *word)
{
	char name[128];
	char got[256];
	size_t len = strcspn(word, "=");
	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	const struct tally_value *value = tally_value_get(tally_call_value(run->call), name);
	const char *text = tally_value_text(value, NULL);
	if (text != NULL) {
		snprintf(got, sizeof(got), "%s", text);
	} else if (tally_value_type(value) == TALLY_NIL) {
		snprintf(got, sizeof(got), "nothing");
	} else if (tally_value_type(value) == TALLY_LIST || tally_value_type(value) == TALLY_MAP) {
		snprintf(got, sizeof(got), "%zu", tally_value_count(value));
	} else {
		snprintf(got, sizeof(got), "%lld", (long long)tally_value_int(value, 0));
	}
	const char *want = word[len] == '=' ? word + len + 1 : "";
	if (strcmp(got, want) != 0) {
		char text_of[600];
		snprintf(text_of, sizeof(text_of), "%s=%s", name, got);
		test_complain(run, "got", text_of);
	}
}

static void test_expect(struct test_run *run, char **words, size_t count)
{
	if (run->call == NULL) {
		test_complain(run, "there is no call before", words[0]);
		return;
	}
	const char *outcome = tally_outcome_name(tally_call_outcome(run->call));
	bool done = tally_call_outcome(run->call) == TALLY_DONE;
	size_t at = 1;
	if (strcmp(outcome, words[0]) != 0) {
		test_complain(run, outcome, tally_call_message(run->call));
	} else if (!done && count > 1) {
		at = 2;
		if (strcmp(tally_call_code(run->call), words[1]) != 0) {
			test_complain(run, "got", tally_call_message(run->call));
		}
	}
	for (; at < count && !run->broken; at++) {
		test_field(run, words[at]);
	}
	run->call = NULL;
}

static void test_begin_case(struct test_run *run, const char *title)
{
	test_unjudged(run);
	test_end_case(run);
	run->open = true;
	snprintf(run->title, sizeof(run->title), "%s", title);
}

/* Of a line that is none. */
static void test_wrong_line(struct test_run *run, const char *what, const char *detail)
{
	if (!run->open) {
		test_begin_case(run, "lines before the first title");
	}
	test_complain(run, what, detail);
}

static void test_line(struct test_run *run, char *line)
{
	if (line[0] == '#') {
		test_begin_case(run, line + 1 + strspn(line + 1, " "));
		return;
	}
	char *words[WORDS_MAX];
	size_t count = 0;
	const char *wrong = run->broken ? NULL : cut_words(line, words, &count);
	if (wrong == NULL && (count == 0 || run->broken)) {
		return; /* what follows a failure in a case would only repeat it */
	}
	if (wrong != NULL) {
		test_wrong_line(run, wrong, line);
	} else if (!run->open) {
		test_wrong_line(run, "a comment that names the case must stand before", words[0]);
	} else if (strcmp(words[0], "call") == 0 || strcmp(words[0], "row") == 0) {
		test_unjudged(run);
		test_ask(run, words, count);
	} else {
		test_expect(run, words, count);
	}
}

static void test_file(struct test_run *run, const char *source, size_t bytes)
{
	unsigned before = run->count;
	run->line = 0;
	run->call = NULL;
	while (bytes > 0) {
		const char *end = memchr(source, '\n', bytes);
		size_t len = end != NULL ? (size_t)(end - source) : bytes;
		char line[LINE_MAX_BYTES];
		run->line++;
		snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line) - 1),
			 source);
		if (len < sizeof(line)) {
			test_line(run, line);
		} else {
			test_wrong_line(run, "the line is too long:", line);
		}
		source += len;
		bytes -= len;
		if (bytes > 0) {
			source++;
			bytes--;
		}
	}
	if (!run->open && run->count == before) {
		test_begin_case(run, "a file of tests");
		test_complain(run, "there is no case in", run->file);
	}
	test_unjudged(run);
	test_end_case(run);
}

/* One test file on a fresh node with the bundle. */
static int test_on_node(struct test_run *run, const char *name, const struct files *bundle,
			const char *source, size_t bytes)
{
	struct local local;
	struct local_options options = {.nodes = 1, .unsafe = true};
	int code = local_start(&local, run->tool, &options);
	if (code != 0) {
		return code;
	}
	const struct tally_call *call = script_send(run->tool, "PUSH", name, bundle);
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		code = call != NULL ? tool_refused(run->tool, call) : TOOL_FAILED;
	} else {
		test_file(run, source, bytes);
	}
	tool_close(run->tool);
	local_stop(&local);
	return code;
}

int cmd_script_test(struct tool *tool, int argc, char **argv)
{
	int status = options_parse(tool, NULL, 0, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc != 1) {
		return tool_fail(tool, TOOL_USAGE, "which directory?");
	}
	struct files *bundle = calloc(2, sizeof(*bundle));
	struct files *tests = bundle != NULL ? bundle + 1 : NULL;
	struct test_run run = {.tool = tool};
	char path[1024];
	char name[128];
	snprintf(path, sizeof(path), "%s/tests", argv[0]);
	int code = bundle == NULL ? TOOL_FAILED : files_read(tool, argv[0], ".lua", bundle);
	code = code == 0 ? files_read(tool, path, ".test", tests) : code;
	script_name(argv[0], NULL, name, sizeof(name));
	for (size_t i = 0; code == 0 && i < tests->count; i++) {
		run.file = tests->names[i];
		code = test_on_node(&run, name, bundle, tests->sources[i], tests->bytes[i]);
	}
	if (code == 0) {
		printf("1..%u\n", run.count);
		code = run.failed > 0 ? TOOL_FAILED : TOOL_DONE;
	}
	if (bundle != NULL) {
		files_free(bundle);
		files_free(tests);
		free(bundle);
	}
	return code;
}

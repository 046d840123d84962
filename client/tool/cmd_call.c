/* call, row, rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/options.h"
#include "client/tool/print.h"

#define CALL_ARGS_MAX 256

static uint64_t wall_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* "done in 0.9 ms · index 88213.4 · node n2 · commerce@7", as far as the server told. */
static void print_done(const struct tally_call *call, const char *bundle, bool dry)
{
	static const char *const parts[] = {"index", "node"};
	const struct tally_value *meta = tally_call_meta(call);
	char room[64];
	printf("done in %s", print_us(tally_call_latency_us(call), room, sizeof(room)));
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const char *text = tally_value_text(tally_value_get(meta, parts[i]), NULL);
		if (text != NULL && text[0] != '\0') {
			printf(" · %s %s", parts[i], text);
		}
	}
	if (bundle[0] != '\0') {
		printf(" · %s", bundle);
	}
	if (dry) {
		printf(" · a dry run: nothing was written");
	}
	if (tally_call_replayed(call)) {
		int64_t first_ms = tally_value_int(tally_value_get(meta, "first_ms"), 0);
		printf(" · replayed");
		if (first_ms > 0 && (uint64_t)first_ms <= wall_ms()) {
			printf(", first done %s ago",
			       print_duration(wall_ms() - (uint64_t)first_ms, room, sizeof(room)));
		}
	}
	printf("\n");
}

static int print_call_json(const struct tally_call *call)
{
	struct buf out;
	buf_init(&out, SIZE_MAX / 4);
	buf_append_byte(&out, '{');
	json_out_text(&out, "outcome", "done");
	json_out_name(&out, "result");
	json_out_value(&out, tally_call_value(call));
	json_out_bool(&out, "replayed", tally_call_replayed(call));
	json_out_int(&out, "attempts", (int64_t)tally_call_attempts(call));
	json_out_int(&out, "us", (int64_t)tally_call_latency_us(call));
	if (tally_call_meta(call) != NULL) {
		json_out_name(&out, "meta");
		json_out_value(&out, tally_call_meta(call));
	}
	buf_append_byte(&out, '}');
	json_out_print(&out);
	return TOOL_DONE;
}

/* What the procedure declares as money; asked before the call, whose answer is to stay the last one. An exit code:
 * where it took all the time that was given, the call does not begin. */
static int call_types(struct tool *tool, const char *procedure, struct print_money *money)
{
	static const char *const words[] = {"TALLY", "BUNDLE", "LIST"};
	const struct tally_value *found = NULL;
	const char *bundle = NULL;
	if (!tool->json) {
		const struct tally_call *call = tool_ask(tool, NULL, words, NULL, 3, TALLY_READ);
		if (tally_call_outcome(call) == TALLY_RETRY) {
			return tool_refused(tool, call);
		}
		const struct tally_value *list =
			tally_call_outcome(call) == TALLY_DONE ? tally_call_value(call) : NULL;
		for (size_t i = 0; i < tally_value_count(list); i++) {
			const struct tally_value *at = tally_value_at(list, i);
			const char *name = tally_value_text(tally_value_get(at, "name"), NULL);
			if (name != NULL && strcmp(name, procedure) == 0) {
				found = tally_value_get(at, "result");
				bundle = tally_value_text(tally_value_get(at, "bundle"), NULL);
			}
		}
	}
	print_money_init(money, found);
	snprintf(money->bundle, sizeof(money->bundle), "%s", bundle != NULL ? bundle : "");
	return 0;
}

int cmd_call(struct tool *tool, int argc, char **argv)
{
	const char *once = NULL;
	bool dryrun = false;
	bool explain = false;
	const struct option options[] = {
		{"once", OPTION_TEXT, &once, "ID", "request id; the same line again is done once"},
		{"dryrun", OPTION_FLAG, &dryrun, NULL, "run and answer, write nothing"},
		{"explain", OPTION_FLAG, &explain, NULL, "say what would be read and written"},
	};
	int status = options_parse(tool, options, 3, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc < 1 || argc - 1 > CALL_ARGS_MAX) {
		return tool_fail(tool, TOOL_USAGE, "which procedure, with at most %d arguments?",
				 CALL_ARGS_MAX);
	}
	const char *words[3 + 2 * CALL_ARGS_MAX];
	size_t lens[3 + 2 * CALL_ARGS_MAX];
	size_t count = 0;
	if (explain) {
		words[count++] = "EXPLAIN";
	}
	words[count++] = "CALL";
	words[count++] = argv[0];
	for (size_t i = 0; i < count; i++) {
		lens[i] = strlen(words[i]);
	}
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		if (equals == NULL) {
			return tool_fail(tool, TOOL_USAGE, "\"%s\" is not name=value", argv[i]);
		}
		words[count] = argv[i];
		lens[count++] = (size_t)(equals - argv[i]);
		words[count] = equals + 1;
		lens[count++] = strlen(equals + 1);
	}
	char id[TALLY_ID_SIZE];
	struct print_money money;
	if (tool_client(tool) == NULL) {
		return TOOL_USAGE;
	}
	status = call_types(tool, argv[0], &money);
	if (status != 0) {
		return status;
	}
	tally_id_make(tally_sync_client(tool->sync), id);
	unsigned flags = (dryrun ? TALLY_DRYRUN : 0) | (explain ? TALLY_READ : 0);
	const struct tally_call *call = tool_ask(tool, once != NULL ? once : id, words, lens, count, flags);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return tool_refused(tool, call);
	}
	if (tool->json) {
		return print_call_json(call);
	}
	print_result(stdout, tally_call_value(call), wall_ms(), &money);
	print_done(call, money.bundle, dryrun || explain);
	return TOOL_DONE;
}

/* ---- rows ---- */

static int print_rows(struct tool *tool, const struct tally_call *call, const char *what)
{
	if (call == NULL) {
		return TOOL_USAGE;
	}
	if (tally_call_outcome(call) != TALLY_DONE) {
		return tool_refused(tool, call);
	}
	const struct tally_value *value = tally_call_value(call);
	if (tool->json) {
		json_out_print_value(value);
		return TOOL_DONE;
	}
	if (tally_value_type(value) == TALLY_NIL) {
		fprintf(stderr, "tally %s: there is no such row\n", what);
		return TOOL_REFUSED;
	}
	if (tally_value_type(value) != TALLY_LIST) {
		print_result(stdout, value, wall_ms(), NULL);
		return TOOL_DONE;
	}
	for (size_t i = 0; i < tally_value_count(value); i++) {
		print_result(stdout, tally_value_at(value, i), wall_ms(), NULL);
	}
	return TOOL_DONE;
}

int cmd_row(struct tool *tool, int argc, char **argv)
{
	int status = options_parse(tool, NULL, 0, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc < 2 || argc > CALL_ARGS_MAX) {
		return tool_fail(tool, TOOL_USAGE, "a table and a key, please");
	}
	const char *words[CALL_ARGS_MAX + 1] = {"ROW"};
	for (int i = 0; i < argc; i++) {
		words[i + 1] = argv[i];
	}
	return print_rows(tool, tool_ask(tool, NULL, words, NULL, (size_t)argc + 1, TALLY_READ), "row");
}

int cmd_rows(struct tool *tool, int argc, char **argv)
{
	const char *limit = "100";
	const struct option options[] = {{"limit", OPTION_TEXT, &limit, "N", "at most so many rows (100)"}};
	int status = options_parse(tool, options, 1, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc < 1 || argc > CALL_ARGS_MAX) {
		return tool_fail(tool, TOOL_USAGE, "which table?");
	}
	const char *words[CALL_ARGS_MAX + 3] = {"ROWS"};
	size_t count = 1;
	for (int i = 0; i < argc; i++) {
		words[count++] = argv[i];
	}
	words[count++] = "LIMIT";
	words[count++] = limit;
	return print_rows(tool, tool_ask(tool, NULL, words, NULL, count, TALLY_READ), "rows");
}

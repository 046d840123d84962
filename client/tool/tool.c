#include "client/tool/tool.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/outcome.h"
#include "client/tool/json_out.h"
#include "client/tool/nodes.h"
#include "client/tool/print.h"

int tool_fail(const struct tool *tool, int code, const char *format, ...)
{
	va_list args;
	fprintf(stderr, "tally %s: ", tool->name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

struct tally_sync *tool_client(struct tool *tool)
{
	if (tool->sync == NULL) {
		char error[256];
		struct tally_options options = {.servers = tool->servers, .meta = true};
		tool->sync = tally_sync_open(&options, error, sizeof(error));
		if (tool->sync == NULL) {
			tool_fail(tool, TOOL_USAGE, "--servers: %s", error);
		}
	}
	return tool->sync;
}

void tool_close(struct tool *tool)
{
	tally_sync_close(tool->sync);
	tool->sync = NULL;
}

int tool_exit_of(enum tally_outcome outcome)
{
	switch (outcome) {
	case TALLY_DONE:
		return TOOL_DONE;
	case TALLY_REFUSED:
		return TOOL_REFUSED;
	case TALLY_CONFLICT:
		return TOOL_CONFLICT;
	case TALLY_RETRY:
		return TOOL_RETRY;
	case TALLY_UNKNOWN:
		return TOOL_UNKNOWN;
	}
	return TOOL_FAILED;
}

const struct tally_call *tool_ask(struct tool *tool, const char *id, const char *const *words,
				  const size_t *lens, size_t count, unsigned flags)
{
	struct tally_sync *sync = tool_client(tool);
	return sync == NULL
		       ? NULL
		       : tally_sync_command(sync, id, words, lens, count, flags, (unsigned)tool->timeout_ms);
}

static const char *tool_effect(enum tally_outcome outcome)
{
	return outcome == TALLY_UNKNOWN ? "it may have happened; ask again with the same id"
					: "nothing was written";
}

const char *tool_text(const struct tally_value *map, const char *key)
{
	const char *text = tally_value_text(tally_value_get(map, key), NULL);
	return text != NULL ? text : "";
}

long long tool_int(const struct tally_value *map, const char *key)
{
	return (long long)tally_value_int(tally_value_get(map, key), 0);
}

/* Of a call whose time passed while nodes said "later": why they did. */
static void print_last_answer(const char *name)
{
	enum code code = code_find(slice_str(name));
	if (code != CODE_NONE && code != CODE_DEADLINE_PASSED && code != CODE_OUTCOME_UNKNOWN) {
		fprintf(stderr, " · the last one was %s: %s", name, code_text(code));
	}
}

int tool_refused(const struct tool *tool, const struct tally_call *call)
{
	enum tally_outcome outcome = tally_call_outcome(call);
	const struct tally_value *details = tally_call_value(call);
	if (tool->json) {
		struct buf out;
		buf_init(&out, SIZE_MAX / 4);
		buf_append_byte(&out, '{');
		json_out_text(&out, "outcome", tally_outcome_name(outcome));
		json_out_text(&out, "code", tally_call_code(call));
		json_out_text(&out, "message", tally_call_message(call));
		json_out_name(&out, "details");
		json_out_value(&out, details);
		buf_append_byte(&out, '}');
		json_out_print(&out);
		return tool_exit_of(outcome);
	}
	if (details == NULL) {
		const char *message = tally_call_message(call);
		fprintf(stderr, "%s: %s", tally_outcome_name(outcome), message);
		print_last_answer(tally_call_code(call));
		fprintf(stderr, " · %s\n", tool_effect(outcome));
		if (strstr(message, "no node was reached") != NULL) {
			fprintf(stderr, "asked: %s (--servers, $TALLY_SERVERS)\n", tool->servers);
			nodes_explain(tool->servers);
		}
	} else {
		fprintf(stderr, "%s: %s", tally_outcome_name(outcome), tally_call_code(call));
		print_details(stderr, details);
		fprintf(stderr, " · %s\n", tool_effect(outcome));
	}
	return tool_exit_of(outcome);
}

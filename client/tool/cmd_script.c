/* script check, push, list. `check` without --servers asks a throwaway node, so
 * that it works on a laptop without a cluster. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tool/commands.h"
#include "client/tool/files.h"
#include "client/tool/json_out.h"
#include "client/tool/options.h"
#include "client/tool/print.h"
#include "client/tool/script.h"

const struct tally_call *script_send(struct tool *tool, const char *verb, const char *name,
				     const struct files *files)
{
	const char *words[4 + 2 * LIMIT_BUNDLE_FILES] = {"TALLY", "BUNDLE", verb, name};
	size_t lens[4 + 2 * LIMIT_BUNDLE_FILES] = {5, 6, strlen(verb), strlen(name)};
	size_t count = 4;
	for (size_t i = 0; i < files->count; i++) {
		words[count] = files->names[i];
		lens[count++] = strlen(files->names[i]);
		words[count] = files->sources[i];
		lens[count++] = files->bytes[i];
	}
	if (tool_client(tool) == NULL) {
		return NULL;
	}
	if (strcmp(verb, "CHECK") == 0) {
		return tool_ask(tool, NULL, words, lens, count, TALLY_READ);
	}
	char id[TALLY_ID_SIZE];
	tally_id_make(tally_sync_client(tool->sync), id);
	return tool_ask(tool, id, words, lens, count, 0);
}

/* The last part of a path. */
static void last_name(const char *path, char *name, size_t size)
{
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/') {
		len--;
	}
	size_t start = len;
	while (start > 0 && path[start - 1] != '/') {
		start--;
	}
	snprintf(name, size, "%.*s", (int)(len - start), path + start);
}

void script_name(const char *dir, const char *given, char *name, size_t size)
{
	if (given != NULL) {
		snprintf(name, size, "%s", given);
		return;
	}
	last_name(dir, name, size);
	/* Elsewhere a link has the name that somebody gave it; these are nobody's. */
	bool nameless = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
	char *whole = nameless ? realpath(dir, NULL) : NULL;
	if (whole != NULL) {
		last_name(whole, name, size);
		free(whole);
	}
}

static int script_told(struct tool *tool, const struct tally_call *call, const char *done)
{
	if (call == NULL) {
		return TOOL_USAGE;
	}
	if (tally_call_outcome(call) != TALLY_DONE) {
		const char *reason =
			tally_value_text(tally_value_get(tally_call_value(call), "reason"), NULL);
		if (tool->json || reason == NULL) {
			return tool_refused(tool, call);
		}
		fprintf(stderr, "%s: %s\n", tally_call_code(call), reason);
		return tool_exit_of(tally_call_outcome(call));
	}
	const struct tally_value *value = tally_call_value(call);
	if (tool->json) {
		json_out_print_value(value);
		return TOOL_DONE;
	}
	const char *name = tally_value_text(tally_value_get(value, "name"), NULL);
	const struct tally_value *procedures = tally_value_get(value, "procedures");
	printf("%s", done);
	if (name != NULL) {
		printf(" %s", name);
	}
	if (tally_value_get(value, "version") != NULL) {
		printf("@%lld", (long long)tally_value_int(tally_value_get(value, "version"), 0));
	}
	if (procedures != NULL) {
		printf(": %lld procedures", (long long)(tally_value_type(procedures) == TALLY_INT
								? tally_value_int(procedures, 0)
								: (int64_t)tally_value_count(procedures)));
	}
	printf("\n");
	return TOOL_DONE;
}

int cmd_script_check(struct tool *tool, int argc, char **argv)
{
	const char *given = tool->servers;
	int status = options_parse(tool, NULL, 0, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc != 1) {
		return tool_fail(tool, TOOL_USAGE, "which directory?");
	}
	struct files files;
	struct local local = {0};
	char name[128];
	int code = files_read(tool, argv[0], ".lua", &files);
	bool throwaway = tool->servers == given && getenv("TALLY_SERVERS") == NULL;
	if (code == 0 && throwaway) {
		/* Nothing is measured, so memory will do. */
		struct local_options options = {.nodes = 1, .unsafe = true};
		code = local_start(&local, tool, &options);
	}
	if (code == 0) {
		script_name(argv[0], NULL, name, sizeof(name));
		code = script_told(tool, script_send(tool, "CHECK", name, &files), "fine:");
	}
	files_free(&files);
	tool_close(tool);
	local_stop(&local);
	return code;
}

/* One bundle is active: with one of another name all procedures of the first are gone, which nobody who
 * deploys a second one expects. What is refused here, the push will tell. */
static int script_spare(struct tool *tool, const char *name)
{
	const char *const words[] = {"TALLY", "BUNDLE", "LIST"};
	const struct tally_call *call = tool_ask(tool, NULL, words, NULL, 3, TALLY_READ);
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		bool later = call != NULL && tally_call_outcome(call) == TALLY_RETRY;
		return call == NULL ? TOOL_USAGE : later ? tool_refused(tool, call) : 0;
	}
	const struct tally_value *first = tally_value_at(tally_call_value(call), 0);
	const char *active = first == NULL ? NULL : tally_value_text(tally_value_get(first, "bundle"), NULL);
	size_t len = active == NULL ? 0 : strcspn(active, "@");
	if (active == NULL || (strlen(name) == len && memcmp(active, name, len) == 0)) {
		return 0;
	}
	return tool_fail(
		tool, TOOL_REFUSED,
		"%s is active, and its procedures would be gone: one bundle is active at a time; push "
		"as %.*s, or --replace",
		active, (int)len, active);
}

int cmd_script_push(struct tool *tool, int argc, char **argv)
{
	bool replace = false;
	const struct option options[] = {{"replace", OPTION_FLAG, &replace, NULL,
					  "take the place of an active bundle of another name"}};
	int status = options_parse(tool, options, 1, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc < 1 || argc > 2) {
		return tool_fail(tool, TOOL_USAGE, "which directory, and perhaps the bundle's name?");
	}
	struct files files;
	char name[128];
	int code = files_read(tool, argv[0], ".lua", &files);
	if (code == 0) {
		script_name(argv[0], argc > 1 ? argv[1] : NULL, name, sizeof(name));
		code = replace ? 0 : script_spare(tool, name);
	}
	if (code == 0) {
		code = script_told(tool, script_send(tool, "PUSH", name, &files), "active:");
	}
	files_free(&files);
	return code;
}

static void list_print(const struct tally_value *procedure)
{
	const char *name = tally_value_text(tally_value_get(procedure, "name"), NULL);
	const struct tally_value *args = tally_value_get(procedure, "args");
	bool writes = tally_value_int(tally_value_get(procedure, "writes"), 0) != 0;
	const char *once = tally_value_text(tally_value_get(procedure, "once"), NULL);
	printf("%-24s %-7s", name != NULL ? name : "?", writes ? "writes" : "reads");
	if (once != NULL && once[0] != '\0') {
		printf(" once=%s", once);
	}
	for (size_t i = 0; i < tally_value_count(args); i++) {
		const char *arg = tally_value_key_at(args, i, NULL);
		const char *type = tally_value_text(tally_value_at(args, i), NULL);
		printf("%s%s:%s", i == 0 ? "  " : " ", arg != NULL ? arg : "?", type != NULL ? type : "?");
	}
	printf("\n");
}

int cmd_script_list(struct tool *tool, int argc, char **argv)
{
	int status = options_only(tool, NULL, 0, argc, argv);
	if (status != 0) {
		return status;
	}
	const char *const words[] = {"TALLY", "BUNDLE", "LIST"};
	const struct tally_call *call = tool_ask(tool, NULL, words, NULL, 3, TALLY_READ);
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		return script_told(tool, call, "");
	}
	const struct tally_value *list = tally_call_value(call);
	if (tool->json) {
		return script_told(tool, call, "");
	}
	for (size_t i = 0; i < tally_value_count(list); i++) {
		list_print(tally_value_at(list, i));
	}
	return TOOL_DONE;
}

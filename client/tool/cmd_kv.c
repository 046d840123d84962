/* get, set, del, range. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/options.h"
#include "client/tool/print.h"

int cmd_get(struct tool *tool, int argc, char **argv)
{
	int status = options_parse(tool, NULL, 0, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc != 1) {
		return tool_fail(tool, TOOL_USAGE, "one key, please");
	}
	const char *const words[] = {"GET", argv[0]};
	const struct tally_call *call = tool_ask(tool, NULL, words, NULL, 2, TALLY_READ);
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
	size_t len = 0;
	const char *text = tally_value_text(value, &len);
	if (text == NULL) {
		fprintf(stderr,
			"tally get: there is no key \"%s\" in database 0 (redis-cli -n N asks others)\n",
			argv[0]);
		return TOOL_REFUSED;
	}
	/* The bytes as they are: a value may be piped into a file. */
	fwrite(text, 1, len, stdout);
	if (print_is_terminal(stdout)) {
		fputc('\n', stdout);
	}
	return TOOL_DONE;
}

/* All of standard input, at most a value. Owned; NULL when it is longer or cannot be read, which was told. */
static char *read_input(const struct tool *tool, size_t *len)
{
	char *bytes = malloc(LIMIT_VALUE + 1);
	if (bytes == NULL) {
		tool_fail(tool, TOOL_FAILED, "out of memory");
		return NULL;
	}
	*len = fread(bytes, 1, LIMIT_VALUE + 1, stdin);
	if (ferror(stdin) != 0) {
		tool_fail(tool, TOOL_USAGE, "cannot read standard input: %s", strerror(errno));
	} else if (*len > LIMIT_VALUE) {
		tool_fail(tool, TOOL_USAGE, "a value has at most %zu bytes", LIMIT_VALUE);
	} else {
		return bytes;
	}
	free(bytes);
	return NULL;
}

/* A write under a fresh id, so that the library may repeat it. */
static const struct tally_call *kv_write(struct tool *tool, const char *const *words, const size_t *lens,
					 size_t count)
{
	char id[TALLY_ID_SIZE];
	if (tool_client(tool) == NULL) {
		return NULL;
	}
	tally_id_make(tally_sync_client(tool->sync), id);
	return tool_ask(tool, id, words, lens, count, 0);
}

int cmd_set(struct tool *tool, int argc, char **argv)
{
	int status = options_parse(tool, NULL, 0, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc != 2) {
		return tool_fail(tool, TOOL_USAGE, "a key and a value, please");
	}
	char *input = NULL;
	size_t lens[] = {3, strlen(argv[0]), strlen(argv[1])};
	if (strcmp(argv[1], "-") == 0) {
		input = read_input(tool, &lens[2]);
		if (input == NULL) {
			return TOOL_USAGE;
		}
	}
	const char *const words[] = {"SET", argv[0], input != NULL ? input : argv[1]};
	const struct tally_call *call = kv_write(tool, words, lens, 3);
	free(input);
	if (call == NULL) {
		return TOOL_USAGE;
	}
	if (tally_call_outcome(call) != TALLY_DONE) {
		return tool_refused(tool, call);
	}
	if (tool->json) {
		json_out_print_value(tally_call_value(call));
		return TOOL_DONE;
	}
	char room[32];
	printf("done in %s\n", print_us(tally_call_latency_us(call), room, sizeof(room)));
	return TOOL_DONE;
}

int cmd_del(struct tool *tool, int argc, char **argv)
{
	int status = options_parse(tool, NULL, 0, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc < 1) {
		return tool_fail(tool, TOOL_USAGE, "which key?");
	}
	const char **words = calloc((size_t)argc + 1, sizeof(*words));
	if (words == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	words[0] = "DEL";
	for (int i = 0; i < argc; i++) {
		words[i + 1] = argv[i];
	}
	const struct tally_call *call = kv_write(tool, words, NULL, (size_t)argc + 1);
	free(words);
	if (call == NULL) {
		return TOOL_USAGE;
	}
	if (tally_call_outcome(call) != TALLY_DONE) {
		return tool_refused(tool, call);
	}
	if (tool->json) {
		json_out_print_value(tally_call_value(call));
		return TOOL_DONE;
	}
	printf("%lld removed\n", (long long)tally_value_int(tally_call_value(call), 0));
	return TOOL_DONE;
}

int cmd_range(struct tool *tool, int argc, char **argv)
{
	const char *limit = "100";
	const struct option options[] = {{"limit", OPTION_TEXT, &limit, "N", "at most so many keys (100)"}};
	int status = options_parse(tool, options, 1, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc > 2) {
		return tool_fail(tool, TOOL_USAGE,
				 "at most two keys: the first, and the one behind the last");
	}
	const char *const words[] = {"RANGE", argc > 0 ? argv[0] : "", argc > 1 ? argv[1] : "", "LIMIT",
				     limit};
	const struct tally_call *call = tool_ask(tool, NULL, words, NULL, 5, TALLY_READ);
	if (call == NULL) {
		return TOOL_USAGE;
	}
	if (tally_call_outcome(call) != TALLY_DONE) {
		return tool_refused(tool, call);
	}
	const struct tally_value *list = tally_call_value(call);
	if (tool->json) {
		json_out_print_value(list);
		return TOOL_DONE;
	}
	for (size_t i = 0; i < tally_value_count(list); i++) {
		size_t len = 0;
		const char *key = tally_value_key_at(list, i, &len);
		print_text(stdout, key != NULL ? key : "", len);
		fputc('\t', stdout);
		len = 0;
		const char *text = tally_value_text(tally_value_at(list, i), &len);
		print_text(stdout, text != NULL ? text : "", len);
		fputc('\n', stdout);
	}
	return TOOL_DONE;
}

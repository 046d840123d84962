#include "client/tool/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

#define COMMON 3

static void options_common(struct tool *tool, struct option common[COMMON])
{
	common[0] = (struct option){"servers", OPTION_TEXT, &tool->servers, "HOST:PORT,...",
				    "client ports, any of the cluster ($TALLY_SERVERS; 127.0.0.1:7401 to 7403)"};
	common[1] = (struct option){"timeout", OPTION_MS, &tool->timeout_ms, "TIME",
				    "how long a request may take"};
	common[2] = (struct option){"json", OPTION_FLAG, &tool->json, NULL, "print JSON for programs"};
}

static void options_help(const struct tool *tool, const struct option *options, size_t count)
{
	const struct tool_command *command = tool_command_find(tool->name);
	struct option common[COMMON];
	options_common((struct tool *)(uintptr_t)tool, common);
	const char *usage = command != NULL ? command->usage : "";
	printf("usage: tally %s%s%s [--flag …]\n%s.\n\n", tool->name, *usage != '\0' ? " " : "", usage,
	       command != NULL ? command->summary : "");
	for (size_t i = 0; i < count + COMMON; i++) {
		const struct option *option = i < count ? &options[i] : &common[i - count];
		char left[64];
		snprintf(left, sizeof(left), "--%s%s%s", option->name, option->placeholder != NULL ? " " : "",
			 option->placeholder != NULL ? option->placeholder : "");
		printf("  %-24s %s", left, option->meaning);
		if (option->kind == OPTION_COUNT && strchr(option->meaning, '(') == NULL &&
		    *(uint64_t *)option->to != 0) {
			printf(" (%llu)", (unsigned long long)*(uint64_t *)option->to);
		} else if (option->kind == OPTION_MS) {
			printf(" (%llus)", (unsigned long long)*(uint64_t *)option->to / 1000);
		}
		printf("\n");
	}
}

bool options_ms(const char *text, uint64_t *ms)
{
	char *end;
	if (*text < '0' || *text > '9') {
		return false;
	}
	unsigned long long value = strtoull(text, &end, 10);
	uint64_t scale = 1;
	if (strcmp(end, "s") == 0) {
		scale = 1000;
	} else if (strcmp(end, "m") == 0) {
		scale = 60000;
	} else if (strcmp(end, "") != 0 && strcmp(end, "ms") != 0) {
		return false;
	}
	if (value > UINT64_MAX / scale / 2) {
		return false;
	}
	*ms = value * scale;
	return true;
}

static int options_set(const struct tool *tool, const struct option *option, const char *value)
{
	int64_t number;
	switch (option->kind) {
	case OPTION_FLAG:
		*(bool *)option->to = true;
		return 0;
	case OPTION_TEXT:
		*(const char **)option->to = value;
		return 0;
	case OPTION_COUNT:
		if (!slice_to_int64(slice_str(value), &number) || number < 0) {
			return tool_fail(tool, TOOL_USAGE, "--%s wants a number, not \"%s\"", option->name,
					 value);
		}
		*(uint64_t *)option->to = (uint64_t)number;
		return 0;
	case OPTION_MS:
		if (!options_ms(value, option->to)) {
			return tool_fail(tool, TOOL_USAGE, "--%s wants a time like 500ms or 2s, not \"%s\"",
					 option->name, value);
		}
		return 0;
	}
	return 0;
}

static const struct option *options_find(const struct option *options, size_t count, struct slice name)
{
	for (size_t i = 0; i < count; i++) {
		if (slice_equal(slice_str(options[i].name), name)) {
			return &options[i];
		}
	}
	return NULL;
}

/* Whose value was forgotten takes none of the flags behind it: "--once --dryrun" would be no dry run. */
static bool options_is_flag(const struct option *options, size_t count, const struct option *common,
			    const char *word)
{
	return strncmp(word, "--", 2) == 0 && (options_find(options, count, slice_str(word + 2)) != NULL ||
					       options_find(common, COMMON, slice_str(word + 2)) != NULL);
}

/* One flag at argv[*at]; moves *at to its last word. */
static int options_take(struct tool *tool, const struct option *options, size_t count, int argc, char **argv,
			int *at)
{
	struct option common[COMMON];
	options_common(tool, common);
	const char *flag = argv[*at] + 2;
	const char *equals = strchr(flag, '=');
	struct slice name = equals != NULL ? slice_of(flag, (size_t)(equals - flag)) : slice_str(flag);
	if (slice_equal(name, SLICE_LIT("help"))) {
		options_help(tool, options, count);
		return OPTIONS_HELP;
	}
	const struct option *option = options_find(options, count, name);
	if (option == NULL) {
		option = options_find(common, COMMON, name);
	}
	if (option == NULL) {
		return tool_fail(tool, TOOL_USAGE, "there is no --%.*s; see tally %s --help", (int)name.len,
				 (const char *)name.data, tool->name);
	}
	if (option->kind == OPTION_FLAG) {
		return equals == NULL ? options_set(tool, option, NULL)
				      : tool_fail(tool, TOOL_USAGE, "--%s takes no value", option->name);
	}
	if (equals != NULL) {
		return options_set(tool, option, equals + 1);
	}
	if (*at + 1 == argc || options_is_flag(options, count, common, argv[*at + 1])) {
		return tool_fail(tool, TOOL_USAGE, "--%s wants a value: --%s=%s", option->name, option->name,
				 option->placeholder);
	}
	(*at)++;
	return options_set(tool, option, argv[*at]);
}

int options_parse(struct tool *tool, const struct option *options, size_t count, int *argc, char **argv)
{
	int kept = 0;
	int at = 0;
	for (; at < *argc; at++) {
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (strncmp(argv[at], "--", 2) != 0) {
			argv[kept++] = argv[at];
			continue;
		}
		int status = options_take(tool, options, count, *argc, argv, &at);
		if (status != 0) {
			return status;
		}
	}
	for (; at < *argc; at++) {
		argv[kept++] = argv[at];
	}
	*argc = kept;
	if (tool->timeout_ms < 1 || tool->timeout_ms > 600000) {
		return tool_fail(tool, TOOL_USAGE, "--timeout is between 1ms and 10m");
	}
	return 0;
}

int options_only(struct tool *tool, const struct option *options, size_t count, int argc, char **argv)
{
	int status = options_parse(tool, options, count, &argc, argv);
	return status == 0 && argc > 0
		       ? tool_fail(tool, TOOL_USAGE, "what is \"%s\"? Only flags may follow", argv[0])
		       : status;
}

int options_leading(int argc, char **argv)
{
	struct tool unset;
	struct option common[COMMON];
	options_common(&unset, common);
	int at = 0;
	for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
		const struct option *option = options_find(common, COMMON, slice_str(argv[at] + 2));
		at += option != NULL && option->kind != OPTION_FLAG && at + 1 < argc;
	}
	return at;
}

bool options_everywhere(const char *flag)
{
	struct tool unset;
	struct option common[COMMON];
	options_common(&unset, common);
	return strncmp(flag, "--", 2) == 0 && options_find(common, COMMON, slice_str(flag + 2)) != NULL;
}

/* tally: the admin tool. One table of commands; the longest name that matches wins. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tool/commands.h"
#include "client/tool/options.h"

const char tool_servers_default[] = "127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403";

const struct tool_command tool_commands[] = {
	{"status", "", "Who leads, how far each node is", cmd_status},
	{"get", "KEY", "Print the value of a key", cmd_get},
	{"set", "KEY VALUE", "Set a key; VALUE - reads standard input", cmd_set},
	{"del", "KEY…", "Remove keys", cmd_del},
	{"range", "[FROM [TO]]", "Keys and values in order", cmd_range},
	{"call", "PROCEDURE [NAME=VALUE…]", "Call a procedure of the active bundle", cmd_call},
	{"row", "TABLE KEY…", "Print one row", cmd_row},
	{"rows", "TABLE [FROM…]", "Print rows in order", cmd_rows},
	{"script check", "DIR", "Compile a bundle and check what can be checked without data",
	 cmd_script_check},
	{"script test", "DIR", "Run a bundle's tests on a throwaway node", cmd_script_test},
	{"script push", "DIR [NAME]", "Deploy a bundle, all of it or nothing", cmd_script_push},
	{"script list", "", "The procedures of the active bundle", cmd_script_list},
	{"bench flash", "", "Flash sale: how many sales a second", cmd_bench_flash},
	{"bench sale", "", "A whole sale by a fleet of buyers, judged at the end", cmd_bench_sale},
	{"bench kv", "", "SET and GET: how many a second", cmd_bench_kv},
	{"bench failover", "", "Take the leader away again and again: how long until the next write",
	 cmd_bench_failover},
	{"bench follower", "", "Kill a follower under load: what those notice who write", cmd_bench_follower},
	{"bench overload", "",
	 "Ten times what the cluster can sell: what is still sold, how soon all is well", cmd_bench_overload},
	{"bench restart", "", "Kill all nodes at once: how long until the next write", cmd_bench_restart},
	{"hash", "", "A hash over the whole database of every node", cmd_hash},
	{"transfer", "[ID]", "Hand leadership to another node", cmd_transfer},
	{"version", "", "Print the version", cmd_version},
};
const size_t tool_command_count = sizeof(tool_commands) / sizeof(tool_commands[0]);

const struct tool_command *tool_command_find(const char *name)
{
	for (size_t i = 0; i < tool_command_count; i++) {
		if (strcmp(tool_commands[i].name, name) == 0) {
			return &tool_commands[i];
		}
	}
	return NULL;
}

static void usage(FILE *out)
{
	fprintf(out, "usage: tally COMMAND …\n\n");
	for (size_t i = 0; i < tool_command_count; i++) {
		char left[64];
		snprintf(left, sizeof(left), "%s %s", tool_commands[i].name, tool_commands[i].usage);
		/* "…" is three bytes and one column. */
		int wide = 34;
		for (const char *at = left; (at = strstr(at, "…")) != NULL; at++) {
			wide += 2;
		}
		fprintf(out, "  %-*s %s\n", wide, left, tool_commands[i].summary);
	}
	fprintf(out, "\nEvery command takes --servers HOST:PORT,... (or $TALLY_SERVERS), --timeout TIME, "
		     "--json, --help.\n"
		     "Exit codes: 0 done, 2 usage, 3 refused, 4 conflict, 5 retry, 6 unknown; 1 a check "
		     "failed.\n");
}

/* "script push": two words; anything else: one. */
static const struct tool_command *find_words(int argc, char **argv, int *words)
{
	char name[64];
	if (argc > 2) {
		snprintf(name, sizeof(name), "%s %s", argv[1], argv[2]);
		*words = 2;
		const struct tool_command *command = tool_command_find(name);
		if (command != NULL) {
			return command;
		}
	}
	*words = 1;
	return argc > 1 ? tool_command_find(argv[1]) : NULL;
}

/* Options may stand in front of the command too: moves its words before them. */
static void put_words_first(char **argv, int leading, int words)
{
	for (int i = 0; i < words; i++) {
		char *word = argv[1 + leading + i];
		memmove(&argv[2 + i], &argv[1 + i], (size_t)leading * sizeof(*argv));
		argv[1 + i] = word;
	}
}

/* flag: what stands before the word, which may be its value. */
static void tell_unknown(const char *flag, const char *word)
{
	if (flag != NULL && strncmp(flag, "--", 2) == 0 && !options_everywhere(flag)) {
		fprintf(stderr,
			"tally: %s is no flag of every command: name the command first; see tally --help\n",
			flag);
		return;
	}
	size_t len = strlen(word);
	const char *before = " needs one of:";
	fprintf(stderr, "tally: \"%s\"", word);
	for (size_t i = 0; i < tool_command_count; i++) {
		const char *name = tool_commands[i].name;
		if (strncmp(name, word, len) == 0 && name[len] == ' ') {
			fprintf(stderr, "%s%s", before, name + len);
			before = ",";
		}
	}
	fprintf(stderr, "%s\n", *before == ',' ? "" : " is no command; `tally --help` lists them");
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* "help bench kv" as "bench kv --help". */
static void turn_help_round(int argc, char **argv)
{
	memmove(&argv[1], &argv[2], (size_t)(argc - 2) * sizeof(*argv));
	argv[argc - 1] = (char *)(uintptr_t) "--help";
}

int main(int argc, char **argv)
{
	/* A node that goes away is an event of the loop, not the end of the tool. */
	signal(SIGPIPE, SIG_IGN);
	if (argc > 2 && strcmp(argv[1], "help") == 0) {
		turn_help_round(argc, argv);
	}
	if (argc > 1 && is_help(argv[1])) {
		usage(stdout);
		return TOOL_DONE;
	}
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		argv[1] = (char *)(uintptr_t) "version";
	}
	int leading = options_leading(argc - 1, argv + 1), words;
	const struct tool_command *command = find_words(argc - leading, argv + leading, &words);
	if (command == NULL) {
		if (argc - leading > 1) {
			tell_unknown(leading > 0 ? argv[leading] : NULL, argv[1 + leading]);
		} else {
			usage(stderr);
		}
		return TOOL_USAGE;
	}
	put_words_first(argv, leading, words);
	const char *servers = getenv("TALLY_SERVERS");
	struct tool tool = {.name = command->name,
			    .servers = servers != NULL ? servers : tool_servers_default,
			    .timeout_ms = 5000};
	int code = command->run(&tool, argc - 1 - words, argv + 1 + words);
	tool_close(&tool);
	/* Output that did not reach its reader is a failure, not a success. */
	if (fflush(stdout) != 0 && code == TOOL_DONE) {
		code = TOOL_FAILED;
	}
	return code == -1 ? TOOL_DONE : code;
}

#include "server/catalog.h"

#include "server/manual.h"
#include "server/node_private.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

#define NAME_MAX_BYTES 64

static struct slice lower_name(const char *name, char out[NAME_MAX_BYTES])
{
	size_t at = 0;
	for (; name[at] != '\0' && at < NAME_MAX_BYTES; at++) {
		out[at] = (char)tolower((unsigned char)name[at]);
	}
	return slice_of(out, at);
}

static void put_name(struct reply *reply, const char *name)
{
	char out[NAME_MAX_BYTES];
	reply_bulk(reply, lower_name(name, out));
}

void catalog_all(struct local_call *call)
{
	size_t count = 0;
	const struct command *commands = command_table(&count);
	reply_array(call->reply, count);
	for (size_t i = 0; i < count; i++) {
		command_describe(&commands[i], call->reply);
	}
}

void catalog_count(struct local_call *call)
{
	size_t count = 0;
	command_table(&count);
	reply_integer(call->reply, (int64_t)count);
}

void catalog_info(struct local_call *call)
{
	if (call->argc == 2) {
		catalog_all(call);
		return;
	}
	reply_array(call->reply, call->argc - 2);
	for (size_t i = 2; i < call->argc; i++) {
		const struct command *command = command_find(call->argv[i]);
		if (command == NULL) {
			reply_null(call->reply);
		} else {
			command_describe(command, call->reply);
		}
	}
}

/* ---- LIST [FILTERBY MODULE|ACLCAT|PATTERN what] ---- */

enum filter { FILTER_NONE, FILTER_NOTHING, FILTER_CATEGORY, FILTER_PATTERN };

static bool passes(const struct command *command, enum filter filter, struct slice what)
{
	char name[NAME_MAX_BYTES];
	if (filter == FILTER_PATTERN) {
		return local_glob(what, lower_name(command->name, name));
	}
	if (filter == FILTER_CATEGORY) {
		return command_in_category(command, what);
	}
	return filter == FILTER_NONE;
}

void catalog_list(struct local_call *call)
{
	enum filter filter = FILTER_NONE;
	struct slice what = SLICE_NONE;
	size_t count = 0, passed = 0;
	if (call->argc == 5 && slice_is_word(call->argv[2], "filterby")) {
		what = call->argv[4];
		filter = slice_is_word(call->argv[3], "pattern")  ? FILTER_PATTERN
			 : slice_is_word(call->argv[3], "aclcat") ? FILTER_CATEGORY
			 : slice_is_word(call->argv[3], "module") ? FILTER_NOTHING
								  : FILTER_NONE;
	}
	if (call->argc != 2 && filter == FILTER_NONE) {
		reply_error(call->reply, "ERR syntax error");
		return;
	}
	if (filter == FILTER_PATTERN && !local_patterns(&what, 1, call->reply)) {
		return;
	}
	const struct command *commands = command_table(&count);
	for (size_t i = 0; i < count; i++) {
		passed += passes(&commands[i], filter, what);
	}
	if (filter == FILTER_NONE) {
		reply_set(call->reply, passed);
	} else {
		reply_array(call->reply, passed);
	}
	for (size_t i = 0; i < count; i++) {
		if (passes(&commands[i], filter, what)) {
			put_name(call->reply, commands[i].name);
		}
	}
}

/* ---- DOCS ---- */

static void put_docs(struct reply *reply, const struct command *command)
{
	const struct manual_entry *entry = manual_find(command->name);
	assert(entry != NULL);
	put_name(reply, command->name);
	reply_map(reply, entry->words[0] != '\0' ? 4 : 3);
	reply_bulk_text(reply, "summary");
	reply_bulk_text(reply, entry->summary);
	reply_bulk_text(reply, "since");
	reply_bulk_text(reply, "1.0.0");
	reply_bulk_text(reply, "group");
	reply_bulk_text(reply, command->group == NULL ? "generic" : command->group);
	if (entry->words[0] != '\0') {
		/* All of them as one: tools print names as they are. */
		reply_bulk_text(reply, "arguments");
		reply_array(reply, 1);
		reply_map(reply, 2);
		reply_bulk_text(reply, "name");
		reply_bulk_text(reply, entry->words);
		reply_bulk_text(reply, "type");
		reply_bulk_text(reply, "string");
	}
}

void catalog_docs(struct local_call *call)
{
	size_t count = 0, known = 0;
	const struct command *commands = command_table(&count);
	if (call->argc == 2) {
		reply_map(call->reply, count);
		for (size_t i = 0; i < count; i++) {
			put_docs(call->reply, &commands[i]);
		}
		return;
	}
	for (size_t i = 2; i < call->argc; i++) {
		known += command_find(call->argv[i]) != NULL;
	}
	reply_map(call->reply, known);
	for (size_t i = 2; i < call->argc; i++) {
		const struct command *command = command_find(call->argv[i]);
		if (command != NULL) {
			put_docs(call->reply, command);
		}
	}
}

/* ---- GETKEYS ---- */

struct keys {
	size_t first, count, step; /* positions in the command's own argv */
};

/* EVAL script numkeys key … and its like tell their number of keys. */
static bool numbered_keys(const struct command *command, const struct slice *argv, size_t argc,
			  struct keys *keys)
{
	static const char *const names[] = {"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"};
	int64_t count = 0;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (strcmp(command->name, names[i]) == 0) {
			if (argc < 3 || !slice_to_int64(argv[2], &count) || count < 0 ||
			    (size_t)count > argc - 3) {
				return false;
			}
			*keys = (struct keys){3, (size_t)count, 1};
			return true;
		}
	}
	return false;
}

static bool find_keys(const struct command *command, const struct slice *argv, size_t argc, struct keys *keys)
{
	if (command->first_key <= 0 || command->key_step <= 0) {
		return numbered_keys(command, argv, argc, keys);
	}
	int64_t last = command->last_key < 0 ? (int64_t)argc + command->last_key : command->last_key;
	if (last < command->first_key || last >= (int64_t)argc) {
		return false;
	}
	keys->first = (size_t)command->first_key;
	keys->step = (size_t)command->key_step;
	keys->count = ((size_t)last - keys->first) / keys->step + 1;
	return true;
}

/* A set of simple strings. */
static void put_key_flags(struct reply *reply, const char *flags)
{
	char word[NAME_MAX_BYTES];
	size_t count = 1;
	for (const char *at = flags; *at != '\0'; at++) {
		count += *at == ' ';
	}
	reply_set(reply, count);
	while (count-- > 0) {
		size_t len = strcspn(flags, " ");
		snprintf(word, sizeof word, "%.*s", (int)len, flags);
		reply_simple(reply, word);
		flags += len + (flags[len] != '\0');
	}
}

static void getkeys(struct local_call *call, bool flags)
{
	const struct slice *argv = call->argv + 2;
	size_t argc = call->argc - 2;
	const struct command *command = command_find(argv[0]);
	struct keys keys = {0, 0, 1};
	if (command == NULL) {
		reply_error(call->reply, "ERR Invalid command specified");
		return;
	}
	bool takes = command->first_key > 0 || numbered_keys(command, argv, argc, &keys) ||
		     strstr(command->redis_flags, "movablekeys") != NULL;
	if (!takes) {
		reply_error(call->reply, "ERR The command has no key arguments");
		return;
	}
	bool fits = command->arity > 0 ? argc == (size_t)command->arity : argc >= (size_t)-command->arity;
	if (!fits) {
		reply_error(call->reply, "ERR Invalid number of arguments specified for command");
		return;
	}
	if (!find_keys(command, argv, argc, &keys)) {
		reply_error(call->reply, "ERR Invalid arguments specified for command");
		return;
	}
	reply_array(call->reply, keys.count);
	for (size_t i = 0; i < keys.count; i++) {
		if (flags) {
			reply_array(call->reply, 2);
		}
		reply_bulk(call->reply, argv[keys.first + i * keys.step]);
		if (flags) {
			put_key_flags(call->reply,
				      command_key_flags(command, argv, argc, keys.first + i * keys.step));
		}
	}
}

void catalog_getkeys(struct local_call *call)
{
	getkeys(call, false);
}

void catalog_getkeysandflags(struct local_call *call)
{
	getkeys(call, true);
}

void catalog_help(struct local_call *call)
{
	static const char *const lines[] = {
		"(no subcommand)",
		"    Return details about all commands.",
		"COUNT",
		"    Return the total number of commands in this server.",
		"LIST [FILTERBY (MODULE|ACLCAT|PATTERN) <what>]",
		"    Return a list of all commands.",
		"INFO [<command-name> ...]",
		"    Return details about multiple commands.",
		"DOCS [<command-name> ...]",
		"    Return documentation details about multiple commands.",
		"GETKEYS <full-command>",
		"    Return the keys from a full command.",
		"GETKEYSANDFLAGS <full-command>",
		"    Return the keys and the access flags from a full command.",
	};
	local_help(call->reply, "COMMAND", lines, sizeof lines / sizeof lines[0]);
}

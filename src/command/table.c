/* The table of commands: lookup, and the checks before one runs. */
#include "command/room.h"

#include <assert.h>

#define NAME_MAX_BYTES 16

#define W COMMAND_WRITE
#define R COMMAND_READ
#define L COMMAND_LOCAL
#define S COMMAND_SCRIPT
#define NQ COMMAND_QUEUE_NOT
#define NS COMMAND_SCRIPT_NOT
#define SLOW COMMAND_SLOW
#define C COMMAND_CONTAINER
#define SURVEY COMMAND_SURVEY

static const struct command commands[] = {
#define ROW(name, arity, flags, first, last, step, group, redis_flags, run) \
	{name, arity, flags, first, last, step, group, redis_flags, run},
#include "command/list.h"
#undef ROW
};

/* The names again, each in two words that compare as its bytes do. */
static const char names[][NAME_MAX_BYTES] = {
#define ROW(name, arity, flags, first, last, step, group, redis_flags, run) name,
#include "command/list.h"
#undef ROW
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

const struct command *command_table(size_t *count)
{
	*count = COMMAND_COUNT;
	return commands;
}

static uint64_t word_of(const char *bytes)
{
	uint64_t word;
	memcpy(&word, bytes, sizeof(word));
	return __builtin_bswap64(word);
}

const struct command *command_find(struct slice name)
{
	char upper[NAME_MAX_BYTES] = {0};
	size_t low = 0, high = COMMAND_COUNT;
	uint64_t first, second;

	if (name.len >= sizeof(upper)) {
		return NULL;
	}
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		upper[i] = (char)(c - (c >= 'a' && c <= 'z' ? 32 : 0));
	}
	first = word_of(upper);
	second = word_of(upper + 8);
	while (low < high) {
		size_t middle = (low + high) / 2;
		uint64_t word = word_of(names[middle]), rest = word_of(names[middle] + 8);
		if (first == word && second == rest) {
			return strlen(commands[middle].name) == name.len ? &commands[middle] : NULL; /* not "GET\0" */
		}
		if (first < word || (first == word && second < rest)) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return NULL;
}

/* ---- errors ---- */

#define ERROR_ARGS_MAX 128

/* As printf's %.*s sees a slice: up to a NUL. */
static int shown(struct slice s, size_t max)
{
	const uint8_t *nul = s.len == 0 ? NULL : memchr(s.data, '\0', s.len);
	size_t len = nul == NULL ? s.len : (size_t)(nul - s.data);
	return (int)(len < max ? len : max);
}

static void reply_unknown(const struct slice *argv, size_t argc, struct reply *reply)
{
	char args[2 * ERROR_ARGS_MAX];
	size_t used = 0;

	args[0] = '\0';
	for (size_t i = 1; i < argc && used < ERROR_ARGS_MAX; i++) {
		int len = shown(argv[i], ERROR_ARGS_MAX - used);
		args[used++] = '\'';
		memcpy(args + used, argv[i].data == NULL ? (const uint8_t *)"" : argv[i].data, (size_t)len);
		used += (size_t)len;
		args[used++] = '\'';
		args[used++] = ' ';
		assert(used < sizeof(args));
	}
	args[used] = '\0';
	reply_error(reply, "ERR unknown command '%.*s', with args beginning with: %s",
	            shown(argv[0], ERROR_ARGS_MAX), (const char *)argv[0].data, args);
}

static void lower(char *out, const char *name)
{
	while (*name != '\0') {
		char c = *name++;
		*out++ = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	*out = '\0';
}

static bool subcommand_check(const struct command *command, const struct slice *argv, size_t argc,
                             struct reply *reply)
{
	const struct subcommand *sub = subcommand_find(command, argv[1]);
	char container[NAME_MAX_BYTES], name[NAME_MAX_BYTES * 2];

	if (sub == NULL) {
		reply_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown(argv[1], ERROR_ARGS_MAX),
		            (const char *)argv[1].data, command->name);
		return false;
	}
	if (!arity_fits(sub->arity, argc)) {
		lower(container, sub->container);
		lower(name, sub->name);
		reply_error(reply, "ERR wrong number of arguments for '%s|%s' command", container, name);
		return false;
	}
	return true;
}

bool command_check(const struct command *command, const struct slice *argv, size_t argc, struct reply *reply)
{
	char name[NAME_MAX_BYTES];

	assert(argc > 0);
	if (command == NULL) {
		reply_unknown(argv, argc, reply);
		return false;
	}
	if (argc >= 2 && (command->flags & COMMAND_CONTAINER)) {
		return subcommand_check(command, argv, argc, reply);
	}
	if (!arity_fits(command->arity, argc)) {
		lower(name, command->name);
		if (strcmp(command->name, "EXEC") == 0) { /* it discards the transaction */
			reply_error(reply, "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
			                   "command");
		} else {
			reply_wrong_arity(reply, name);
		}
		return false;
	}
	return true;
}

int command_run(struct command_call *call)
{
	assert(call->command->run != NULL);
	assert(arity_fits(call->command->arity, call->argc));
	return call->command->run(call);
}

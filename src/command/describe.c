/* What COMMAND INFO tells of a command, as Redis 7.0.15 does: categories, tips, and
 * where its keys are. The data below is that of redis-server; tests/diff compares it. */
#include "command/room.h"

#include <assert.h>
#include <stdio.h>

#define KEYNUM INT_LEAST16_MAX /* the word at `index` counts the keys behind it */
#define CATEGORIES_MAX 8
#define WORD_MAX 64

/* Where keys are: from the word at index to the one at last (from there; -1: the last word), by step. */
static const struct key_spec {
	const char *command, *notes, *flags;
	int index, last, step;
} key_specs[] = {
	{"APPEND", NULL, "RW insert", 1, 0, 1},
	{"BITCOUNT", NULL, "RO access", 1, 0, 1},
	{"BITFIELD", "This command allows both access and modification of the key", "RW access update variable_flags", 1, 0, 1},
	{"BITFIELD_RO", NULL, "RO access", 1, 0, 1},
	{"BITOP", NULL, "OW update", 2, 0, 1},
	{"BITOP", NULL, "RO access", 3, -1, 1},
	{"BITPOS", NULL, "RO access", 1, 0, 1},
	{"COPY", NULL, "RO access", 1, 0, 1},
	{"COPY", NULL, "OW update", 2, 0, 1},
	{"DECR", NULL, "RW access update", 1, 0, 1},
	{"DECRBY", NULL, "RW access update", 1, 0, 1},
	{"DEL", NULL, "RM delete", 1, -1, 1},
	{"EVAL", "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE", "RW access update", 2, KEYNUM, 1},
	{"EVALSHA", NULL, "RW access update", 2, KEYNUM, 1},
	{"EVALSHA_RO", NULL, "RO access", 2, KEYNUM, 1},
	{"EVAL_RO", "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS", "RO access", 2, KEYNUM, 1},
	{"EXISTS", NULL, "RO", 1, -1, 1},
	{"EXPIRE", NULL, "RW update", 1, 0, 1},
	{"EXPIREAT", NULL, "RW update", 1, 0, 1},
	{"EXPIRETIME", NULL, "RO access", 1, 0, 1},
	{"FCALL", "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE", "RW access update", 2, KEYNUM, 1},
	{"FCALL_RO", "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS", "RO access", 2, KEYNUM, 1},
	{"GET", NULL, "RO access", 1, 0, 1},
	{"GETBIT", NULL, "RO access", 1, 0, 1},
	{"GETDEL", NULL, "RW access delete", 1, 0, 1},
	{"GETEX", "RW and UPDATE because it changes the TTL", "RW access update", 1, 0, 1},
	{"GETRANGE", NULL, "RO access", 1, 0, 1},
	{"GETSET", NULL, "RW access update", 1, 0, 1},
	{"INCR", NULL, "RW access update", 1, 0, 1},
	{"INCRBY", NULL, "RW access update", 1, 0, 1},
	{"INCRBYFLOAT", NULL, "RW access update", 1, 0, 1},
	{"LCS", NULL, "RO access", 1, 1, 1},
	{"MGET", NULL, "RO access", 1, -1, 1},
	{"MOVE", NULL, "RW access update", 1, 0, 1},
	{"MSET", NULL, "OW update", 1, -1, 2},
	{"MSETNX", NULL, "OW insert", 1, -1, 2},
	{"PERSIST", NULL, "RW update", 1, 0, 1},
	{"PEXPIRE", NULL, "RW update", 1, 0, 1},
	{"PEXPIREAT", NULL, "RW update", 1, 0, 1},
	{"PEXPIRETIME", NULL, "RO access", 1, 0, 1},
	{"PSETEX", NULL, "OW update", 1, 0, 1},
	{"PTTL", NULL, "RO access", 1, 0, 1},
	{"RENAME", NULL, "RW access delete", 1, 0, 1},
	{"RENAME", NULL, "OW update", 2, 0, 1},
	{"RENAMENX", NULL, "RW access delete", 1, 0, 1},
	{"RENAMENX", NULL, "OW insert", 2, 0, 1},
	{"SET", "RW and ACCESS due to the optional `GET` argument", "RW access update variable_flags", 1, 0, 1},
	{"SETBIT", NULL, "RW access update", 1, 0, 1},
	{"SETEX", NULL, "OW update", 1, 0, 1},
	{"SETNX", NULL, "OW insert", 1, 0, 1},
	{"SETRANGE", NULL, "RW update", 1, 0, 1},
	{"STRLEN", NULL, "RO", 1, 0, 1},
	{"SUBSTR", NULL, "RO access", 1, 0, 1},
	{"TOUCH", NULL, "RO", 1, -1, 1},
	{"TTL", NULL, "RO access", 1, 0, 1},
	{"TYPE", NULL, "RO", 1, 0, 1},
	{"UNLINK", NULL, "RM delete", 1, -1, 1},
	{"WATCH", NULL, "RO", 1, -1, 1},
};

/* How a proxy may spread a command and join its answers. */
static const struct {
	const char *command, *tips;
} tips[] = {
	{"COMMAND", "nondeterministic_output_order"},
	{"DBSIZE", "request_policy:all_shards response_policy:agg_sum"},
	{"DEL", "request_policy:multi_shard response_policy:agg_sum"},
	{"EXISTS", "request_policy:multi_shard response_policy:agg_sum"},
	{"FLUSHALL", "request_policy:all_shards response_policy:all_succeeded"},
	{"FLUSHDB", "request_policy:all_shards response_policy:all_succeeded"},
	{"INFO", "nondeterministic_output request_policy:all_shards response_policy:special"},
	{"KEYS", "request_policy:all_shards nondeterministic_output_order"},
	{"LASTSAVE", "nondeterministic_output"},
	{"MGET", "request_policy:multi_shard"},
	{"MSET", "request_policy:multi_shard response_policy:all_succeeded"},
	{"MSETNX", "request_policy:multi_shard response_policy:agg_min"},
	{"PING", "request_policy:all_shards response_policy:all_succeeded"},
	{"PTTL", "nondeterministic_output"},
	{"RANDOMKEY", "request_policy:all_shards nondeterministic_output"},
	{"SCAN", "nondeterministic_output request_policy:special"},
	{"TIME", "nondeterministic_output"},
	{"TOUCH", "request_policy:multi_shard response_policy:agg_sum"},
	{"TTL", "nondeterministic_output"},
	{"UNLINK", "request_policy:multi_shard response_policy:agg_sum"},
	{"WAIT", "request_policy:all_shards response_policy:agg_min"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- words ---- */

static size_t count_words(const char *text)
{
	size_t count = 0;

	for (const char *at = text; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " ")) {
		count++;
	}
	return count;
}

static void put_words(struct reply *reply, const char *text, bool simple)
{
	char word[WORD_MAX];

	while (*text != '\0') {
		size_t len = strcspn(text, " ");
		snprintf(word, sizeof(word), "%.*s", (int)len, text);
		if (simple) {
			reply_simple(reply, word);
		} else {
			reply_bulk_text(reply, word);
		}
		text += len;
		text += strspn(text, " ");
	}
}

static void put_flags(struct reply *reply, const char *flags)
{
	reply_set(reply, count_words(flags));
	put_words(reply, flags, true);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " ")) {
		if (strcspn(at, " ") == len && strncmp(at, word, len) == 0) {
			return true;
		}
	}
	return false;
}

/* ---- categories ---- */

/* What a command's flags do not say: the words of its own. */
static const char *own_categories(const struct command *command)
{
	static const struct {
		const char *name, *words;
	} by_command[] = {{"COMMAND", "connection"},        {"DBSIZE", "keyspace"},  {"FLUSHALL", "keyspace dangerous"},
	                  {"FLUSHDB", "keyspace dangerous"}, {"INFO", "dangerous"},   {"KEYS", "keyspace dangerous"},
	                  {"SWAPDB", "keyspace dangerous"},  {"WAIT", "connection"},  {"CLIENT", ""},
	                  {"FUNCTION", ""},                  {"OBJECT", ""},          {"SCRIPT", ""},
	                  {"ROLE", "admin"},                 {"LASTSAVE", "admin"},  {"CLUSTER", ""}},
	  by_group[] = {{"string", "string"},         {"bitmap", "bitmap"},            {"generic", "keyspace"},
	                {"connection", "connection"}, {"transactions", "transaction"}, {"scripting", "scripting"},
	                {"cluster", "connection"}};

	for (size_t i = 0; i < COUNT(by_command); i++) {
		if (strcmp(by_command[i].name, command->name) == 0) {
			return by_command[i].words;
		}
	}
	for (size_t i = 0; i < COUNT(by_group); i++) {
		if (strcmp(by_group[i].name, command->group) == 0) {
			return by_group[i].words;
		}
	}
	return "";
}

static size_t categories_of(const char *flags, const char *own, const char *out[CATEGORIES_MAX])
{
	bool admin = has_word(flags, "admin") || has_word(own, "admin"), fast = has_word(flags, "fast");
	bool scripting = has_word(own, "scripting");
	const struct {
		const char *name;
		bool holds;
	} all[] = {{"@keyspace", has_word(own, "keyspace")},
	           {"@read", has_word(flags, "readonly") && !scripting},
	           {"@write", has_word(flags, "write")},
	           {"@string", has_word(own, "string")},
	           {"@bitmap", has_word(own, "bitmap")},
	           {"@admin", admin},
	           {"@fast", fast},
	           {"@slow", !fast},
	           {"@dangerous", admin || has_word(own, "dangerous")},
	           {"@connection", has_word(own, "connection")},
	           {"@transaction", has_word(own, "transaction")},
	           {"@scripting", scripting}};
	size_t count = 0;

	for (size_t i = 0; i < COUNT(all); i++) {
		if (all[i].holds) {
			assert(count < CATEGORIES_MAX);
			out[count++] = all[i].name;
		}
	}
	return count;
}

static void put_categories(struct reply *reply, const char *flags, const char *own)
{
	const char *categories[CATEGORIES_MAX];
	size_t count = categories_of(flags, own, categories);

	reply_set(reply, count);
	for (size_t i = 0; i < count; i++) {
		reply_simple(reply, categories[i]);
	}
}

bool command_in_category(const struct command *command, struct slice category)
{
	const char *categories[CATEGORIES_MAX];
	size_t count = categories_of(command->redis_flags, own_categories(command), categories);

	for (size_t i = 0; i < count; i++) {
		if (slice_is_word(category, categories[i] + 1)) {
			return true;
		}
	}
	return false;
}

const char *command_category(size_t at)
{
	static const char *const all[] = {"keyspace", "read",       "write",       "string",      "bitmap", "admin", "fast",
	                                  "slow",     "dangerous", "connection", "transaction", "scripting"};

	return at < COUNT(all) ? all[at] : NULL;
}

/* ---- keys ---- */

static void put_pair(struct reply *reply, const char *name, int64_t value)
{
	reply_bulk_text(reply, name);
	reply_integer(reply, value);
}

static void put_type(struct reply *reply, const char *name, const char *type, size_t pairs)
{
	reply_bulk_text(reply, name);
	reply_map(reply, 2);
	reply_bulk_text(reply, "type");
	reply_bulk_text(reply, type);
	reply_bulk_text(reply, "spec");
	reply_map(reply, pairs);
}

static void put_key_spec(struct reply *reply, const struct key_spec *spec)
{
	reply_map(reply, spec->notes != NULL ? 4 : 3);
	if (spec->notes != NULL) {
		reply_bulk_text(reply, "notes");
		reply_bulk_text(reply, spec->notes);
	}
	reply_bulk_text(reply, "flags");
	put_flags(reply, spec->flags);
	put_type(reply, "begin_search", "index", 1);
	put_pair(reply, "index", spec->index);
	if (spec->last == KEYNUM) {
		put_type(reply, "find_keys", "keynum", 3);
		put_pair(reply, "keynumidx", 0);
		put_pair(reply, "firstkey", 1);
		put_pair(reply, "keystep", spec->step);
		return;
	}
	put_type(reply, "find_keys", "range", 3);
	put_pair(reply, "lastkey", spec->last);
	put_pair(reply, "keystep", spec->step);
	put_pair(reply, "limit", 0);
}

static void put_key_specs(struct reply *reply, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < COUNT(key_specs); i++) {
		count += strcmp(key_specs[i].command, name) == 0;
	}
	reply_set(reply, count);
	for (size_t i = 0; i < COUNT(key_specs); i++) {
		if (strcmp(key_specs[i].command, name) == 0) {
			put_key_spec(reply, &key_specs[i]);
		}
	}
}

static const char *set_flags(const struct slice *argv, size_t argc)
{
	for (size_t i = 3; i < argc; i++) {
		if (slice_is_word(argv[i], "GET")) {
			return "RW access update";
		}
	}
	return "OW update";
}

static const char *bitfield_flags(const struct slice *argv, size_t argc)
{
	for (size_t i = 2; i < argc; i++) {
		if (slice_is_word(argv[i], "GET") && i + 2 < argc) {
			i += 2;
		} else if (slice_is_word(argv[i], "OVERFLOW") && i + 1 < argc) {
			i++;
		} else {
			return "RW access update";
		}
	}
	return "RO access";
}

const char *command_key_flags(const struct command *command, const struct slice *argv, size_t argc, size_t at)
{
	const char *flags = "RO"; /* OBJECT, and what is ours */

	if (strcmp(command->name, "SET") == 0) {
		return set_flags(argv, argc);
	}
	if (strcmp(command->name, "BITFIELD") == 0) {
		return bitfield_flags(argv, argc);
	}
	for (size_t i = 0; i < COUNT(key_specs); i++) {
		if (strcmp(key_specs[i].command, command->name) == 0 && (size_t)key_specs[i].index <= at) {
			flags = key_specs[i].flags;
		}
	}
	return flags;
}

/* ---- the whole ---- */

static void put_tips(struct reply *reply, const char *name)
{
	for (size_t i = 0; i < COUNT(tips); i++) {
		if (strcmp(tips[i].command, name) == 0) {
			reply_set(reply, count_words(tips[i].tips));
			put_words(reply, tips[i].tips, false);
			return;
		}
	}
	reply_set(reply, 0);
}

static void put_lower(struct reply *reply, const char *container, const char *name)
{
	char text[WORD_MAX];
	int len = snprintf(text, sizeof(text), "%s%s%s", container, name[0] != '\0' ? "|" : "", name);

	for (int i = 0; i < len; i++) {
		text[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
	}
	reply_bulk_text(reply, text);
}

static void put_subcommand(struct reply *reply, const struct subcommand *sub)
{
	static const struct key_spec second_key = {NULL, NULL, "RO", 2, 0, 1};
	bool of_objects = strcmp(sub->container, "OBJECT") == 0 && strcmp(sub->name, "HELP") != 0;
	bool keyed = of_objects || strcmp(sub->name, "USAGE") == 0;
	const char *own = strcmp(sub->container, "OBJECT") == 0   ? "keyspace"
	                  : strcmp(sub->container, "FUNCTION") == 0 ? "scripting"
	                  : strcmp(sub->container, "SCRIPT") == 0 ? "scripting"
	                  : strcmp(sub->container, "CLIENT") == 0 ? "connection"
	                  : strcmp(sub->container, "COMMAND") == 0 ? "connection"
	                                                           : "";

	reply_array(reply, 10);
	put_lower(reply, sub->container, sub->name);
	reply_integer(reply, sub->arity);
	put_flags(reply, sub->redis_flags);
	reply_integer(reply, keyed ? 2 : 0);
	reply_integer(reply, keyed ? 2 : 0);
	reply_integer(reply, keyed ? 1 : 0);
	put_categories(reply, sub->redis_flags, own);
	reply_set(reply, 0);
	reply_set(reply, keyed);
	if (keyed) {
		put_key_spec(reply, &second_key);
	}
	reply_set(reply, 0);
}

void command_describe(const struct command *command, struct reply *reply)
{
	bool container = command->flags & COMMAND_CONTAINER;
	const struct subcommand *sub;
	size_t count = 0;

	reply_array(reply, 10);
	put_lower(reply, command->name, "");
	reply_integer(reply, command->arity);
	put_flags(reply, command->redis_flags);
	reply_integer(reply, container ? 0 : command->first_key);
	reply_integer(reply, container ? 0 : command->last_key);
	reply_integer(reply, container ? 0 : command->key_step);
	put_categories(reply, command->redis_flags, own_categories(command));
	put_tips(reply, command->name);
	put_key_specs(reply, command->name);
	while (container && subcommand_at(command, count) != NULL) {
		count++;
	}
	reply_set(reply, count);
	for (size_t i = 0; i < count && (sub = subcommand_at(command, i)) != NULL; i++) {
		put_subcommand(reply, sub);
	}
}

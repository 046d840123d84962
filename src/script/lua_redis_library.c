/* The rows of function libraries, and FUNCTION.
 *
 *   'f' 'l' name        the library: version 1, count of functions (varint), for each: name (varint length,
 * bytes), flags (1), description (varint length + 1, 0: none; bytes); then the code to the end 'f' 'n'
 * function    the name of its library; the function's in lower case, for so FCALL finds it
 */
#include <assert.h>

#include "base/limits.h"
#include "command/command.h"
#include "script/lua_redis.h"
#include "store/keys.h"

#define LIBRARY_VERSION 1

const char *const function_flag_names[FUNCTION_FLAGS] = {"no-writes", "allow-oom", "allow-stale",
							 "no-cluster", "allow-cross-slot-keys"};

/* ---- keys ---- */

static struct slice key_of(struct arena *arena, char kind, struct slice name)
{
	uint8_t *key = arena_alloc(arena, 2 + name.len);
	key[0] = TABLE_FUNCTION;
	key[1] = (uint8_t)kind;
	if (name.len > 0) {
		memcpy(key + 2, name.data, name.len);
	}
	return slice_of(key, 2 + name.len);
}

static struct slice library_key(struct arena *arena, struct slice name)
{
	return key_of(arena, 'l', name);
}

static struct slice function_key(struct arena *arena, struct slice name)
{
	struct slice key = key_of(arena, 'n', name);
	uint8_t *letters = (uint8_t *)(uintptr_t)key.data;
	for (size_t i = 2; i < key.len; i++) {
		letters[i] = letters[i] >= 'A' && letters[i] <= 'Z' ? letters[i] | 0x20 : letters[i];
	}
	return key;
}

/* ---- rows ---- */

static bool take_text(struct slice *row, struct slice *text)
{
	uint64_t len;
	return slice_take_varint(row, &len) && len <= row->len && slice_take(row, len, text);
}

static bool decode_function(struct slice *row, struct redis_function *function)
{
	uint64_t len;
	function->description = SLICE_NONE;
	if (!take_text(row, &function->name) || !slice_take_u8(row, &function->flags) ||
	    !slice_take_varint(row, &len)) {
		return false;
	}
	return len == 0 || (len - 1 <= row->len && slice_take(row, len - 1, &function->description));
}

static int decode(struct slice row, struct arena *arena, struct redis_library *library)
{
	uint8_t version;
	uint64_t count;
	if (!slice_take_u8(&row, &version) || version != LIBRARY_VERSION ||
	    !slice_take_varint(&row, &count) || count > FUNCTIONS_MAX) {
		return ERR_CORRUPT;
	}
	library->count = count;
	library->functions = arena_alloc(arena, count * sizeof(*library->functions));
	for (size_t i = 0; i < count; i++) {
		if (!decode_function(&row, &library->functions[i])) {
			return ERR_CORRUPT;
		}
	}
	library->code = row;
	return 0;
}

int library_read(struct script_redis *call, struct slice name, struct redis_library *library)
{
	struct slice row;
	if (name.len > LIMIT_KEY) {
		return ERR_NOT_FOUND;
	}
	int status = txn_get_hot(call->txn, library_key(call->arena, name), &row);
	if (status != 0) {
		return status;
	}
	library->name = name;
	return decode(row, call->arena, library);
}

int library_of_function(struct script_redis *call, struct slice function, struct slice *library)
{
	if (function.len > LIMIT_KEY) {
		return ERR_NOT_FOUND;
	}
	return txn_get_hot(call->txn, function_key(call->arena, function), library);
}

int library_write(struct script_redis *call, const struct redis_library *library)
{
	struct buf row;
	buf_init(&row, LIMIT_ROW_VALUE);
	buf_append_byte(&row, LIBRARY_VERSION);
	buf_append_varint(&row, library->count);
	int status = 0;
	for (size_t i = 0; i < library->count && status == 0; i++) {
		const struct redis_function *function = &library->functions[i];
		buf_append_varint(&row, function->name.len);
		buf_append_slice(&row, function->name);
		buf_append_byte(&row, function->flags);
		buf_append_varint(&row,
				  function->description.data == NULL ? 0 : function->description.len + 1);
		buf_append_slice(&row, function->description);
		status = txn_put(call->txn, function_key(call->arena, function->name), library->name);
	}
	buf_append_slice(&row, library->code);
	if (status == 0) {
		status = buf_failed(&row) ? ERR_TOO_LARGE
					  : txn_put(call->txn, library_key(call->arena, library->name),
						    buf_slice(&row));
	}
	buf_fini(&row);
	return status;
}

int library_delete(struct script_redis *call, const struct redis_library *library)
{
	int status = txn_delete(call->txn, library_key(call->arena, library->name));
	for (size_t i = 0; i < library->count && status == 0; i++) {
		status = txn_delete(call->txn, function_key(call->arena, library->functions[i].name));
	}
	return status;
}

int library_names(struct script_redis *call, struct slice **names, size_t *count)
{
	static const uint8_t from[] = {TABLE_FUNCTION, 'l'}, to[] = {TABLE_FUNCTION, 'l' + 1};
	struct txn_cursor *cursor = txn_cursor_open(call->txn, slice_of(from, 2), slice_of(to, 2), false);
	struct slice key, value;
	*names = arena_alloc(call->arena, LIMIT_TXN_WRITES * sizeof(**names));
	*count = 0;
	while (*count < LIMIT_TXN_WRITES && txn_cursor_next(cursor, &key, &value)) {
		(*names)[(*count)++] = arena_copy(call->arena, slice_skip(key, 2));
	}
	int status = txn_cursor_error(cursor);
	txn_cursor_close(cursor);
	return status;
}

int library_delete_all(struct script_redis *call)
{
	struct slice *names;
	size_t count;
	int status = library_names(call, &names, &count);
	for (size_t i = 0; i < count && status == 0; i++) {
		struct redis_library library;
		status = library_read(call, names[i], &library);
		if (status == 0) {
			status = library_delete(call, &library);
		}
	}
	return status;
}

/* ---- FUNCTION LIST ---- */

static void list_function(struct reply *reply, const struct redis_function *function)
{
	size_t flags = 0;
	for (size_t i = 0; i < FUNCTION_FLAGS; i++) {
		flags += function->flags >> i & 1;
	}
	reply_map(reply, 3);
	reply_bulk_text(reply, "name");
	reply_bulk(reply, function->name);
	reply_bulk_text(reply, "description");
	if (function->description.data == NULL) {
		reply_null(reply);
	} else {
		reply_bulk(reply, function->description);
	}
	reply_bulk_text(reply, "flags");
	reply_set(reply, flags);
	for (size_t i = 0; i < FUNCTION_FLAGS; i++) {
		if (function->flags >> i & 1) {
			reply_simple(reply, function_flag_names[i]);
		}
	}
}

static void list_library(struct reply *reply, const struct redis_library *library, bool with_code)
{
	reply_map(reply, with_code ? 4 : 3);
	reply_bulk_text(reply, "library_name");
	reply_bulk(reply, library->name);
	reply_bulk_text(reply, "engine");
	reply_bulk_text(reply, "LUA");
	reply_bulk_text(reply, "functions");
	reply_array(reply, library->count);
	for (size_t i = 0; i < library->count; i++) {
		list_function(reply, &library->functions[i]);
	}
	if (with_code) {
		reply_bulk_text(reply, "library_code");
		reply_bulk(reply, library->code);
	}
}

struct list_options {
	struct slice pattern; /* data NULL: all */
	bool with_code;
};

static bool read_list_options(struct script_redis *call, struct list_options *options)
{
	*options = (struct list_options){SLICE_NONE, false};
	for (size_t i = 2; i < call->argc; i++) {
		struct slice word = call->argv[i];
		if (!options->with_code && slice_is_word(word, "WITHCODE")) {
			options->with_code = true;
		} else if (options->pattern.data == NULL && slice_is_word(word, "LIBRARYNAME")) {
			if (++i == call->argc) {
				reply_error(call->reply, "ERR library name argument was not given");
				return false;
			}
			options->pattern = call->argv[i];
			if (options->pattern.len > LIMIT_NAME_PATTERNS) {
				reply_code(call->reply, CODE_TOO_LARGE,
					   "\"reason\":\"patterns of names are 2 KiB long at most\"");
				return false;
			}
		} else {
			reply_error(call->reply, "ERR Unknown argument %.*s",
				    (int)(word.len > 128 ? 128 : word.len), (const char *)word.data);
			return false;
		}
	}
	return true;
}

static int function_list(struct script_redis *call)
{
	struct list_options options;
	if (!read_list_options(call, &options)) {
		return ERR_DENIED;
	}
	struct slice *names;
	size_t count, matches = 0;
	int status = library_names(call, &names, &count);
	if (status != 0) {
		return status;
	}
	for (size_t i = 0; i < count; i++) {
		if (options.pattern.data == NULL || glob_match(options.pattern, names[i])) {
			names[matches++] = names[i];
		}
	}
	reply_array(call->reply, matches);
	for (size_t i = 0; i < matches && status == 0; i++) {
		struct redis_library library;
		status = library_read(call, names[i], &library);
		if (status == 0) {
			list_library(call->reply, &library, options.with_code);
		}
	}
	return status;
}

/* ---- the others ---- */

static int function_stats(struct script_redis *call)
{
	struct slice *names;
	size_t count, functions = 0;
	int status = library_names(call, &names, &count);
	for (size_t i = 0; i < count && status == 0; i++) {
		struct redis_library library = {0};
		status = library_read(call, names[i], &library);
		functions += library.count;
	}
	reply_map(call->reply, 2);
	reply_bulk_text(call->reply, "running_script");
	reply_null(call->reply);
	reply_bulk_text(call->reply, "engines");
	reply_map(call->reply, 1);
	reply_bulk_text(call->reply, "LUA");
	reply_map(call->reply, 2);
	reply_bulk_text(call->reply, "libraries_count");
	reply_integer(call->reply, (int64_t)count);
	reply_bulk_text(call->reply, "functions_count");
	reply_integer(call->reply, (int64_t)functions);
	return status;
}

static int function_delete(struct script_redis *call)
{
	struct redis_library library;
	int status = library_read(call, call->argv[2], &library);
	if (status == ERR_NOT_FOUND) {
		reply_error(call->reply, "ERR Library not found");
		return ERR_DENIED;
	}
	if (status == 0) {
		status = library_delete(call, &library);
	}
	if (status == 0) {
		reply_simple(call->reply, "OK");
	}
	return status;
}

static int function_flush(struct script_redis *call)
{
	if (call->argc > 3 || (call->argc == 3 && !slice_is_word(call->argv[2], "SYNC") &&
			       !slice_is_word(call->argv[2], "ASYNC"))) {
		reply_error(call->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
		return ERR_DENIED;
	}
	int status = library_delete_all(call);
	if (status == 0) {
		reply_simple(call->reply, "OK");
	}
	return status;
}

static int function_load_command(struct redis_machine *m, struct script_redis *call)
{
	bool replace = false;
	for (size_t i = 2; i + 1 < call->argc; i++) {
		struct slice word = call->argv[i];
		if (!slice_is_word(word, "REPLACE")) {
			reply_error(call->reply, "ERR Unknown option given: %.*s",
				    (int)(word.len > 128 ? 128 : word.len), (const char *)word.data);
			return ERR_DENIED;
		}
		replace = true;
	}
	struct slice name;
	int status = function_load(m, call, call->argv[call->argc - 1], replace, &name);
	if (status == 0) {
		reply_bulk(call->reply, name);
	}
	return status;
}

static void function_help(struct script_redis *call)
{
	static const char *const lines[] = {
		"FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
		"LOAD [REPLACE] <FUNCTION CODE>",
		"    Create a new library with the given library name and code.",
		"DELETE <LIBRARY NAME>",
		"    Delete the given library.",
		"LIST [LIBRARYNAME PATTERN] [WITHCODE]",
		"    Return general information on all the libraries.",
		"STATS",
		"    Return the engines and how many libraries and functions there are.",
		"FLUSH [ASYNC|SYNC]",
		"    Delete all the libraries.",
		"DUMP",
		"    Return a serialized payload representing the current libraries.",
		"RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
		"    Restore the libraries represented by the given payload.",
		"HELP",
		"    Prints this help."};
	size_t count = sizeof(lines) / sizeof(lines[0]);
	reply_array(call->reply, count);
	for (size_t i = 0; i < count; i++) {
		reply_simple(call->reply, lines[i]);
	}
}

int function_command(struct redis_machine *m, struct script_redis *call)
{
	struct slice word = call->argv[1];
	if (slice_is_word(word, "LOAD") && call->argc >= 3) {
		return function_load_command(m, call);
	}
	if (slice_is_word(word, "DELETE") && call->argc == 3) {
		return function_delete(call);
	}
	if (slice_is_word(word, "LIST")) {
		return function_list(call);
	}
	if (slice_is_word(word, "STATS") && call->argc == 2) {
		return function_stats(call);
	}
	if (slice_is_word(word, "FLUSH")) {
		return function_flush(call);
	}
	if (slice_is_word(word, "DUMP") && call->argc == 2) {
		return dump_write(call);
	}
	if (slice_is_word(word, "RESTORE") && (call->argc == 3 || call->argc == 4)) {
		return dump_restore(m, call);
	}
	if (slice_is_word(word, "KILL") && call->argc == 2) {
		reply_error(call->reply, "NOTBUSY No scripts in execution right now.");
		return ERR_DENIED;
	}
	if (slice_is_word(word, "HELP") && call->argc == 2) {
		function_help(call);
		return 0;
	}
	reply_error(call->reply, "ERR unknown subcommand '%.*s'. Try FUNCTION HELP.",
		    (int)(word.len > 128 ? 128 : word.len), (const char *)word.data);
	return ERR_DENIED;
}

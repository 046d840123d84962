#include "server/local.h"

#include "server/admin.h"
#include "server/catalog.h"
#include "server/client_command.h"
#include "server/connection.h"
#include "server/courtesy.h"
#include "server/info.h"
#include "server/setting.h"
#include "server/slowlog.h"

#include <assert.h>
#include <ctype.h>

/* In the order of most frequent use; names with subcommands lie together. */
static const struct local table[] = {
	{"PING", NULL, 0, 0, connection_ping},
	{"ECHO", NULL, 0, 0, connection_echo},
	{"SELECT", NULL, 0, 0, connection_select},
	{"HELLO", NULL, 0, 0, connection_hello},
	{"AUTH", NULL, 0, 0, connection_auth},
	{"RESET", NULL, 0, LOCAL_ALWAYS, connection_reset},
	{"QUIT", NULL, 0, LOCAL_ALWAYS, connection_quit},
	{"UNWATCH", NULL, 0, 0, connection_unwatch},
	{"TIME", NULL, 0, 0, connection_time},
	{"WAIT", NULL, 0, 0, connection_wait},
	{"READONLY", NULL, 0, 0, connection_ok},
	{"READWRITE", NULL, 0, 0, connection_ok},
	{"CLIENT", "ID", 2, 0, client_id},
	{"CLIENT", "GETNAME", 2, 0, client_getname},
	{"CLIENT", "SETNAME", 3, 0, client_setname},
	{"CLIENT", "SETINFO", 4, 0, client_setinfo},
	{"CLIENT", "LIST", -2, 0, client_list},
	{"CLIENT", "INFO", 2, 0, client_info},
	{"CLIENT", "KILL", -3, 0, client_kill},
	{"CLIENT", "REPLY", 3, LOCAL_SPEAKS, client_reply},
	{"CLIENT", "NO-EVICT", 3, 0, client_no_evict},
	{"CLIENT", "NO-TOUCH", 3, 0, client_no_evict},
	{"CLIENT", "GETREDIR", 2, 0, client_getredir},
	{"CLIENT", "TRACKING", -3, 0, client_tracking},
	{"CLIENT", "TRACKINGINFO", 2, 0, client_trackinginfo},
	{"CLIENT", "CACHING", 3, 0, client_caching},
	{"CLIENT", "UNBLOCK", -3, 0, client_unblock},
	{"CLIENT", "PAUSE", -3, 0, client_pause},
	{"CLIENT", "UNPAUSE", 2, 0, connection_ok},
	{"CLIENT", "HELP", 2, 0, client_help},
	{"COMMAND", NULL, -1, 0, catalog_all},
	{"COMMAND", "COUNT", 2, 0, catalog_count},
	{"COMMAND", "LIST", -2, 0, catalog_list},
	{"COMMAND", "INFO", -2, 0, catalog_info},
	{"COMMAND", "DOCS", -2, 0, catalog_docs},
	{"COMMAND", "GETKEYS", -4, 0, catalog_getkeys},
	{"COMMAND", "GETKEYSANDFLAGS", -4, 0, catalog_getkeysandflags},
	{"COMMAND", "HELP", 2, 0, catalog_help},
	{"INFO", NULL, 0, 0, info_command},
	{"ROLE", NULL, 0, 0, info_role},
	{"CONFIG", "GET", -3, 0, setting_get},
	{"CONFIG", "SET", -4, 0, setting_set},
	{"CONFIG", "RESETSTAT", 2, 0, setting_resetstat},
	{"CONFIG", "REWRITE", 2, 0, setting_rewrite},
	{"CONFIG", "HELP", 2, 0, setting_help},
	{"SLOWLOG", "GET", -2, 0, slowlog_get},
	{"SLOWLOG", "LEN", 2, 0, slowlog_len},
	{"SLOWLOG", "RESET", 2, 0, slowlog_reset},
	{"SLOWLOG", "HELP", 2, 0, slowlog_help},
	{"DEBUG", NULL, 0, LOCAL_ALWAYS, debug_denied},
	{"LASTSAVE", NULL, 0, 0, lastsave},
	{"LOLWUT", NULL, 0, 0, lolwut},
	{"ACL", "CAT", -2, 0, acl_cat},
	{"ACL", "GETUSER", 3, 0, acl_getuser},
	{"ACL", "LIST", 2, 0, acl_list},
	{"ACL", "USERS", 2, 0, acl_users},
	{"ACL", "WHOAMI", 2, 0, acl_whoami},
	{"ACL", "HELP", 2, 0, acl_help},
	{"CLUSTER", NULL, 0, 0, cluster_disabled},
	{"LATENCY", "DOCTOR", 2, 0, latency_doctor},
	{"LATENCY", "GRAPH", 3, 0, latency_graph},
	{"LATENCY", "HISTOGRAM", -2, 0, latency_histogram},
	{"LATENCY", "HISTORY", 3, 0, latency_empty},
	{"LATENCY", "LATEST", 2, 0, latency_empty},
	{"LATENCY", "RESET", -2, 0, latency_reset},
	{"LATENCY", "HELP", 2, 0, latency_help},
	{"MEMORY", "DOCTOR", 2, 0, memory_doctor}, /* USAGE and HELP are the leader's */
	{"MEMORY", "MALLOC-STATS", 2, 0, memory_malloc_stats},
	{"MEMORY", "PURGE", 2, 0, connection_ok},
	{"MEMORY", "STATS", 2, 0, info_memory_stats},
	{"MODULE", "LIST", 2, 0, module_list},
	{"MODULE", "HELP", 2, 0, module_help},
	{"TALLY", "STATUS", 2, 0, admin_status},
	{"TALLY", "HASH", 2, LOCAL_LATER, admin_hash},
	{"TALLY", "META", 3, 0, admin_meta},
	{"TALLY", "TRANSFER", -2, LOCAL_LATER, admin_transfer},
	{"TALLY", "HELP", 2, 0, admin_help},
};
#define TABLE_COUNT (sizeof table / sizeof table[0])

static void lower(char *out, size_t size, const char *text)
{
	size_t at = 0;
	for (; text[at] != '\0' && at + 1 < size; at++) {
		out[at] = (char)tolower((unsigned char)text[at]);
	}
	out[at] = '\0';
}

static void wrong_arity(const struct local *local, struct reply *reply)
{
	char name[32], sub[32] = "";
	lower(name, sizeof name, local->name);
	if (local->sub != NULL) {
		lower(sub, sizeof sub, local->sub);
	}
	reply_error(reply, "ERR wrong number of arguments for '%s%s%s' command", name,
		    local->sub != NULL ? "|" : "", sub);
}

const struct local *local_find(const struct command *command, const struct slice *argv, size_t argc,
			       struct reply *reply)
{
	bool known = false;
	for (size_t i = 0; i < TABLE_COUNT; i++) {
		const struct local *local = &table[i];
		if (strcmp(local->name, command->name) != 0) {
			continue;
		}
		known = true;
		bool whole = local->sub == NULL && (argc == 1 || local->arity == 0);
		if (!whole && (local->sub == NULL || argc < 2 || !slice_is_word(argv[1], local->sub))) {
			continue;
		}
		if (local->arity == 0 || arity_fits(local->arity, argc)) {
			return local;
		}
		if (reply != NULL) {
			wrong_arity(local, reply);
		}
		return NULL;
	}
	if (reply != NULL && known && argc > 1) {
		size_t shown = argv[1].len > 128 ? 128 : argv[1].len;
		reply_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", (int)shown,
			    (const char *)argv[1].data, command->name);
	} else if (reply != NULL) {
		reply_error(reply, "ERR this command is not served");
	}
	return NULL;
}

_Static_assert(LIMIT_REPLY == MIB(8), "the text says so");

bool local_run(const struct local *local, struct local_call *call)
{
	struct buf *out = call->reply->out;
	size_t begin = out->len, max = out->max;
	bool failed = buf_failed(out);
	if (max - begin > LIMIT_REPLY) {
		out->max = begin + LIMIT_REPLY;
	}
	local->run(call);
	out->max = max;
	if (failed || !buf_failed(out)) {
		return !failed;
	}
	out->len = begin;
	out->failed = false;
	reply_code(call->reply, CODE_TOO_LARGE,
		   "\"reason\":\"the reply is over 8 MiB: ask for less at once\"");
	return false;
}

bool local_integer(struct slice word, int64_t *value, struct reply *reply)
{
	if (slice_to_int64(word, value)) {
		return true;
	}
	reply_error(reply, "ERR value is not an integer or out of range");
	return false;
}

void local_help(struct reply *reply, const char *name, const char *const *lines, size_t count)
{
	char head[128];
	struct buf text;
	buf_init(&text, sizeof head);
	buf_appendf(&text, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
	buf_append_byte(&text, '\0');
	reply_array(reply, count + 3);
	reply_simple(reply, (const char *)text.data);
	for (size_t i = 0; i < count; i++) {
		reply_simple(reply, lines[i]);
	}
	reply_simple(reply, "HELP");
	reply_simple(reply, "    Prints this help.");
	buf_fini(&text);
}

/* ---- patterns ---- */

static uint8_t fold(uint8_t c)
{
	return (uint8_t)tolower(c);
}

/* A class behind its '[': whether c is in it; *at goes behind its ']'. */
static bool glob_class(struct slice pattern, size_t *at, uint8_t c)
{
	bool negated = *at < pattern.len && pattern.data[*at] == '^';
	bool found = false;
	*at += negated;
	for (; *at < pattern.len && pattern.data[*at] != ']'; (*at)++) {
		uint8_t from = pattern.data[*at], to = from;
		if (*at + 2 < pattern.len && pattern.data[*at + 1] == '-') {
			to = pattern.data[*at + 2];
			*at += 2;
		}
		found = found || (fold(c) >= fold(from) && fold(c) <= fold(to));
	}
	*at += *at < pattern.len;
	return found != negated;
}

bool local_patterns(const struct slice *patterns, size_t count, struct reply *reply)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++) {
		bytes += patterns[i].len;
	}
	if (bytes > LIMIT_NAME_PATTERNS) {
		reply_code(reply, CODE_TOO_LARGE, "\"reason\":\"patterns of names are 2 KiB long at most\"");
		return false;
	}
	return true;
}

/* Goes back to the last star only, so the time is bounded by the product of the lengths. */
bool local_glob(struct slice pattern, struct slice text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
	while (t < text.len) {
		size_t next = p;
		bool fits = false;
		if (p < pattern.len && pattern.data[p] == '*') {
			star = ++p;
			mark = t;
			continue;
		}
		if (p < pattern.len && pattern.data[p] == '[') {
			next = p + 1;
			fits = glob_class(pattern, &next, text.data[t]);
		} else if (p < pattern.len) {
			next += pattern.data[p] == '\\' && p + 1 < pattern.len;
			fits = pattern.data[p] == '?' || fold(pattern.data[next]) == fold(text.data[t]);
			next++;
		}
		if (fits) {
			p = next;
			t++;
		} else if (star != SIZE_MAX) {
			p = star;
			t = ++mark;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.data[p] == '*') {
		p++;
	}
	return p == pattern.len;
}

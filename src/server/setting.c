#include "server/setting.h"

#include "server/node_private.h"

#include <inttypes.h>
#include <stdio.h>

struct setting {
	const char *name;
	void (*print)(const struct node *node, char *out, size_t size);
	const char *fixed; /* instead of print */
};

#define PRINT(function, field)                                                                               \
	static void function(const struct node *node, char *out, size_t size)                                \
	{                                                                                                    \
		snprintf(out, size, "%" PRIu64, (uint64_t)node->field);                                      \
	}
PRINT(print_max_clients, config.max_clients)
PRINT(print_memory, config.memory_bytes)
PRINT(print_port, listener.port)
PRINT(print_slow_us, config.slowlog_us)
PRINT(print_slow_max, config.slowlog_max)
PRINT(print_election, config.election_ms)
PRINT(print_heartbeat, config.heartbeat_ms)
PRINT(print_deadline, config.default_deadline_ms)
PRINT(print_retention, config.once_retention_ms)
PRINT(print_id, config.id)
#undef PRINT

static void print_dir(const struct node *node, char *out, size_t size)
{
	snprintf(out, size, "%s", node->config.dir);
}

static void print_bind(const struct node *node, char *out, size_t size)
{
	const char *listen = node->config.listen;
	const char *colon = strrchr(listen, ':');
	snprintf(out, size, "%.*s", colon == NULL ? 0 : (int)(colon - listen), listen);
}

static void print_bulk(const struct node *node, char *out, size_t size)
{
	snprintf(out, size, "%zu", LIMIT_REQUEST_BYTES);
}

/* What Redis' tools ask for, and ours. */
static const struct setting settings[] = {
	{"appendfsync", NULL, "always"},
	{"appendonly", NULL, "yes"},
	{"bind", print_bind, NULL},
	{"cluster-enabled", NULL, "no"},
	{"databases", NULL, "16"},
	{"dir", print_dir, NULL},
	{"latency-monitor-threshold", NULL, "0"},
	{"latency-tracking", NULL, "no"},
	{"maxclients", print_max_clients, NULL},
	{"maxmemory", print_memory, NULL},
	{"maxmemory-policy", NULL, "noeviction"},
	{"port", print_port, NULL},
	{"proto-max-bulk-len", print_bulk, NULL},
	{"save", NULL, ""},
	{"slowlog-log-slower-than", print_slow_us, NULL},
	{"slowlog-max-len", print_slow_max, NULL},
	{"tally-deadline-ms", print_deadline, NULL},
	{"tally-election-ms", print_election, NULL},
	{"tally-heartbeat-ms", print_heartbeat, NULL},
	{"tally-id", print_id, NULL},
	{"tally-once-retention-ms", print_retention, NULL},
	{"timeout", NULL, "0"},
};
#define SETTING_COUNT (sizeof settings / sizeof settings[0])

static bool setting_asked(const struct local_call *call, const struct setting *setting)
{
	for (size_t i = 2; i < call->argc; i++) {
		if (local_glob(call->argv[i], slice_str(setting->name))) {
			return true;
		}
	}
	return false;
}

void setting_get(struct local_call *call)
{
	size_t count = 0;
	if (!local_patterns(call->argv + 2, call->argc - 2, call->reply)) {
		return;
	}
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		count += setting_asked(call, &settings[i]);
	}
	reply_map(call->reply, count);
	for (size_t i = 0; i < SETTING_COUNT; i++) {
		char text[576] = "";
		if (!setting_asked(call, &settings[i])) {
			continue;
		}
		if (settings[i].print != NULL) {
			settings[i].print(call->conn->node, text, sizeof text);
		}
		reply_bulk_text(call->reply, settings[i].name);
		reply_bulk_text(call->reply, settings[i].print != NULL ? text : settings[i].fixed);
	}
}

/* Settings come from file and flags alone; they are the same after a restart. */
void setting_set(struct local_call *call)
{
	for (size_t i = 2; i < call->argc; i += 2) {
		bool known = false;
		for (size_t k = 0; k < SETTING_COUNT; k++) {
			known = known || slice_is_word(call->argv[i], settings[k].name);
		}
		if (!known || i + 1 >= call->argc) {
			reply_error(call->reply,
				    "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
				    (int)(call->argv[i].len > 128 ? 128 : call->argv[i].len),
				    (const char *)call->argv[i].data);
			return;
		}
	}
	reply_error(
		call->reply,
		"ERR CONFIG SET failed (possibly related to argument '%.*s') - can't set immutable config: "
		"settings "
		"come from the node's file and flags (tallyd --help); change them there and restart the node",
		(int)call->argv[2].len, (const char *)call->argv[2].data);
}

void setting_resetstat(struct local_call *call)
{
	struct node_counters *counters = &call->conn->node->counters;
	memset(counters, 0, sizeof *counters);
	usage_reset(&call->conn->node->usage);
	reply_simple(call->reply, "OK");
}

void setting_rewrite(struct local_call *call)
{
	reply_error(call->reply,
		    "ERR there is nothing to write: settings come from the node's file and flags, and "
		    "only a restart changes them");
}

void setting_help(struct local_call *call)
{
	static const char *const lines[] = {
		"GET <pattern>",
		"    Return parameters matching the glob-like <pattern> and their values.",
		"SET <directive> <value>",
		"    Refused: they come from the node's file and flags; change them there and restart it.",
		"RESETSTAT",
		"    Reset statistics reported by the INFO command.",
	};
	local_help(call->reply, "CONFIG", lines, sizeof lines / sizeof lines[0]);
}

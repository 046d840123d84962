#include "server/config.h"

#include "base/checksum.h"
#include "server/config_private.h"

#include <stdio.h>

#define FIELD(f) offsetof(struct node_config, f), sizeof(((struct node_config *)0)->f)
#define SIZE_MAX_SET ((uint64_t)1 << 46)

static const struct config_key keys[] = {
	{"id", KIND_INT, FIELD(id), 1, 1u << 30, "N", "this node, one of the members; never reused"},
	{"name", KIND_TEXT, FIELD(name), 0, 0, "TEXT", "in log lines and replies (default n and the id)"},
	{"cluster", KIND_TEXT, FIELD(cluster), 0, 0, "TEXT",
	 "name of the cluster; nodes of another are refused (tally)"},
	{"dir", KIND_TEXT, FIELD(dir), 0, 0, "PATH", "data directory, made with mode 0700 (./tally-data)"},
	{"listen", KIND_ADDRESS, FIELD(listen), 0, 0, "HOST:PORT", "port for clients (127.0.0.1:7401)"},
	{"peer-listen", KIND_ADDRESS, FIELD(peer_listen), 0, 0, "HOST:PORT",
	 "port for the other members (127.0.0.1:7501)"},
	{"member", KIND_MEMBER, FIELD(members), 0, 0, "ID=PEER,CLIENT",
	 "one member and its two addresses; once for each, the same on all nodes"},
	{"bootstrap", KIND_BOOL, FIELD(bootstrap), 0, 0, "yes|no",
	 "whether an empty directory may be a new node's (yes)"},
	{"election", KIND_MS, FIELD(election_ms), 20, 600000, "TIME",
	 "silence after which a leader is replaced (300ms)"},
	{"heartbeat", KIND_MS, FIELD(heartbeat_ms), 5, 60000, "TIME", "how often a leader speaks (50ms)"},
	{"memory", KIND_SIZE, FIELD(memory_bytes), MIB(32), SIZE_MAX_SET, "SIZE",
	 "budget, split over memtable, caches and log cache (256MiB)"},
	{"memtable", KIND_SIZE, FIELD(memtable_bytes), KIB(64), SIZE_MAX_SET, "SIZE",
	 "of memory (a quarter)"},
	{"cache", KIND_SIZE, FIELD(cache_bytes), KIB(64), SIZE_MAX_SET, "SIZE",
	 "of memory, block cache (a quarter)"},
	{"row-cache", KIND_SIZE, FIELD(row_cache_bytes), KIB(64), SIZE_MAX_SET, "SIZE",
	 "of memory, rows that are read often (an eighth, at most 64MiB)"},
	{"log-cache", KIND_SIZE, FIELD(log_cache_bytes), KIB(64), SIZE_MAX_SET, "SIZE",
	 "of memory, recent log entries (an eighth)"},
	{"segment", KIND_SIZE, FIELD(segment_bytes), KIB(4), (uint64_t)1 << 32, "SIZE",
	 "of one log file (64MiB)"},
	{"keep", KIND_SIZE, FIELD(keep_bytes), 0, SIZE_MAX_SET, "SIZE",
	 "log kept for a member that lags (512MiB)"},
	{"flush-bytes", KIND_SIZE, FIELD(flush_bytes), 0, SIZE_MAX_SET, "SIZE",
	 "applied bytes after which the database is flushed (0: half a memtable)"},
	{"flush-entries", KIND_INT, FIELD(flush_entries), 0, UINT32_MAX, "N",
	 "the same in entries (0: never)"},
	{"space-reserve", KIND_SIZE, FIELD(space_reserve_bytes), 0, SIZE_MAX_SET, "SIZE",
	 "free disk below which writes are refused (256MiB)"},
	{"max-clients", KIND_INT, FIELD(max_clients), 1, LIMIT_CONNECTIONS, "N",
	 "client connections (10000)"},
	{"deadline", KIND_MS, FIELD(default_deadline_ms), 1, 600000, "TIME",
	 "of a request that names none (5s)"},
	{"once-retention", KIND_MS, FIELD(once_retention_ms), 1000, 3650 * DAY_MS, "TIME",
	 "how long a request id is remembered (7d)"},
	{"script-limit", KIND_MS, FIELD(script_limit_ms), 0, 3600000, "TIME",
	 "processor time of one script's call, then the node ends and refuses it (1s; 0ms: no limit)"},
	{"slowlog-slower-than", KIND_US, FIELD(slowlog_us), 0, 60000000, "TIME",
	 "run time from which a command is kept in SLOWLOG (10ms)"},
	{"slowlog-max-len", KIND_INT, FIELD(slowlog_max), 0, 1024, "N", "entries kept there (128)"},
	{"log-level", KIND_LEVEL, FIELD(log_level), 0, 0, "LEVEL", "debug, info, warn or error (info)"},
	{"core-dumps", KIND_BOOL, FIELD(core_dumps), 0, 0, "yes|no",
	 "leave a core behind; it holds customers' data (no)"},
};
#define KEY_COUNT (sizeof keys / sizeof keys[0])
_Static_assert(KEY_COUNT <= 64, "one bit a key");

void config_defaults(struct node_config *config)
{
	memset(config, 0, sizeof *config);
	config_text(config->dir, sizeof config->dir, "tally-data");
	config_text(config->cluster, sizeof config->cluster, "tally");
	config_text(config->listen, sizeof config->listen, "127.0.0.1:7401");
	config_text(config->peer_listen, sizeof config->peer_listen, "127.0.0.1:7501");
	config->election_ms = 300;
	config->heartbeat_ms = 50;
	config->memory_bytes = MIB(256);
	config->segment_bytes = MIB(64);
	config->keep_bytes = MIB(512);
	config->max_clients = LIMIT_CONNECTIONS;
	config->default_deadline_ms = 5000;
	config->once_retention_ms = 7 * DAY_MS;
	config->space_reserve_bytes = MIB(256);
	config->script_limit_ms = 1000;
	config->slowlog_us = 10000;
	config->slowlog_max = 128;
	config->log_level = LOG_INFO;
	config->bootstrap = true;
}

/* ---- sources ---- */

void config_reader_init(struct config_reader *reader, struct node_config *config, struct err *err)
{
	memset(reader, 0, sizeof *reader);
	reader->config = config;
	reader->err = err;
}

static int reader_error(struct config_reader *reader, const char *key, const char *text, const char *wrong)
{
	char shown[80];
	log_escape(slice_str(text), shown, 60);
	if (reader->file == NULL) {
		return err_set(reader->err, ERR_INVALID, "--%s: %s %s", key, shown, wrong);
	}
	return err_set(reader->err, ERR_INVALID, "%s:%u: %s: %s %s", reader->file, reader->line, key, shown,
		       wrong);
}

static const struct config_key *find_key(const char *name, size_t *at)
{
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(keys[i].name, name) == 0) {
			*at = i;
			return &keys[i];
		}
	}
	return NULL;
}

int config_set(struct config_reader *reader, const char *name, const char *text)
{
	size_t at = 0;
	const struct config_key *key = find_key(name, &at);
	uint64_t bit = (uint64_t)1 << at;
	struct node_config scratch;
	if (key == NULL) {
		return reader_error(reader, name, text,
				    "is set, but there is no such key; see tallyd --help");
	}
	if ((reader->seen & bit) != 0 && key->kind != KIND_MEMBER) {
		return reader_error(reader, name, text, "is set a second time");
	}
	reader->seen |= bit;
	/* A flag beats the file, but what the file says must make sense all the same. */
	bool beaten = reader->file != NULL && (reader->fixed & bit) != 0;
	struct node_config *config = reader->config;
	if (beaten) {
		scratch = *config;
		scratch.member_count = 0;
		config = &scratch;
	}
	char room[CONFIG_WHY];
	const char *wrong = config_value(config, key, text, room);
	if (wrong != NULL) {
		return reader_error(reader, name, text, wrong);
	}
	if (reader->file == NULL) {
		reader->fixed |= bit;
	}
	return 0;
}

/* The value of a flag: behind its '=', or the next word. NULL when there is none. */
static const char *flag_value(int argc, char **argv, int *at, char *name, size_t size)
{
	const char *word = argv[*at] + 2;
	const char *equals = strchr(word, '=');
	size_t len = equals == NULL ? strlen(word) : (size_t)(equals - word);
	snprintf(name, size, "%.*s", (int)(len < size ? len : size - 1), word);
	if (equals != NULL) {
		return equals + 1;
	}
	return *at + 1 < argc ? argv[++*at] : NULL;
}

static int read_flags(struct config_reader *reader, int argc, char **argv, const char **file,
		      enum config_action *action)
{
	for (int at = 1; at < argc; at++) {
		char name[64];
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
			*action = CONFIG_HELP;
			return 0;
		}
		if (strcmp(argv[at], "--version") == 0 || strcmp(argv[at], "-V") == 0) {
			*action = CONFIG_VERSION;
			return 0;
		}
		if (strncmp(argv[at], "--", 2) != 0) {
			return err_set(reader->err, ERR_INVALID, "%s: is no flag; see tallyd --help",
				       argv[at]);
		}
		const char *value = flag_value(argc, argv, &at, name, sizeof name);
		if (value == NULL) {
			return err_set(reader->err, ERR_INVALID, "--%s: needs a value", name);
		}
		if (strcmp(name, "config") == 0) {
			if (*file != NULL) {
				return err_set(reader->err, ERR_INVALID, "--config: is given a second time");
			}
			*file = value;
			continue;
		}
		int status = config_set(reader, name, value);
		if (status != 0) {
			return status;
		}
	}
	return 0;
}

int config_read(struct node_config *config, int argc, char **argv, enum config_action *action,
		struct err *err)
{
	struct config_reader reader;
	const char *file = NULL;
	config_defaults(config);
	config_reader_init(&reader, config, err);
	*action = CONFIG_RUN;
	int status = read_flags(&reader, argc, argv, &file, action);
	if (status != 0 || *action != CONFIG_RUN) {
		return status;
	}
	if (file != NULL && (status = config_file(&reader, file)) != 0) {
		return status;
	}
	return config_finish(config, err);
}

/* ---- the whole ---- */

static const struct node_member *find_member(const struct node_config *config, uint64_t id)
{
	for (size_t i = 0; i < config->member_count; i++) {
		if (config->members[i].id == id) {
			return &config->members[i];
		}
	}
	return NULL;
}

static void share_memory(struct node_config *config)
{
	if (config->memtable_bytes == 0) {
		config->memtable_bytes = config->memory_bytes / 4;
	}
	if (config->cache_bytes == 0) {
		config->cache_bytes = config->memory_bytes / 4;
	}
	if (config->row_cache_bytes == 0) {
		/* No more unless somebody asks: who loses leadership frees it on the loop. */
		uint64_t eighth = config->memory_bytes / 8;
		config->row_cache_bytes = eighth < MIB(64) ? eighth : MIB(64);
	}
	if (config->log_cache_bytes == 0) {
		config->log_cache_bytes = config->memory_bytes / 8;
	}
}

int config_finish(struct node_config *config, struct err *err)
{
	if (config->id == 0) {
		return err_set(err, ERR_INVALID, "--id: is missing: which of the members is this node?");
	}
	if (config->member_count == 0 && config->id != 1) {
		/* Forgotten on one node of three, they would make a second cluster, which takes writes. */
		return err_set(err, ERR_INVALID,
			       "--member: there is none, and this is node %llu: name all members, or itself "
			       "alone to be a cluster of its own",
			       (unsigned long long)config->id);
	}
	if (config->member_count == 0) {
		config->members[0].id = config->id;
		config_text(config->members[0].peer, sizeof config->members[0].peer, config->peer_listen);
		config_text(config->members[0].client, sizeof config->members[0].client, config->listen);
		config->member_count = 1;
	}
	const struct node_member *own = find_member(config, config->id);
	if (own == NULL) {
		return err_set(err, ERR_INVALID, "--member: none has this node's id %llu",
			       (unsigned long long)config->id);
	}
	if (strcmp(config->listen, own->peer) == 0) {
		return err_set(err, ERR_INVALID,
			       "--listen: %s is the peer address in this node's member line: are listen and "
			       "peer-listen exchanged?",
			       config->listen);
	}
	if (config->election_ms <= 2 * config->heartbeat_ms) {
		return err_set(
			err, ERR_INVALID, "--election: %llums is not more than twice the heartbeat of %llums",
			(unsigned long long)config->election_ms, (unsigned long long)config->heartbeat_ms);
	}
	if (strcmp(config->listen, config->peer_listen) == 0) {
		return err_set(err, ERR_INVALID, "--peer-listen: %s is the clients' address too",
			       config->peer_listen);
	}
	share_memory(config);
	if (config->memtable_bytes + config->cache_bytes + config->row_cache_bytes + config->log_cache_bytes >
	    config->memory_bytes) {
		return err_set(err, ERR_INVALID,
			       "--memory: memtable, cache, row-cache and log-cache together are over it");
	}
	if (config->name[0] == '\0') {
		snprintf(config->name, sizeof config->name, "n%llu", (unsigned long long)config->id);
	}
	if (config->cluster_id == 0) {
		config->cluster_id = checksum64(slice_str(config->cluster)) | 1;
	}
	return 0;
}

void config_help(struct buf *out)
{
	buf_append_text(out, "usage: tallyd --id N [--config FILE] [--KEY VALUE] ...\n\n"
			     "A node of a Tally cluster. FILE holds lines `KEY = VALUE`; flags win over it.\n"
			     "Sizes are bytes or carry KiB, MiB, GiB; times carry us, ms, s, m, h or d.\n\n"
			     "  --config FILE\n      read these settings too\n");
	for (size_t i = 0; i < KEY_COUNT; i++) {
		buf_appendf(out, "  --%s %s\n      %s\n", keys[i].name, keys[i].value, keys[i].help);
	}
	buf_append_text(
		out,
		"  --help, --version\n\n"
		"exit status: 0 stopped on SIGTERM or SIGINT, 1 could not start or go on, 2 wrong settings.\n"
		"SIGTERM hands leadership over first and ends within two seconds.\n\n"
		"A cluster of three on one machine, first node:\n"
		"  tallyd --id 1 --dir d1 --listen 127.0.0.1:7401 --peer-listen 127.0.0.1:7501 \\\n"
		"    --member 1=127.0.0.1:7501,127.0.0.1:7401 --member 2=127.0.0.1:7502,127.0.0.1:7402 \\\n"
		"    --member 3=127.0.0.1:7503,127.0.0.1:7403\n");
}

/* Opening a shard: its settings kept, its database and log opened and checked against each other. */
#include <assert.h>
#include <stdlib.h>

#include "engine/shard_private.h"

#define DEFAULT_DEADLINE_MS 5000
#define DEFAULT_RETENTION_MS (7ull * 24 * 3600 * 1000)

static const char *keep_text(char **at, const char *text)
{
	if (text == NULL) {
		return NULL;
	}
	size_t len = strlen(text) + 1;
	char *kept = memcpy(*at, text, len);
	*at += len;
	return kept;
}

static size_t text_size(const char *text)
{
	return text == NULL ? 0 : strlen(text) + 1;
}

/* The config's texts may go when shard_open returns: ours live in one block. */
static void keep_config(struct shard *shard, const struct shard_config *config)
{
	struct shard_config *c = &shard->config;
	*c = *config;
	size_t bytes = text_size(c->dir) + text_size(c->log_dir) + text_size(c->store_dir) + text_size(c->peer_listen);
	for (size_t i = 0; i < c->member_count; i++) {
		bytes += text_size(c->members[i].address);
	}
	char *at = shard->strings = malloc(bytes + 1);
	shard->members = calloc(c->member_count + 1, sizeof *shard->members);
	if (shard->strings == NULL || shard->members == NULL) {
		fatal("out of memory: a shard's configuration");
	}
	c->dir = keep_text(&at, c->dir);
	c->log_dir = keep_text(&at, c->log_dir);
	c->store_dir = keep_text(&at, c->store_dir);
	c->peer_listen = keep_text(&at, c->peer_listen);
	for (size_t i = 0; i < c->member_count; i++) {
		shard->members[i].id = c->members[i].id;
		shard->members[i].address = keep_text(&at, c->members[i].address);
	}
	assert(at <= shard->strings + bytes);
	c->members = shard->members;
	c->memtable_bytes = c->memtable_bytes != 0 ? c->memtable_bytes : MIB(64);
	c->cache_bytes = c->cache_bytes != 0 ? c->cache_bytes : MIB(64);
	c->row_cache_bytes = c->row_cache_bytes != 0 ? c->row_cache_bytes : MIB(32);
	c->flush_bytes = c->flush_bytes != 0 ? c->flush_bytes : c->memtable_bytes / 2;
	c->behind_bytes = c->behind_bytes != 0 ? c->behind_bytes : LIMIT_APPLY_LAG;
	c->default_deadline_ms = c->default_deadline_ms != 0 ? c->default_deadline_ms : DEFAULT_DEADLINE_MS;
	c->once_retention_ms = c->once_retention_ms != 0 ? c->once_retention_ms : DEFAULT_RETENTION_MS;
}

static struct shard *shard_new(const struct shard_config *config)
{
	assert(config->env != NULL);
	assert(config->node_id != 0);
	struct shard *shard = calloc(1, sizeof *shard);
	if (shard == NULL) {
		fatal("out of memory: a shard");
	}
	shard->env = config->env;
	shard->log = config->log;
	keep_config(shard, config);
	uint64_t seed;
	env_random(shard->env, &seed, sizeof seed);
	prng_init(&shard->prng, seed);
	shard->hash_seed = ~seed;
	arena_init(&shard->arena, KIB(64));
	buf_init(&shard->once_reply[0], LIMIT_REPLY);
	buf_init(&shard->once_reply[1], LIMIT_REPLY);
	list_init(&shard->finished);
	list_init(&shard->parked);
	list_init(&shard->compiles);
	list_init(&shard->hashes);
	shard->call = command_find(SLICE_LIT("CALL"));
	shard->bundle = command_find(SLICE_LIT("BUNDLE"));
	shard->row = command_find(SLICE_LIT("ROW"));
	shard->rows = command_find(SLICE_LIT("ROWS"));
	assert(shard->call != NULL);
	assert(shard->bundle != NULL);
	assert(shard->row != NULL);
	assert(shard->rows != NULL);
	return shard;
}

static int open_store(struct shard *shard, struct store_meta *meta, struct err *err)
{
	const struct shard_config *c = &shard->config;
	struct store_config config = {.dir = c->store_dir,
				      .disk = c->disk,
				      .memtable_bytes = c->memtable_bytes,
				      .cache_bytes = c->cache_bytes};
	int rc = store_open(&config, &shard->store, err);
	if (rc == 0) {
		rc = store_meta(shard->store, meta, err);
	}
	if (rc != 0 || meta->index == 0) {
		return rc;
	}
	if (meta->cluster_id != c->cluster_id || meta->node_id != c->node_id) {
		return err_set(err, ERR_INVALID,
			       "%s belongs to node %llu of cluster %016llx, not to node %llu of %016llx",
			       c->store_dir, (unsigned long long)meta->node_id,
			       (unsigned long long)meta->cluster_id, (unsigned long long)c->node_id,
			       (unsigned long long)c->cluster_id);
	}
	return 0;
}

static int open_replica(struct shard *shard, const struct store_meta *meta, struct err *err)
{
	const struct shard_config *c = &shard->config;
	struct replica_config config = {.env = c->env,
					.log = c->log,
					.dir = c->log_dir,
					.cluster_id = c->cluster_id,
					.id = c->node_id,
					.members = c->members,
					.member_count = c->member_count,
					.bootstrap = c->bootstrap,
					.listen = c->peer_listen,
					.election_ms = c->election_ms,
					.heartbeat_ms = c->heartbeat_ms,
					.segment_bytes = c->segment_bytes,
					.keep_bytes = c->keep_bytes,
					.cache_bytes = c->log_cache_bytes,
					.events = &shard_events,
					.owner = shard};
	struct replica_applied_state applied = {.index = meta->index,
						.term = meta->term,
						.chain = meta->chain,
						.configuration_index = meta->configuration_index,
						.configuration = meta->configuration};
	return replica_open(&config, &applied, &shard->replica, err);
}

static int open_watchdog(struct shard *shard, struct err *err)
{
	const struct shard_config *c = &shard->config;
	return c->script_limit_ms == 0
		       ? 0
		       : watchdog_open(c->env, c->log, c->dir, c->script_limit_ms, &shard->watchdog, err);
}

int shard_open(const struct shard_config *config, struct shard **out, struct err *err)
{
	struct store_meta meta = {0};
	struct shard *shard = shard_new(config);
	propose_init(shard);
	read_init(shard);
	yield_init(shard);
	survey_init(shard);
	apply_init(shard);
	env_timer_init(shard->env, &shard->tick, shard_tick_cb);
	int rc = open_watchdog(shard, err);
	if (rc == 0) {
		rc = open_store(shard, &meta, err);
	}
	if (rc == 0) {
		rc = open_replica(shard, &meta, err);
	}
	if (rc != 0) {
		shard_free(shard);
		return rc;
	}
	stamp_init(&shard->stamp, meta.stamp_ms, env_now_us(shard->env));
	shard->commit_index = meta.index;
	shard->overlay = overlay_new(shard->store, shard->config.row_cache_bytes, shard->hash_seed);
	shard->host = script_host_new(shard->log);
	if (shard->watchdog != NULL) {
		struct script_watch watch = watchdog_watch(shard->watchdog);
		script_host_watch(shard->host, &watch);
	}
	shard->compile_lane = env_lane_open(shard->env, "compile", ENV_LANE_LOW);
	apply_open(shard, &meta);
	survey_open(shard);
	admission_space_open(shard);
	bundle_refresh(shard, true);
	assert(!shard->compile_wanted);
	assert(shard->phase == PHASE_CREATED);
	assert(shard->apply.index == meta.index);
	*out = shard;
	return 0;
}

#include "server/node.h"

#include "server/node_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* A stop ends after this, whatever is still under way. */
#define STOP_MS 1800
/* Clients get this long to take their last answers. */
#define LAST_WORDS_MS 150
#define LINGER_MS 100 /* two heartbeats of the next leader */
_Static_assert(LINGER_MS <= LAST_WORDS_MS, "the longer of both is not prolonged");
#define TICK_MS 1000

static void node_tick_cb(struct env_timer *timer);
static void node_stop_timer_cb(struct env_timer *timer);

const struct node_member *node_member_find(const struct node *node, uint64_t id)
{
	for (size_t i = 0; i < node->config.member_count; i++) {
		if (node->config.members[i].id == id) {
			return &node->config.members[i];
		}
	}
	return NULL;
}

/* ---- what the shard tells ---- */

static void node_role_cb(void *owner, enum replica_role role, uint64_t leader_id)
{
	struct node *node = owner;
	const char *word = role == REPLICA_LEADER     ? "leader"
			   : role == REPLICA_FOLLOWER ? "follower"
						      : "candidate";
	if (role != node->role || leader_id != node->leader_id) {
		log_event(node->log, LOG_INFO, "role", "role=%s leader=%" PRIu64, word, leader_id);
	}
	node->role = role;
	node->leader_id = leader_id;
	uint64_t asked_id;
	if (shard_role(node->shard, &asked_id) != SHARD_UNKNOWN) {
		node->leaderless_us = 0;
	} else if (node->leaderless_us == 0) {
		node->leaderless_us = env_now_us(node->env);
	}
	dispatch_kick(&node->dispatch);
}

static void node_ran_cb(void *owner, const struct request *request, uint64_t took_us)
{
	struct node *node = owner;
	const struct call *call = call_of(request);
	if (call->asked != NULL) {
		usage_of(&node->usage, call->asked)->us += took_us;
	}
	if (took_us >= node->config.slowlog_us) {
		slowlog_note(call, took_us);
	}
}

static void node_forwarded_cb(void *owner, uint64_t from_id, uint64_t token, struct slice frame)
{
	struct node *node = owner;
	dispatch_foreign(&node->dispatch, from_id, token, frame);
}

static void node_truth_lost_cb(void *owner, const char *line)
{
	struct node *node = owner;
	struct err gone = {0};
	if (identity_is_gone(node->env, node->config.dir)) {
		log_event(node->log, LOG_ERROR, "dir_gone", "reason=\"%s\"", line);
		err_set(&gone, ERR_NOT_FOUND,
			"%s is gone: it was removed, or its disk unmounted, while the node ran; mount it and "
			"start "
			"again; if it was removed, this member has lost its memory",
			node->config.dir);
		line = gone.text;
	}
	if (node->on_stopped == NULL) {
		fatal("%s", line);
	}
	node->on_stopped(node->on_stopped_owner, line);
}

/* ---- opening ---- */

static int node_open_shard(struct node *node, struct err *err)
{
	const struct node_config *config = &node->config;
	char log_dir[640], store_dir[640];
	struct replica_member members[LIMIT_MEMBERS];
	snprintf(log_dir, sizeof log_dir, "%s/log", config->dir);
	snprintf(store_dir, sizeof store_dir, "%s/db", config->dir);
	for (size_t i = 0; i < config->member_count; i++) {
		members[i] = (struct replica_member){config->members[i].id, config->members[i].peer};
	}
	struct shard_config shard = {
		.env = node->env,
		.log = node->log,
		.log_dir = log_dir,
		.store_dir = store_dir,
		.disk = config->disk,
		.memtable_bytes = config->memtable_bytes,
		.cache_bytes = config->cache_bytes,
		.row_cache_bytes = config->row_cache_bytes,
		.flush_bytes = config->flush_bytes,
		.flush_entries = config->flush_entries,
		.behind_bytes = config->behind_bytes,
		.cluster_id = config->cluster_id,
		.node_id = config->id,
		.members = members,
		.member_count = config->member_count,
		.peer_listen = config->member_count > 1 ? config->peer_listen : NULL,
		.bootstrap = config->bootstrap,
		.election_ms = config->election_ms,
		.heartbeat_ms = config->heartbeat_ms,
		.segment_bytes = config->segment_bytes,
		.keep_bytes = config->keep_bytes,
		.log_cache_bytes = config->log_cache_bytes,
		.default_deadline_ms = config->default_deadline_ms,
		.once_retention_ms = config->once_retention_ms,
		.space_reserve_bytes = config->space_reserve_bytes,
		.script_limit_ms = config->script_limit_ms,
		.dir = config->dir,
		.on_role = node_role_cb,
		.on_ran = node_ran_cb,
		.on_forwarded = node_forwarded_cb,
		.on_stopped = node_truth_lost_cb,
		.owner = node,
	};
	return shard_open(&shard, &node->shard, err);
}

int node_open(struct env *env, const struct node_config *config, struct log *log, struct node **out,
	      struct err *err)
{
	struct node *node = calloc(1, sizeof *node);
	if (node == NULL) {
		fatal("out of memory: a node");
	}
	node->env = env;
	node->log = log;
	node->config = *config;
	node->started_us = node->leaderless_us = env_now_us(env);
	call_pool_init(&node->calls);
	listener_init(&node->listener, node);
	dispatch_init(&node->dispatch, node);
	usage_init(&node->usage);
	slowlog_init(&node->slowlog, config->slowlog_max);
	arena_init(&node->arena, KIB(16));
	buf_init(&node->nowhere, MIB(64));
	buf_init(&node->refusal, KIB(1));
	reply_code(&(struct reply){&node->refusal, 2}, CODE_OVERLOADED, NULL);
	env_timer_init(env, &node->tick, node_tick_cb);
	env_timer_init(env, &node->stop_timer, node_stop_timer_cb);
	int status = identity_open(env, config->dir, config->cluster_id, config->id, config->bootstrap,
				   &node->identity, err);
	if (status == 0) {
		status = node_open_shard(node, err);
	}
	if (status != 0) {
		node_free(node);
		return status;
	}
	*out = node;
	return 0;
}

/* Something outside may lead the line's port to ours. Mostly nothing does. */
static void tell_line(const struct node *node, const char *name, const char *listen, const char *line)
{
	char host[128];
	unsigned port, line_port;
	if (env_address_split(listen, host, sizeof host, &port) &&
	    env_address_split(line, host, sizeof host, &line_port) && port != line_port) {
		log_event(node->log, LOG_WARN, "member_line_differs",
			  "%s=%s line=%s this node's member line sends others to another port than it "
			  "listens at",
			  name, listen, line);
	}
}

int node_start(struct node *node, struct err *err)
{
	assert(node->state == NODE_OPEN);
	node->state = NODE_SERVING;
	int status = listener_start(&node->listener, node->config.listen, err);
	if (status == 0) {
		status = shard_start(node->shard, err);
	}
	if (status != 0) {
		listener_stop(&node->listener);
		node->state = NODE_OPEN;
		return status;
	}
	env_timer_start(&node->tick, TICK_MS);
	log_event(node->log, LOG_INFO, "ready", "id=%" PRIu64 " cluster=%s port=%u peer=%s dir=%s%s",
		  node->config.id, node->config.cluster, node->listener.port, node->config.peer_listen,
		  node->config.dir, node->identity.fresh ? " fresh=1" : "");
	const struct node_member *own = node_member_find(node, node->config.id);
	tell_line(node, "listen", node->config.listen, own->client);
	tell_line(node, "peer-listen", node->config.peer_listen, own->peer);
	return 0;
}

static void node_tick_cb(struct env_timer *timer)
{
	struct node *node = (struct node *)((char *)timer - offsetof(struct node, tick));
	listener_tick(&node->listener, env_now_us(node->env));
	env_timer_start(&node->tick, TICK_MS);
}

/* ---- stopping ---- */

static void node_stop_end(struct node *node, bool in_time)
{
	assert(node->state == NODE_STOPPING);
	node->state = NODE_STOPPED;
	node->stop_timed_out = !in_time;
	env_timer_stop(&node->stop_timer);
	env_timer_stop(&node->tick);
	log_event(node->log, in_time ? LOG_INFO : LOG_WARN, "stopped", "in_time=%d", in_time);
	node->stopped(node->stopped_owner);
}

static void node_shard_closed_cb(void *owner)
{
	struct node *node = owner;
	if (node->state != NODE_STOPPING) {
		return; /* it came after the stop had given up */
	}
	assert(node->stop_stage == STOP_CLOSING);
	node->stop_stage = STOP_GONE;
	/* What other nodes owed a client has been answered by the close. */
	env_timer_start(&node->stop_timer, LAST_WORDS_MS);
	node_stop_step(node);
}

static void node_stop_close(struct node *node)
{
	uint64_t now_us = env_now_us(node->env);
	assert(node->stop_stage == STOP_LAST_WORDS);
	node->stop_stage = STOP_CLOSING;
	env_timer_start_at(&node->stop_timer, node->stop_until_us > now_us ? node->stop_until_us : now_us);
	shard_close(node->shard, node_shard_closed_cb);
}

void node_stop_step(struct node *node)
{
	bool waits = node->stop_stage == STOP_LAST_WORDS || node->stop_stage == STOP_GONE;
	if (node->state == NODE_STOPPING && waits && node->listener.count == 0) {
		/* From a timer: this may be called from inside a connection's end. */
		env_timer_start_at(&node->stop_timer,
				   node->stop_stage == STOP_LAST_WORDS ? node->stop_linger_us : 0);
	}
}

static void node_shard_left_cb(void *owner)
{
	struct node *node = owner;
	if (node->state != NODE_STOPPING) {
		return;
	}
	assert(node->stop_stage == STOP_HANDOVER);
	node->stop_stage = STOP_LAST_WORDS;
	node->stop_linger_us = env_now_us(node->env) + node->stop_linger_ms * 1000;
	listener_leave(&node->listener);
	env_timer_start(&node->stop_timer, LAST_WORDS_MS);
	node_stop_step(node);
}

static void node_stop_timer_cb(struct env_timer *timer)
{
	struct node *node = (struct node *)((char *)timer - offsetof(struct node, stop_timer));
	if (node->stop_stage == STOP_LAST_WORDS) {
		node_stop_close(node);
	} else {
		node_stop_end(node, node->stop_stage == STOP_GONE);
	}
}

void node_stop(struct node *node, void (*stopped)(void *owner), void *owner)
{
	assert(node->state == NODE_SERVING);
	node->state = NODE_STOPPING;
	node->stop_stage = STOP_HANDOVER;
	node->stop_linger_ms = node->role == REPLICA_LEADER && node->config.member_count > 1 ? LINGER_MS : 0;
	node->stop_until_us = env_now_us(node->env) + STOP_MS * 1000;
	node->stopped = stopped;
	node->stopped_owner = owner;
	log_event(node->log, LOG_INFO, "stopping", "clients=%zu calls=%zu", node->listener.count,
		  node->calls.taken);
	listener_stop(&node->listener);
	dispatch_refuse_parked(&node->dispatch, CODE_STOPPING);
	env_timer_start(&node->stop_timer, STOP_MS);
	shard_leave(node->shard, node_shard_left_cb);
}

bool node_stop_timed_out(const struct node *node)
{
	return node->stop_timed_out;
}

void node_free(struct node *node)
{
	if (node == NULL) {
		return;
	}
	node->state = NODE_STOPPED;
	listener_stop(&node->listener);
	listener_fini(&node->listener);
	dispatch_fini(&node->dispatch);
	env_timer_stop(&node->tick);
	env_timer_stop(&node->stop_timer);
	shard_free(node->shard);
	call_pool_fini(&node->calls);
	slowlog_fini(&node->slowlog);
	arena_fini(&node->arena);
	buf_fini(&node->nowhere);
	buf_fini(&node->refusal);
	identity_close(&node->identity);
	free(node);
}

struct shard *node_shard(struct node *node)
{
	return node->shard;
}

unsigned node_client_port(const struct node *node)
{
	return node->listener.port;
}

void node_on_stopped(struct node *node, void (*stopped)(void *owner, const char *line), void *owner)
{
	assert(node->state == NODE_OPEN);
	node->on_stopped = stopped;
	node->on_stopped_owner = owner;
}

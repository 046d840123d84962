#include "raft/replica.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/member.h"
#include "raft/replica_private.h"

/* ---- life ---- */

struct replica *replica_new(const struct replica_config *config)
{
	struct replica *r = calloc(1, sizeof(*r));
	if (r == NULL) {
		fatal("out of memory: a replica");
	}
	assert(config->id != 0);
	assert(config->events != NULL);
	assert(config->election_ms > config->heartbeat_ms);
	r->config = *config;
	r->env = config->env;
	r->log = config->log;
	r->events = config->events;
	snprintf(r->dir, sizeof(r->dir), "%s", config->dir);
	r->config.dir = r->dir;
	if (config->listen != NULL) {
		snprintf(r->listen, sizeof(r->listen), "%s", config->listen);
		r->config.listen = r->listen;
	}
	buf_init(&r->configuration, CONFIGURATION_BYTES_MAX);
	list_init(&r->reads);
	list_init(&r->forwards);
	list_init(&r->failed_forwards);
	env_timer_init(r->env, &r->read_timer, read_index_timer_cb);
	env_timer_init(r->env, &r->handover_timer, handover_timer_cb);
	env_timer_init(r->env, &r->forward_timer, forward_timer_cb);
	turn_init(r);
	peers_init(r);
	r->config.members = NULL; /* the caller's */
	return r;
}

void replica_fail(struct replica *r, const char *format, ...)
{
	if (r->stopped) {
		return;
	}
	va_list args;
	va_start(args, format);
	vsnprintf(r->stop_line, sizeof(r->stop_line), format, args);
	va_end(args);
	r->stopped = true;
	/* What is put together must not leave any more. */
	transport_hold(r->transport, true);
	replica_wake(r);
}

static void durable_cb(void *owner, uint64_t index)
{
	struct replica *r = owner;
	assert(index <= wal_last_index(r->wal));
	step_persisted(r, index);
	replica_wake(r); /* what was committed already may be handed over now */
}

static void wal_failed_cb(void *owner, const char *line)
{
	replica_fail(owner, "%s", line);
}

void replica_wal_config(struct replica *r, struct wal_config *config)
{
	*config = (struct wal_config){
		.env = r->env,
		.log = r->log,
		.dir = r->dir,
		.log_id = r->vote.log_id,
		.segment_bytes = r->config.segment_bytes,
		.cache_bytes = r->config.cache_bytes,
		.floor = r->applied_state.index,
		.on_durable = durable_cb,
		.on_failed = wal_failed_cb,
		.owner = r,
	};
}

void replica_core_init(struct replica *r)
{
	assert(!r->core_open);
	memset(&r->core, 0, sizeof(r->core));
	core_heap_set();
	if (raft_init(&r->core, NULL, NULL, r->config.id, r->listen[0] != '\0' ? r->listen : "none") != 0) {
		fatal("out of memory: the consensus core");
	}
	unsigned seed = 0;
	env_random(r->env, &seed, sizeof(seed));
	r->core.tracer = NULL; /* it would format a line for every step */
	r->core_open = true;
	raft_seed(&r->core, seed);
	raft_set_election_timeout(&r->core, (unsigned)r->config.election_ms);
	raft_set_heartbeat_timeout(&r->core, (unsigned)r->config.heartbeat_ms);
	raft_set_pre_vote(&r->core, true);
	raft_set_max_inflight_entries(&r->core, REPLICA_WINDOW);
}

/* What the core was started with. */
static void forget_start(struct replica *r)
{
	for (size_t i = 0; i < r->start_change_count; i++) {
		entry_unref(r->start_changes[i]);
	}
	free(r->start_changes);
	free(r->start_entries);
	r->start_changes = NULL;
	r->start_entries = NULL;
	r->start_change_count = r->start_count = 0;
}

int replica_start(struct replica *r, struct err *err)
{
	assert(!r->started);
	assert(r->core_open);
	int status = transport_start(r->transport, err);
	if (status != 0) {
		return status;
	}
	forward_open(r);
	r->started = true;
	r->leaderless_ms = env_now_ms(r->env);
	wal_start(r->wal);
	lives_start(r->lives, wal_lane(r->wal), transport_remembered, r->transport);
	patience_start(r);
	step_start(r);
	assert(r->stopped || wal_last_index(r->wal) == raft_last_index(&r->core));
	forget_start(r);
	peers_follow(r);
	replica_wake(r);
	return 0;
}

static void stop_timers(struct replica *r)
{
	env_timer_stop(&r->timer);
	env_timer_stop(&r->read_timer);
	env_timer_stop(&r->handover_timer);
	env_timer_stop(&r->forward_timer);
}

void replica_close(struct replica *r, void (*closed)(void *owner))
{
	assert(!r->closing);
	assert(r->started);
	assert(closed != NULL);
	r->closing = true;
	r->closed = closed;
	stop_timers(r);
	replica_wake(r);
}

void replica_free(struct replica *r)
{
	if (r == NULL) {
		return;
	}
	stop_timers(r);
	env_turn_cancel(&r->turn);
	env_turn_cancel(&r->closed_turn);
	wal_free(r->wal);
	peers_fini(r);
	lives_free(r->lives);
	if (r->vote_file != NULL) {
		env_file_close(r->vote_file);
	}
	if (r->core_open) {
		raft_close(&r->core, NULL);
	}
	forget_start(r);
	for (size_t i = 0; i < r->change_count; i++) {
		entry_unref(r->changes[i]);
	}
	free(r->notices);
	buf_fini(&r->configuration);
	free(r);
}

/* ---- the leader's door ---- */

uint64_t replica_next_index(const struct replica *r)
{
	return replica_leads(r) && r->is_open ? wal_last_index(r->wal) + 1 : 0;
}

int replica_propose(struct replica *r, struct entry *entry, uint64_t stamp_ms)
{
	if (!replica_leads(r) || !r->is_open || r->stopped || r->closing) {
		return ERR_NOT_LEADER;
	}
	if (wal_pending_bytes(r->wal) > REPLICA_PENDING_MAX || raft_transferee(&r->core) != 0 ||
	    handover_yields(r)) {
		return ERR_BUSY;
	}
	assert(entry->type == ENTRY_COMMAND);
	assert(entry->len <= LIMIT_ENTRY);
	transport_stamp(r->transport, stamp_ms);
	if (step_submit(r, entry) != 0) {
		return replica_leads(r) ? ERR_BUSY : ERR_NOT_LEADER;
	}
	assert(wal_last_index(r->wal) > r->open_index);
	r->count.proposals++;
	return 0;
}

void replica_stamp(struct replica *r, uint64_t stamp_ms)
{
	transport_stamp(r->transport, stamp_ms);
}

uint64_t replica_clock_ms(const struct replica *r)
{
	return transport_clock_ms(r->transport);
}

size_t replica_in_flight(const struct replica *r)
{
	uint64_t last = wal_last_index(r->wal);
	assert(!r->is_open || last >= r->open_index);
	return r->is_open && last > r->commit_index ? (size_t)(last - r->commit_index) : 0;
}

#include "engine/shard.h"

#include <assert.h>
#include <stdlib.h>

#include "engine/shard_private.h"

#define TICK_MS 100
#define STOP_MS 1000

/* ---- states ---- */

#define TO(phase) (1u << (phase))

/* The moves that are drawn in shard_private.h. */
static const unsigned moves[] = {
	[PHASE_CREATED] = TO(PHASE_FOLLOWING) | TO(PHASE_FAILED),
	/* back: what it starts on would not start */
	[PHASE_FOLLOWING] = TO(PHASE_OPENING) | TO(PHASE_STOPPING) | TO(PHASE_FAILED) | TO(PHASE_CREATED),
	[PHASE_OPENING] = TO(PHASE_LEADING) | TO(PHASE_FOLLOWING) | TO(PHASE_STOPPING) | TO(PHASE_FAILED),
	[PHASE_LEADING] = TO(PHASE_FOLLOWING) | TO(PHASE_STOPPING) | TO(PHASE_FAILED),
	[PHASE_STOPPING] = TO(PHASE_CLOSED) | TO(PHASE_FAILED),
	[PHASE_CLOSED] = 0,
	[PHASE_FAILED] = TO(PHASE_CLOSED),
};

void shard_move(struct shard *shard, enum phase phase)
{
	assert(moves[shard->phase] & TO(phase));
	shard->phase = phase;
}

void shard_try_lead(struct shard *shard)
{
	if (shard->phase != PHASE_OPENING || !shard->opened || shard->apply.index < shard->open_index ||
	    shard->compile_wanted) {
		return;
	}
	uint64_t next_index = replica_next_index(shard->replica);
	if (next_index == 0) {
		return; /* it was lost in this turn, which has not told us yet */
	}
	assert(overlay_layers(shard->overlay) == 0);
	shard_move(shard, PHASE_LEADING);
	for (size_t i = 0; i < BATCH_RING; i++) {
		assert(list_empty(
			&shard->batches[i].waiters)); /* an earlier term's were told when it ended */
	}
	assert(shard->unproposed == NULL);
	shard->first_waiting = next_index;
	assert(shard->first_waiting > shard->open_index);
	shard->proposed_index = shard->first_waiting - 1;
	expiry_begin(shard);
	log_event(shard->log, LOG_INFO, "leading", "term=%llu open_index=%llu",
		  (unsigned long long)shard->term, (unsigned long long)shard->open_index);
	env_turn_arm(&shard->turn);
}

/* Sealed batches may still be committed by the next leader: unknown. All else never happened: retry. */
void shard_lose(struct shard *shard)
{
	assert(shard->phase == PHASE_LEADING || shard->phase == PHASE_OPENING ||
	       shard->phase == PHASE_STOPPING);
	release_committed(shard);
	release_lost(shard, shard->phase == PHASE_STOPPING ? CODE_STOPPING : CODE_LEADER_LOST);
	propose_drop(shard);
	assert(list_empty(&shard->reads.running));
	assert(list_empty(&shard->parked));
	shard->opened = false;
	if (shard->phase != PHASE_STOPPING) {
		shard_move(shard, PHASE_FOLLOWING);
	}
	yield_lost(shard);
	env_turn_arm(&shard->turn);
}

void shard_fail(struct shard *shard, const char *line)
{
	if (shard->phase == PHASE_FAILED || shard->phase == PHASE_CLOSED) {
		return;
	}
	/* The reason is the process's last line. */
	log_event(shard->log, LOG_ERROR, "stopped", "applied=%llu", (unsigned long long)shard->apply.index);
	release_lost(shard, CODE_LEADER_LOST);
	propose_drop(shard);
	shard_move(shard, PHASE_FAILED);
	shard->failed = true;
	env_turn_arm(&shard->turn);
	if (shard->config.on_stopped == NULL) {
		fatal("%s", line);
	}
	shard->config.on_stopped(shard->config.owner, line);
}

/* ---- what the replica tells ---- */

static void on_role(void *owner, enum replica_role role, uint64_t term, uint64_t leader_id)
{
	struct shard *shard = owner;
	assert(term >= shard->term);
	bool led = shard->phase == PHASE_LEADING || shard->phase == PHASE_OPENING ||
		   (shard->phase == PHASE_STOPPING && shard->role == REPLICA_LEADER);
	if (led && (role != REPLICA_LEADER || term != shard->term)) {
		shard_lose(shard);
	}
	shard->role = role;
	shard->term = term;
	shard->leader_id = leader_id;
	if (role == REPLICA_LEADER && shard->phase == PHASE_FOLLOWING) {
		shard_move(shard, PHASE_OPENING);
		apply_hurry(shard);
	}
	if (shard->config.on_role != NULL) {
		shard->config.on_role(shard->config.owner, role, leader_id);
	}
}

static void on_open_payload(void *owner, struct buf *payload)
{
	struct shard *shard = owner;
	uint64_t now_us = env_now_us(shard->env);
	stamp_agree(&shard->stamp, replica_clock_ms(shard->replica));
	uint64_t stamp_ms = stamp_take(&shard->stamp, env_wall_ms(shard->env), now_us);
	assert(stamp_ms >= shard->stamp.last_ms);
	entry_begin(payload, ENTRY_OPEN, stamp_ms);
	bool ended = entry_end(payload);
	assert(ended);
	stamp_observe(&shard->stamp, stamp_ms, now_us);
}

static void on_open(void *owner, uint64_t term, uint64_t open_index)
{
	struct shard *shard = owner;
	if (shard->phase != PHASE_OPENING || term != shard->term) {
		return;
	}
	assert(!shard->opened);
	shard->opened = true;
	shard->open_index = open_index;
	shard_try_lead(shard);
}

static void on_committed(void *owner, struct entry *const *entries, size_t count)
{
	apply_push(owner, entries, count);
}

static void on_commit_index(void *owner, uint64_t commit_index)
{
	struct shard *shard = owner;
	if (commit_index > shard->commit_index) {
		shard->commit_index = commit_index;
		env_turn_arm(&shard->turn);
	}
}

static void on_stamp(void *owner, uint64_t stamp_ms)
{
	struct shard *shard = owner;
	stamp_observe(&shard->stamp, stamp_ms, env_now_us(shard->env));
}

static void on_request(void *owner, uint64_t from_id, uint64_t token, struct slice request)
{
	struct shard *shard = owner;
	if (shard->config.on_forwarded != NULL) {
		shard->config.on_forwarded(shard->config.owner, from_id, token, request);
	}
}

static void on_stopped(void *owner, const char *line)
{
	shard_fail(owner, line);
}

const struct replica_events shard_events = {.on_role = on_role,
					    .on_open_payload = on_open_payload,
					    .on_open = on_open,
					    .on_committed = on_committed,
					    .on_commit_index = on_commit_index,
					    .on_stamp = on_stamp,
					    .on_request = on_request,
					    .on_stopped = on_stopped};

/* ---- starting ---- */

void shard_tick_cb(struct env_timer *timer)
{
	struct shard *shard = list_entry(timer, struct shard, tick);
	assert(shard->phase != PHASE_CREATED);
	assert(shard->phase != PHASE_CLOSED);
	uint64_t now_us = env_now_us(shard->env);
	release_deadlines(shard, now_us);
	admission_space(shard);
	expiry_tick(shard, now_us);
	env_timer_start(&shard->tick, shard->background_more ? 1 : TICK_MS);
}

int shard_start(struct shard *shard, struct err *err)
{
	assert(shard->phase == PHASE_CREATED);
	shard_move(shard, PHASE_FOLLOWING);
	int rc = replica_start(shard->replica, err);
	if (rc != 0) {
		shard_move(shard, PHASE_CREATED);
		return rc;
	}
	env_timer_start(&shard->tick, TICK_MS);
	return 0;
}

/* ---- stopping ---- */

static void replica_closed(void *owner)
{
	struct shard *shard = owner;
	assert(shard->apply.lane == NULL);
	assert(shard->closed != NULL);
	bundle_close(shard);
	hash_close(shard, true);
	survey_fini(shard);
	keyspace_fini(shard);
	store_close(shard->store, !shard->failed); /* flushed, the next start has little to apply */
	shard->store = NULL;
	shard_move(shard, PHASE_CLOSED);
	shard->closed(shard->config.owner);
}

/* Another leads, or time is up. */
static void leave_now(struct shard *shard, int status)
{
	(void)status;
	assert(shard->phase == PHASE_STOPPING || shard->phase == PHASE_FAILED);
	assert(!shard->has_left);
	if (shard->role == REPLICA_LEADER) {
		release_committed(shard);
		release_lost(shard, CODE_STOPPING);
		propose_drop(shard);
	}
	bundle_refuse(shard, CODE_STOPPING);
	release_deliver(shard);
	shard->has_left = true;
	shard->left(shard->config.owner);
}

void shard_leave(struct shard *shard, void (*left)(void *owner))
{
	assert(shard->phase != PHASE_CREATED && shard->phase != PHASE_STOPPING &&
	       shard->phase != PHASE_CLOSED);
	assert(left != NULL);
	assert(!shard->has_left);
	bool leads = shard->phase == PHASE_LEADING;
	shard->left = left;
	if (leads && shard->yield.phase == YIELD_IDLE) {
		propose_flush(shard);
		leads = shard->phase == PHASE_LEADING;
	}
	if (shard->phase != PHASE_FAILED) {
		shard_move(shard, PHASE_STOPPING);
	}
	if (leads && shard->config.member_count > 1 && shard->yield.phase == YIELD_IDLE) {
		yield_start(shard, 0, STOP_MS, leave_now);
	} else {
		leave_now(shard, 0);
	}
}

void shard_close(struct shard *shard, void (*closed)(void *owner))
{
	assert(shard->has_left);
	assert(shard->phase == PHASE_STOPPING || shard->phase == PHASE_FAILED);
	assert(shard->closed == NULL);
	assert(closed != NULL);
	shard->closed = closed;
	release_deliver(shard); /* who came meanwhile has been refused */
	env_timer_stop(&shard->tick);
	apply_close(shard);
	survey_close(shard);
	replica_close(shard->replica, replica_closed);
}

void shard_free(struct shard *shard)
{
	if (shard == NULL) {
		return;
	}
	env_timer_stop(&shard->tick);
	yield_fini(shard);
	apply_close(shard);
	survey_close(shard);
	bundle_close(shard);
	hash_close(shard, false);
	survey_fini(shard);
	keyspace_fini(shard);
	replica_free(shard->replica);
	apply_fini(shard);
	read_fini(shard);
	propose_fini(shard);
	overlay_free(shard->overlay);
	script_host_free(shard->host);
	watchdog_close(shard->watchdog);
	store_close(shard->store, false);
	buf_fini(&shard->once_reply[0]);
	buf_fini(&shard->once_reply[1]);
	arena_fini(&shard->arena);
	free(shard->members);
	free(shard->strings);
	free(shard);
}

/* ---- requests ---- */

enum shard_role shard_role(const struct shard *shard, uint64_t *leader_id)
{
	*leader_id = shard->leader_id;
	if (shard->phase == PHASE_LEADING || shard->phase == PHASE_OPENING) {
		return SHARD_LEADS;
	}
	bool known = shard->leader_id != 0 && shard->leader_id != shard->config.node_id;
	return known ? SHARD_FOLLOWS : SHARD_UNKNOWN;
}

void shard_submit(struct shard *shard, struct request *request)
{
	assert(request->state == REQUEST_IDLE);
	assert(request->done != NULL);
	assert(list_empty(&request->link));
	assert(request->parked == NULL);
	uint64_t deadline_ms = request->envelope.deadline_ms;
	deadline_ms = deadline_ms != 0 ? deadline_ms : shard->config.default_deadline_ms;
	request->deadline_us = request->arrived_us + deadline_ms * 1000;
	request->admitted_bytes = (uint32_t)request_bytes(request);
	uint64_t now_us = env_now_us(shard->env);
	if (shard->turn_requests++ == 0) {
		overload_turn(shard, now_us);
		env_turn_arm(&shard->turn);
	}
	enum code code = admission_check(shard, request, now_us);
	shard->stats.admitted_bytes += request->admitted_bytes;
	shard->stats.waiting++;
	if (code != CODE_NONE) {
		admission_refuse(shard, request, code);
		return;
	}
	if (bundle_take(shard, request)) {
		return;
	}
	if (propose_ready(shard) && list_empty(&shard->parked) && !overload_spends(shard, now_us)) {
		execute(shard, request, now_us);
	} else {
		release_park(shard, request, false);
	}
}

void shard_cancel(struct shard *shard, struct request *request)
{
	if (request->state == REQUEST_IDLE) {
		return;
	}
	if (request->state == REQUEST_COMPILING) {
		bundle_cancel(shard, request);
	}
	if (request->state == REQUEST_PARKED) {
		assert(shard->parked_count > 0);
		shard->parked_count--;
	}
	assert(shard->stats.waiting > 0);
	assert(shard->stats.admitted_bytes >= request->admitted_bytes);
	survey_forget(request);
	list_remove(&request->link);
	request_unpark(request);
	request->state = REQUEST_IDLE;
	shard->stats.admitted_bytes -= request->admitted_bytes;
	shard->stats.waiting--;
}

void shard_forward(struct shard *shard, struct replica_forward *forward, uint64_t to_id, struct slice frame,
		   uint64_t timeout_ms)
{
	replica_forward_start(shard->replica, forward, to_id, frame, timeout_ms);
}

void shard_forward_reply(struct shard *shard, uint64_t to_id, uint64_t token, struct slice frame)
{
	replica_reply(shard->replica, to_id, token, frame);
}

size_t shard_forward_room(const struct shard *shard, uint64_t to_id)
{
	return replica_reply_room(shard->replica, to_id);
}

/* ---- looking in ---- */

void shard_stats(const struct shard *shard, struct shard_stats *stats)
{
	*stats = shard->stats;
	replica_stats(shard->replica, &stats->replica);
	script_stats(shard->host, &stats->script);
	if (shard->store != NULL) {
		store_stats(shard->store, &stats->store);
	}
	stats->parked = shard->parked_count;
	stats->applied_index = shard->apply.index;
	stats->applied_chain_low = shard->apply.chain.low;
	stats->stamp_ms = shard->stamp.last_ms;
	stats->overlay_bytes = overlay_bytes(shard->overlay);
	stats->row_cache_bytes = overlay_hot_bytes(shard->overlay);
	admission_space_stats(shard, stats);
}

void shard_store_sizes(const struct shard *shard, struct store_sizes *sizes)
{
	*sizes = (struct store_sizes){0};
	if (shard->store != NULL) {
		store_sizes(shard->store, sizes);
	}
}

void shard_store_backlog(const struct shard *shard, struct store_backlog *backlog)
{
	*backlog = (struct store_backlog){0};
	if (shard->store != NULL) {
		store_backlog(shard->store, backlog);
	}
}

struct shard_position shard_position(const struct shard *shard)
{
	return (struct shard_position){replica_position(shard->replica), shard->apply.index};
}

void shard_watch_applied(struct shard *shard, void (*applied)(void *owner, const struct entry *entry),
			 void *owner)
{
	shard->watch_applied = applied;
	shard->watch_owner = owner;
}

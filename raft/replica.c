#include "raft/replica.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/member.h"
#include "raft/replica_private.h"

/* ---- peers ---- */

struct replica_peer *replica_find_peer(struct replica *r, uint64_t id)
{
	for (size_t i = 0; i < r->peer_count; i++) {
		if (r->peers[i]->id == id) {
			return r->peers[i];
		}
	}
	return NULL;
}

static void add_peer(struct replica *r, uint64_t id, const char *address)
{
	if (id == r->config.id || replica_find_peer(r, id) != NULL || r->peer_count == LIMIT_MEMBERS) {
		return;
	}
	assert(id != 0);
	struct replica_peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL) {
		fatal("out of memory: a member");
	}
	peer->replica = r;
	peer->id = id;
	snprintf(peer->address, sizeof(peer->address), "%s", address);
	r->peers[r->peer_count++] = peer;
	transport_add(r->transport, id, peer->address);
}

/* Members of the newest configuration, committed or not. */
static void follow_configuration(struct replica *r)
{
	const struct raft_configuration *configuration = &r->core.configuration;
	for (unsigned i = 0; i < configuration->n; i++) {
		add_peer(r, configuration->servers[i].id, configuration->servers[i].address);
	}
}

/* ---- what comes in ---- */

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

static void frame_of_member(struct replica *r, struct replica_peer *peer, struct link *from,
			    const struct frame *frame)
{
	struct raft_message message;
	assert(!r->stopped);
	assert(!r->closing);
	assert(from->peer_id == peer->id);
	if (!r->admitted) {
		return; /* who says it says it again */
	}
	switch (frame->type) {
	case FRAME_APPEND:
		append_receive(r, from, peer, frame);
		return;
	case FRAME_PROBE:
		read_index_probe(r, peer, frame);
		return;
	case FRAME_ECHO:
		read_index_echo(r, peer, frame);
		return;
	default:
		break;
	}
	if (message_take(frame, peer->id, &message) != 0) {
		r->count.frames_bad++;
		link_drop(from);
		return;
	}
	/* In other states the core reads a byte of a pointer. */
	if (message.type == RAFT_REQUEST_VOTE_RESULT && r->core.state != RAFT_CANDIDATE) {
		return;
	}
	if (message.type == RAFT_APPEND_ENTRIES_RESULT) {
		const struct raft_append_entries_result *result = &message.append_entries_result;
		peer->has_room = result->capacity > 0;
		peer->coming_ms = append_says_coming(result) ? env_now_ms(r->env) : 0;
		refill_result(r, peer, from, &message.append_entries_result);
	}
	message.server_id = peer->id;
	message.server_address = peer->address;
	step_receive(r, &message);
}

static void frame_cb(void *owner, struct link *from, const struct frame *frame)
{
	struct replica *r = owner;
	struct replica_peer *peer = replica_find_peer(r, from->peer_id);
	if (r->stopped || r->closing || peer == NULL) {
		return;
	}
	if (from->hello.kind == FRAME_RAFT && !from->dialed) {
		frame_of_member(r, peer, from, frame);
	} else if (from->hello.kind == FRAME_REQUESTS && !from->dialed && frame->type == FRAME_REQUEST) {
		forward_request(r, peer, frame);
	} else if (from->hello.kind == FRAME_REQUESTS && from->dialed && frame->type == FRAME_REPLY) {
		forward_answer(r, frame);
	} else {
		r->count.frames_bad++;
	}
}

static void coming_cb(void *owner, struct link *from, uint8_t type)
{
	struct replica *r = owner;
	struct replica_peer *peer = replica_find_peer(r, from->peer_id);
	bool counts = from->hello.kind == FRAME_RAFT && type == FRAME_APPEND && peer != NULL;
	if (counts && r->admitted && !r->stopped && !r->closing) {
		patience_coming(r, peer);
	}
}

static void connected_cb(void *owner, uint64_t id, enum frame_connection kind)
{
	struct replica *r = owner;
	struct replica_peer *peer = replica_find_peer(r, id);
	if (peer != NULL) {
		seat_heard(r, peer);
	}
	if (peer != NULL && kind == FRAME_RAFT) {
		peer->sent_to = peer->coming_ms = 0;
		peer->has_room = false;
		peer->job_count = peer->reading ? peer->job_count : 0;
	}
}

static void disconnected_cb(void *owner, uint64_t id, enum frame_connection kind)
{
	struct replica *r = owner;
	if (kind == FRAME_REQUESTS) {
		forward_disconnected(r, id);
	}
}

static void refused_cb(void *owner, uint64_t id)
{
	struct replica *r = owner;
	if (!r->stopped && !r->closing) {
		patience_refused(r, id);
	}
}

static void stamp_cb(void *owner, uint64_t stamp_ms)
{
	struct replica *r = owner;
	if (r->events->on_stamp != NULL && !r->stopped && !r->closing) {
		r->events->on_stamp(r->config.owner, stamp_ms);
	}
}

static const struct transport_events transport_events = {
	.frame = frame_cb,
	.coming = coming_cb,
	.connected = connected_cb,
	.disconnected = disconnected_cb,
	.refused = refused_cb,
	.stamp = stamp_cb,
	.forgotten = seat_refused_cb,
};

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

/* ---- the turn ---- */

static void rearm(struct replica *r)
{
	uint64_t now_ms = env_now_ms(r->env);
	uint64_t at_ms = patience_ends_ms(r);
	assert(r->started);
	assert(!r->stopped);
	assert(!r->closing);
	/* The core's timer, run out, would begin anew while entries wait for the log. */
	if (r->log_held && patience_hears_until_ms(r) < at_ms) {
		at_ms = patience_hears_until_ms(r);
	}
	if (at_ms <= now_ms && env_timer_armed(&r->timer) && r->timer.node.at <= now_ms * 1000) {
		return; /* due: put off by each long turn it would never fire, and a leader would be silent */
	}
	at_ms = at_ms > now_ms ? at_ms : now_ms + 1;
	if (!env_timer_armed(&r->timer) || r->timer.node.at != at_ms * 1000) {
		env_timer_start_at(&r->timer, at_ms * 1000);
	}
}

/* Expired only means due: the turn's input may have moved it. */
static void timer_cb(struct env_timer *timer)
{
	struct replica *r = list_entry(timer, struct replica, timer);
	uint64_t now_us = env_now_us(r->env), at_us = timer->node.at;
	r->timeout_due = true;
	patience_late(r, now_us > at_us ? (now_us - at_us) / 1000 : 0);
	replica_wake(r);
}

/* The first entry of our term, always: the core appends one only if it needs it (D3). */
static void submit_open(struct replica *r)
{
	if (!r->open_due || !replica_leads(r) || r->stopped) {
		return;
	}
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	r->open_due = false;
	r->events->on_open_payload(r->config.owner, &payload);
	assert(!buf_failed(&payload));
	struct entry *entry = entry_new(ENTRY_COMMAND, buf_slice(&payload));
	buf_fini(&payload);
	r->open_index = wal_last_index(r->wal) + 1;
	if (step_submit(r, entry) != 0) {
		entry_unref(entry);
		return;
	}
	assert(wal_last_index(r->wal) == r->open_index);
}

static void tell_stop(struct replica *r)
{
	assert(r->stopped);
	if (r->stop_told) {
		return;
	}
	r->stop_told = true;
	read_index_turn(r);
	handover_step(r);
	forward_fail_all(r);
	assert(list_empty(&r->forwards));
	assert(list_empty(&r->failed_forwards));
	if (r->events->on_stopped == NULL) {
		fatal("%s", r->stop_line);
	}
	r->events->on_stopped(r->config.owner, r->stop_line);
}

static void wal_closed_cb(void *owner);
static void transport_closed_cb(void *owner);

static void close_in_turn(struct replica *r)
{
	assert(r->closing);
	if (r->wal_closed || r->transport_closed || r->close_begun) {
		return;
	}
	if (r->vote_held && !r->stopped) {
		return; /* answers wait for it; vote_done wakes us */
	}
	transport_flush(r->transport);
	r->close_begun = true;
	read_index_turn(r);
	handover_step(r);
	forward_fail_all(r);
	wal_close(r->wal, wal_closed_cb);
	transport_close(r->transport, transport_closed_cb);
}

/* The first entry of its leader's term is here and, as far as it knows, not committed: what is waited for before
 * anything is answered. At most a window, once a term. */
static bool leader_opens(const struct replica *r)
{
	uint64_t term = r->core.current_term;
	return wal_term_of(r->wal, wal_last_index(r->wal)) == term &&
	       wal_term_of(r->wal, r->commit_index) != term;
}

void replica_hold_log(struct replica *r)
{
	/* While entries wait for the log the core does not stand, and keeps to its leader: they are written
	 * before it would. */
	r->log_held = r->owner_behind && !replica_leads(r) && !leader_opens(r) &&
		      env_now_ms(r->env) < patience_hears_until_ms(r);
	wal_hold(r->wal, r->vote_held || r->log_held);
}

void replica_set_behind(struct replica *r, bool behind)
{
	r->owner_behind = behind;
	if (r->started) {
		replica_wake(r);
	}
}

static void turn_cb(struct env_turn *turn)
{
	struct replica *r = list_entry(turn, struct replica, turn);
	assert(r->started);
	if (r->stopped) {
		tell_stop(r);
	}
	if (r->closing) {
		close_in_turn(r);
		return;
	}
	if (r->stopped) {
		return;
	}
	seat_turn(r);
	patience_turn(r);
	if (r->timeout_due) {
		r->timeout_due = false;
		patience_step(r);
	}
	notice_tell(r);
	submit_open(r);
	notice_deliver(r);
	read_index_turn(r);
	handover_step(r);
	forward_turn(r);
	if (r->stopped || r->closing) {
		replica_wake(r);
		return;
	}
	if (r->configuration_seen !=
	    r->core.configuration_uncommitted_index + r->core.configuration_committed_index) {
		r->configuration_seen =
			r->core.configuration_uncommitted_index + r->core.configuration_committed_index;
		follow_configuration(r);
	}
	/* The log's write starts, then the same entries leave: in parallel. */
	replica_hold_log(r);
	transport_flush(r->transport);
	rearm(r);
	if (r->notice_count > 0) {
		replica_wake(r);
	}
}

/* ---- life ---- */

static void closed_turn_cb(struct env_turn *turn)
{
	struct replica *r = list_entry(turn, struct replica, closed_turn);
	assert(r->wal_closed);
	assert(r->transport_closed);
	r->closed(r->config.owner);
}

static void wal_closed_cb(void *owner)
{
	struct replica *r = owner;
	assert(r->close_begun);
	assert(!r->wal_closed);
	r->wal_closed = true;
	if (r->transport_closed) {
		env_turn_arm(&r->closed_turn);
	}
}

static void transport_closed_cb(void *owner)
{
	struct replica *r = owner;
	assert(r->close_begun);
	assert(!r->transport_closed);
	r->transport_closed = true;
	if (r->wal_closed) {
		env_turn_arm(&r->closed_turn);
	}
}

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
	env_timer_init(r->env, &r->timer, timer_cb);
	env_timer_init(r->env, &r->read_timer, read_index_timer_cb);
	env_timer_init(r->env, &r->handover_timer, handover_timer_cb);
	env_timer_init(r->env, &r->forward_timer, forward_timer_cb);
	env_turn_init(r->env, &r->turn, turn_cb);
	env_turn_init(r->env, &r->closed_turn, closed_turn_cb);
	struct transport_config transport = {
		.env = r->env,
		.log = r->log,
		.cluster_id = config->cluster_id,
		.id = config->id,
		.listen = r->config.listen,
		.events = &transport_events,
		.owner = r,
	};
	r->transport = transport_new(&transport);
	for (size_t i = 0; i < config->member_count; i++) {
		add_peer(r, config->members[i].id, config->members[i].address);
	}
	r->config.members = NULL; /* the caller's */
	return r;
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
	for (size_t i = 0; i < r->start_change_count; i++) {
		entry_unref(r->start_changes[i]);
	}
	free(r->start_changes);
	free(r->start_entries);
	r->start_changes = NULL;
	r->start_entries = NULL;
	r->start_change_count = r->start_count = 0;
	follow_configuration(r);
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
	transport_free(r->transport);
	lives_free(r->lives);
	if (r->vote_file != NULL) {
		env_file_close(r->vote_file);
	}
	if (r->core_open) {
		raft_close(&r->core, NULL);
	}
	for (size_t i = 0; i < r->start_change_count; i++) {
		entry_unref(r->start_changes[i]);
	}
	for (size_t i = 0; i < r->change_count; i++) {
		entry_unref(r->changes[i]);
	}
	for (size_t i = 0; i < r->peer_count; i++) {
		free(r->peers[i]);
	}
	free(r->start_changes);
	free(r->start_entries);
	free(r->notices);
	buf_fini(&r->configuration);
	free(r);
}

/* ---- the leader's door ---- */

uint64_t replica_next_index(const struct replica *r)
{
	assert(r->is_open);
	assert(replica_leads(r));
	return wal_last_index(r->wal) + 1;
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

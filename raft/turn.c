/* The turn of the loop (replica_private.h has the drawing): what came in has been stepped, and what it
 * brought now goes out, in order. The last turns tell a stop, and close. */
#include <assert.h>

#include "raft/replica_private.h"

/* ---- the core's time ---- */

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

/* ---- the last turns ---- */

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

/* ---- every turn ---- */

/* The first entry of our term, always: the core appends one only if it needs it (docs/musts.md). */
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

/* The first entry of its leader's term is here and, as far as it knows, not committed: what is waited for before
 * anything is answered. At most a window, once a term. */
static bool leader_opens(const struct replica *r)
{
	uint64_t term = r->core.current_term;
	return wal_term_of(r->wal, wal_last_index(r->wal)) == term &&
	       wal_term_of(r->wal, r->commit_index) != term;
}

void turn_hold_log(struct replica *r)
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
		peers_follow(r);
	}
	/* The log's write starts, then the same entries leave: in parallel. */
	turn_hold_log(r);
	transport_flush(r->transport);
	rearm(r);
	if (r->notice_count > 0) {
		replica_wake(r);
	}
}

void turn_init(struct replica *r)
{
	env_timer_init(r->env, &r->timer, timer_cb);
	env_turn_init(r->env, &r->turn, turn_cb);
	env_turn_init(r->env, &r->closed_turn, closed_turn_cb);
}

/* Handing leadership over (Raft dissertation 3.10).
 *
 *   ASKED --the target has our whole log--> TIMEOUT_NOW sent --another leads--> cb(0)
 *     ^                                          |
 *     +-- the core gave up after an election ----+      the deadline: cb(ERR_TIMEOUT)
 *
 * The core compares with what was acknowledged at that moment and never repeats
 * a TIMEOUT_NOW that came too early; so it is asked only when the target's match
 * index is our last index, and the owner has stopped proposing. */
#include <assert.h>

#include "raft/member.h"
#include "raft/replica_private.h"

#define HANDOVER_TICK_MS 10

void handover_end(struct replica *r, int status)
{
	if (!r->handover.active) {
		return;
	}
	assert(r->handover.yields || r->handover.cb != NULL);
	r->handover.active = false;
	env_timer_stop(&r->handover_timer);
	if (r->handover.yields) {
		return;
	}
	r->handover.cb(r->handover.owner, status);
}

/* The one asked for, or the connected voter that has most of the log. */
static uint64_t choose(struct replica *r)
{
	uint64_t best = 0, best_match = 0;
	for (size_t i = 0; i < r->peer_count; i++) {
		uint64_t id = r->peers[i]->id;
		raft_index match = 0;
		if ((r->handover.target != 0 && r->handover.target != id) ||
		    !member_votes(&r->core.configuration, id) ||
		    transport_link(r->transport, id, FRAME_RAFT) == NULL ||
		    raft_match_index(&r->core, id, &match) != 0) {
			continue;
		}
		if (match > best_match) {
			best = id;
			best_match = match;
		}
	}
	assert(best != r->config.id);
	assert(best_match <= raft_last_index(&r->core));
	return best_match == raft_last_index(&r->core) ? best : 0;
}

static void begin(struct replica *r, uint64_t target_id, uint64_t deadline_us)
{
	r->handover.active = true;
	r->handover.target = target_id;
	r->handover.deadline_us = deadline_us;
	env_timer_start(&r->handover_timer, HANDOVER_TICK_MS);
}

/* The others commit without our disk, but what we lead we must also apply: a
 * leader whose disk has stalled for two election timeouts is worse than an election. */
static void yield_if_stalled(struct replica *r)
{
	uint64_t patience_us = 2 * r->config.election_ms * 1000;
	if (r->handover.active || !replica_leads(r) || !r->is_open || r->peer_count == 0 || r->stopped ||
	    r->closing || wal_stalled_us(r->wal) < patience_us) {
		return;
	}
	log_event(r->log, LOG_WARN, "log_stalled", "ms=%llu leadership is offered to another",
		  (unsigned long long)(wal_stalled_us(r->wal) / 1000));
	r->handover.yields = true;
	begin(r, 0, env_now_us(r->env) + r->config.election_ms * 1000);
}

void handover_step(struct replica *r)
{
	yield_if_stalled(r);
	if (!r->handover.active) {
		return;
	}
	if (r->stopped || r->closing) {
		handover_end(r, ERR_NOT_LEADER);
		return;
	}
	if (!replica_leads(r)) {
		if (r->leader_id != 0 && r->leader_id != r->config.id) {
			handover_end(r, 0);
		}
	} else if (raft_transferee(&r->core) == 0) {
		uint64_t target = choose(r);
		if (target != 0) {
			step_transfer(r, target);
		}
	}
	if (r->handover.active && env_now_us(r->env) >= r->handover.deadline_us) {
		handover_end(r, r->handover.deadline_us == 0 ? ERR_NOT_LEADER : ERR_TIMEOUT);
	}
}

void handover_timer_cb(struct env_timer *timer)
{
	struct replica *r = list_entry(timer, struct replica, handover_timer);
	assert(r->handover.active);
	env_timer_start(timer, HANDOVER_TICK_MS);
	replica_wake(r);
}

void replica_transfer(struct replica *r, uint64_t target_id, uint64_t timeout_ms,
		      void (*cb)(void *owner, int status), void *owner)
{
	assert(!r->handover.active || r->handover.yields);
	assert(cb != NULL);
	r->handover.yields = false;
	r->handover.cb = cb;
	r->handover.owner = owner;
	/* Without leadership it is ended in the turn: by then another leads, or it is too late. */
	begin(r, target_id, replica_leads(r) ? env_now_us(r->env) + timeout_ms * 1000 : 0);
	replica_wake(r);
}

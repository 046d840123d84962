/* Handing leadership over (Raft dissertation 3.10).
 *
 *   ASKED --the target has our whole log--> TIMEOUT_NOW sent --another leads--> cb(0)
 *     ^                                          |
 *     +-- the core gave up after an election ----+      the deadline: cb(ERR_TIMEOUT)
 *
 * The core compares with what was acknowledged at that moment and never repeats
 * a TIMEOUT_NOW that came too early; so it is asked only when the target's match
 * index is our last index, and the owner has stopped proposing.
 *
 * A leader that cannot write hands over by itself, and proposes nothing meanwhile:
 *
 *   LEADS --the write under way stalls---------------------------> YIELDS, to any voter
 *     ^ ^ --no space in the log, or the owner's disk is full,
 *     | |   and a voter has room (its results say so)------------> YIELDS, to one with room
 *     | |                                                              |
 *     | +-- the deadline: nobody has our whole log yet <--------------+--another leads--> FOLLOWS
 *     |                                                                                     |
 *     +-- elected, or handed to ------------------------------------- room again -----------+
 *
 * One that follows without room votes as any other, and its requests for pre-votes are not
 * sent until others had time to be elected: then anybody is better than nobody, for reads go on. */
#include <assert.h>

#include "raft/member.h"
#include "raft/replica_private.h"

#define HANDOVER_TICK_MS 10
#define YIELD_AGAIN_MS 500 /* after a yield to a member with room that came to nothing */
#define STAND_BACK_TIMES 4 /* election timeouts without a leader; then a member without room stands */

static void end(struct replica *r, int status)
{
	if (!r->handover.active) {
		return;
	}
	assert(r->handover.yields != YIELDS_NOT || r->handover.cb != NULL);
	r->handover.active = false;
	env_timer_stop(&r->handover_timer);
	if (r->handover.yields != YIELDS_NOT) {
		r->handover.again_us = r->handover.yields == YIELDS_FULL && status != 0
					       ? env_now_us(r->env) + YIELD_AGAIN_MS * 1000
					       : 0;
		return;
	}
	r->handover.cb(r->handover.owner, status);
}

bool handover_has_room(const struct replica *r)
{
	return !r->owner_full && !wal_no_space(r->wal);
}

bool handover_stands_back(const struct replica *r)
{
	uint64_t until_ms = r->leaderless_ms + STAND_BACK_TIMES * r->config.election_ms;
	/* A leader that is still noted is lost in this very step. */
	return !handover_has_room(r) && (r->leader_id != 0 || env_now_ms(r->env) < until_ms);
}

static bool may_be_next(struct replica *r, const struct replica_peer *peer)
{
	return member_votes(&r->core.configuration, peer->id) && !peer->lacks &&
	       transport_link(r->transport, peer->id, FRAME_RAFT) != NULL &&
	       (peer->has_room || !r->handover.active || r->handover.yields != YIELDS_FULL);
}

/* The one asked for, or the connected voter that has most of the log. */
static uint64_t choose(struct replica *r)
{
	uint64_t best = 0, best_match = 0;
	for (size_t i = 0; i < r->peer_count; i++) {
		uint64_t id = r->peers[i]->id;
		raft_index match = 0;
		if ((r->handover.target != 0 && r->handover.target != id) || !may_be_next(r, r->peers[i]) ||
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

/* After so long a write under way has stalled. */
static uint64_t stall_us(const struct replica *r)
{
	return 2 * r->config.election_ms * 1000;
}

static bool somebody_has_room(struct replica *r)
{
	for (size_t i = 0; i < r->peer_count; i++) {
		if (r->peers[i]->has_room && may_be_next(r, r->peers[i])) {
			return true;
		}
	}
	return false;
}

static void yield_because(struct replica *r, enum yield_reason why)
{
	r->handover.yields = why;
	begin(r, 0, env_now_us(r->env) + r->config.election_ms * 1000);
}

/* The disk goes on again before another had our whole log: on a machine whose disk all share, all stalled. */
static bool yield_is_over(const struct replica *r)
{
	return (r->handover.yields == YIELDS_STALLED && wal_stalled_us(r->wal) < stall_us(r)) ||
	       (r->handover.yields == YIELDS_FULL && handover_has_room(r));
}

/* The others commit without our disk, but what we lead we must also apply: a leader whose disk has stalled
 * for two election timeouts is worse than an election, and so is one that takes no writes while another
 * would. Its own first entry may be what stalls or finds no space: it need not be open for that. */
static void yield_if_unfit(struct replica *r)
{
	if (r->handover.active || !replica_leads(r) || r->peer_count == 0 || r->stopped || r->closing) {
		return;
	}
	if (wal_stalled_us(r->wal) >= stall_us(r)) {
		log_event(r->log, LOG_WARN, "log_stalled", "ms=%llu leadership is offered to another",
			  (unsigned long long)(wal_stalled_us(r->wal) / 1000));
		yield_because(r, YIELDS_STALLED);
	} else if (!handover_has_room(r) && env_now_us(r->env) >= r->handover.again_us &&
		   somebody_has_room(r)) {
		log_event(r->log, LOG_WARN, "leader_full",
			  "log=%d leadership is offered to a member with room", wal_no_space(r->wal));
		yield_because(r, YIELDS_FULL);
	}
}

void handover_step(struct replica *r)
{
	yield_if_unfit(r);
	if (!r->handover.active) {
		return;
	}
	if (r->stopped || r->closing) {
		end(r, ERR_NOT_LEADER);
		return;
	}
	if (!replica_leads(r)) {
		if (r->leader_id != 0 && r->leader_id != r->config.id) {
			end(r, 0);
		}
	} else if (raft_transferee(&r->core) == 0 && yield_is_over(r)) {
		end(r, 0);
	} else if (raft_transferee(&r->core) == 0) {
		uint64_t target = choose(r);
		if (target != 0) {
			step_transfer(r, target);
		}
	}
	if (r->handover.active && env_now_us(r->env) >= r->handover.deadline_us) {
		end(r, r->handover.deadline_us == 0 ? ERR_NOT_LEADER : ERR_TIMEOUT);
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
	assert(!r->handover.active || r->handover.yields != YIELDS_NOT);
	assert(cb != NULL);
	r->handover.yields = YIELDS_NOT;
	r->handover.cb = cb;
	r->handover.owner = owner;
	/* Without leadership it is ended in the turn: by then another leads, or it is too late. */
	begin(r, target_id, replica_leads(r) ? env_now_us(r->env) + timeout_ms * 1000 : 0);
	replica_wake(r);
}

void replica_set_room(struct replica *r, bool room)
{
	r->owner_full = !room;
	if (r->started) {
		replica_wake(r);
	}
}

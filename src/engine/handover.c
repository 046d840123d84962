/* Leadership is handed over: because an operator asks, or because this node stops.
 *
 *   IDLE ── handover_start ──> DRAINING ── nothing in flight ──> MOVING ── another leads, or time is up ──> IDLE, done()
 *                                  └── time is up ─────────────────────────────────────────────────────────┘
 *
 * Nothing is proposed meanwhile (the core's transfer needs a still log), requests are parked. */
#include "engine/shard_private.h"

#include <assert.h>

static void handover_end(struct shard *shard, int status)
{
	struct handover *h = &shard->handover;
	if (h->phase == HANDOVER_IDLE) {
		return;
	}
	h->phase = HANDOVER_IDLE;
	shard->handing_over = false;
	env_timer_stop(&h->timer);
	env_turn_arm(&shard->turn);
	h->done(shard, status);
}

static void timer_cb(struct env_timer *timer)
{
	struct shard *shard = list_entry(timer, struct shard, handover.timer);
	if (shard->handover.phase == HANDOVER_DRAINING) {
		handover_end(shard, ERR_TIMEOUT);
	}
}

static void transfer_cb(void *owner, int status)
{
	handover_end(owner, status);
}

void handover_init(struct shard *shard)
{
	env_timer_init(shard->env, &shard->handover.timer, timer_cb);
}

void handover_turn(struct shard *shard)
{
	struct handover *h = &shard->handover;
	if (h->phase != HANDOVER_DRAINING || !propose_idle(shard)) {
		return;
	}
	h->phase = HANDOVER_MOVING;
	env_timer_stop(&h->timer);
	replica_transfer(shard->replica, h->target_id, h->timeout_ms, transfer_cb, shard);
}

void handover_start(struct shard *shard, uint64_t target_id, uint64_t timeout_ms,
                    void (*done)(struct shard *shard, int status))
{
	struct handover *h = &shard->handover;
	assert(h->phase == HANDOVER_IDLE);
	h->phase = HANDOVER_DRAINING;
	h->target_id = target_id;
	h->timeout_ms = timeout_ms;
	h->done = done;
	propose_flush(shard);
	shard->handing_over = true;
	env_timer_start(&h->timer, timeout_ms);
	env_turn_arm(&shard->turn);
}

/* Leadership went by itself. A transfer that is already moving tells so through its own callback. */
void handover_lost(struct shard *shard)
{
	if (shard->handover.phase == HANDOVER_DRAINING) {
		handover_end(shard, ERR_NOT_LEADER);
	}
}

/* ---- for an operator ---- */

static void transferred(struct shard *shard, int status)
{
	shard->handover.cb(shard->handover.owner, status);
}

void shard_transfer(struct shard *shard, uint64_t target_id, uint64_t timeout_ms, void (*cb)(void *owner, int status),
                    void *owner)
{
	struct handover *h = &shard->handover;
	if (shard->phase != PHASE_LEADING || h->phase != HANDOVER_IDLE) {
		/* The replica refuses the same way, later: no callback from inside. */
		replica_transfer(shard->replica, target_id, timeout_ms, cb, owner);
		return;
	}
	h->cb = cb;
	h->owner = owner;
	handover_start(shard, target_id, timeout_ms, transferred);
}

/* Leadership is handed over: because an operator asks, or because this node stops.
 *
 *   IDLE ── yield_start ──> DRAINING ── nothing in flight ──> MOVING ── another leads, or time is up ──>
 * IDLE, done() └── time is up ─────────────────────────────────────────────────────────┘
 *
 * Nothing is proposed meanwhile (the core's transfer needs a still log), requests are parked. */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdlib.h>

/* Somebody asked for a transfer that cannot be: told later, never from inside his call. */
struct refusal {
	struct list link;
	int status;
	void (*cb)(void *owner, int status);
	void *owner;
};

static void yield_end(struct shard *shard, int status)
{
	struct yield *h = &shard->yield;
	if (h->phase == YIELD_IDLE) {
		return;
	}
	assert(h->done != NULL);
	assert(shard->handing_over);
	h->phase = YIELD_IDLE;
	shard->handing_over = false;
	env_timer_stop(&h->timer);
	env_turn_arm(&shard->turn);
	h->done(shard, status);
}

static void timer_cb(struct env_timer *timer)
{
	struct shard *shard = list_entry(timer, struct shard, yield.timer);
	if (shard->yield.phase == YIELD_DRAINING) {
		yield_end(shard, ERR_TIMEOUT);
	}
}

static void transfer_cb(void *owner, int status)
{
	assert(((struct shard *)owner)->yield.phase == YIELD_MOVING);
	yield_end(owner, status);
}

void yield_init(struct shard *shard)
{
	env_timer_init(shard->env, &shard->yield.timer, timer_cb);
	list_init(&shard->yield.refused);
}

void yield_fini(struct shard *shard)
{
	env_timer_stop(&shard->yield.timer);
	struct list *link;
	while ((link = list_pop(&shard->yield.refused)) != NULL) {
		free(list_entry(link, struct refusal, link));
	}
}

static void refuse(struct shard *shard, int status, void (*cb)(void *owner, int status), void *owner)
{
	assert(status != 0);
	assert(cb != NULL);
	struct refusal *refusal = malloc(sizeof *refusal);
	if (refusal == NULL) {
		fatal("out of memory: a transfer's answer");
	}
	*refusal = (struct refusal){.status = status, .cb = cb, .owner = owner};
	list_append(&shard->yield.refused, &refusal->link);
	env_turn_arm(&shard->turn);
}

static void tell_refused(struct shard *shard)
{
	struct list *link;
	while ((link = list_pop(&shard->yield.refused)) != NULL) {
		struct refusal refusal = *list_entry(link, struct refusal, link);
		free(list_entry(link, struct refusal, link));
		refusal.cb(refusal.owner, refusal.status);
	}
}

void yield_turn(struct shard *shard)
{
	struct yield *h = &shard->yield;
	tell_refused(shard);
	if (h->phase != YIELD_DRAINING || !propose_idle(shard)) {
		return;
	}
	assert(shard->handing_over);
	h->phase = YIELD_MOVING;
	env_timer_stop(&h->timer);
	replica_transfer(shard->replica, h->target_id, h->timeout_ms, transfer_cb, shard);
}

void yield_start(struct shard *shard, uint64_t target_id, uint64_t timeout_ms,
		 void (*done)(struct shard *shard, int status))
{
	struct yield *h = &shard->yield;
	assert(h->phase == YIELD_IDLE);
	assert(shard->phase == PHASE_LEADING || shard->phase == PHASE_STOPPING);
	assert(done != NULL);
	h->phase = YIELD_DRAINING;
	h->target_id = target_id;
	h->timeout_ms = timeout_ms;
	h->done = done;
	propose_flush(shard);
	shard->handing_over = true;
	env_timer_start(&h->timer, timeout_ms);
	env_turn_arm(&shard->turn);
}

/* Leadership went by itself. A transfer that is already moving tells so through its own callback. */
void yield_lost(struct shard *shard)
{
	if (shard->yield.phase == YIELD_DRAINING) {
		yield_end(shard, ERR_NOT_LEADER);
	}
}

/* ---- for an operator ---- */

static void transferred(struct shard *shard, int status)
{
	shard->yield.cb(shard->yield.owner, status);
}

void shard_transfer(struct shard *shard, uint64_t target_id, uint64_t timeout_ms,
		    void (*cb)(void *owner, int status), void *owner)
{
	struct yield *h = &shard->yield;
	if (h->phase != YIELD_IDLE || shard->phase != PHASE_LEADING) {
		refuse(shard, h->phase != YIELD_IDLE ? ERR_BUSY : ERR_NOT_LEADER, cb, owner);
		return;
	}
	assert(cb != NULL);
	h->cb = cb;
	h->owner = owner;
	yield_start(shard, target_id, timeout_ms, transferred);
}

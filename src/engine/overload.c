/* More load than can be executed (docs/decisions/0005).
 *
 *         two turns on end of LIMIT_TURN_MS, or with LIMIT_WAIT_REQUESTS that wait for LIMIT_WAIT_MS;
 *         or LIMIT_APPLY_LAG
 *   calm ─────────────────────────────────────────────────────────────────────────────────────────> ON
 *     ^   in a window fewer were refused than half of what was taken, or nothing was asked at all,   │
 *     └────────────────────── or it is tried, after 2, 4, 8, then every 16 seconds ──────────────────┘
 *
 * A closed loop of many requests makes long turns too, and long turns make the best batches: what it has
 * under way is bounded, so its turns end by themselves. Only when they do not are turns cut short, to the
 * length in which a refusal may come. Who was refused asks again, so that the refusals of a closed loop,
 * which one slow moment of the machine may have brought here, look like overload: hence the trying. */
#include "engine/shard_private.h"

#define WINDOW_US 200000
/* After so long an end is tried; twice as long when overload is back so soon. */
#define STAY_US 2000000
#define STAY_MAX_US 16000000
#define AGAIN_US 500000

static void turn_timer_cb(struct env_timer *timer)
{
	env_turn_arm(&list_entry(timer, struct shard, turn_timer)->turn);
}

void overload_init(struct shard *shard)
{
	env_timer_init(shard->env, &shard->turn_timer, turn_timer_cb);
}

void overload_fini(struct shard *shard)
{
	env_timer_stop(&shard->turn_timer);
}

void overload_begin(struct shard *shard, uint64_t now_us)
{
	struct overload *overload = &shard->overload;
	if (overload->on) {
		return;
	}
	bool again = overload->left_us != 0 && now_us - overload->left_us < AGAIN_US;
	uint64_t stay_us = again ? overload->stay_us * 2 : STAY_US;
	*overload = (struct overload){.on = true,
				      .turn_full = overload->turn_full,
				      .began_us = now_us,
				      .since_us = now_us,
				      .stay_us = stay_us < STAY_MAX_US ? stay_us : STAY_MAX_US,
				      .capacity = LIMIT_OVERLOAD_REQUESTS};
}

void overload_turn(struct shard *shard, uint64_t now_us)
{
	struct overload *overload = &shard->overload;
	shard->turn_began_us = shard->turn_asked_us = now_us;
	uint64_t age_us = now_us - overload->since_us;
	if (!overload->on || age_us < WINDOW_US) {
		return;
	}
	bool asked = age_us < 2 * WINDOW_US && overload->refused > overload->taken / 2;
	overload->on = asked && now_us - overload->began_us < overload->stay_us;
	overload->left_us = now_us;
	overload->since_us = now_us;
	overload->taken = overload->refused = 0;
}

static bool wait_is_long(const struct shard *shard, uint64_t now_us)
{
	if (shard->spent_us != 0 && shard->parked_count >= LIMIT_TURN_REQUESTS &&
	    now_us - shard->spent_us >= LIMIT_WAIT_MS * 1000) {
		return true;
	}
	const struct batch *oldest = &shard->batches[shard->first_waiting % BATCH_RING];
	return shard->stats.waiting >= LIMIT_WAIT_REQUESTS && !list_empty(&oldest->waiters) &&
	       now_us - oldest->opened_us >= LIMIT_WAIT_MS * 1000;
}

void overload_turn_end(struct shard *shard)
{
	struct overload *overload = &shard->overload;
	if (overload->deferred) {
		overload->deferred = false; /* what was deferred is taken now, and is of the same turn */
		return;
	}
	if (overload->on && (overload->shed || shard->turn_requests > 0)) {
		size_t taken = overload->following + overload->fresh;
		if (overload->turn_full) {
			taken = taken < LIMIT_OVERLOAD_REQUESTS ? LIMIT_OVERLOAD_REQUESTS : taken;
			overload->capacity = (3 * overload->capacity + taken) / 4;
		} else if (overload->shed) {
			overload->capacity += overload->capacity / 8 + 1;
		}
		overload->followed = overload->following;
	}
	overload->following = overload->fresh = 0;
	overload->turn_full = overload->shed = false;
}

/* Under overload the door closes long before LIMIT_APPLY_LAG, beyond which scripts have run in vain. Without
 * space nobody's patience helps, and NO_SPACE says so. */
bool overload_lags(const struct shard *shard)
{
	return shard->overload.on && !shard->space.low && shard->apply.bytes > LIMIT_APPLY_LAG / 2;
}

/* The answers of a connection come in order: a refusal behind requests that are executed waits for their
 * commit. So what the clients with requests under way took in the last turn is kept for them, and the other
 * clients get the rest: few clients are served at a time, and the others hear at once. */
bool shard_defers(struct shard *shard)
{
	bool defers = shard->overload.on && shard->phase == PHASE_LEADING;
	shard->overload.deferred |= defers;
	return defers;
}

bool shard_sheds(struct shard *shard, bool follows, bool writes)
{
	struct overload *overload = &shard->overload;
	if (!overload->on || shard->phase != PHASE_LEADING) {
		return false;
	}
	bool kept = !follows && overload->fresh + overload->followed >= overload->capacity;
	if (overload->turn_full || kept || (writes && overload_lags(shard))) {
		overload->shed = true;
		env_turn_arm(&shard->turn); /* a turn that takes nothing ends as well */
		overload->refused++;
		shard->stats.requests++;
		shard->stats.retried++;
		return true;
	}
	overload->following += follows;
	overload->fresh += !follows;
	return false;
}

/* Once full, a turn stays so until its end: the server need not ask for each request. */
bool overload_fills(struct shard *shard, uint64_t now_us)
{
	struct overload *overload = &shard->overload;
	uint64_t spent_us = now_us - shard->turn_began_us;
	if (overload->turn_full) {
		return true;
	}
	if ((shard->turn_requests >= LIMIT_TURN_REQUESTS && spent_us >= LIMIT_TURN_MS * 1000) ||
	    wait_is_long(shard, now_us)) {
		if (now_us - overload->long_us < AGAIN_US) {
			overload_begin(shard, now_us);
		}
		overload->long_us = now_us;
		overload->turn_full = true;
	} else if (overload->on) {
		bool spent =
			shard->turn_requests >= LIMIT_OVERLOAD_REQUESTS && spent_us >= LIMIT_OVERLOAD_TURN_US;
		overload->turn_full = spent;
	}
	return overload->turn_full;
}

/* A timer, not the turn's hook: hooks run again and again before the loop reads its sockets. */
bool overload_spends(struct shard *shard, uint64_t now_us)
{
	if (env_timer_armed(&shard->turn_timer)) {
		return true;
	}
	bool spent = now_us - shard->turn_began_us >= LIMIT_TURN_MS * 1000 ||
		     now_us - shard->turn_asked_us >= LIMIT_REQUEST_LONG_MS * 1000;
	shard->turn_asked_us = now_us;
	if (spent) {
		env_timer_start_at(&shard->turn_timer, now_us);
		shard->spent_us = shard->spent_us == 0 ? now_us : shard->spent_us;
	}
	return spent;
}

/* Who may come in at all. Overload is answered at once with a retry code instead of
 * queueing (D15); a nearly full disk refuses writes early, while there is still room
 * for the log to live (D14). */
#include "engine/shard_private.h"

#include <assert.h>

#define SPACE_CHECK_US 1000000
#define OVERLOAD_WINDOW_US 200000
/* After so long an end is tried; twice as long when overload is back so soon. */
#define OVERLOAD_STAY_US 2000000
#define OVERLOAD_STAY_MAX_US 16000000
#define OVERLOAD_AGAIN_US 500000

/* Scripts are asked again when they have run: they may only read. */
static bool will_write(const struct request *request)
{
	for (size_t i = 0; i < request->command_count; i++) {
		if ((request->commands[i].command->flags & (COMMAND_WRITE | COMMAND_SCRIPT)) ==
		    COMMAND_WRITE) {
			return true;
		}
	}
	return false;
}

static bool may_write(const struct request *request)
{
	for (size_t i = 0; i < request->command_count; i++) {
		if ((request->commands[i].command->flags & (COMMAND_WRITE | COMMAND_SCRIPT)) != 0) {
			return true;
		}
	}
	return false;
}

static void overload_begin(struct overload *overload, uint64_t now_us)
{
	if (overload->on) {
		return;
	}
	bool again = overload->left_us != 0 && now_us - overload->left_us < OVERLOAD_AGAIN_US;
	uint64_t stay_us = again ? overload->stay_us * 2 : OVERLOAD_STAY_US;
	*overload =
		(struct overload){.on = true,
				  .turn_full = overload->turn_full,
				  .began_us = now_us,
				  .since_us = now_us,
				  .stay_us = stay_us < OVERLOAD_STAY_MAX_US ? stay_us : OVERLOAD_STAY_MAX_US,
				  .capacity = LIMIT_OVERLOAD_REQUESTS};
}

enum code admission_write(struct shard *shard)
{
	if (shard->space.low) {
		return CODE_NO_SPACE;
	}
	if (shard->apply.bytes > LIMIT_APPLY_LAG) {
		overload_begin(&shard->overload, env_now_us(shard->env));
		return CODE_OVERLOADED;
	}
	return CODE_NONE;
}

/* ---- more load than can be executed ----
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

void admission_turn(struct shard *shard, uint64_t now_us)
{
	struct overload *overload = &shard->overload;
	shard->turn_began_us = now_us;
	uint64_t age_us = now_us - overload->since_us;
	if (!overload->on || age_us < OVERLOAD_WINDOW_US) {
		return;
	}
	bool asked = age_us < 2 * OVERLOAD_WINDOW_US && overload->refused > overload->taken / 2;
	overload->on = asked && now_us - overload->began_us < overload->stay_us;
	overload->left_us = now_us;
	overload->since_us = now_us;
	overload->taken = overload->refused = 0;
}

static bool wait_is_long(const struct shard *shard, uint64_t now_us)
{
	const struct batch *oldest = &shard->batches[shard->first_waiting % BATCH_RING];
	return shard->stats.waiting >= LIMIT_WAIT_REQUESTS && !list_empty(&oldest->waiters) &&
	       now_us - oldest->opened_us >= LIMIT_WAIT_MS * 1000;
}

void admission_turn_end(struct shard *shard)
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

/* Under overload the door closes long before LIMIT_APPLY_LAG, beyond which scripts have run in vain. */
static bool lags(const struct shard *shard)
{
	return shard->overload.on && shard->apply.bytes > LIMIT_APPLY_LAG / 2;
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
	if (overload->turn_full || kept || (writes && lags(shard))) {
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
static bool turn_is_full(struct shard *shard, uint64_t now_us)
{
	struct overload *overload = &shard->overload;
	uint64_t spent_us = now_us - shard->turn_began_us;
	if (overload->turn_full) {
		return true;
	}
	if ((shard->turn_requests >= LIMIT_TURN_REQUESTS && spent_us >= LIMIT_TURN_MS * 1000) ||
	    wait_is_long(shard, now_us)) {
		if (now_us - overload->long_us < OVERLOAD_AGAIN_US) {
			overload_begin(overload, now_us);
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

enum code admission_check(struct shard *shard, const struct request *request, uint64_t now_us)
{
	if (shard->phase != PHASE_LEADING && shard->phase != PHASE_OPENING) {
		return shard->phase == PHASE_STOPPING ? CODE_STOPPING : CODE_NOT_LEADER;
	}
	if (now_us >= request->deadline_us) {
		return CODE_DEADLINE_PASSED;
	}
	if (shard->stats.admitted_bytes + request->admitted_bytes > LIMIT_ADMISSION_BYTES) {
		return CODE_OVERLOADED;
	}
	if (request->user.len > ONCE_USER_MAX) {
		return CODE_VALIDATION;
	}
	bool late = may_write(request) && lags(shard);
	enum code code = late || turn_is_full(shard, now_us) ? CODE_OVERLOADED : CODE_NONE;
	if (code == CODE_NONE && will_write(request)) {
		code = admission_write(shard);
	}
	shard->overload.taken += code == CODE_NONE;
	shard->overload.refused += code == CODE_OVERLOADED;
	return code;
}

/* ---- free space: asked on a lane, every second ---- */

static void space_run(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, space.work);
	struct space *space = &shard->space;
	uint64_t store_free = 0;
	space->status = env_free_space(shard->env, shard->config.log_dir, &space->free_bytes);
	if (space->status == 0 && shard->config.disk == NULL) {
		space->status = env_free_space(shard->env, shard->config.store_dir, &store_free);
		if (space->status == 0 && store_free < space->free_bytes) {
			space->free_bytes = store_free;
		}
	}
}

/* Half as much again must be free before writes are taken once more, so that the answer does not flutter. */
static void space_judge(struct shard *shard)
{
	struct space *space = &shard->space;
	uint64_t reserve = shard->config.space_reserve_bytes;
	if (space->status != 0) {
		return; /* not knowing is no reason to refuse; the log itself finds out */
	}
	bool low = space->free_bytes < (space->low ? reserve + reserve / 2 : reserve);
	if (low != space->low) {
		log_event(shard->log, LOG_WARN, low ? "space_low" : "space_back",
			  "free=%llu reserve=%llu dir=%s", (unsigned long long)space->free_bytes,
			  (unsigned long long)reserve, shard->config.log_dir);
		replica_set_room(shard->replica, !low); /* as leader it hands over, if another has room */
	}
	space->low = low;
}

static void space_done(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, space.work);
	shard->space.running = false;
	space_judge(shard);
}

void admission_space_open(struct shard *shard)
{
	space_run(&shard->space.work);
	space_judge(shard);
	shard->space.work.run = space_run;
	shard->space.work.done = space_done;
}

void admission_space_gone(struct shard *shard)
{
	shard->space.checked_us = 0;
	admission_space(shard);
}

void admission_space(struct shard *shard)
{
	uint64_t now_us = env_now_us(shard->env);
	if (shard->space.running || now_us - shard->space.checked_us < SPACE_CHECK_US) {
		return;
	}
	shard->space.checked_us = now_us;
	shard->space.running = true;
	env_lane_submit(shard->apply.flush_lane, &shard->space.work);
}

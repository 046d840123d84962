/* Who may come in at all. What is too much is answered at once with a retry code instead of
 * queueing (overload.c says when it is too much); a nearly full disk refuses writes early, while there
 * is still room for the log to live. */
#include "engine/shard_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define SPACE_CHECK_US 1000000

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

bool admission_tight(const struct shard *shard)
{
	return shard->space.low || shard->apply.bytes > LIMIT_APPLY_LAG;
}

enum code admission_write(struct shard *shard)
{
	if (shard->space.low) {
		return CODE_NO_SPACE;
	}
	if (shard->apply.bytes > LIMIT_APPLY_LAG) {
		overload_begin(shard, env_now_us(shard->env));
		return CODE_OVERLOADED;
	}
	return CODE_NONE;
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
	bool late = request_may_write(request) && overload_lags(shard);
	enum code code = late || overload_fills(shard, now_us) ? CODE_OVERLOADED : CODE_NONE;
	if (code == CODE_NONE && will_write(request)) {
		code = admission_write(shard);
	}
	shard->overload.taken += code == CODE_NONE;
	shard->overload.refused += code == CODE_OVERLOADED;
	return code;
}

/* What must be free for writes to be taken: half as much again once they were refused, so that the answer
 * does not flutter. */
static uint64_t space_needed(const struct shard *shard)
{
	uint64_t reserve = shard->config.space_reserve_bytes;
	return shard->space.low ? reserve + reserve / 2 : reserve;
}

void admission_refuse(struct shard *shard, struct request *request, enum code code)
{
	char details[320];
	uint64_t free_bytes = shard->space.free_bytes, needed = space_needed(shard);
	if (code != CODE_NO_SPACE || free_bytes >= needed) {
		release_refuse(shard, request, code, NULL);
		return;
	}
	/* Which node, and how much: who frees a little sees nothing change, and must know what is missing. */
	snprintf(details, sizeof details,
		 "\"reason\":\"%s\",\"node\":%" PRIu64 ",\"free_bytes\":%" PRIu64
		 ",\"needed_bytes\":%" PRIu64,
		 code_text(code), shard->config.node_id, free_bytes, needed);
	release_refuse(shard, request, code, details);
}

/* ---- free space: asked on a lane, every second ---- */

static void space_run(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, space.work);
	struct space *space = &shard->space;
	uint64_t store_free = 0;
	space->asked_status = env_free_space(shard->env, shard->config.log_dir, &space->asked_bytes);
	if (space->asked_status == 0 && shard->config.disk == NULL) {
		space->asked_status = env_free_space(shard->env, shard->config.store_dir, &store_free);
		if (space->asked_status == 0 && store_free < space->asked_bytes) {
			space->asked_bytes = store_free;
		}
	}
}

static void space_judge(struct shard *shard)
{
	struct space *space = &shard->space;
	if (space->status != 0 && !shard->apply.waits) {
		return; /* not knowing is no reason to refuse; the log itself finds out */
	}
	/* What is free may be over the reserve and less than the database asks for at once. */
	bool low = shard->apply.waits || space->free_bytes < space_needed(shard);
	if (low == space->low) {
		return;
	}
	space->low = low;
	log_event(shard->log, LOG_WARN, low ? "space_low" : "space_back",
		  "free=%" PRIu64 " needed=%" PRIu64 " reserve=%" PRIu64 " dir=%s%s", space->free_bytes,
		  space_needed(shard), shard->config.space_reserve_bytes, shard->config.log_dir,
		  low ? " writes are refused: free space, or on a small disk set space-reserve and segment smaller"
		      : "");
	replica_set_room(shard->replica, !low); /* as leader it hands over, if another has room */
}

static void space_take(struct shard *shard)
{
	struct space *space = &shard->space;
	assert(!space->running);
	space->status = space->asked_status;
	space->free_bytes = space->asked_bytes;
	space_judge(shard);
}

static void space_done(struct env_work *work)
{
	struct shard *shard = list_entry(work, struct shard, space.work);
	shard->space.running = false;
	space_take(shard);
}

void admission_space_open(struct shard *shard)
{
	space_run(&shard->space.work);
	space_take(shard);
	shard->space.work.run = space_run;
	shard->space.work.done = space_done;
}

void admission_space_gone(struct shard *shard)
{
	space_judge(shard);
	shard->space.checked_us = 0;
	admission_space(shard);
}

void admission_space_stats(const struct shard *shard, struct shard_stats *stats)
{
	stats->space_free_bytes = shard->space.free_bytes;
	stats->space_needed_bytes = space_needed(shard);
	stats->space_low = shard->space.low;
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

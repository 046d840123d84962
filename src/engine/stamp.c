#include "engine/stamp.h"

#include <assert.h>

void stamp_init(struct stamp *stamp, uint64_t last_ms, uint64_t now_us)
{
	stamp->last_ms = last_ms;
	stamp->seen_us = now_us;
	stamp->shown_ms = last_ms;
	stamp->agreed_ms = 0;
}

void stamp_observe(struct stamp *stamp, uint64_t stamp_ms, uint64_t now_us)
{
	if (stamp_ms <= stamp->last_ms) {
		return;
	}
	stamp->last_ms = stamp_ms;
	stamp->seen_us = now_us;
	if (stamp->shown_ms < stamp_ms) {
		stamp->shown_ms = stamp_ms;
	}
	assert(stamp->shown_ms >= stamp->last_ms);
}

void stamp_agree(struct stamp *stamp, uint64_t agreed_ms)
{
	stamp->agreed_ms = agreed_ms;
}

static uint64_t bounded(const struct stamp *stamp, uint64_t wall_ms, uint64_t now_us)
{
	if (stamp->last_ms == 0 && stamp->agreed_ms == 0) {
		return wall_ms; /* an empty database believes the first clock it meets */
	}
	uint64_t elapsed_ms = now_us > stamp->seen_us ? (now_us - stamp->seen_us) / 1000 : 0;
	uint64_t limit = stamp->last_ms + elapsed_ms + STAMP_STEP_MS;
	limit = stamp->agreed_ms > limit ? stamp->agreed_ms : limit;
	return wall_ms < limit ? wall_ms : limit;
}

uint64_t stamp_take(struct stamp *stamp, uint64_t wall_ms, uint64_t now_us)
{
	uint64_t taken = bounded(stamp, wall_ms, now_us);
	if (taken < stamp->shown_ms) {
		taken = stamp->shown_ms;
	}
	assert(taken >= stamp->last_ms); /* time never goes back */
	stamp->shown_ms = taken;
	return taken;
}

uint64_t stamp_lag_ms(const struct stamp *stamp, uint64_t wall_ms, uint64_t now_us)
{
	uint64_t reachable = bounded(stamp, wall_ms, now_us);
	return wall_ms > reachable ? wall_ms - reachable : 0;
}

uint64_t stamp_ahead_ms(const struct stamp *stamp, uint64_t wall_ms)
{
	return stamp->shown_ms > wall_ms ? stamp->shown_ms - wall_ms : 0;
}

/* The shard's time: one stamp a batch, chosen by the leader, never falling.
 *
 * A stamp is max(last, wall clock), but advances over the last entry's stamp by at
 * most the monotonic time that went by since we saw it and one second an entry, so
 * that a single bad clock cannot freeze time for all that follow; only where the clocks of a majority agree it
 * jumps, as after a stop of all (docs/decisions/0011). What a read was shown is a floor: later stamps are never
 * below it. Pure: clocks are arguments. */
#ifndef ENGINE_STAMP_H
#define ENGINE_STAMP_H

#include <stdint.h>

#define STAMP_STEP_MS 1000 /* what one entry may add beyond elapsed time */

struct stamp {
	uint64_t last_ms;  /* of the newest entry or frame seen; 0: none yet */
	uint64_t seen_us;  /* monotonic time when last_ms was learned */
	uint64_t shown_ms; /* highest stamp handed out, also to batches that stayed empty */
	uint64_t agreed_ms; /* what the clocks of a majority have reached; 0: not known */
};

void stamp_init(struct stamp *stamp, uint64_t last_ms, uint64_t now_us);
/* An entry or a peer's frame carried stamp_ms. */
void stamp_observe(struct stamp *stamp, uint64_t stamp_ms, uint64_t now_us);
/* The clocks of a majority have reached agreed_ms: so far the wall clock is believed. */
void stamp_agree(struct stamp *stamp, uint64_t agreed_ms);
/* The stamp of a batch that opens now. It is shown from now on; stamp_observe it when it is proposed. */
uint64_t stamp_take(struct stamp *stamp, uint64_t wall_ms, uint64_t now_us);
/* How far the shard's time is held behind the wall clock by the bound. */
uint64_t stamp_lag_ms(const struct stamp *stamp, uint64_t wall_ms, uint64_t now_us);
/* How far it is ahead of the wall clock, for which it waits: it stands still meanwhile. */
uint64_t stamp_ahead_ms(const struct stamp *stamp, uint64_t wall_ms);

#endif /* ENGINE_STAMP_H */

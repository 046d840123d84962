/* Term and vote, in two copies.
 *
 * One file, "vote", with two slots at 0 and 4096. A change is written and
 * synced into slot A, from then on it is durable; then into slot B. One state
 * is in both slots before the next one touches slot A, so at every moment one
 * slot that verifies holds at least what was last promised, and one flipped bit
 * does not bring an older vote back. Of two that verify the later one counts.
 *
 *   offset  size  field (little-endian)
 *   0       8     XXH3-64 of bytes 8..64, seeded with the slot's offset
 *   8       8     "TALLYVOT"
 *   16      4     version, 1
 *   20      4     zero
 *   24      8     sequence: one more with each change
 *   32      8     current term
 *   40      8     member voted for in this term, 0 for none
 *   48      8     log id, as in every segment
 *   56      8     zero
 *
 * The file is made under another name and renamed once both slots are durable.
 * An open writes both slots again: what is read may be in memory only, left by
 * a sync that failed before the process ended. */
#ifndef RAFT_WAL_HARDSTATE_H
#define RAFT_WAL_HARDSTATE_H

#include "env/env.h"

struct hardstate {
	uint64_t sequence, term, voted_for, log_id;
};
enum hardstate_slot { HARDSTATE_A, HARDSTATE_B };

/* Blocking. ERR_NOT_FOUND when dir has none; ERR_CORRUPT when no slot verifies; else errors of env. */
int hardstate_open(struct env *env, const char *dir, struct hardstate *state, struct env_file **file,
		   struct err *err);
/* Blocking; dir exists and has none. */
int hardstate_create(struct env *env, const char *dir, const struct hardstate *state, struct err *err);
/* Writes and syncs one slot; blocking, for a lane or start-up. After a failure nothing may be assumed. */
int hardstate_store(struct env_file *file, enum hardstate_slot slot, const struct hardstate *state);

#define HARDSTATE_BYTES 64
void hardstate_encode(uint8_t out[HARDSTATE_BYTES], enum hardstate_slot slot, const struct hardstate *state);
int hardstate_decode(struct slice bytes, enum hardstate_slot slot, struct hardstate *state);

#endif /* RAFT_WAL_HARDSTATE_H */

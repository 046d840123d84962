/* Term and vote: the file "vote" in the log's directory, in two copies (raft/copies.h),
 * at 0 and 4096. Slot A is written first, so what was promised is in it or in both.
 *
 *   offset  size  field (little-endian)
 *   0       32    head of a copy: "TALLYVOT", version 1, sequence
 *   32      8     current term
 *   40      8     member voted for in this term, 0 for none
 *   48      8     log id, as in every segment
 *   56      8     zero */
#ifndef RAFT_WAL_HARDSTATE_H
#define RAFT_WAL_HARDSTATE_H

#include "env/env.h"
#include "raft/copies.h"

struct hardstate {
	uint64_t sequence, term, voted_for, log_id;
};

/* Blocking; both copies are durable afterwards. ERR_NOT_FOUND when dir has none; else as copies_open. */
int hardstate_open(struct env *env, const char *dir, struct hardstate *state, struct env_file **file,
		   struct err *err);
/* Blocking; dir exists and has none. */
int hardstate_create(struct env *env, const char *dir, const struct hardstate *state, struct err *err);
/* Writes and syncs one slot; blocking, for a lane or start-up. After a failure nothing may be assumed. */
int hardstate_store(struct env_file *file, enum copies_slot slot, const struct hardstate *state);

#define HARDSTATE_BYTES 64
void hardstate_encode(uint8_t out[HARDSTATE_BYTES], enum copies_slot slot, const struct hardstate *state);
int hardstate_decode(struct slice bytes, enum copies_slot slot, struct hardstate *state);

#endif /* RAFT_WAL_HARDSTATE_H */

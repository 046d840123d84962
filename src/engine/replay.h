/* A reply kept in RESP3, written again for whoever asks now: in the protocol of
 * the asker, and marked when it is not the first time (docs/protocol.md).
 *
 * RESP3 to RESP2 follows Redis 7 (a map is a flat array); the result of CALL is one
 * bulk string of JSON. Only CALL's map has room for a mark: "replayed": true. */
#ifndef ENGINE_REPLAY_H
#define ENGINE_REPLAY_H

#include "base/arena.h"
#include "engine/request.h"

/* What the kept bytes answered. */
struct replay {
	struct slice kept;                      /* one RESP3 reply */
	const struct request_command *commands; /* of the request, whose fingerprint is the same */
	size_t command_count;
	bool exec;                  /* an array of their replies */
	const struct command *call; /* the command CALL */
	bool mark;
};
/* ERR_CORRUPT when kept is no reply; nothing is written then. */
int replay_write(const struct replay *replay, struct arena *arena, struct reply *out);

#endif /* ENGINE_REPLAY_H */

/* Requests and answers between nodes: how a request that one node took travels
 * to the leader's. Whole requests: protocol, database, user, prefixes, what is
 * left of the deadline, commands, watched versions.
 *
 *   request   offset  size
 *             0       1     version, 1
 *             1       1     kind: enum request_kind
 *             2       1     protocol, 2 or 3
 *             3       1     database, 0 to 15
 *             4       1     flags: 1 settle, 2 dryrun, 4 explain, 8 a request id follows the user
 *             5       3     zero
 *             8       4     what is left of the deadline, ms, at least 1
 *             12            user; request id when flagged; number of commands, each: database (1 byte),
 *                           number of words, the words; number of watches, each: database (1 byte),
 *                           version (8), key
 *   answer    0       1     version, 1
 *             1       1     outcome
 *             2       1     code
 *             3       1     flags: 1 wrote, 2 replayed
 *             4       4     ordinal
 *             8       8     index
 *             16            the reply's bytes, to the end
 *
 * Numbers are varints, words are a length and bytes. Every length is checked
 * against what is there and against base/limits.h; a byte too many is an error too. */
#ifndef SERVER_FORWARD_H
#define SERVER_FORWARD_H

#include "base/arena.h"
#include "engine/request.h"

/* Appends the frame; false when it is over out's bound. */
bool forward_encode(struct buf *out, const struct request *request, uint64_t left_ms);
/* Writes what is left of the deadline into a frame made earlier. */
void forward_set_deadline(struct buf *frame, uint64_t left_ms);
/* Fills kind, protocol, db, user, envelope, commands and watches of request; arrays from
 * arena, bytes borrowed from frame. ERR_INVALID for every frame that forward_encode
 * cannot have made; ERR_VERSION for another version. *unknown is set when a command is not
 * in our table (an older node's, or a newer one's). */
int forward_decode(struct slice frame, struct arena *arena, struct request *request, bool *unknown);

void forward_encode_answer(struct buf *out, const struct request *request);
/* Fills outcome, code, index, ordinal, wrote, replayed and the reply (copied). The code is CODE_NONE when it
 * is a later version's. */
int forward_decode_answer(struct slice frame, struct request *request);

#endif /* SERVER_FORWARD_H */

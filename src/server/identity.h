/* Whose data a directory holds. The first thing a node does: makes the
 * directory, locks it against a second process, and reads or writes who it is,
 * so that the data of another node, another cluster or a newer format is
 * refused before a byte of it is used.
 *
 * The file `identity` is text, one field a line:
 *
 *   tally-data 1                      format; a higher number is a newer tallyd's
 *   cluster 00112233445566aa          id of the cluster, hexadecimal
 *   node 1
 *   incarnation 0123456789abcdef      drawn once, when the directory was made: half of INFO's run_id; which
 *                                     start this is, raft/peer/lives.h knows
 *   check 0123456789abcdef            XXH3-64 of the lines above, hexadecimal
 *
 * It is written to `identity.new`, synced, renamed, and the directory and its
 * parent are synced: after a power cut it is whole or absent, never half. */
#ifndef SERVER_IDENTITY_H
#define SERVER_IDENTITY_H

#include "env/env.h"

struct identity {
	struct env_lock *lock;
	uint64_t cluster_id, node_id, incarnation;
	bool fresh; /* written by this start */
};

/* Blocking; while a node opens. On failure err is one line for the operator and nothing is held. */
int identity_open(struct env *env, const char *dir, uint64_t cluster_id, uint64_t node_id, bool bootstrap,
		  struct identity *identity, struct err *err);
void identity_close(struct identity *identity);
/* Whether it was there and is not any more: the directory was removed or emptied, or what was mounted there is not.
 * Blocking; for the last line of a node. */
bool identity_is_gone(struct env *env, const char *dir);

#endif /* SERVER_IDENTITY_H */

/* Configurations: who the members are. The bytes are the core's own encoding
 * (raft_configuration_encode), the same on every member; a configuration from
 * outside is checked here, because the core decodes without looking at bounds. */
#ifndef RAFT_MEMBER_H
#define RAFT_MEMBER_H

#include <raft.h>

#include "base/buf.h"
#include "raft/replica.h"

#define CONFIGURATION_BYTES_MAX KIB(8)

/* 0, or ERR_INVALID when these bytes are no configuration of 1 to LIMIT_MEMBERS servers. */
int member_check(struct slice encoded);
/* Checked bytes into the core's struct, which the caller closes or hands over. */
void member_decode(struct slice encoded, struct raft_configuration *configuration);
/* The bootstrap configuration: all voters, sorted by id (asserted). */
void member_encode(const struct replica_member *members, size_t count, struct buf *out);
/* The voters; true when id is the only one. */
bool member_is_only_voter(struct slice encoded, uint64_t id);
bool member_votes(const struct raft_configuration *configuration, uint64_t id);
unsigned member_voters(const struct raft_configuration *configuration);

#endif /* RAFT_MEMBER_H */

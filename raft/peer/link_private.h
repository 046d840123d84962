/* What link.c and batch.c share: the batches of a link. */
#ifndef RAFT_PEER_LINK_PRIVATE_H
#define RAFT_PEER_LINK_PRIVATE_H

#include "raft/peer/link.h"

/* batch.c */
void link_batches_init(struct link *link);
/* Env is done with all of them, or dead. */
void link_batches_fini(struct link *link);
/* What was put together and not given to env is gone. */
void link_forget_unsent(struct link *link);
void link_pong(struct link *link);

#endif /* RAFT_PEER_LINK_PRIVATE_H */

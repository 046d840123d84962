/* INFO: what a node knows about itself, in Redis' sections and one of ours, so that Redis' tools understand
 * it; and ROLE, in which health checks look for the one that leads. */
#ifndef SERVER_INFO_H
#define SERVER_INFO_H

#include "server/local.h"

void info_command(struct local_call *call);
/* MEMORY STATS: the numbers of INFO memory as a map. */
void info_memory_stats(struct local_call *call);
/* ROLE: who leads is the master, who follows is its slave. */
void info_role(struct local_call *call);

#endif /* SERVER_INFO_H */

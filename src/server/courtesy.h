/* What Redis' clients and tools ask of a server in passing, and Tally has little of: ACL, CLUSTER,
 * DEBUG, LATENCY, LASTSAVE, LOLWUT, MODULE, and MEMORY without USAGE.
 *
 * The answers are those of a Redis that has one user without a password, no cluster mode, no latency
 * monitor and no modules: all of that is true here. What would change anything is an unknown subcommand. */
#ifndef SERVER_COURTESY_H
#define SERVER_COURTESY_H

#include "server/local.h"

void acl_cat(struct local_call *call);
void acl_getuser(struct local_call *call);
void acl_list(struct local_call *call);
void acl_users(struct local_call *call);
void acl_whoami(struct local_call *call);
void acl_help(struct local_call *call);
/* Every subcommand: there is no cluster mode, any node takes every key. */
void cluster_disabled(struct local_call *call);
void latency_empty(struct local_call *call); /* HISTORY, LATEST */
void latency_histogram(struct local_call *call);
void latency_doctor(struct local_call *call);
void latency_graph(struct local_call *call);
void latency_reset(struct local_call *call);
void latency_help(struct local_call *call);
void memory_doctor(struct local_call *call);
void memory_malloc_stats(struct local_call *call);
void module_list(struct local_call *call);
void module_help(struct local_call *call);
/* What is acknowledged is on disk, so the last save is always now. */
void lastsave(struct local_call *call);
void lolwut(struct local_call *call);
void debug_denied(struct local_call *call);

#endif /* SERVER_COURTESY_H */

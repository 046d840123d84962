/* CLIENT and its subcommands: who is connected, and what becomes of them. */
#ifndef SERVER_CLIENT_COMMAND_H
#define SERVER_CLIENT_COMMAND_H

#include "server/local.h"

void client_id(struct local_call *call);
void client_getname(struct local_call *call);
void client_setname(struct local_call *call);
void client_setinfo(struct local_call *call);
void client_list(struct local_call *call);
void client_info(struct local_call *call);
void client_kill(struct local_call *call);
void client_reply(struct local_call *call);
void client_no_evict(struct local_call *call);
void client_getredir(struct local_call *call);
void client_tracking(struct local_call *call);
void client_trackinginfo(struct local_call *call);
void client_caching(struct local_call *call);
void client_unblock(struct local_call *call);
void client_pause(struct local_call *call);
void client_help(struct local_call *call);

#endif /* SERVER_CLIENT_COMMAND_H */

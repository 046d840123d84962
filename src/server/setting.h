/* CONFIG: the node's settings in the words of Redis, for tools that ask.
 *
 * GET tells what a Redis of this kind would have, and some of ours under `tally-`. Settings never change
 * while a node runs: SET is refused, and says of what it does not know that it does not know it. RESETSTAT
 * clears the counters of INFO. */
#ifndef SERVER_SETTING_H
#define SERVER_SETTING_H

#include "server/local.h"

void setting_get(struct local_call *call);
void setting_set(struct local_call *call);
void setting_resetstat(struct local_call *call);
void setting_rewrite(struct local_call *call);
void setting_help(struct local_call *call);

#endif /* SERVER_SETTING_H */

/* Between compass.c, which looks for a node that serves us, and compass_watch.c, which looks whether it
 * still does. */
#ifndef CLIENT_COMPASS_PRIVATE_H
#define CLIENT_COMPASS_PRIVATE_H

#include "client/compass.h"

/* Brings the channels in line with the target: as many as asked for go there, the others retire. */
void compass_connect(struct compass *compass);
/* Begins a search. quiet: the target goes on serving meanwhile; one under way stays quiet if this is too. */
void compass_seek(struct compass *compass, bool quiet);
/* One look at all channels, which may begin a search. True while something waits for an answer, so that the
 * look must be repeated. */
bool compass_watch(struct compass *compass, uint64_t now_us);

#endif /* CLIENT_COMPASS_PRIVATE_H */

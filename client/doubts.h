/* Ids of which this client does not know what became: their call ended UNKNOWN. The next call under such an
 * id is held as a repeat of that call, for a copy of it may still be under way: its refusals are kept
 * (SETTLE), and it ends UNKNOWN, too, when no answer comes.
 *
 * Each start asks, so the answer costs a look at one set of four: of ids that share one the oldest is
 * forgotten. */
#ifndef CLIENT_DOUBTS_H
#define CLIENT_DOUBTS_H

#include "base/slice.h"

#define DOUBTS_SETS 1024 /* a thousand ids are held, all but a few in a hundred */
#define DOUBTS_WAYS 4

struct doubts {
	uint64_t ids[DOUBTS_SETS][DOUBTS_WAYS]; /* checksums, the newest first; one taken for another costs a
						   kept refusal */
	size_t count;
};

void doubts_add(struct doubts *doubts, struct slice id);
bool doubts_hold(const struct doubts *doubts, struct slice id);
/* What became of it is known now. Harmless when it is not held. */
void doubts_remove(struct doubts *doubts, struct slice id);

#endif /* CLIENT_DOUBTS_H */

/* Ids of which this client does not know what became: their call ended UNKNOWN. The next call under such an
 * id is held as a repeat of that call, for a copy of it may still be under way: its refusals are kept
 * (SETTLE), and it ends UNKNOWN, too, when no answer comes. */
#ifndef CLIENT_DOUBTS_H
#define CLIENT_DOUBTS_H

#include "base/slice.h"

#define DOUBTS_MAX 1024 /* beyond them an old one is forgotten */

struct doubts {
	uint64_t ids[DOUBTS_MAX]; /* checksums: one taken for another costs a kept refusal */
	size_t count, next;       /* next: to be forgotten, when full */
};

void doubts_add(struct doubts *doubts, struct slice id);
bool doubts_hold(const struct doubts *doubts, struct slice id);
/* What became of it is known now. Harmless when it is not held. */
void doubts_remove(struct doubts *doubts, struct slice id);

#endif /* CLIENT_DOUBTS_H */

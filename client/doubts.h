/* Requests of which this client does not know what became: their call ended UNKNOWN. Each is known by a sum,
 * of its id, or of a procedure and its arguments, for the id may be among these. The next call of such a sum
 * is held as a repeat of that call, for a copy of it may still be under way: its refusals are kept (SETTLE),
 * and it ends UNKNOWN, too, when no answer comes.
 *
 * Each start asks, so the answer costs a look at one set of four: of those that share one the oldest is
 * forgotten. */
#ifndef CLIENT_DOUBTS_H
#define CLIENT_DOUBTS_H

#include "base/slice.h"

#define DOUBTS_SETS 1024 /* a thousand are held, all but a few in a hundred */
#define DOUBTS_WAYS 4

struct doubts {
	uint64_t sums[DOUBTS_SETS]
		     [DOUBTS_WAYS]; /* the newest first; one taken for another costs a kept refusal
				     */
	size_t count;
};

/* Of a word, and of more: before is the sum of those in front of it, or 0. Never 0, which is no request's. */
uint64_t doubts_sum(struct slice word, uint64_t before);

void doubts_add(struct doubts *doubts, uint64_t sum);
bool doubts_hold(const struct doubts *doubts, uint64_t sum);
/* What became of it is known now. Harmless when it is not held. */
void doubts_remove(struct doubts *doubts, uint64_t sum);

#endif /* CLIENT_DOUBTS_H */

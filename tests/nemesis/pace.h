/* When the clients of the nemesis ask next: after a think time of their own, or, at a bounded rate, in waves.
 *
 * A wave is one moment at which every client asks that has its answer, so that the operations of a paced run
 * race each other as those of an unpaced one do, and the nodes make one batch of many. Waves come at
 * irregular distances: nothing else in a cluster beats in their time. */
#ifndef TESTS_NEMESIS_PACE_H
#define TESTS_NEMESIS_PACE_H

#include "base/prng.h"

struct pace {
	unsigned clients;
	unsigned rate;     /* operations a second of all clients together, at most; 0: no bound */
	unsigned think_ms; /* without a bound: a client waits at most so long, drawn */
	uint64_t wave_ms;  /* the next one; 0 before the first question */
};

/* How long a client waits that has its answer now. */
uint64_t pace_wait_ms(struct pace *pace, struct prng *prng, uint64_t now_ms);

#endif /* TESTS_NEMESIS_PACE_H */

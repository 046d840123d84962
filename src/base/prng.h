/* xoshiro256** (Blackman and Vigna, public domain), seeded through
 * splitmix64. Deterministic; not for secrets. */
#ifndef BASE_PRNG_H
#define BASE_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
	uint64_t state[4];
};

void prng_init(struct prng *p, uint64_t seed);
uint64_t prng_next(struct prng *p);
/* Uniform in [0, bound); bound > 0. */
uint64_t prng_below(struct prng *p, uint64_t bound);
/* True with probability parts / of. */
bool prng_chance(struct prng *p, uint32_t parts, uint32_t of);
void prng_fill(struct prng *p, void *bytes, size_t len);

#endif /* BASE_PRNG_H */

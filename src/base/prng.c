#include "base/prng.h"

#include <assert.h>
#include <string.h>

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void prng_init(struct prng *p, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++) {
		p->state[i] = splitmix(&seed);
	}
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t prng_next(struct prng *p)
{
	uint64_t *s = p->state;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t prng_below(struct prng *p, uint64_t bound)
{
	assert(bound > 0);
	/* Rejects the part of the range that would favour small values. */
	uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
	uint64_t value;
	do {
		value = prng_next(p);
	} while (value >= limit);
	return value % bound;
}

bool prng_chance(struct prng *p, uint32_t parts, uint32_t of)
{
	assert(of > 0);
	return prng_below(p, of) < parts;
}

void prng_fill(struct prng *p, void *bytes, size_t len)
{
	uint8_t *to = bytes;
	while (len > 0) {
		uint64_t value = prng_next(p);
		size_t part = len < 8 ? len : 8;
		for (size_t i = 0; i < part; i++) {
			to[i] = (uint8_t)(value >> (8 * i));
		}
		to += part;
		len -= part;
	}
}

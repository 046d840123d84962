#include "client/id.h"

#include <assert.h>

/* Two ids of one millisecond differ in a counter of this many bits. */
#define COUNT_MAX 4096u
/* The clock may be set back a little without ids falling; a large correction is
 * followed, or the server would refuse the ids as made in the future. */
#define BACKWARD_MAX_MS 1000u

void id_maker_init(struct id_maker *maker, struct prng *prng)
{
	maker->prng = prng;
	maker->last_ms = 0;
	maker->count = 0;
}

static void id_advance(struct id_maker *maker, uint64_t wall_ms)
{
	if (wall_ms > maker->last_ms || wall_ms + BACKWARD_MAX_MS < maker->last_ms) {
		maker->last_ms = wall_ms;
		maker->count = 0;
		return;
	}
	maker->count++;
	if (maker->count == COUNT_MAX) {
		maker->last_ms++;
		maker->count = 0;
	}
}

void id_make(struct id_maker *maker, uint64_t wall_ms, char text[ID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	id_advance(maker, wall_ms);
	assert(maker->count < COUNT_MAX);
	/* time 48 | version 4 | count 12 || variant 2 | random 62 (RFC 9562, 5.7) */
	uint64_t high = (maker->last_ms << 16) | 0x7000u | maker->count;
	uint64_t low = (prng_next(maker->prng) >> 2) | (UINT64_C(2) << 62);
	size_t at = 0;
	for (unsigned nibble = 0; nibble < 32; nibble++) {
		if (nibble == 8 || nibble == 12 || nibble == 16 || nibble == 20) {
			text[at++] = '-';
		}
		uint64_t half = nibble < 16 ? high : low;
		text[at++] = digits[(half >> (60 - 4 * (nibble % 16))) & 15];
	}
	assert(at == ID_TEXT);
}

#include "tests/nemesis/pace.h"

#include <assert.h>

/* From half the mean distance to one and a half. */
static uint64_t distance_ms(const struct pace *pace, struct prng *prng)
{
	uint64_t mean_us = UINT64_C(1000000) * pace->clients / pace->rate;
	uint64_t drawn_us = mean_us / 2 + prng_below(prng, mean_us + 1);
	/* Rounded by chance: a mean of 2.5 ms stays one. */
	return drawn_us / 1000 + (prng_below(prng, 1000) < drawn_us % 1000);
}

uint64_t pace_wait_ms(struct pace *pace, struct prng *prng, uint64_t now_ms)
{
	assert(pace->clients > 0);
	if (pace->rate == 0) {
		return prng_below(prng, pace->think_ms + 1);
	}
	if (pace->wave_ms == 0) {
		pace->wave_ms = now_ms;
	}
	while (pace->wave_ms <= now_ms) {
		pace->wave_ms += distance_ms(pace, prng);
	}
	return pace->wave_ms - now_ms;
}

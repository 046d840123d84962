#include "client/doubts.h"

#include <assert.h>

#include "base/checksum.h"

/* 0 is an empty place. */
uint64_t doubts_sum(struct slice word, uint64_t before)
{
	uint64_t sum = checksum64_at(word, before);
	return sum != 0 ? sum : 1;
}

/* Its place in its set, or DOUBTS_WAYS. */
static size_t doubts_find(const struct doubts *doubts, uint64_t sum)
{
	const uint64_t *set = doubts->sums[sum % DOUBTS_SETS];
	size_t at = 0;
	while (at < DOUBTS_WAYS && set[at] != sum) {
		at++;
	}
	return at;
}

void doubts_add(struct doubts *doubts, uint64_t sum)
{
	uint64_t *set = doubts->sums[sum % DOUBTS_SETS];
	assert(sum != 0);
	if (doubts_find(doubts, sum) < DOUBTS_WAYS) {
		return;
	}
	doubts->count += set[DOUBTS_WAYS - 1] == 0;
	memmove(set + 1, set, (DOUBTS_WAYS - 1) * sizeof(*set));
	set[0] = sum;
}

bool doubts_hold(const struct doubts *doubts, uint64_t sum)
{
	assert(sum != 0);
	return doubts->count > 0 && doubts_find(doubts, sum) < DOUBTS_WAYS;
}

void doubts_remove(struct doubts *doubts, uint64_t sum)
{
	uint64_t *set = doubts->sums[sum % DOUBTS_SETS];
	size_t at = doubts_find(doubts, sum);
	assert(sum != 0);
	if (at < DOUBTS_WAYS) {
		memmove(set + at, set + at + 1, (DOUBTS_WAYS - 1 - at) * sizeof(*set));
		set[DOUBTS_WAYS - 1] = 0;
		doubts->count--;
	}
}

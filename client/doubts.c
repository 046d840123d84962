#include "client/doubts.h"

#include "base/checksum.h"

/* 0 is an empty place. */
static uint64_t doubts_sum(struct slice id)
{
	uint64_t sum = checksum64(id);
	return sum != 0 ? sum : 1;
}

/* Its place in its set, or DOUBTS_WAYS. */
static size_t doubts_find(const struct doubts *doubts, uint64_t sum)
{
	const uint64_t *set = doubts->ids[sum % DOUBTS_SETS];
	size_t at = 0;
	while (at < DOUBTS_WAYS && set[at] != sum) {
		at++;
	}
	return at;
}

void doubts_add(struct doubts *doubts, struct slice id)
{
	uint64_t sum = doubts_sum(id);
	uint64_t *set = doubts->ids[sum % DOUBTS_SETS];
	if (doubts_find(doubts, sum) < DOUBTS_WAYS) {
		return;
	}
	doubts->count += set[DOUBTS_WAYS - 1] == 0;
	memmove(set + 1, set, (DOUBTS_WAYS - 1) * sizeof(*set));
	set[0] = sum;
}

bool doubts_hold(const struct doubts *doubts, struct slice id)
{
	return doubts->count > 0 && doubts_find(doubts, doubts_sum(id)) < DOUBTS_WAYS;
}

void doubts_remove(struct doubts *doubts, struct slice id)
{
	uint64_t sum = doubts_sum(id);
	uint64_t *set = doubts->ids[sum % DOUBTS_SETS];
	size_t at = doubts_find(doubts, sum);
	if (at < DOUBTS_WAYS) {
		memmove(set + at, set + at + 1, (DOUBTS_WAYS - 1 - at) * sizeof(*set));
		set[DOUBTS_WAYS - 1] = 0;
		doubts->count--;
	}
}

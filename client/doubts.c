#include "client/doubts.h"

#include "base/checksum.h"

/* Its place, or count. */
static size_t doubts_find(const struct doubts *doubts, uint64_t sum)
{
	size_t at = 0;
	while (at < doubts->count && doubts->ids[at] != sum) {
		at++;
	}
	return at;
}

void doubts_add(struct doubts *doubts, struct slice id)
{
	uint64_t sum = checksum64(id);
	if (doubts_find(doubts, sum) < doubts->count) {
		return;
	}
	if (doubts->count < DOUBTS_MAX) {
		doubts->ids[doubts->count++] = sum;
		return;
	}
	doubts->ids[doubts->next] = sum;
	doubts->next = (doubts->next + 1) % DOUBTS_MAX;
}

bool doubts_hold(const struct doubts *doubts, struct slice id)
{
	return doubts->count > 0 && doubts_find(doubts, checksum64(id)) < doubts->count;
}

void doubts_remove(struct doubts *doubts, struct slice id)
{
	size_t at = doubts_find(doubts, checksum64(id));
	if (at < doubts->count) {
		doubts->ids[at] = doubts->ids[--doubts->count];
		doubts->next = 0;
	}
}

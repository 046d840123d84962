#include "client/tool/shops.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

/* More than a quarter of a second of a rate that two cores can offer. */
#define SLOTS 262144

void shops_cb(struct tally_call *call)
{
	struct shops_slot *slot = call->data;
	struct shops *shops = slot->shops;
	enum tally_outcome outcome = tally_call_outcome(call);
	uint64_t latency_us = tally_call_latency_us(call);
	slot->next = shops->free;
	shops->free = slot;
	shops->under_way--;
	shops->loop.answered(shops->loop.owner,
			     outcome == TALLY_DONE    ? OPENLOOP_DONE
			     : outcome == TALLY_RETRY ? OPENLOOP_RETRY
						      : OPENLOOP_OTHER,
			     latency_us);
}

static bool shops_ask(struct openloop *loop, uint64_t seq, uint64_t now_us)
{
	(void)now_us;
	struct shops *shops = list_entry(loop, struct shops, loop);
	struct shops_slot *slot = shops->free;
	if (slot == NULL) {
		return false;
	}
	shops->free = slot->next;
	shops->under_way++;
	shops->start(slot, seq);
	return true;
}

void shops_open(struct shops *shops)
{
	shops->slots = calloc(SLOTS, sizeof(*shops->slots));
	if (shops->slots == NULL) {
		fatal("out of memory for %d calls", SLOTS);
	}
	for (size_t i = SLOTS; i > 0; i--) {
		struct shops_slot *slot = &shops->slots[i - 1];
		slot->shops = shops;
		slot->call.data = slot;
		slot->next = shops->free;
		shops->free = slot;
	}
	shops->loop.ask = shops_ask;
	openloop_start(&shops->loop);
}

void shops_close(struct shops *shops)
{
	openloop_stop(&shops->loop);
}

bool shops_is_closed(void *owner)
{
	return ((struct shops *)owner)->under_way == 0;
}

void shops_fini(struct shops *shops)
{
	assert(shops->under_way == 0);
	free(shops->slots);
}

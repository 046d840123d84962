/* An open loop through libtally: shops whose buyers come whether or not the cluster keeps up. Each call has
 * the time of a buyer who watches, and is asked once; what the client refuses by itself counts like a node's
 * refusal. */
#ifndef CLIENT_TOOL_SHOPS_H
#define CLIENT_TOOL_SHOPS_H

#include "client/tally.h"
#include "client/tool/openloop.h"

#define SHOPS_TIMEOUT_MS 250

struct shops_slot {
	struct tally_call call;
	struct shops *shops;
	struct shops_slot *next; /* while free */
};
struct shops {
	struct openloop loop; /* env, answered, owner are set */
	/* Starts the slot's call number seq, with shops_cb as its callback. */
	void (*start)(struct shops_slot *slot, uint64_t seq);
	struct shops_slot *slots, *free;
	size_t under_way;
};

void shops_open(struct shops *shops);
void shops_cb(struct tally_call *call);
/* Asks no more; wait for shops_is_closed, then shops_fini. */
void shops_close(struct shops *shops);
bool shops_is_closed(void *shops);
void shops_fini(struct shops *shops);

#endif /* CLIENT_TOOL_SHOPS_H */

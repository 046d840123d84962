/* One connection to the node that serves us: what was sent on it in order,
 * and the answers in the same order.
 *
 *   OPENING ──opened──► READY ──► CLOSING ──closed──► gone
 *      │                  │          ▲
 *      └──── refused ─────┴── lost, garbage, silence, retired and idle
 *
 * A new channel begins with a small window that grows by one with each answer:
 * a node that has just begun to lead is not met by everybody's whole backlog in one turn.
 *
 * A retiring channel takes no more calls and closes when the last one was
 * answered. Whoever waits on a channel that closes hears call_lost. */
#ifndef CLIENT_CHANNEL_H
#define CLIENT_CHANNEL_H

#include "base/buf.h"
#include "client/body.h"

struct call;
struct probe;

enum channel_state { CHANNEL_OPENING, CHANNEL_READY, CHANNEL_CLOSING };
enum channel_turn { CHANNEL_HELLO, CHANNEL_META, CHANNEL_STATUS, CHANNEL_CALL };

struct channel_slot {
	struct call *call; /* NULL when it was given up: its answer is thrown away */
	uint64_t sent_us;
	enum channel_turn turn;
};

struct channel {
	struct list link; /* in tally->channels */
	struct tally *tally;
	struct probe *node; /* borrowed from the compass */
	struct env_stream *stream;
	enum channel_state state;
	bool retiring;
	bool aside; /* retiring because it was silent, though its node is well (compass.h) */
	bool asked; /* a STATUS is under way */

	/* a ring of what waits for an answer: seq first to next - 1 */
	struct channel_slot *slots;
	uint64_t slot_cap; /* a power of two */
	uint64_t first, next;
	uint64_t window;         /* calls that may wait at once: grows with the answers */
	uint64_t quiet_since_us; /* since when we wait without having heard anything */

	struct buf input;
	struct buf output[2]; /* one fills while the other is written */
	unsigned filling;
	bool writing;
	struct env_write write;
};

/* Starts connecting to node and joins tally's channels. */
void channel_open(struct tally *tally, struct probe *node);
static inline uint64_t channel_waiting(const struct channel *channel)
{
	return channel->next - channel->first;
}
bool channel_has_room(const struct channel *channel);
/* Does a call wait on it that has not ended? */
bool channel_has_calls(const struct channel *channel);
/* Appends call to the output; channel_flush sends it. */
void channel_send(struct channel *channel, struct call *call, uint64_t now_us);
/* Asks TALLY STATUS behind what is under way; the answer goes to the compass. */
void channel_ask(struct channel *channel);
void channel_flush(struct channel *channel);
/* The call of this place ended without waiting for its answer. */
void channel_forget(struct channel *channel, uint64_t seq);
void channel_retire(struct channel *channel);
/* Closes; calls on it hear call_lost when the stream is gone. */
void channel_close(struct channel *channel);
/* The env is dead, or the stream is gone. */
void channel_free(struct channel *channel);

#endif /* CLIENT_CHANNEL_H */

/* The life of one request, from start to its callback.
 *
 *            start
 *              │
 *              ▼            a channel has room
 *   ┌──────  PENDING  ──────────────────────────►  SENT
 *   │          ▲  ▲                                 │ │ │
 *   │          │  └── connection lost (may be       │ │ │
 *   │  back-off│      repeated) ────────────────────┘ │ │
 *   │  is over │                                      │ │
 *   │        RESTING ◄── answer: retry or unknown ────┘ │
 *   │          │                                        │ answer: done, refused, conflict
 *   ▼ deadline ▼                                        ▼
 *   └────────► ENDED (callback) ◄───────────────────────┘
 *
 * A connection that is lost under a call for the second time is followed by a rest, too.
 * One that cannot be sent (too large, no words) rests from its start for a moment and ends REFUSED; so does,
 * and ends RETRY, one that would not be answered before its deadline, because so many wait before it
 * (pace.h). What ends how. A deadline that comes while nothing of the call can be under way is RETRY;
 * otherwise UNKNOWN, for reads always RETRY. After an attempt without an answer the next ones carry SETTLE,
 * so that the server keeps their refusal under the request id: an older copy that arrives late then gets the
 * same refusal, and REFUSED is definite (docs/request.md). */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "base/outcome.h"
#include "client/body.h"
#include "wire/resp.h"

enum call_state { CALL_PENDING = 1, CALL_SENT, CALL_RESTING, CALL_ENDED };

#define CALL_CODE_MAX 48

struct call {
	void *data;       /* tally_call.data */
	struct list link; /* in tally->pending, or tally->unsent */
	struct wheel_node due;
	struct tally *tally;
	tally_call_cb cb;

	/* the request: id, then words as RESP; from the pool */
	uint8_t *text;
	uint32_t text_bytes;
	uint32_t word_count;
	uint16_t id_len;
	bool read; /* may be repeated without an id */
	bool dryrun;
	bool unsent; /* it is not sent: outcome, code and local say how it ends */

	uint8_t state;
	uint8_t outcome;
	bool was_unknown; /* some attempt, or an earlier call of this request, ended without a definite answer */
	bool replayed;
	uint32_t attempts;
	uint32_t rests;          /* back-offs so far */
	struct channel *channel; /* while SENT */
	uint64_t seq;            /* its place among the channel's */
	uint64_t started_us, deadline_us, ended_us;
	uint64_t doubt; /* what it is known by when it comes again (doubts.h), or 0: it does not */

	/* the answer; borrowed from the channel's input during the callback */
	struct slice reply;     /* one reply as it came, or none */
	struct slice attribute; /* RESP3 attribute in front of it, or none */
	struct arena *arena;
	struct resp_value *value, *meta; /* built when first asked for */
	const char *local;               /* our own message when there is no reply */
	char code[CALL_CODE_MAX];
};
_Static_assert(sizeof(struct call) <= sizeof(struct tally_call), "a call fits what the caller embeds");

static inline struct call *call_of(struct tally_call *public)
{
	return (struct call *)public;
}
static inline const struct call *call_of_const(const struct tally_call *public)
{
	return (const struct call *)public;
}

/* It cannot be sent as asked, and ends REFUSED soon after its start. The first reason counts. why: static.
 */
void call_refuse(struct call *call, const char *code, const char *why);
/* Its time begins, before its text is made: one that would not be answered in time needs none. */
void call_prepare(struct call *call, uint64_t doubt, unsigned timeout_ms);
/* Text is filled (request.h): the call becomes PENDING, or waits for its end when it is not sent. */
void call_begin(struct call *call);
/* Its turn has come, and no answer would come before its deadline: nothing of it can be under way, and it
 * ends RETRY in a moment instead of being sent. */
bool call_too_late(struct call *call, uint64_t now_us);
/* Its text is in channel's output. */
void call_sent(struct call *call, struct channel *channel, uint64_t seq);
/* The whole answer came; bytes are the channel's and writable until this returns. */
void call_answered(struct call *call, struct slice attribute, struct slice reply);
/* The connection is gone and no answer came. */
void call_lost(struct call *call);
/* The time in its wheel node has come: end of a rest, or the deadline. */
void call_due(struct call *call, uint64_t now_us);
/* The moment of one that is not sent has come. */
void call_end_unsent(struct call *call, uint64_t now_us);
/* The client closes. */
void call_cancel(struct call *call);

#endif /* CLIENT_CALL_H */

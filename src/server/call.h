/* One request on its way and the place of its answer in the order of asking.
 *
 *        call_take
 *   FREE ────────> OPEN ──┬─ the leader is here: shard_submit ──> SUBMITTED ── done ──┐
 *                         ├─ it is another node: shard_forward ─> AWAY ── answer ─────┤
 *                         │      └─ nothing was done ┐                                 │
 *                         ├─ nobody known ──────> PARKED ── a leader: as from OPEN ───┤
 *                         │                          └──── deadline, stop ────────────┤
 *                         └─ answered on the spot (PING, refusals) ───────────────────┤
 *                                                                                     ▼
 *   FREE <── call_release ── written out, in order: conn_collect, foreign_done ── ANSWERED
 *
 * Calls come from a pool and keep the memory of their reply, so a request costs
 * no malloc. A call of a client hangs in its connection's list; one of another
 * node in none. When the client goes, SUBMITTED is cancelled, PARKED dropped,
 * and AWAY (which cannot be called back) loses its conn and is released by its answer. */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include "engine/request.h"
#include "engine/shard.h"

struct conn;
struct node;

enum call_state { CALL_FREE, CALL_OPEN, CALL_SUBMITTED, CALL_AWAY, CALL_PARKED, CALL_ANSWERED };

struct call {
	struct request request;
	struct request_command command; /* of a REQUEST_ONE */
	const struct command *asked;    /* by a client of this node; NULL: not counted in usage */
	struct list link;               /* in conn->calls, or in the pool's free list */
	struct list parked;             /* in dispatch.parked */
	struct node *node;
	struct conn *conn; /* NULL: of another node, or the client is gone */
	/* The answer is in request: called once, in state ANSWERED. */
	void (*answered)(struct call *call);
	/* Of conn calls, before the answer takes its place in the output; may rewrite it. NULL: nothing. */
	void (*finish)(struct call *call);
	uint64_t deadline_us;
	uint64_t rebuffed_by, rebuffed_us; /* the node that did nothing with it, for it does not lead; 0: none */
	uint64_t from_id, token; /* of another node's */
	size_t held_bytes;       /* what conn counts for it */
	struct buf frame;        /* parked or forwarded: the request, encoded */
	struct replica_forward forward;
	struct call_slab *slab;
	uint8_t state;
	bool spoken;  /* answers on the spot, one or several on end, behind calls under way */
	bool muted;   /* CLIENT REPLY OFF or SKIP: the answer is dropped */
	bool meta;    /* TALLY META, when it was asked: in front of the answer, if that comes from the cluster */
	bool mutates; /* it may write: an answer that does not come is unknown */
	bool routed;  /* counted in conn->under_way */
};

struct call_slab;
struct call_pool {
	struct list free, slabs;
	size_t taken, made;
};

void call_pool_init(struct call_pool *pool);
/* Frees every call, taken or not: nobody else may come back to them. */
void call_pool_fini(struct call_pool *pool);
/* Gives back blocks that no call is taken from, when most calls are free: after a flood. */
void call_pool_trim(struct call_pool *pool);
/* Whose request it is: all that a shard is given here are calls'. */
static inline struct call *call_of(const struct request *request)
{
	return (struct call *)((char *)(uintptr_t)request - offsetof(struct call, request));
}

/* State OPEN, request reset. */
struct call *call_take(struct node *node);
void call_release(struct call *call);
/* Moves to ANSWERED and tells answered. */
void call_answer(struct call *call);
/* The same with a code of ours as the answer; details as for reply_code. */
void call_answer_code(struct call *call, enum code code, const char *details);
/* The answer is this instead of what was written; not given yet. */
void call_replace(struct call *call, enum code code, const char *details);
/* Where the answer is written. */
struct reply call_reply(struct call *call);

#endif /* SERVER_CALL_H */

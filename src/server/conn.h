/* One client's connection: bytes to requests, answers to bytes, in order.
 *
 *            accept
 *   (none) ──────────> OPEN
 *                       │  QUIT, KILL, protocol error,
 *                       │  or its end of stream and all answered
 *                       ├────────────────────> LEAVING ─────> CLOSED ── closed event ──> (freed)
 *                       │                      what is owed is sent ▲
 *                       │          LEAVING ── it may be sending ──> LINGERS
 *                       │                                           │ its end, a bound or a time
 *                       ├── output bound, KILL ──> DOOMED ──────────┤ at the end of the turn
 *                       └── time-out, stream lost ──────────────────┘
 *
 *   OPEN     requests are read, unless blocked (a WATCH is under way) or full
 *   LEAVING  no more input; answers up to the last are sent
 *   LINGERS  our half is ended, what it sends is read and forgotten: closing with unread input would
 *            reset the connection, and the error that it was sent with it
 *   CLOSED   nothing is sent; waits for the stream's closed event
 *
 * Input is parsed where it lies; only an unfinished request is copied. Answers
 * gather in out and leave in one write a turn; a second one starts when the
 * first is through. Backpressure before closing: a connection with
 * LIMIT_CONN_REQUESTS unanswered, or much unsent, is not read until that
 * falls; over LIMIT_CONN_OUTPUT long answers of reads are refused, and then it is closed. */
#ifndef SERVER_CONN_H
#define SERVER_CONN_H

#include "base/buf.h"
#include "base/list.h"
#include "env/env.h"
#include "server/session.h"
#include "wire/reply.h"
#include "wire/resp.h"

struct call;
struct node;

enum conn_state { CONN_OPEN, CONN_LEAVING, CONN_LINGERS, CONN_DOOMED, CONN_CLOSED };

struct conn {
	struct list link;    /* in listener.conns */
	struct list starved; /* in listener.starved: waits for calls of the whole node to fall */
	struct node *node;
	struct env_stream *stream;
	uint64_t id;
	enum conn_state state;
	char peer[64];

	struct buf in; /* a request that has not fully arrived, and what was not read yet */
	struct resp_request_state reading;
	struct buf out, sending;
	struct env_write write;
	struct env_turn turn; /* flush, and read on */
	bool writing, paused;
	size_t untaken; /* of what is being written, when time was looked at last */
	bool blocked; /* not read until a call of its own is answered (WATCH) */
	bool ended;   /* the client's end of stream came */
	bool broken;  /* its framing is lost: it lingers before it is closed */
	size_t forgotten_bytes;
	bool hasty; /* a refusal waits: sent when the input is read, not when all others' is */
	size_t counted_input, counted_output, counted_queued;

	struct list calls; /* in the order of asking */
	size_t call_count;
	size_t held_bytes; /* of answers that wait in calls */

	/* Order over a change of leader (dispatch.c): calls under way all go one way. */
	uint64_t route;
	size_t under_way, parked;
	uint64_t parked_walk;
	uint64_t busy_us; /* since when some are under way */

	uint64_t opened_us, active_us, sent_us, begun_us; /* begun: an unfinished request's first byte */
	struct session session;
};

struct conn *conn_new(struct node *node, struct env_stream *stream, uint64_t id);
/* Without the stream's closed event: its env was killed. */
void conn_free(struct conn *conn);
/* No more input; closes when everything owed is sent. */
void conn_leave(struct conn *conn);
/* Nothing more is sent; closes at the end of the turn. For places where other calls are being walked. */
void conn_doom(struct conn *conn);
/* Now: its calls are dropped. Not from inside an answer. */
void conn_close(struct conn *conn);
/* Reads on if it may: something it waited for has happened. */
void conn_wake(struct conn *conn);

/* Where the answer to the request now read is written: out itself, or a call's
 * reply when earlier answers are still under way, or nowhere when muted. Ends with conn_reply_end. */
struct conn_reply {
	struct reply reply;
	struct call *call;
};
struct conn_reply conn_reply_begin(struct conn *conn, bool muted);
void conn_reply_end(struct conn *conn, struct conn_reply *reply);

/* A call of this connection, at the end of its order; answered is conn's. */
struct call *conn_call(struct conn *conn, bool muted);
/* Call again after dispatch: counts the answer that may be held already. */
void conn_count_held(struct conn *conn, struct call *call);

/* Unsent answers, in bytes. */
static inline size_t conn_unsent(const struct conn *conn)
{
	return conn->out.len + conn->sending.len;
}
/* Every now and then: time-outs, memory of idle buffers. */
void conn_tick(struct conn *conn, uint64_t now_us);

#endif /* SERVER_CONN_H */

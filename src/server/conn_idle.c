/* What time does to a connection: one that makes no progress is closed, one that rests gives memory back. */
#include "server/conn.h"

#include "server/node_private.h"

/* Buffers above this are given back when a connection is idle. */
#define KEEP_BYTES KIB(4)
/* A client that takes no bytes, or does not finish a request, is closed. */
#define STALL_US ((uint64_t)60 * 1000000)
#define IDLE_US ((uint64_t)1000000)
/* One that lingers is closed when nothing came for so long, or after all of it. */
#define LINGER_IDLE_US ((uint64_t)5 * 1000000)
#define LINGER_US ((uint64_t)30 * 1000000)

static void conn_trim(struct buf *buf)
{
	if (buf->len == 0 && buf->cap > KEEP_BYTES) {
		size_t max = buf->max;
		buf_fini(buf);
		buf_init(buf, max);
	}
}

/* Memory of one that is idle now. */
static void conn_rest(struct conn *conn)
{
	conn_trim(&conn->in);
	conn_trim(&conn->out);
	if (!conn->writing) {
		conn_trim(&conn->sending);
	}
	if (conn->in.len == 0 && conn->reading.bounds_cap > 64) {
		resp_request_fini(&conn->reading);
		resp_request_init(&conn->reading);
	}
}

/* Of a long answer the client takes a part at a time. */
static void conn_note_taken(struct conn *conn, uint64_t now_us)
{
	size_t untaken = env_stream_unsent(conn->stream);
	if (untaken != conn->untaken) {
		conn->untaken = untaken;
		conn->sent_us = now_us;
	}
}

void conn_tick(struct conn *conn, uint64_t now_us)
{
	if (conn->state == CONN_CLOSED) {
		return;
	}
	if (now_us - conn->active_us > IDLE_US) {
		conn_rest(conn);
	}
	bool lingered = conn->state == CONN_LINGERS &&
			(now_us - conn->active_us > LINGER_IDLE_US || now_us - conn->sent_us > LINGER_US);
	if (lingered) {
		conn->node->counters.timed_out++;
		conn_close(conn);
		return;
	}
	if (conn->writing) {
		conn_note_taken(conn, now_us);
	}
	bool deaf = conn->writing && now_us - conn->sent_us > STALL_US;
	bool mute = conn->in.len > 0 && !conn->paused && now_us - conn->begun_us > STALL_US;
	if (deaf || mute) {
		conn->node->counters.timed_out++;
		listener_log(&conn->node->listener, LOG_INFO, "client_closed", conn,
			     deaf ? "takes_no_answers" : "unfinished_request");
		conn_close(conn);
	}
}

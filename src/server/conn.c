#include "server/conn_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Unsent and held answers from which no more requests are read. */
#define OUTPUT_FULL MIB(1)
/* An unfinished request: arguments of LIMIT_REQUEST_BYTES, and the heads of LIMIT_RESP_ARGS of them. */
#define INPUT_MAX (LIMIT_REQUEST_BYTES + LIMIT_RESP_ARGS * 10 + KIB(256))

static void conn_read(struct conn *conn);
static bool conn_may_read(struct conn *conn);

/* ---- output ---- */

static void conn_count_queued(struct conn *conn)
{
	size_t bytes = transaction_memory(&conn->session.transaction);
	conn->node->listener.queued_bytes += bytes - conn->counted_queued;
	conn->counted_queued = bytes;
}

static void conn_write_cb(struct env_write *write, int status)
{
	struct conn *conn = (struct conn *)((char *)write - offsetof(struct conn, write));
	assert(conn->writing);
	conn->writing = false;
	conn->node->counters.bytes_out += status == 0 ? conn->sending.len : 0;
	buf_reset(&conn->sending);
	conn_count_output(conn);
	if (status != 0) {
		conn_close(conn);
		return;
	}
	conn->sent_us = env_now_us(conn->node->env);
	env_turn_arm(&conn->turn);
}

static void conn_flush(struct conn *conn)
{
	if (conn->out.len == 0 || conn->writing) {
		return;
	}
	struct buf empty = conn->sending;
	conn->sending = conn->out;
	conn->out = empty;
	conn->writing = true;
	conn->sent_us = env_now_us(conn->node->env);
	struct slice bytes = buf_slice(&conn->sending);
	env_stream_write(conn->stream, &conn->write, &bytes, 1);
}

/* All that was owed has been sent. */
static bool conn_settled(const struct conn *conn)
{
	return list_empty(&conn->calls) && conn->out.len == 0 && !conn->writing;
}

/* All is sent. */
static void conn_part(struct conn *conn)
{
	assert(conn_settled(conn));
	bool lingers = conn->broken && !conn->ended && conn->forgotten_bytes <= LIMIT_CONN_LINGER &&
		       conn->node->state == NODE_SERVING;
	if (!lingers || !env_stream_finish(conn->stream)) {
		conn_close(conn);
		return;
	}
	conn->state = CONN_LINGERS;
	conn->active_us = conn->sent_us = env_now_us(conn->node->env);
}

static void conn_turn_cb(struct env_turn *turn)
{
	struct conn *conn = (struct conn *)((char *)turn - offsetof(struct conn, turn));
	if (conn->state == CONN_DOOMED) {
		conn_close(conn);
		return;
	}
	if (conn->state == CONN_LINGERS) {
		if (conn->ended || conn->forgotten_bytes > LIMIT_CONN_LINGER) {
			conn_close(conn);
		}
		return;
	}
	assert(conn->state != CONN_CLOSED);
	conn_count_queued(conn); /* a queue may have ended with its answer */
	conn_flush(conn);
	if (conn->state == CONN_OPEN && (conn->in.len > 0 || conn->paused)) {
		conn_read(conn);
	}
	/* Of one that ended, what is unfinished now stays unfinished. */
	bool over = conn->state == CONN_LEAVING ||
		    (conn->state == CONN_OPEN && conn->ended && conn_may_read(conn));
	if (over && conn_settled(conn)) {
		conn_part(conn);
	}
}

/* ---- input ---- */

/* Keeps the sum over all connections. */
static void conn_count_input(struct conn *conn)
{
	conn->node->listener.input_bytes += conn->in.len - conn->counted_input;
	conn->counted_input = conn->in.len;
}

static bool conn_may_read(struct conn *conn)
{
	if (conn->state != CONN_OPEN || conn->blocked || conn->call_count >= LIMIT_CONN_REQUESTS) {
		return false;
	}
	if (conn->node->calls.taken >= LIMIT_NODE_REQUESTS) {
		if (list_empty(&conn->starved)) {
			list_append(&conn->node->listener.starved, &conn->starved);
		}
		return false;
	}
	bool crowded = conn->node->listener.output_bytes > LIMIT_NODE_OUTPUT;
	return conn_unsent(conn) + conn->held_bytes < (crowded ? LIMIT_REPLY_SHORT : OUTPUT_FULL);
}

static void conn_protocol_error(struct conn *conn, const struct err *err)
{
	struct node *node = conn->node;
	node->counters.protocol_errors++;
	listener_log(&node->listener, LOG_INFO, "protocol_error", conn, err->text);
	struct conn_reply answer = conn_reply_begin(conn, false);
	if (err->code == ERR_TOO_LARGE) {
		reply_code(&answer.reply, CODE_TOO_LARGE,
			   "\"reason\":\"the arguments of one request are over 1,310,720 bytes: do it in "
			   "smaller "
			   "parts, on a new connection\"");
	} else {
		reply_error(&answer.reply, "ERR Protocol error: %s", err->text);
	}
	conn_reply_end(conn, &answer);
	conn->broken = true;
	conn_leave(conn);
}

/* Runs the whole requests at the front of input; how many bytes they took. */
static size_t conn_parse(struct conn *conn, struct slice input)
{
	struct node *node = conn->node;
	size_t begin = input.len;
	while (input.len > 0 && conn_may_read(conn)) {
		struct slice *argv = NULL;
		size_t argc = 0, used = 0;
		struct err err = {0};
		int status =
			resp_request_parse(&conn->reading, input, &node->arena, &argv, &argc, &used, &err);
		if (status == ERR_MORE) {
			break;
		}
		if (status != 0) {
			conn_protocol_error(conn, &err);
			arena_reset(&node->arena);
			return begin;
		}
		if (argc > 0) {
			session_request(conn, argv, argc);
			conn_count_queued(conn);
		}
		input = slice_skip(input, used);
		arena_reset(&node->arena);
	}
	return begin - input.len;
}

/* Stops or starts the stream to match what may be read. */
static void conn_steer(struct conn *conn)
{
	if (conn->state != CONN_OPEN || conn_may_read(conn) != conn->paused) {
		return;
	}
	conn->paused = !conn->paused;
	if (conn->ended) {
		return; /* nothing more comes anyway */
	}
	if (conn->paused) {
		env_stream_pause(conn->stream);
	} else {
		env_stream_resume(conn->stream);
	}
}

/* From the buffered input. */
static void conn_read(struct conn *conn)
{
	size_t used = conn_parse(conn, buf_slice(&conn->in));
	if (conn->state != CONN_OPEN) {
		return; /* leaving or closed: its input is gone already */
	}
	buf_consume(&conn->in, used);
	if (used > 0) {
		conn->begun_us = conn->active_us;
	}
	conn_count_input(conn);
	conn_steer(conn);
}

static void conn_keep(struct conn *conn, struct slice rest)
{
	if (rest.len == 0 || conn->state != CONN_OPEN) {
		return;
	}
	if (conn->in.len == 0) {
		conn->begun_us = conn->active_us;
	}
	buf_append_slice(&conn->in, rest);
	conn_count_input(conn);
	bool crowded = conn->node->listener.input_bytes > LIMIT_NODE_INPUT && conn->in.len > KIB(64);
	if (buf_failed(&conn->in) || crowded) {
		struct err err;
		err_set(&err, ERR_INVALID, "too big request");
		conn_protocol_error(conn, &err);
	}
}

static void conn_data_cb(void *owner, struct slice bytes)
{
	struct conn *conn = owner;
	conn->active_us = env_now_us(conn->node->env);
	conn->node->counters.bytes_in += bytes.len;
	if (conn->state != CONN_OPEN) { /* read and forgotten, so that its end is noticed */
		conn->forgotten_bytes += bytes.len;
		if (conn->state == CONN_LINGERS && conn->forgotten_bytes > LIMIT_CONN_LINGER) {
			env_turn_arm(&conn->turn);
		}
		return;
	}
	if (dispatch_defers(&conn->node->dispatch, conn)) {
		conn_keep(conn, bytes);
		env_turn_arm(&conn->turn);
		return;
	}
	if (conn->in.len > 0) {
		conn_keep(conn, bytes);
		conn_read(conn);
	} else {
		size_t used = conn_parse(conn, bytes);
		conn_keep(conn, slice_skip(bytes, used));
		conn_steer(conn);
	}
	if (conn->hasty && conn->state == CONN_OPEN) {
		conn_flush(conn);
	}
	conn->hasty = false;
}

void conn_wake(struct conn *conn)
{
	env_turn_arm(&conn->turn);
}

/* ---- life ---- */

static void conn_ended_cb(void *owner)
{
	struct conn *conn = owner;
	conn->ended = true; /* what was asked before the end is still answered */
	env_turn_arm(&conn->turn);
}

static void conn_closed_cb(void *owner, int status)
{
	struct conn *conn = owner;
	conn->stream = NULL;
	conn_free(conn);
}

static const struct env_stream_events conn_events = {
	.data = conn_data_cb, .closed = conn_closed_cb, .ended = conn_ended_cb};

struct conn *conn_new(struct node *node, struct env_stream *stream, uint64_t id)
{
	struct conn *conn = calloc(1, sizeof *conn);
	if (conn == NULL) {
		fatal("out of memory: a client connection");
	}
	list_init(&conn->link);
	list_init(&conn->starved);
	list_init(&conn->calls);
	conn->node = node;
	conn->stream = stream;
	conn->id = id;
	snprintf(conn->peer, sizeof conn->peer, "%s", env_stream_peer(stream));
	buf_init(&conn->in, INPUT_MAX);
	/* One answer may come on top of a full output: its own bound is its maker's. */
	buf_init(&conn->out, LIMIT_CONN_OUTPUT + MIB(64));
	buf_init(&conn->sending, LIMIT_CONN_OUTPUT + MIB(64));
	resp_request_init(&conn->reading);
	env_turn_init(node->env, &conn->turn, conn_turn_cb);
	conn->write.cb = conn_write_cb;
	conn->opened_us = conn->active_us = conn->sent_us = env_now_us(node->env);
	session_init(&conn->session);
	env_stream_set(stream, &conn_events, conn);
	return conn;
}

/* The client is gone: nobody waits for these answers. */
static void conn_drop_calls(struct conn *conn)
{
	struct list *link;
	while ((link = list_pop(&conn->calls)) != NULL) {
		struct call *call = list_entry(link, struct call, link);
		dispatch_drop(&conn->node->dispatch, call);
	}
	conn->call_count = 0;
	conn->held_bytes = 0;
}

void conn_free(struct conn *conn)
{
	struct node *node = conn->node;
	conn->state = CONN_CLOSED;
	buf_reset(&conn->in);
	conn_count_input(conn);
	conn_drop_calls(conn);
	env_turn_cancel(&conn->turn);
	list_remove(&conn->starved);
	list_remove(&conn->link);
	node->listener.count--;
	session_fini(&conn->session);
	conn_count_queued(conn);
	resp_request_fini(&conn->reading);
	buf_fini(&conn->in);
	buf_fini(&conn->out);
	buf_fini(&conn->sending);
	conn_count_output(conn);
	free(conn);
	if (node->state == NODE_STOPPING) {
		node_stop_step(node);
	}
}

void conn_leave(struct conn *conn)
{
	if (conn->state == CONN_LINGERS) {
		conn_doom(conn);
	}
	if (conn->state != CONN_OPEN) {
		return;
	}
	conn->state = CONN_LEAVING;
	buf_reset(&conn->in);
	conn_count_input(conn);
	if (conn->paused && !conn->ended) {
		env_stream_resume(conn->stream); /* to notice its end */
	}
	conn->paused = false;
	env_turn_arm(&conn->turn);
}

void conn_doom(struct conn *conn)
{
	if (conn->state == CONN_CLOSED || conn->state == CONN_DOOMED) {
		return;
	}
	conn->state = CONN_DOOMED;
	buf_reset(&conn->out);
	env_turn_arm(&conn->turn);
}

void conn_close(struct conn *conn)
{
	if (conn->state == CONN_CLOSED) {
		return;
	}
	conn->state = CONN_CLOSED;
	buf_reset(&conn->in);
	conn_count_input(conn);
	list_remove(&conn->starved); /* nothing wakes it any more */
	conn_drop_calls(conn);
	env_turn_cancel(&conn->turn);
	env_stream_close(conn->stream);
}

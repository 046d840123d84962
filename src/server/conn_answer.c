/* Answers in the order of asking: calls that wait for theirs, and what of them is held back. */
#include "server/conn_private.h"

#include <inttypes.h>
#include <stdio.h>

/* What an answer that another node will write may come to; counted with those that are held. */
#define AWAY_BYTES KIB(4)

/* TALLY META: where the answer comes from. */
static void conn_write_meta(struct conn *conn, const struct request *request)
{
	struct reply reply = {&conn->out, request->protocol};
	const struct node *node = conn->node;
	char text[64];
	uint64_t leader_id = 0;
	reply_attribute(&reply, request->replayed ? 4 : 3);
	reply_bulk_text(&reply, "index");
	snprintf(text, sizeof(text), "%" PRIu64 ".%u", request->index, request->ordinal);
	reply_bulk_text(&reply, text);
	reply_bulk_text(&reply, "node");
	bool here = shard_role(node->shard, &leader_id) == SHARD_LEADS;
	snprintf(text, sizeof(text), "n%" PRIu64, leader_id);
	reply_bulk_text(&reply, here ? node->config.name : text);
	reply_bulk_text(&reply, "replayed");
	reply_bool(&reply, request->replayed);
	if (request->replayed) {
		reply_bulk_text(&reply, "first_ms");
		reply_integer(&reply, (int64_t)request->first_ms);
	}
}

/* Moves finished answers from the front of the order to the output. */
static void conn_collect(struct conn *conn)
{
	while (!list_empty(&conn->calls)) {
		struct call *call = list_entry(conn->calls.next, struct call, link);
		if (call->state != CALL_ANSWERED) {
			break;
		}
		if (!call->muted && conn->state != CONN_DOOMED) {
			if (call->meta && call->request.index != 0) {
				conn_write_meta(conn, &call->request);
			}
			buf_append_slice(&conn->out, buf_slice(&call->request.reply));
		}
		conn->held_bytes -= call->held_bytes;
		conn->call_count--;
		call_release(call);
	}
	conn_count_output(conn);
	if (conn->state != CONN_DOOMED && (buf_failed(&conn->out) || conn_unsent(conn) > LIMIT_CONN_OUTPUT)) {
		conn->node->counters.output_closed++;
		listener_log(&conn->node->listener, LOG_WARN, "client_closed", conn, "output_limit");
		conn_doom(conn);
	}
	env_turn_arm(&conn->turn);
}

struct conn_reply conn_reply_begin(struct conn *conn, bool muted)
{
	struct conn_reply answer = {{&conn->out, conn->session.protocol}, NULL};
	if (muted) {
		buf_reset(&conn->node->nowhere);
		answer.reply.out = &conn->node->nowhere;
		return answer;
	}
	if (list_empty(&conn->calls)) {
		return answer;
	}
	struct call *last = list_entry(conn->calls.prev, struct call, link);
	bool joins = last->spoken && last->state == CALL_ANSWERED;
	answer.call = joins ? last : conn_call(conn, false);
	answer.call->spoken = true;
	answer.reply.out = &answer.call->request.reply;
	return answer;
}

void conn_reply_end(struct conn *conn, struct conn_reply *answer)
{
	if (answer->call != NULL) {
		conn_count_held(conn, answer->call);
		if (answer->call->state != CALL_ANSWERED) {
			call_answer(answer->call);
		}
		return;
	}
	conn_collect(conn);
}

/* ---- calls ---- */

_Static_assert(LIMIT_CONN_OUTPUT == MIB(16) && LIMIT_NODE_OUTPUT == MIB(128) &&
		       LIMIT_REQUEST_BYTES == 1310720,
	       "the texts say so");

/* Answers of other nodes and of walks come longer than was thought when more was read behind them. What was
 * only read can be asked again; nobody's connection is closed for it. Of what was written, now or when the
 * request came first, nobody may hear that it did not happen. */
static void conn_fit(struct conn *conn, struct call *call)
{
	size_t len = call->request.reply.len, others = conn->held_bytes - call->held_bytes;
	if (len <= LIMIT_REPLY_SHORT || call->request.wrote || call->request.replayed) {
		return;
	}
	if (conn_unsent(conn) + others + len > LIMIT_CONN_OUTPUT) {
		call_replace(call, CODE_OVERLOADED,
			     "\"reason\":\"replies of this connection that were not taken yet are over 16 "
			     "MiB: read them, then ask again\"");
	} else if (conn->node->listener.output_bytes - call->held_bytes + len > LIMIT_NODE_OUTPUT) {
		call_replace(call, CODE_OVERLOADED,
			     "\"reason\":\"replies that clients of this node did not take yet are over 128 "
			     "MiB: ask again a little later\"");
	}
}

static void conn_count_usage(struct conn *conn, const struct call *call)
{
	if (call->asked != NULL && call->request.reply.len > 0 && call->request.reply.data[0] == '-') {
		usage_of(&conn->node->usage, call->asked)->failed++;
	}
}

static void conn_answered(struct call *call)
{
	struct conn *conn = call->conn;
	if (conn == NULL) {
		call_release(call);
		return;
	}
	if (call->finish != NULL) {
		call->finish(call);
	}
	conn_fit(conn, call);
	conn_count_usage(conn, call);
	conn_count_held(conn, call);
	if (conn->calls.next == &call->link) {
		conn_collect(conn);
	}
}

struct call *conn_call(struct conn *conn, bool muted)
{
	struct call *call = call_take(conn->node);
	call->conn = conn;
	call->answered = conn_answered;
	call->muted = muted;
	call->meta = conn->session.meta && conn->session.protocol == 3;
	call->request.protocol = conn->session.protocol;
	call->request.db = conn->session.db;
	call->request.user = SLICE_LIT("default");
	list_append(&conn->calls, &call->link);
	conn->call_count++;
	return call;
}

void conn_count_held(struct conn *conn, struct call *call)
{
	size_t held = call->request.reply.len;
	if (call->state == CALL_AWAY || call->state == CALL_PARKED) {
		held = AWAY_BYTES;
	}
	conn->held_bytes += held - call->held_bytes;
	call->held_bytes = held;
	conn_count_output(conn);
}

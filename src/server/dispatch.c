#include "server/dispatch.h"

#include "server/forward.h"
#include "server/node_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Parked calls are looked at this often: for deadlines, and for nodes that were not connected. */
#define TICK_MS 10
/* Who said that it does not lead is asked again after so long, unless another leads meanwhile. */
#define REBUFFED_US 100000
/* A sent request may be answered a little after its deadline: the leader says what became of it. */
#define GRACE_MS 1000
/* Under overload, a client with calls under way is served before others for so long; then others are. */
#define FAVOUR_US 500000
/* While versions are mixed, what this node does not understand may come a thousand times a second. */
#define FOREIGN_LINE_US 60000000ull
/* Answers to another node: those that are not short keep so much free of what may be unsent to it. */
#define ANSWER_RESERVE MIB(4)
_Static_assert(LIMIT_FRAME + ANSWER_RESERVE < LIMIT_PEER_QUEUE, "the longest finds room in an empty queue");

static void dispatch_timer_cb(struct env_timer *timer);

void dispatch_init(struct dispatch *dispatch, struct node *node)
{
	memset(dispatch, 0, sizeof *dispatch);
	dispatch->node = node;
	list_init(&dispatch->parked);
	env_timer_init(node->env, &dispatch->timer, dispatch_timer_cb);
}

void dispatch_fini(struct dispatch *dispatch)
{
	env_timer_stop(&dispatch->timer);
}

static uint64_t left_ms(const struct call *call, uint64_t now_us)
{
	return call->deadline_us > now_us ? (call->deadline_us - now_us) / 1000 : 0;
}

/* The call has its answer or goes back to parked: the next of its connection may go another way. */
static void dispatch_unroute(struct call *call)
{
	struct conn *conn = call->conn;
	if (!call->routed) {
		return;
	}
	call->routed = false;
	if (conn == NULL) {
		return;
	}
	assert(conn->under_way > 0);
	conn->under_way--;
	if (conn->under_way == 0 && conn->parked > 0) {
		dispatch_kick(&call->node->dispatch);
	}
}

static void dispatch_answer(struct call *call)
{
	dispatch_unroute(call);
	call_answer(call);
}

static void dispatch_refuse(struct call *call, enum code code)
{
	dispatch_unroute(call);
	call_answer_code(call, code, NULL);
}

/* ---- here ---- */

static void dispatch_done_cb(struct request *request)
{
	struct call *call = call_of(request);
	assert(call->state == CALL_SUBMITTED);
	dispatch_answer(call);
}

static void dispatch_submit(struct dispatch *dispatch, struct call *call)
{
	call->state = CALL_SUBMITTED;
	call->request.done = dispatch_done_cb;
	shard_submit(dispatch->node->shard, &call->request);
}

/* ---- elsewhere ---- */

static bool dispatch_park(struct dispatch *dispatch, struct call *call, bool front);

/* Its answer says that it did nothing, and only because leadership is on its way. */
static bool is_rebuff(const struct request *request)
{
	return request->outcome == OUTCOME_RETRY &&
	       (request->code == CODE_STOPPING || request->code == CODE_NOT_LEADER ||
		request->code == CODE_LEADER_LOST);
}

/* Nothing was done with it. Its place is before everything of its client that came later, so it goes back only
 * when nothing of that has been sent. */
static bool dispatch_takes_back(struct dispatch *dispatch, struct call *call)
{
	const struct conn *conn = call->conn;
	if (conn == NULL || conn->under_way != 1 || call->node->state != NODE_SERVING) {
		return false;
	}
	buf_reset(&call->request.reply);
	dispatch_unroute(call);
	dispatch_park(dispatch, call, true);
	return true;
}

static void dispatch_forward_cb(struct replica_forward *forward, int status, struct slice reply)
{
	struct call *call = (struct call *)((char *)forward - offsetof(struct call, forward));
	struct dispatch *dispatch = &call->node->dispatch;
	assert(call->state == CALL_AWAY);
	if (status == 0 && forward_decode_answer(reply, &call->request) == 0) {
		call->rebuffed_us = env_now_us(call->node->env);
		call->rebuffed_by = call->conn == NULL ? 0 : call->conn->route;
		if (!is_rebuff(&call->request) || call->rebuffed_us >= call->deadline_us ||
		    !dispatch_takes_back(dispatch, call)) {
			dispatch_answer(call);
		}
		return;
	}
	if (status == ERR_NOT_FOUND) { /* never sent */
		if (!dispatch_takes_back(dispatch, call)) {
			dispatch_refuse(call, CODE_NOT_LEADER);
		}
		return;
	}
	dispatch_refuse(call, call->mutates ? CODE_OUTCOME_UNKNOWN : CODE_NO_QUORUM);
}

/* The frame is in call->frame. */
static void dispatch_send(struct dispatch *dispatch, struct call *call, uint64_t to_id, uint64_t now_us)
{
	uint64_t left = left_ms(call, now_us);
	forward_set_deadline(&call->frame, left);
	call->state = CALL_AWAY;
	call->forward.cb = dispatch_forward_cb;
	dispatch->node->counters.forwarded++;
	shard_forward(dispatch->node->shard, &call->forward, to_id, buf_slice(&call->frame), left + GRACE_MS);
}

/* ---- later ---- */

static void dispatch_unpark(struct dispatch *dispatch, struct call *call)
{
	assert(call->state == CALL_PARKED);
	list_remove(&call->parked);
	dispatch->parked_bytes -= call->frame.len;
	dispatch->parked_count--;
	call->conn->parked--;
	call->state = CALL_OPEN;
}

/* The frame is in call->frame. False when too much is parked already: then it was answered. */
static bool dispatch_park(struct dispatch *dispatch, struct call *call, bool front)
{
	if (dispatch->parked_bytes + call->frame.len > LIMIT_NODE_PARKED) {
		dispatch_refuse(call, CODE_OVERLOADED);
		return false;
	}
	call->state = CALL_PARKED;
	list_append(front ? dispatch->parked.next : &dispatch->parked, &call->parked);
	dispatch->parked_bytes += call->frame.len;
	dispatch->parked_count++;
	dispatch->node->counters.parked++;
	call->conn->parked++;
	if (!env_timer_armed(&dispatch->timer)) {
		env_timer_start(&dispatch->timer, TICK_MS);
	}
	return true;
}

/* Who leads: an id, or 0. */
static uint64_t leader_of(const struct node *node)
{
	uint64_t leader_id = 0;
	switch (shard_role(node->shard, &leader_id)) {
	case SHARD_LEADS:
		return node->config.id;
	case SHARD_FOLLOWS:
		return leader_id;
	case SHARD_UNKNOWN:
		return 0;
	}
	return 0;
}

/* Nobody leads for as long as a request may wait: one that names no deadline is told so instead of waiting
 * in its turn. Who names one waits for it: libtally always does. */
static bool is_weary(const struct node *node, const struct call *call, uint64_t now_us)
{
	return call->request.envelope.deadline_ms == 0 && node->leaderless_us != 0 &&
	       now_us >= node->leaderless_us + node->config.default_deadline_ms * 1000;
}

static void dispatch_refuse_leaderless(struct call *call, uint64_t now_us)
{
	char details[192];
	snprintf(details, sizeof details,
		 "\"leaderless_ms\":%" PRIu64
		 ",\"reason\":\"this node knows no leader: a majority of the %zu "
		 "members must be up and reach each other; ask again soon, or another node\"",
		 (now_us - call->node->leaderless_us) / 1000, call->node->config.member_count);
	dispatch_unroute(call);
	call_answer_code(call, CODE_NOT_LEADER, details);
}

/* Nothing of the client's is under way elsewhere. */
static bool way_is_free(const struct conn *conn, uint64_t to_id)
{
	return to_id != 0 && (conn->under_way == 0 || conn->route == to_id);
}

static void dispatch_route(struct call *call, uint64_t to_id)
{
	if (call->conn->under_way == 0) {
		call->conn->busy_us = call->conn->active_us;
	}
	call->conn->route = to_id;
	call->conn->under_way++;
	call->routed = true;
}

/* A parked call goes on: here its request comes back out of the frame. */
static void dispatch_resume(struct dispatch *dispatch, struct call *call, uint64_t to_id, uint64_t now_us)
{
	struct node *node = dispatch->node;
	struct arena *arena = &node->arena;
	bool unknown = false;
	dispatch_unpark(dispatch, call);
	dispatch_route(call, to_id);
	if (to_id != node->config.id) {
		dispatch_send(dispatch, call, to_id, now_us);
		return;
	}
	forward_set_deadline(&call->frame, left_ms(call, now_us));
	int status = forward_decode(buf_slice(&call->frame), arena, &call->request, &unknown);
	assert(status == 0 && !unknown); /* we made it ourselves */
	call->request.arrived_us = now_us;
	dispatch_submit(dispatch, call);
	arena_reset(arena);
}

static bool was_rebuffed(const struct call *call, uint64_t to_id, uint64_t now_us)
{
	return call->rebuffed_by == to_id && now_us < call->rebuffed_us + REBUFFED_US;
}

static void dispatch_walk(struct dispatch *dispatch)
{
	struct node *node = dispatch->node;
	uint64_t now_us = env_now_us(node->env);
	uint64_t to_id = leader_of(node);
	uint64_t walk = ++dispatch->walk;
	for (struct list *link = dispatch->parked.next, *next; link != &dispatch->parked; link = next) {
		struct call *call = list_entry(link, struct call, parked);
		struct conn *conn = call->conn;
		next = link->next;
		if (to_id == 0 && is_weary(node, call, now_us)) {
			node->counters.parked_expired++;
			dispatch_unpark(dispatch, call);
			dispatch_refuse_leaderless(call, now_us);
			continue;
		}
		if (now_us >= call->deadline_us) {
			node->counters.parked_expired++;
			dispatch_unpark(dispatch, call);
			dispatch_refuse(call, to_id == 0 ? CODE_NOT_LEADER : CODE_DEADLINE_PASSED);
			continue;
		}
		/* Behind one of the same client that stays, all stay. */
		if (conn->parked_walk == walk || !way_is_free(conn, to_id) ||
		    was_rebuffed(call, to_id, now_us)) {
			conn->parked_walk = walk;
			continue;
		}
		dispatch_resume(dispatch, call, to_id, now_us);
	}
	if (!list_empty(&dispatch->parked)) {
		env_timer_start(&dispatch->timer, TICK_MS);
	}
}

static void dispatch_timer_cb(struct env_timer *timer)
{
	struct dispatch *dispatch = (struct dispatch *)((char *)timer - offsetof(struct dispatch, timer));
	dispatch_walk(dispatch);
}

void dispatch_kick(struct dispatch *dispatch)
{
	if (!list_empty(&dispatch->parked)) {
		env_timer_start_at(&dispatch->timer, 0);
	}
}

void dispatch_refuse_parked(struct dispatch *dispatch, enum code code)
{
	while (!list_empty(&dispatch->parked)) {
		struct call *call = list_entry(dispatch->parked.next, struct call, parked);
		dispatch_unpark(dispatch, call);
		dispatch_refuse(call, code);
	}
}

/* ---- the door ---- */

bool dispatch_call(struct dispatch *dispatch, struct call *call)
{
	struct node *node = dispatch->node;
	struct conn *conn = call->conn;
	struct request *request = &call->request;
	assert(call->state == CALL_OPEN && conn != NULL);
	if (node->state != NODE_SERVING) {
		dispatch_refuse(call, CODE_STOPPING);
		return false;
	}
	uint64_t to_id = leader_of(node);
	bool go = conn->parked == 0 && way_is_free(conn, to_id);
	if (go && to_id == node->config.id) {
		dispatch_route(call, to_id);
		dispatch_submit(dispatch, call);
		return true;
	}
	uint64_t now_us = env_now_us(node->env);
	if (to_id == 0 && is_weary(node, call, now_us)) {
		dispatch_refuse_leaderless(call, now_us);
		return false;
	}
	uint64_t limit_ms = request->envelope.deadline_ms != 0 ? request->envelope.deadline_ms
							       : node->config.default_deadline_ms;
	call->deadline_us = request->arrived_us + limit_ms * 1000;
	call->mutates = request_may_write(request);
	if (!forward_encode(&call->frame, request, left_ms(call, now_us))) {
		/* Only a queue with its watched keys is so long. The leader takes it from its own clients,
		 * and may have taken an earlier copy: no refusal. */
		dispatch_unroute(call);
		call_answer_code(call, CODE_NOT_LEADER,
				 "\"reason\":\"the transaction and its watched keys are over 9 MiB and are "
				 "not passed on: ask the leader itself, or watch less\"");
		return false;
	}
	if (go) {
		dispatch_route(call, to_id);
		dispatch_send(dispatch, call, to_id, now_us);
		return true;
	}
	return dispatch_park(dispatch, call, false);
}

/* Its refusals would wait for what is under way, so it is served, unless it has been for long. */
static bool is_favoured(const struct conn *conn)
{
	return conn->under_way > 0 && conn->active_us - conn->busy_us < FAVOUR_US;
}

bool dispatch_defers(struct dispatch *dispatch, const struct conn *conn)
{
	struct node *node = dispatch->node;
	return is_favoured(conn) && node->state == NODE_SERVING && shard_defers(node->shard);
}

bool dispatch_sheds(struct dispatch *dispatch, const struct conn *conn, const struct command *command)
{
	struct node *node = dispatch->node;
	bool writes = (command->flags & (COMMAND_WRITE | COMMAND_SCRIPT)) != 0;
	return node->state == NODE_SERVING && shard_sheds(node->shard, is_favoured(conn), writes);
}

void dispatch_drop(struct dispatch *dispatch, struct call *call)
{
	switch ((enum call_state)call->state) {
	case CALL_SUBMITTED:
		shard_cancel(dispatch->node->shard, &call->request);
		call->state = CALL_OPEN;
		break;
	case CALL_AWAY:
		dispatch_unroute(call);
		call->conn = NULL;
		return;
	case CALL_PARKED:
		dispatch_unpark(dispatch, call);
		break;
	case CALL_OPEN:
	case CALL_ANSWERED:
		break;
	case CALL_FREE:
		assert(call->state != CALL_FREE);
	}
	dispatch_unroute(call);
	call_release(call);
}

/* ---- of other nodes ---- */

static void dispatch_foreign_answered(struct call *call)
{
	struct buf *frame = &call->frame; /* its request came in somebody else's */
	buf_reset(frame);
	forward_encode_answer(frame, &call->request);
	if (call->request.reply.len > LIMIT_REPLY_SHORT && !call->request.wrote && !call->request.replayed &&
	    frame->len + ANSWER_RESERVE > shard_forward_room(call->node->shard, call->from_id)) {
		/* Too much is on that way already. What was only read can be asked again; of what happened
		 * before, as of what was written, nobody may hear that it did not. */
		call_replace(call, CODE_OVERLOADED,
			     "\"reason\":\"too many long replies for that node: ask again a little later, or "
			     "ask the leader itself\"");
		buf_reset(frame);
		forward_encode_answer(frame, &call->request);
	}
	assert(!buf_failed(frame));
	shard_forward_reply(call->node->shard, call->from_id, call->token, buf_slice(frame));
	call_release(call);
}

/* This copy did nothing. That is no refusal: an earlier one under its id may have been executed by a leader
 * that understood it, and the next leader may understand this one. */
static void dispatch_foreign_bad(struct dispatch *dispatch, struct call *call, const char *why)
{
	struct node *node = dispatch->node;
	uint64_t now_us = env_now_us(node->env);
	node->counters.foreign_bad++;
	if (dispatch->foreign_told_us == 0 || now_us - dispatch->foreign_told_us >= FOREIGN_LINE_US) {
		dispatch->foreign_told_us = now_us;
		log_event(node->log, LOG_WARN, "forwarded_request_bad",
			  "from=%" PRIu64 " reason=\"%s\" count=%" PRIu64, call->from_id, why,
			  node->counters.foreign_bad);
	}
	call_answer_code(call, CODE_NOT_UNDERSTOOD, NULL);
}

void dispatch_foreign(struct dispatch *dispatch, uint64_t from_id, uint64_t token, struct slice frame)
{
	struct node *node = dispatch->node;
	struct call *call = call_take(node);
	struct request *request = &call->request;
	uint64_t leader_id = 0;
	call->from_id = from_id;
	call->token = token;
	call->answered = dispatch_foreign_answered;
	request->protocol = 2; /* until the frame tells; errors are the same in both */
	node->counters.foreign++;
	if (node->state != NODE_SERVING) {
		call_answer_code(call, CODE_STOPPING, NULL);
		return;
	}
	if (shard_role(node->shard, &leader_id) != SHARD_LEADS) {
		call_answer_code(call, CODE_NOT_LEADER, NULL);
		return;
	}
	bool unknown = false;
	int status = forward_decode(frame, &node->arena, request, &unknown);
	if (status != 0 || unknown) {
		dispatch_foreign_bad(dispatch, call, unknown ? "unknown command" : err_name(status));
	} else {
		request->arrived_us = env_now_us(node->env);
		dispatch_submit(dispatch, call);
	}
	arena_reset(&node->arena);
}

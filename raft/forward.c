/* Requests of another node's clients, over the requests connections.
 *
 * A request is sent once. What was sent and is not answered when its connection
 * ends may have happened: ERR_CLOSED.
 *
 * One that a network delivers again must not run again: it may have been refused for
 * good since. So it names the life of the receiver that it was meant for, and tokens
 * of a member only rise, from life to life (its start is their upper part): who
 * has seen a token takes none that is not higher. An answer names a life likewise. */
#include <assert.h>

#include "raft/replica_private.h"

#define TOKEN_START_SHIFT 40

static void end(struct replica_forward *forward, int status, struct slice reply)
{
	list_remove(&forward->link);
	forward->cb(forward, status, reply);
}

void forward_open(struct replica *r)
{
	uint64_t start = lives_own(r->lives).start;
	assert(start < UINT64_C(1) << (64 - TOKEN_START_SHIFT));
	r->next_token = (start << TOKEN_START_SHIFT) + 1;
}

/* Meant for this life of ours, and whole. */
static bool take(struct replica *r, const struct frame *frame, uint64_t *token, struct slice *bytes)
{
	uint64_t life;
	if (message_take_request(frame, token, &life, bytes) != 0) {
		r->count.frames_bad++;
		return false;
	}
	return life == lives_own(r->lives).id;
}

static void arm(struct replica *r, uint64_t deadline_us)
{
	if (!env_timer_armed(&r->forward_timer) || r->forward_timer.node.at > deadline_us) {
		env_timer_start_at(&r->forward_timer, deadline_us);
	}
}

void replica_forward_start(struct replica *r, struct replica_forward *forward, uint64_t to_id,
			   struct slice request, uint64_t timeout_ms)
{
	assert(forward->cb != NULL);
	assert(to_id != 0);
	assert(r->started);
	struct link *link =
		r->stopped || r->closing ? NULL : transport_link(r->transport, to_id, FRAME_REQUESTS);
	list_init(&forward->link);
	forward->token = r->next_token++;
	forward->sent = to_id;
	forward->deadline_us = env_now_us(r->env) + timeout_ms * 1000;
	if (link == NULL || link_unsent(link) + request.len > LIMIT_PEER_QUEUE ||
	    request.len > LIMIT_FRAME - MESSAGE_REQUEST_HEAD) {
		forward->sent = 0;
		list_append(&r->failed_forwards, &forward->link);
		replica_wake(r);
		return;
	}
	message_send_request(link, transport_highest_stamp(r->transport), FRAME_REQUEST, forward->token,
			     request);
	list_append(&r->forwards, &forward->link);
	arm(r, forward->deadline_us);
	replica_wake(r);
}

void forward_answer(struct replica *r, const struct frame *frame)
{
	uint64_t token;
	struct slice reply;
	if (!take(r, frame, &token, &reply)) {
		return;
	}
	/* Answers come mostly in order: the first is nearly always the one. */
	list_for_each (at, &r->forwards) {
		struct replica_forward *forward = list_entry(at, struct replica_forward, link);
		if (forward->token == token) {
			end(forward, 0, reply);
			return;
		}
	}
}

static void move(struct list *from, struct list *to, uint64_t id, uint64_t now_us)
{
	for (struct list *at = from->next, *next; at != from; at = next) {
		struct replica_forward *forward = list_entry(at, struct replica_forward, link);
		next = at->next;
		if ((id != 0 && forward->sent == id) || forward->deadline_us <= now_us) {
			list_remove(at);
			list_append(to, at);
		}
	}
}

static void end_all(struct list *forwards, int status)
{
	while (!list_empty(forwards)) {
		end(list_entry(forwards->next, struct replica_forward, link), status, SLICE_NONE);
	}
}

void forward_disconnected(struct replica *r, uint64_t id)
{
	struct list gone;
	list_init(&gone);
	move(&r->forwards, &gone, id, 0);
	end_all(&gone, ERR_CLOSED);
}

void forward_timer_cb(struct env_timer *timer)
{
	struct replica *r = list_entry(timer, struct replica, forward_timer);
	struct list late;
	list_init(&late);
	move(&r->forwards, &late, 0, env_now_us(r->env));
	end_all(&late, ERR_TIMEOUT);
	list_for_each (at, &r->forwards) {
		arm(r, list_entry(at, struct replica_forward, link)->deadline_us);
	}
}

void forward_turn(struct replica *r)
{
	end_all(&r->failed_forwards, ERR_NOT_FOUND);
}

void forward_fail_all(struct replica *r)
{
	env_timer_stop(&r->forward_timer);
	end_all(&r->failed_forwards, ERR_NOT_FOUND);
	end_all(&r->forwards, ERR_CLOSED);
}

/* ---- the other side ---- */

void forward_request(struct replica *r, struct replica_peer *peer, const struct frame *frame)
{
	uint64_t token;
	struct slice request;
	if (!take(r, frame, &token, &request) || token <= peer->requests_seen) {
		return;
	}
	peer->requests_seen = token;
	if (r->events->on_request != NULL) {
		r->events->on_request(r->config.owner, peer->id, token, request);
	}
}

size_t replica_reply_room(const struct replica *r, uint64_t to_id)
{
	struct link *link = r->stopped || r->closing ? NULL : transport_requester(r->transport, to_id);
	size_t unsent = link == NULL ? LIMIT_PEER_QUEUE : link_unsent(link);
	return unsent < LIMIT_PEER_QUEUE ? LIMIT_PEER_QUEUE - unsent : 0;
}

void replica_reply(struct replica *r, uint64_t to_id, uint64_t token, struct slice reply)
{
	struct link *link = r->stopped || r->closing ? NULL : transport_requester(r->transport, to_id);
	if (link == NULL) {
		return; /* it is gone, and knows that it does not know */
	}
	if (reply.len > replica_reply_room(r, to_id) || reply.len > LIMIT_FRAME - MESSAGE_REQUEST_HEAD) {
		link_drop(link); /* it does not read: better unknown than late for ever */
		return;
	}
	message_send_request(link, transport_highest_stamp(r->transport), FRAME_REPLY, token, reply);
	replica_wake(r);
}

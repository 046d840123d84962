/* The other members: who they are, and what comes in from them. All of it is an event of the core, or of a
 * file of the room; what does not belong, or comes too early, goes no further. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/replica_private.h"

/* ---- who they are ---- */

struct replica_peer *peers_find(struct replica *r, uint64_t id)
{
	for (size_t i = 0; i < r->peer_count; i++) {
		if (r->peers[i]->id == id) {
			return r->peers[i];
		}
	}
	return NULL;
}

static void add(struct replica *r, uint64_t id, const char *address)
{
	if (id == r->config.id || peers_find(r, id) != NULL || r->peer_count == LIMIT_MEMBERS) {
		return;
	}
	assert(id != 0);
	struct replica_peer *peer = calloc(1, sizeof(*peer));
	if (peer == NULL) {
		fatal("out of memory: a member");
	}
	peer->replica = r;
	peer->id = id;
	snprintf(peer->address, sizeof(peer->address), "%s", address);
	r->peers[r->peer_count++] = peer;
	transport_add(r->transport, id, peer->address);
}

void peers_follow(struct replica *r)
{
	const struct raft_configuration *configuration = &r->core.configuration;
	for (unsigned i = 0; i < configuration->n; i++) {
		add(r, configuration->servers[i].id, configuration->servers[i].address);
	}
}

/* ---- what comes in ---- */

static void frame_of_member(struct replica *r, struct replica_peer *peer, struct link *from,
			    const struct frame *frame)
{
	struct raft_message message;
	assert(!r->stopped);
	assert(!r->closing);
	assert(from->peer_id == peer->id);
	if (!r->admitted) {
		return; /* who says it says it again */
	}
	switch (frame->type) {
	case FRAME_APPEND:
		append_receive(r, from, peer, frame);
		return;
	case FRAME_PROBE:
		read_index_probe(r, peer, frame);
		return;
	case FRAME_ECHO:
		read_index_echo(r, peer, frame);
		return;
	default:
		break;
	}
	if (message_take(frame, peer->id, &message) != 0) {
		r->count.frames_bad++;
		link_drop(from);
		return;
	}
	/* In other states the core reads a byte of a pointer. */
	if (message.type == RAFT_REQUEST_VOTE_RESULT && r->core.state != RAFT_CANDIDATE) {
		return;
	}
	if (message.type == RAFT_APPEND_ENTRIES_RESULT) {
		const struct raft_append_entries_result *result = &message.append_entries_result;
		peer->has_room = result->capacity > 0;
		peer->coming_ms = append_says_coming(result) ? env_now_ms(r->env) : 0;
		refill_result(r, peer, from, &message.append_entries_result);
	}
	message.server_id = peer->id;
	message.server_address = peer->address;
	step_receive(r, &message);
}

static void frame_cb(void *owner, struct link *from, const struct frame *frame)
{
	struct replica *r = owner;
	struct replica_peer *peer = peers_find(r, from->peer_id);
	if (r->stopped || r->closing || peer == NULL) {
		return;
	}
	if (from->hello.kind == FRAME_RAFT && !from->dialed) {
		frame_of_member(r, peer, from, frame);
	} else if (from->hello.kind == FRAME_REQUESTS && !from->dialed && frame->type == FRAME_REQUEST) {
		forward_request(r, peer, frame);
	} else if (from->hello.kind == FRAME_REQUESTS && from->dialed && frame->type == FRAME_REPLY) {
		forward_answer(r, frame);
	} else {
		r->count.frames_bad++;
	}
}

static void coming_cb(void *owner, struct link *from, uint8_t type)
{
	struct replica *r = owner;
	struct replica_peer *peer = peers_find(r, from->peer_id);
	bool counts = from->hello.kind == FRAME_RAFT && type == FRAME_APPEND && peer != NULL;
	if (counts && r->admitted && !r->stopped && !r->closing) {
		patience_coming(r, peer);
	}
}

static void connected_cb(void *owner, uint64_t id, enum frame_connection kind)
{
	struct replica *r = owner;
	struct replica_peer *peer = peers_find(r, id);
	if (peer != NULL) {
		seat_heard(r, peer);
	}
	if (peer != NULL && kind == FRAME_RAFT) {
		peer->sent_to = peer->coming_ms = 0;
		peer->has_room = false;
		peer->job_count = peer->reading ? peer->job_count : 0;
	}
}

static void disconnected_cb(void *owner, uint64_t id, enum frame_connection kind)
{
	struct replica *r = owner;
	if (kind == FRAME_REQUESTS) {
		forward_disconnected(r, id);
	}
}

static void refused_cb(void *owner, uint64_t id)
{
	struct replica *r = owner;
	if (!r->stopped && !r->closing) {
		patience_refused(r, id);
	}
}

static void stamp_cb(void *owner, uint64_t stamp_ms)
{
	struct replica *r = owner;
	if (r->events->on_stamp != NULL && !r->stopped && !r->closing) {
		r->events->on_stamp(r->config.owner, stamp_ms);
	}
}

static const struct transport_events events = {
	.frame = frame_cb,
	.coming = coming_cb,
	.connected = connected_cb,
	.disconnected = disconnected_cb,
	.refused = refused_cb,
	.stamp = stamp_cb,
	.forgotten = seat_refused_cb,
};

/* ---- life ---- */

void peers_init(struct replica *r)
{
	struct transport_config transport = {
		.env = r->env,
		.log = r->log,
		.cluster_id = r->config.cluster_id,
		.id = r->config.id,
		.listen = r->config.listen,
		.events = &events,
		.owner = r,
	};
	r->transport = transport_new(&transport);
	for (size_t i = 0; i < r->config.member_count; i++) {
		add(r, r->config.members[i].id, r->config.members[i].address);
	}
}

void peers_fini(struct replica *r)
{
	transport_free(r->transport);
	for (size_t i = 0; i < r->peer_count; i++) {
		free(r->peers[i]);
	}
}

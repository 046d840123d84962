#include "raft/peer/transport.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/peer/transport_private.h"

static const struct link_events link_events;

static enum frame_connection kind_of(size_t i)
{
	return i == 0 ? FRAME_RAFT : FRAME_REQUESTS;
}

struct peer *transport_find(const struct transport *transport, uint64_t id)
{
	for (size_t i = 0; i < transport->peer_count; i++) {
		if (transport->peers[i]->id == id) {
			return transport->peers[i];
		}
	}
	return NULL;
}

/* ---- what links tell ---- */

static void ready(struct link *link)
{
	struct transport *transport = link->owner;
	if (link->dialed) {
		transport->config.events->connected(transport->config.owner, link->peer_id,
						    (enum frame_connection)link->hello.kind);
		if (link_ready(link) && !transport->held) {
			transport_ping(transport, link); /* whoever is elected next knows what time it is */
		}
		return;
	}
	/* It lives: do not wait for the back-off. */
	struct peer *peer = transport_find(transport, link->peer_id);
	assert(peer != NULL); /* others do not come in */
	for (size_t i = 0; i < DIALED; i++) {
		link_dial(&peer->links[i]);
	}
}

static void frame(struct link *link, const struct frame *frame)
{
	struct transport *transport = link->owner;
	assert(link_ready(link));
	transport->stats.frames_in++;
	if (frame->stamp_ms > transport->stamp_ms) {
		transport->stamp_ms = frame->stamp_ms;
		transport->config.events->stamp(transport->config.owner, frame->stamp_ms);
	}
	if (frame->type == FRAME_PONG) {
		transport_take_clock(transport, link, frame->body);
	} else {
		transport->config.events->frame(transport->config.owner, link, frame);
	}
}

static void coming(struct link *link, uint8_t type)
{
	struct transport *transport = link->owner;
	assert(link_ready(link));
	assert(!link->dialed);
	if (transport->config.events->coming != NULL) {
		transport->config.events->coming(transport->config.owner, link, type);
	}
}

static void check_closed(struct transport *transport)
{
	if (!transport->closing || !list_empty(&transport->accepted)) {
		return;
	}
	for (size_t i = 0; i < transport->peer_count; i++) {
		for (size_t j = 0; j < DIALED; j++) {
			if (transport->peers[i]->links[j].stream != NULL) {
				return;
			}
		}
	}
	env_turn_arm(&transport->closed_turn);
}

static void ended(struct link *link, bool was_ready)
{
	struct transport *transport = link->owner;
	assert(link->stream == NULL);
	assert(!link_ready(link));
	if (link->dialed && was_ready) {
		transport->stats.reconnects++;
		transport->config.events->disconnected(transport->config.owner, link->peer_id,
						       (enum frame_connection)link->hello.kind);
	}
	if (!link->dialed) {
		transport->stats.frames_out += link->frames_out;
		list_remove(&link->siblings);
		link_fini(link);
		free(link);
	}
	check_closed(transport);
}

static void refused(struct link *link)
{
	struct transport *transport = link->owner;
	assert(link->dialed);
	if (link->hello.kind == FRAME_RAFT) {
		transport->config.events->refused(transport->config.owner, link->peer_id);
	}
}

static void bad_frame(struct link *link, int status)
{
	struct transport *transport = link->owner;
	transport->stats.frames_bad++;
	if (status == ERR_VERSION && link->state == LINK_GREETING) {
		transport_refused_version(transport, link);
	} else if (link->commands && link->state == LINK_GREETING && transport_may_say(transport)) {
		log_event(transport->config.log, LOG_WARN, "client_on_peer_port",
			  "address=%s a Redis client speaks to the port between nodes: clients use the port of "
			  "the setting listen",
			  env_stream_peer(link->stream));
	} else if (transport_may_say(transport)) {
		log_event(transport->config.log, LOG_WARN, "peer_bad_frame", "peer=%llu address=%s reason=%s",
			  (unsigned long long)link->peer_id, env_stream_peer(link->stream), err_name(status));
	}
}

static const struct link_events link_events = {
	.greeted = transport_greeted,
	.ready = ready,
	.frame = frame,
	.coming = coming,
	.ended = ended,
	.refused = refused,
	.bad_frame = bad_frame,
};

static void accepted_cb(void *owner, struct env_stream *stream)
{
	struct transport *transport = owner;
	if (transport->closing || !transport_make_room(transport)) {
		env_stream_close(stream);
		return;
	}
	struct link *link = malloc(sizeof(*link));
	if (link == NULL) {
		fatal("out of memory: a connection of a member");
	}
	/* Whom it is from and what kind it has comes with its hello. */
	struct hello hello = {.cluster_id = transport->config.cluster_id,
			      .from_id = transport->config.id,
			      .life = lives_own(transport->lives),
			      .members = transport->told};
	link_init_accepted(link, transport->config.env, &link_events, transport, stream, &hello,
			   &transport->stamp_ms);
	list_append(&transport->accepted, &link->siblings);
}

/* ---- life ---- */

static void closed_turn_cb(struct env_turn *turn)
{
	struct transport *transport = list_entry(turn, struct transport, closed_turn);
	assert(transport->closing);
	assert(list_empty(&transport->accepted));
	transport->closed(transport->config.owner);
}

struct transport *transport_new(const struct transport_config *config)
{
	assert(config->id != 0);
	assert(config->events != NULL);
	struct transport *transport = calloc(1, sizeof(*transport));
	if (transport == NULL) {
		fatal("out of memory: connections to members");
	}
	transport->config = *config;
	if (config->listen != NULL) {
		snprintf(transport->listen, sizeof(transport->listen), "%s", config->listen);
		transport->config.listen = transport->listen;
	}
	list_init(&transport->accepted);
	env_timer_init(config->env, &transport->ping, transport_pulse_cb);
	env_turn_init(config->env, &transport->closed_turn, closed_turn_cb);
	return transport;
}

void transport_set_lives(struct transport *transport, struct lives *lives)
{
	assert(!transport->started);
	transport->lives = lives;
}

void transport_set_members(struct transport *transport, uint32_t members, bool founding)
{
	assert(!transport->started);
	transport->members = members;
	transport->told = founding ? members : 0;
}

/* From here on, and by itself again whenever it ends. */
static void dial(struct transport *transport, struct link *link)
{
	link->hello.life = lives_own(transport->lives);
	link->hello.members = transport->told;
	link_dial(link);
}

static void unlisten(struct transport *transport)
{
	if (transport->listener != NULL) {
		env_listener_close(transport->listener);
		transport->listener = NULL;
	}
}

int transport_start(struct transport *transport, struct err *err)
{
	assert(!transport->started);
	assert(transport->lives != NULL);
	if (transport->config.listen != NULL) {
		transport->listener = env_listen(transport->config.env, transport->config.listen, accepted_cb,
						 transport, err);
		if (transport->listener == NULL) {
			return err == NULL ? ERR_IO : err->code;
		}
	}
	int status = lives_begin(transport->lives, err);
	if (status != 0) {
		unlisten(transport);
		return status;
	}
	transport->started = true;
	for (size_t i = 0; i < transport->peer_count; i++) {
		for (size_t j = 0; j < DIALED; j++) {
			dial(transport, &transport->peers[i]->links[j]);
		}
	}
	env_timer_start(&transport->ping, LINK_PING_MS);
	return 0;
}

void transport_close(struct transport *transport, void (*closed)(void *owner))
{
	assert(!transport->closing);
	assert(closed != NULL);
	transport->closing = true;
	transport->closed = closed;
	env_timer_stop(&transport->ping);
	unlisten(transport);
	list_for_each (at, &transport->accepted) {
		link_drop(list_entry(at, struct link, siblings));
	}
	for (size_t i = 0; i < transport->peer_count; i++) {
		for (size_t j = 0; j < DIALED; j++) {
			transport->peers[i]->links[j].closing = true;
			link_drop(&transport->peers[i]->links[j]);
		}
	}
	check_closed(transport);
}

void transport_free(struct transport *transport)
{
	if (transport == NULL) {
		return;
	}
	env_timer_stop(&transport->ping);
	env_turn_cancel(&transport->closed_turn);
	for (struct list *at; (at = list_pop(&transport->accepted)) != NULL;) {
		struct link *link = list_entry(at, struct link, siblings);
		link_fini(link);
		free(link);
	}
	for (size_t i = 0; i < transport->peer_count; i++) {
		for (size_t j = 0; j < DIALED; j++) {
			link_fini(&transport->peers[i]->links[j]);
		}
		free(transport->peers[i]);
	}
	free(transport);
}

void transport_add(struct transport *transport, uint64_t id, const char *address)
{
	assert(id != 0);
	assert(id != transport->config.id);
	struct peer *peer = transport_find(transport, id);
	if (peer != NULL) {
		for (size_t j = 0; j < DIALED; j++) {
			snprintf(peer->links[j].address, sizeof(peer->links[j].address), "%s", address);
		}
		return;
	}
	assert(transport->peer_count < LIMIT_MEMBERS);
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL) {
		fatal("out of memory: a member's connections");
	}
	peer->id = id;
	for (size_t j = 0; j < DIALED; j++) {
		struct hello hello = {.cluster_id = transport->config.cluster_id,
				      .from_id = transport->config.id,
				      .to_id = id,
				      .kind = (uint8_t)kind_of(j)};
		link_init_dialed(&peer->links[j], transport->config.env, &link_events, transport, address,
				 &hello, &transport->stamp_ms);
		if (transport->started) {
			dial(transport, &peer->links[j]);
		}
	}
	transport->peers[transport->peer_count++] = peer;
}

/* ---- sending ---- */

struct link *transport_link(struct transport *transport, uint64_t id, enum frame_connection kind)
{
	struct peer *peer = transport_find(transport, id);
	for (size_t j = 0; peer != NULL && j < DIALED; j++) {
		if (kind_of(j) == kind && link_ready(&peer->links[j])) {
			return &peer->links[j];
		}
	}
	return NULL;
}

struct link *transport_requester(struct transport *transport, uint64_t id)
{
	struct link *newest = NULL;
	list_for_each (at, &transport->accepted) {
		struct link *link = list_entry(at, struct link, siblings);
		if (link->peer_id == id && link->hello.kind == FRAME_REQUESTS && link_ready(link)) {
			newest = link;
		}
	}
	return newest;
}

void transport_flush(struct transport *transport)
{
	if (transport->held) {
		return;
	}
	for (size_t i = 0; i < transport->peer_count; i++) {
		for (size_t j = 0; j < DIALED; j++) {
			link_flush(&transport->peers[i]->links[j]);
		}
	}
	list_for_each (at, &transport->accepted) {
		link_flush(list_entry(at, struct link, siblings));
	}
}

void transport_hold(struct transport *transport, bool hold)
{
	transport->held = hold;
	transport_flush(transport);
}

void transport_stamp(struct transport *transport, uint64_t stamp_ms)
{
	transport->stamp_ms = stamp_ms > transport->stamp_ms ? stamp_ms : transport->stamp_ms;
}

uint64_t transport_highest_stamp(const struct transport *transport)
{
	return transport->stamp_ms;
}

void transport_stats(const struct transport *transport, struct transport_stats *stats)
{
	*stats = transport->stats;
	list_for_each (at, &transport->accepted) {
		stats->frames_out += list_entry(at, struct link, siblings)->frames_out;
	}
	for (size_t i = 0; i < transport->peer_count; i++) {
		for (size_t j = 0; j < DIALED; j++) {
			stats->frames_out += transport->peers[i]->links[j].frames_out;
		}
	}
}

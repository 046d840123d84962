/* What arrived is told, in the turn; and listeners. */
#include "tests/sim/sim_net.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (64 * 1024)

static void accept_now(struct sim_stream *s)
{
	struct sim_listener *l = s->listener;
	s->listener = NULL;
	if (l->closed) {
		sim_stream_shut(s, ERR_CANCELLED, true);
		return;
	}
	l->accepted(l->owner, &s->stream);
	assert(s->e->env.dead || s->events != NULL || s->state == STREAM_GONE);
}

/* The reader took bytes: there is room for the writer. */
static void gave_room(struct sim_stream *s, size_t bytes)
{
	struct direction *way = &s->conn->ways[s->side];
	way->held -= bytes;
	struct sim_stream *writer = s->conn->ends[1 - s->side];
	if (writer != NULL && writer->state != STREAM_CONNECTING && !writer->e->env.dead) {
		sim_stream_pump(writer);
	}
}

static void read_data(struct sim_stream *s)
{
	/* As recv does: all that is there, up to the buffer's size, in one piece. */
	size_t there = 0;
	list_for_each(link, &s->ready)
	{
		const struct segment *segment = list_entry(link, struct segment, link);
		if (segment->kind != SEGMENT_DATA || there >= READ_BYTES) {
			break;
		}
		there += segment->len - segment->taken;
	}
	there = there < READ_BYTES ? there : READ_BYTES;
	assert(there > 0);
	uint8_t *buffer = malloc(there);
	if (buffer == NULL) {
		fatal("out of memory in the simulated network");
	}
	size_t len = 0;
	while (!list_empty(&s->ready) && len < there) {
		struct segment *segment = list_entry(s->ready.next, struct segment, link);
		if (segment->kind != SEGMENT_DATA) {
			break;
		}
		size_t left = segment->len - segment->taken;
		size_t take = left < there - len ? left : there - len;
		memcpy(buffer + len, segment->bytes + segment->taken, take);
		len += take;
		segment->taken += take;
		if (segment->taken == segment->len) {
			list_remove(&segment->link);
			free(segment);
		}
	}
	assert(len == there);
	gave_room(s, len);
	s->events->data(s->owner, slice_of(buffer, len));
	free(buffer);
}

static void end_arrived(struct sim_stream *s)
{
	if (s->events->ended == NULL && list_empty(&s->queue)) {
		sim_stream_shut(s, ERR_CLOSED, true);
		return;
	}
	s->state = STREAM_ENDED;
	if (s->events->ended != NULL) {
		s->events->ended(s->owner);
	}
}

void sim_stream_deliver(struct sim_item *item)
{
	struct sim_stream *s = list_entry(item, struct sim_stream, item);
	if (s->listener != NULL) {
		accept_now(s);
	}
	while (!s->e->env.dead && s->state != STREAM_GONE && !list_empty(&s->ready)) {
		struct segment *segment = list_entry(s->ready.next, struct segment, link);
		enum segment_kind kind = segment->kind;
		if (kind == SEGMENT_DATA) {
			if (s->paused || s->state != STREAM_OPEN) {
				return;
			}
			read_data(s);
			continue;
		}
		if (kind == SEGMENT_END && s->paused) {
			return;
		}
		list_remove(&segment->link);
		free(segment);
		if (kind == SEGMENT_RESET) {
			sim_stream_shut(s, ERR_CLOSED, false);
		} else if (kind == SEGMENT_END) {
			end_arrived(s);
		} else if (kind == SEGMENT_ACCEPTED && s->state == STREAM_CONNECTING) {
			sim_event_cancel(s->e->sim, &s->timeout);
			s->state = STREAM_OPEN;
			sim_stream_pump(s);
			if (s->events->opened != NULL) {
				s->events->opened(s->owner, 0);
			}
		}
	}
}

/* ---- listeners ---- */

struct sim_listener *sim_listener_find(const struct sim_host *host, unsigned port)
{
	if (host->env == NULL) {
		return NULL;
	}
	list_for_each(link, &host->env->listeners)
	{
		struct sim_listener *l = list_entry(link, struct sim_listener, link);
		if (l->port == port && !l->closed) {
			return l;
		}
	}
	return NULL;
}

struct env_listener *sim_net_listen(struct env *env, const char *address,
				    void (*accepted)(void *owner, struct env_stream *stream), void *owner,
				    struct err *err)
{
	struct sim_env *e = sim_env_of(env);
	char host[32];
	unsigned port;
	if (!env_address_split(address, host, sizeof(host), &port)) {
		err_set(err, ERR_INVALID, "%s is no address; it is written host:port", address);
		return NULL;
	}
	if (strcmp(host, e->host->name) != 0) {
		err_set(err, ERR_NOT_FOUND, "cannot listen on %s: this is %s", address, e->host->name);
		return NULL;
	}
	if (port != 0 && sim_listener_find(e->host, port) != NULL) {
		err_set(err, ERR_EXISTS, "cannot listen on %s: in use", address);
		return NULL;
	}
	struct sim_listener *l = sim_net_allocate(sizeof(*l));
	l->listener.env = env;
	l->e = e;
	l->port = port != 0 ? port : 20000 + (unsigned)(++e->sim->next_port % 20000);
	l->accepted = accepted;
	l->owner = owner;
	list_append(&e->listeners, &l->link);
	return &l->listener;
}

unsigned sim_net_listener_port(const struct env_listener *listener)
{
	return ((const struct sim_listener *)listener)->port;
}

/* Streams that wait to be accepted still point here: the memory goes with the env. */
void sim_net_listener_close(struct env_listener *listener) { ((struct sim_listener *)listener)->closed = true; }


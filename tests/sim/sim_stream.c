/* An end of a connection: what a program does to it. */
#include "tests/sim/sim_net.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES (64 * 1024)
#define PACKET_BYTES 1448 /* a segment on a narrow link, where what is long comes bit by bit */
#define CONNECT_TIMEOUT_US 3000000
#define WRITE_FEW 10

/* What env_write.impl holds. */
struct write_state {
	struct slice *slices;
	uint32_t count, at;
	int status;
	struct slice few[WRITE_FEW];
};
_Static_assert(sizeof(struct write_state) <= sizeof(((struct env_write *)0)->impl), "a write fits its request");

static struct sim_stream *stream_of(const struct env_stream *stream) { return (struct sim_stream *)stream; }
static struct write_state *write_state(struct env_write *write) { return (struct write_state *)write->impl; }

/* ---- writing ---- */

static void write_finish(struct sim_stream *s, struct env_write *write, int status)
{
	struct write_state *state = write_state(write);
	if (state->slices != state->few) {
		free(state->slices);
		state->slices = state->few;
	}
	state->status = status;
	list_append(&s->e->written, &write->link);
	if (!s->e->in_turn) {
		sim_env_schedule(s->e);
	}
}

static void fail_queue(struct sim_stream *s, int status)
{
	struct list *link;
	while ((link = list_pop(&s->queue)) != NULL) {
		write_finish(s, list_entry(link, struct env_write, link), status);
	}
	s->unsent = 0;
}

/* Copies up to len bytes of the queued writes, which end when they are copied whole. */
static void take_queued(struct sim_stream *s, uint8_t *bytes, size_t len)
{
	while (!list_empty(&s->queue)) {
		struct env_write *write = list_entry(s->queue.next, struct env_write, link);
		struct write_state *state = write_state(write);
		while (state->at < state->count) {
			struct slice *part = &state->slices[state->at];
			size_t take = part->len < len ? part->len : len;
			if (take > 0) {
				memcpy(bytes, part->data, take);
			}
			bytes += take;
			len -= take;
			*part = slice_skip(*part, take);
			if (part->len > 0) {
				return;
			}
			state->at++;
		}
		list_remove(&write->link);
		write_finish(s, write, 0);
	}
}

/* Moves queued bytes to the kernel while it has room. */
void sim_stream_pump(struct sim_stream *s)
{
	struct direction *way = &s->conn->ways[1 - s->side];
	struct sim *sim = s->e->sim;
	while (!list_empty(&s->queue) && way->held < PIPE_BYTES) {
		size_t room = PIPE_BYTES - way->held;
		size_t len = s->unsent < room ? s->unsent : room;
		size_t most = sim_way_link(way)->bytes_per_ms != 0 ? PACKET_BYTES : SEGMENT_BYTES;
		len = len < most ? len : most;
		if (len > 1 && prng_chance(&sim->prng, sim_way_link(way)->split_per_million, 1000000)) {
			len = 1 + prng_below(&sim->prng, len);
		}
		struct segment *segment = sim_segment_new(len);
		take_queued(s, segment->bytes, len);
		s->unsent -= len;
		way->held += len;
		if (len == 0) {
			free(segment); /* writes of nothing */
			continue;
		}
		sim_segment_send(way, SEGMENT_DATA, segment);
	}
	if (s->state == STREAM_ENDED && list_empty(&s->queue) && s->events->ended == NULL) {
		sim_stream_shut(s, ERR_CLOSED, true);
	}
}

/* ---- closing ---- */

static void detach(struct sim_stream *s)
{
	struct conn *conn = s->conn;
	if (conn == NULL) {
		return;
	}
	s->conn = NULL;
	conn->ends[s->side] = NULL;
	sim_conn_collect(conn);
}

void sim_stream_shut(struct sim_stream *s, int status, bool tell_peer)
{
	assert(s->state != STREAM_GONE);
	s->opening = s->state == STREAM_CONNECTING && status != ERR_CANCELLED;
	s->status = status;
	s->state = STREAM_GONE;
	fail_queue(s, status == ERR_CANCELLED ? ERR_CANCELLED : ERR_CLOSED);
	sim_segments_free(&s->ready);
	list_remove(&s->item.link);
	sim_event_cancel(s->e->sim, &s->timeout);
	if (tell_peer && s->conn != NULL) {
		sim_segment_send(&s->conn->ways[1 - s->side], SEGMENT_END, NULL);
	}
	detach(s);
	list_remove(&s->link);
	list_append(&s->e->gone, &s->link);
	if (!s->e->in_turn) {
		sim_env_schedule(s->e);
	}
}

static void timeout_fire(struct sim_event *event)
{
	struct sim_stream *s = list_entry(event, struct sim_stream, timeout);
	sim_stream_shut(s, s->conn == NULL ? s->status : ERR_TIMEOUT, false);
}

struct sim_stream *sim_stream_new(struct sim_env *e, struct conn *conn, int side)
{
	struct sim_stream *s = sim_net_allocate(sizeof(*s));
	s->stream.env = &e->env;
	s->e = e;
	s->conn = conn;
	s->side = side;
	list_init(&s->ready);
	list_init(&s->queue);
	list_init(&s->item.link);
	s->item.deliver = sim_stream_deliver;
	sim_event_init(&s->timeout, timeout_fire);
	list_append(&e->streams, &s->link);
	return s;
}

bool sim_net_report(struct sim_env *e)
{
	bool any = false;
	while (!e->env.dead) {
		struct list *link = list_pop(&e->written);
		if (link != NULL) {
			struct env_write *write = list_entry(link, struct env_write, link);
			write->cb(write, write_state(write)->status);
			any = true;
			continue;
		}
		if (list_empty(&e->gone)) {
			break;
		}
		struct sim_stream *s = list_entry(e->gone.next, struct sim_stream, link);
		/* Dead from inside a callback, the stream must still be found by sim_net_free. */
		list_remove(&s->link);
		list_append(&e->streams, &s->link);
		if (s->events != NULL && s->opening && s->events->opened != NULL) {
			s->opening = false;
			s->events->opened(s->owner, s->status);
		}
		if (s->events != NULL && !e->env.dead) {
			s->events->closed(s->owner, s->status);
		}
		if (!e->env.dead) {
			list_remove(&s->link);
			free(s);
		}
		any = true;
	}
	return any;
}

/* ---- the door ---- */

static struct sim_host *find_host(struct sim *sim, const char *name)
{
	for (size_t i = 0; i < sim->host_count; i++) {
		if (strcmp(sim->hosts[i]->name, name) == 0) {
			return sim->hosts[i];
		}
	}
	return NULL;
}

/* Failing at once is not allowed: it fails a little later. */
static void fail_soon(struct sim_stream *s, int status)
{
	s->status = status;
	sim_event_in(s->e->sim, &s->timeout, 1);
}

struct env_stream *sim_net_connect(struct env *env, const char *address, const struct env_stream_events *events,
				   void *owner)
{
	struct sim_env *e = sim_env_of(env);
	struct sim_stream *s = sim_stream_new(e, NULL, 0);
	s->events = events;
	s->owner = owner;
	snprintf(s->peer, sizeof(s->peer), "%s", address);
	if (env->dead) {
		return &s->stream;
	}
	char host[32];
	unsigned port;
	if (!env_address_split(address, host, sizeof(host), &port)) {
		fail_soon(s, ERR_INVALID);
		return &s->stream;
	}
	struct sim_host *to = find_host(e->sim, host);
	if (to == NULL) {
		fail_soon(s, ERR_NOT_FOUND);
		return &s->stream;
	}
	struct conn *conn = sim_conn_new(e->host, to, port);
	conn->ends[0] = s;
	s->conn = conn;
	sim_event_in(e->sim, &s->timeout, CONNECT_TIMEOUT_US);
	sim_segment_send(&conn->ways[1], SEGMENT_OPEN, NULL);
	return &s->stream;
}

void sim_net_set(struct env_stream *stream, const struct env_stream_events *events, void *owner)
{
	struct sim_stream *s = stream_of(stream);
	s->events = events;
	s->owner = owner;
}

void sim_net_write(struct env_stream *stream, struct env_write *write, const struct slice *slices, size_t count)
{
	struct sim_stream *s = stream_of(stream);
	struct write_state *state = write_state(write);
	list_init(&write->link);
	write->stream = stream;
	state->slices = state->few;
	if (s->e->env.dead) {
		return;
	}
	if (s->state == STREAM_GONE) {
		write_finish(s, write, s->status == ERR_CANCELLED ? ERR_CANCELLED : ERR_CLOSED);
		return;
	}
	if (count > WRITE_FEW) {
		state->slices = sim_net_allocate(count * sizeof(*state->slices));
	}
	memcpy(state->slices, slices, count * sizeof(*slices));
	state->count = (uint32_t)count;
	state->at = 0;
	for (size_t i = 0; i < count; i++) {
		s->unsent += slices[i].len;
	}
	list_append(&s->queue, &write->link);
	if (s->state != STREAM_CONNECTING) {
		sim_stream_pump(s);
	}
}

size_t sim_net_unsent(const struct env_stream *stream) { return stream_of(stream)->unsent; }
void sim_net_pause(struct env_stream *stream) { stream_of(stream)->paused = true; }

void sim_net_resume(struct env_stream *stream)
{
	struct sim_stream *s = stream_of(stream);
	s->paused = false;
	if (!list_empty(&s->ready)) {
		sim_env_post(s->e, &s->item);
	}
}

void sim_net_close(struct env_stream *stream)
{
	struct sim_stream *s = stream_of(stream);
	if (s->e->env.dead) {
		return;
	}
	if (s->state == STREAM_GONE) {
		s->status = ERR_CANCELLED;
		s->opening = false;
		return;
	}
	sim_stream_shut(s, ERR_CANCELLED, true);
}

const char *sim_net_peer(const struct env_stream *stream) { return stream_of(stream)->peer; }

/* ---- death ---- */

static void kernel_closes(struct sim_stream *s, enum sim_kill kill)
{
	struct conn *conn = s->conn;
	if (conn == NULL || kill == SIM_KILL_POWER) {
		return;
	}
	struct direction *way = &conn->ways[1 - s->side];
	if (prng_chance(&conn->sim->prng, 1, 2)) {
		sim_segment_reset(way);
	} else {
		sim_segment_send(way, SEGMENT_END, NULL);
	}
}

void sim_net_kill(struct sim_env *e, enum sim_kill kill)
{
	list_splice(&e->streams, &e->gone);
	while (list_pop(&e->written) != NULL) {
	}
	list_for_each(link, &e->streams)
	{
		struct sim_stream *s = list_entry(link, struct sim_stream, link);
		sim_event_cancel(e->sim, &s->timeout);
		list_remove(&s->item.link);
		struct list *queued;
		while ((queued = list_pop(&s->queue)) != NULL) {
			struct write_state *state = write_state(list_entry(queued, struct env_write, link));
			if (state->slices != state->few) {
				free(state->slices);
				state->slices = state->few;
			}
		}
		kernel_closes(s, kill);
		detach(s);
	}
}

void sim_net_free(struct sim_env *e)
{
	struct list *link;
	while ((link = list_pop(&e->streams)) != NULL) {
		struct sim_stream *s = list_entry(link, struct sim_stream, link);
		sim_segments_free(&s->ready);
		free(s);
	}
	while ((link = list_pop(&e->listeners)) != NULL) {
		free(list_entry(link, struct sim_listener, link));
	}
}


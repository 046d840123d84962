/* Streams of the simulated body: connections as TCP gives them.
 *
 * A connection has two ends and two directions. What an end writes is cut into
 * segments that arrive in order after the link's delay; a direction holds at
 * most PIPE_BYTES that its receiver has not taken, the rest waits in the writer,
 * so a reader that stops is felt. The kernel is not the program: it accepts
 * connections and bytes while the program is paused, says FIN or RST when it dies, and
 * nothing when the power goes. A cut link delays, as repeated segments do.
 *
 *   CONNECTING ──▶ OPEN ──▶ ENDED ──▶ GONE ──▶ freed
 *       └────────────┴──────────────────┘
 */
#include "tests/sim/sim_body.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIPE_BYTES (256 * 1024)
#define SEGMENT_BYTES (64 * 1024)
#define READ_BYTES (64 * 1024)
#define CONNECT_TIMEOUT_US 3000000
#define REPEAT_US 200000 /* how long after a heal or a restart lost segments come again, at most */
#define WRITE_FEW 10

enum segment_kind { SEGMENT_OPEN, SEGMENT_ACCEPTED, SEGMENT_DATA, SEGMENT_END, SEGMENT_RESET };
static const char *const segment_names[] = {"syn", "synack", "data", "fin", "rst"};

struct segment {
	struct list link;
	enum segment_kind kind;
	uint64_t at_us;
	size_t len, taken;
	uint8_t bytes[];
};

struct conn;
struct direction {
	struct conn *conn;
	int to; /* the end it goes to */
	struct list segments;
	struct sim_event arrival;
	uint64_t last_at_us;
	size_t held; /* bytes given by the writer and not taken by the reader */
	bool waits;  /* the head's time came while the link was cut */
};

struct conn {
	struct list link;
	struct sim *sim;
	struct sim_host *hosts[2];
	struct sim_stream *ends[2]; /* NULL: nobody there (any more) */
	struct direction ways[2];   /* ways[i] leads to end i */
	unsigned port;
};

enum stream_state { STREAM_CONNECTING, STREAM_OPEN, STREAM_ENDED, STREAM_GONE };

struct sim_stream {
	struct env_stream stream;
	struct sim_env *e;
	struct conn *conn;
	int side;
	struct list link; /* sim_env.streams, then gone */
	enum stream_state state;
	int status;
	bool opening; /* connecting failed and opened has not been told */
	bool paused, end_seen;
	struct list ready;   /* segments that arrived */
	struct sim_item item; /* ready changed */
	struct sim_event timeout;
	const struct env_stream_events *events;
	void *owner;
	struct sim_listener *listener; /* not yet accepted */
	struct list queue;
	size_t unsent;
	char peer[48];
};

struct sim_listener {
	struct env_listener listener;
	struct sim_env *e;
	struct list link;
	unsigned port;
	bool closed;
	void (*accepted)(void *owner, struct env_stream *stream);
	void *owner;
};

/* What env_write.impl holds. */
struct write_state {
	struct slice *slices;
	uint32_t count, at;
	int status;
	struct slice few[WRITE_FEW];
};
_Static_assert(sizeof(struct write_state) <= sizeof(((struct env_write *)0)->impl), "a write fits its request");

static void stream_shut(struct sim_stream *s, int status, bool tell_peer);
static struct sim_stream *stream_of(const struct env_stream *stream) { return (struct sim_stream *)stream; }
static struct write_state *write_state(struct env_write *write) { return (struct write_state *)write->impl; }

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);
	if (memory == NULL) {
		fatal("out of memory in the simulated network");
	}
	return memory;
}

/* ---- connections and segments ---- */

static void free_segments(struct list *segments)
{
	struct list *link;
	while ((link = list_pop(segments)) != NULL) {
		free(list_entry(link, struct segment, link));
	}
}

static void conn_free(struct conn *conn)
{
	for (int i = 0; i < 2; i++) {
		sim_event_cancel(conn->sim, &conn->ways[i].arrival);
		free_segments(&conn->ways[i].segments);
	}
	list_remove(&conn->link);
	free(conn);
}

static void conn_collect(struct conn *conn)
{
	if (conn->ends[0] == NULL && conn->ends[1] == NULL && list_empty(&conn->ways[0].segments) &&
	    list_empty(&conn->ways[1].segments)) {
		conn_free(conn);
	}
}

static struct sim_link *way_link(const struct direction *way)
{
	const struct conn *conn = way->conn;
	return &conn->sim->links[conn->hosts[1 - way->to]->index][conn->hosts[way->to]->index];
}

static void send_segment(struct direction *way, enum segment_kind kind, struct segment *segment)
{
	struct sim *sim = way->conn->sim;
	const struct sim_link *link = way_link(way);
	if (segment == NULL) {
		segment = allocate(sizeof(*segment));
	}
	segment->kind = kind;
	uint64_t at = sim->now_us + link->delay_us + prng_below(&sim->prng, link->jitter_us + 1);
	if (link->bytes_per_ms != 0) {
		uint64_t from = way->last_at_us > sim->now_us ? way->last_at_us : sim->now_us;
		uint64_t through = from + segment->len * 1000 / link->bytes_per_ms;
		at = at > through ? at : through;
	}
	segment->at_us = at > way->last_at_us ? at : way->last_at_us;
	way->last_at_us = segment->at_us;
	bool first = list_empty(&way->segments);
	list_append(&way->segments, &segment->link);
	if (first) {
		way->waits = false;
		sim_event_at(sim, &way->arrival, segment->at_us);
	}
}

/* RST: half the time it overtakes what is under way. */
static void send_reset(struct direction *way)
{
	if (prng_chance(&way->conn->sim->prng, 1, 2)) {
		sim_event_cancel(way->conn->sim, &way->arrival);
		free_segments(&way->segments);
	}
	way->conn->sim->stats.resets++;
	send_segment(way, SEGMENT_RESET, NULL);
}

/* ---- arrival ---- */

static struct sim_listener *find_listener(const struct sim_host *host, unsigned port)
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

static void deliver(struct sim_item *item);
static void timeout_fire(struct sim_event *event);

static struct sim_stream *stream_new(struct sim_env *e, struct conn *conn, int side)
{
	struct sim_stream *s = allocate(sizeof(*s));
	s->stream.env = &e->env;
	s->e = e;
	s->conn = conn;
	s->side = side;
	list_init(&s->ready);
	list_init(&s->queue);
	list_init(&s->item.link);
	s->item.deliver = deliver;
	sim_event_init(&s->timeout, timeout_fire);
	list_append(&e->streams, &s->link);
	return s;
}

static void syn_arrived(struct conn *conn)
{
	struct sim_listener *l = find_listener(conn->hosts[1], conn->port);
	if (l == NULL) {
		send_segment(&conn->ways[0], SEGMENT_RESET, NULL);
		return;
	}
	struct sim_stream *s = stream_new(l->e, conn, 1);
	conn->ends[1] = s;
	s->state = STREAM_OPEN;
	s->listener = l;
	snprintf(s->peer, sizeof(s->peer), "%s:%" PRIu64, conn->hosts[0]->name, ++conn->sim->next_port);
	send_segment(&conn->ways[0], SEGMENT_ACCEPTED, NULL);
	sim_env_post(l->e, &s->item);
}

static void segment_arrived(struct direction *way, struct segment *segment)
{
	struct conn *conn = way->conn;
	struct sim *sim = conn->sim;
	const struct sim_link *link = way_link(way);
	sim_trace(sim, conn->hosts[way->to], segment_names[segment->kind], slice_of(segment->bytes, segment->len));
	sim->stats.segments++;
	sim->stats.bytes += segment->len;
	struct sim_stream *s = conn->ends[way->to];
	if (segment->kind == SEGMENT_OPEN) {
		free(segment);
		syn_arrived(conn);
		return;
	}
	if (s == NULL) {
		/* Nobody there: who sends or accepts is answered with a reset. */
		bool speaks = segment->kind == SEGMENT_DATA || segment->kind == SEGMENT_ACCEPTED;
		bool answer = speaks && conn->ends[1 - way->to] != NULL;
		way->held -= segment->len - segment->taken;
		free(segment);
		if (answer) {
			send_reset(&conn->ways[1 - way->to]);
		}
		return;
	}
	if (segment->kind == SEGMENT_DATA && prng_chance(&sim->prng, link->reset_per_million, 1000000)) {
		segment->kind = SEGMENT_RESET;
		send_reset(&conn->ways[1 - way->to]);
	}
	if (segment->kind == SEGMENT_DATA && prng_chance(&sim->prng, link->flip_per_million, 1000000)) {
		segment->bytes[prng_below(&sim->prng, segment->len)] ^= (uint8_t)(1u << prng_below(&sim->prng, 8));
		sim->stats.flips++;
	}
	list_append(&s->ready, &segment->link);
	sim_env_post(s->e, &s->item);
}

static void arrival_fire(struct sim_event *event)
{
	struct direction *way = list_entry(event, struct direction, arrival);
	struct conn *conn = way->conn;
	struct sim *sim = conn->sim;
	if (way_link(way)->cut) {
		way->waits = true;
		return;
	}
	if (!conn->hosts[way->to]->powered) {
		/* Into the void; the sender repeats until the host is back. */
		if (conn->ends[1 - way->to] == NULL) {
			free_segments(&way->segments);
			conn_collect(conn);
			return;
		}
		sim_event_in(sim, &way->arrival, REPEAT_US / 2 + prng_below(&sim->prng, REPEAT_US));
		return;
	}
	struct segment *segment = list_entry(list_pop(&way->segments), struct segment, link);
	segment_arrived(way, segment);
	if (!list_empty(&way->segments)) {
		const struct segment *next = list_entry(way->segments.next, struct segment, link);
		sim_event_at(sim, &way->arrival, next->at_us);
	}
	conn_collect(conn);
}

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
static void pump(struct sim_stream *s)
{
	struct direction *way = &s->conn->ways[1 - s->side];
	struct sim *sim = s->e->sim;
	while (!list_empty(&s->queue) && way->held < PIPE_BYTES) {
		size_t room = PIPE_BYTES - way->held;
		size_t len = s->unsent < room ? s->unsent : room;
		len = len < SEGMENT_BYTES ? len : SEGMENT_BYTES;
		if (len > 1 && prng_chance(&sim->prng, way_link(way)->split_per_million, 1000000)) {
			len = 1 + prng_below(&sim->prng, len);
		}
		struct segment *segment = allocate(sizeof(*segment) + len);
		segment->len = len;
		take_queued(s, segment->bytes, len);
		s->unsent -= len;
		way->held += len;
		if (len == 0) {
			free(segment); /* writes of nothing */
			continue;
		}
		send_segment(way, SEGMENT_DATA, segment);
	}
	if (s->state == STREAM_ENDED && list_empty(&s->queue) && s->events->ended == NULL) {
		stream_shut(s, ERR_CLOSED, true);
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
	conn_collect(conn);
}

static void stream_shut(struct sim_stream *s, int status, bool tell_peer)
{
	assert(s->state != STREAM_GONE);
	s->opening = s->state == STREAM_CONNECTING && status != ERR_CANCELLED;
	s->status = status;
	s->state = STREAM_GONE;
	fail_queue(s, status == ERR_CANCELLED ? ERR_CANCELLED : ERR_CLOSED);
	free_segments(&s->ready);
	list_remove(&s->item.link);
	sim_event_cancel(s->e->sim, &s->timeout);
	if (tell_peer && s->conn != NULL) {
		send_segment(&s->conn->ways[1 - s->side], SEGMENT_END, NULL);
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
	stream_shut(s, s->conn == NULL ? s->status : ERR_TIMEOUT, false);
}

/* ---- in the turn: what arrived is told ---- */

static void accept_now(struct sim_stream *s)
{
	struct sim_listener *l = s->listener;
	s->listener = NULL;
	if (l->closed) {
		stream_shut(s, ERR_CANCELLED, true);
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
		pump(writer);
	}
}

static void read_data(struct sim_stream *s)
{
	/* As recv does: all that is there, up to the buffer's size, in one piece. */
	uint8_t *buffer = allocate(READ_BYTES);
	size_t len = 0;
	while (!list_empty(&s->ready) && len < READ_BYTES) {
		struct segment *segment = list_entry(s->ready.next, struct segment, link);
		if (segment->kind != SEGMENT_DATA) {
			break;
		}
		size_t left = segment->len - segment->taken;
		size_t take = left < READ_BYTES - len ? left : READ_BYTES - len;
		memcpy(buffer + len, segment->bytes + segment->taken, take);
		len += take;
		segment->taken += take;
		if (segment->taken == segment->len) {
			list_remove(&segment->link);
			free(segment);
		}
	}
	gave_room(s, len);
	s->events->data(s->owner, slice_of(buffer, len));
	free(buffer);
}

static void end_arrived(struct sim_stream *s)
{
	if (s->events->ended == NULL && list_empty(&s->queue)) {
		stream_shut(s, ERR_CLOSED, true);
		return;
	}
	s->state = STREAM_ENDED;
	if (s->events->ended != NULL) {
		s->events->ended(s->owner);
	}
}

static void deliver(struct sim_item *item)
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
			stream_shut(s, ERR_CLOSED, false);
		} else if (kind == SEGMENT_END) {
			end_arrived(s);
		} else if (kind == SEGMENT_ACCEPTED && s->state == STREAM_CONNECTING) {
			sim_event_cancel(s->e->sim, &s->timeout);
			s->state = STREAM_OPEN;
			pump(s);
			if (s->events->opened != NULL) {
				s->events->opened(s->owner, 0);
			}
		}
	}
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
	struct sim_stream *s = stream_new(e, NULL, 0);
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
	struct conn *conn = allocate(sizeof(*conn));
	conn->sim = e->sim;
	conn->hosts[0] = e->host;
	conn->hosts[1] = to;
	conn->ends[0] = s;
	conn->port = port;
	for (int i = 0; i < 2; i++) {
		conn->ways[i].conn = conn;
		conn->ways[i].to = i;
		list_init(&conn->ways[i].segments);
		sim_event_init(&conn->ways[i].arrival, arrival_fire);
	}
	list_append(&e->sim->conns, &conn->link);
	s->conn = conn;
	e->sim->stats.connects++;
	sim_event_in(e->sim, &s->timeout, CONNECT_TIMEOUT_US);
	send_segment(&conn->ways[1], SEGMENT_OPEN, NULL);
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
		state->slices = allocate(count * sizeof(*state->slices));
	}
	memcpy(state->slices, slices, count * sizeof(*slices));
	state->count = (uint32_t)count;
	state->at = 0;
	for (size_t i = 0; i < count; i++) {
		s->unsent += slices[i].len;
	}
	list_append(&s->queue, &write->link);
	if (s->state != STREAM_CONNECTING) {
		pump(s);
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
	stream_shut(s, ERR_CANCELLED, true);
}

const char *sim_net_peer(const struct env_stream *stream) { return stream_of(stream)->peer; }

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
	if (port != 0 && find_listener(e->host, port) != NULL) {
		err_set(err, ERR_EXISTS, "cannot listen on %s: in use", address);
		return NULL;
	}
	struct sim_listener *l = allocate(sizeof(*l));
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

/* ---- death ---- */

static void kernel_closes(struct sim_stream *s, enum sim_kill kill)
{
	struct conn *conn = s->conn;
	if (conn == NULL || kill == SIM_KILL_POWER) {
		return;
	}
	struct direction *way = &conn->ways[1 - s->side];
	if (prng_chance(&conn->sim->prng, 1, 2)) {
		send_reset(way);
	} else {
		send_segment(way, SEGMENT_END, NULL);
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
		free_segments(&s->ready);
		free(s);
	}
	while ((link = list_pop(&e->listeners)) != NULL) {
		free(list_entry(link, struct sim_listener, link));
	}
}

void sim_net_fini(struct sim *sim)
{
	while (!list_empty(&sim->conns)) {
		conn_free(list_entry(sim->conns.next, struct conn, link));
	}
}

/* ---- links ---- */

struct sim_link *sim_link(struct sim *sim, const struct sim_host *from, const struct sim_host *to)
{
	return &sim->links[from->index][to->index];
}

void sim_links_reset(struct sim *sim)
{
	for (size_t from = 0; from < SIM_HOSTS_MAX; from++) {
		for (size_t to = 0; to < SIM_HOSTS_MAX; to++) {
			sim->links[from][to] = (struct sim_link){.delay_us = from == to ? 5 : 50,
								 .jitter_us = from == to ? 5 : 50};
		}
	}
}

void sim_links_healed(struct sim *sim)
{
	list_for_each(link, &sim->conns)
	{
		struct conn *conn = list_entry(link, struct conn, link);
		for (int i = 0; i < 2; i++) {
			struct direction *way = &conn->ways[i];
			if (way->waits && !way_link(way)->cut) {
				way->waits = false;
				sim_event_in(sim, &way->arrival, 1 + prng_below(&sim->prng, REPEAT_US));
			}
		}
	}
}

void sim_links_break(struct sim *sim, struct sim_host *a, struct sim_host *b)
{
	struct list *next;
	for (struct list *link = sim->conns.next; link != &sim->conns; link = next) {
		next = link->next;
		struct conn *conn = list_entry(link, struct conn, link);
		bool between = (conn->hosts[0] == a && conn->hosts[1] == b) ||
			       (conn->hosts[0] == b && conn->hosts[1] == a);
		for (int i = 0; between && i < 2; i++) {
			if (conn->ends[i] != NULL) {
				send_reset(&conn->ways[i]);
			}
		}
	}
}

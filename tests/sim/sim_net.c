/* The wire of the simulated network: links, connections, segments under way. */
#include "tests/sim/sim_net.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPEAT_MAX_US 3000000
#define REMEMBER_OF 16 /* one of so many segments is kept */
#define MEMORY 256
#define REPEAT_US 200000 /* how long after a heal or a restart lost segments come again, at most */

static const char *const segment_names[] = {"syn", "synack", "data", "fin", "rst"};

void *sim_net_allocate(size_t size)
{
	void *memory = calloc(1, size);
	if (memory == NULL) {
		fatal("out of memory in the simulated network");
	}
	return memory;
}

/* ---- connections and segments ---- */

struct segment *sim_segment_new(size_t len)
{
	struct segment *segment = malloc(sizeof(*segment) + len);
	if (segment == NULL) {
		fatal("out of memory in the simulated network");
	}
	*segment = (struct segment){.len = len};
	return segment;
}

void sim_segments_free(struct list *segments)
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
		sim_segments_free(&conn->ways[i].segments);
	}
	list_remove(&conn->link);
	free(conn);
}

void sim_conn_collect(struct conn *conn)
{
	if (conn->ends[0] == NULL && conn->ends[1] == NULL && list_empty(&conn->ways[0].segments) &&
	    list_empty(&conn->ways[1].segments)) {
		conn_free(conn);
	}
}

struct sim_link *sim_way_link(const struct direction *way)
{
	const struct conn *conn = way->conn;
	return &conn->sim->links[conn->hosts[1 - way->to]->index][conn->hosts[way->to]->index];
}

static bool happens(struct sim *sim, uint32_t per_million)
{
	return per_million != 0 && prng_chance(&sim->prng, per_million, 1000000);
}

void sim_segment_send(struct direction *way, enum segment_kind kind, struct segment *segment)
{
	struct sim *sim = way->conn->sim;
	const struct sim_link *link = sim_way_link(way);
	if (segment == NULL) {
		segment = sim_segment_new(0);
	}
	segment->kind = kind;
	uint64_t at = sim->now_us + link->delay_us + prng_below(&sim->prng, link->jitter_us + 1);
	if (link->bytes_per_ms != 0) {
		uint64_t from = way->last_at_us > sim->now_us ? way->last_at_us : sim->now_us;
		uint64_t through = from + segment->len * 1000 / link->bytes_per_ms;
		at = at > through ? at : through;
	}
	for (uint64_t again_us = REPEAT_US; happens(sim, link->loss_per_million) && again_us <= REPEAT_MAX_US; again_us *= 2) {
		at += again_us;
		sim->stats.losses++;
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
void sim_segment_reset(struct direction *way)
{
	if (prng_chance(&way->conn->sim->prng, 1, 2)) {
		sim_event_cancel(way->conn->sim, &way->arrival);
		sim_segments_free(&way->segments);
	}
	way->conn->sim->stats.resets++;
	sim_segment_send(way, SEGMENT_RESET, NULL);
}

/* ---- arrival ---- */

static void syn_arrived(struct conn *conn)
{
	struct sim_listener *l = sim_listener_find(conn->hosts[1], conn->port);
	if (l == NULL) {
		sim_segment_send(&conn->ways[0], SEGMENT_RESET, NULL);
		return;
	}
	struct sim_stream *s = sim_stream_new(l->e, conn, 1);
	conn->ends[1] = s;
	s->state = STREAM_OPEN;
	s->listener = l;
	snprintf(s->peer, sizeof(s->peer), "%s:%" PRIu64, conn->hosts[0]->name, ++conn->sim->next_port);
	sim_segment_send(&conn->ways[0], SEGMENT_ACCEPTED, NULL);
	sim_env_post(l->e, &s->item);
}

/* ---- old segments come again ---- */

/* Some are kept, in the place of others: so old ones are of every age. */
static void remember(struct direction *way, const struct segment *segment)
{
	struct conn *conn = way->conn;
	struct sim *sim = conn->sim;
	if (!sim->remembers || !prng_chance(&sim->prng, 1, REMEMBER_OF)) {
		return;
	}
	if (sim->memory_count == MEMORY) {
		struct list *link = sim->memory.next;
		for (uint64_t skip = prng_below(&sim->prng, MEMORY); skip > 0; skip--) {
			link = link->next;
		}
		list_remove(link);
		free(list_entry(link, struct segment, link));
		sim->memory_count--;
	}
	struct segment *kept = sim_segment_new(segment->len);
	memcpy(kept, segment, sizeof(*kept) + segment->len);
	kept->from = conn->hosts[1 - way->to];
	kept->to = conn->hosts[way->to];
	kept->port = conn->port;
	kept->side = way->to;
	list_init(&kept->link);
	list_append(&sim->memory, &kept->link);
	sim->memory_count++;
}

/* A copy of one that once went the same way, as far as hosts and ports tell, or NULL. */
static struct segment *recall(const struct direction *way)
{
	const struct conn *conn = way->conn;
	struct segment *found = NULL;
	uint64_t seen = 0;
	list_for_each(link, &conn->sim->memory)
	{
		struct segment *old = list_entry(link, struct segment, link);
		if (old->from == conn->hosts[1 - way->to] && old->to == conn->hosts[way->to] &&
		    old->port == conn->port && old->side == way->to && prng_below(&conn->sim->prng, ++seen) == 0) {
			found = old;
		}
	}
	if (found == NULL) {
		return NULL;
	}
	struct segment *copy = sim_segment_new(found->len);
	memcpy(copy, found, sizeof(*copy) + found->len);
	list_init(&copy->link);
	return copy;
}

static void replay(struct direction *way, struct sim_stream *s)
{
	struct sim *sim = way->conn->sim;
	struct segment *old = recall(way);
	if (old != NULL) {
		sim_trace(sim, way->conn->hosts[way->to], "replay", slice_of(old->bytes, old->len));
		sim->stats.replays++;
		way->held += old->len;
		list_append(&s->ready, &old->link);
	}
}

static void segment_arrived(struct direction *way, struct segment *segment)
{
	struct conn *conn = way->conn;
	struct sim *sim = conn->sim;
	const struct sim_link *link = sim_way_link(way);
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
			sim_segment_reset(&conn->ways[1 - way->to]);
		}
		return;
	}
	if (segment->kind == SEGMENT_DATA && happens(sim, link->reset_per_million)) {
		segment->kind = SEGMENT_RESET;
		sim_segment_reset(&conn->ways[1 - way->to]);
	}
	if (segment->kind == SEGMENT_DATA && happens(sim, link->flip_per_million)) {
		segment->bytes[prng_below(&sim->prng, segment->len)] ^= (uint8_t)(1u << prng_below(&sim->prng, 8));
		sim->stats.flips++;
	}
	bool again = segment->kind == SEGMENT_DATA && happens(sim, link->replay_per_million);
	bool before = again && prng_chance(&sim->prng, 1, 2);
	if (before) {
		replay(way, s);
	}
	if (segment->kind == SEGMENT_DATA) {
		remember(way, segment);
	}
	list_append(&s->ready, &segment->link);
	if (again && !before) {
		replay(way, s);
	}
	sim_env_post(s->e, &s->item);
}

static void arrival_fire(struct sim_event *event)
{
	struct direction *way = list_entry(event, struct direction, arrival);
	struct conn *conn = way->conn;
	struct sim *sim = conn->sim;
	if (sim_way_link(way)->cut) {
		way->waits = true;
		return;
	}
	if (!conn->hosts[way->to]->powered) {
		/* Into the void; the sender repeats until the host is back. */
		if (conn->ends[1 - way->to] == NULL) {
			sim_segments_free(&way->segments);
			sim_conn_collect(conn);
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
	sim_conn_collect(conn);
}

struct conn *sim_conn_new(struct sim_host *from, struct sim_host *to, unsigned port)
{
	struct sim *sim = from->sim;
	struct conn *conn = sim_net_allocate(sizeof(*conn));
	conn->sim = sim;
	conn->hosts[0] = from;
	conn->hosts[1] = to;
	conn->port = port;
	for (int i = 0; i < 2; i++) {
		conn->ways[i].conn = conn;
		conn->ways[i].to = i;
		list_init(&conn->ways[i].segments);
		sim_event_init(&conn->ways[i].arrival, arrival_fire);
	}
	list_append(&sim->conns, &conn->link);
	sim->stats.connects++;
	return conn;
}

void sim_net_fini(struct sim *sim)
{
	sim_segments_free(&sim->memory);
	while (!list_empty(&sim->conns)) {
		conn_free(list_entry(sim->conns.next, struct conn, link));
	}
}

/* ---- links ---- */

struct sim_link *sim_link(struct sim *sim, const struct sim_host *from, const struct sim_host *to)
{
	return &sim->links[from->index][to->index];
}

bool sim_link_sound(const struct sim_link *link)
{
	bool quick = link->delay_us + link->jitter_us < 1000 && link->bytes_per_ms == 0;
	uint32_t lies = link->reset_per_million | link->flip_per_million | link->split_per_million |
			link->loss_per_million | link->replay_per_million;
	return !link->cut && quick && lies == 0;
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

void sim_links_remember(struct sim *sim) { sim->remembers = true; }

void sim_links_healed(struct sim *sim)
{
	list_for_each(link, &sim->conns)
	{
		struct conn *conn = list_entry(link, struct conn, link);
		for (int i = 0; i < 2; i++) {
			struct direction *way = &conn->ways[i];
			if (way->waits && !sim_way_link(way)->cut) {
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
				sim_segment_reset(&conn->ways[i]);
			}
		}
	}
}

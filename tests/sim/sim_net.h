/* Private to the simulated network: connections as TCP gives them.
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
#ifndef TESTS_SIM_SIM_NET_H
#define TESTS_SIM_SIM_NET_H

#include "tests/sim/sim_body.h"

#define PIPE_BYTES (256 * 1024)

enum segment_kind { SEGMENT_OPEN, SEGMENT_ACCEPTED, SEGMENT_DATA, SEGMENT_END, SEGMENT_RESET };

struct segment {
	struct list link;
	enum segment_kind kind;
	uint64_t at_us;
	size_t len, taken;
	struct sim_host *from, *to; /* of one that is remembered */
	unsigned port;
	int side;
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

/* Zeroed. */
void *sim_net_allocate(size_t size);

/* ---- sim_net.c: the wire ---- */

/* Nobody is at its ends yet. */
struct conn *sim_conn_new(struct sim_host *from, struct sim_host *to, unsigned port);
/* Frees it once both ends are gone and nothing is under way. */
void sim_conn_collect(struct conn *conn);
/* Its bytes are the caller's to fill, all of them. */
struct segment *sim_segment_new(size_t len);
/* segment is consumed; NULL: one without bytes. */
void sim_segment_send(struct direction *way, enum segment_kind kind, struct segment *segment);
/* RST: half the time it overtakes what is under way. */
void sim_segment_reset(struct direction *way);
void sim_segments_free(struct list *segments);
struct sim_link *sim_way_link(const struct direction *way);

/* ---- sim_stream.c: an end ---- */

struct sim_stream *sim_stream_new(struct sim_env *e, struct conn *conn, int side);
void sim_stream_shut(struct sim_stream *s, int status, bool tell_peer);
/* Moves queued bytes to the kernel while it has room. */
void sim_stream_pump(struct sim_stream *s);

/* ---- sim_receive.c: what an end is told ---- */

void sim_stream_deliver(struct sim_item *item);
/* Open on port, or NULL. */
struct sim_listener *sim_listener_find(const struct sim_host *host, unsigned port);

#endif /* TESTS_SIM_SIM_NET_H */

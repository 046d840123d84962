/* What transport.c, greeting.c and pulse.c share: the connections. */
#ifndef RAFT_PEER_TRANSPORT_PRIVATE_H
#define RAFT_PEER_TRANSPORT_PRIVATE_H

#include "raft/peer/transport.h"

#define DIALED 2 /* raft and requests */

struct peer {
	uint64_t id;
	struct link links[DIALED];
	bool too_old_said;
	uint64_t lost_us;           /* what we dial for raft is not ready since then; 0: it is */
	uint64_t unreached_said_us; /* that was said; 0: it was not */
	uint64_t clock_ms, clock_us; /* its last pong's wall clock, and when that came; 0: none came */
};

/* A connection that was refused, and the line about it. */
struct refusal {
	uint64_t cluster_id, from_id;
	const char *why;          /* NULL: none */
	uint64_t said_us, silent; /* how often since then without a line */
};
#define REFUSALS_KEPT 16
/* Who is set wrong knocks for days: so long one line is enough. */
#define REFUSAL_AGAIN_US ((uint64_t)600 * 1000000)

struct transport {
	struct transport_config config;
	char listen[128];
	uint64_t stamp_ms;
	struct lives *lives;    /* borrowed */
	uint32_t members, told; /* digest of ours, 0: not compared; what hellos say of it */
	struct env_listener *listener;
	struct peer *peers[LIMIT_MEMBERS];
	size_t peer_count;
	struct list accepted; /* links */
	struct env_timer ping;
	struct env_turn closed_turn;
	bool started, closing, held;
	unsigned lines, ticks;
	uint64_t lines_dropped;
	struct refusal refusals[REFUSALS_KEPT];
	void (*closed)(void *owner);
	struct transport_stats stats;
};

/* NULL: none that we dial. */
struct peer *transport_find(const struct transport *transport, uint64_t id);

/* pulse.c */
void transport_ping(struct transport *transport, struct link *link);
void transport_pulse_cb(struct env_timer *timer);
/* Of a pong. */
void transport_take_clock(struct transport *transport, const struct link *link, struct slice body);

/* greeting.c */
/* For one more connection. False when all that came have said who they are, and wait for us. */
bool transport_make_room(struct transport *transport);
/* What becomes of a link that has said who it is: link_events.greeted. */
enum link_verdict transport_greeted(struct link *link, const struct hello *hello);
/* What it sent instead of a hello is of another version: said as other refusals are. */
void transport_refused_version(struct transport *transport, const struct link *link);
/* Whether one more line may be said about what does not belong here, LINES_MAX within LINES_TICKS of the
 * pings: who knocks again and again does not fill the disk with our words. */
#define LINES_MAX 10
#define LINES_TICKS (1000 / LINK_PING_MS)
bool transport_may_say(struct transport *transport);
/* The time is over: how many were not said. */
void transport_say_dropped(struct transport *transport);

#endif /* RAFT_PEER_TRANSPORT_PRIVATE_H */

/* The connections of one member to the others.
 *
 * Each member dials every other, once for raft and once for requests (bulk, for
 * files, is not dialed before somebody sends files): what a member says goes out
 * on connections that it dialed, answers to requests go back on the one they
 * came by. So traffic of clients never stands in front of a heartbeat.
 *
 * Frames of a turn leave together: encode into a link, flush at the turn's end.
 * While held, nothing is flushed: a vote must be durable first. Pongs alone go
 * out, for they say nothing but that the process is there. */
#ifndef RAFT_PEER_TRANSPORT_H
#define RAFT_PEER_TRANSPORT_H

#include "base/limits.h"
#include "base/log.h"
#include "raft/peer/link.h"
#include "raft/peer/lives.h"

/* Accepted and not greeted yet. One more takes the place of the one that has said nothing for longest: a member says at
 * once who it is, however many strangers wait. */
#define TRANSPORT_GREETING_MAX 64

struct transport;
struct transport_events {
	/* A frame of a member on a raft or requests connection; borrowed. from: the link it came by, for
	 * answers. */
	void (*frame)(void *owner, struct link *from, const struct frame *frame);
	/* May be NULL. A frame of that type is on its way by from, an accepted one, and takes long. */
	void (*coming)(void *owner, struct link *from, uint8_t type);
	/* A dialed connection is ready, or ended. */
	void (*connected)(void *owner, uint64_t id, enum frame_connection kind);
	void (*disconnected)(void *owner, uint64_t id, enum frame_connection kind);
	/* The member's process is not there: its port refuses connections. */
	void (*refused)(void *owner, uint64_t id);
	void (*stamp)(void *owner, uint64_t stamp_ms); /* a frame carried a higher stamp than was known */
	/* The member remembers a life of ours that this directory never had: what we voted and acknowledged
	 * in it is gone. */
	void (*forgotten)(void *owner, uint64_t id, struct life remembered);
};
struct transport_config {
	struct env *env;
	struct log *log;
	uint64_t cluster_id, id;
	const char *listen; /* NULL: none */
	const struct transport_events *events;
	void *owner;
};

struct transport *transport_new(const struct transport_config *config);
/* Who has lived; borrowed. Our life begins with transport_start, not before. Its writes end in
 * transport_remembered. */
void transport_set_lives(struct transport *transport, struct lives *lives);
void transport_remembered(void *transport, int status);
/* Digest of the members that our log names, 0 for none: one that tells another does not come in, for it
 * would lead those whose member lines are right into a log that diverged. Ours is told while founding: the
 * log holds nothing but them. Before members are dialed. */
void transport_set_members(struct transport *transport, uint32_t members, bool founding);
/* Listens, begins our life, and dials. Nothing of it after a failure. */
int transport_start(struct transport *transport, struct err *err);
/* Closes all; closed comes later. */
void transport_close(struct transport *transport, void (*closed)(void *owner));
/* Closed, never started, or its env is dead. */
void transport_free(struct transport *transport);

/* Dials a member from now on, or at another address. */
void transport_add(struct transport *transport, uint64_t id, const char *address);

/* The dialed link when it is ready, else NULL. */
struct link *transport_link(struct transport *transport, uint64_t id, enum frame_connection kind);
/* The newest accepted requests link of a member, ready, or NULL. */
struct link *transport_requester(struct transport *transport, uint64_t id);
/* Flushes all links, unless held. */
void transport_flush(struct transport *transport);
/* Releasing flushes. */
void transport_hold(struct transport *transport, bool hold);
/* The highest stamp for every frame from now on: max of known and this. */
void transport_stamp(struct transport *transport, uint64_t stamp_ms);
uint64_t transport_highest_stamp(const struct transport *transport);

/* The time that the clocks of a majority have reached, ours included; 0: too few are known. */
uint64_t transport_clock_ms(const struct transport *transport);

struct transport_stats {
	uint64_t frames_in, frames_out, frames_bad, reconnects;
};
void transport_stats(const struct transport *transport, struct transport_stats *stats);

#endif /* RAFT_PEER_TRANSPORT_H */

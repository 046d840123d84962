/* An open loop over plain connections to one node. Unlike libtally it repeats nothing and holds nothing back, so
 * it shows what a node does with more than it can do.
 *
 * A connection that has FLOOD_UNANSWERED requests out, or whose bytes the network does not
 * take, skips its turn: such requests are counted as held. */
#ifndef CLIENT_TOOL_FLOOD_H
#define CLIENT_TOOL_FLOOD_H

#include "base/buf.h"
#include "client/tool/openloop.h"

#define FLOOD_UNANSWERED 128 /* a power of two */
/* So many on end take one connection: one by one, at 400 requests a millisecond and 64 connections, a system
 * call on either side would carry six, and these would cost both sides more than the requests. */
#define FLOOD_RUN 16

struct flood;
struct flood_connection {
	struct flood *flood;
	struct env_stream *stream; /* NULL: closed */
	bool opened, writing;
	struct buf in, out, sending;
	struct env_write write;
	uint64_t sent_us[FLOOD_UNANSWERED]; /* a ring, in order of sending */
	uint64_t sent, answered;
};

struct flood {
	struct openloop loop; /* env, answered, owner are set */
	/* Appends request number seq. */
	void (*make)(void *owner, uint64_t seq, struct buf *out);
	struct flood_connection *connections;
	size_t count, open, next;
	uint64_t broken;
};

/* loop and make are set. Connects; wait for flood_is_open. */
void flood_open(struct flood *flood, const char *address, size_t connections);
bool flood_is_open(void *flood);
/* Closes all; wait for flood_is_closed, then flood_fini. */
void flood_close(struct flood *flood);
bool flood_is_closed(void *flood);
void flood_fini(struct flood *flood);

#endif /* CLIENT_TOOL_FLOOD_H */

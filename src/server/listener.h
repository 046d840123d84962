/* The client port: accepts, counts and bounds connections, and walks them now
 * and then. A client over the bound gets Redis' one line and is closed. */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "base/log.h"
#include "server/conn.h"

struct listener {
	struct node *node;
	struct env_listener *listener;
	struct list conns;   /* in the order of their ids */
	struct list starved; /* not read because the whole node has too much under way */
	size_t count;
	size_t input_bytes;  /* unread input of all of them */
	size_t output_bytes; /* answers of all of them that are held or not taken yet */
	size_t queued_bytes; /* queues of MULTI and watched keys of all of them */
	uint64_t next_id;
	unsigned port;
	unsigned lines; /* log lines about clients since the last tick */
	uint64_t lines_dropped;
};

void listener_init(struct listener *listener, struct node *node);
int listener_start(struct listener *listener, const char *address, struct err *err);
/* Accepts no more; connections stay. */
void listener_stop(struct listener *listener);
/* Asks every connection to leave once what is owed is sent. */
void listener_leave(struct listener *listener);
/* Frees all; streams are gone or their env was killed. */
void listener_fini(struct listener *listener);
void listener_tick(struct listener *listener, uint64_t now_us);
struct conn *listener_find(const struct listener *listener, uint64_t id);
/* A log line about a client; a flood of them is cut and counted. */
void listener_log(struct listener *listener, enum log_level level, const char *event, const struct conn *conn,
		  const char *reason);
/* Calls have been released: reads on for connections that starved. */
void listener_feed(struct listener *listener);

#endif /* SERVER_LISTENER_H */

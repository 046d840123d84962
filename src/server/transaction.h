/* MULTI, EXEC, DISCARD, WATCH, UNWATCH: the queue and the watched keys of a
 * connection. The queue stays at the connection's node; EXEC sends it to the
 * leader as one request with the versions that WATCH was given.
 *
 * Commands the node answers itself (PING, SELECT, CLIENT …) may stand in the
 * queue: the leader runs the others, and the answers are put together here. */
#ifndef SERVER_TRANSACTION_H
#define SERVER_TRANSACTION_H

#include "engine/request.h"

struct conn;
struct local;

struct queued {
	struct request_command command;
	const struct local *local; /* answered here; NULL: by the leader */
};

struct transaction {
	bool open, dirty;     /* MULTI was said; a command was refused since */
	struct arena arena;   /* copies of the queue */
	struct queued *queue; /* malloc */
	size_t count, cap;
	size_t bytes; /* of all words in the queue */
	unsigned db;  /* after the SELECTs in the queue */
	struct arena watch_arena;
	struct request_watch *watches; /* malloc */
	size_t watch_count, watch_cap;
};

void transaction_init(struct transaction *transaction);
void transaction_fini(struct transaction *transaction);
/* No MULTI, nothing watched. */
void transaction_reset(struct transaction *transaction);

/* What its queue and its watched keys take. */
size_t transaction_memory(const struct transaction *transaction);

void transaction_multi(struct conn *conn, struct reply *reply);
void transaction_discard(struct conn *conn, struct reply *reply);
void transaction_unwatch(struct conn *conn);
/* Queues one command, copying it, and answers QUEUED. local NULL: the leader runs it. */
void transaction_queue(struct conn *conn, const struct command *command, const struct local *local,
		       const struct slice *argv, size_t argc, struct reply *reply);
/* A command was refused while the queue is open. */
void transaction_spoil(struct transaction *transaction);
/* These send a request; the answer comes later. */
void transaction_exec(struct conn *conn, const struct request_envelope *envelope, bool muted);
void transaction_watch(struct conn *conn, const struct slice *argv, size_t argc, bool muted);

#endif /* SERVER_TRANSACTION_H */

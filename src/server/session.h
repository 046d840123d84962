/* What a connection has said about itself: database, protocol, name, the open
 * MULTI and the watched keys; and the way of each request from there.
 *
 * As Redis 7.0.15: an unknown command or a wrong number of arguments inside
 * MULTI makes EXEC fail; DISCARD, RESET and QUIT always work. Prefixes (ONCE,
 * DEADLINE, SETTLE, DRYRUN, EXPLAIN) stand in front of one command, EXEC
 * included, not inside the queue. */
#ifndef SERVER_SESSION_H
#define SERVER_SESSION_H

#include "base/slice.h"
#include "server/transaction.h"

struct conn;

#define SESSION_NAME_MAX 64
#define SESSION_DATABASES 16

struct session {
	int protocol; /* 2 or 3 */
	unsigned db;
	char name[SESSION_NAME_MAX + 1];
	bool reply_off, skip_next;
	bool meta; /* TALLY META ON: where and when an answer was written, in front of it */
	bool no_evict;
	const char *last, *last_sub; /* names of the last command, for CLIENT LIST */
	struct transaction transaction;
};

void session_init(struct session *session);
void session_fini(struct session *session);
/* RESET: everything but the name's memory, as at the start. */
void session_reset(struct session *session);
/* One request; argv is borrowed until the return. */
void session_request(struct conn *conn, const struct slice *argv, size_t argc);

#endif /* SERVER_SESSION_H */

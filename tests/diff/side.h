/* One of the two that are compared: a server behind sockets, or our commands in this process. */
#ifndef TESTS_DIFF_SIDE_H
#define TESTS_DIFF_SIDE_H

#include <sys/types.h>

#include "base/buf.h"
#include "tests/lib/solo.h"

#define SIDE_CONNS 4
/* How long an answer may take, on a machine that is very busy. */
#define SIDE_PATIENCE_MS 120000

struct side_conn {
	int fd; /* -1: not connected */
	struct buf input;
};
struct side {
	const char *name;
	pid_t pid;              /* a server that we started, or 0 */
	struct solo *solo;      /* in this process, or NULL */
	const char *unix_path;  /* or */
	const char *host;       /* numeric */
	int port;
	struct side_conn conns[SIDE_CONNS];
};

/* redis-server on a socket in the current directory. False when there is none to start. */
bool side_start_redis(struct side *side);
void side_use_solo(struct side *side, struct solo *solo);
void side_use_address(struct side *side, const char *host, int port);
/* Ends what was started, by its pid. */
void side_stop(struct side *side);

/* A new case: connections closed, all data gone, protocol and database as given. */
void side_reset(struct side *side, int protocol);
/* Sends argv and appends one reply to out; "(closed)" when the connection ends, "(silent)" after the patience. */
void side_run(struct side *side, unsigned conn, const struct slice *argv, size_t argc, struct buf *out);
/* Bytes as they are; then one reply. Only behind sockets. */
void side_raw(struct side *side, unsigned conn, struct slice bytes, struct buf *out);
/* One more reply without asking: "(closed)" when the other side has closed. */
void side_read(struct side *side, unsigned conn, struct buf *out);
void side_sleep(struct side *side, unsigned ms);

#endif /* TESTS_DIFF_SIDE_H */

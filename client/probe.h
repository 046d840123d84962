/* One address of the cluster, and a connection that asks it TALLY STATUS.
 *
 * The connection is opened by the first question of a search, kept while the search
 * lasts, and closed by probe_rest. It is apart from the connections that
 * carry requests, so that the answer does not wait behind them: an answer means the
 * node's loop runs. */
#ifndef CLIENT_PROBE_H
#define CLIENT_PROBE_H

#include "base/buf.h"
#include "env/env.h"
#include "wire/resp.h"

#define PROBE_ADDRESS 128

struct compass;

struct probe {
	struct compass *compass;
	char address[PROBE_ADDRESS];

	/* the last answer */
	uint64_t answered_us; /* 0: never, or it failed since */
	bool leads;
	uint64_t term;              /* 0 when it did not say */
	char leader[PROBE_ADDRESS]; /* client address, "" when it knows none */

	/* the question */
	struct env_stream *stream; /* NULL: no connection */
	bool opened, closing, failed, waiting;
	unsigned skip; /* replies to throw away first: HELLO's */
	uint64_t asked_us;
	uint64_t not_before_us; /* back-off after failures */
	unsigned failures;
	struct buf input;
	struct env_write write;
	bool writing;
};

void probe_init(struct probe *probe, struct compass *compass, const char *address);
/* The env is dead, or the stream is gone. */
void probe_fini(struct probe *probe);
/* Asks, unless a question is under way or the back-off is not over. */
void probe_ask(struct probe *probe, uint64_t now_us);
/* Closes the connection if there is one. */
void probe_rest(struct probe *probe);
/* The same because it does not answer or talks nonsense: it is asked again after a back-off. */
void probe_fail(struct probe *probe);
/* Reads an answer to TALLY STATUS, wherever it came from. False when it makes no sense. */
bool probe_read(struct probe *probe, struct slice reply, uint64_t now_us);

#endif /* CLIENT_PROBE_H */

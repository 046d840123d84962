/* An open loop: requests begin at a given rate whether or not earlier ones were answered. Who asks is the
 * owner's: plain connections (flood.h) or shops with libtally (shops.h). */
#ifndef CLIENT_TOOL_OPENLOOP_H
#define CLIENT_TOOL_OPENLOOP_H

#include "base/histogram.h"
#include "env/env.h"

enum openloop_answer { OPENLOOP_DONE, OPENLOOP_RETRY, OPENLOOP_OTHER };

struct openloop {
	struct env *env;
	/* Begins request number seq; false: it could not, and is counted as held. */
	bool (*ask)(struct openloop *loop, uint64_t seq, uint64_t now_us);
	/* Optional: all of a tick were asked. */
	void (*asked)(struct openloop *loop);
	/* What became of one, after so long: for who asks to call. */
	void (*answered)(void *owner, enum openloop_answer answer, uint64_t latency_us);
	void *owner;

	uint64_t rate;          /* a second; 0: silence */
	uint64_t since_us, due; /* since the rate was set */
	uint64_t seq, held;
	struct histogram late; /* at each tick, how long ago what is asked first was due: no latency is known better */
	struct env_timer tick;
};

/* The fields up to owner are set. Silent at first. */
void openloop_start(struct openloop *loop);
void openloop_set_rate(struct openloop *loop, uint64_t rate);
void openloop_stop(struct openloop *loop);

#endif /* CLIENT_TOOL_OPENLOOP_H */

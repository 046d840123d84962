/* Two members and a stranger, or a third, in simulated time: their connections without their replicas. */
#ifndef TESTS_UNIT_PEER_WORLD_H
#define TESTS_UNIT_PEER_WORLD_H

#include "raft/peer/transport.h"
#include "tests/sim/sim.h"

#define CLUSTER 77

struct end {
	struct sim_host *host;
	struct env *env;
	struct transport *transport;
	struct lives *lives;
	struct life forgotten; /* what another remembers and we do not */
	uint64_t forgotten_by;
	uint64_t frames, connected, disconnected, refused, stamp_ms;
	uint8_t last_type;
	uint64_t last_token, last_life;
	struct link *last_from;
	bool closed;
};
extern const struct transport_events end_events; /* their owner: an end */
struct pair {
	struct sim *sim;
	struct end ends[3];
	struct log *log; /* of those that start from now on, or NULL */
	uint32_t members[3];
};

struct pair *pair_new(uint64_t seed);
void pair_free(struct pair *pair);
void start(struct pair *pair, size_t i, uint64_t cluster_id);
void stop(struct pair *pair, size_t i, enum sim_kill kill);
/* The third host, without a member on it. */
struct env *stranger(struct pair *pair);
void run_ms(struct pair *pair, uint64_t ms);
uint64_t bad_frames(struct end *end);
/* The first two have each other's raft connection. */
bool met(struct pair *pair);

/* A stream by hand. */
struct raw {
	char heard[128]; /* what came last */
	struct env_stream *stream;
	struct env_write write;
	uint8_t bytes[256];
	bool closed, open;
	uint64_t closed_us;
	struct sim *sim;
};
void raw_dial(struct raw *raw, struct pair *pair, struct env *env);
void raw_send(struct raw *raw, struct slice bytes);

/* A log that counts its lines, but those of who is reached. */
struct lines {
	unsigned all, too_old;
	unsigned long long dropped; /* as told last */
};
void count_lines(void *lines, enum log_level level, const char *line);

/* A log that keeps the last line with one of these words, and counts them. */
struct said {
	const char *words[2];
	char line[1024];
	unsigned count;
};
void said_line(void *said, enum log_level level, const char *line);

#endif /* TESTS_UNIT_PEER_WORLD_H */

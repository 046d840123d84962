/* A shard in a directory of its own, and requests as lines of words, for tests.
 *
 * Answers are shown with | for line ends: "+OK||". */
#ifndef TESTS_LIB_SHARD_WORLD_H
#define TESTS_LIB_SHARD_WORLD_H

#include "engine/shard_private.h"
#include "env/uv_env.h"

/* A test that waits so long has failed. 20 s were too few beside three lanes, with the thread sanitizer. */
#define WAIT_MS 120000

struct world {
	struct env *env;
	struct shard *shard;
	char dir[512];
	unsigned done_count; /* of all asks, tells the order */
	bool closed;
};

/* One request and its answer. */
struct ask {
	struct request request;
	struct world *world;
	struct slice argv[64];
	struct request_command commands[8];
	bool done;
	unsigned order; /* 1 for the first that was done */
	char text[512];
};

/* dir NULL: a new one below tap_dir. more: settings beyond the usual ones, or NULL. */
void world_open(struct world *w, const char *dir, const struct shard_config *more);
/* The same, and waits until it leads. */
void world_lead(struct world *w, const char *dir, const struct shard_config *more);
bool world_leads(void *world);
/* A polite stop. */
void world_stop(struct world *w); /* closed tells when it is over */
void world_close(struct world *w);
void world_closed_cb(void *world);
bool world_is_closed(void *world);
/* A few turns of the loop: whatever can happen without the clock has happened. */
void world_turns(struct world *w);
/* Sends a line, waits, and shows the reply; valid until the next. */
const char *world_ask(struct world *w, const char *line);

void ask_init(struct world *w, struct ask *ask);
/* Words of line, prefixes first; commands of a queue are separated by a word ";". line must outlive the ask.
 */
void ask_words(struct ask *ask, const char *line);
void ask_send(struct ask *ask);
/* All three. */
void ask_start(struct world *w, struct ask *ask, const char *line);
const char *ask_wait(struct ask *ask);
void ask_end(struct ask *ask);

/* A bundle: procedures pool.fill (sku, qty) and pool.take (take_id, sku, qty), the source of the latter
 * given. */
extern const char world_take_lua[];
void world_push_start(struct world *w, struct ask *ask, const char *verb, const char *take);
const char *world_bundle(struct world *w, const char *verb, const char *take);

#endif /* TESTS_LIB_SHARD_WORLD_H */

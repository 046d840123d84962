/* A stage for scenarios in the simulated world: some whole nodes and one client
 * that asks one thing at a time. The story decides what happens; no chance strikes. */
#ifndef TESTS_SCENARIO_STAGE_H
#define TESTS_SCENARIO_STAGE_H

#include "client/client.h"
#include "tests/sim/fleet.h"

struct stage {
	struct sim *sim;
	struct judge judge;
	struct fleet fleet;
	struct sim_host *host; /* the client's */
	struct env *env;
	struct tally *tally;
	/* the answer to the last question */
	bool answered;
	enum tally_outcome outcome;
	char text[1024]; /* value or error */
	bool nil;
};

void stage_open(struct stage *stage, uint64_t seed, unsigned nodes);
/* Says whether nothing was held against the nodes (not ok, with the reason). */
void stage_close(struct stage *stage);
void stage_end(struct stage *stage); /* the same without a word */
/* Waits until one leads and is ready, by asking. Its number, -1 after a simulated minute. */
int stage_leader(struct stage *stage);
void stage_run(struct stage *stage, uint64_t ms);
/* Asks and waits for the outcome. Words end with NULL; read: no request id, repeated freely. */
enum tally_outcome stage_ask(struct stage *stage, bool read, unsigned timeout_ms, const char *const *words);
enum tally_outcome stage_set(struct stage *stage, const char *key, const char *value);
/* The value, "" for none; NULL when it was not told. */
const char *stage_get(struct stage *stage, const char *key);
/* Kills and starts again after down_ms. */
void stage_kill(struct stage *stage, unsigned member, enum sim_kill kill, uint64_t down_ms);
/* All live members have applied the same, within a minute. */
bool stage_converges(struct stage *stage);
uint64_t stage_applied(struct stage *stage, unsigned member);
struct shard_stats stage_stats(const struct stage *stage, unsigned member);
/* Nothing of what the other members send reaches this one; what it sends still leaves. */
void stage_cut(struct stage *stage, unsigned member, bool cut);
/* All links are good again. */
void stage_heal(struct stage *stage);
/* Tells a story in a process of its own, mute and without a core file: whether an assertion ended it. */
bool stage_asserts(void (*story)(void));

#endif /* TESTS_SCENARIO_STAGE_H */

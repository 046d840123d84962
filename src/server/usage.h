/* How often each command was asked of this node, and what became of it: INFO commandstats.
 *
 * Counted is what clients of this node send, also when another node leads and runs it. The time is that of
 * the loop of the node that leads, while it runs the command (shard.h, on_ran): without what it waits for
 * before, and without its commit. So commands that another node runs, those of the node itself (PING, INFO) and
 * those in an EXEC, which has the time itself, add calls and no time. */
#ifndef SERVER_USAGE_H
#define SERVER_USAGE_H

#include "command/command.h"

#include <assert.h>

#define USAGE_COMMANDS_MAX 160

struct usage_count {
	uint64_t calls, us;
	uint64_t rejected; /* before it was tried: its number of words, overload */
	uint64_t failed;   /* tried, and answered with an error */
};

struct usage {
	const struct command *first; /* of the table; counts are in its order */
	struct usage_count counts[USAGE_COMMANDS_MAX];
};

void usage_init(struct usage *usage);
/* CONFIG RESETSTAT. */
void usage_reset(struct usage *usage);
/* Lines as Redis writes them, of the commands that were asked at all. */
void usage_write(const struct usage *usage, struct buf *out);

static inline struct usage_count *usage_of(struct usage *usage, const struct command *command)
{
	assert(command >= usage->first);
	assert(command - usage->first < USAGE_COMMANDS_MAX);
	return &usage->counts[command - usage->first];
}

#endif /* SERVER_USAGE_H */

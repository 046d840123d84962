/* A plain Redis client on the stage: one connection to one node, lines of words
 * out, replies in. It knows no leader, repeats nothing and pipelines what it is
 * told, so a story sees exactly what the node said. */
#ifndef TESTS_SCENARIO_PLAIN_H
#define TESTS_SCENARIO_PLAIN_H

#include "base/buf.h"
#include "tests/scenario/stage.h"

struct plain {
	struct stage *stage;
	struct env_stream *stream; /* NULL: closed */
	struct buf in;
	struct list writes;
	char text[1024]; /* the last reply */
};

/* Connects to a member's client port; what is said before it is open waits. */
void plain_open(struct plain *plain, struct stage *stage, unsigned member);
/* Before stage_close. */
void plain_close(struct plain *plain);
/* Words are separated by blanks; sent at once, whatever is unanswered. */
void plain_send(struct plain *plain, const char *line);
/* The next reply, waiting for it at most ms: "OK", "value", "7", "-CODE …", "(nil)", "[a b]";
 * NULL when none came. Valid until the next. */
const char *plain_read(struct plain *plain, uint64_t ms);
/* Both, within half a minute. */
const char *plain_ask(struct plain *plain, const char *line);

#endif /* TESTS_SCENARIO_PLAIN_H */

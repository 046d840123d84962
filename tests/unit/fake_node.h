/* A scripted server on loopback: speaks RESP, answers HELLO and TALLY STATUS
 * from its fields, and everything else as the test says. */
#ifndef TESTS_UNIT_FAKE_NODE_H
#define TESTS_UNIT_FAKE_NODE_H

#include "base/list.h"
#include "env/env.h"

struct fake_node;
/* Returns the reply's bytes, NULL for none, or FAKE_CLOSE to cut the connection. words: the whole command. */
typedef const char *(*fake_answer)(struct fake_node *node, const struct slice *words, size_t count);
#define FAKE_CLOSE ((const char *)1)

struct fake_node {
	struct env *env;
	struct env_listener *listener;
	char address[64];
	const char *role; /* of the status: "leader", … */
	unsigned term;
	char leader[64];     /* leader_client */
	struct fake_node *members[4]; /* told in the status */
	bool deaf;           /* reads and answers nothing, as a paused process */
	unsigned forgotten;  /* so many of the first connections are dead, and neither side has heard of it */
	uint64_t pace_us;    /* each command takes so long, one after the other; 0: none does */
	uint64_t busy_us;    /* until then, with those that came so far */
	const char *hello;   /* the answer to HELLO; NULL: a good one */
	const char *status;  /* the answer to TALLY STATUS; NULL: from the fields */
	fake_answer answer;
	void *owner;
	struct list conns;
	unsigned accepted, asked, commands; /* connections, statuses, others */
	unsigned reads;      /* data events that brought commands */
	char last[512];      /* the last other command, words joined by a space */
};

void fake_node_open(struct fake_node *node, struct env *env);
/* A dead process: the port is closed, connections are cut. */
void fake_node_kill(struct fake_node *node);
/* After a kill: the same port again. */
void fake_node_revive(struct fake_node *node);
void fake_node_cut(struct fake_node *node); /* connections only */

#endif /* TESTS_UNIT_FAKE_NODE_H */

/* All nodes of a cluster, asked one by one: status and hash are a node's own
 * knowledge, so the question must not go to the leader instead. */
#ifndef CLIENT_TOOL_NODES_H
#define CLIENT_TOOL_NODES_H

#include "client/tool/tool.h"

#define NODES_MAX 16

struct node_list {
	size_t count;
	char addresses[NODES_MAX][128];
	uint64_t ids[NODES_MAX];
	uint64_t leader_id; /* 0: none known */
};
struct node_hash {
	uint64_t index;
	char text[40]; /* "" when the node did not answer */
};

/* From the first server that answers. False when none does. */
bool nodes_find(struct tool *tool, struct node_list *nodes);
/* After nobody answered: those of the servers whose names lead nowhere, a line each on stderr. Asks the
 * resolver, which may take seconds. */
void nodes_explain(const char *servers);
/* Asks each node the same; call is NULL when it cannot be asked. */
void nodes_ask(struct tool *tool, const struct node_list *nodes, const char *const *words, size_t count,
	       void (*visit)(void *owner, const char *address, const struct tally_call *call), void *owner);
/* A node reads its whole database for it. */
#define NODES_HASH_MS 60000
/* Hashes of all nodes at one index: asks again, for a while, when the indexes differ, but not when a node did
 * not answer within timeout_ms (its text is empty). True when all are equal. */
bool nodes_hash(const struct node_list *nodes, unsigned timeout_ms, struct node_hash hashes[NODES_MAX]);

#endif /* CLIENT_TOOL_NODES_H */

/* All nodes of a cluster, each asked itself: status and hash are a node's own
 * knowledge, so the question must not go to the leader instead. */
#ifndef CLIENT_TOOL_NODES_H
#define CLIENT_TOOL_NODES_H

#include "client/tool/tool.h"

#define NODES_MAX 16

/* A node, and who it says is who: what all of them should say alike. */
struct node_view {
	char address[128];
	bool answers;
	bool leads;
	char incarnation[24]; /* its directory's, no other node has it */
	char cluster[192];    /* "shop (f3fbbc384d518cd9)" */
	char members[3072];   /* "1=peer,client 2=…" */
	char leader[64];      /* "node 2 in term 7" */
};
struct node_list {
	size_t count;
	struct node_view nodes[NODES_MAX];
};
struct node_hash {
	uint64_t index;
	char text[40]; /* "" when the node did not answer */
};

/* All servers, and the members that any of them names; of the servers that are asked when none is given the
 * first that answers and those it names. A node that is found under two names is there once. False when none
 * answers. All are asked at once, so those that are away cost one wait; then those who were named. */
bool nodes_find(struct tool *tool, struct node_list *nodes);
/* After nobody answered: those of the servers whose names lead nowhere, a line each on stderr. Asks the
 * resolver, which may take seconds. */
void nodes_explain(const char *servers);
/* Asks each node the same; call is NULL for one that did not answer when it was found. */
void nodes_ask(struct tool *tool, const struct node_list *nodes, const char *const *words, size_t count,
	       void (*visit)(void *owner, const char *address, const struct tally_call *call), void *owner);
/* A node reads its whole database for it. */
#define NODES_HASH_MS 60000
/* Hashes of all nodes at one index: asks again, for a while, when the indexes differ, but not when a node did
 * not answer within timeout_ms (its text is empty). True when all are equal. */
bool nodes_hash(const struct node_list *nodes, unsigned timeout_ms, struct node_hash hashes[NODES_MAX]);

#endif /* CLIENT_TOOL_NODES_H */

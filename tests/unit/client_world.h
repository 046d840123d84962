/* libtally and up to three scripted nodes on loopback. */
#ifndef TESTS_UNIT_CLIENT_WORLD_H
#define TESTS_UNIT_CLIENT_WORLD_H

#include "client/tally.h"
#include "tests/unit/fake_node.h"

/* Longer than anything here takes on a loaded machine. */
#define PATIENCE_MS 60000

#define NODES 3
struct world {
	struct env *env;
	struct fake_node nodes[NODES];
	struct tally *tally;
	unsigned ended; /* callbacks */
	unsigned wanted;
	bool closed;
	bool inside; /* a start function runs */
	bool early;  /* a callback came from inside one */
};

struct shop_call {
	struct tally_call call;
	struct world *world;
	unsigned callbacks;
	enum tally_outcome outcome;
	char code[64], message[256], text[256];
	int64_t integer;
	bool replayed, was_unknown;
	unsigned attempts;
	void (*then)(struct shop_call *shop);
};

/* Notes how a call ended; callback of those below. */
void shop_cb(struct tally_call *call);
/* As many callbacks came as are wanted. */
bool world_ended(void *owner);
/* Ends the test when they do not: the client still has the structs of calls that the next step would use
 * anew. */
void world_wait(struct world *world, unsigned wanted);

const char *answer_ok(struct fake_node *node, const struct slice *words, size_t count);
const char *answer_nothing(struct fake_node *node, const struct slice *words, size_t count);

/* Nodes 0 to count - 1; node 0 leads. The client knows the last one. */
void world_open(struct world *world, size_t count, unsigned connections, unsigned pipeline_max);
/* Of tally_close, with the world. */
void world_closed_cb(void *data);
bool world_is_closed(void *owner);
/* Where the client is closed: ends the nodes and the loop. */
void world_end(struct world *world);
/* Closes the client, too. */
void world_close(struct world *world);

/* Starts SET k v under this id, or none. */
void shop_call(struct world *world, struct shop_call *shop, const char *id, unsigned flags,
	       unsigned timeout_ms);

#endif /* TESTS_UNIT_CLIENT_WORLD_H */

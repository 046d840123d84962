/* What local nodes take while a bench runs: memory against the budget they were
 * given (`memory` of tallyd), file descriptors, flushes, and elections. Read from /proc
 * and from each node's own status; a node's own figures of its memory are not asked. */
#ifndef CLIENT_TOOL_FOOTPRINT_H
#define CLIENT_TOOL_FOOTPRINT_H

#include "base/buf.h"
#include "client/tool/local.h"

struct footprint {
	struct local *local;
	uint64_t budget_bytes;                                  /* of each node; 0: not known */
	uint64_t rss_bytes[LOCAL_MAX], files[LOCAL_MAX];        /* the largest seen */
	uint64_t term_before[LOCAL_MAX], term_after[LOCAL_MAX]; /* 0: the node did not answer */
	uint64_t flushes_before[LOCAL_MAX], flushes_after[LOCAL_MAX];
	unsigned samples;
};

/* Asks every node for budget, term and flushes. */
void footprint_begin(struct footprint *footprint, struct tool *tool, struct local *local);
/* Looks at /proc; as often as the bench likes. */
void footprint_sample(struct footprint *footprint);
/* Asks for terms and flushes again. Behind an election the nodes' logs outlive them (local_keep_logs). */
void footprint_end(struct footprint *footprint, struct tool *tool);
/* Terms that began in between, as the node tells that saw most of them. */
uint64_t footprint_elections(const struct footprint *footprint);
/* Memtables that were flushed in between, on the node that flushed fewest. */
uint64_t footprint_flushes(const struct footprint *footprint);
/* Of the node that took most. */
uint64_t footprint_rss_bytes(const struct footprint *footprint);
/* A line each; nothing without local nodes. */
void footprint_print(const struct footprint *footprint);
/* Members of the object that out is in. */
void footprint_json(const struct footprint *footprint, struct buf *out);

#endif /* CLIENT_TOOL_FOOTPRINT_H */

/* The Cycle ring of FoundationDB's tests: each node names the next, transactions
 * let two neighbours change places, and whoever looks at all of it at one moment sees one
 * ring through every node. */
#ifndef TESTS_CHECK_RING_H
#define TESTS_CHECK_RING_H

#include "tests/check/history.h"

/* next[i] of count nodes must be one ring through all. */
int ring_check(const int64_t *next, size_t count, struct err *err);
/* Every LINKS of a history, ids joined. 0 or ERR_INVALID. */
int ring_check_history(const struct history *history, struct err *err);

#endif /* TESTS_CHECK_RING_H */

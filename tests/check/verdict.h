/* All judges over one history: what the simulator, the nemesis and the program
 * judge-history ask. Each judge looks at the operations it understands. */
#ifndef TESTS_CHECK_VERDICT_H
#define TESTS_CHECK_VERDICT_H

#include "tests/check/history.h"

struct verdict {
	size_t operations, ok, failed, unknown; /* requests, ids joined */
	size_t keys, undecided;                 /* registers, and those the search gave up */
	size_t entries, hashes;                 /* replayed; 0: the history has no log */
};
/* Fills verdict. 0 when every judge accepts, else ERR_INVALID and err says whose demand is broken. */
int verdict_of(const struct history *history, struct verdict *verdict, struct err *err);

#endif /* TESTS_CHECK_VERDICT_H */

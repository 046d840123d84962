/* Exactly once, as clients see it: requests that carry one id are one request.
 *
 * Every acknowledgement of an id must say the same; what was acknowledged is not refused
 * afterwards. For the other judges the attempts become one operation, from the first that may
 * have happened to the first acknowledgement. */
#ifndef TESTS_CHECK_ONCE_H
#define TESTS_CHECK_ONCE_H

#include "tests/check/history.h"

/* Fills whole (initialised, empty) with the operations of history, ids joined. Lists and texts are
 * borrowed from history, entries and hashes stay there. ERR_INVALID when two attempts contradict each other.
 */
int once_merge(const struct history *history, struct history *whole, struct err *err);

#endif /* TESTS_CHECK_ONCE_H */

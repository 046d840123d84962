/* Linearizability of registers, one key at a time, without believing the server:
 * the search of Wing and Gong (1993) with Lowe's memoisation (2017). Operations
 * that are INFO may have happened at any time after they began, or never. */
#ifndef TESTS_CHECK_LINEAR_H
#define TESTS_CHECK_LINEAR_H

#include "tests/check/history.h"

enum linear_verdict { LINEAR_YES, LINEAR_NO, LINEAR_UNDECIDED };

/* All READ, WRITE and CAS operations of one key. A key starts absent. steps_max bounds the search; beyond
 * it the verdict is UNDECIDED. On NO, err says which read cannot be explained. */
enum linear_verdict linear_check_key(const struct history *history, int64_t key, uint64_t steps_max, struct err *err);
/* Every key. NO as soon as one is; *undecided counts the keys without a verdict. */
enum linear_verdict linear_check(const struct history *history, uint64_t steps_max, size_t *keys, size_t *undecided,
                                 struct err *err);

#endif /* TESTS_CHECK_LINEAR_H */

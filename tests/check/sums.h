/* What adds up, without believing the server: counters count each acknowledged
 * ADD once and each unknown one at most once, and no two are told the same number; whoever looks at all
 * accounts at one moment sees the same total, and at the end each account holds what the moves left there. */
#ifndef TESTS_CHECK_SUMS_H
#define TESTS_CHECK_SUMS_H

#include "tests/check/history.h"

/* Over ADD and COUNT, ids joined. 0 or ERR_INVALID. */
int sums_check_counters(const struct history *history, struct err *err);
/* Over BANK, MOVE and BALANCES. */
int sums_check_bank(const struct history *history, struct err *err);

#endif /* TESTS_CHECK_SUMS_H */

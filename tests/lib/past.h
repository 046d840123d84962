/* Pasts made by hand, a few operations long, for the tests of the judges (tests/check). */
#ifndef TESTS_LIB_PAST_H
#define TESTS_LIB_PAST_H

#include "tests/check/history.h"

/* An operation that found what it asked for: acknowledged, or unknown when to is HISTORY_NEVER. What else it
 * says is the caller's to set; valid until the next one. */
struct history_op *past_op(struct history *past, enum history_function function, const char *id,
			   uint64_t from, uint64_t to, int64_t key, int64_t value);
/* Empty again. */
void past_forget(struct history *past);
/* A sentence is true when the judge accepts (want is NULL), or refuses with want in what it says. */
void past_judged(int rc, const struct err *err, const char *want, const char *sentence);

#endif /* TESTS_LIB_PAST_H */

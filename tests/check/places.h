/* The order of a log against time, and reads between its requests.
 *
 * A place is the number of a request in the log's order, from 1; places[i] is that of a history's i-th
 * operation, 0 when it has none. What was answered before another began has the lower place. */
#ifndef TESTS_CHECK_PLACES_H
#define TESTS_CHECK_PLACES_H

#include "tests/check/history.h"
#include "tests/check/model.h"

/* It leaves nothing in the log. */
bool places_is_read(const struct history_op *op);
/* Requests up to the last place are in an order that agrees with time. 0 or ERR_INVALID. */
int places_check_requests(const struct history *whole, const uint64_t *places, uint64_t last,
			  struct err *err);
/* Finds a place for each read (0: before every request), such that the model explains it there and time
 * agrees. */
int places_check_reads(const struct history *whole, uint64_t *places, uint64_t last,
		       const struct model *model, struct err *err);

#endif /* TESTS_CHECK_PLACES_H */

/* The order of a log against time, and reads and refusals between its requests.
 *
 * A place is the number of a request in the log's order, from 1; places[i] is that of a history's i-th
 * operation, 0 when it has none. What was answered before another began has the lower place. */
#ifndef TESTS_CHECK_PLACES_H
#define TESTS_CHECK_PLACES_H

#include "base/map.h"
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

/* A refusal in the log under a request's id, written when so many places were passed. */
struct places_kept {
	uint64_t place;
	const char *code;
};
struct places_log {
	const struct history *attempts, *whole; /* whole: joined, and places are its */
	const uint64_t *places;                 /* of requests only: before places_check_reads */
	uint64_t last;
	const struct model *model; /* it has passed them all */
	const struct map *kept;    /* request id -> struct places_kept */
	uint64_t until_us;         /* what was answered from then on is not judged */
};
/* A refusal is a read of the sale: each attempt that was told one was told the model's at some place that
 * time allows, or what is kept under its id. Once that is kept nobody is told another; before, an attempt may
 * have been told what held then, for a refusal that nothing keeps says nothing of the next attempt. */
int places_check_refusals(const struct places_log *log, struct err *err);

#endif /* TESTS_CHECK_PLACES_H */

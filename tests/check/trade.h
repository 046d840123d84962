/* The trade's invariants of a campaign, from the buyers' own list and every row
 * read back: P1-P4, Q1, exactly once, nothing acknowledged lost, nothing
 * oversold, numbers without gaps (commerce/README.md). */
#ifndef TESTS_CHECK_TRADE_H
#define TESTS_CHECK_TRADE_H

#include "base/err.h"
#include "base/slice.h"
#include "tests/check/history.h"

struct trade_order { /* a row read back */
	struct slice order_id, customer;
	int64_t units, number;
};
struct trade_ack { /* what a buyer was told: DONE */
	struct slice order_id, customer;
	int64_t units, number; /* number 0: not told */
	bool refused;          /* told definitely that it did not and never will happen under this id */
};
struct trade {
	int64_t allotted, per_customer;
	int64_t avail, held, committed, shipped, returned, campaign_out; /* sums over the slices, and the campaign's row */
	bool demand_left; /* some buyer was refused with SOLD_OUT at the end: nothing may be unsold */
	const struct trade_order *orders;
	size_t order_count;
	const struct trade_ack *acks;
	size_t ack_count;
};
struct trade_verdict {
	int64_t sold, oversold, lost, doubled, over_limit, gaps, wrong, ghost, unsold;
};
/* Fills verdict; 0 when everything holds, else ERR_INVALID and err names the first demand that is broken. */
int trade_check(const struct trade *trade, struct trade_verdict *verdict, struct err *err);

/* The same over a history's BUY, ALLOT, ORDER and STOCK, ids joined; 0 when there is no STOCK. */
int trade_check_history(const struct history *history, struct err *err);

#endif /* TESTS_CHECK_TRADE_H */

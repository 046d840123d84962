#include "tests/check/ring.h"
#include "tests/check/sums.h"
#include "tests/lib/past.h"
#include "tests/lib/tap.h"

static struct history history;

static struct history_op *op(enum history_function function, uint64_t from, uint64_t to, int64_t key,
			     int64_t value)
{
	return past_op(&history, function, "", from, to, key, value);
}

static struct history_op *listed(enum history_function function, uint64_t from, uint64_t to,
				 const int64_t *list, size_t count)
{
	struct history_op *o = op(function, from, to, 0, 0);
	o->list = list;
	o->list_count = count;
	return o;
}
#define LISTED(function, from, to, ...)                                                                      \
	listed(function, from, to, (const int64_t[]){__VA_ARGS__},                                           \
	       sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

static void judge(int (*check)(const struct history *, struct err *), const char *want, const char *sentence)
{
	struct err err = {0};
	int rc = check(&history, &err);
	past_judged(rc, &err, want, sentence);
	past_forget(&history);
}

static void counters(void)
{
	op(HISTORY_ADD, 1, 3, 0, 1);
	op(HISTORY_ADD, 1, 9, 0, 3);
	op(HISTORY_ADD, 2, HISTORY_NEVER, 0, 0);
	op(HISTORY_COUNT, 10, 11, 0, 3);
	judge(sums_check_counters, NULL, "acknowledged once each and unknown at most once is accepted");

	op(HISTORY_COUNT, 10, 11, 0, 0)->found = false;
	op(HISTORY_ADD, 10, HISTORY_NEVER, 0, 0);
	judge(sums_check_counters, NULL, "a counter that nobody surely raised may be absent");

	op(HISTORY_ADD, 1, 3, 0, 1);
	op(HISTORY_COUNT, 10, 11, 0, 0)->found = false;
	judge(sums_check_counters, "1 were acknowledged", "a lost addition is found");

	op(HISTORY_ADD, 1, 3, 0, 1);
	op(HISTORY_COUNT, 10, 11, 0, 2);
	judge(sums_check_counters, "1 had begun", "an addition that happened twice is found");

	op(HISTORY_ADD, 1, 9, 0, 1);
	op(HISTORY_ADD, 1, 9, 0, 1);
	judge(sums_check_counters, "two additions were told", "two additions told the same number are found");

	op(HISTORY_ADD, 1, 3, 0, 2);
	op(HISTORY_ADD, 4, 6, 0, 1);
	judge(sums_check_counters, "counter 0", "swapped answers are found");

	op(HISTORY_ADD, 1, 3, 0, 1)->outcome = HISTORY_FAIL;
	op(HISTORY_COUNT, 10, 11, 0, 1);
	judge(sums_check_counters, "0 had begun", "an addition that failed for certain and counts is found");
}

static void bank(void)
{
	LISTED(HISTORY_BALANCES, 0, 1, 0)->found = false;
	LISTED(HISTORY_BANK, 1, 2, 10, 10, 10);
	op(HISTORY_MOVE, 3, 5, 0, 4)->expected = 1;
	op(HISTORY_MOVE, 3, 5, 1, 99)->expected = 2;
	history.ops[history.count - 1].found = false; /* there was not enough */
	op(HISTORY_MOVE, 4, HISTORY_NEVER, 1, 3)->expected = 2;
	LISTED(HISTORY_BALANCES, 3, 6, 6, 14, 10);
	LISTED(HISTORY_BALANCES, 8, 9, 6, 11, 13);
	judge(sums_check_bank, NULL, "a bank that moves is accepted, an unknown move too");

	LISTED(HISTORY_BANK, 1, 2, 10, 10);
	LISTED(HISTORY_BALANCES, 3, 4, 10, 9);
	judge(sums_check_bank, "19 in all", "a leak is found");

	LISTED(HISTORY_BANK, 1, 2, 10, 10);
	op(HISTORY_MOVE, 3, 5, 0, 4)->expected = 1;
	LISTED(HISTORY_BALANCES, 8, 9, 10, 10);
	judge(sums_check_bank, "the moves leave 6 to 6", "a lost move is found");

	LISTED(HISTORY_BANK, 1, 2, 10, 10);
	op(HISTORY_MOVE, 3, 5, 0, 4)->expected = 1;
	LISTED(HISTORY_BALANCES, 8, 9, 2, 18);
	judge(sums_check_bank, "the moves leave", "a double charge is found");

	LISTED(HISTORY_BANK, 1, 2, 10, 10, 10);
	op(HISTORY_MOVE, 4, HISTORY_NEVER, 1, 3)->expected = 2;
	LISTED(HISTORY_BALANCES, 8, 9, 9, 10, 11);
	judge(sums_check_bank, "account 0 ends with 9",
	      "a payment from an account that paid nothing is found");

	LISTED(HISTORY_BANK, 1, 2, 10, 10);
	LISTED(HISTORY_BALANCES, 3, 4, -2, 22);
	judge(sums_check_bank, "-2 in account 0", "an overdrawn account is found");

	LISTED(HISTORY_BANK, 1, 2, 10, 10);
	LISTED(HISTORY_BALANCES, 3, 4, 0)->found = false;
	judge(sums_check_bank, "found no accounts", "a bank that vanished is found");

	LISTED(HISTORY_BANK, 1, 2, 10, 10);
	op(HISTORY_MOVE, 3, 5, 0, 4)->expected = 7;
	judge(sums_check_bank, "no account", "a move to nowhere is found");
}

static void ring(void)
{
	LISTED(HISTORY_LINKS, 0, 1, 0)->found = false;
	LISTED(HISTORY_RING, 1, 2, 1, 2, 3, 0);
	LISTED(HISTORY_LINKS, 3, 4, 2, 3, 1, 0);
	judge(ring_check_history, NULL, "a ring in another order is accepted");

	LISTED(HISTORY_RING, 1, 2, 1, 2, 3, 0);
	LISTED(HISTORY_LINKS, 3, 4, 1, 0, 3, 2);
	judge(ring_check_history, "closed after 2 of 4", "two rings are found");

	LISTED(HISTORY_RING, 1, 2, 1, 2, 3, 0);
	LISTED(HISTORY_LINKS, 3, 4, 1, 2, 0);
	judge(ring_check_history, "saw 3 of 4", "a ring that lost a node is found");

	LISTED(HISTORY_RING, 1, 2, 1, 2, 3, 0);
	LISTED(HISTORY_LINKS, 3, 4, 0)->found = false;
	judge(ring_check_history, "of 4 nodes", "a ring that vanished is found");
}

int main(void)
{
	history_init(&history);
	counters();
	bank();
	ring();
	history_fini(&history);
	return tap_done();
}

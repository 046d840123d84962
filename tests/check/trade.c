#include "tests/check/trade.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

static void find_doubles(const struct trade *trade, struct map *orders, struct trade_verdict *v)
{
	for (size_t i = 0; i < trade->order_count; i++) {
		const struct trade_order *order = &trade->orders[i];
		v->sold += order->units;
		/* The former value is only asked whether it was there. */
		v->doubled += map_put(orders, order->order_id, (void *)(uintptr_t)order) != NULL;
	}
	v->oversold = v->sold > trade->allotted ? v->sold - trade->allotted : 0;
}

static void compare_acks(const struct trade *trade, const struct map *orders, struct trade_verdict *v)
{
	for (size_t i = 0; i < trade->ack_count; i++) {
		const struct trade_ack *ack = &trade->acks[i];
		const struct trade_order *order = map_get(orders, ack->order_id);
		if (ack->refused) {
			v->ghost += order != NULL;
		} else if (order == NULL) {
			v->lost++;
		} else {
			v->wrong += order->units != ack->units || !slice_equal(order->customer, ack->customer) ||
			            (ack->number != 0 && ack->number != order->number);
		}
	}
}

static void count_customers(const struct trade *trade, struct trade_verdict *v)
{
	struct map customers;
	map_init(&customers);
	int64_t *units = calloc(trade->order_count + 1, sizeof(*units));
	for (size_t i = 0; i < trade->order_count; i++) {
		int64_t *sum = map_get(&customers, trade->orders[i].customer);
		if (sum == NULL) {
			sum = &units[i];
			map_put(&customers, trade->orders[i].customer, sum);
		}
		bool was_over = *sum > trade->per_customer;
		*sum += trade->orders[i].units;
		v->over_limit += !was_over && *sum > trade->per_customer;
	}
	free(units);
	map_fini(&customers);
}

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static void count_gaps(const struct trade *trade, struct trade_verdict *v)
{
	int64_t *numbers = malloc((trade->order_count + 1) * sizeof(*numbers));
	for (size_t i = 0; i < trade->order_count; i++) {
		numbers[i] = trade->orders[i].number;
	}
	qsort(numbers, trade->order_count, sizeof(*numbers), by_number);
	for (size_t i = 1; i < trade->order_count; i++) {
		v->gaps += numbers[i] != numbers[i - 1] + 1;
	}
	free(numbers);
}

int trade_check(const struct trade *t, struct trade_verdict *v, struct err *err)
{
	*v = (struct trade_verdict){0};
	struct map orders;
	map_init(&orders);
	find_doubles(t, &orders, v);
	compare_acks(t, &orders, v);
	count_customers(t, v);
	count_gaps(t, v);
	map_fini(&orders);
	v->unsold = t->demand_left ? t->avail : 0;
	/* The cause before what follows from it: an order with two rows also sells more than there was. */
	const struct {
		bool holds;
		const char *demand;
		int64_t got, want;
	} demands[] = {
		{v->lost == 0, "acknowledged sales without an order row", v->lost, 0},
		{v->doubled == 0, "order ids with more than one row", v->doubled, 0},
		{v->oversold == 0, "oversold", v->oversold, 0},
		{v->wrong == 0, "orders that differ from what the buyer was told", v->wrong, 0},
		{v->ghost == 0, "orders under an id that was refused for good", v->ghost, 0},
		{v->over_limit == 0, "customers above their limit (Q1)", v->over_limit, 0},
		{v->gaps == 0, "gaps or repeats in the order numbers", v->gaps, 0},
		{v->unsold == 0, "units unsold while buyers were told sold out", v->unsold, 0},
		{t->avail >= 0 && t->held >= 0 && t->committed >= 0, "a bucket below zero; avail", t->avail, 0},
		{t->campaign_out == t->avail + t->held + t->committed, "P1: campaign_out = avail + held + committed",
	         t->campaign_out, t->avail + t->held + t->committed},
		{t->allotted == t->campaign_out + t->shipped + t->returned, "P2: allotted = out + shipped + returned",
	         t->allotted, t->campaign_out + t->shipped + t->returned},
		{v->sold == t->held + t->committed + t->shipped, "P3: live orders = held + committed + shipped", v->sold,
	         t->held + t->committed + t->shipped},
	};
	for (size_t i = 0; i < sizeof(demands) / sizeof(demands[0]); i++) {
		if (!demands[i].holds) {
			return err_set(err, ERR_INVALID, "%s: %" PRId64 ", must be %" PRId64, demands[i].demand,
			               demands[i].got, demands[i].want);
		}
	}
	return 0;
}

/* ---- from a history ---- */

static struct slice number_slice(const int64_t *number) { return slice_of(number, sizeof(*number)); }

static bool refused_for_good(const struct history_op *op)
{
	return op->outcome == HISTORY_FAIL && (strcmp(op->code, "SOLD_OUT") == 0 || strcmp(op->code, "INSUFFICIENT_STOCK") == 0 ||
	                                       strcmp(op->code, "PURCHASE_LIMIT_EXCEEDED") == 0);
}

static void gather(struct trade *trade, const struct history *history, struct trade_order *orders, struct trade_ack *acks)
{
	for (size_t i = 0; i < history->count; i++) {
		const struct history_op *op = &history->ops[i];
		int64_t number = op->list_count > 0 ? op->list[0] : 0;
		if (op->function == HISTORY_ORDER) {
			orders[trade->order_count++] =
				(struct trade_order){number_slice(&op->key), number_slice(&op->expected), op->value, number};
		} else if (op->function == HISTORY_ALLOT && op->list_count > 0) {
			trade->per_customer = op->list[0];
		} else if (op->function == HISTORY_BUY && (op->outcome == HISTORY_OK || refused_for_good(op))) {
			acks[trade->ack_count++] = (struct trade_ack){number_slice(&op->key), number_slice(&op->expected), op->value,
			                                              number, op->outcome == HISTORY_FAIL};
			trade->demand_left = trade->demand_left || strcmp(op->code, "SOLD_OUT") == 0;
		}
	}
	trade->orders = orders;
	trade->acks = acks;
}

int trade_check_history(const struct history *history, struct err *err)
{
	const struct history_op *stock = NULL;
	for (size_t i = 0; i < history->count; i++) {
		stock = history->ops[i].function == HISTORY_STOCK ? &history->ops[i] : stock;
	}
	if (stock == NULL) {
		return 0; /* no sale, or nobody read it back */
	}
	if (stock->list_count != STOCK_FIELDS) {
		return err_set(err, ERR_INVALID, "the sums of a sale are %zu, must be %d", stock->list_count, STOCK_FIELDS);
	}
	struct trade trade = {.allotted = stock->list[STOCK_ALLOTTED],
	                      .avail = stock->list[STOCK_AVAIL],
	                      .held = stock->list[STOCK_HELD],
	                      .committed = stock->list[STOCK_COMMITTED],
	                      .shipped = stock->list[STOCK_SHIPPED],
	                      .returned = stock->list[STOCK_RETURNED],
	                      .campaign_out = stock->list[STOCK_OUT]};
	struct trade_order *orders = calloc(history->count + 1, sizeof(*orders));
	struct trade_ack *acks = calloc(history->count + 1, sizeof(*acks));
	if (orders == NULL || acks == NULL) {
		fatal("out of memory: a sale of %zu operations", history->count);
	}
	struct trade_verdict verdict;
	gather(&trade, history, orders, acks);
	int rc = trade_check(&trade, &verdict, err);
	free(orders);
	free(acks);
	return rc;
}

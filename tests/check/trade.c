#include "tests/check/trade.h"

#include <inttypes.h>
#include <stdlib.h>

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
	const struct {
		bool holds;
		const char *demand;
		int64_t got, want;
	} demands[] = {
		{v->oversold == 0, "oversold", v->oversold, 0},
		{v->lost == 0, "acknowledged sales without an order row", v->lost, 0},
		{v->doubled == 0, "order ids with more than one row", v->doubled, 0},
		{v->wrong == 0, "orders that differ from what the buyer was told", v->wrong, 0},
		{v->ghost == 0, "orders under an id that was refused for good", v->ghost, 0},
		{v->over_limit == 0, "customers above their limit (Q1)", v->over_limit, 0},
		{v->gaps == 0, "gaps or repeats in the order numbers (K6)", v->gaps, 0},
		{v->unsold == 0, "units unsold while buyers were told sold out (K3)", v->unsold, 0},
		{t->avail >= 0 && t->held >= 0 && t->committed >= 0, "a bucket below zero (L2); avail", t->avail, 0},
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

int ring_check(const int64_t *next, size_t count, struct err *err)
{
	int64_t at = 0;
	for (size_t step = 1; step <= count; step++) {
		if (at < 0 || (size_t)at >= count) {
			return err_set(err, ERR_INVALID, "ring: a link leaves the ring to %" PRId64, at);
		}
		at = next[at];
		if (at == 0 && step < count) {
			return err_set(err, ERR_INVALID, "ring: closed after %zu of %zu nodes", step, count);
		}
	}
	return at == 0 ? 0 : err_set(err, ERR_INVALID, "ring: not closed after %zu nodes", count);
}

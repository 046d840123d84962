/* A sale: buyers, some of whom come twice, take units of one pool; at the end every
 * order is read back into the history and held against what the buyers were told. */
#include "tests/nemesis/load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define POOL 1000000
#define PER_CUSTOMER 2
#define PRICE 199900
#define PAY_TTL_MS 900000
#define PAGE 1000
#define WAIT_MS 20000

static const char campaign[] = "nemesis";

static int sale_prepare(struct load *load, struct tally_sync *sync, struct err *err)
{
	char allot[64];
	const int64_t terms[] = {PER_CUSTOMER, PRICE, PAY_TTL_MS};
	struct history_op op = {.function = HISTORY_ALLOT,
				.client = load->client_count,
				.invoked_us = load_now_us(),
				.value = POOL,
				.list = terms,
				.list_count = 3,
				.id = allot,
				.code = ""};
	snprintf(allot, sizeof(allot), "allot-%" PRIu64, load->seed);
	const struct tally_arg args[] = {
		tally_str("allot_id", allot),
		tally_str("campaign", campaign),
		tally_str("sku", "phone"),
		tally_int("qty", POOL),
		tally_int("from_ms", 0),
		tally_int("until_ms", 32503680000000),
		tally_int("per_customer", PER_CUSTOMER),
		tally_int("price", PRICE),
		tally_int("pay_ttl_ms", PAY_TTL_MS),
	};
	const struct tally_call *call =
		tally_sync_call(sync, NULL, "campaign.allot", args, sizeof(args) / sizeof(args[0]), WAIT_MS);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return err_set(err, ERR_TIMEOUT, "campaign.allot: %s", tally_call_message(call));
	}
	op.returned_us = load_now_us();
	history_add(&load->history, &op);
	return 0;
}

/* Its order's name is its request id: flash_buy declares it so. */
static void sale_draw(struct load_client *client)
{
	struct load *load = client->load;
	struct history_op *op = &client->op;
	op->function = HISTORY_BUY;
	op->key = (int64_t)++load->made;
	/* Few customers, so that limits are met. */
	op->expected = op->key / 3 - (int64_t)prng_below(&load->prng, 3);
	op->value = 1;
	snprintf(client->request_id, sizeof(client->request_id), "o-%016" PRId64, op->key);
}

static void sale_ask(struct load_client *client)
{
	char customer[24];
	snprintf(customer, sizeof(customer), "c%" PRId64, client->op.expected);
	const struct tally_arg args[] = {
		tally_str("order_id", client->request_id),
		tally_str("campaign", campaign),
		tally_str("sku", "phone"),
		tally_str("customer", customer),
		tally_int("qty", 1),
	};
	tally_call_start(client->tally, &client->call, "order.flash_buy", args, 5, client->load->timeout_ms,
			 load_done);
}

static bool sale_answer(struct load_client *client, const struct tally_value *value)
{
	int64_t *told = arena_alloc(&client->load->history.arena, 2 * sizeof(*told));
	told[0] = tally_value_int(tally_value_get(value, "number"), 0);
	told[1] = tally_value_int(tally_value_get(value, "left"), -1);
	client->op.list = told;
	client->op.list_count = 2;
	return told[0] > 0 && told[1] >= 0;
}

/* ---- the end: read everything back ---- */

static void note(struct load *load, struct history_op op)
{
	op.client = load->client_count;
	op.invoked_us = op.returned_us = load_now_us();
	op.code = "";
	history_add(&load->history, &op);
}

/* The number behind what our names begin with: "o-00012", "c7". */
static int64_t number_of(const struct tally_value *row, const char *column, size_t prefix)
{
	size_t len = 0;
	const char *text = tally_value_text(tally_value_get(row, column), &len);
	return text == NULL || len <= prefix ? -1 : strtoll(text + prefix, NULL, 10);
}

/* Pages go forward, or the database lies; a page that brings nothing new would come for ever. */
static int read_orders(struct load *load, struct tally_sync *sync, struct err *err)
{
	char from[64] = "o"; /* before every order of ours */
	int64_t last = 0;
	for (size_t count = PAGE; count == PAGE;) {
		const char *words[] = {"ROWS", "order", from, "LIMIT", "1000"};
		const struct tally_call *call =
			tally_sync_command(sync, NULL, words, NULL, 5, TALLY_READ, WAIT_MS);
		if (tally_call_outcome(call) != TALLY_DONE) {
			return err_set(err, ERR_TIMEOUT, "ROWS order: %s", tally_call_message(call));
		}
		const struct tally_value *rows = tally_call_value(call);
		count = tally_value_count(rows);
		int64_t before = last;
		for (size_t i = 0; i < count; i++) {
			const struct tally_value *row = tally_value_at(rows, i);
			const int64_t number = tally_value_int(tally_value_get(row, "number"), 0);
			int64_t key = number_of(row, "order_id", 2);
			if (key == last) {
				continue; /* the last of the page before */
			}
			last = key;
			note(load,
			     (struct history_op){.function = HISTORY_ORDER,
						 .key = key,
						 .value = tally_value_int(tally_value_get(row, "qty"), 0),
						 .expected = number_of(row, "customer", 1),
						 .list = &number,
						 .list_count = 1});
		}
		if (count == PAGE && last <= before) {
			return err_set(err, ERR_CORRUPT, "ROWS order from %s: a page that goes back or stays", from);
		}
		snprintf(from, sizeof(from), "o-%016" PRId64, last);
	}
	return 0;
}

static int read_pool(struct load *load, struct tally_sync *sync, struct err *err)
{
	static const char *const names[STOCK_OUT] = {"allotted",  "avail",   "held",
						     "committed", "shipped", "returned"};
	int64_t stock[STOCK_FIELDS];
	const struct tally_arg args[] = {tally_str("campaign", campaign)};
	const struct tally_call *call = tally_sync_call(sync, NULL, "campaign.status", args, 1, WAIT_MS);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return err_set(err, ERR_TIMEOUT, "campaign.status: %s", tally_call_message(call));
	}
	for (size_t i = 0; i < STOCK_OUT; i++) {
		stock[i] = tally_value_int(tally_value_get(tally_call_value(call), names[i]), -1);
	}
	const char *words[] = {"ROW", "campaign", campaign};
	call = tally_sync_command(sync, NULL, words, NULL, 3, TALLY_READ, WAIT_MS);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return err_set(err, ERR_TIMEOUT, "ROW campaign: %s", tally_call_message(call));
	}
	stock[STOCK_OUT] = tally_value_int(tally_value_get(tally_call_value(call), "out"), -1);
	note(load, (struct history_op){.function = HISTORY_STOCK, .list = stock, .list_count = STOCK_FIELDS});
	return 0;
}

static int sale_judge(struct load *load, struct tally_sync *sync, struct err *err)
{
	int rc = read_orders(load, sync, err);
	rc = rc == 0 ? read_pool(load, sync, err) : rc;
	return rc == 0 ? load_verdict(load, err) : rc;
}

const struct workload workload_sale = {"sale", sale_prepare, sale_draw, sale_ask, sale_answer, sale_judge};

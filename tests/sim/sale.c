#include "tests/sim/sale.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAMPAIGN "11.11"
#define SKU "phone-x"
#define PAGE 500
#define PAGE_TEXT "500"
#define KEEP_MS 10000 /* a step of the shopkeeper is tried for so long, then again */

static void buyer_next(struct buyer *buyer)
{
	struct sale *sale = buyer->sale;
	sim_event_in(sale->sim, &buyer->next, 1 + prng_below(sim_prng(sale->sim), sale->think_us));
}

static void buyer_begins(struct buyer *buyer)
{
	assert(!buyer->busy);
	buyer->busy = true;
	buyer->sale->busy++;
	buyer->call.data = buyer;
}

static struct buyer *buyer_ends(struct tally_call *call)
{
	struct buyer *buyer = call->data;
	buyer->busy = false;
	buyer->sale->busy--;
	sim_trace(buyer->sale->sim, buyer->sale->host, "sale", slice_str(tally_call_code(call)));
	return buyer;
}

/* ---- buying ---- */

static void note_answer(struct sale *sale, struct sale_order *order, const struct tally_call *call)
{
	enum tally_outcome outcome = tally_call_outcome(call);
	if (outcome == TALLY_DONE) {
		int64_t number = tally_value_int(tally_value_get(tally_call_value(call), "number"), -1);
		if (order->told == ORDER_SOLD && order->number != number) {
			judge_fail(sale->judge, "order %s got number %lld, then %lld", order->id, (long long)order->number,
				   (long long)number);
		}
		if (order->told == ORDER_REFUSED) {
			judge_fail(sale->judge, "order %s was refused, then sold", order->id);
		}
		sale->sold += order->told != ORDER_SOLD;
		sale->replayed += tally_call_replayed(call);
		order->told = ORDER_SOLD;
		order->number = number;
		return;
	}
	sale->unknown += outcome == TALLY_UNKNOWN;
	if (outcome != TALLY_REFUSED && outcome != TALLY_CONFLICT) {
		return; /* retry and unknown: he asks again, or it stays open whether he bought */
	}
	const char *code = tally_call_code(call);
	sale->refused++;
	sale->sold_out_told = sale->sold_out_told || strcmp(code, "SOLD_OUT") == 0;
	if (order->told == ORDER_SOLD) {
		judge_fail(sale->judge, "order %s was sold, then refused with %s", order->id, code);
	}
	if (strcmp(code, "SOLD_OUT") != 0 && strcmp(code, "PURCHASE_LIMIT_EXCEEDED") != 0 &&
	    strcmp(code, "INSUFFICIENT_STOCK") != 0) {
		judge_fail(sale->judge, "order %s was refused: %s", order->id, tally_call_message(call));
	}
	order->told = ORDER_REFUSED;
}

static void bought_cb(struct tally_call *call)
{
	struct buyer *buyer = buyer_ends(call);
	struct sale_order *order = buyer->order;
	note_answer(buyer->sale, order, call);
	/* Who was left in the dark mostly asks again under the same id, and who got it sometimes too. */
	bool dark = order->told == ORDER_UNKNOWN;
	bool again = prng_chance(sim_prng(buyer->sale->sim), dark ? 3 : 1, dark ? 4 : 20);
	if (!again || order->asked > 8) {
		buyer->order = NULL;
	}
	buyer_next(buyer);
}

static struct sale_order *new_order(struct sale *sale)
{
	if (sale->order_count == SALE_ORDERS_MAX) {
		return NULL;
	}
	struct prng *prng = sim_prng(sale->sim);
	struct sale_order *order = &sale->orders[sale->order_count];
	snprintf(order->id, sizeof(order->id), "o-%05zu", sale->order_count++);
	snprintf(order->customer, sizeof(order->customer), "b%u", (unsigned)prng_below(prng, sale->customers));
	order->units = 1 + (int64_t)prng_below(prng, 2);
	return order;
}

static void buy(struct buyer *buyer)
{
	struct sale *sale = buyer->sale;
	buyer->order = buyer->order != NULL ? buyer->order : new_order(sale);
	if (buyer->order == NULL) {
		return;
	}
	struct sale_order *order = buyer->order;
	order->asked++;
	buyer_begins(buyer);
	const struct tally_arg args[] = {tally_str("order_id", order->id), tally_str("campaign", CAMPAIGN),
					 tally_str("sku", SKU), tally_str("customer", order->customer),
					 tally_int("qty", order->units)};
	tally_call_start(sale->tally, &buyer->call, "order.flash_buy", args, 5,
			 200 + (unsigned)prng_below(sim_prng(sale->sim), 6000), bought_cb);
}

/* ---- the shopkeeper ---- */

static bool step_done(struct tally_call *call, const char *step)
{
	struct buyer *keeper = buyer_ends(call);
	enum tally_outcome outcome = tally_call_outcome(call);
	if (outcome == TALLY_REFUSED || outcome == TALLY_CONFLICT) {
		judge_fail(keeper->sale->judge, "%s was refused: %s", step, tally_call_message(call));
	}
	buyer_next(keeper);
	return outcome == TALLY_DONE;
}

static void pushed_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	if (step_done(call, "the push of the bundle")) {
		sale->state = SALE_ALLOT;
	}
}

static void push(struct sale *sale)
{
	const char *words[4 + 2 * LIMIT_BUNDLE_FILES] = {"TALLY", "BUNDLE", "PUSH", "commerce"};
	size_t lens[4 + 2 * LIMIT_BUNDLE_FILES] = {5, 6, 4, 8};
	size_t count = 4;
	for (size_t i = 0; i < sale->wares->count; i++) {
		words[count] = sale->wares->names[i];
		lens[count++] = strlen(sale->wares->names[i]);
		words[count] = sale->wares->sources[i];
		lens[count++] = sale->wares->lens[i];
	}
	char id[TALLY_ID_SIZE];
	tally_id_make(sale->tally, id);
	buyer_begins(&sale->buyers[0]);
	tally_command_start(sale->tally, &sale->buyers[0].call, id, words, lens, count, 0, KEEP_MS, pushed_cb);
}

static void allotted_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	if (!step_done(call, "the allotment")) {
		return;
	}
	sale->state = SALE_OPEN;
	for (unsigned i = 1; i < sale->buyer_count; i++) {
		buyer_next(&sale->buyers[i]);
	}
}

/* Always under the same id: it may be asked often and happens once. */
static void allot(struct sale *sale)
{
	const struct tally_arg args[] = {
		tally_str("allot_id", "a-1"),
		tally_str("campaign", CAMPAIGN),
		tally_str("sku", SKU),
		tally_int("qty", sale->allotted),
		tally_int("from_ms", 0),
		tally_int("until_ms", INT64_C(4000000000000)),
		tally_int("per_customer", sale->per_customer),
		tally_int("price", 199900),
		tally_int("pay_ttl_ms", 900000),
	};
	buyer_begins(&sale->buyers[0]);
	tally_call_start(sale->tally, &sale->buyers[0].call, "campaign.allot", args, 9, KEEP_MS, allotted_cb);
}

/* ---- reading back ---- */

static struct slice text_of(struct sale *sale, const struct tally_value *row, const char *column)
{
	size_t len = 0;
	const char *text = tally_value_text(tally_value_get(row, column), &len);
	char *copy = text == NULL ? NULL : strndup(text, len);
	if (copy == NULL) {
		judge_fail(sale->judge, "a row of order has no %s", column);
		return SLICE_NONE;
	}
	return slice_of(copy, len);
}

static void note_row(struct sale *sale, const struct tally_value *row)
{
	struct trade_order *order = &sale->rows[sale->row_count];
	order->order_id = text_of(sale, row, "order_id");
	if (sale->row_count > 0 && slice_equal(order->order_id, slice_str(sale->from))) {
		free((void *)(uintptr_t)order->order_id.data); /* the last row of the page before */
		return;
	}
	order->customer = text_of(sale, row, "customer");
	order->units = tally_value_int(tally_value_get(row, "qty"), 0);
	order->number = tally_value_int(tally_value_get(row, "number"), 0);
	sale->row_count++;
}

static void rows_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	const struct tally_value *rows = tally_call_value(call);
	if (!step_done(call, "ROWS order")) {
		return;
	}
	size_t count = tally_value_count(rows);
	for (size_t i = 0; i < count && sale->row_count < SALE_ORDERS_MAX; i++) {
		note_row(sale, tally_value_at(rows, i));
	}
	if (count < PAGE) {
		sale->state = SALE_CAMPAIGN;
		return;
	}
	struct slice last = sale->rows[sale->row_count - 1].order_id;
	snprintf(sale->from, sizeof(sale->from), "%.*s", (int)last.len, last.data);
}

static void campaign_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	const struct tally_value *row = tally_call_value(call);
	if (step_done(call, "ROW campaign")) {
		sale->trade.campaign_out = tally_value_int(tally_value_get(row, "out"), -1);
		sale->state = SALE_STATUS;
	}
}

static void status_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	const struct tally_value *row = tally_call_value(call);
	if (!step_done(call, "campaign.status")) {
		return;
	}
	struct trade *trade = &sale->trade;
	trade->allotted = tally_value_int(tally_value_get(row, "allotted"), -1);
	trade->avail = tally_value_int(tally_value_get(row, "avail"), -1);
	trade->held = tally_value_int(tally_value_get(row, "held"), -1);
	trade->committed = tally_value_int(tally_value_get(row, "committed"), -1);
	trade->shipped = tally_value_int(tally_value_get(row, "shipped"), -1);
	trade->returned = tally_value_int(tally_value_get(row, "returned"), -1);
	sale->state = SALE_READ;
}

static void read_words(struct sale *sale, const char *const *words, size_t count, tally_call_cb cb)
{
	size_t lens[8];
	for (size_t i = 0; i < count; i++) {
		lens[i] = strlen(words[i]);
	}
	buyer_begins(&sale->buyers[0]);
	tally_command_start(sale->tally, &sale->buyers[0].call, NULL, words, lens, count, TALLY_READ, KEEP_MS, cb);
}

static void read_step(struct sale *sale)
{
	const struct tally_arg args[] = {tally_str("campaign", CAMPAIGN)};
	switch (sale->state) {
	case SALE_ROWS:
		read_words(sale, (const char *const[]){"ROWS", "order", sale->from, "LIMIT", PAGE_TEXT}, 5, rows_cb);
		break;
	case SALE_CAMPAIGN:
		read_words(sale, (const char *const[]){"ROW", "campaign", CAMPAIGN}, 3, campaign_cb);
		break;
	case SALE_STATUS:
		buyer_begins(&sale->buyers[0]);
		tally_call_start(sale->tally, &sale->buyers[0].call, "campaign.status", args, 1, KEEP_MS, status_cb);
		break;
	default:
		break;
	}
}

static void next_fire(struct sim_event *event)
{
	struct buyer *buyer = list_entry(event, struct buyer, next);
	struct sale *sale = buyer->sale;
	bool keeper = buyer == &sale->buyers[0];
	if (sale->state == SALE_OPEN) {
		buy(buyer);
	} else if (keeper && sale->state == SALE_PUSH) {
		push(sale);
	} else if (keeper && sale->state == SALE_ALLOT) {
		allot(sale);
	} else if (keeper) {
		read_step(sale);
	}
}

/* ---- the sale ---- */

void sale_init(struct sale *sale, struct fleet *fleet, struct judge *judge, const struct wares *wares)
{
	memset(sale, 0, sizeof(*sale));
	sale->sim = fleet->sim;
	sale->judge = judge;
	sale->wares = wares;
	struct prng *prng = sim_prng(sale->sim);
	sale->allotted = 50 + (int64_t)prng_below(prng, 400);
	sale->per_customer = 1 + (int64_t)prng_below(prng, 4);
	sale->customers = 20 + (unsigned)prng_below(prng, 400);
	sale->buyer_count = 2 + (unsigned)prng_below(prng, SALE_BUYERS_MAX - 1);
	sale->think_us = 50000 * (uint64_t)sale->buyer_count * (1 + prng_below(prng, 4));
	sale->orders = calloc(SALE_ORDERS_MAX, sizeof(*sale->orders));
	sale->rows = calloc(SALE_ORDERS_MAX, sizeof(*sale->rows));
	if (sale->orders == NULL || sale->rows == NULL) {
		fatal("out of memory for a sale");
	}
	char servers[256];
	fleet_servers(fleet, servers, sizeof(servers));
	const struct tally_options options = {.servers = servers};
	struct err err = {0};
	sale->host = sim_host_new(sale->sim, "shop");
	sale->env = sim_host_start(sale->host);
	sale->tally = client_open(sale->env, &options, &err);
	if (sale->tally == NULL) {
		fatal("the sale's client does not open: %s", err.text);
	}
	for (unsigned i = 0; i < sale->buyer_count; i++) {
		sale->buyers[i].sale = sale;
		sim_event_init(&sale->buyers[i].next, next_fire);
	}
	buyer_next(&sale->buyers[0]);
}

void sale_fini(struct sale *sale)
{
	if (sale->sim == NULL) {
		return;
	}
	sim_host_kill(sale->host, SIM_KILL_PROCESS);
	for (unsigned i = 0; i < sale->buyer_count; i++) {
		sim_event_cancel(sale->sim, &sale->buyers[i].next);
	}
	client_free(sale->tally);
	sim_env_free(sale->env);
	for (size_t i = 0; i < sale->row_count; i++) {
		free((void *)(uintptr_t)sale->rows[i].order_id.data);
		free((void *)(uintptr_t)sale->rows[i].customer.data);
	}
	free(sale->rows);
	free(sale->orders);
}

/* A sale that never opened is over as well: what was pushed and allotted is read back or not there. */
void sale_close(struct sale *sale) { sale->state = sale->state == SALE_OPEN ? SALE_CLOSED : sale->state; }

void sale_read(struct sale *sale)
{
	assert(sale->busy == 0);
	if (sale->state != SALE_CLOSED) {
		sale->state = SALE_READ;
		return;
	}
	sale->state = SALE_ROWS;
	snprintf(sale->from, sizeof(sale->from), "o");
	buyer_next(&sale->buyers[0]);
}

void sale_judge(struct sale *sale)
{
	struct trade *trade = &sale->trade;
	if (trade->allotted == 0) {
		return; /* never opened */
	}
	if (trade->allotted != sale->allotted) {
		judge_fail(sale->judge, "the sale: %lld units were allotted, the campaign says %lld", (long long)sale->allotted,
			   (long long)trade->allotted);
	}
	struct trade_ack *acks = calloc(sale->order_count + 1, sizeof(*acks));
	if (acks == NULL) {
		fatal("out of memory for a sale");
	}
	size_t count = 0;
	for (size_t i = 0; i < sale->order_count; i++) {
		const struct sale_order *order = &sale->orders[i];
		if (order->told != ORDER_UNKNOWN) {
			acks[count++] = (struct trade_ack){slice_str(order->id), slice_str(order->customer), order->units,
							   order->number, order->told == ORDER_REFUSED};
		}
	}
	trade->per_customer = sale->per_customer;
	trade->demand_left = sale->sold_out_told;
	trade->orders = sale->rows;
	trade->order_count = sale->row_count;
	trade->acks = acks;
	trade->ack_count = count;
	struct trade_verdict verdict;
	struct err err = {0};
	if (trade_check(trade, &verdict, &err) != 0) {
		judge_fail(sale->judge, "the sale: %s", err.text);
	}
	free(acks);
}

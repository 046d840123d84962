#include "tests/sim/sale.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAMPAIGN "11.11"
#define SKU "phone-x"
#define PAGE 500
#define AUDIT_PAGE 200
#define PAGE_TEXT "500"
#define SALE_CLIENTS 1000 /* the first buyer's number in the history */
#define PRICE 199900
#define PAY_TTL_MS 900000
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
	buyer->asked_us = sim_now_us(buyer->sale->sim);
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

/* ---- the record ---- */

static struct history_op op_of_order(const struct sale_order *order, enum history_function function)
{
	return (struct history_op){
		.function = function, .key = order->key, .value = order->units, .expected = order->customer, .code = ""};
}

/* What was asked with call, and how it ended. */
static void note(struct buyer *buyer, struct history_op op, const struct tally_call *call)
{
	struct sale *sale = buyer->sale;
	enum tally_outcome outcome = tally_call_outcome(call);
	op.client = SALE_CLIENTS + (uint32_t)(buyer - sale->buyers);
	op.invoked_us = buyer->asked_us;
	op.returned_us = outcome == TALLY_UNKNOWN ? HISTORY_NEVER : sim_now_us(sale->sim);
	op.outcome = outcome == TALLY_DONE ? HISTORY_OK : outcome == TALLY_UNKNOWN ? HISTORY_INFO : HISTORY_FAIL;
	op.attempts = tally_call_attempts(call);
	op.code = tally_call_code(call);
	op.replayed = tally_call_replayed(call);
	history_add(&sale->judge->history, &op);
}

/* ---- buying ---- */

static void note_answer(struct buyer *buyer, const struct tally_call *call)
{
	struct sale *sale = buyer->sale;
	struct sale_order *order = buyer->order;
	enum tally_outcome outcome = tally_call_outcome(call);
	struct history_op op = op_of_order(order, HISTORY_BUY);
	const struct tally_value *value = tally_call_value(call);
	const int64_t told[2] = {tally_value_int(tally_value_get(value, "number"), -1),
				 tally_value_int(tally_value_get(value, "left"), -1)};
	op.id = order->id;
	op.list = told;
	op.list_count = outcome == TALLY_DONE ? 2 : 0;
	note(buyer, op, call);
	sale->unknown += outcome == TALLY_UNKNOWN;
	if (outcome == TALLY_DONE) {
		sale->sold += !order->told;
		sale->replayed += tally_call_replayed(call);
		order->told = true;
	}
	if (outcome != TALLY_REFUSED && outcome != TALLY_CONFLICT) {
		return; /* retry and unknown: he asks again, or it stays open whether he bought */
	}
	const char *code = tally_call_code(call);
	sale->refused++;
	order->told = true;
	if (strcmp(code, "SOLD_OUT") != 0 && strcmp(code, "PURCHASE_LIMIT_EXCEEDED") != 0 &&
	    strcmp(code, "INSUFFICIENT_STOCK") != 0) {
		judge_fail(sale->judge, "order %s was refused: %s", order->id, tally_call_message(call));
	}
}

static void bought_cb(struct tally_call *call)
{
	struct buyer *buyer = buyer_ends(call);
	struct sale_order *order = buyer->order;
	note_answer(buyer, call);
	/* Who was left in the dark mostly asks again under the same id, and who got it sometimes too. */
	bool dark = !order->told;
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
	order->key = (int64_t)sale->order_count++;
	snprintf(order->id, sizeof(order->id), "o-%05" PRId64, order->key);
	order->customer = (int64_t)prng_below(prng, sale->customers);
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
	char customer[24];
	snprintf(customer, sizeof(customer), "b%" PRId64, order->customer);
	order->asked++;
	buyer_begins(buyer);
	const struct tally_arg args[] = {tally_str("order_id", order->id), tally_str("campaign", CAMPAIGN),
					 tally_str("sku", SKU), tally_str("customer", customer),
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
	note(call->data, (struct history_op){.function = HISTORY_OTHER, .id = "push"}, call);
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
	buyer_begins(&sale->buyers[0]);
	tally_command_start(sale->tally, &sale->buyers[0].call, "push", words, lens, count, 0, KEEP_MS, pushed_cb);
}

static void allotted_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	const int64_t terms[] = {sale->per_customer, PRICE, PAY_TTL_MS};
	note(call->data,
	     (struct history_op){
		     .function = HISTORY_ALLOT, .id = "a-1", .value = sale->allotted, .list = terms, .list_count = 3},
	     call);
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
		tally_int("price", PRICE),
		tally_int("pay_ttl_ms", PAY_TTL_MS),
	};
	buyer_begins(&sale->buyers[0]);
	tally_call_start(sale->tally, &sale->buyers[0].call, "campaign.allot", args, 9, KEEP_MS, allotted_cb);
}

/* ---- reading back ---- */

/* The number behind what our names begin with: "o-00012", "b7". */
static int64_t number_of(struct sale *sale, const struct tally_value *row, const char *column, size_t prefix)
{
	size_t len = 0;
	const char *text = tally_value_text(tally_value_get(row, column), &len);
	if (text == NULL || len <= prefix) {
		judge_fail(sale->judge, "a row of order has no %s", column);
		return -1;
	}
	return strtoll(text + prefix, NULL, 10);
}

static void note_row(struct sale *sale, const struct tally_value *row, const struct tally_call *call)
{
	const int64_t number[] = {tally_value_int(tally_value_get(row, "number"), 0)};
	struct history_op op = {.function = HISTORY_ORDER,
				.key = number_of(sale, row, "order_id", 2),
				.value = tally_value_int(tally_value_get(row, "qty"), 0),
				.expected = number_of(sale, row, "customer", 1),
				.list = number,
				.list_count = 1};
	if (op.key == sale->last_key) {
		return; /* the last row of the page before */
	}
	sale->last_key = op.key;
	note(&sale->buyers[0], op, call);
}

static void rows_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	const struct tally_value *rows = tally_call_value(call);
	if (!step_done(call, "ROWS order")) {
		return;
	}
	size_t count = tally_value_count(rows);
	for (size_t i = 0; i < count; i++) {
		note_row(sale, tally_value_at(rows, i), call);
	}
	if (count < PAGE) {
		sale->state = SALE_CAMPAIGN;
		return;
	}
	snprintf(sale->from, sizeof(sale->from), "o-%05" PRId64, sale->last_key);
}

static void campaign_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	const struct tally_value *row = tally_call_value(call);
	if (step_done(call, "ROW campaign")) {
		sale->stock[STOCK_OUT] = tally_value_int(tally_value_get(row, "out"), -1);
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
	static const char *const names[STOCK_OUT] = {"allotted", "avail", "held", "committed", "shipped", "returned"};
	for (size_t i = 0; i < STOCK_OUT; i++) {
		sale->stock[i] = tally_value_int(tally_value_get(row, names[i]), -1);
	}
	note(call->data,
	     (struct history_op){.function = HISTORY_STOCK, .list = sale->stock, .list_count = STOCK_FIELDS}, call);
	sale->state = SALE_AUDIT;
}

/* The bundle's own audit of P1-P4, Q1 and the order numbers, page by page. */
static void audited_cb(struct tally_call *call)
{
	struct sale *sale = ((struct buyer *)call->data)->sale;
	const struct tally_value *page = tally_call_value(call);
	if (!step_done(call, "audit.check")) {
		return;
	}
	const struct tally_value *violations = tally_value_get(page, "violations"), *first = tally_value_at(violations, 0);
	size_t len = 0;
	const char *resume = tally_value_text(tally_value_get(page, "resume"), &len);
	if (tally_value_type(violations) != TALLY_LIST || tally_value_count(violations) > 0) {
		const char *rule = tally_value_text(tally_value_get(first, "rule"), NULL);
		judge_fail(sale->judge, "audit.check: %zu violations, the first of %s: %lld, must be %lld",
			   tally_value_count(violations), rule == NULL ? "?" : rule,
			   (long long)tally_value_int(tally_value_get(first, "actual"), 0),
			   (long long)tally_value_int(tally_value_get(first, "expected"), 0));
	}
	sale->audited += (uint64_t)tally_value_int(tally_value_get(page, "checked"), 0);
	free(sale->resume);
	sale->resume = resume == NULL ? NULL : strndup(resume, len);
	sale->state = resume == NULL ? SALE_READ : SALE_AUDIT;
	if (resume == NULL && sale->audited == 0) {
		judge_fail(sale->judge, "audit.check looked at nothing");
	}
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
	const struct tally_arg audit[] = {tally_int("limit", AUDIT_PAGE),
					  tally_str("resume", sale->resume == NULL ? "" : sale->resume)};
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
	case SALE_AUDIT:
		buyer_begins(&sale->buyers[0]);
		tally_call_start(sale->tally, &sale->buyers[0].call, "audit.check", audit, sale->resume == NULL ? 1 : 2, KEEP_MS,
				 audited_cb);
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
	sale->last_key = -1;
	if (sale->orders == NULL) {
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
	free(sale->resume);
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

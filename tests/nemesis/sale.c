/* A sale: buyers, some of whom come twice, take units of one pool; at the end every
 * order is read back and held against what the buyers were told. */
#include "tests/nemesis/load.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tests/check/trade.h"

#define POOL 1000000
#define PER_CUSTOMER 2
#define PAGE 1000

static const char campaign[] = "nemesis";

static int sale_prepare(struct load *load, struct tally_sync *sync, struct err *err)
{
	char allot[64];
	snprintf(allot, sizeof(allot), "allot-%" PRIu64, load->seed);
	const struct tally_arg args[] = {
		tally_str("allot_id", allot),
		tally_str("campaign", campaign),
		tally_str("sku", "phone"),
		tally_int("qty", POOL),
		tally_int("from_ms", 0),
		tally_int("until_ms", 32503680000000),
		tally_int("per_customer", PER_CUSTOMER),
		tally_int("price", 199900),
		tally_int("pay_ttl_ms", 900000),
	};
	const struct tally_call *call =
		tally_sync_call(sync, NULL, "campaign.allot", args, sizeof(args) / sizeof(args[0]), 20000);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return err_set(err, ERR_TIMEOUT, "campaign.allot: %s", tally_call_message(call));
	}
	return 0;
}

static void sale_start(struct load_client *client)
{
	struct load *load = client->load;
	struct history_op *op = &client->op;
	op->function = HISTORY_BUY;
	op->key = (int64_t)++load->made;
	/* Few customers, so that limits are met. */
	op->expected = op->key / 3 - (int64_t)prng_below(&load->prng, 3);
	op->value = 1;
	snprintf(client->text[0], 64, "o-%016" PRId64, op->key);
	snprintf(client->text[1], 64, "c%" PRId64, op->expected);
	const struct tally_arg args[] = {
		tally_str("order_id", client->text[0]), tally_str("campaign", campaign),
		tally_str("sku", "phone"),              tally_str("customer", client->text[1]),
		tally_int("qty", 1),
	};
	tally_call_start(client->tally, &client->call, "order.flash_buy", args, 5, load->timeout_ms, load_done);
}

/* The order's number goes into ordinal's neighbour: index. */
static bool sale_answer(struct load_client *client, const struct tally_value *value)
{
	client->op.index = (uint64_t)tally_value_int(tally_value_get(value, "number"), 0);
	return client->op.index > 0;
}

/* ---- the end: read everything back ---- */

struct books {
	struct arena arena;
	struct trade_order *orders;
	size_t count, cap;
};

static void keep_order(struct books *books, const struct tally_value *row)
{
	const char *id = tally_value_text(tally_value_get(row, "order_id"), NULL);
	const char *customer = tally_value_text(tally_value_get(row, "customer"), NULL);
	if (books->count == books->cap) {
		books->cap = books->cap == 0 ? 1024 : books->cap * 2;
		books->orders = realloc(books->orders, books->cap * sizeof(*books->orders));
	}
	books->orders[books->count++] = (struct trade_order){
		.order_id = arena_copy(&books->arena, slice_str(id != NULL ? id : "")),
		.customer = arena_copy(&books->arena, slice_str(customer != NULL ? customer : "")),
		.units = tally_value_int(tally_value_get(row, "qty"), 0),
		.number = tally_value_int(tally_value_get(row, "number"), 0),
	};
}

static int read_orders(struct books *books, struct tally_sync *sync, struct err *err)
{
	char from[64] = "o"; /* before every order of ours */
	for (size_t count = PAGE; count == PAGE;) {
		const char *words[] = {"ROWS", "order", from, "LIMIT", "1000"};
		const struct tally_call *call = tally_sync_command(sync, NULL, words, NULL, 5, TALLY_READ, 20000);
		if (tally_call_outcome(call) != TALLY_DONE) {
			return err_set(err, ERR_TIMEOUT, "ROWS order: %s", tally_call_message(call));
		}
		const struct tally_value *rows = tally_call_value(call);
		count = tally_value_count(rows);
		for (size_t i = 0; i < count; i++) {
			const struct tally_value *row = tally_value_at(rows, i);
			const char *id = tally_value_text(tally_value_get(row, "order_id"), NULL);
			if (id != NULL && strcmp(id, from) == 0) {
				continue; /* the last of the page before */
			}
			keep_order(books, row);
		}
		if (books->count > 0) {
			snprintf(from, sizeof(from), "%s", (const char *)books->orders[books->count - 1].order_id.data);
		}
	}
	return 0;
}

static int read_pool(struct trade *trade, struct tally_sync *sync, struct err *err)
{
	const struct tally_arg args[] = {tally_str("campaign", campaign)};
	const struct tally_call *call = tally_sync_call(sync, NULL, "campaign.status", args, 1, 20000);
	if (tally_call_outcome(call) != TALLY_DONE) {
		return err_set(err, ERR_TIMEOUT, "campaign.status: %s", tally_call_message(call));
	}
	const struct tally_value *status = tally_call_value(call);
	trade->allotted = tally_value_int(tally_value_get(status, "allotted"), -1);
	trade->avail = tally_value_int(tally_value_get(status, "avail"), -1);
	trade->held = tally_value_int(tally_value_get(status, "held"), -1);
	trade->committed = tally_value_int(tally_value_get(status, "committed"), -1);
	trade->shipped = tally_value_int(tally_value_get(status, "shipped"), -1);
	trade->returned = tally_value_int(tally_value_get(status, "returned"), -1);
	trade->campaign_out = trade->avail + trade->held + trade->committed;
	return 0;
}

static struct trade_ack *gather_acks(const struct load *load, struct books *books, size_t *count)
{
	struct trade_ack *acks = malloc((load->history.count + 1) * sizeof(*acks));
	*count = 0;
	for (size_t i = 0; i < load->history.count; i++) {
		const struct history_op *op = &load->history.ops[i];
		bool refused = op->outcome == HISTORY_FAIL;
		if (op->outcome == HISTORY_INFO) {
			continue;
		}
		acks[(*count)++] = (struct trade_ack){
			.order_id = slice_str(arena_printf(&books->arena, "o-%016" PRId64, op->key)),
			.customer = slice_str(arena_printf(&books->arena, "c%" PRId64, op->expected)),
			.units = op->value,
			.number = refused ? 0 : (int64_t)op->index,
			.refused = refused,
		};
	}
	return acks;
}

static int sale_judge(struct load *load, struct tally_sync *sync, struct err *err)
{
	struct books books = {0};
	struct trade trade = {.per_customer = PER_CUSTOMER};
	struct trade_verdict verdict = {0};
	arena_init(&books.arena, 1 << 16);
	int rc = read_orders(&books, sync, err);
	if (rc == 0) {
		rc = read_pool(&trade, sync, err);
	}
	struct trade_ack *acks = gather_acks(load, &books, &trade.ack_count);
	trade.acks = acks;
	trade.orders = books.orders;
	trade.order_count = books.count;
	if (rc == 0) {
		rc = trade_check(&trade, &verdict, err);
	}
	printf("judge trade sold=%" PRId64 " oversold=%" PRId64 " lost=%" PRId64 " doubled=%" PRId64 " ghosts=%" PRId64 "\n",
	       verdict.sold, verdict.oversold, verdict.lost, verdict.doubled, verdict.ghost);
	free(acks);
	free(books.orders);
	arena_fini(&books.arena);
	return rc;
}

const struct workload workload_sale = {"sale", sale_prepare, sale_start, sale_answer, sale_judge};

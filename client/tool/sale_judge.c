/* The judgement: the buyers' list of acknowledgements against every order row. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tool/nodes.h"
#include "client/tool/print.h"
#include "client/tool/sale.h"

#define PAGE "1000"
#define PAGE_ROWS 1000
#define HASH_MS 60000

/* Which buyer an order id belongs to; buyers when to none of ours. */
static uint64_t judge_buyer(const struct sale *sale, const char *order_id)
{
	size_t len = strlen(sale->prefix);
	if (strncmp(order_id, sale->prefix, len) != 0 || order_id[len] != '-') {
		return sale->buyers;
	}
	uint64_t at = strtoull(order_id + len + 1, NULL, 10);
	return at < sale->buyers ? at : sale->buyers;
}

static void judge_row(struct sale *sale, const struct tally_value *row, const char *order_id)
{
	struct sale_verdict *verdict = &sale->verdict;
	uint64_t at = judge_buyer(sale, order_id);
	verdict->rows += (uint64_t)tally_value_int(tally_value_get(row, "qty"), 1);
	if (at == sale->buyers) {
		verdict->ghosts++; /* an order of this campaign that nobody asked for */
		return;
	}
	struct sale_buyer *buyer = &sale->list[at];
	int64_t number = tally_value_int(tally_value_get(row, "number"), -1);
	char customer[32];
	snprintf(customer, sizeof(customer), "c%llu", (unsigned long long)at);
	const char *told = tally_value_text(tally_value_get(row, "customer"), NULL);
	verdict->doubled += buyer->rows || told == NULL || strcmp(told, customer) != 0;
	buyer->rows = true;
	bool acknowledged = buyer->answer == SALE_SOLD || buyer->second == SALE_SOLD;
	bool may_be = buyer->answer == SALE_UNKNOWN || buyer->second == SALE_UNKNOWN;
	verdict->numbers += acknowledged && number != buyer->number;
	verdict->ghosts += !acknowledged && !may_be;
}

/* One page from an order id on; the last order id of it goes to from. Rows, or -1. */
static int64_t judge_page(struct sale *sale, char from[64])
{
	struct tool *tool = sale->bench->tool;
	const char *const words[] = {"ROWS", "order", from, "LIMIT", PAGE};
	const struct tally_call *call = tool_ask(tool, NULL, words, NULL, 5, TALLY_READ);
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		if (call != NULL) {
			tool_refused(tool, call);
		}
		return -1;
	}
	const struct tally_value *rows = tally_call_value(call);
	size_t count = tally_value_count(rows);
	char first[64];
	snprintf(first, sizeof(first), "%s", from);
	for (size_t i = 0; i < count; i++) {
		const struct tally_value *row = tally_value_at(rows, i);
		const char *order_id = tally_value_text(tally_value_get(row, "order_id"), NULL);
		const char *campaign = tally_value_text(tally_value_get(row, "campaign"), NULL);
		if (order_id == NULL || strcmp(order_id, first) == 0) {
			continue; /* the last row of the page before */
		}
		if (campaign != NULL && strcmp(campaign, sale->campaign) == 0) {
			judge_row(sale, row, order_id);
		}
		snprintf(from, 64, "%s", order_id);
	}
	return (int64_t)count;
}

static int compare_numbers(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a;
	int64_t right = *(const int64_t *)b;
	return left < right ? -1 : left > right;
}

/* No order number was given out twice. */
static void judge_numbers(struct sale *sale)
{
	int64_t *numbers = calloc(sale->buyers, sizeof(*numbers));
	size_t count = 0;
	for (uint64_t i = 0; numbers != NULL && i < sale->buyers; i++) {
		if (sale->list[i].answer == SALE_SOLD || sale->list[i].second == SALE_SOLD) {
			numbers[count++] = sale->list[i].number;
		}
	}
	if (numbers != NULL) {
		qsort(numbers, count, sizeof(*numbers), compare_numbers);
	}
	for (size_t i = 1; i < count; i++) {
		sale->verdict.numbers += numbers[i] == numbers[i - 1];
	}
	free(numbers);
}

static void judge_buyers(struct sale *sale)
{
	for (uint64_t i = 0; i < sale->buyers; i++) {
		const struct sale_buyer *buyer = &sale->list[i];
		bool acknowledged = buyer->answer == SALE_SOLD || buyer->second == SALE_SOLD;
		sale->verdict.lost += acknowledged && !buyer->rows;
		/* Both clicks are one request: sold once and refused the other time cannot be. */
		bool refused = buyer->answer == SALE_REFUSED || buyer->second == SALE_REFUSED;
		sale->verdict.doubled += acknowledged && refused;
	}
}

static int judge_left(struct sale *sale)
{
	const struct tally_arg args[] = {tally_str("campaign", sale->campaign)};
	const struct tally_call *call;
	int code = bench_call(sale->bench, "campaign.status", args, 1, &call);
	if (code != 0) {
		return code;
	}
	const struct tally_value *status = tally_call_value(call);
	const struct tally_value *avail = tally_value_get(status, "avail");
	sale->verdict.left =
		(uint64_t)tally_value_int(avail != NULL ? avail : tally_value_get(status, "left"), -1);
	return 0;
}

/* audit.check knows the equations of the data model; it is a second opinion, not the judge. It works in
 * pages. */
static void judge_audit(struct sale *sale)
{
	struct tally_sync *sync = tool_client(sale->bench->tool);
	char *resume = NULL;
	uint64_t found = 0;
	bool done = false;
	sale->verdict.audit = UINT64_MAX;
	while (!done && sync != NULL) {
		struct tally_arg args[] = {tally_str("resume", resume != NULL ? resume : "")};
		const struct tally_call *call =
			tally_sync_call(sync, NULL, "audit.check", args, resume != NULL ? 1 : 0, HASH_MS);
		free(resume);
		resume = NULL;
		if (tally_call_outcome(call) != TALLY_DONE) {
			fprintf(stderr, "audit.check: %s\n", tally_call_message(call));
			return;
		}
		const struct tally_value *value = tally_call_value(call);
		const char *text = tally_value_text(tally_value_get(value, "resume"), NULL);
		const struct tally_value *list = tally_value_get(value, "violations");
		for (size_t i = 0; i < tally_value_count(list); i++) {
			fprintf(stderr, "audit.check: %s\n",
				tally_value_text(tally_value_get(tally_value_at(list, i), "rule"), NULL));
		}
		found += tally_value_count(list);
		resume = text != NULL ? strdup(text) : NULL;
		done = resume == NULL;
	}
	free(resume);
	sale->verdict.audit = found;
}

static void judge_bytes(struct sale *sale)
{
	struct node_list nodes;
	struct node_hash hashes[NODES_MAX];
	if (!nodes_find(sale->bench->tool, &nodes)) {
		return;
	}
	sale->verdict.same_bytes = nodes_hash(&nodes, NODES_HASH_MS, hashes);
	sale->verdict.hash_index = hashes[0].index;
	snprintf(sale->verdict.hash, sizeof(sale->verdict.hash), "%s", hashes[0].text);
}

int sale_judge(struct sale *sale)
{
	char from[64];
	char rooms[2][32];
	int64_t rows = PAGE_ROWS;
	snprintf(from, sizeof(from), "%s", sale->prefix);
	while (rows == PAGE_ROWS) {
		bench_progress(sale->bench, "reading back: %s of %s orders",
			       print_count(sale->verdict.rows, rooms[0], 32),
			       print_count(sale->counts[SALE_SOLD], rooms[1], 32));
		rows = judge_page(sale, from);
	}
	bench_progress_end(sale->bench);
	if (rows < 0) {
		return TOOL_FAILED;
	}
	int code = judge_left(sale);
	if (code != 0) {
		return code;
	}
	struct sale_verdict *verdict = &sale->verdict;
	judge_buyers(sale);
	judge_numbers(sale);
	verdict->oversold = verdict->rows > sale->units ? verdict->rows - sale->units : 0;
	verdict->balanced = verdict->rows + verdict->left == sale->units;
	judge_audit(sale);
	bench_progress(sale->bench, "comparing every byte of every node");
	judge_bytes(sale);
	bench_progress_end(sale->bench);
	return 0;
}

bool sale_kill_in_time(const struct sale *sale)
{
	uint64_t sold = sale->killed_at_sale * 10;
	return sale->killed_us != 0 && sale->under_way_at_kill > 0 && sold >= sale->units * 3 &&
	       sold <= sale->units * 7;
}

bool sale_holds(const struct sale *sale)
{
	const struct sale_verdict *verdict = &sale->verdict;
	bool void_run = sale->kill_leader && !sale_kill_in_time(sale);
	return !void_run && verdict->lost == 0 && verdict->oversold == 0 && verdict->doubled == 0 &&
	       verdict->ghosts == 0 && verdict->numbers == 0 && verdict->audit == 0 && verdict->balanced &&
	       verdict->same_bytes && sale->counts[SALE_UNKNOWN] == 0 && sale->counts[SALE_RETRY] == 0;
}

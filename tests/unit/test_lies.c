/* Lies planted in a true history: a run of the simulator, made here from a fixed
 * seed, is accepted as it is; each lie in it is found, by the judge that is there for it. */
#include "tests/check/verdict.h"
#include "tests/lib/tap.h"
#include "tests/sim/run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static struct history history;

static int64_t *list_of(const int64_t *list)
{
	return (int64_t *)(uintptr_t)list;
}

static bool done(const struct history_op *op, enum history_function function)
{
	return op->function == function && op->outcome == HISTORY_OK;
}

/* The last acknowledged operation of a kind. */
static struct history_op *last(enum history_function function)
{
	for (size_t i = history.count; i-- > 0;) {
		if (done(&history.ops[i], function)) {
			return &history.ops[i];
		}
	}
	return NULL;
}

static struct history_op *last_found(enum history_function function)
{
	for (size_t i = history.count; i-- > 0;) {
		if (done(&history.ops[i], function) && history.ops[i].found) {
			return &history.ops[i];
		}
	}
	return NULL;
}

static void forget(struct history_op *op)
{
	size_t at = (size_t)(op - history.ops);
	memmove(op, op + 1, (history.count - at - 1) * sizeof(*op));
	history.count--;
}

static void blind(void)
{
	history.entry_count = history.hash_count = 0;
}

/* ---- the lies ---- */

static bool drop_sale(void)
{
	struct history_op *row = last(HISTORY_ORDER);
	blind();
	if (row == NULL) {
		return false;
	}
	forget(row);
	return true;
}

static bool double_row(void)
{
	struct history_op *row = last(HISTORY_ORDER);
	if (row != NULL) {
		history_add(&history, row);
	}
	return row != NULL;
}

static bool oversell(void)
{
	struct history_op *stock = last(HISTORY_STOCK);
	if (stock == NULL) {
		return false;
	}
	list_of(stock->list)[STOCK_ALLOTTED] = list_of(stock->list)[STOCK_HELD] - 1;
	return true;
}

static bool unsold(void)
{
	struct history_op *stock = last(HISTORY_STOCK);
	if (stock == NULL) {
		return false;
	}
	list_of(stock->list)[STOCK_AVAIL]++;
	return true;
}

static bool sell_to_another(void)
{
	struct history_op *row = last(HISTORY_ORDER);
	if (row != NULL) {
		row->expected += 1000;
	}
	return row != NULL;
}

/* A buyer was refused for good, and his order is there. */
static bool ghost_order(void)
{
	struct history_op *row = last(HISTORY_ORDER);
	for (size_t i = 0; row != NULL && i < history.count; i++) {
		struct history_op *op = &history.ops[i];
		if (op->function == HISTORY_BUY && op->key == row->key) {
			op->outcome = HISTORY_FAIL;
			op->code = "SOLD_OUT";
		}
	}
	return row != NULL;
}

static bool charge_twice(void)
{
	struct history_op *buy = last(HISTORY_BUY);
	if (buy == NULL) {
		return false;
	}
	struct history_op again = *buy;
	const int64_t told[2] = {buy->list[0] + 1, buy->list[1]};
	again.list = told;
	history_add(&history, &again);
	return true;
}

/* It was told once, so that no other answer under its id gives a lie away. */
static bool told_once(const struct history_op *op)
{
	size_t times = 0;
	for (size_t i = 0; i < history.count; i++) {
		times += strcmp(history.ops[i].id, op->id) == 0;
	}
	return times == 1;
}

/* A buyer was refused for another reason than the one that held. */
static bool refuse_otherwise(void)
{
	for (size_t i = history.count; i-- > 0;) {
		struct history_op *op = &history.ops[i];
		if (op->function == HISTORY_BUY && strcmp(op->code, "PURCHASE_LIMIT_EXCEEDED") == 0 &&
		    told_once(op)) {
			op->code = "INSUFFICIENT_STOCK";
			return true;
		}
	}
	return false;
}

/* Two additions to a counter, one after the other, were told each other's number. */
static bool swap_replies(void)
{
	struct history_op *second = NULL;
	for (size_t i = history.count; i-- > 0 && second == NULL;) {
		struct history_op *op = &history.ops[i];
		second = done(op, HISTORY_ADD) && told_once(op) ? op : NULL;
	}
	for (size_t i = 0; second != NULL && i < history.count; i++) {
		struct history_op *first = &history.ops[i];
		if (done(first, HISTORY_ADD) && first->key == second->key &&
		    first->returned_us < second->invoked_us && told_once(first)) {
			int64_t value = first->value;
			first->value = second->value;
			second->value = value;
			return true;
		}
	}
	return false;
}

static bool double_addition(void)
{
	struct history_op *count = last_found(HISTORY_COUNT);
	if (count == NULL) {
		return false;
	}
	count->value += 100;
	return true;
}

static bool lose_addition(void)
{
	struct history_op *count = last_found(HISTORY_COUNT);
	if (count == NULL) {
		return false;
	}
	count->value--;
	return true;
}

/* Of two writes one after the other, the first. */
static const struct history_op *overwritten(const struct history_op *read)
{
	const struct history_op *first = NULL;
	for (size_t i = 0; i < history.count; i++) {
		const struct history_op *op = &history.ops[i];
		if (!done(op, HISTORY_WRITE) || op->key != read->key || op->returned_us >= read->invoked_us) {
			continue;
		}
		if (first != NULL && first->returned_us < op->invoked_us && first->value != read->value) {
			return first;
		}
		first = first == NULL ? op : first;
	}
	return NULL;
}

/* A register reads as it was before a write that was answered long ago. */
static bool read_stale(void)
{
	for (size_t i = history.count; i-- > 0;) {
		struct history_op *read = &history.ops[i];
		const struct history_op *old =
			done(read, HISTORY_READ) && read->found ? overwritten(read) : NULL;
		if (old != NULL) {
			read->value = old->value;
			return true;
		}
	}
	return false;
}

static bool read_nothing(void)
{
	struct history_op *read = last_found(HISTORY_READ);
	if (read == NULL) {
		return false;
	}
	read->found = false;
	read->value = 0;
	return true;
}

static bool deny_write(void)
{
	const struct history_op *read = last_found(HISTORY_READ);
	for (size_t i = 0; read != NULL && i < history.count; i++) {
		struct history_op *op = &history.ops[i];
		if (op->value == read->value &&
		    (op->function == HISTORY_WRITE || op->function == HISTORY_CAS)) {
			op->outcome = HISTORY_FAIL;
			op->code = "OVERLOADED";
		}
	}
	return read != NULL;
}

/* The last read of a list that has some values; the part of it is to be spoiled. */
static struct history_part *long_list(void)
{
	for (size_t i = history.count; i-- > 0;) {
		const struct history_op *op = &history.ops[i];
		if (done(op, HISTORY_TXN) && op->part_count == 1 && op->parts[0].count >= 4) {
			return (struct history_part *)(uintptr_t)&op->parts[0];
		}
	}
	return NULL;
}

static bool append_twice(void)
{
	struct history_part *part = long_list();
	if (part != NULL) {
		list_of(part->list)[part->count - 1] = part->list[0];
	}
	return part != NULL;
}

static bool lose_append(void)
{
	struct history_part *part = long_list();
	if (part != NULL) {
		part->count--;
	}
	return part != NULL;
}

static bool swap_appends(void)
{
	struct history_part *part = long_list();
	if (part != NULL) {
		int64_t first = part->list[0];
		list_of(part->list)[0] = part->list[1];
		list_of(part->list)[1] = first;
	}
	return part != NULL;
}

static bool leak(void)
{
	struct history_op *balances = last_found(HISTORY_BALANCES);
	if (balances != NULL) {
		list_of(balances->list)[0]++;
	}
	return balances != NULL;
}

static bool move_back(void)
{
	struct history_op *balances = last_found(HISTORY_BALANCES);
	for (size_t i = 0; balances != NULL && i < balances->list_count; i++) {
		if (balances->list[i] >= 90) {
			list_of(balances->list)[i] -= 90;
			list_of(balances->list)[(i + 1) % balances->list_count] += 90;
			return true;
		}
	}
	return false;
}

static bool break_ring(void)
{
	struct history_op *links = last_found(HISTORY_LINKS);
	if (links != NULL) {
		list_of(links->list)[3] = links->list[4];
	}
	return links != NULL;
}

/* ---- what only the log tells ---- */

static bool miscount_keys(void)
{
	struct history_op *size = last(HISTORY_SIZE);
	if (size != NULL) {
		size->value--;
	}
	return size != NULL;
}

static bool invent_write(void)
{
	struct history_op op = {.function = HISTORY_WRITE,
				.id = "never",
				.invoked_us = 1,
				.returned_us = 2,
				.key = 1000000,
				.value = 1,
				.code = ""};
	history_add(&history, &op);
	return true;
}

static bool deny_swap(void)
{
	struct history_op *swap = last(HISTORY_SWAP);
	for (size_t i = 0; swap != NULL && i < history.count; i++) {
		if (strcmp(history.ops[i].id, swap->id) == 0) {
			history.ops[i].outcome = HISTORY_FAIL;
			history.ops[i].code = "OVERLOADED";
		}
	}
	return swap != NULL;
}

static bool forge_order_of_time(void)
{
	struct history_op *swap = last(HISTORY_SWAP);
	if (swap != NULL) {
		swap->invoked_us = 1;
		swap->returned_us = 2;
	}
	return swap != NULL;
}

static bool drop_entry(void)
{
	history.entry_count--;
	memmove(&history.entries[100], &history.entries[101],
		(history.entry_count - 100) * sizeof(*history.entries));
	return true;
}

/* The next entries move up, and nothing is missing but one batch. */
static bool drop_entry_silently(void)
{
	drop_entry();
	for (size_t i = 100; i < history.entry_count; i++) {
		history.entries[i].index = i + 1;
	}
	return true;
}

/* An answer that is kept in the log. */
static bool change_kept_answer(void)
{
	for (size_t i = history.entry_count; i-- > 0;) {
		struct slice payload = history.entries[i].payload;
		uint8_t *at = memmem((void *)(uintptr_t)payload.data, payload.len, "+OK\r\n", 5);
		if (at != NULL) {
			memcpy(at, "+NO\r\n", 5);
			return true;
		}
	}
	return false;
}

static bool change_database(void)
{
	if (history.hash_count == 0) {
		return false;
	}
	history.hashes[0].hash.high ^= 1;
	return true;
}

static const struct lie {
	const char *what, *found;
	bool (*plant)(void);
} lies[] = {
	{"a sale that was dropped", "the sale: acknowledged sales without an order row", drop_sale},
	{"an order with two rows", "the sale: order ids with more than one row", double_row},
	{"a unit more than there were", "the sale: oversold", oversell},
	{"units kept back from buyers", "the sale: ", unsold},
	{"an order of another customer", "the sale: orders that differ", sell_to_another},
	{"an order that was refused for good", "the sale: orders under an id that was refused", ghost_order},
	{"an order refused for another reason", "was told INSUFFICIENT_STOCK", refuse_otherwise},
	{"an order charged twice", "once: request", charge_twice},
	{"two replies that were swapped", "counter", swap_replies},
	{"an addition that counted twice", "counter", double_addition},
	{"an addition that was lost", "counter", lose_addition},
	{"a stale read", "registers are not linearizable", read_stale},
	{"a read that finds nothing any more", "registers are not linearizable", read_nothing},
	{"a write that failed for certain and was read", "registers are not linearizable", deny_write},
	{"a value twice in a list", "lists: ", append_twice},
	{"a lost append", "lists: ", lose_append},
	{"a list in two orders", "lists: incompatible order", swap_appends},
	{"a leak in the bank", "bank: client", leak},
	{"a transfer that nobody made", "bank: account", move_back},
	{"a broken ring", "ring: ", break_ring},
	{"a count of keys that misses one", "at no place", miscount_keys},
	{"an acknowledged write that is not in the log", "is not in the log", invent_write},
	{"a request that failed for certain and is in the log", "failed for certain", deny_swap},
	{"an order of effects against time", "comes before it in the log", forge_order_of_time},
	{"an entry dropped", "is due", drop_entry},
	{"an entry dropped and the others moved up", "replay: ", drop_entry_silently},
	{"a kept answer that was changed", "the model says", change_kept_answer},
	{"a node with other bytes", "is not what the log makes", change_database},
};

static void read_history(const char *path)
{
	struct err err = {0};
	FILE *in = fopen(path, "re");
	history_init(&history);
	if (in == NULL || history_read(&history, in, &err) != 0) {
		tap_note("%s: %s", path, err.text);
	}
	if (in != NULL) {
		fclose(in);
	}
}

/* Half a minute of a small cluster whose leader is killed now and then. */
static void make(char *path, size_t size)
{
	static struct wares wares;
	struct run_options options = {.seed = 11,
				      .nodes = 3,
				      .minutes = 1,
				      .only = "kill-leader,reset",
				      .wares = &wares,
				      .history = tap_dir()};
	struct run_result result;
	struct err err = {0};
	wares_read(&wares, SIM_COMMERCE, &err);
	run_seed(&options, &result);
	wares_fini(&wares);
	ok(!result.failed, "the run is accepted by the simulator: %s", result.failure);
	snprintf(path, size, "%s/seed-%" PRIu64 ".jsonl", tap_dir(), options.seed);
}

/* The exit status of build/judge-history. */
static int judge_program(const char *path)
{
	char command[1200];
	const char *build = getenv("TALLY_BUILD");
	snprintf(command, sizeof(command), "'%s/judge-history' '%s' >/dev/null 2>&1",
		 build == NULL ? "." : build, path);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_program(const char *path)
{
	char lie[512];
	snprintf(lie, sizeof(lie), "%s/lie.jsonl", tap_dir());
	is_int(judge_program(path), 0, "judge-history accepts the recorded history");
	read_history(path);
	leak();
	FILE *out = fopen(lie, "we");
	is_int(history_write(&history, out), 0, "a history with a lie is written");
	history_fini(&history);
	is_int(judge_program(lie), 1, "judge-history finds the lie");
	fputs("{\"type\":\"ok\"}\n", out);
	fclose(out);
	is_int(judge_program(lie), 2, "and does not judge what it cannot read");
}

int main(void)
{
	char path[512];
	struct verdict verdict;
	struct err err = {0};
	make(path, sizeof(path));
	read_history(path);
	ok(verdict_of(&history, &verdict, &err) == 0, "its recorded history is accepted: %s", err.text);
	ok(verdict.ok > 500 && verdict.entries > 200 && verdict.hashes > 0 && verdict.keys > 10,
	   "and is one: %zu acknowledged requests, %zu entries, %zu databases", verdict.ok, verdict.entries,
	   verdict.hashes);
	history_fini(&history);
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		read_history(path);
		bool planted = lies[i].plant();
		err = (struct err){0};
		int rc = verdict_of(&history, &verdict, &err);
		ok(planted && rc == ERR_INVALID && strstr(err.text, lies[i].found) != NULL, "%s is found",
		   lies[i].what);
		tap_note("%s", !planted ? "there was no place for the lie" : rc == 0 ? "accepted" : err.text);
		history_fini(&history);
	}
	test_program(path);
	return tap_done();
}

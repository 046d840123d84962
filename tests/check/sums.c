#include "tests/check/sums.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/map.h"

/* ---- counters ---- */

/* The ADDs of one key. */
struct counter {
	int64_t key;
	uint64_t *ends, *begins; /* of those that surely happened; of all that may have. Sorted in the end */
	int64_t *told;
	size_t end_count, begin_count, told_count;
};

static int by_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

static int by_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

/* How many are below t. */
static size_t below(const uint64_t *times, size_t count, uint64_t t)
{
	size_t low = 0;
	while (low < count) {
		size_t middle = low + (count - low) / 2;
		if (times[middle] < t) {
			low = middle + 1;
		} else {
			count = middle;
		}
	}
	return low;
}

static struct counter *counter_of(struct map *counters, struct arena *arena, const struct history *history,
				  int64_t key)
{
	struct counter *counter = map_get(counters, slice_of(&key, sizeof(key)));
	if (counter == NULL) {
		size_t adds = 0;
		for (size_t i = 0; i < history->count; i++) {
			adds += history->ops[i].function == HISTORY_ADD && history->ops[i].key == key;
		}
		counter = arena_zalloc(arena, sizeof(*counter));
		*counter = (struct counter){.key = key,
					    .ends = arena_alloc(arena, (adds + 1) * sizeof(uint64_t)),
					    .begins = arena_alloc(arena, (adds + 1) * sizeof(uint64_t)),
					    .told = arena_alloc(arena, (adds + 1) * sizeof(int64_t))};
		map_put(counters, slice_of(&counter->key, sizeof(counter->key)), counter);
	}
	return counter;
}

static void note_add(struct counter *counter, const struct history_op *op)
{
	if (op->outcome == HISTORY_FAIL) {
		return;
	}
	counter->begins[counter->begin_count++] = op->invoked_us;
	if (op->outcome == HISTORY_OK) {
		counter->ends[counter->end_count++] = op->returned_us;
		counter->told[counter->told_count++] = op->value;
	}
}

static int sort_counters(struct map *counters, struct err *err)
{
	size_t at = 0;
	struct slice key;
	void *value;
	while (map_next(counters, &at, &key, &value)) {
		struct counter *counter = value;
		qsort(counter->ends, counter->end_count, sizeof(uint64_t), by_u64);
		qsort(counter->begins, counter->begin_count, sizeof(uint64_t), by_u64);
		qsort(counter->told, counter->told_count, sizeof(int64_t), by_i64);
		for (size_t i = 1; i < counter->told_count; i++) {
			if (counter->told[i] == counter->told[i - 1]) {
				return err_set(err, ERR_INVALID,
					       "counter %" PRId64 ": two additions were told %" PRId64,
					       counter->key, counter->told[i]);
			}
		}
	}
	return 0;
}

/* A value that was told is at least what was acknowledged before, at most what had begun. */
static int judge_value(const struct counter *counter, const struct history_op *op, struct err *err)
{
	bool add = op->function == HISTORY_ADD;
	int64_t value = add || op->found ? op->value : 0;
	int64_t low = (int64_t)below(counter->ends, counter->end_count, op->invoked_us) + add;
	int64_t high = (int64_t)below(counter->begins, counter->begin_count, op->returned_us + 1);
	if (value < low || value > high) {
		return err_set(err, ERR_INVALID,
			       "counter %" PRId64 ": %s of client %u was told %" PRId64 ", but %" PRId64
			       " were acknowledged before and %" PRId64 " had begun",
			       counter->key, history_function_name(op->function), op->client, value,
			       low - add, high);
	}
	return 0;
}

int sums_check_counters(const struct history *history, struct err *err)
{
	struct arena arena;
	struct map counters;
	arena_init(&arena, 4096);
	map_init(&counters);
	for (size_t i = 0; i < history->count; i++) {
		const struct history_op *op = &history->ops[i];
		if (op->function == HISTORY_ADD) {
			note_add(counter_of(&counters, &arena, history, op->key), op);
		} else if (op->function == HISTORY_COUNT) {
			counter_of(&counters, &arena, history, op->key);
		}
	}
	int rc = sort_counters(&counters, err);
	for (size_t i = 0; i < history->count && rc == 0; i++) {
		const struct history_op *op = &history->ops[i];
		if ((op->function == HISTORY_ADD || op->function == HISTORY_COUNT) &&
		    op->outcome == HISTORY_OK) {
			rc = judge_value(counter_of(&counters, &arena, history, op->key), op, err);
		}
	}
	map_fini(&counters);
	arena_fini(&arena);
	return rc;
}

/* ---- the bank ---- */

struct bank {
	const struct history_op *opened;
	uint64_t open_us, quiet_us; /* surely open from; no move began or was answered after, and none was
				       answered later */
	int64_t total;
	int64_t *low, *high; /* per account, when all is over */
};

static bool account_exists(const struct bank *bank, int64_t number)
{
	return number >= 0 && (size_t)number < bank->opened->list_count;
}

static int note_move(struct bank *bank, const struct history_op *op, struct err *err)
{
	if (op->outcome == HISTORY_FAIL) {
		return 0;
	}
	if (bank->opened == NULL || !account_exists(bank, op->key) || !account_exists(bank, op->expected)) {
		return err_set(err, ERR_INVALID,
			       "bank: a move from %" PRId64 " to %" PRId64 ", where there is no account",
			       op->key, op->expected);
	}
	uint64_t last = op->outcome == HISTORY_OK ? op->returned_us : HISTORY_NEVER;
	bank->quiet_us = last > bank->quiet_us && last != HISTORY_NEVER ? last : bank->quiet_us;
	bool sure = op->outcome == HISTORY_OK;
	if (sure && !op->found) {
		return 0;
	}
	bank->low[op->key] -= op->value;
	bank->high[op->expected] += op->value;
	if (sure) {
		bank->high[op->key] -= op->value;
		bank->low[op->expected] += op->value;
	}
	return 0;
}

static int judge_balances(const struct bank *bank, const struct history_op *op, struct err *err)
{
	if (!op->found) {
		return op->invoked_us <= bank->open_us
			       ? 0
			       : err_set(err, ERR_INVALID, "bank: client %u found no accounts", op->client);
	}
	if (bank->opened == NULL || op->list_count != bank->opened->list_count) {
		return err_set(err, ERR_INVALID, "bank: client %u saw %zu accounts", op->client,
			       op->list_count);
	}
	int64_t sum = 0;
	for (size_t i = 0; i < op->list_count; i++) {
		sum += op->list[i];
		if (op->list[i] < 0) {
			return err_set(err, ERR_INVALID, "bank: client %u saw %" PRId64 " in account %zu",
				       op->client, op->list[i], i);
		}
	}
	if (sum != bank->total) {
		return err_set(err, ERR_INVALID, "bank: client %u saw %" PRId64 " in all, there are %" PRId64,
			       op->client, sum, bank->total);
	}
	for (size_t i = 0; i < op->list_count && op->invoked_us > bank->quiet_us; i++) {
		if (op->list[i] < bank->low[i] || op->list[i] > bank->high[i]) {
			return err_set(err, ERR_INVALID,
				       "bank: account %zu ends with %" PRId64 ", the moves leave %" PRId64
				       " to %" PRId64,
				       i, op->list[i], bank->low[i], bank->high[i]);
		}
	}
	return 0;
}

int sums_check_bank(const struct history *history, struct err *err)
{
	struct bank bank = {.open_us = HISTORY_NEVER};
	struct arena arena;
	int rc = 0;
	arena_init(&arena, 1024);
	for (size_t i = 0; i < history->count; i++) {
		const struct history_op *op = &history->ops[i];
		if (op->function == HISTORY_BANK && op->outcome != HISTORY_FAIL && bank.opened == NULL) {
			bank.opened = op;
			bank.open_us = op->returned_us;
			bank.low = arena_zalloc(&arena, (op->list_count + 1) * sizeof(int64_t));
			bank.high = arena_zalloc(&arena, (op->list_count + 1) * sizeof(int64_t));
			for (size_t j = 0; j < op->list_count; j++) {
				bank.total += op->list[j];
				bank.low[j] = bank.high[j] = op->list[j];
			}
		}
	}
	for (size_t i = 0; i < history->count && rc == 0; i++) {
		rc = history->ops[i].function == HISTORY_MOVE ? note_move(&bank, &history->ops[i], err) : 0;
	}
	for (size_t i = 0; i < history->count && rc == 0; i++) {
		const struct history_op *op = &history->ops[i];
		rc = op->function == HISTORY_BALANCES && op->outcome == HISTORY_OK
			     ? judge_balances(&bank, op, err)
			     : 0;
	}
	arena_fini(&arena);
	return rc;
}

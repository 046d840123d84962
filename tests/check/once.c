#include "tests/check/once.h"

#include <string.h>

#include "base/map.h"

static bool same_list(const int64_t *a, size_t a_count, const int64_t *b, size_t b_count)
{
	return a_count == b_count && (a_count == 0 || memcmp(a, b, a_count * sizeof(*a)) == 0);
}

/* The value is what was asked for, not what was answered. */
static bool asks_value(enum history_function function)
{
	return function == HISTORY_WRITE || function == HISTORY_CAS || function == HISTORY_MOVE ||
	       function == HISTORY_BUY || function == HISTORY_ALLOT;
}

static bool same_question(const struct history_op *a, const struct history_op *b)
{
	return a->function == b->function && a->key == b->key && a->expected == b->expected &&
	       a->part_count == b->part_count && (!asks_value(a->function) || a->value == b->value);
}

static bool same_answer(const struct history_op *a, const struct history_op *b)
{
	for (size_t i = 0; i < a->part_count; i++) {
		const struct history_part *x = &a->parts[i], *y = &b->parts[i];
		if (x->append != y->append || x->key != y->key || (x->append && x->value != y->value) ||
		    !same_list(x->list, x->count, y->list, y->count)) {
			return false;
		}
	}
	return a->value == b->value && a->found == b->found &&
	       same_list(a->list, a->list_count, b->list, b->list_count);
}

/* A refusal is for good, "not now" is not. */
static bool refused(const struct history_op *op)
{
	static const char *const sale[] = {"SOLD_OUT", "PURCHASE_LIMIT_EXCEEDED", "INSUFFICIENT_STOCK",
					   "ALREADY_EXISTS"};
	for (size_t i = 0; i < sizeof(sale) / sizeof(sale[0]) && op->outcome == HISTORY_FAIL; i++) {
		if (strcmp(op->code, sale[i]) == 0) {
			return true;
		}
	}
	return false;
}

static int contradiction(const struct history_op *op, const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "request %s (%s of client %u): %s", op->id,
		       history_function_name(op->function), op->client, what);
}

/* One more attempt of a request. */
static int join(struct history_op *whole, const struct history_op *attempt, struct err *err)
{
	if (!same_question(whole, attempt)) {
		return contradiction(attempt, "its id was used for another question", err);
	}
	if (refused(attempt)) {
		if (whole->outcome == HISTORY_OK) {
			return contradiction(attempt, "acknowledged, and refused at another time", err);
		}
		*whole = *attempt; /* also of an attempt that nobody answered: it never will have happened */
		return 0;
	}
	if (refused(whole)) {
		return attempt->outcome != HISTORY_OK
			       ? 0
			       : contradiction(attempt, "refused, and acknowledged at another time", err);
	}
	if (attempt->outcome == HISTORY_FAIL) {
		return 0;
	}
	if (whole->outcome == HISTORY_FAIL) {
		*whole = *attempt;
		return 0;
	}
	if (attempt->outcome == HISTORY_OK && whole->outcome == HISTORY_OK && !same_answer(whole, attempt)) {
		return contradiction(attempt, "two acknowledgements say different things", err);
	}
	uint64_t from = attempt->invoked_us < whole->invoked_us ? attempt->invoked_us : whole->invoked_us;
	uint64_t to = attempt->returned_us < whole->returned_us ? attempt->returned_us : whole->returned_us;
	if (whole->outcome == HISTORY_INFO && attempt->outcome == HISTORY_OK) {
		*whole = *attempt;
	}
	whole->invoked_us = from;
	whole->returned_us = to;
	return 0;
}

int once_merge(const struct history *history, struct history *whole, struct err *err)
{
	struct map ids; /* id -> number of its operation in whole, plus 1 */
	int rc = 0;
	map_init(&ids);
	for (size_t i = 0; i < history->count && rc == 0; i++) {
		const struct history_op *op = &history->ops[i];
		struct slice id = slice_str(op->id == NULL ? "" : op->id);
		uintptr_t at = id.len == 0 ? 0 : (uintptr_t)map_get(&ids, id);
		if (at != 0) {
			rc = join(&whole->ops[at - 1], op, err);
			continue;
		}
		history_borrow(whole, op);
		if (id.len > 0) {
			map_put(&ids, id, (void *)(uintptr_t)whole->count);
		}
	}
	map_fini(&ids);
	return rc;
}

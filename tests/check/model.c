#include "tests/check/model.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX (1 << 20)

void model_answer_init(struct model_answer *answer)
{
	*answer = (struct model_answer){0};
	buf_init(&answer->bytes, TEXT_MAX);
}

void model_answer_fini(struct model_answer *answer)
{
	buf_fini(&answer->bytes);
}

void model_init(struct model *model)
{
	*model = (struct model){0};
	arena_init(&model->arena, 1 << 16);
	map_init(&model->cells);
	map_init(&model->sale.orders);
	map_init(&model->sale.customers);
}

void model_fini(struct model *model)
{
	size_t at = 0;
	struct slice name;
	void *cell;
	while (map_next(&model->cells, &at, &name, &cell)) {
		free(((struct model_cell *)cell)->versions);
		free(((struct model_cell *)cell)->list);
	}
	map_fini(&model->cells);
	map_fini(&model->sale.orders);
	map_fini(&model->sale.customers);
	free(model->touched);
	free(model->born);
	arena_fini(&model->arena);
}

/* ---- cells ---- */

static void *grow(void *list, size_t count, size_t *cap, size_t size)
{
	if (count < *cap) {
		return list;
	}
	*cap = *cap == 0 ? 8 : *cap * 2;
	list = realloc(list, *cap * size);
	if (list == NULL) {
		fatal("out of memory: the model");
	}
	return list;
}

static struct model_cell *find(const struct model *model, char kind, int64_t key)
{
	char name[24];
	int len = snprintf(name, sizeof(name), "%c%" PRId64, kind, key);
	return map_get(&model->cells, slice_of(name, (size_t)len));
}

static struct model_cell *cell_of(struct model *model, char kind, int64_t key)
{
	struct model_cell *cell = find(model, kind, key);
	if (cell == NULL) {
		cell = arena_zalloc(&model->arena, sizeof(*cell));
		snprintf(cell->name, sizeof(cell->name), "%c%" PRId64, kind, key);
		map_put(&model->cells, slice_str(cell->name), cell);
	}
	return cell;
}

static int64_t present(const struct model_cell *cell)
{
	return cell->count == 0 ? 0 : cell->versions[cell->count - 1].value;
}

static void set(struct model *model, struct model_cell *cell, uint64_t at, int64_t value)
{
	if (cell->count > 0 && cell->versions[cell->count - 1].at == at) {
		cell->versions[cell->count - 1].value = value;
		return;
	}
	if (cell->count == 0) {
		model->born = grow(model->born, model->born_count, &model->born_cap, sizeof(*model->born));
		model->born[model->born_count++] = at;
	}
	cell->versions = grow(cell->versions, cell->count, &cell->cap, sizeof(*cell->versions));
	cell->versions[cell->count++] = (struct model_version){at, value};
	model->touched =
		grow(model->touched, model->touched_count, &model->touched_cap, sizeof(*model->touched));
	model->touched[model->touched_count++] = cell;
}

static void append(struct model *model, struct model_cell *cell, uint64_t at, int64_t value)
{
	size_t count = (size_t)present(cell);
	cell->list = grow(cell->list, count, &cell->list_cap, sizeof(*cell->list));
	cell->list[count] = value;
	set(model, cell, at, (int64_t)count + 1);
}

/* The version that held at a place; NULL: absent then. */
static const struct model_version *version_at(const struct model_cell *cell, uint64_t at)
{
	size_t low = 0, high = cell == NULL ? 0 : cell->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (cell->versions[middle].at <= at) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low == 0 ? NULL : &cell->versions[low - 1];
}

static void list_text(const struct model_cell *cell, size_t count, struct buf *text)
{
	for (size_t i = 0; i < count; i++) {
		buf_appendf(text, "%" PRId64 ",", cell->list[i]);
	}
}

void model_text(const struct model_cell *cell, struct buf *text)
{
	if (cell->name[0] == 'l') {
		list_text(cell, (size_t)present(cell), text);
	} else {
		buf_appendf(text, "%" PRId64, present(cell));
	}
}

/* ---- operations ---- */

static int no(struct err *err, const struct history_op *op, const char *why)
{
	return err_set(err, ERR_INVALID, "%s %" PRId64 " of client %u: %s",
		       history_function_name(op->function), op->key, op->client, why);
}

static void answer_int(struct model_answer *answer, int64_t value)
{
	answer->value = value;
	buf_appendf(&answer->bytes, ":%" PRId64 "\r\n", value);
}

static int apply_txn(struct model *model, const struct history_op *op, uint64_t at,
		     struct model_answer *answer, struct err *err)
{
	struct buf text;
	if (op->part_count > 8) {
		return no(err, op, "more than eight parts");
	}
	buf_init(&text, TEXT_MAX);
	buf_appendf(&answer->bytes, "*%zu\r\n", op->part_count);
	for (size_t i = 0; i < op->part_count; i++) {
		const struct history_part *part = &op->parts[i];
		struct model_cell *cell = cell_of(model, 'l', part->key);
		buf_reset(&text);
		if (part->append) {
			append(model, cell, at, part->value);
		}
		answer->cells[i] = cell;
		answer->counts[i] = (size_t)present(cell);
		list_text(cell, answer->counts[i], &text);
		if (part->append) {
			buf_appendf(&answer->bytes, ":%zu\r\n", text.len);
		} else {
			buf_appendf(&answer->bytes, "$%zu\r\n", text.len);
			buf_append_slice(&answer->bytes, buf_slice(&text));
			buf_append_text(&answer->bytes, "\r\n");
		}
	}
	buf_fini(&text);
	return 0;
}

static int apply_move(struct model *model, const struct history_op *op, uint64_t at,
		      struct model_answer *answer, struct err *err)
{
	struct model_cell *from = find(model, 'b', op->key), *to = find(model, 'b', op->expected);
	if (from == NULL || to == NULL || from == to) {
		return no(err, op, "there is no such account");
	}
	answer->found = present(from) >= op->value;
	if (answer->found) {
		set(model, from, at, present(from) - op->value);
		set(model, to, at, present(to) + op->value);
	}
	answer_int(answer, answer->found);
	answer->value = op->value;
	return 0;
}

static int apply_swap(struct model *model, const struct history_op *op, uint64_t at,
		      struct model_answer *answer, struct err *err)
{
	struct model_cell *a = find(model, 'n', op->key);
	struct model_cell *b = a == NULL ? NULL : find(model, 'n', present(a));
	struct model_cell *c = b == NULL ? NULL : find(model, 'n', present(b));
	if (c == NULL) {
		return no(err, op, "there is no such node");
	}
	int64_t second = present(a), third = present(b), fourth = present(c);
	set(model, a, at, third);
	set(model, b, at, fourth);
	set(model, c, at, second);
	answer->found = true;
	answer_int(answer, 1);
	answer->value = op->value;
	return 0;
}

static void apply_all(struct model *model, const struct history_op *op, char kind, uint64_t at,
		      struct model_answer *answer)
{
	for (size_t i = 0; i < op->list_count; i++) {
		set(model, cell_of(model, kind, (int64_t)i), at, op->list[i]);
	}
	answer->value = op->value;
	buf_append_text(&answer->bytes, "+OK\r\n");
}

static int apply_allot(struct model *model, const struct history_op *op, struct model_answer *answer,
		       struct err *err)
{
	struct model_sale *sale = &model->sale;
	if (sale->allotted != 0 || op->list_count != 3) {
		return no(err, op, "a sale is allotted once, with its terms");
	}
	sale->allotted = sale->avail = op->value;
	sale->per_customer = op->list[0];
	sale->price = op->list[1];
	sale->pay_ttl_ms = op->list[2];
	answer->value = op->value;
	buf_appendf(&answer->bytes,
		    "%%4\r\n$5\r\navail\r\n:%" PRId64
		    "\r\n$4\r\nheld\r\n:0\r\n$9\r\ncommitted\r\n:0\r\n$8\r\nallotted\r\n:%" PRId64 "\r\n",
		    op->value, op->value);
	return 0;
}

static const char limit_exceeded[] = "PURCHASE_LIMIT_EXCEEDED", sold_out[] = "SOLD_OUT",
		  insufficient[] = "INSUFFICIENT_STOCK";

static const char *refusal(const struct history_op *op, int64_t bought, int64_t per_customer, int64_t avail)
{
	if (op->function != HISTORY_BUY) {
		return NULL;
	}
	if (bought + op->value > per_customer) {
		return limit_exceeded;
	}
	return avail == 0 ? sold_out : op->value > avail ? insufficient : NULL;
}

const char *model_refusal(const struct model *model, const struct history_op *op)
{
	const struct model_sale *sale = &model->sale;
	const int64_t *bought = map_get(&sale->customers, slice_of(&op->expected, sizeof(op->expected)));
	return refusal(op, bought == NULL ? 0 : *bought, sale->per_customer, sale->avail);
}

const char *model_refusal_at(const struct model *model, const struct history_op *op, uint64_t at)
{
	const struct model_sale *sale = &model->sale;
	int64_t bought = 0, avail = sale->allotted;
	size_t walk = 0;
	struct slice key;
	void *value;
	while (map_next(&sale->orders, &walk, &key, &value)) {
		const struct model_order *order = value;
		int64_t units = order->at <= at ? order->units : 0;
		avail -= units;
		bought += order->customer == op->expected ? units : 0;
	}
	return refusal(op, bought, sale->per_customer, avail);
}

bool model_refuses_with(const char *code)
{
	return strcmp(code, limit_exceeded) == 0 || strcmp(code, sold_out) == 0 ||
	       strcmp(code, insufficient) == 0;
}

static int apply_buy(struct model *model, const struct history_op *op, uint64_t at, uint64_t stamp_ms,
		     struct model_answer *answer, struct err *err)
{
	struct model_sale *sale = &model->sale;
	struct model_order *order = arena_alloc(&model->arena, sizeof(*order));
	*order = (struct model_order){op->key, op->value, op->expected, sale->number + 1, at};
	int64_t *bought = map_get(&sale->customers, slice_of(&op->expected, sizeof(op->expected)));
	if (bought == NULL) {
		bought = arena_zalloc(&model->arena, sizeof(*bought));
		map_put(&sale->customers, slice_of(&order->customer, sizeof(order->customer)), bought);
	}
	const char *code = model_refusal(model, op);
	if (code != NULL) {
		return err_set(err, ERR_INVALID,
			       "order %" PRId64 " was sold and should have been refused with %s", op->key,
			       code);
	}
	if (map_put(&sale->orders, slice_of(&order->key, sizeof(order->key)), order) != NULL) {
		return no(err, op, "the order was there already");
	}
	*bought += op->value;
	sale->avail -= op->value;
	sale->held += op->value;
	sale->number = order->number;
	answer->value = op->value;
	answer->list[0] = order->number;
	answer->list[1] = sale->avail;
	buf_appendf(&answer->bytes,
		    "%%4\r\n$6\r\nnumber\r\n:%" PRId64 "\r\n$5\r\ntotal\r\n:%" PRId64
		    "\r\n$9\r\npay_by_ms\r\n:%" PRId64 "\r\n$4\r\nleft\r\n:%" PRId64 "\r\n",
		    order->number, sale->price * op->value, (int64_t)stamp_ms + sale->pay_ttl_ms,
		    sale->avail);
	return 0;
}

int model_apply(struct model *model, const struct history_op *op, uint64_t at, uint64_t stamp_ms,
		struct model_answer *answer, struct err *err)
{
	struct model_cell *cell;
	buf_reset(&answer->bytes);
	answer->found = false;
	switch (op->function) {
	case HISTORY_WRITE:
		set(model, cell_of(model, 'r', op->key), at, op->value);
		answer->value = op->value;
		buf_append_text(&answer->bytes, "+OK\r\n");
		return 0;
	case HISTORY_CAS:
		cell = cell_of(model, 'r', op->key);
		answer->found = cell->count > 0 && present(cell) == op->expected;
		if (answer->found) {
			set(model, cell, at, op->value);
		}
		answer_int(answer, answer->found);
		answer->value = op->value;
		return 0;
	case HISTORY_ADD:
		cell = cell_of(model, 'c', op->key);
		set(model, cell, at, present(cell) + 1);
		answer_int(answer, present(cell));
		return 0;
	case HISTORY_TXN:
		return apply_txn(model, op, at, answer, err);
	case HISTORY_BANK:
		apply_all(model, op, 'b', at, answer);
		return 0;
	case HISTORY_RING:
		apply_all(model, op, 'n', at, answer);
		return 0;
	case HISTORY_MOVE:
		return apply_move(model, op, at, answer, err);
	case HISTORY_SWAP:
		return apply_swap(model, op, at, answer, err);
	case HISTORY_ALLOT:
		return apply_allot(model, op, answer, err);
	case HISTORY_BUY:
		return apply_buy(model, op, at, stamp_ms, answer, err);
	default:
		return no(err, op, "a read has no place in the log");
	}
}

bool model_agrees(const struct history_op *op, const struct model_answer *answer)
{
	switch (op->function) {
	case HISTORY_ADD:
		return op->value == answer->value;
	case HISTORY_CAS:
	case HISTORY_MOVE:
		return op->found == answer->found;
	case HISTORY_BUY:
		return op->list_count == 2 && op->list[0] == answer->list[0] &&
		       op->list[1] == answer->list[1];
	case HISTORY_TXN:
		for (size_t i = 0; i < op->part_count; i++) {
			const struct history_part *part = &op->parts[i];
			if (!part->append &&
			    (part->count != answer->counts[i] ||
			     (part->count > 0 && memcmp(part->list, answer->cells[i]->list,
							part->count * sizeof(int64_t)) != 0))) {
				return false;
			}
		}
		return true;
	default:
		return true;
	}
}

/* ---- reads ---- */

static bool explains_one(const struct model *model, char kind, const struct history_op *read, uint64_t at)
{
	const struct model_version *version = version_at(find(model, kind, read->key), at);
	return read->found == (version != NULL) && (version == NULL || version->value == read->value);
}

static bool explains_all(const struct model *model, char kind, const struct history_op *read, uint64_t at)
{
	for (size_t i = 0; i < read->list_count && read->found; i++) {
		const struct model_version *version = version_at(find(model, kind, (int64_t)i), at);
		if (version == NULL || version->value != read->list[i]) {
			return false;
		}
	}
	return read->found || version_at(find(model, kind, 0), at) == NULL;
}

static bool explains_lists(const struct model *model, const struct history_op *read, uint64_t at)
{
	for (size_t i = 0; i < read->part_count; i++) {
		const struct history_part *part = &read->parts[i];
		const struct model_cell *cell = find(model, 'l', part->key);
		const struct model_version *version = version_at(cell, at);
		size_t count = version == NULL ? 0 : (size_t)version->value;
		if (part->append || part->count != count ||
		    (count > 0 && memcmp(part->list, cell->list, count * sizeof(int64_t)) != 0)) {
			return false;
		}
	}
	return true;
}

/* The cells that were there at a place. */
static bool explains_size(const struct model *model, const struct history_op *read, uint64_t at)
{
	size_t low = 0, high = model->born_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (model->born[middle] <= at) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return (int64_t)low == read->value;
}

bool model_explains(const struct model *model, const struct history_op *read, uint64_t at)
{
	switch (read->function) {
	case HISTORY_READ:
		return explains_one(model, 'r', read, at);
	case HISTORY_COUNT:
		return explains_one(model, 'c', read, at);
	case HISTORY_BALANCES:
		return explains_all(model, 'b', read, at);
	case HISTORY_LINKS:
		return explains_all(model, 'n', read, at);
	case HISTORY_SIZE:
		return explains_size(model, read, at);
	case HISTORY_TXN:
		return explains_lists(model, read, at);
	default:
		return false;
	}
}

bool model_has_order(const struct model *model, const struct history_op *row)
{
	const struct model_order *order = map_get(&model->sale.orders, slice_of(&row->key, sizeof(row->key)));
	return order != NULL && order->units == row->value && order->customer == row->expected &&
	       row->list_count == 1 && order->number == row->list[0];
}

int64_t model_units_sold(const struct model *model, int64_t key)
{
	const struct model_order *order = map_get(&model->sale.orders, slice_of(&key, sizeof(key)));
	return order == NULL ? 0 : order->units;
}

bool model_has_stock(const struct model *model, const struct history_op *stock, int64_t late_units)
{
	const struct model_sale *sale = &model->sale;
	const int64_t want[STOCK_FIELDS] = {[STOCK_ALLOTTED] = sale->allotted,
					    [STOCK_AVAIL] = sale->avail + late_units,
					    [STOCK_HELD] = sale->held - late_units,
					    [STOCK_OUT] = sale->allotted};
	return stock->list_count == STOCK_FIELDS && memcmp(stock->list, want, sizeof(want)) == 0;
}

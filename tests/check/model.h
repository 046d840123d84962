/* A small model of the database, as its users understand it: registers, lists,
 * counters, bank accounts, a ring and a sale. It knows no log and no server: it is told what
 * was asked, in order, and says what the answer must be. It remembers every value with the place in the
 * order at which it came, so that reads can be held against any moment.
 *
 * Names of keys, as the simulator's workloads use them: r<key> register, l<key> list ("1,22,"), c<key>
 * counter, b<key> account, n<key> node of the ring. */
#ifndef TESTS_CHECK_MODEL_H
#define TESTS_CHECK_MODEL_H

#include "base/buf.h"
#include "base/map.h"
#include "tests/check/history.h"

struct model_version {
	uint64_t at;
	int64_t value; /* of a list: how many values it has */
};
struct model_cell {
	char name[24];
	struct model_version *versions; /* by rising place; none: absent */
	size_t count, cap;
	int64_t *list;
	size_t list_cap;
};
struct model_order {
	int64_t key, units, customer, number;
	uint64_t at; /* the place of its sale */
};
struct model_sale {
	int64_t allotted, avail, held, per_customer, price, pay_ttl_ms, number;
	struct map orders;    /* key -> struct model_order */
	struct map customers; /* customer -> int64_t units */
};
struct model {
	struct arena arena;
	struct map cells;            /* name -> struct model_cell */
	struct model_cell **touched; /* by the operations since model_forget_touched, perhaps twice */
	size_t touched_count, touched_cap;
	uint64_t *born; /* where each cell got its first version, rising; cells never go */
	size_t born_count, born_cap;
	struct model_sale sale;
};

struct model_answer {
	int64_t value;
	bool found;
	int64_t list[2];                   /* BUY: number, left */
	const struct model_cell *cells[8]; /* TXN: of each part, and */
	size_t counts[8]; /* how many values its list had, or the length of its text after an append */
	struct buf bytes; /* RESP3, the whole answer */
};
void model_answer_init(struct model_answer *answer);
void model_answer_fini(struct model_answer *answer);

void model_init(struct model *model);
void model_fini(struct model *model);
/* Carries op out at place at (rising), with the time of its batch. ERR_INVALID when it may not happen here.
 */
int model_apply(struct model *model, const struct history_op *op, uint64_t at, uint64_t stamp_ms,
		struct model_answer *answer, struct err *err);
/* The code with which op would be refused now, or NULL. */
const char *model_refusal(const struct model *model, const struct history_op *op);
/* The same at a place that the model has passed, where the sale had begun. */
const char *model_refusal_at(const struct model *model, const struct history_op *op, uint64_t at);
/* It is one of those that model_refusal gives: no "not now". */
bool model_refuses_with(const char *code);
/* True when the client of an acknowledged op was told what answer says. */
bool model_agrees(const struct history_op *op, const struct model_answer *answer);
/* True when a read would give what it gave at this place. */
bool model_explains(const struct model *model, const struct history_op *read, uint64_t at);
/* The cell's present value as the database writes it. */
void model_text(const struct model_cell *cell, struct buf *text);
/* Of the order with this key; 0 when it was not sold. */
int64_t model_units_sold(const struct model *model, int64_t key);
/* A row read back at the end, and the sale's sums as they were before the last late_units were sold. */
bool model_has_order(const struct model *model, const struct history_op *row);
bool model_has_stock(const struct model *model, const struct history_op *stock, int64_t late_units);

#endif /* TESTS_CHECK_MODEL_H */

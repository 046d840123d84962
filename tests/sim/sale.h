/* A flash sale in a simulated run: the bundle is pushed, units are allotted,
 * buyers storm one item until it is sold out and go on asking; at the end every
 * row is read back and the bundle's own audit runs. What buyers saw and the rows go to the
 * judge's history.
 *
 *   PUSH ──▶ ALLOT ──▶ OPEN ──close──▶ (buyers come home) ──read──▶ ROWS ──▶ CAMPAIGN ──▶ STATUS ──▶ AUDIT ──▶ READ
 */
#ifndef TESTS_SIM_SALE_H
#define TESTS_SIM_SALE_H

#include "client/client.h"
#include "tests/sim/fleet.h"
#include "tests/sim/wares.h"

#define SALE_BUYERS_MAX 12
#define SALE_ORDERS_MAX 8000

enum sale_state { SALE_PUSH, SALE_ALLOT, SALE_OPEN, SALE_CLOSED, SALE_ROWS, SALE_CAMPAIGN, SALE_STATUS, SALE_AUDIT, SALE_READ };

struct sale;

/* One order id and whether its buyer knows. */
struct sale_order {
	char id[24];
	int64_t key, customer, units;
	bool told; /* sold, or refused for good */
	unsigned asked;
};

struct buyer {
	struct sale *sale;
	struct sim_event next;
	struct tally_call call;
	struct sale_order *order; /* that he is about, until he gives up */
	bool busy;
	uint64_t asked_us;
};

struct sale {
	struct sim *sim;
	struct judge *judge;
	const struct wares *wares;
	struct sim_host *host;
	struct env *env;
	struct tally *tally;
	enum sale_state state;
	struct buyer buyers[SALE_BUYERS_MAX]; /* the first is also the shopkeeper */
	unsigned buyer_count, busy;
	uint64_t think_us;
	int64_t allotted, per_customer;
	unsigned customers;
	struct sale_order *orders;
	size_t order_count;
	/* read back */
	int64_t last_key; /* of the rows so far */
	char from[24];
	int64_t stock[STOCK_FIELDS];
	char *resume; /* of the audit */
	uint64_t audited;
	uint64_t sold, refused, unknown, replayed;
};

void sale_init(struct sale *sale, struct fleet *fleet, struct judge *judge, const struct wares *wares);
void sale_fini(struct sale *sale);
/* Buyers ask no more; those under way end. */
void sale_close(struct sale *sale);
/* Reads everything back and audits; then sale->state is SALE_READ. */
void sale_read(struct sale *sale);

#endif /* TESTS_SIM_SALE_H */

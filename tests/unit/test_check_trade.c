#include "tests/check/trade.h"
#include "tests/check/ring.h"
#include "tests/lib/tap.h"

static struct trade_order orders[3];
static struct trade_ack acks[3];
static struct trade trade;

static void good(void)
{
	const char *ids[] = {"o1", "o2", "o3"}, *customers[] = {"c1", "c2", "c3"};
	for (int i = 0; i < 3; i++) {
		orders[i] = (struct trade_order){slice_str(ids[i]), slice_str(customers[i]), 1, 100 + i};
		acks[i] = (struct trade_ack){slice_str(ids[i]), slice_str(customers[i]), 1, 100 + i, false};
	}
	trade = (struct trade){.allotted = 5, .per_customer = 1, .avail = 2, .held = 3, .campaign_out = 5,
	                       .orders = orders, .order_count = 3, .acks = acks, .ack_count = 3};
}

static void judge(const char *want, const char *sentence)
{
	struct trade_verdict v;
	struct err err = {0};
	int rc = trade_check(&trade, &v, &err);
	ok((rc == 0) == (want == NULL) && (want == NULL || strstr(err.text, want) != NULL), "%s", sentence);
	if (rc != 0 && (want == NULL || strstr(err.text, want) == NULL)) {
		tap_note("%s", err.text);
	}
	good();
}

int main(void)
{
	good();
	judge(NULL, "a true sale is accepted");
	trade.allotted = 2, trade.avail = 0, trade.held = 2, trade.campaign_out = 2;
	judge("oversold: 1", "an oversold unit is found");
	acks[1].order_id = slice_str("o9");
	judge("without an order row: 1", "a lost sale is found");
	orders[2].order_id = slice_str("o1");
	judge("", "an order with two rows is found");
	acks[2].units = 2;
	judge("differ from what the buyer was told", "another content than acknowledged is found");
	acks[2].refused = true;
	judge("refused for good", "an order of a refused id is found");
	orders[1].customer = slice_str("c1"), acks[1].customer = slice_str("c1");
	judge("Q1", "a customer over the limit is found");
	orders[2].number = 105, acks[2].number = 105;
	judge("gaps", "a gap in the numbers is found");
	trade.demand_left = true;
	judge("unsold", "units left while buyers were told sold out are found");
	trade.campaign_out = 6;
	judge("P1", "P1 is checked");
	trade.allotted = 6;
	judge("P2", "P2 is checked");
	trade.held = 2, trade.campaign_out = 4, trade.allotted = 4;
	judge("P3", "P3 is checked");

	struct err err = {0};
	is_int(ring_check((const int64_t[]){1, 2, 3, 0}, 4, &err), 0, "a ring is a ring");
	is_int(ring_check((const int64_t[]){1, 0, 3, 2}, 4, &err), ERR_INVALID, "two rings are not");
	is_int(ring_check((const int64_t[]){1, 2, 1, 0}, 4, &err), ERR_INVALID, "a lasso is not");
	is_int(ring_check((const int64_t[]){1, 2, 9, 0}, 4, &err), ERR_INVALID, "a link to nowhere is not");
	return tap_done();
}

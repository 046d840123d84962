/* Order: one purchase, blocking, that survives everything: the order id is made
 * first and would be stored by a real shop; whatever happens, asking again with
 * it ends in one order.
 *
 *   ./order 127.0.0.1:7401 11.11 phone-x customer-7 [ORDER-ID] */
#include <stdio.h>
#include <tally.h>

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: order SERVERS CAMPAIGN SKU CUSTOMER [ORDER-ID]\n");
		return 2;
	}
	char error[256];
	struct tally_options options = {.servers = argv[1]};
	struct tally_sync *shop = tally_sync_open(&options, error, sizeof(error));
	if (shop == NULL) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	char made[TALLY_ID_SIZE];
	tally_id_make(tally_sync_client(shop), made);
	const char *order_id = argc > 5 ? argv[5] : made;

	const struct tally_arg args[] = {tally_str("order_id", order_id), tally_str("campaign", argv[2]),
					 tally_str("sku", argv[3]), tally_str("customer", argv[4]),
					 tally_int("qty", 1)};
	const struct tally_call *call;
	enum tally_outcome outcome;
	unsigned tries = 0;
	do {
		/* Within its time the library asks again by itself; beyond, the shop decides. */
		call = tally_sync_call(shop, order_id, "order.flash_buy", args, 5, 5000);
		outcome = tally_call_outcome(call);
		tries++;
	} while ((outcome == TALLY_RETRY || outcome == TALLY_UNKNOWN) && tries < 6);

	if (outcome == TALLY_DONE) {
		printf("order %s: number %lld%s\n", order_id,
		       (long long)tally_value_int(tally_value_get(tally_call_value(call), "number"), 0),
		       tally_call_replayed(call) ? " (it had been placed before)" : "");
	} else {
		printf("order %s: %s, %s\n", order_id, tally_outcome_name(outcome), tally_call_message(call));
	}
	tally_sync_close(shop);
	return outcome == TALLY_DONE ? 0 : 1;
}

/* Flash buy: many buyers at once, asynchronously, on a libuv loop.
 *
 *   cc flash_buy.c -o flash_buy $(pkg-config --cflags --libs tally libuv)
 *   tally script push commerce
 *   tally call campaign.allot campaign=11.11 sku=phone-x qty=10 …
 *   ./flash_buy 127.0.0.1:7401 11.11 phone-x 100 */
#include <stdio.h>
#include <stdlib.h>
#include <tally.h>
#include <uv.h>

struct shop {
	struct tally *tally;
	const char *campaign, *sku;
	unsigned open, sold, refused, other;
};

/* A call is a struct of yours: embed it in what it belongs to. */
struct sale {
	struct tally_call call;
	struct shop *shop;
	char order_id[TALLY_ID_SIZE];
};

static void closed_cb(void *data)
{
	const struct shop *shop = data;
	printf("sold %u, refused %u, other %u\n", shop->sold, shop->refused, shop->other);
}

static void sale_cb(struct tally_call *call)
{
	struct sale *sale = call->data;
	struct shop *shop = sale->shop;
	switch (tally_call_outcome(call)) {
	case TALLY_DONE:
		/* Values are borrowed until this returns. */
		printf("%s: number %lld\n", sale->order_id,
		       (long long)tally_value_int(tally_value_get(tally_call_value(call), "number"), 0));
		shop->sold++;
		break;
	case TALLY_REFUSED: /* sold out, limit reached: tell the buyer */
		shop->refused++;
		break;
	case TALLY_CONFLICT: /* fewer left than asked for: read, then ask under a new order id */
	case TALLY_RETRY:    /* nothing happened until the deadline: the same order id again, later */
	case TALLY_UNKNOWN:  /* it may have happened: the same order id again, now */
		shop->other++;
		break;
	}
	free(sale);
	if (--shop->open == 0) {
		tally_close(shop->tally, closed_cb, shop);
	}
}

static void buy(struct shop *shop, unsigned customer)
{
	char name[32];
	struct sale *sale = calloc(1, sizeof(*sale));
	if (sale == NULL) {
		abort();
	}
	sale->shop = shop;
	sale->call.data = sale;
	/* The procedure declares order_id as its request id: asking twice with one id is one order. */
	tally_id_make(shop->tally, sale->order_id);
	snprintf(name, sizeof(name), "customer-%u", customer);
	const struct tally_arg args[] = {tally_str("order_id", sale->order_id),
					 tally_str("campaign", shop->campaign), tally_str("sku", shop->sku),
					 tally_str("customer", name), tally_int("qty", 1)};
	shop->open++;
	tally_call_start(shop->tally, &sale->call, "order.flash_buy", args, 5, 2000, sale_cb);
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: flash_buy SERVERS CAMPAIGN SKU BUYERS\n");
		return 2;
	}
	uv_loop_t loop;
	char error[256];
	uv_loop_init(&loop);
	struct tally_options options = {.servers = argv[1], .connections = 4};
	struct shop shop = {.campaign = argv[2], .sku = argv[3]};
	shop.tally = tally_open(&loop, &options, error, sizeof(error));
	if (shop.tally == NULL) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	unsigned buyers = (unsigned)strtoul(argv[4], NULL, 10);
	for (unsigned i = 0; i < buyers; i++) {
		buy(&shop, i);
	}
	if (buyers == 0) {
		tally_close(shop.tally, closed_cb, &shop);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	return shop.other == 0 ? 0 : 1;
}

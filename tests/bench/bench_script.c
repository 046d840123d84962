/* What one order.flash_buy costs in the script room: prepare, fingerprint, run, commit, over
 * the real transaction and an in-memory database.
 *
 *   bench_script [sales] [bundle directory]     prints nanoseconds a sale
 *
 * For instructions: valgrind --tool=callgrind --toggle-collect=bench_sale, and take off what store_get has
 * inclusive: two reads a sale miss in RocksDB. Not a test: no assertion here is about time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/unit/script_world.h"

#define SALES_PER_BATCH 300

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static __attribute__((noinline)) int bench_sale(struct world *w, const struct slice *args, size_t count)
{
	return world_call_argv(w, SLICE_LIT("order.flash_buy"), args, count);
}

int main(int argc, char **argv)
{
	uint64_t sales = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
	char **files = world_read_bundle(argc > 2 ? argv[2] : "commerce");
	struct world w;
	struct err err = {0};
	world_open(&w);
	if (world_push(&w, (const char *const *)files, &err) != 0 ||
	    world_call(&w, "campaign.allot", "allot_id", "a1", "campaign", "11.11", "sku", "phone-x", "qty",
		       "100000000", "from_ms", "0", "until_ms", "9000000000000", "per_customer", "2", "price",
		       "199900", "pay_ttl_ms", "900000", NULL) != 0) {
		fprintf(stderr, "bench_script: %s %s\n", err.text, world_reply(&w));
		return 1;
	}
	world_apply(&w);
	uint64_t spent = 0;
	for (uint64_t n = 0; n < sales; n++) {
		char order[40], customer[24];
		snprintf(order, sizeof order, "0193a7c2-%04x-7%03x-8000-%012llx", (unsigned)(n / 65536),
			 (unsigned)(n % 4096), (unsigned long long)(n * 2654435761u));
		snprintf(customer, sizeof customer, "c%llu", (unsigned long long)(n * 40503 % 1000003));
		struct slice args[] = {SLICE_LIT("order_id"), slice_str(order),    SLICE_LIT("campaign"),
				       SLICE_LIT("11.11"),    SLICE_LIT("sku"),    SLICE_LIT("phone-x"),
				       SLICE_LIT("customer"), slice_str(customer), SLICE_LIT("qty"),
				       SLICE_LIT("1")};
		uint64_t begun = now_ns();
		int status = bench_sale(&w, args, 10);
		spent += now_ns() - begun;
		if (status != 0) {
			fprintf(stderr, "bench_script: %s\n", world_reply(&w));
			return 1;
		}
		if (n % SALES_PER_BATCH == SALES_PER_BATCH - 1) {
			world_apply(&w);
		}
	}
	printf("sales %llu  %llu ns\n", (unsigned long long)sales, (unsigned long long)(spent / sales));
	world_close(&w);
	world_free_bundle(files);
	return 0;
}

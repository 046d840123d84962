/* What one sale costs in txn and store, without script and network: 4 reads, 7
 * logical writes on one hot pool, batches of 300, applied and forgotten.
 *
 *   bench_txn [sales] [dir]     prints nanoseconds a sale for execute, seal and apply
 *
 * Without dir the disk is in memory. For instructions run it below
 * valgrind --tool=callgrind --toggle-collect=bench_sale. Not a test: no assertion here is about time. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/store.h"
#include "txn/overlay.h"
#include "txn/txn.h"
#include "wire/entry.h"

#define SALES_PER_BATCH 300
#define BATCHES_IN_FLIGHT 3

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct bench {
	struct store *store;
	struct overlay *overlay;
	struct arena arena;
	struct buf sealed[BATCHES_IN_FLIGHT];
	uint64_t index, execute_ns, seal_ns, apply_ns, bytes;
};

/* A key: words before a number. */
static struct slice key_of(char *at, const char *words, uint64_t n)
{
	return slice_of(at, (size_t)snprintf(at, 96, "%s%016llx", words, (unsigned long long)n));
}

static __attribute__((noinline)) void bench_sale(struct bench *b, uint64_t n, struct slice order,
						 struct slice buyer, struct slice once)
{
	static const uint8_t row[180];
	struct slice pool = SLICE_LIT("rslice:11.11:phone-x"), value;
	struct txn *txn = txn_begin(b->overlay, &b->arena);
	txn_get(txn, once, &value);
	txn_get_hot(txn, SLICE_LIT("bactive"), &value);
	txn_get_hot(txn, SLICE_LIT("rcampaign:11.11"), &value);
	txn_get(txn, order, &value);
	txn_get(txn, buyer, &value);
	txn_get(txn, pool, &value);
	txn_put(txn, buyer, slice_of(row, 24));
	txn_put(txn, pool, slice_of(row, 48));
	txn_put(txn, SLICE_LIT("sorder"), slice_of(&n, 8));
	txn_put(txn, order, slice_of(row, sizeof(row)));
	txn_emit(txn, slice_of(row, 120));
	txn_put(txn, once, slice_of(row, 100));
	txn_commit(txn);
}

static void apply_oldest(struct bench *b)
{
	struct buf *payload = &b->sealed[(b->index + 1) % BATCHES_IN_FLIGHT];
	if (payload->len == 0) {
		return;
	}
	struct entry_view view;
	struct store_meta meta = {.index = b->index + 1 - BATCHES_IN_FLIGHT, .term = 1};
	uint64_t begun = now_ns();
	if (entry_check(buf_slice(payload), &view) != 0 || store_apply(b->store, &view, &meta, NULL) != 0) {
		abort();
	}
	b->apply_ns += now_ns() - begun;
	b->bytes += payload->len;
	overlay_forget(b->overlay, meta.index);
	buf_reset(payload);
}

static void batch(struct bench *b, uint64_t first)
{
	char order[96], buyer[96], once[96];
	b->index++;
	overlay_open(b->overlay, b->index, b->index);
	uint64_t begun = now_ns();
	for (uint64_t n = first; n < first + SALES_PER_BATCH; n++) {
		arena_reset(&b->arena);
		bench_sale(b, n, key_of(order, "rorder:0193", n),
			   key_of(buyer, "rpurchase:11.11:c", n * 2654435761u % 100000000),
			   key_of(once, "odefault:0193", n));
	}
	uint64_t executed = now_ns();
	overlay_seal(b->overlay, &b->sealed[b->index % BATCHES_IN_FLIGHT]);
	b->execute_ns += executed - begun;
	b->seal_ns += now_ns() - executed;
	apply_oldest(b);
}

int main(int argc, char **argv)
{
	uint64_t sales = argc > 1 ? strtoull(argv[1], NULL, 10) : 300000;
	struct store_disk *disk = argc > 2 ? NULL : store_disk_new();
	struct store_config config = {.dir = argc > 2 ? argv[2] : "/bench", .disk = disk};
	struct bench b = {.index = BATCHES_IN_FLIGHT};
	struct err err = {0};
	if (store_open(&config, &b.store, &err) != 0) {
		fprintf(stderr, "bench_txn: %s\n", err.text);
		return 1;
	}
	b.overlay = overlay_new(b.store, MIB(32), 1);
	arena_init(&b.arena, KIB(64));
	for (size_t i = 0; i < BATCHES_IN_FLIGHT; i++) {
		buf_init(&b.sealed[i], LIMIT_ENTRY);
	}
	uint64_t done = 0;
	for (; done < sales; done += SALES_PER_BATCH) {
		batch(&b, done);
	}
	printf("sales %llu  execute %llu ns  seal %llu ns  apply %llu ns  %llu bytes a sale\n",
	       (unsigned long long)done, (unsigned long long)(b.execute_ns / done),
	       (unsigned long long)(b.seal_ns / done), (unsigned long long)(b.apply_ns / done),
	       (unsigned long long)(b.bytes / done));
	for (size_t i = 0; i < BATCHES_IN_FLIGHT; i++) {
		buf_fini(&b.sealed[i]);
	}
	arena_fini(&b.arena);
	overlay_free(b.overlay);
	store_close(b.store, false);
	store_disk_free(disk);
	return 0;
}

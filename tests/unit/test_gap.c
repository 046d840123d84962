/* Gaps of the key space: a key that is certainly absent is not looked for, and one that is there is always
 * found. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "store/internal.h"
#include "tests/lib/tap.h"

static struct store *open_store(struct store_disk *disk)
{
	struct store_config config = {.dir = "gap", .disk = disk};
	struct store *store = NULL;
	struct err err = {0};
	if (store_open(&config, &store, &err) != 0) {
		fatal("cannot open a store: %s", err.text);
	}
	return store;
}

/* Applies one put or removal as the next entry. */
static void apply(struct store *store, struct slice key, bool removal)
{
	struct store_meta meta;
	store_meta(store, &meta, NULL);
	meta.index++;
	meta.term = 1;
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 1000);
	if (removal) {
		entry_delete(&payload, key);
	} else {
		entry_put(&payload, key, SLICE_LIT("v"));
	}
	entry_end(&payload);
	struct entry_view view;
	struct err err = {0};
	if (entry_check(buf_slice(&payload), &view) != 0 || store_apply(store, &view, &meta, &err) != 0) {
		fatal("cannot apply: %s", err.text);
	}
	buf_fini(&payload);
}

static void put(struct store *store, const char *key)
{
	apply(store, slice_str(key), false);
}

static bool has(struct store *store, struct slice key)
{
	struct store_pin pin;
	if (store_get(store, key, &pin) != 0) {
		return false;
	}
	store_unpin(&pin);
	return true;
}

static uint64_t in_gap(struct store *store)
{
	struct store_stats stats;
	store_stats(store, &stats);
	return stats.gets_in_gap;
}

/* Asks for key until a gap answers; how often that was in vain. */
static int misses(struct store *store, const char *key)
{
	uint64_t before = in_gap(store);
	int count = -1;
	do {
		has(store, slice_str(key));
		count++;
	} while (count < 4 * GAP_PATIENCE_MAX && in_gap(store) == before);
	return count;
}

static bool learn(struct store *store, const char *key)
{
	return misses(store, key) < 4 * GAP_PATIENCE_MAX;
}

static void test_ascending(struct store_disk *disk)
{
	struct store *store = open_store(disk);
	put(store, "order-0100");
	put(store, "outlier");
	ok(learn(store, "order-0101"), "a key that is asked for in vain is soon known to be in a gap");
	uint64_t before = in_gap(store);
	int wrong = 0;
	for (int i = 102; i < 202; i++) {
		char key[32];
		snprintf(key, sizeof(key), "order-%04d", i);
		wrong += has(store, slice_str(key));
		put(store, key);
		wrong += !has(store, slice_str(key));
	}
	ok(wrong == 0,
	   "keys that ascend below an outlier are absent before they are written and there afterwards");
	ok(in_gap(store) - before == 100, "and none of the first hundred questions reached the database");
	ok(has(store, SLICE_LIT("order-0100")) && has(store, SLICE_LIT("outlier")),
	   "the neighbours of the gap are there");
	ok(!has(store, SLICE_LIT("order-0101")) && in_gap(store) - before == 100,
	   "what the writers have passed is in no gap any more");
	store_close(store, true);
	store = open_store(disk);
	ok(has(store, SLICE_LIT("order-0201")) && !has(store, SLICE_LIT("order-0202")),
	   "a new life begins without gaps");
	store_close(store, false);
}

static void test_ends(struct store_disk *disk)
{
	struct store *store = open_store(disk);
	int at_first = misses(store, "zz");
	ok(at_first <= GAP_PATIENCE_MIN, "the end of all keys bounds a gap");
	put(store, "zzz");
	ok(has(store, SLICE_LIT("zzz")) && !has(store, SLICE_LIT("zzzz")), "until somebody writes behind it");
	int next = misses(store, "!");
	ok(next < GAP_PATIENCE_MAX, "so does their beginning");
	ok(next > GAP_PATIENCE_MIN, "which takes longer to be learned: the first was of little use");
	put(store, "!!");
	ok(has(store, SLICE_LIT("!!")) && !has(store, SLICE_LIT("\"")), "until somebody writes before it");
	char longer[GAP_KEY + 40];
	memset(longer, 'z', sizeof(longer));
	struct slice key = slice_of(longer, sizeof(longer));
	ok(learn(store, "zzzy"), "a gap behind which a long key comes");
	apply(store, key, false);
	ok(has(store, key) && !has(store, SLICE_LIT("zzzy")), "is given up for it");
	store->gaps.patience = 1;
	ok(!has(store, SLICE_LIT("zzzy")) && !has(store, SLICE_LIT("zzzy")) && !has(store, SLICE_LIT("{")) &&
		   store->gaps.count == 1,
	   "and none is learned that it would bound");
	store_close(store, false);
}

/* The gap between the n-th key and the next. */
static const char *between(int n, char key[16])
{
	snprintf(key, 16, "k%02d-", n);
	return key;
}

static int count_known(struct store *store)
{
	char key[16];
	uint64_t before = in_gap(store);
	for (int i = 0; i <= GAPS; i++) {
		has(store, slice_str(between(i, key)));
	}
	return (int)(in_gap(store) - before);
}

#define LATE 10 /* is learned when all places are taken */

static void test_full(struct store_disk *disk)
{
	struct store *store = open_store(disk);
	char key[16];
	int slow = 0;
	for (int i = 0; i <= GAPS + 1; i++) {
		snprintf(key, sizeof(key), "k%02d", i);
		put(store, key);
	}
	for (int i = 0; i <= GAPS; i++) {
		if (i == LATE) {
			continue;
		}
		slow += misses(store, between(i, key)) > GAP_PATIENCE_MIN;
		for (int n = 0; n < GAP_WORTH; n++) {
			has(store, slice_str(key));
		}
	}
	ok(slow == 0, "a gap that is hit often makes the next one be learned as soon");
	ok(count_known(store) == GAPS, "as many gaps are known as there are places");
	/* The first is hit again: the second is the one. */
	has(store, slice_str(between(0, key)));
	learn(store, between(LATE, key));
	has(store, slice_str(between(0, key)));
	uint64_t before = in_gap(store);
	has(store, slice_str(between(1, key)));
	ok(in_gap(store) == before && count_known(store) == GAPS,
	   "for one more the one that was not hit for longest goes");
	has(store, slice_str(between(0, key)));
	learn(store, between(1, key));
	ok(count_known(store) == GAPS, "whether it lies below or above");
	store_close(store, false);
}

/* A set of small numbers as the database's model; most questions are about what is not there. */
static void test_random(struct store_disk *disk)
{
	struct store *store = open_store(disk);
	unsigned seed = 7;
	bool model[4096] = {false};
	int wrong = 0;
	uint32_t writer = 2048;
	for (int i = 0; i < 60000; i++) {
		bool ascend = rand_r(&seed) % 2 == 0;
		uint32_t n = ascend ? writer : (uint32_t)rand_r(&seed) % 4096;
		char key[16];
		snprintf(key, sizeof(key), "n%04u", n);
		wrong += has(store, slice_str(key)) != model[n];
		if (rand_r(&seed) % 8 == 0) {
			bool removal = rand_r(&seed) % 3 == 0;
			apply(store, slice_str(key), removal);
			model[n] = !removal;
			wrong += has(store, slice_str(key)) != model[n];
			writer = writer == 4095 ? 0 : writer + ascend;
		}
	}
	ok(wrong == 0, "60,000 questions between writes and removals are answered as a model says (%d wrong)",
	   wrong);
	ok(in_gap(store) > 1000, "and gaps answered %llu of them", (unsigned long long)in_gap(store));
	store_close(store, false);
}

/* A batch that has closed its gaps and is not yet in the database: whoever looks now sees none of it. */
static void test_under_way(struct store_disk *disk)
{
	struct store *store = open_store(disk);
	put(store, "a");
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 1000);
	entry_put(&payload, SLICE_LIT("b"), SLICE_LIT("v"));
	entry_end(&payload);
	struct entry_view view;
	entry_check(buf_slice(&payload), &view);
	gaps_write_begin(&store->gaps, &view);
	for (int i = 0; i < 4 * GAP_PATIENCE_MIN; i++) {
		gaps_missed(&store->gaps, store->db, SLICE_LIT("c"));
	}
	ok(store->gaps.count == 0, "nothing is learned while a batch is under way");
	gaps_write_end(&store->gaps);
	gaps_missed(&store->gaps, store->db, SLICE_LIT("a"));
	ok(store->gaps.misses == 0 && store->gaps.count == 0, "nor from a key that came meanwhile");
	put(store, "b");
	ok(has(store, SLICE_LIT("b")), "so what it writes is found");
	buf_fini(&payload);
	store_close(store, false);
}

int main(void)
{
	struct store_disk *disk = store_disk_new();
	test_ascending(disk);
	test_ends(disk);
	store_disk_free(disk);
	disk = store_disk_new();
	test_full(disk);
	store_disk_free(disk);
	disk = store_disk_new();
	test_random(disk);
	store_disk_free(disk);
	disk = store_disk_new();
	test_under_way(disk);
	store_disk_free(disk);
	return tap_done();
}

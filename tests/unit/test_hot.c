/* Hot rows of the overlay: which are kept, and which go. */
#include "tests/unit/txn_world.h"

#include <stdio.h>

#include "tests/lib/tap.h"

/* How often a transaction that reads key asks the store. */
static int asks_with(struct world *w, const char *key, int (*get)(struct txn *, struct slice, struct slice *))
{
	struct store_stats before, after;
	store_stats(w->store, &before);
	struct slice value;
	struct txn *txn = begin(w);
	get(txn, slice_str(key), &value);
	txn_abort(txn);
	store_stats(w->store, &after);
	return (int)(after.gets - before.gets);
}

static int asks(struct world *w, const char *key)
{
	return asks_with(w, key, txn_get);
}
static int asks_hot(struct world *w, const char *key)
{
	return asks_with(w, key, txn_get_hot);
}

static void test_hot(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	put_alone(&w, "campaign", "1");
	seal(&w);
	overlay_forget(w.overlay, apply(&w));
	open_batch(&w);
	struct txn *txn = begin(&w);
	ok(reads_hot(txn, "campaign", "1"), "a hot row is read from the store");
	ok(reads_hot(txn, "absent", NULL), "and so is that one is absent");
	txn_abort(txn);
	struct store_stats before, after;
	store_stats(w.store, &before);
	txn = begin(&w);
	ok(reads_hot(txn, "campaign", "1") && reads_hot(txn, "absent", NULL), "again it has the same value");
	ok(reads(txn, "campaign", "1"), "also for txn_get");
	txn_abort(txn);
	store_stats(w.store, &after);
	is_int(after.gets, before.gets, "without asking the store");

	put_alone(&w, "campaign", "2");
	put_alone(&w, "absent", "no more");
	txn = begin(&w);
	ok(reads_hot(txn, "campaign", "2") && reads_hot(txn, "absent", "no more"),
	   "an uncommitted write stands before it");
	is_int(txn_read_index(txn), 2, "and is waited for");
	txn_abort(txn);
	seal(&w);
	overlay_forget(w.overlay, apply(&w));
	open_batch(&w);
	store_stats(w.store, &before);
	txn = begin(&w);
	ok(reads_hot(txn, "campaign", "2") && reads_hot(txn, "absent", "no more"),
	   "when the write is forgotten its value has moved in");
	is_int(txn_read_index(txn), 0, "and nobody waits");
	txn_delete(txn, SLICE_LIT("campaign"));
	txn_commit(txn);
	store_stats(w.store, &after);
	is_int(after.gets, before.gets, "still without asking the store");
	seal(&w);
	overlay_forget(w.overlay, apply(&w));
	open_batch(&w);
	txn = begin(&w);
	ok(reads_hot(txn, "campaign", NULL), "a deleted hot row is absent");
	txn_abort(txn);
	world_fini(&w);
}

static void test_hot_bound(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	struct txn *txn = begin(&w);
	struct slice value;
	for (int i = 0; i < 100; i++) {
		char key[32];
		snprintf(key, sizeof(key), "row-%d", i);
		txn_get_hot(txn, slice_str(key), &value);
	}
	is_int(overlay_hot_bytes(w.overlay) > HOT_BYTES, true,
	       "a transaction keeps what it read until it ends");
	txn_abort(txn);
	is_int(overlay_hot_bytes(w.overlay) <= HOT_BYTES, true, "then hot rows are within their bound");
	is_int(asks(&w, "row-99"), 0, "the latest stayed");
	is_int(asks(&w, "row-0"), 1, "the longest kept went");
	world_fini(&w);
}

/* A row that is in use stays while others come and go. */
static void test_hot_second_chance(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	int asked = 0;
	for (int i = 0; i < 200; i++) {
		char key[32];
		snprintf(key, sizeof(key), "row-%d", i);
		asks_hot(&w, key);
		asked += asks_hot(&w, "used");
	}
	is_int(asked, 1, "a row in use stayed where two hundred others came");
	is_int(asks(&w, "row-0"), 1, "which went");
	world_fini(&w);
}

/* All are in use, and more than are looked at: one goes nevertheless. */
static void test_hot_all_used(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	size_t most = 0;
	for (int i = 0; i < 200; i++) {
		char key[32];
		snprintf(key, sizeof(key), "row-%d", i);
		asks_hot(&w, key);
		asks_hot(&w, key);
		most = overlay_hot_bytes(w.overlay) > most ? overlay_hot_bytes(w.overlay) : most;
	}
	ok(most <= HOT_BYTES, "rows that are all in use are bounded too: %zu bytes at most", most);
	world_fini(&w);
}

static void test_hot_by_use(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	is_int(asks(&w, "row"), 1, "the first reading asks the store");
	is_int(asks(&w, "row"), 1, "and so does the second");
	is_int(asks(&w, "row"), 0, "who is read twice is hot for the third");
	for (int i = 0; i < 1000; i++) {
		char key[32];
		snprintf(key, sizeof(key), "once-%d", i);
		asks(&w, key);
	}
	is_int(asks(&w, "row"), 0, "a thousand rows that are read once do not push it out");
	world_fini(&w);
}

/* The bytes that are counted are those that are held, however rows grow and shrink. */
static void test_hot_bytes(void)
{
	struct world w;
	world_init(&w);
	const char *longest =
		"one that does not fit where the second was, for it is more than twice as long as that, "
		"which had room for twice its length";
	const char *values[] = {"1", "a longer one that does not fit where the first was", "2", longest};
	for (size_t i = 0; i < 4; i++) {
		open_batch(&w);
		put_alone(&w, "row", values[i]);
		seal(&w);
		overlay_forget(w.overlay, apply(&w));
		open_batch(&w);
		asks_hot(&w, "row");
		struct txn *txn = begin(&w);
		ok(reads(txn, "row", values[i]), "the value of %zu bytes is read", strlen(values[i]));
		txn_abort(txn);
		overlay_cancel(w.overlay);
	}
	ok(overlay_hot_bytes(w.overlay) > strlen(values[3]), "they are counted");
	overlay_drop(w.overlay);
	is_int(overlay_hot_bytes(w.overlay), 0, "and none is when the last row has gone");
	world_fini(&w);
}

int main(void)
{
	test_hot();
	test_hot_bound();
	test_hot_second_chance();
	test_hot_all_used();
	test_hot_by_use();
	test_hot_bytes();
	return tap_done();
}

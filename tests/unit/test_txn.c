/* Transactions and the overlay: stories. */
#include "tests/unit/txn_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "store/keys.h"
#include "tests/lib/tap.h"
#include "txn/layer.h"
#include "txn/view.h"
#include "wire/entry.h"

static void test_levels(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	put_alone(&w, "a", "1");
	struct txn *txn = begin(&w);
	ok(reads(txn, "a", "1"), "a transaction reads what an earlier one of its batch wrote");
	is_int(txn_read_index(txn), 1, "and must wait for that batch");
	is_int(txn_ordinal(txn), 1, "it is the second of its batch");
	ok(!txn_wrote(txn), "it wrote nothing");
	txn_commit(txn);
	seal(&w);
	open_batch(&w);
	txn = begin(&w);
	put(txn, "a", "2");
	ok(reads(txn, "a", "2"), "its own write stands before the sealed one");
	is_int(txn_read_index(txn), 0, "reading one's own write waits for nobody");
	txn_abort(txn);
	txn = begin(&w);
	ok(reads(txn, "a", "1"), "after an abort the sealed value is there again");
	ok(reads(txn, "b", NULL), "what nobody wrote is absent");
	txn_delete(txn, SLICE_LIT("a"));
	ok(reads(txn, "a", NULL), "a deleted key is absent to its deleter");
	txn_commit(txn);
	uint64_t index = apply(&w);
	overlay_forget(w.overlay, index);
	txn = begin(&w);
	ok(reads(txn, "a", NULL), "the delete stands before the applied value");
	is_int(txn_read_index(txn), 2, "not finding a deleted key is a read of its batch");
	txn_abort(txn);
	is_int(overlay_layers(w.overlay), 1, "the applied layer is gone");
	seal(&w);
	overlay_forget(w.overlay, apply(&w));
	is_int(overlay_layers(w.overlay), 0, "all layers are");
	is_int(overlay_bytes(w.overlay), 0, "and their memory");
	open_batch(&w);
	txn = begin(&w);
	ok(reads(txn, "a", NULL), "the store has the delete");
	txn_abort(txn);
	world_fini(&w);
}

static void test_time_and_place(void)
{
	struct world w;
	world_init(&w);
	overlay_open(w.overlay, 7, 5000);
	ok(overlay_open_empty(w.overlay), "a batch is born empty");
	overlay_restamp(w.overlay, 6000);
	struct txn *txn = begin(&w);
	is_int(txn_now_ms(txn), 6000, "a transaction's time is its batch's stamp");
	is_int(txn_index(txn), 7, "its index is its batch's");
	is_int(txn_ordinal(txn), 0, "the first has ordinal 0");
	txn_commit(txn);
	ok(overlay_open_empty(w.overlay), "a transaction that wrote nothing did not join");
	txn = begin(&w);
	txn_put(txn, SLICE_LIT("k"), SLICE_LIT("v"));
	txn_abort(txn);
	ok(overlay_open_empty(w.overlay), "nor did one that was aborted");
	overlay_cancel(w.overlay);
	ok(!overlay_is_open(w.overlay), "an empty batch can be closed without an entry");
	txn = begin(&w);
	ok(reads(txn, "k", NULL) && reads_hot(txn, "k", NULL), "a follower's transaction reads");
	is_int(txn_index(txn), 0, "without index");
	ok(overlay_fits(w.overlay, txn), "and always fits");
	txn_commit(txn);
	world_fini(&w);
}

static void test_marks(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	put_alone(&w, "a", "old");
	size_t before = overlay_open_bytes(w.overlay);
	struct txn *txn = begin(&w);
	put(txn, "a", "new");
	put(txn, "b", "1");
	txn_emit(txn, SLICE_LIT("first"));
	struct txn_mark mark = txn_mark(txn);
	put(txn, "a", "newer");
	txn_delete(txn, SLICE_LIT("b"));
	put(txn, "c", "1");
	txn_emit(txn, SLICE_LIT("second"));
	is_int(txn_write_count(txn), 3, "three keys were written");
	txn_rollback(txn, mark);
	ok(reads(txn, "a", "new") && reads(txn, "b", "1") && reads(txn, "c", NULL),
	   "a rollback brings back the mark");
	is_int(txn_write_count(txn), 2, "with its count of keys");
	put(txn, "a", "newest");
	txn_rollback(txn, mark);
	ok(reads(txn, "a", "new"), "the same mark serves twice");
	txn_rollback(txn, (struct txn_mark){0, 0});
	ok(!txn_wrote(txn), "back at the beginning nothing was written");
	ok(reads(txn, "a", "old"), "and the earlier transaction's value stands");
	is_int(txn_read_index(txn), 1, "which is a read of its batch");
	txn_abort(txn);
	is_int(overlay_open_bytes(w.overlay), before, "the batch is as large as before");
	world_fini(&w);
}

static void test_borrowed(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	for (int i = 0; i < 4; i++) {
		const char value[] = {(char)('0' + i), '\0'};
		put_alone(&w, "hot", value);
	}
	struct txn *txn = begin(&w);
	struct slice borrowed, own;
	txn_get(txn, SLICE_LIT("hot"), &borrowed);
	put(txn, "hot", "4");
	txn_get(txn, SLICE_LIT("hot"), &own);
	put(txn, "hot", "5");
	put(txn, "hot", "6");
	ok(slice_equal(borrowed, SLICE_LIT("3")) && slice_equal(own, SLICE_LIT("4")),
	   "what was read stays readable when the key is written again");
	txn_commit(txn);
	size_t bytes = overlay_bytes(w.overlay);
	for (int i = 0; i < 100000; i++) {
		txn = begin(&w);
		txn_put(txn, SLICE_LIT("hot"), SLICE_LIT("7"));
		if (i % 3 == 0) {
			txn_abort(txn);
		} else {
			txn_commit(txn);
		}
	}
	is_int(overlay_bytes(w.overlay), bytes, "a hot row takes no more memory for 100,000 writers");
	world_fini(&w);
}

static void test_reads_once(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	struct txn *txn = begin(&w);
	struct store_stats stats;
	ok(reads(txn, "new", NULL) && reads(txn, "new", NULL), "a row is looked for twice");
	store_stats(w.store, &stats);
	is_int(stats.gets, 2, "and the store was asked once (and for its meta record)");
	txn_abort(txn);
	world_fini(&w);
}

static void test_bounds(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	uint8_t *big = calloc(1, LIMIT_ROW_VALUE + 1);
	struct txn *txn = begin(&w);
	is_int(txn_put(txn, slice_of(big, LIMIT_ROW_KEY + 1), SLICE_NONE), ERR_TOO_LARGE,
	       "a key has a bound");
	is_int(txn_put(txn, SLICE_LIT("k"), slice_of(big, LIMIT_ROW_VALUE + 1)), ERR_TOO_LARGE,
	       "a value has one");
	ok(!txn_wrote(txn), "over it nothing is written");
	is_int(txn_put(txn, SLICE_LIT("k"), slice_of(big, LIMIT_ROW_VALUE)), 0, "up to it all is");
	is_int(txn_put(txn, SLICE_LIT("l"), slice_of(big, KIB(64))), ERR_FULL,
	       "a transaction has a bound in bytes");
	is_int(txn_put(txn, SLICE_LIT("k"), slice_of(big, 1)), 0, "a shorter value makes room");
	is_int(txn_put(txn, SLICE_LIT("l"), slice_of(big, KIB(100))), 0, "for another");
	struct txn_mark mark = txn_mark(txn);
	txn_put(txn, SLICE_LIT("k"), SLICE_NONE);
	txn_put(txn, SLICE_LIT("x"), slice_of(big, KIB(900)));
	txn_rollback(txn, mark);
	is_int(txn_put(txn, SLICE_LIT("y"), slice_of(big, KIB(900))), 0, "a rollback gives the bytes back");
	txn_rollback(txn, mark);
	ok(overlay_fits(w.overlay, txn), "it fits the batch");
	txn_commit(txn);

	txn = begin(&w);
	txn_put(txn, SLICE_LIT("m"), slice_of(big, LIMIT_ROW_VALUE));
	txn_put(txn, SLICE_LIT("n"), slice_of(big, KIB(56)));
	ok(!overlay_fits(w.overlay, txn), "a second one beside it may not fit");
	txn_abort(txn);
	seal(&w);
	open_batch(&w);
	txn = begin(&w);
	int status = 0, keys = 0;
	while (status == 0) {
		char key[32];
		snprintf(key, sizeof(key), "key-%d", keys);
		status = txn_put(txn, slice_str(key), SLICE_NONE);
		keys += status == 0;
	}
	ok(status == ERR_FULL && keys == LIMIT_TXN_WRITES, "a transaction has a bound in keys");
	is_int(txn_put(txn, SLICE_LIT("key-0"), SLICE_LIT("x")), 0,
	       "a key it has written may be written again");
	status = 0;
	for (int i = 0; i < 1000 && status == 0; i++) {
		status = txn_put(txn, SLICE_LIT("key-0"), slice_of(big, KIB(512)));
	}
	is_int(status, ERR_FULL, "but not without end");
	ok(overlay_fits(w.overlay, txn), "even so it fits an empty batch");
	txn_commit(txn);
	seal(&w);
	free(big);
	world_fini(&w);
}

static void test_trace(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	put_alone(&w, "old", "1");
	struct txn_trace *trace = malloc(sizeof *trace);
	struct txn *txn = begin(&w);
	struct slice key, value;
	char name[16];
	bool deleted;
	size_t at = 0;
	txn_get(txn, SLICE_LIT("unseen"), &value);
	txn_trace_reads(txn, trace);
	txn_get(txn, SLICE_LIT("old"), &value);
	txn_get_hot(txn, SLICE_LIT("none"), &value);
	txn_get(txn, SLICE_LIT("old"), &value);
	ok(trace->count == 2 && slice_equal(trace->keys[0], SLICE_LIT("old")) &&
		   slice_equal(trace->keys[1], SLICE_LIT("none")),
	   "a trace has the keys that were read since it began, each once");
	for (int i = 2; i < TXN_TRACE_MAX; i++) {
		snprintf(name, sizeof(name), "%d", i);
		txn_get(txn, slice_str(name), &value);
	}
	ok(trace->count == TXN_TRACE_MAX && !trace->more, "up to its bound all of them");
	txn_get(txn, SLICE_LIT("old"), &value);
	ok(!trace->more, "one that it has is not one more");
	txn_get(txn, SLICE_LIT("further"), &value);
	ok(trace->count == TXN_TRACE_MAX && trace->more, "and says when there were more");
	put(txn, "b", "1");
	txn_delete(txn, SLICE_LIT("old"));
	txn_mark(txn);
	put(txn, "b", "2");
	ok(txn_next_written(txn, &at, &key, &deleted) && slice_equal(key, SLICE_LIT("b")) && !deleted &&
		   txn_next_written(txn, &at, &key, &deleted) && slice_equal(key, SLICE_LIT("old")) &&
		   deleted && !txn_next_written(txn, &at, &key, &deleted),
	   "what is written comes in order of its first writing, each key once");
	txn_abort(txn);
	trace->count = 0;
	txn = begin(&w);
	txn_get(txn, SLICE_LIT("old"), &value);
	ok(trace->count == 0, "a trace ends with its transaction");
	txn_abort(txn);
	free(trace);
	world_fini(&w);
}

static void test_view_bound(void)
{
	struct world w;
	world_init(&w);
	uint8_t *big = calloc(1, MIB(1));
	for (unsigned i = 0; i <= VIEW_PENDING_MAX / MIB(1); i++) {
		char key[32];
		snprintf(key, sizeof(key), "row-%02u", i);
		open_batch(&w);
		struct txn *txn = begin(&w);
		txn_put(txn, slice_str(key), slice_of(big, MIB(1)));
		txn_commit(txn);
		seal(&w);
	}
	free(big);
	open_batch(&w);
	struct txn *txn = begin(&w);
	ok(txn_view_open(txn, SLICE_NONE, SLICE_NONE, SIZE_MAX, 0) == NULL,
	   "a view copies so much of what waits to be applied, no more");
	struct txn_view *view = txn_view_open(txn, SLICE_NONE, SLICE_NONE, 8, 0);
	ok(view != NULL, "the heads of the same values are less");
	txn_abort(txn);
	struct slice key, value;
	unsigned rows = 0;
	while (view != NULL && txn_view_next(view, &key, &value)) {
		rows += value.len == 8;
	}
	is_int(rows, VIEW_PENDING_MAX / MIB(1) + 1, "and all are there when the transaction is over");
	txn_view_close(view);
	world_fini(&w);
}

static size_t longest_probe(const struct table *table)
{
	size_t longest = 0;
	for (size_t i = 0; i <= table->mask; i++) {
		const struct table_slot *slot = &table->slots[i];
		size_t probe = (i - slot->hash) & table->mask;
		if ((slot->newest != NULL || slot->hot != NULL) && probe > longest) {
			longest = probe;
		}
	}
	return longest;
}

/* Keys that somebody chose so that without the seed the lowest twelve bits of their hashes are the same. */
static void test_chosen_keys(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	struct txn *txn = begin(&w);
	unsigned long long number = 0;
	for (int i = 0; i < 1000; i++) {
		char key[32];
		do {
			snprintf(key, sizeof(key), "chosen-%llu", number++);
		} while ((checksum64(slice_str(key)) & 0xfff) != 0);
		txn_put(txn, slice_str(key), SLICE_LIT("1"));
	}
	size_t longest = longest_probe(&w.overlay->table);
	ok(longest < 50, "keys that are chosen to collide do not: the longest way to one is %zu slots",
	   longest);
	txn_abort(txn);
	world_fini(&w);
}

static void test_events(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	struct txn *txn = begin(&w);
	txn_emit(txn, SLICE_LIT("placed"));
	put(txn, "z", "1");
	txn_commit(txn);
	txn = begin(&w);
	txn_emit(txn, SLICE_LIT("lost"));
	txn_abort(txn);
	txn = begin(&w);
	txn_emit(txn, SLICE_LIT("paid"));
	txn_emit(txn, SLICE_LIT("sent"));
	txn_commit(txn);
	size_t expected = overlay_open_bytes(w.overlay);
	seal(&w);
	is_int(w.sealed[0].len, expected, "the payload is as long as was told");
	open_batch(&w);
	txn = begin(&w);
	const uint8_t key[9] = {TABLE_EVENT, 0, 0, 0, 0, 0, 0, 0, 1};
	struct slice block;
	is_int(txn_get(txn, slice_of(key, 9), &block), 0, "the events of a sealed batch are one row");
	const char *want = "\0\6placed\1\4paid\1\4sent";
	is_bytes(block.data, block.len, want, 20, "in order, with the ordinals of their transactions");
	txn_abort(txn);
	world_fini(&w);
}

/* Another leader's entry, applied here. */
static void follow_one(struct world *w, uint64_t index, const char *value)
{
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 1);
	entry_put(&payload, SLICE_LIT("a"), slice_str(value));
	entry_end(&payload);
	apply_payload(w, index, buf_slice(&payload));
	buf_fini(&payload);
}

static void test_leadership_lost(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	put_alone(&w, "a", "1");
	seal(&w);
	overlay_forget(w.overlay, apply(&w));
	open_batch(&w);
	struct txn *txn = begin(&w);
	reads_hot(txn, "a", "1");
	put(txn, "a", "2");
	txn_commit(txn);
	seal(&w);
	open_batch(&w);
	put_alone(&w, "a", "3");
	overlay_drop(w.overlay);
	ok(!overlay_is_open(w.overlay) && overlay_layers(w.overlay) == 0,
	   "lost leadership drops every layer");
	txn = begin(&w);
	ok(reads(txn, "a", "1"), "what is applied is what is read");
	txn_abort(txn);
	follow_one(&w, 2, "other");
	txn = begin(&w);
	ok(reads_hot(txn, "a", "other"), "a row that was hot is read anew");
	txn_abort(txn);
	follow_one(&w, 3, "third");
	txn = begin(&w);
	ok(reads_hot(txn, "a", "third"), "and a follower makes no row hot");
	txn_abort(txn);
	world_fini(&w);
}

static void test_cursor_over_rollback(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	put_alone(&w, "a", "1");
	seal(&w);
	open_batch(&w);
	put_alone(&w, "d", "1");
	struct txn *txn = begin(&w);
	struct txn_mark mark = txn_mark(txn);
	put(txn, "b", "1");
	struct txn_cursor *cursor = txn_cursor_open(txn, SLICE_LIT("a"), SLICE_NONE, false);
	struct slice key, value;
	ok(txn_cursor_next(cursor, &key, &value) && slice_equal(key, SLICE_LIT("a")), "a walk begins");
	txn_rollback(txn, mark);
	ok(txn_cursor_next(cursor, &key, &value) && slice_equal(key, SLICE_LIT("d")),
	   "it goes on past what was rolled back in front of it");
	ok(!txn_cursor_next(cursor, &key, &value), "to its end");
	txn_cursor_close(cursor);
	txn_abort(txn);
	world_fini(&w);
}

static void test_large_batch(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	struct prng prng;
	prng_init(&prng, 3);
	uint8_t key[40];
	for (int i = 0; i < 3000; i++) {
		struct txn *txn = begin(&w);
		size_t len = 1 + prng_below(&prng, sizeof(key));
		for (size_t n = 0; n < len; n++) {
			key[n] = (uint8_t)prng_below(&prng, n < 16 ? 2 : 3);
		}
		txn_put(txn, slice_of(key, len), SLICE_LIT("v"));
		txn_commit(txn);
	}
	seal(&w); /* entry_put asserts the order */
	struct entry_view view;
	int status = entry_check(buf_slice(&w.sealed[0]), &view);
	ok(status == 0 && view.count > 1000,
	   "a batch of %u keys that are beginnings of one another comes out in order", view.count);
	world_fini(&w);
}

static void test_kill(void)
{
	struct world w;
	world_init(&w);
	open_batch(&w);
	struct txn *txn = begin(&w);
	put(txn, "a", "1");
	reads(txn, "b", NULL);
	world_fini(&w);
	ok(true, "an overlay can be freed in the middle of a transaction");
}

int main(void)
{
	test_levels();
	test_time_and_place();
	test_marks();
	test_borrowed();
	test_reads_once();
	test_bounds();
	test_trace();
	test_view_bound();
	test_chosen_keys();
	test_events();
	test_leadership_lost();
	test_cursor_over_rollback();
	test_large_batch();
	test_kill();
	return tap_done();
}

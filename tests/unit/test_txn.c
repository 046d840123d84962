/* Transactions and the overlay: stories first, then random lives beside a naive twin. */
#include "txn/txn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "store/keys.h"
#include "store/store.h"
#include "tests/lib/tap.h"
#include "txn/overlay.h"
#include "txn/layer.h"
#include "txn/view.h"
#include "wire/entry.h"

/* ---- a shard in small: store, overlay, sealed batches that wait to be applied ---- */

#define BATCHES_MAX 64
struct world {
	struct store_disk *disk;
	struct store *store;
	struct overlay *overlay;
	struct arena arena;
	uint64_t next_index;
	struct buf sealed[BATCHES_MAX]; /* in order of index, those not yet applied */
	uint64_t sealed_index[BATCHES_MAX];
	size_t sealed_count;
};

/* For some thirty rows. */
#define HOT_BYTES KIB(8)

static void world_init(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->disk = store_disk_new();
	struct store_config config = {.dir = "/db", .disk = w->disk};
	struct err err = {0};
	if (store_open(&config, &w->store, &err) != 0) {
		fatal("%s", err.text);
	}
	w->overlay = overlay_new(w->store, HOT_BYTES, 1);
	arena_init(&w->arena, 4096);
	w->next_index = 1;
}

static void world_fini(struct world *w)
{
	overlay_free(w->overlay);
	store_close(w->store, false);
	store_disk_free(w->disk);
	arena_fini(&w->arena);
	for (size_t i = 0; i < w->sealed_count; i++) {
		buf_fini(&w->sealed[i]);
	}
}

static struct txn *begin(struct world *w)
{
	arena_reset(&w->arena);
	return txn_begin(w->overlay, &w->arena);
}

static void open_batch(struct world *w)
{
	overlay_open(w->overlay, w->next_index, 1000 + w->next_index);
	w->next_index++;
}

static void seal(struct world *w)
{
	w->sealed_index[w->sealed_count] = overlay_open_index(w->overlay);
	struct buf *payload = &w->sealed[w->sealed_count++];
	buf_init(payload, LIMIT_ENTRY);
	overlay_seal(w->overlay, payload);
}

static void apply_payload(struct world *w, uint64_t index, struct slice payload)
{
	struct entry_view view;
	if (entry_check(payload, &view) != 0) {
		fatal("a sealed payload does not verify");
	}
	struct store_meta meta = {.index = index, .term = 1};
	if (store_apply(w->store, &view, &meta, NULL) != 0) {
		fatal("cannot apply");
	}
}

/* Writes the oldest sealed batch to the store; the overlay still has it. Returns its index. */
static uint64_t apply(struct world *w)
{
	uint64_t index = w->sealed_index[0];
	apply_payload(w, index, buf_slice(&w->sealed[0]));
	buf_fini(&w->sealed[0]);
	w->sealed_count--;
	memmove(&w->sealed[0], &w->sealed[1], w->sealed_count * sizeof(w->sealed[0]));
	memmove(&w->sealed_index[0], &w->sealed_index[1], w->sealed_count * sizeof(w->sealed_index[0]));
	return index;
}

static void put(struct txn *txn, const char *key, const char *value)
{
	if (txn_put(txn, slice_str(key), slice_str(value)) != 0) {
		fatal("cannot put");
	}
}

/* One committed write. */
static void put_alone(struct world *w, const char *key, const char *value)
{
	struct txn *txn = begin(w);
	put(txn, key, value);
	txn_commit(txn);
}

/* want NULL: absent. */
static bool reads(struct txn *txn, const char *key, const char *want)
{
	struct slice value;
	int status = txn_get(txn, slice_str(key), &value);
	if (status != 0) {
		return status == ERR_NOT_FOUND && want == NULL;
	}
	return want != NULL && slice_equal(value, slice_str(want));
}

static bool reads_hot(struct txn *txn, const char *key, const char *want)
{
	struct slice value;
	int status = txn_get_hot(txn, slice_str(key), &value);
	if (status != 0) {
		return status == ERR_NOT_FOUND && want == NULL;
	}
	return want != NULL && slice_equal(value, slice_str(want));
}

/* ---- stories ---- */

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
	ok(txn_view_open(txn, SLICE_NONE, SLICE_NONE, SIZE_MAX) == NULL,
	   "a view copies so much of what waits to be applied, no more");
	struct txn_view *view = txn_view_open(txn, SLICE_NONE, SLICE_NONE, 8);
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

/* ---- a life beside a naive twin ---- */

#define KEYS 90
#define LAYERS_MAX 12

struct row {
	bool present;
	uint32_t value;
	uint64_t index; /* of the layer that wrote it last, 0: applied and forgotten */
	bool own;       /* by the running transaction */
};
#define VIEWS 3
#define HEAD_MAX 4 /* of values a view keeps */

struct twin {
	struct row view[KEYS];    /* as the next transaction sees it */
	struct row applied[KEYS]; /* the store */
	struct row before[KEYS];  /* the view when the transaction began */
	struct row marked[KEYS];
	bool has_mark;
	struct txn_mark mark;
	struct {
		uint64_t index;
		bool wrote[KEYS];
		struct row rows[KEYS];
	} layers[LAYERS_MAX]; /* sealed, oldest first */
	size_t layer_count;
	bool open_wrote[KEYS];
	bool joined;
	uint64_t applied_index;
	uint64_t read_index;
	struct {
		struct txn_view *view; /* NULL: none is kept here */
		size_t low, high;
		struct row rows[KEYS]; /* as it was when the view was opened */
	} views[VIEWS];
	size_t views_checked;
	size_t failures;
};

/* Keys with long common beginnings, some of them beginnings of others, some with zeroes. */
static struct slice key_of(size_t k, uint8_t *bytes)
{
	static const char *const stems[] = {
		"r", "rows:orders:2026-11-11:", "rows:orders:2026-11-11:campaign:00000001:"};
	size_t len = (size_t)sprintf((char *)bytes, "%s", stems[k % 3]);
	size_t n = k / 3;
	for (size_t i = 0; i < n % 5; i++) {
		bytes[len++] = 0;
	}
	if (n / 5 != 0) {
		bytes[len++] = (uint8_t)(200 - n / 5 * 31);
	}
	return slice_of(bytes, len);
}

static struct slice value_of(uint32_t value, char *text)
{
	size_t pad = value % 7 == 0 ? 0 : value % 40;
	return slice_of(text, (size_t)sprintf(text, "%u%*s", value, (int)pad, ""));
}

static void expect(struct twin *t, bool cond, const char *what)
{
	if (!cond) {
		t->failures++;
		tap_note("differs: %s", what);
	}
}

static void twin_write(struct twin *t, size_t k, bool present, uint32_t value, uint64_t index)
{
	t->view[k] = (struct row){present, value, index, true};
}

static void twin_read(struct twin *t, size_t k)
{
	if (!t->view[k].own && t->view[k].index > t->read_index) {
		t->read_index = t->view[k].index;
	}
}

static bool same_value(const struct row *row, struct slice value)
{
	char text[80];
	return slice_equal(value, value_of(row->value, text));
}

static void check_get(struct twin *t, struct txn *txn, size_t k, bool hot)
{
	uint8_t bytes[80];
	struct slice key = key_of(k, bytes), value = SLICE_NONE;
	int status = hot ? txn_get_hot(txn, key, &value) : txn_get(txn, key, &value);
	twin_read(t, k);
	expect(t, status == (t->view[k].present ? 0 : ERR_NOT_FOUND), "presence");
	expect(t, !t->view[k].present || same_value(&t->view[k], value), "value");
}

static size_t by_key[KEYS]; /* key numbers in the order of their keys; test only */

static int compare_keys(const void *a, const void *b)
{
	uint8_t left[80], right[80];
	return slice_compare(key_of(*(const size_t *)a, left), key_of(*(const size_t *)b, right));
}

/* Walks a random range, sometimes writing behind or at the walk's place, as a sweeper does. */
static void check_scan(struct twin *t, struct txn *txn, struct prng *prng)
{
	size_t low = prng_below(prng, KEYS), high = low + prng_below(prng, KEYS + 1 - low);
	bool backward = prng_chance(prng, 1, 2), to_the_end = high == KEYS;
	bool sweeps = txn_index(txn) != 0 && prng_chance(prng, 1, 4);
	uint8_t from_bytes[80], to_bytes[80], bytes[80];
	struct slice from = key_of(by_key[low], from_bytes);
	struct slice to = to_the_end ? SLICE_LIT("s") : key_of(by_key[high], to_bytes);
	struct txn_cursor *cursor = txn_cursor_open(txn, from, to, backward);
	bool stopped = false;
	for (size_t i = low; i < high && !stopped; i++) {
		size_t k = by_key[backward ? high - 1 - (i - low) : i];
		twin_read(t, k);
		if (!t->view[k].present) {
			continue;
		}
		struct slice key, value;
		bool got = txn_cursor_next(cursor, &key, &value);
		expect(t, got && slice_equal(key, key_of(k, bytes)), "the walk's key");
		expect(t, got && same_value(&t->view[k], value), "the walk's value");
		if (sweeps && prng_chance(prng, 1, 2)) {
			struct txn_mark mark = txn_mark(txn);
			txn_delete(txn, key_of(k, bytes));
			if (prng_chance(prng, 1, 3)) {
				txn_rollback(txn, mark);
			} else {
				twin_write(t, k, false, 0, txn_index(txn));
			}
			t->has_mark = false;
		}
		stopped = !got;
	}
	struct slice key, value;
	expect(t, stopped || !txn_cursor_next(cursor, &key, &value), "the walk's end");
	txn_cursor_close(cursor);
}

/* One that was kept is walked: whatever happened since, it shows what was there. */
static void check_view(struct twin *t, size_t at)
{
	struct slice key, value;
	struct txn_view *view = t->views[at].view;
	for (size_t i = t->views[at].low; view != NULL && i < t->views[at].high; i++) {
		const struct row *row = &t->views[at].rows[by_key[i]];
		uint8_t bytes[80];
		char text[80];
		struct slice whole = value_of(row->value, text);
		if (!row->present) {
			continue;
		}
		bool got = txn_view_next(view, &key, &value);
		expect(t, got && slice_equal(key, key_of(by_key[i], bytes)), "a view's key");
		size_t head = whole.len < HEAD_MAX ? whole.len : HEAD_MAX;
		expect(t, !got || (value.len >= head && memcmp(value.data, whole.data, head) == 0),
		       "a view's value");
	}
	expect(t, view == NULL || (!txn_view_next(view, &key, &value) && txn_view_error(view) == 0),
	       "a view's end");
	txn_view_close(view);
	t->views[at].view = NULL;
	t->views_checked += view != NULL;
}

static void keep_view(struct twin *t, struct txn *txn, struct prng *prng)
{
	size_t at = prng_below(prng, VIEWS);
	size_t low = prng_below(prng, KEYS), high = low + prng_below(prng, KEYS + 1 - low);
	uint8_t from[80], to[80];
	check_view(t, at);
	t->views[at].low = low;
	t->views[at].high = high;
	memcpy(t->views[at].rows, t->view, sizeof(t->view));
	for (size_t i = low; i < high; i++) {
		twin_read(t, by_key[i]);
	}
	t->views[at].view = txn_view_open(txn, key_of(by_key[low], from),
					  high == KEYS ? SLICE_LIT("s") : key_of(by_key[high], to), HEAD_MAX);
	expect(t, t->views[at].view != NULL, "a view opens");
}

static void random_write(struct twin *t, struct txn *txn, struct prng *prng)
{
	uint8_t bytes[80];
	char text[80];
	size_t k = prng_below(prng, KEYS);
	struct slice key = key_of(k, bytes);
	if (prng_chance(prng, 1, 4)) {
		expect(t, txn_delete(txn, key) == 0, "a delete");
		twin_write(t, k, false, 0, txn_index(txn));
	} else {
		uint32_t value = (uint32_t)prng_below(prng, 100000);
		expect(t, txn_put(txn, key, value_of(value, text)) == 0, "a put");
		twin_write(t, k, true, value, txn_index(txn));
	}
}

static void random_transaction(struct world *w, struct twin *t, struct prng *prng)
{
	struct txn *txn = begin(w);
	memcpy(t->before, t->view, sizeof(t->view));
	t->has_mark = false;
	t->read_index = 0;
	size_t steps = prng_below(prng, 12);
	bool writes = overlay_is_open(w->overlay) && prng_chance(prng, 3, 4);
	for (size_t i = 0; i < steps; i++) {
		uint64_t dice = prng_below(prng, 11);
		if (dice == 10) {
			keep_view(t, txn, prng);
		} else if (dice < 3) {
			check_get(t, txn, prng_below(prng, KEYS), false);
		} else if (dice < 4) {
			check_get(t, txn, prng_below(prng, KEYS / 4), true);
		} else if (dice < 5) {
			check_scan(t, txn, prng);
		} else if (writes && dice < 8) {
			random_write(t, txn, prng);
		} else if (writes && dice < 9) {
			t->mark = txn_mark(txn);
			t->has_mark = true;
			memcpy(t->marked, t->view, sizeof(t->view));
		} else if (writes && t->has_mark) {
			txn_rollback(txn, t->mark);
			memcpy(t->view, t->marked, sizeof(t->view));
		}
	}
	/* A row rolled back to is another's again, which the twin's copy knows. */
	expect(t, txn_read_index(txn) == t->read_index, "the index to wait for");
	if (prng_chance(prng, 1, 4)) {
		txn_abort(txn);
		memcpy(t->view, t->before, sizeof(t->view));
		return;
	}
	t->joined = t->joined || txn_wrote(txn);
	txn_commit(txn);
	for (size_t k = 0; k < KEYS; k++) {
		t->open_wrote[k] = t->open_wrote[k] || t->view[k].own;
		t->view[k].own = false;
	}
}

/* What was sealed must be what the twin's open layer has, in order. */
static void check_payload(struct twin *t, struct slice payload)
{
	struct entry_view view;
	expect(t, entry_check(payload, &view) == 0, "a payload that verifies");
	size_t at = 0;
	struct slice key, value;
	bool deleted;
	for (size_t i = 0; i < KEYS; i++) {
		size_t k = by_key[i];
		if (!t->open_wrote[k]) {
			continue;
		}
		uint8_t bytes[80];
		bool got = entry_next(&view, &at, &key, &value, &deleted);
		expect(t, got && slice_equal(key, key_of(k, bytes)), "a record's key");
		expect(t, got && deleted == !t->view[k].present, "a record's kind");
		expect(t, !got || deleted || same_value(&t->view[k], value), "a record's value");
	}
	expect(t, !entry_next(&view, &at, &key, &value, &deleted), "the last record");
}

static void seal_both(struct world *w, struct twin *t)
{
	seal(w);
	check_payload(t, buf_slice(&w->sealed[w->sealed_count - 1]));
	size_t n = t->layer_count++;
	t->layers[n].index = w->sealed_index[w->sealed_count - 1];
	memcpy(t->layers[n].wrote, t->open_wrote, sizeof(t->open_wrote));
	memcpy(t->layers[n].rows, t->view, sizeof(t->view));
	memset(t->open_wrote, 0, sizeof(t->open_wrote));
	t->joined = false;
}

static void forget_both(struct world *w, struct twin *t, uint64_t index)
{
	overlay_forget(w->overlay, index);
	for (size_t k = 0; k < KEYS; k++) {
		if (t->view[k].index <= index) {
			t->view[k].index = 0;
		}
	}
	size_t gone = 0;
	while (gone < t->layer_count && t->layers[gone].index <= index) {
		gone++;
	}
	t->layer_count -= gone;
	memmove(&t->layers[0], &t->layers[gone], t->layer_count * sizeof(t->layers[0]));
}

static void apply_both(struct world *w, struct twin *t)
{
	t->applied_index = apply(w);
	size_t n = 0;
	while (t->layers[n].index != t->applied_index) {
		n++;
	}
	for (size_t k = 0; k < KEYS; k++) {
		if (t->layers[n].wrote[k]) {
			t->applied[k] = t->layers[n].rows[k];
		}
	}
}

static void drop_both(struct world *w, struct twin *t)
{
	overlay_drop(w->overlay);
	while (w->sealed_count > 0) {
		buf_fini(&w->sealed[--w->sealed_count]);
	}
	for (size_t k = 0; k < KEYS; k++) {
		t->view[k] = t->applied[k];
		t->view[k].index = 0;
	}
	memset(t->open_wrote, 0, sizeof(t->open_wrote));
	t->layer_count = 0;
	t->joined = false;
	/* The store must not go back; the next leader's entries come after. */
	struct store_meta meta;
	store_meta(w->store, &meta, NULL);
	w->next_index = meta.index + 1;
}

/* An entry of another leader, applied while we follow. */
static void follow(struct world *w, struct twin *t, struct prng *prng)
{
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 1);
	for (size_t i = 0; i < KEYS; i++) {
		if (prng_chance(prng, 1, 20)) {
			uint8_t bytes[80];
			char text[80];
			uint32_t value = (uint32_t)prng_below(prng, 100000);
			entry_put(&payload, key_of(by_key[i], bytes), value_of(value, text));
			t->applied[by_key[i]] = t->view[by_key[i]] = (struct row){true, value, 0, false};
		}
	}
	entry_end(&payload);
	apply_payload(w, w->next_index++, buf_slice(&payload));
	buf_fini(&payload);
}

static size_t live(uint64_t seed, size_t steps)
{
	struct world w;
	world_init(&w);
	struct twin *t = calloc(1, sizeof(*t));
	struct prng prng;
	prng_init(&prng, seed);
	for (size_t i = 0; i < steps && t->failures == 0; i++) {
		uint64_t dice = prng_below(&prng, 100);
		if (!overlay_is_open(w.overlay) && t->layer_count < LAYERS_MAX && dice < 60) {
			open_batch(&w);
		} else if (dice < 70) {
			random_transaction(&w, t, &prng);
		} else if (dice < 85) {
			if (overlay_is_open(w.overlay) && t->joined) {
				seal_both(&w, t);
			}
		} else if (dice < 94) {
			if (w.sealed_count > 0) {
				apply_both(&w, t);
			}
		} else if (dice < 98) {
			forget_both(&w, t, t->applied_index);
		} else if (dice < 99) {
			drop_both(&w, t);
			for (uint64_t n = prng_below(&prng, 3); n > 0; n--) {
				follow(&w, t, &prng);
				random_transaction(&w, t, &prng);
			}
		}
	}
	for (size_t at = 0; at < VIEWS; at++) {
		check_view(t, at);
	}
	expect(t, t->views_checked > steps / 20, "views were walked");
	size_t failures = t->failures;
	free(t);
	world_fini(&w);
	return failures;
}

static void test_lives(void)
{
	for (size_t k = 0; k < KEYS; k++) {
		by_key[k] = k;
	}
	qsort(by_key, KEYS, sizeof(by_key[0]), compare_keys);
	const char *steps = getenv("TXN_STEPS");
	for (uint64_t seed = 1; seed <= 6; seed++) {
		is_int(live(seed, steps != NULL ? strtoul(steps, NULL, 10) : 4000), 0,
		       "a life of 4000 steps differs nowhere from its twin's (seed %llu)",
		       (unsigned long long)seed);
	}
}

int main(void)
{
	test_levels();
	test_time_and_place();
	test_marks();
	test_borrowed();
	test_hot();
	test_hot_bound();
	test_hot_second_chance();
	test_hot_all_used();
	test_hot_by_use();
	test_hot_bytes();
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
	test_lives();
	return tap_done();
}

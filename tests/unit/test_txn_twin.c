/* Random lives of an overlay beside a naive twin. */
#include "tests/unit/txn_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "tests/lib/tap.h"
#include "txn/view.h"
#include "wire/entry.h"

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

/* Deletes or puts a key; sometimes takes that back. */
static void write_in_walk(struct twin *t, struct txn *txn, size_t k, struct prng *prng)
{
	uint8_t bytes[80];
	char text[80];
	bool put = prng_chance(prng, 1, 3);
	uint32_t value = (uint32_t)prng_below(prng, 1000);
	struct txn_mark mark = txn_mark(txn);
	if (put) {
		txn_put(txn, key_of(k, bytes), value_of(value, text));
	} else {
		txn_delete(txn, key_of(k, bytes));
	}
	if (prng_chance(prng, 1, 3)) {
		txn_rollback(txn, mark);
	} else {
		twin_write(t, k, put, value, txn_index(txn));
	}
	t->has_mark = false;
}

/* Walks a random range, sometimes writing at the walk's place or ahead of it, as a sweeper does. */
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
			size_t at = prng_chance(prng, 1, 2) ? i : i + prng_below(prng, high - i);
			write_in_walk(t, txn, by_key[backward ? high - 1 - (at - low) : at], prng);
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
					  high == KEYS ? SLICE_LIT("s") : key_of(by_key[high], to), HEAD_MAX,
					  0);
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
	for (uint64_t seed = 1; seed <= 6; seed++) {
		is_int(live(seed, 4000), 0,
		       "a life of 4000 steps differs nowhere from its twin's (seed %llu)",
		       (unsigned long long)seed);
	}
}

int main(void)
{
	test_lives();
	return tap_done();
}

/* The payload of a log entry: round trip, damage, and RocksDB's view of the same bytes. */
#include "wire/entry.h"

#include <rocksdb/c.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

/* A batch of random records with ascending keys: deterministic for a seed. */
static void random_payload(struct buf *out, uint64_t seed, size_t records)
{
	struct prng prng;
	prng_init(&prng, seed);
	buf_reset(out);
	entry_begin(out, ENTRY_BATCH, 1762790400000 + seed);
	uint8_t bytes[400];
	for (size_t i = 0; i < records; i++) {
		uint8_t key[200] = {'k', (uint8_t)(i >> 8), (uint8_t)i};
		size_t key_len = 3 + prng_below(&prng, 190);
		prng_fill(&prng, key + 3, key_len - 3);
		size_t len = prng_below(&prng, sizeof(bytes));
		prng_fill(&prng, bytes, len);
		if (prng_chance(&prng, 1, 4)) {
			entry_delete(out, slice_of(key, key_len));
		} else {
			entry_put(out, slice_of(key, key_len), slice_of(bytes, len));
		}
	}
	ok(entry_end(out), "a payload of %zu records is built", records);
}

/* What RocksDB saw of a batch, compared record by record with entry_next. */
struct witness {
	const struct entry_view *view;
	size_t at;
	bool same;
};

static void compare(struct witness *w, const char *key, size_t key_len, const char *value, size_t value_len,
		    bool gone)
{
	struct slice our_key, our_value;
	bool our_gone;
	if (!entry_next(w->view, &w->at, &our_key, &our_value, &our_gone)) {
		w->same = false;
		return;
	}
	w->same = w->same && our_gone == gone && slice_equal(our_key, slice_of(key, key_len)) &&
		  slice_equal(our_value, slice_of(value, value_len));
}

static void put_cb(void *state, const char *key, size_t key_len, const char *value, size_t value_len)
{
	compare(state, key, key_len, value, value_len, false);
}

static void delete_cb(void *state, const char *key, size_t key_len)
{
	compare(state, key, key_len, NULL, 0, true);
}

static bool rocksdb_sees_the_same(const struct entry_view *view)
{
	struct witness witness = {view, 0, true};
	rocksdb_writebatch_t *batch =
		rocksdb_writebatch_create_from((const char *)view->batch.data, view->batch.len);
	bool count_is_right = rocksdb_writebatch_count(batch) == (int)view->count;
	rocksdb_writebatch_iterate(batch, &witness, put_cb, delete_cb);
	rocksdb_writebatch_destroy(batch);
	struct slice key, value;
	bool deleted;
	bool at_end = !entry_next(view, &witness.at, &key, &value, &deleted);
	return count_is_right && witness.same && at_end;
}

static void test_round_trip(void)
{
	struct buf out;
	buf_init(&out, LIMIT_ENTRY);
	entry_begin(&out, ENTRY_BATCH, 77);
	entry_put(&out, SLICE_LIT("apple"), SLICE_LIT("red"));
	entry_delete(&out, SLICE_LIT("pear"));
	entry_put(&out, SLICE_LIT("plum"), SLICE_NONE);
	ok(entry_end(&out), "a batch of three is built");

	struct entry_view view;
	is_int(entry_check(buf_slice(&out), &view), 0, "what was built passes the check");
	is_int(view.kind, ENTRY_BATCH, "the kind comes back");
	is_int(view.count, 3, "the count comes back");
	is_int(view.stamp_ms, 77, "the stamp comes back");

	size_t at = 0;
	struct slice key, value;
	bool deleted;
	ok(entry_next(&view, &at, &key, &value, &deleted) && slice_equal(key, SLICE_LIT("apple")) &&
		   slice_equal(value, SLICE_LIT("red")) && !deleted,
	   "the first record is the put");
	ok(entry_next(&view, &at, &key, &value, &deleted) && slice_equal(key, SLICE_LIT("pear")) &&
		   value.len == 0 && deleted,
	   "the second is the delete");
	ok(entry_next(&view, &at, &key, &value, &deleted) && slice_equal(key, SLICE_LIT("plum")) &&
		   value.len == 0 && !deleted,
	   "an empty value is a put all the same");
	ok(!entry_next(&view, &at, &key, &value, &deleted), "there is no fourth");

	buf_reset(&out);
	entry_begin(&out, ENTRY_OPEN, 1);
	ok(entry_end(&out) && entry_check(buf_slice(&out), &view) == 0,
	   "an OPEN entry writes nothing and is sound");
	is_int(view.count, 0, "it has no record");
	buf_fini(&out);
}

static void test_rocksdb_agrees(void)
{
	struct buf out;
	buf_init(&out, LIMIT_ENTRY);
	bool all = true;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		random_payload(&out, seed, 1 + seed * 37);
		struct entry_view view;
		all = all && entry_check(buf_slice(&out), &view) == 0 && rocksdb_sees_the_same(&view);
	}
	ok(all, "RocksDB's view of a batch equals ours, record by record");
	buf_fini(&out);
}

static void test_truncation(void)
{
	struct buf out;
	buf_init(&out, LIMIT_ENTRY);
	random_payload(&out, 9, 24);
	size_t refused = 0;
	for (size_t len = 0; len < out.len; len++) {
		struct entry_view view;
		uint8_t *exact = malloc(len + 1); /* a reader past the end is seen by ASan */
		memcpy(exact, out.data, len);
		refused += entry_check(slice_of(exact, len), &view) != 0;
		free(exact);
	}
	is_int(refused, out.len, "every truncation of a payload is refused");

	struct entry_view view;
	buf_append_byte(&out, 0);
	is_int(entry_check(buf_slice(&out), &view), ERR_CORRUPT, "a byte behind the last record is refused");
	buf_fini(&out);
}

static void test_damage(void)
{
	struct buf out;
	buf_init(&out, LIMIT_ENTRY);
	random_payload(&out, 10, 16);
	size_t refused = 0, sound = 0, wrong = 0;
	for (size_t i = 0; i < out.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			struct entry_view view;
			out.data[i] ^= (uint8_t)(1u << bit);
			int status = entry_check(buf_slice(&out), &view);
			if (status != 0) {
				refused++;
			} else if (rocksdb_sees_the_same(&view)) {
				sound++;
			} else {
				wrong++;
			}
			out.data[i] ^= (uint8_t)(1u << bit);
		}
	}
	is_int(wrong, 0, "every flipped bit is refused or leaves a batch that RocksDB reads as we do");
	ok(refused > 0 && sound > 0, "both happen (%zu refused, %zu sound)", refused, sound);
	buf_fini(&out);
}

static void test_what_is_refused(void)
{
	struct buf out;
	struct entry_view view;
	buf_init(&out, LIMIT_ENTRY);
	entry_begin(&out, ENTRY_BATCH, 5);
	entry_put(&out, SLICE_LIT("a"), SLICE_LIT("1"));
	entry_put(&out, SLICE_LIT("b"), SLICE_LIT("2"));
	entry_end(&out);
	out.data[0] = 2;
	is_int(entry_check(buf_slice(&out), &view), ERR_VERSION,
	       "a version we do not speak has a code of its own");
	out.data[0] = 1;

	const size_t first_key = ENTRY_HEAD + 12 + 2;
	out.data[first_key] = 'b';
	is_int(entry_check(buf_slice(&out), &view), ERR_CORRUPT, "a key twice is refused");
	out.data[first_key] = 'c';
	is_int(entry_check(buf_slice(&out), &view), ERR_CORRUPT, "descending keys are refused");
	out.data[first_key] = 'a';
	is_int(entry_check(buf_slice(&out), &view), 0, "and put right again it passes");

	/* RocksDB knows many more kinds of records: merge, column families, log data, … */
	size_t refused = 0;
	for (unsigned kind = 2; kind < 256; kind++) {
		out.data[ENTRY_HEAD + 12] = (uint8_t)kind;
		refused += entry_check(buf_slice(&out), &view) == ERR_CORRUPT;
	}
	is_int(refused, 254, "every record that is neither put nor delete is refused");

	/* "a" with a length of one byte, spelled in two: 0x81 0x00. */
	static const uint8_t longer[] = {0x00, 0x81, 0x00, 'a'};
	buf_reset(&out);
	entry_begin(&out, ENTRY_BATCH, 5);
	entry_delete(&out, SLICE_LIT("a"));
	entry_end(&out);
	out.len = ENTRY_HEAD + 12;
	buf_append(&out, longer, sizeof(longer));
	is_int(entry_check(buf_slice(&out), &view), ERR_CORRUPT,
	       "a length not in its shortest spelling is refused");
	buf_fini(&out);
}

static void test_bounds(void)
{
	struct buf out;
	buf_init(&out, 200);
	entry_begin(&out, ENTRY_BATCH, 5);
	uint8_t value[300] = {0};
	entry_put(&out, SLICE_LIT("a"), slice_of(value, sizeof(value)));
	ok(!entry_end(&out), "a payload over the buffer's maximum says so at its end");
	buf_fini(&out);

	buf_init(&out, 2 * LIMIT_ENTRY);
	uint8_t *big = calloc(1, LIMIT_ENTRY);
	struct entry_view view;
	entry_begin(&out, ENTRY_BATCH, 5);
	entry_put(&out, SLICE_LIT("a"), slice_of(big, LIMIT_ENTRY));
	entry_end(&out);
	is_int(entry_check(buf_slice(&out), &view), ERR_CORRUPT, "a payload over LIMIT_ENTRY is refused");
	buf_reset(&out);
	entry_begin(&out, ENTRY_BATCH, 5);
	entry_delete(&out, slice_of(big, LIMIT_ROW_KEY));
	entry_end(&out);
	is_int(entry_check(buf_slice(&out), &view), 0, "a key of LIMIT_ROW_KEY bytes passes");
	free(big);
	buf_fini(&out);
}

static void test_sharing(void)
{
	struct entry *e = entry_new(ENTRY_COMMAND, SLICE_LIT("payload"));
	ok(entry_ref(e) == e, "a reference is the entry itself");
	entry_unref(e);
	ok(slice_equal(entry_payload(e), SLICE_LIT("payload")),
	   "the entry lives while one reference is left");
	is_int(e->type, ENTRY_COMMAND, "its type is kept");
	entry_unref(e);
	entry_unref(NULL);
	e = entry_new(ENTRY_BARRIER, SLICE_NONE);
	is_int(e->len, 0, "a barrier has no payload");
	entry_unref(e);
}

int main(void)
{
	test_round_trip();
	test_rocksdb_agrees();
	test_truncation();
	test_damage();
	test_what_is_refused();
	test_bounds();
	test_sharing();
	return tap_done();
}

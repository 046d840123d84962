#include "engine/once.h"

#include <stdio.h>

#include "tests/lib/tap.h"

static void test_records(void)
{
	struct arena arena;
	arena_init(&arena, 1024);
	struct once_record r = {.fingerprint = {7, 9},
				.index = 88213,
				.ordinal = 4,
				.stamp_ms = 1700000000123,
				.outcome = OUTCOME_REFUSED,
				.reply = SLICE_LIT("-SOLD_OUT {}\r\n")};
	struct once_record back = {0};
	struct slice bytes = once_encode(&r, &arena);
	is_int(once_decode(bytes, &back), 0, "a record decodes");
	ok(chain_equal(back.fingerprint, r.fingerprint), "to the same fingerprint");
	ok(back.index == r.index && back.ordinal == r.ordinal && back.stamp_ms == r.stamp_ms,
	   "place and time");
	ok(back.outcome == r.outcome && slice_equal(back.reply, r.reply), "outcome and reply");
	for (size_t len = 0; len <= 40; len++) {
		if (once_decode(slice_of(bytes.data, len), &back) != ERR_CORRUPT) {
			ok(false, "a record cut to %zu bytes is corrupt", len);
		}
	}
	ok(true, "a record cut anywhere in its head is corrupt");
	uint8_t bad[64];
	memcpy(bad, bytes.data, bytes.len);
	bad[0] = 2;
	is_int(once_decode(slice_of(bad, bytes.len), &back), ERR_CORRUPT, "another version is not read");
	bad[0] = 1;
	bad[1] = OUTCOME_RETRY;
	is_int(once_decode(slice_of(bad, bytes.len), &back), ERR_CORRUPT, "a retry is never kept");
	arena_fini(&arena);
}

static void test_keys(void)
{
	uint8_t a[ONCE_KEY_MAX], b[ONCE_KEY_MAX];
	struct slice one = once_key(a, SLICE_LIT("ab"), SLICE_LIT("c"));
	struct slice two = once_key(b, SLICE_LIT("a"), SLICE_LIT("bc"));
	ok(!slice_equal(one, two), "user and id do not run into each other");
	is_int(one.len, 5, "a key is table, length, user and id");
}

static void test_id_times(void)
{
	uint64_t ms = 0;
	ok(once_id_time(SLICE_LIT("018bcfe5-6800-7abc-8def-0123456789ab"), &ms),
	   "a UUID of version 7 carries a time");
	is_int(ms, 0x018bcfe56800, "in its first 48 bits");
	ok(once_id_time(SLICE_LIT("018BCFE5-6800-7ABC-BDEF-0123456789AB"), &ms), "in capitals too");
	ok(!once_id_time(SLICE_LIT("018bcfe5-6800-4abc-8def-0123456789ab"), &ms), "version 4 does not");
	ok(!once_id_time(SLICE_LIT("018bcfe5-6800-7abc-cdef-0123456789ab"), &ms), "nor another variant");
	ok(!once_id_time(SLICE_LIT("018bcfe5-6800-7abc-8def-0123456789ag"), &ms),
	   "nor something with a g in it");
	ok(!once_id_time(SLICE_LIT("018bcfe5x6800-7abc-8def-0123456789ab"), &ms),
	   "nor one without its dashes");
	ok(once_id_time(SLICE_LIT("01HF7YAT00ABCDEFGHJKMNPQRS"), &ms), "a ULID carries a time");
	is_int(ms, 1700000000000, "in its first ten letters");
	ok(!once_id_time(SLICE_LIT("01HF7YAT00ABCDEFGHIJKMNPQR"), &ms), "I is not a letter of a ULID");
	ok(!once_id_time(SLICE_LIT("7ZZZZZZZZZABCDEFGHJKMNPQRS"), &ms),
	   "a time after 2100 is taken for chance");
	ok(!once_id_time(SLICE_LIT("o-1001"), &ms), "an order's number carries none");
	ok(!once_id_time(SLICE_LIT("01HF7YAT00\0BCDEFGHJKMNPQRS"), &ms), "nor does a NUL");
}

static void test_id_checks(void)
{
	const uint64_t now = 1700000000000, day = 24ull * 3600 * 1000;
	char id[64];
	is_int(once_id_check(SLICE_LIT("o-1"), now, day), CODE_NONE, "an id without a time may run");
	snprintf(id, sizeof id, "01HF7YAT00ABCDEFGHJKMNPQRS");
	is_int(once_id_check(slice_str(id), now, day), CODE_NONE, "one made now may run");
	is_int(once_id_check(slice_str(id), now + day, day), CODE_NONE, "one as old as the retention may");
	is_int(once_id_check(slice_str(id), now + day + 1, day), CODE_ID_TOO_OLD, "an older one may not");
	is_int(once_id_check(slice_str(id), now - 600000, day), CODE_NONE, "one ten minutes ahead may run");
	is_int(once_id_check(slice_str(id), now - 600001, day), CODE_ID_IN_FUTURE,
	       "one further ahead may not");
}

int main(void)
{
	test_records();
	test_keys();
	test_id_times();
	test_id_checks();
	return tap_done();
}

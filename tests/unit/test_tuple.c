/* Ordered keys against the order of the values they stand for. */
#include "wire/tuple.h"

#include "base/prng.h"
#include "tests/lib/tap.h"

struct twin {
	struct tuple_item items[3];
	uint8_t texts[3][8];
};

static int compare_item(const struct tuple_item *a, const struct tuple_item *b)
{
	if (a->kind != b->kind) {
		return a->kind < b->kind ? -1 : 1;
	}
	if (a->kind == TUPLE_TEXT) {
		return slice_compare(a->text, b->text);
	}
	if (a->kind == TUPLE_NOTHING) {
		return 0;
	}
	return a->integer < b->integer ? -1 : a->integer > b->integer;
}

static int64_t draw_int(struct prng *prng)
{
	int64_t edge[] = {0, 1, -1, 255, 256, -255, -256, INT64_MAX, INT64_MIN, INT64_MIN + 1, 65535, -65536};
	uint64_t r = prng_next(prng);
	if (r % 2 == 0) {
		return edge[r / 2 % (sizeof edge / sizeof edge[0])];
	}
	return (int64_t)(prng_next(prng) >> (r / 2 % 64)) * (r & 128 ? -1 : 1);
}

static void draw(struct prng *prng, struct twin *twin)
{
	for (int i = 0; i < 3; i++) {
		struct tuple_item *item = &twin->items[i];
		item->kind = (enum tuple_kind)(prng_next(prng) % 4);
		item->integer = item->kind == TUPLE_BOOL ? (int64_t)(prng_next(prng) % 2) : draw_int(prng);
		size_t len = prng_next(prng) % 5;
		for (size_t k = 0; k < len; k++) {
			static const uint8_t letters[] = {0, 1, 'a', 'b', 0xff, 0x20};
			twin->texts[i][k] = letters[prng_next(prng) % sizeof letters];
		}
		item->text = slice_of(twin->texts[i], len);
	}
}

static size_t encode(const struct twin *twin, uint8_t *out)
{
	uint8_t *at = out;
	for (int i = 0; i < 3; i++) {
		const struct tuple_item *item = &twin->items[i];
		switch (item->kind) {
		case TUPLE_NOTHING:
			at = tuple_write_nothing(at);
			break;
		case TUPLE_BOOL:
			at = tuple_write_bool(at, item->integer != 0);
			break;
		case TUPLE_INT:
			at = tuple_write_int(at, item->integer);
			break;
		case TUPLE_TEXT:
			at = tuple_write_text(at, item->text);
			break;
		}
	}
	return (size_t)(at - out);
}

static bool decodes_to(struct slice key, const struct twin *twin)
{
	for (int i = 0; i < 3; i++) {
		struct tuple_item item;
		uint8_t plain[32];
		if (tuple_read(&key, &item) != 0) {
			return false;
		}
		if (item.kind == TUPLE_TEXT) {
			item.text = slice_of(plain, tuple_unescape(item.text, plain));
		}
		if (compare_item(&item, &twin->items[i]) != 0) {
			return false;
		}
	}
	return key.len == 0;
}

int main(void)
{
	struct prng prng;
	prng_init(&prng, 7);
	bool ordered = true, round = true, within = true, junk = true;
	for (int n = 0; n < 200000; n++) {
		struct twin a, b;
		uint8_t key_a[64], key_b[64];
		draw(&prng, &a);
		draw(&prng, &b);
		size_t len_a = encode(&a, key_a), len_b = encode(&b, key_b);
		int want = 0;
		for (int i = 0; i < 3 && want == 0; i++) {
			want = compare_item(&a.items[i], &b.items[i]);
		}
		int got = slice_compare(slice_of(key_a, len_a), slice_of(key_b, len_b));
		ordered = ordered && (want < 0) == (got < 0) && (want == 0) == (got == 0);
		round = round && decodes_to(slice_of(key_a, len_a), &a);

		uint8_t end[64];
		struct slice prefix = slice_of(key_a, prng_next(&prng) % (len_a + 1));
		size_t end_len = tuple_prefix_end(prefix, end);
		within = within &&
			 (end_len == 0 || slice_compare(slice_of(key_a, len_a), slice_of(end, end_len)) < 0);

		/* Any bytes: what is read writes back as the same bytes. */
		uint8_t bytes[12], again[64];
		for (size_t k = 0; k < sizeof bytes; k++) {
			bytes[k] = (uint8_t)(k == 0 ? prng_next(&prng) % 0x24 : prng_next(&prng) % 3 * 127);
		}
		struct slice rest = slice_of(bytes, sizeof bytes);
		struct tuple_item item;
		if (tuple_read(&rest, &item) == 0) {
			struct twin one;
			uint8_t plain[16];
			for (int k = 0; k < 3; k++) {
				one.items[k].kind = TUPLE_NOTHING;
			}
			one.items[0] = item;
			if (item.kind == TUPLE_TEXT) {
				one.items[0].text = slice_of(plain, tuple_unescape(item.text, plain));
			}
			size_t len = encode(&one, again) - 2;
			junk = junk && len == sizeof bytes - rest.len && memcmp(again, bytes, len) == 0;
		} else {
			junk = junk && rest.len == sizeof bytes;
		}
	}
	ok(ordered, "keys compare as their values do");
	ok(round, "what was written is read back");
	ok(within, "a prefix's end lies behind every key that begins with it");
	ok(junk, "a value has one spelling and junk is left alone");
	uint8_t ff[2] = {0xff, 0xff}, end[2];
	is_int(tuple_prefix_end(slice_of(ff, 2), end), 0, "nothing lies behind a prefix of all ones");
	return tap_done();
}

#include "wire/tuple.h"

#define TAG_NOTHING 0x00
#define TAG_FALSE 0x02
#define TAG_TRUE 0x03
#define TAG_ZERO 0x10
#define TAG_TEXT 0x20

uint8_t *tuple_write_nothing(uint8_t *out)
{
	*out = TAG_NOTHING;
	return out + 1;
}

uint8_t *tuple_write_bool(uint8_t *out, bool value)
{
	*out = value ? TAG_TRUE : TAG_FALSE;
	return out + 1;
}

static unsigned magnitude_bytes(uint64_t magnitude)
{
	return magnitude == 0 ? 0 : (unsigned)(71 - __builtin_clzll(magnitude)) / 8;
}

uint8_t *tuple_write_int(uint8_t *out, int64_t value)
{
	bool negative = value < 0;
	uint64_t magnitude = negative ? -(uint64_t)value : (uint64_t)value;
	unsigned n = magnitude_bytes(magnitude);
	uint64_t bits = negative ? ~magnitude : magnitude;

	*out++ = (uint8_t)(negative ? TAG_ZERO - n : TAG_ZERO + n);
	for (unsigned i = n; i > 0; i--) {
		*out++ = (uint8_t)(bits >> (8 * (i - 1)));
	}
	return out;
}

uint8_t *tuple_write_text(uint8_t *out, struct slice text)
{
	*out++ = TAG_TEXT;
	/* Eight bytes at a time until one of them is 00. */
	while (text.len >= 8) {
		uint64_t word;
		memcpy(&word, text.data, 8);
		if (((word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080)) != 0) {
			break;
		}
		memcpy(out, &word, 8);
		out += 8;
		text = slice_skip(text, 8);
	}
	while (text.len > 0) {
		*out++ = text.data[0];
		if (text.data[0] == 0) {
			*out++ = 0xff;
		}
		text = slice_skip(text, 1);
	}
	*out++ = 0;
	return out;
}

static int read_int(struct slice *key, struct tuple_item *item)
{
	uint8_t tag = key->data[0];
	bool negative = tag < TAG_ZERO;
	unsigned n = negative ? TAG_ZERO - tag : tag - TAG_ZERO;
	if (n > 8 || key->len < 1 + (size_t)n) {
		return ERR_CORRUPT;
	}
	uint64_t bits = negative ? UINT64_MAX : 0;
	for (unsigned i = 1; i <= n; i++) {
		bits = bits << 8 | key->data[i];
	}
	uint64_t magnitude = negative ? ~bits : bits;
	uint64_t bound = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	if (magnitude > bound || magnitude_bytes(magnitude) != n) {
		return ERR_CORRUPT;
	}
	item->kind = TUPLE_INT;
	item->integer = (int64_t)(negative ? -magnitude : magnitude);
	*key = slice_skip(*key, 1 + n);
	return 0;
}

static int read_text(struct slice *key, struct tuple_item *item)
{
	size_t at = 1;
	bool escaped = false;
	for (;;) {
		if (at >= key->len) {
			return ERR_CORRUPT;
		}
		const uint8_t *zero = memchr(key->data + at, 0, key->len - at);
		if (zero == NULL) {
			return ERR_CORRUPT;
		}
		at = (size_t)(zero - key->data);
		if (at + 1 >= key->len || key->data[at + 1] != 0xff) {
			break;
		}
		escaped = true;
		at += 2;
	}
	item->kind = TUPLE_TEXT;
	item->text = slice_of(key->data + 1, at - 1);
	item->escaped = escaped;
	*key = slice_skip(*key, at + 1);
	return 0;
}

int tuple_read(struct slice *key, struct tuple_item *item)
{
	if (key->len == 0) {
		return ERR_CORRUPT;
	}
	uint8_t tag = key->data[0];
	if (tag == TAG_TEXT) {
		return read_text(key, item);
	}
	if (tag >= TAG_ZERO - 8 && tag <= TAG_ZERO + 8) {
		return read_int(key, item);
	}
	if (tag == TAG_NOTHING) {
		item->kind = TUPLE_NOTHING;
	} else if (tag == TAG_FALSE || tag == TAG_TRUE) {
		item->kind = TUPLE_BOOL;
		item->integer = tag == TAG_TRUE;
	} else {
		return ERR_CORRUPT;
	}
	*key = slice_skip(*key, 1);
	return 0;
}

size_t tuple_unescape(struct slice text, uint8_t *out)
{
	size_t len = 0;
	for (size_t i = 0; i < text.len; i++) {
		out[len++] = text.data[i];
		if (text.data[i] == 0) {
			i++; /* the ff behind it */
		}
	}
	return len;
}

size_t tuple_prefix_end(struct slice prefix, uint8_t *end)
{
	size_t len = prefix.len;
	memmove(end, prefix.data, len);
	while (len > 0 && end[len - 1] == 0xff) {
		len--;
	}
	if (len > 0) {
		end[len - 1]++;
	}
	return len;
}

/* Every element that decodes encodes to the very same bytes: one spelling a value. */
#include <assert.h>
#include <stdlib.h>

#include "wire/tuple.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t encode(const struct tuple_item *item, uint8_t *out, uint8_t *text)
{
	switch (item->kind) {
	case TUPLE_NOTHING:
		return (size_t)(tuple_write_nothing(out) - out);
	case TUPLE_BOOL:
		return (size_t)(tuple_write_bool(out, item->integer != 0) - out);
	case TUPLE_INT:
		return (size_t)(tuple_write_int(out, item->integer) - out);
	default:
		return (size_t)(tuple_write_text(out, slice_of(text, tuple_unescape(item->text, text))) - out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of(data, size);
	struct tuple_item item;
	uint8_t *out = malloc(2 * size + 16), *text = malloc(size + 1);
	while (rest.len > 0) {
		struct slice before = rest;
		if (tuple_read(&rest, &item) != 0) {
			assert(rest.data == before.data && rest.len == before.len);
			break;
		}
		size_t len = before.len - rest.len;
		assert(encode(&item, out, text) == len);
		assert(memcmp(out, before.data, len) == 0);
	}
	free(out);
	free(text);
	return 0;
}

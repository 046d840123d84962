#include "wire/value.h"

#include <assert.h>

struct value value_new_items(struct arena *arena, enum value_kind kind, size_t count)
{
	assert(kind == VALUE_LIST || kind == VALUE_MAP);
	struct value_items *items = arena_zalloc(arena, sizeof *items);
	items->count = count;
	items->values = arena_zalloc(arena, count * sizeof *items->values);
	if (kind == VALUE_MAP) {
		items->names = arena_zalloc(arena, count * sizeof *items->names);
	}
	return (struct value){.kind = kind, .items = items};
}

const struct value *value_find(const struct value *map, struct slice name)
{
	assert(map->kind == VALUE_MAP);
	for (size_t i = 0; i < map->items->count; i++) {
		if (slice_equal(map->items->names[i], name)) {
			return &map->items->values[i];
		}
	}
	return NULL;
}

static bool items_equal(const struct value *a, const struct value *b)
{
	if (a->items->count != b->items->count) {
		return false;
	}
	for (size_t i = 0; i < a->items->count; i++) {
		if (a->kind == VALUE_MAP && !slice_equal(a->items->names[i], b->items->names[i])) {
			return false;
		}
		if (!value_equal(&a->items->values[i], &b->items->values[i])) {
			return false;
		}
	}
	return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind) {
		return false;
	}
	switch (a->kind) {
	case VALUE_NOTHING:
		return true;
	case VALUE_BOOL:
		return a->boolean == b->boolean;
	case VALUE_INT:
		return a->integer == b->integer;
	case VALUE_REAL:
		return a->real == b->real;
	case VALUE_TEXT:
		return slice_equal(a->text, b->text);
	case VALUE_LIST:
	case VALUE_MAP:
		return items_equal(a, b);
	}
	return false;
}

/* Length of the well-formed sequence at s (s.len > 0), or 0. Table 3-7 of the Unicode standard. */
static size_t utf8_sequence(struct slice s)
{
	uint8_t first = s.data[0];
	uint8_t low = 0x80, high = 0xbf;
	size_t len;
	if (first < 0x80) {
		return 1;
	} else if (first >= 0xc2 && first <= 0xdf) {
		len = 2;
	} else if ((first & 0xf0) == 0xe0) {
		len = 3;
		low = first == 0xe0 ? 0xa0 : 0x80;
		high = first == 0xed ? 0x9f : 0xbf;
	} else if (first >= 0xf0 && first <= 0xf4) {
		len = 4;
		low = first == 0xf0 ? 0x90 : 0x80;
		high = first == 0xf4 ? 0x8f : 0xbf;
	} else {
		return 0;
	}
	if (s.len < len || s.data[1] < low || s.data[1] > high) {
		return 0;
	}
	for (size_t i = 2; i < len; i++) {
		if ((s.data[i] & 0xc0) != 0x80) {
			return 0;
		}
	}
	return len;
}

bool value_is_utf8(struct slice bytes)
{
	while (bytes.len > 0) {
		uint64_t word;
		if (bytes.len >= 8) {
			memcpy(&word, bytes.data, 8);
			if ((word & UINT64_C(0x8080808080808080)) == 0) {
				bytes = slice_skip(bytes, 8);
				continue;
			}
		}
		size_t len = utf8_sequence(bytes);
		if (len == 0) {
			return false;
		}
		bytes = slice_skip(bytes, len);
	}
	return true;
}

/* Neutral values: what arguments, results and JSON have in common. A tree in
 * an arena, its texts borrowed. Depth is at most LIMIT_VALUE_DEPTH wherever one is built. */
#ifndef WIRE_VALUE_H
#define WIRE_VALUE_H

#include "base/arena.h"
#include "base/slice.h"

enum value_kind { VALUE_NOTHING, VALUE_BOOL, VALUE_INT, VALUE_REAL, VALUE_TEXT, VALUE_LIST, VALUE_MAP };

struct value {
	enum value_kind kind;
	union {
		bool boolean;
		int64_t integer;
		double real;
		struct slice text;
		struct value_items *items; /* LIST and MAP */
	};
};
/* LIST: values only. MAP: names too, in the order they were written, each once. */
struct value_items {
	size_t count;
	struct slice *names;
	struct value *values;
};

/* Room for count items (names only for a MAP), to be filled by the caller. */
struct value value_new_items(struct arena *arena, enum value_kind kind, size_t count);
/* NULL when the map has no such name. */
const struct value *value_find(const struct value *map, struct slice name);
bool value_equal(const struct value *a, const struct value *b); /* a map's order matters */
/* True when bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool value_is_utf8(struct slice bytes);

#endif /* WIRE_VALUE_H */

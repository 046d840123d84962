/* Ordered keys: a tuple of typed values as bytes that compare (memcmp) as the
 * values do, element by element. A tuple that begins with the elements of
 * another begins with its bytes, so a prefix of a key is a range.
 *
 *   nothing   00
 *   false     02            true  03
 *   integer   10+n bytes of magnitude, big-endian, shortest: n = 0…8
 *             negative: 10-n, then the magnitude's one's complement
 *   text      20 bytes 00   a 00 inside becomes 00 ff
 *
 * Types sort in this order. Every value has exactly one spelling, which the
 * decoder insists on. */
#ifndef WIRE_TUPLE_H
#define WIRE_TUPLE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum tuple_kind { TUPLE_NOTHING, TUPLE_BOOL, TUPLE_INT, TUPLE_TEXT };

struct tuple_item {
	enum tuple_kind kind;
	int64_t integer;   /* INT; BOOL as 0 or 1 */
	struct slice text; /* TEXT: as it stands in the key, so with 00 ff where escaped is true */
	bool escaped;
};

/* Bytes that one element takes at most. */
#define TUPLE_INT_MAX 9
static inline size_t tuple_text_max(size_t len) { return 2 * len + 2; }

/* Each writes one element at out and returns the place behind it. The caller has made room. */
uint8_t *tuple_write_nothing(uint8_t *out);
uint8_t *tuple_write_bool(uint8_t *out, bool value);
uint8_t *tuple_write_int(uint8_t *out, int64_t value);
uint8_t *tuple_write_text(uint8_t *out, struct slice text);

/* Takes one element from the front of *key (text borrowed from it). ERR_CORRUPT leaves *key as it was. */
int tuple_read(struct slice *key, struct tuple_item *item);
/* Undoes the escapes of a text item into out (text.len bytes are enough). Returns the length. */
size_t tuple_unescape(struct slice text, uint8_t *out);
/* The smallest key behind all keys that begin with prefix, written over *end (prefix.len bytes). Its
 * length; 0 when there is none. */
size_t tuple_prefix_end(struct slice prefix, uint8_t *end);

#endif /* WIRE_TUPLE_H */

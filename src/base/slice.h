/* A slice is a borrowed run of bytes: a pointer and a length, nothing owned.
 *
 * Who hands out a slice says how long the bytes stay valid. Keys and values
 * are bytes, never C strings; slices compare like memcmp, shorter first. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *data; /* may be NULL when len is 0 */
	size_t len;          /* bytes */
};

#define SLICE_NONE ((struct slice){NULL, 0})
/* A slice over a string literal. */
#define SLICE_LIT(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})

static inline struct slice slice_of(const void *data, size_t len)
{
	return (struct slice){(const uint8_t *)data, len};
}

static inline struct slice slice_str(const char *text)
{
	return slice_of(text, strlen(text));
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* <0, 0, >0 in byte order. */
static inline int slice_compare(struct slice a, struct slice b)
{
	size_t shared = a.len < b.len ? a.len : b.len;
	int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);
	if (order != 0) {
		return order;
	}
	return a.len < b.len ? -1 : a.len > b.len;
}

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

/* Drops the first count bytes; count <= s.len. */
static inline struct slice slice_skip(struct slice s, size_t count)
{
	return (struct slice){s.data + count, s.len - count};
}

/* Equal without regard to ASCII case; text is a C string. */
bool slice_is_word(struct slice s, const char *text);

/* Strict decimal int64 as Redis reads it: optional '-', no '+', no leading
 * zero, no space. False when s is anything else; *value then untouched. */
bool slice_to_int64(struct slice s, int64_t *value);

#endif /* BASE_SLICE_H */

/* A growing byte buffer that was told its maximum when it was born.
 *
 * Memory gone is fatal; the maximum is an error that sticks: after the first
 * append that would pass it, buf_failed() is true and every later append is
 * ignored, so a writer checks once at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
	size_t max;
	bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
/* Empties it and clears the failure; keeps the memory. */
void buf_reset(struct buf *b);
static inline bool buf_failed(const struct buf *b) { return b->failed; }
static inline struct slice buf_slice(const struct buf *b) { return slice_of(b->data, b->len); }

uint8_t *buf_reserve_slow(struct buf *b, size_t extra);
/* Room for extra bytes at the end, uninitialised: the caller writes them and
 * then adds to len itself. NULL (and failed) over the maximum. */
static inline uint8_t *buf_reserve(struct buf *b, size_t extra)
{
	if (!b->failed && extra <= b->cap - b->len && b->len + extra <= b->max) {
		return b->data + b->len;
	}
	return buf_reserve_slow(b, extra);
}
void buf_append(struct buf *b, const void *data, size_t len);
static inline void buf_append_slice(struct buf *b, struct slice s) { buf_append(b, s.data, s.len); }
void buf_append_byte(struct buf *b, uint8_t byte);
void buf_append_text(struct buf *b, const char *text);
void buf_appendf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Little-endian integers. */
void buf_append_u16(struct buf *b, uint16_t v);
void buf_append_u32(struct buf *b, uint32_t v);
void buf_append_u64(struct buf *b, uint64_t v);
/* LEB128, at most 10 bytes. */
void buf_append_varint(struct buf *b, uint64_t v);
/* Removes the first count bytes; count <= len. */
void buf_consume(struct buf *b, size_t count);

/* Reading, the other half: each takes from the front of *s and returns false,
 * leaving *s as it was, when there are not enough bytes. */
bool slice_take(struct slice *s, size_t len, struct slice *taken);
bool slice_take_u8(struct slice *s, uint8_t *v);
bool slice_take_u16(struct slice *s, uint16_t *v);
bool slice_take_u32(struct slice *s, uint32_t *v);
bool slice_take_u64(struct slice *s, uint64_t *v);
bool slice_take_varint(struct slice *s, uint64_t *v);

#endif /* BASE_BUF_H */

#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->failed = false;
}

static bool grow(struct buf *b, size_t needed)
{
	if (needed > b->max) {
		b->failed = true;
		return false;
	}
	size_t cap = b->cap < 64 ? 64 : b->cap;
	while (cap < needed) {
		cap *= 2;
	}
	uint8_t *data = realloc(b->data, cap);
	if (data == NULL) {
		fatal("out of memory: a buffer of %zu bytes", cap);
	}
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *buf_reserve_slow(struct buf *b, size_t extra)
{
	if (b->failed) {
		return NULL;
	}
	if (extra > b->cap - b->len || b->len + extra > b->max) {
		if (extra > b->max || !grow(b, b->len + extra)) {
			b->failed = true;
			return NULL;
		}
	}
	return b->data + b->len;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
	if (len == 0) {
		return;
	}
	uint8_t *to = buf_reserve(b, len);
	if (to != NULL) {
		memcpy(to, data, len);
		b->len += len;
	}
}

void buf_append_byte(struct buf *b, uint8_t byte)
{
	uint8_t *to = buf_reserve(b, 1);
	if (to != NULL) {
		*to = byte;
		b->len++;
	}
}

void buf_append_text(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

void buf_appendf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	char small[256];
	int len = vsnprintf(small, sizeof(small), format, args);
	va_end(args);
	assert(len >= 0);
	if ((size_t)len < sizeof(small)) {
		buf_append(b, small, (size_t)len);
		return;
	}
	uint8_t *to = buf_reserve(b, (size_t)len + 1);
	if (to != NULL) {
		va_start(args, format);
		vsnprintf((char *)to, (size_t)len + 1, format, args);
		va_end(args);
		b->len += (size_t)len;
	}
}

static void append_le(struct buf *b, uint64_t v, size_t bytes)
{
	uint8_t *to = buf_reserve(b, bytes);
	if (to == NULL) {
		return;
	}
	for (size_t i = 0; i < bytes; i++) {
		to[i] = (uint8_t)(v >> (8 * i));
	}
	b->len += bytes;
}

void buf_append_u16(struct buf *b, uint16_t v)
{
	append_le(b, v, 2);
}

void buf_append_u32(struct buf *b, uint32_t v)
{
	append_le(b, v, 4);
}

void buf_append_u64(struct buf *b, uint64_t v)
{
	append_le(b, v, 8);
}

void buf_append_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t len = 0;
	for (; v >= 0x80; v >>= 7) {
		bytes[len++] = (uint8_t)(v | 0x80);
	}
	bytes[len++] = (uint8_t)v;
	buf_append(b, bytes, len);
}

void buf_consume(struct buf *b, size_t count)
{
	assert(count <= b->len);
	b->len -= count;
	if (b->len > 0 && count > 0) {
		memmove(b->data, b->data + count, b->len);
	}
}

bool slice_take(struct slice *s, size_t len, struct slice *taken)
{
	if (s->len < len) {
		return false;
	}
	*taken = slice_of(s->data, len);
	*s = slice_skip(*s, len);
	return true;
}

static bool take_le(struct slice *s, size_t bytes, uint64_t *v)
{
	if (s->len < bytes) {
		return false;
	}
	uint64_t sum = 0;
	for (size_t i = 0; i < bytes; i++) {
		sum |= (uint64_t)s->data[i] << (8 * i);
	}
	*s = slice_skip(*s, bytes);
	*v = sum;
	return true;
}

bool slice_take_u8(struct slice *s, uint8_t *v)
{
	uint64_t wide;
	bool taken = take_le(s, 1, &wide);
	if (taken) {
		*v = (uint8_t)wide;
	}
	return taken;
}

bool slice_take_u16(struct slice *s, uint16_t *v)
{
	uint64_t wide;
	bool taken = take_le(s, 2, &wide);
	if (taken) {
		*v = (uint16_t)wide;
	}
	return taken;
}

bool slice_take_u32(struct slice *s, uint32_t *v)
{
	uint64_t wide;
	bool taken = take_le(s, 4, &wide);
	if (taken) {
		*v = (uint32_t)wide;
	}
	return taken;
}

bool slice_take_u64(struct slice *s, uint64_t *v)
{
	return take_le(s, 8, v);
}

bool slice_take_varint(struct slice *s, uint64_t *v)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < s->len && i < 10; i++) {
		uint8_t byte = s->data[i];
		if (i == 9 && byte > 1) {
			return false; /* more than 64 bits */
		}
		sum |= (uint64_t)(byte & 0x7f) << (7 * i);
		if ((byte & 0x80) == 0) {
			*s = slice_skip(*s, i + 1);
			*v = sum;
			return true;
		}
	}
	return false;
}

#include "wire/entry.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/limits.h"

/* The layout is at the head of entry.h. Places inside a payload: */
enum {
	AT_VERSION = 0,
	AT_KIND = 1,
	AT_ZERO = 2,
	AT_COUNT = 4,
	AT_STAMP = 8,
	AT_SEQUENCE = ENTRY_HEAD,
	AT_BATCH_COUNT = ENTRY_HEAD + 8,
	AT_RECORDS = ENTRY_HEAD + 12
};
#define ENTRY_VERSION 1
#define RECORD_DELETE 0x00
#define RECORD_PUT 0x01
#define VARINT32_MAX 5

/* ---- the shared buffer ---- */

struct entry *entry_new(uint8_t type, struct slice payload)
{
	assert(payload.len <= UINT32_MAX);
	struct entry *e = malloc(sizeof(*e) + payload.len);
	if (e == NULL) {
		fatal("out of memory: a log entry of %zu bytes", payload.len);
	}
	memset(e, 0, sizeof(*e));
	e->refs = 1;
	e->len = (uint32_t)payload.len;
	e->type = type;
	if (payload.len > 0) {
		memcpy(e->payload, payload.data, payload.len);
	}
	return e;
}

struct entry *entry_ref(struct entry *e)
{
	uint32_t before = __atomic_fetch_add(&e->refs, 1, __ATOMIC_RELAXED);
	assert(before > 0);
	return e;
}

void entry_unref(struct entry *e)
{
	if (e == NULL) {
		return;
	}
	uint32_t before = __atomic_fetch_sub(&e->refs, 1, __ATOMIC_ACQ_REL);
	assert(before > 0);
	if (before == 1) {
		free(e);
	}
}

/* ---- building ----
 *
 * Until entry_end the eight bytes of the WriteBatch's sequence hold where the
 * last key lies and its length, so that the order can be asserted without a
 * state beside the buffer. */

static uint8_t *write_varint32(uint8_t *at, uint32_t v)
{
	while (v >= 0x80) {
		*at++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*at++ = (uint8_t)v;
	return at;
}

void entry_begin(struct buf *out, uint8_t kind, uint64_t stamp_ms)
{
	assert(out->len == 0);
	assert(kind == ENTRY_BATCH || kind == ENTRY_OPEN);
	uint8_t *head = buf_reserve(out, AT_RECORDS);
	if (head == NULL) {
		return;
	}
	memset(head, 0, AT_RECORDS);
	head[AT_VERSION] = ENTRY_VERSION;
	head[AT_KIND] = kind;
	bytes_put_u64(head + AT_STAMP, stamp_ms);
	out->len += AT_RECORDS;
}

static void append_record(struct buf *out, uint8_t kind, struct slice key, struct slice value)
{
	assert(key.len > 0);
	assert(key.len <= LIMIT_ROW_KEY);
	assert(value.len <= UINT32_MAX);
	uint8_t *record = buf_reserve(out, 1 + VARINT32_MAX + key.len + VARINT32_MAX + value.len);
	if (record == NULL) {
		return;
	}
	uint8_t *head = out->data;
	uint32_t count = bytes_u32(head + AT_COUNT);
	if (count > 0) {
		struct slice last =
			slice_of(head + bytes_u32(head + AT_SEQUENCE), bytes_u32(head + AT_SEQUENCE + 4));
		assert(slice_compare(last, key) < 0);
	}
	uint8_t *at = record;
	*at++ = kind;
	at = write_varint32(at, (uint32_t)key.len);
	bytes_put_u32(head + AT_SEQUENCE, (uint32_t)(at - head));
	bytes_put_u32(head + AT_SEQUENCE + 4, (uint32_t)key.len);
	memcpy(at, key.data, key.len);
	at += key.len;
	if (kind == RECORD_PUT) {
		at = write_varint32(at, (uint32_t)value.len);
		if (value.len > 0) {
			memcpy(at, value.data, value.len);
		}
		at += value.len;
	}
	bytes_put_u32(head + AT_COUNT, count + 1);
	out->len += (size_t)(at - record);
}

void entry_put(struct buf *out, struct slice key, struct slice value)
{
	append_record(out, RECORD_PUT, key, value);
}

void entry_delete(struct buf *out, struct slice key)
{
	append_record(out, RECORD_DELETE, key, SLICE_NONE);
}

bool entry_end(struct buf *out)
{
	if (buf_failed(out)) {
		return false;
	}
	assert(out->len >= AT_RECORDS);
	uint8_t *head = out->data;
	memset(head + AT_SEQUENCE, 0, 8);
	bytes_put_u32(head + AT_BATCH_COUNT, bytes_u32(head + AT_COUNT));
	return true;
}

/* ---- reading ---- */

/* One length in its shortest spelling, and so many bytes behind it. NULL when that is not there. */
static const uint8_t *read_run(const uint8_t *at, const uint8_t *end, struct slice *run)
{
	uint32_t len = 0;
	if (at < end && *at < 0x80) {
		len = *at++;
	} else {
		unsigned shift = 0;
		uint8_t byte;
		do {
			if (at == end || shift > 28) {
				return NULL;
			}
			byte = *at++;
			if (shift == 28 && byte > 0x0f) {
				return NULL;
			}
			len |= (uint32_t)(byte & 0x7f) << shift;
			shift += 7;
		} while (byte & 0x80);
		if (byte == 0) {
			return NULL;
		}
	}
	if (len > (size_t)(end - at)) {
		return NULL;
	}
	*run = slice_of(at, len);
	return at + len;
}

/* NULL when there is no whole record at at. */
static const uint8_t *read_record(const uint8_t *at, const uint8_t *end, struct slice *key,
				  struct slice *value, bool *deleted)
{
	if (at == end) {
		return NULL;
	}
	uint8_t kind = *at++;
	if (kind != RECORD_PUT && kind != RECORD_DELETE) {
		return NULL;
	}
	*deleted = kind == RECORD_DELETE;
	*value = SLICE_NONE;
	at = read_run(at, end, key);
	if (at == NULL || *deleted) {
		return at;
	}
	return read_run(at, end, value);
}

static bool records_are_sound(const uint8_t *at, const uint8_t *end, uint32_t count)
{
	struct slice last = SLICE_NONE;
	for (uint32_t i = 0; i < count; i++) {
		struct slice key, value;
		bool deleted;
		at = read_record(at, end, &key, &value, &deleted);
		if (at == NULL || key.len == 0 || key.len > LIMIT_ROW_KEY) {
			return false;
		}
		if (slice_compare(last, key) >= 0) {
			return false;
		}
		last = key;
	}
	return at == end;
}

int entry_check(struct slice payload, struct entry_view *view)
{
	if (payload.len < AT_RECORDS || payload.len > LIMIT_ENTRY) {
		return ERR_CORRUPT;
	}
	const uint8_t *head = payload.data;
	if (head[AT_VERSION] != ENTRY_VERSION) {
		return ERR_VERSION;
	}
	uint8_t kind = head[AT_KIND];
	if (kind != ENTRY_BATCH && kind != ENTRY_OPEN) {
		return ERR_CORRUPT;
	}
	if (head[AT_ZERO] != 0 || head[AT_ZERO + 1] != 0 || bytes_u64(head + AT_SEQUENCE) != 0) {
		return ERR_CORRUPT;
	}
	uint32_t count = bytes_u32(head + AT_COUNT);
	if (bytes_u32(head + AT_BATCH_COUNT) != count) {
		return ERR_CORRUPT;
	}
	if (!records_are_sound(head + AT_RECORDS, head + payload.len, count)) {
		return ERR_CORRUPT;
	}
	view->kind = kind;
	view->count = count;
	view->stamp_ms = bytes_u64(head + AT_STAMP);
	view->batch = slice_skip(payload, ENTRY_HEAD);
	return 0;
}

bool entry_next(const struct entry_view *view, size_t *at, struct slice *key, struct slice *value,
		bool *deleted)
{
	const uint8_t *begin = view->batch.data + (AT_RECORDS - ENTRY_HEAD);
	const uint8_t *end = view->batch.data + view->batch.len;
	if (begin + *at == end) {
		return false;
	}
	const uint8_t *next = read_record(begin + *at, end, key, value, deleted);
	assert(next != NULL);
	*at = (size_t)(next - begin);
	return true;
}

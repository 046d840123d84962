#include "client/request.h"

#include <assert.h>

#include "base/err.h"

/* ---- bulk strings ---- */

static size_t digits_of(uint64_t value)
{
	size_t digits = 1;
	while (value >= 10) {
		value /= 10;
		digits++;
	}
	return digits;
}

static uint8_t *put_number(uint8_t *at, uint64_t value)
{
	size_t digits = digits_of(value);
	for (size_t i = digits; i > 0; i--) {
		at[i - 1] = (uint8_t)('0' + value % 10);
		value /= 10;
	}
	return at + digits;
}

static size_t bulk_bytes(size_t len)
{
	return 1 + digits_of(len) + 2 + len + 2;
}

static uint8_t *put_head(uint8_t *at, char type, size_t len)
{
	*at++ = (uint8_t)type;
	at = put_number(at, len);
	*at++ = '\r';
	*at++ = '\n';
	return at;
}

static uint8_t *put_bulk(uint8_t *at, const void *bytes, size_t len)
{
	at = put_head(at, '$', len);
	if (len > 0) {
		memcpy(at, bytes, len);
	}
	at += len;
	*at++ = '\r';
	*at++ = '\n';
	return at;
}

/* ---- the text of a call ---- */

/* Room for id and words; returns where the words begin. */
static uint8_t *request_room(struct call *call, struct slice id, size_t bytes, size_t count)
{
	assert(id.len <= LIMIT_REQUEST_ID);
	assert(count > 0);
	if (id.len + bytes > UINT32_MAX || count > LIMIT_RESP_ARGS) {
		fatal("a request of %zu bytes and %zu words cannot be sent", bytes, count);
	}
	call->text_bytes = (uint32_t)(id.len + bytes);
	call->text = pool_take(&call->tally->pool, call->text_bytes);
	call->word_count = (uint32_t)count;
	call->id_len = (uint16_t)id.len;
	if (id.len > 0) {
		memcpy(call->text, id.data, id.len);
	}
	return call->text + id.len;
}

void request_make(struct call *call, struct slice id, const struct slice *words, size_t count)
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++) {
		bytes += bulk_bytes(words[i].len);
	}
	uint8_t *at = request_room(call, id, bytes, count);
	for (size_t i = 0; i < count; i++) {
		at = put_bulk(at, words[i].data, words[i].len);
	}
	assert(at == call->text + call->text_bytes);
}

/* The decimal text of an integer argument. */
static size_t integer_bytes(int64_t value)
{
	uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	return digits_of(size) + (value < 0);
}

static uint8_t *put_integer(uint8_t *at, int64_t value)
{
	at = put_head(at, '$', integer_bytes(value));
	if (value < 0) {
		*at++ = '-';
	}
	at = put_number(at, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
	*at++ = '\r';
	*at++ = '\n';
	return at;
}

void request_make_call(struct call *call, struct slice id, const char *procedure,
		       const struct tally_arg *args, size_t arg_count)
{
	size_t procedure_len = strlen(procedure);
	size_t bytes = bulk_bytes(4) + bulk_bytes(procedure_len);
	for (size_t i = 0; i < arg_count; i++) {
		bytes += bulk_bytes(strlen(args[i].name));
		bytes += bulk_bytes(args[i].text != NULL ? args[i].len : integer_bytes(args[i].integer));
	}
	uint8_t *at = request_room(call, id, bytes, 2 + 2 * arg_count);
	at = put_bulk(at, "CALL", 4);
	at = put_bulk(at, procedure, procedure_len);
	for (size_t i = 0; i < arg_count; i++) {
		at = put_bulk(at, args[i].name, strlen(args[i].name));
		if (args[i].text != NULL) {
			at = put_bulk(at, args[i].text, args[i].len);
		} else {
			at = put_integer(at, args[i].integer);
		}
	}
	assert(at == call->text + call->text_bytes);
}

void request_free(struct call *call)
{
	pool_give(&call->tally->pool, call->text, call->text_bytes);
	call->text = NULL;
}

/* ---- one attempt ---- */

/* Head, ONCE, DEADLINE, SETTLE and DRYRUN with the longest id and numbers. */
#define ENVELOPE_MAX (LIMIT_REQUEST_ID + 160)

void request_write(const struct call *call, uint64_t now_us, struct buf *out)
{
	assert(call->deadline_us > now_us);
	bool settle = call->was_unknown && call->id_len > 0;
	size_t words = call->word_count + 2 + (call->id_len > 0 ? 2 : 0) + settle + call->dryrun;
	size_t body_bytes = call->text_bytes - call->id_len;
	uint8_t *start = buf_reserve(out, ENVELOPE_MAX + body_bytes);
	assert(start != NULL);

	uint8_t *at = put_head(start, '*', words);
	if (call->id_len > 0) {
		at = put_bulk(at, "ONCE", 4);
		at = put_bulk(at, call->text, call->id_len);
	}
	uint64_t left_ms = (call->deadline_us - now_us + 999) / 1000;
	at = put_bulk(at, "DEADLINE", 8);
	at = put_integer(at, (int64_t)left_ms);
	if (settle) {
		at = put_bulk(at, "SETTLE", 6);
	}
	if (call->dryrun) {
		at = put_bulk(at, "DRYRUN", 6);
	}
	memcpy(at, call->text + call->id_len, body_bytes);
	at += body_bytes;
	assert((size_t)(at - start) <= ENVELOPE_MAX + body_bytes);
	out->len += (size_t)(at - start);
}

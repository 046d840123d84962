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

/* ---- what can be sent ---- */

/* The longest envelope: ONCE and an id, DEADLINE and its digits, SETTLE, DRYRUN. */
#define ENVELOPE_WORDS 6
#define ENVELOPE_TEXT (4 + 8 + 6 + 6 + 6)
/* And its head, as RESP. */
#define ENVELOPE_MAX (LIMIT_REQUEST_ID + 160)
#define WORDS_MAX (LIMIT_RESP_ARGS - ENVELOPE_WORDS)

static const char too_large[] = "the request is larger than a node takes: send it in smaller parts";

/* What the words take: as a node counts them, and on the wire. */
struct extent {
	size_t text, wire;
	bool missing, too_large; /* then the rest counts no more */
};

static void extent_add(struct extent *extent, const void *bytes, size_t len)
{
	extent->missing = extent->missing || (bytes == NULL && len > 0);
	extent->too_large = extent->too_large || len > LIMIT_REQUEST_BYTES - extent->text;
	if (!extent->too_large) {
		extent->text += len;
		extent->wire += bulk_bytes(len);
	}
}

/* A node refuses a request over its bound by ending the connection, which would cost the requests behind it:
 * such a one is not sent. */
static bool request_fits(struct call *call, struct slice id, const struct extent *extent)
{
	if (id.len > LIMIT_REQUEST_ID || (id.data != NULL && id.len == 0)) {
		call_refuse(call, "VALIDATION", "a request id has 1 to 128 bytes");
	} else if (extent->missing) {
		call_refuse(call, "VALIDATION", "a word or an argument of the request is NULL");
	} else if (extent->too_large || extent->text + id.len + ENVELOPE_TEXT > LIMIT_REQUEST_BYTES) {
		call_refuse(call, "TOO_LARGE", too_large);
	}
	return !call->unsent;
}

/* ---- the text of a call ---- */

/* Room for id and words; returns where the words begin. */
static uint8_t *request_room(struct call *call, struct slice id, size_t bytes, size_t count)
{
	assert(id.len <= LIMIT_REQUEST_ID);
	assert(count > 0);
	assert(count <= WORDS_MAX);
	call->text_bytes = (uint32_t)(id.len + bytes);
	call->text = pool_take(&call->tally->pool, call->text_bytes);
	call->word_count = (uint32_t)count;
	call->id_len = (uint16_t)id.len;
	if (id.len > 0) {
		memcpy(call->text, id.data, id.len);
	}
	return call->text + id.len;
}

bool request_counts(struct call *call, const void *words, size_t count, size_t each)
{
	if (words == NULL && count > 0) {
		call_refuse(call, "VALIDATION", "a word or an argument of the request is NULL");
	} else if (count > (WORDS_MAX - 2) / each) {
		call_refuse(call, "TOO_LARGE", too_large);
	}
	return !call->unsent;
}

void request_make(struct call *call, struct slice id, const struct slice *words, size_t count)
{
	if (call->unsent) {
		return;
	}
	struct extent extent = {0};
	for (size_t i = 0; i < count; i++) {
		extent_add(&extent, words[i].data, words[i].len);
	}
	if (!request_fits(call, id, &extent)) {
		return;
	}
	uint8_t *at = request_room(call, id, extent.wire, count);
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

static void extent_add_argument(struct extent *extent, const struct tally_arg *arg)
{
	extent_add(extent, arg->name, arg->name != NULL ? strlen(arg->name) : 1);
	if (arg->type == ARG_INTEGER) {
		extent_add(extent, arg, integer_bytes(arg->integer));
	} else {
		extent_add(extent, arg->text, arg->type == ARG_TEXT ? arg->len : 1);
	}
}

void request_make_call(struct call *call, struct slice id, const char *procedure,
		       const struct tally_arg *args, size_t arg_count)
{
	if (call->unsent) {
		return;
	}
	struct extent extent = {0};
	size_t procedure_len = procedure != NULL ? strlen(procedure) : 1;
	extent_add(&extent, "CALL", 4);
	extent_add(&extent, procedure, procedure_len);
	if (!request_counts(call, args, arg_count, 2)) {
		return;
	}
	for (size_t i = 0; i < arg_count; i++) {
		extent_add_argument(&extent, &args[i]);
	}
	if (!request_fits(call, id, &extent)) {
		return;
	}
	uint8_t *at = request_room(call, id, extent.wire, 2 + 2 * arg_count);
	at = put_bulk(at, "CALL", 4);
	at = put_bulk(at, procedure, procedure_len);
	for (size_t i = 0; i < arg_count; i++) {
		at = put_bulk(at, args[i].name, strlen(args[i].name));
		if (args[i].type == ARG_TEXT) {
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

#include "wire/frame.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/limits.h"

static const char magic[] = "TLYP";
#define MAGIC_BYTES 4
#define FRAME_VERSION 2
#define HELLO_BYTES 64
_Static_assert(HELLO_BYTES <= LIMIT_HELLO, "a hello is taken");
#define HELLO_BYTES_BEFORE 40 /* with one number for the process, remembered by nobody */
/* Memory that a reader keeps between frames; a larger one is given back. */
#define READER_KEEPS KIB(64)

size_t frame_begin(struct buf *out, uint8_t type, uint64_t stamp_ms)
{
	size_t begin = out->len;
	uint8_t *head = buf_reserve(out, FRAME_HEAD);
	if (head == NULL) {
		return begin;
	}
	memset(head, 0, FRAME_HEAD);
	memcpy(head + 8, magic, MAGIC_BYTES);
	head[12] = FRAME_VERSION;
	head[13] = type;
	bytes_put_u64(head + 24, stamp_ms);
	out->len += FRAME_HEAD;
	return begin;
}

void frame_end(struct buf *out, size_t begin, size_t uncovered)
{
	if (buf_failed(out)) {
		return;
	}
	assert(out->len >= begin + FRAME_HEAD);
	uint8_t *head = out->data + begin;
	size_t covered = out->len - begin - FRAME_HEAD;
	assert(covered + uncovered <= LIMIT_FRAME);
	bytes_put_u32(head + 16, (uint32_t)(covered + uncovered));
	bytes_put_u32(head + 20, (uint32_t)covered);
	bytes_put_u64(head + 32, checksum64(slice_of(head + FRAME_HEAD, covered)));
	bytes_put_u64(head, checksum64(slice_of(head + 8, FRAME_HEAD - 8)));
}

void frame_reader_init(struct frame_reader *reader)
{
	buf_init(&reader->partial, FRAME_HEAD + LIMIT_FRAME);
	reader->body_max = LIMIT_FRAME;
}

void frame_reader_fini(struct frame_reader *reader)
{
	buf_fini(&reader->partial);
}

/* The bytes of the frame that begins here, 0 when the head is not complete. */
static int frame_size(struct slice bytes, size_t body_max, size_t *size)
{
	const uint8_t *head = bytes.data;
	if (bytes.len >= 8 + MAGIC_BYTES && memcmp(head + 8, magic, MAGIC_BYTES) != 0) {
		return ERR_CORRUPT; /* also what never becomes as long as a head: a client's command at the wrong port */
	}
	if (bytes.len < FRAME_HEAD) {
		*size = 0;
		return 0;
	}
	if (head[12] != FRAME_VERSION) {
		return ERR_VERSION;
	}
	if (bytes_u64(head) != checksum64(slice_of(head + 8, FRAME_HEAD - 8))) {
		return ERR_CORRUPT;
	}
	if (bytes_u32(head + 16) > body_max) {
		return ERR_TOO_LARGE;
	}
	if (bytes_u32(head + 20) > bytes_u32(head + 16) || bytes_u16(head + 14) != 0) {
		return ERR_CORRUPT;
	}
	*size = FRAME_HEAD + bytes_u32(head + 16);
	return 0;
}

static int frame_decode(struct slice bytes, struct frame *frame)
{
	const uint8_t *head = bytes.data;
	uint32_t covered = bytes_u32(head + 20);
	if (bytes_u64(head + 32) != checksum64(slice_of(head + FRAME_HEAD, covered))) {
		return ERR_CORRUPT;
	}
	*frame = (struct frame){
		.type = head[13],
		.covered = covered,
		.stamp_ms = bytes_u64(head + 24),
		.body = slice_of(head + FRAME_HEAD, bytes.len - FRAME_HEAD),
	};
	return 0;
}

/* Moves bytes over until partial holds want of them. */
static bool fill(struct frame_reader *reader, struct slice *bytes, size_t want)
{
	struct buf *partial = &reader->partial;
	if (partial->len < want) {
		size_t missing = want - partial->len;
		buf_reserve(partial, missing);
		size_t taken = missing < bytes->len ? missing : bytes->len;
		buf_append(partial, bytes->data, taken);
		*bytes = slice_skip(*bytes, taken);
	}
	return partial->len >= want;
}

/* What the last call handed out of partial is done with. */
static void forget_last(struct frame_reader *reader)
{
	struct buf *partial = &reader->partial;
	size_t size = 0;
	if (frame_size(buf_slice(partial), LIMIT_FRAME, &size) != 0 || size == 0 || partial->len < size) {
		return;
	}
	assert(partial->len == size);
	if (partial->cap > READER_KEEPS) {
		buf_fini(partial);
		buf_init(partial, FRAME_HEAD + LIMIT_FRAME);
	} else {
		buf_reset(partial);
	}
}

int frame_reader_next(struct frame_reader *reader, struct slice *bytes, struct frame *frame)
{
	struct buf *partial = &reader->partial;
	size_t size = 0;
	forget_last(reader);
	if (partial->len == 0) {
		int status = frame_size(*bytes, reader->body_max, &size);
		if (status != 0) {
			return status;
		}
		if (size > 0 && bytes->len >= size) {
			struct slice whole = slice_of(bytes->data, size);
			*bytes = slice_skip(*bytes, size);
			return frame_decode(whole, frame);
		}
	}
	bool has_head = fill(reader, bytes, FRAME_HEAD);
	int status = frame_size(buf_slice(partial), reader->body_max, &size);
	if (status != 0 || !has_head) {
		return status != 0 ? status : ERR_MORE;
	}
	return fill(reader, bytes, size) ? frame_decode(buf_slice(partial), frame) : ERR_MORE;
}

uint8_t frame_reader_coming(const struct frame_reader *reader)
{
	return reader->partial.len < FRAME_HEAD ? 0 : reader->partial.data[13];
}

void hello_encode(struct buf *out, const struct hello *hello, uint64_t stamp_ms)
{
	size_t begin = frame_begin(out, FRAME_HELLO, stamp_ms);
	buf_append_u64(out, hello->cluster_id);
	buf_append_u64(out, hello->from_id);
	buf_append_u64(out, hello->to_id);
	buf_append_u64(out, hello->life.start);
	buf_append_u64(out, hello->life.id);
	buf_append_u64(out, hello->seen.start);
	buf_append_u64(out, hello->seen.id);
	buf_append_u64(out, hello->kind | (uint64_t)hello->members << 32);
	frame_end(out, begin, 0);
}

int hello_decode(struct slice body, struct hello *hello)
{
	struct hello found;
	uint64_t kind;
	if (body.len != HELLO_BYTES) {
		return body.len == HELLO_BYTES_BEFORE ? ERR_VERSION : ERR_INVALID;
	}
	slice_take_u64(&body, &found.cluster_id);
	slice_take_u64(&body, &found.from_id);
	slice_take_u64(&body, &found.to_id);
	slice_take_u64(&body, &found.life.start);
	slice_take_u64(&body, &found.life.id);
	slice_take_u64(&body, &found.seen.start);
	slice_take_u64(&body, &found.seen.id);
	slice_take_u64(&body, &kind);
	uint32_t members = (uint32_t)(kind >> 32);
	kind &= UINT32_MAX;
	if (kind < FRAME_RAFT || kind > FRAME_BULK || found.from_id == 0 || found.to_id == 0 ||
	    found.life.start == 0) {
		return ERR_INVALID;
	}
	found.kind = (uint8_t)kind;
	found.members = members;
	*hello = found;
	return 0;
}

#include "wire/frame.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

static void put(struct buf *out, uint8_t type, const char *covered, const char *rest)
{
	size_t begin = frame_begin(out, type, 1234567);
	buf_append_text(out, covered);
	frame_end(out, begin, strlen(rest));
	buf_append_text(out, rest);
}

/* Whatever it says. */
static void prove_head(uint8_t *head)
{
	bytes_put_u64(head, checksum64(slice_of(head + 8, FRAME_HEAD - 8)));
}

/* Reads all frames of bytes given in pieces; counts them, or stops at an error. */
static int count_frames(struct slice bytes, size_t piece, unsigned *count, uint64_t *hash)
{
	struct frame_reader reader;
	struct frame frame;
	int status = ERR_MORE;
	frame_reader_init(&reader);
	*count = 0;
	while (bytes.len > 0 && status == ERR_MORE) {
		struct slice part = slice_of(bytes.data, piece < bytes.len ? piece : bytes.len);
		bytes = slice_skip(bytes, part.len);
		while ((status = frame_reader_next(&reader, &part, &frame)) == 0) {
			++*count;
			for (size_t i = 0; i < frame.body.len; i++) {
				*hash = *hash * 31 + frame.body.data[i];
			}
			*hash = *hash * 31 + frame.type + frame.covered;
		}
	}
	frame_reader_fini(&reader);
	return status;
}

static void test_round_trip(void)
{
	struct buf out;
	buf_init(&out, MIB(8));
	put(&out, FRAME_APPEND, "covered", "and not");
	put(&out, FRAME_PING, "", "");
	put(&out, FRAME_ECHO, "x", "");
	uint64_t whole = 0;
	unsigned count;
	ok(count_frames(buf_slice(&out), out.len, &count, &whole) == ERR_MORE && count == 3,
	   "frames that came together are read one by one");
	bool same = true;
	for (size_t piece = 1; piece < out.len; piece++) {
		uint64_t hash = 0;
		same &= count_frames(buf_slice(&out), piece, &count, &hash) == ERR_MORE && count == 3 &&
			hash == whole;
	}
	ok(same, "frames cut anywhere are the same frames");
	buf_fini(&out);
}

static void test_damage(void)
{
	struct buf out;
	buf_init(&out, MIB(8));
	put(&out, FRAME_APPEND, "covered", "");
	unsigned count, accepted = 0;
	for (size_t at = 0; at < out.len; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			uint64_t hash = 0;
			out.data[at] ^= (uint8_t)(1u << bit);
			int status = count_frames(buf_slice(&out), out.len, &count, &hash);
			accepted += count > 0 || status == 0;
			out.data[at] ^= (uint8_t)(1u << bit);
		}
	}
	is_int(accepted, 0, "a frame with any flipped bit is never taken");
	uint64_t hash = 0;
	bytes_put_u32(out.data + 16, 0x7fffffff);
	prove_head(out.data);
	is_int(count_frames(buf_slice(&out), out.len, &count, &hash), ERR_TOO_LARGE,
	       "a length over the bound is refused before the body comes");
	out.data[12] = 9;
	is_int(count_frames(buf_slice(&out), out.len, &count, &hash), ERR_VERSION,
	       "another version is told apart");
	is_int(count_frames(SLICE_LIT("GET / HTTP/1.1\r\nHost: a.shop.example\r\n\r\n"), 7, &count, &hash),
	       ERR_CORRUPT, "another protocol is no frame");
	buf_fini(&out);
}

/* Nothing behind it is there yet: a length that is not believed cannot swallow what comes. */
static void test_damaged_head(void)
{
	struct buf out;
	buf_init(&out, MIB(8));
	put(&out, FRAME_APPEND, "covered", "and not");
	unsigned count, waited = 0;
	uint64_t hash = 0;
	struct slice head = slice_of(out.data, FRAME_HEAD);
	is_int(count_frames(head, FRAME_HEAD, &count, &hash), ERR_MORE,
	       "behind a whole head its body is awaited");
	for (size_t bit = 0; bit < FRAME_HEAD * 8; bit++) {
		out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		waited += count_frames(head, FRAME_HEAD, &count, &hash) == ERR_MORE;
		out.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	is_int(waited, 0, "a head with any flipped bit is refused before anything else comes");
	struct frame_reader reader;
	struct frame frame;
	frame_reader_init(&reader);
	struct slice part = slice_of(out.data, FRAME_HEAD - 1), rest = slice_of(out.data + FRAME_HEAD - 1, 2);
	ok(frame_reader_next(&reader, &part, &frame) == ERR_MORE && frame_reader_coming(&reader) == 0,
	   "nobody says what comes before its head is there");
	ok(frame_reader_next(&reader, &rest, &frame) == ERR_MORE &&
		   frame_reader_coming(&reader) == FRAME_APPEND,
	   "then it is known");
	frame_reader_fini(&reader);
	buf_fini(&out);
}

static void test_large(void)
{
	struct buf out;
	buf_init(&out, MIB(16));
	uint8_t *bytes = calloc(1, LIMIT_FRAME);
	size_t begin = frame_begin(&out, FRAME_REQUEST, 1);
	buf_append(&out, bytes, LIMIT_FRAME);
	frame_end(&out, begin, 0);
	put(&out, FRAME_PING, "", "");
	uint64_t one = 0, two = 0;
	unsigned count;
	ok(count_frames(buf_slice(&out), 65536, &count, &one) == ERR_MORE && count == 2,
	   "the largest frame is read, and the next one behind it");
	count_frames(buf_slice(&out), out.len, &count, &two);
	ok(one == two, "in pieces as in one");
	free(bytes);
	buf_fini(&out);
}

static void test_hello(void)
{
	struct hello hello = {11, 2, 3, {7, 99}, {6, 98}, FRAME_REQUESTS, 0xfedcba98}, back;
	struct buf out;
	buf_init(&out, 4096);
	hello_encode(&out, &hello, 5);
	struct frame_reader reader;
	struct frame frame;
	struct slice bytes = buf_slice(&out);
	frame_reader_init(&reader);
	ok(frame_reader_next(&reader, &bytes, &frame) == 0 && frame.type == FRAME_HELLO &&
		   frame.stamp_ms == 5,
	   "a hello is a frame with a stamp");
	ok(hello_decode(frame.body, &back) == 0 && back.cluster_id == 11 && back.from_id == 2 &&
		   back.to_id == 3 && life_equal(back.life, hello.life) &&
		   life_equal(back.seen, hello.seen) && back.kind == FRAME_REQUESTS &&
		   back.members == 0xfedcba98,
	   "a hello comes back as it went");
	ok(hello_decode(slice_of(frame.body.data, frame.body.len - 1), &back) == ERR_INVALID,
	   "a short hello is none");
	is_int(hello_decode(slice_of(frame.body.data, 40), &back), ERR_VERSION,
	       "one of the format before, without lives, is told apart");
	uint8_t copy[64];
	memcpy(copy, frame.body.data, frame.body.len);
	copy[56] = 9;
	ok(hello_decode(slice_of(copy, frame.body.len), &back) == ERR_INVALID, "nor one of an unknown kind");
	copy[56] = FRAME_REQUESTS;
	copy[24] = 0;
	ok(hello_decode(slice_of(copy, frame.body.len), &back) == ERR_INVALID, "nor one of no start");
	frame_reader_fini(&reader);
	buf_fini(&out);
}

static void test_garbage(void)
{
	struct prng prng;
	prng_init(&prng, 1);
	uint8_t bytes[600];
	unsigned count, taken = 0;
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t hash = 0;
		prng_fill(&prng, bytes, sizeof(bytes));
		memcpy(bytes + 8, "TLYP\2", 5);
		bytes[14] = bytes[15] = bytes[18] = bytes[19] = bytes[22] = bytes[23] = 0;
		prove_head(bytes);
		count_frames(slice_of(bytes, sizeof(bytes)), 1 + (size_t)prng_below(&prng, 600), &count,
			     &hash);
		taken += count;
	}
	is_int(taken, 0, "garbage behind a good head is never a frame");
}

int main(void)
{
	test_round_trip();
	test_damage();
	test_damaged_head();
	test_large();
	test_hello();
	test_garbage();
	return tap_done();
}

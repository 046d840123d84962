/* Frames do not depend on where the stream was cut, and what is taken encodes to
 * the same bytes. The first byte says how the bytes are cut; its high bit asks
 * for right checksums, so that the fuzzer gets past them. */
#include "wire/frame.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_all(struct slice bytes, size_t piece, uint64_t *hash, unsigned *count)
{
	struct frame_reader reader;
	struct frame frame;
	struct hello hello;
	int status = ERR_MORE;
	frame_reader_init(&reader);
	while (bytes.len > 0 && status == ERR_MORE) {
		struct slice part = slice_of(bytes.data, piece < bytes.len ? piece : bytes.len);
		bytes = slice_skip(bytes, part.len);
		while ((status = frame_reader_next(&reader, &part, &frame)) == 0) {
			assert(frame.covered <= frame.body.len && frame.body.len <= LIMIT_FRAME);
			*hash = *hash * 31 + checksum64(frame.body) + frame.type + frame.covered +
				frame.stamp_ms;
			++*count;
			if (hello_decode(frame.body, &hello) == 0) {
				assert(hello.kind >= FRAME_RAFT && hello.kind <= FRAME_BULK &&
				       hello.from_id != 0);
			}
		}
	}
	frame_reader_fini(&reader);
	return status;
}

/* Gives every frame whose lengths make sense its checksums; the last may be on its way. */
static void repair(uint8_t *bytes, size_t len)
{
	while (len >= FRAME_HEAD) {
		uint32_t body = bytes_u32(bytes + 16), covered = bytes_u32(bytes + 20);
		bool whole = body <= len - FRAME_HEAD && covered <= body;
		if (whole) {
			bytes_put_u64(bytes + 32, checksum64(slice_of(bytes + FRAME_HEAD, covered)));
		}
		bytes_put_u64(bytes, checksum64(slice_of(bytes + 8, FRAME_HEAD - 8)));
		if (!whole) {
			return;
		}
		bytes += FRAME_HEAD + body;
		len -= FRAME_HEAD + body;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	uint8_t *copy = malloc(size);
	memcpy(copy, data + 1, size - 1);
	if ((data[0] & 0x80) != 0) {
		repair(copy, size - 1);
	}
	uint64_t whole = 0, cut = 0;
	unsigned whole_count = 0, cut_count = 0;
	int one = read_all(slice_of(copy, size - 1), size, &whole, &whole_count);
	int two = read_all(slice_of(copy, size - 1), 1 + (data[0] & 0x7f), &cut, &cut_count);
	assert(whole == cut && whole_count == cut_count);
	assert((one == ERR_MORE) == (two == ERR_MORE));
	free(copy);
	return 0;
}

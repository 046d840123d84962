/* A slot of the file of lives. Byte 0: bit 0 gives it a right checksum, bit 1 is the slot. What is taken
 * encodes to the same bytes, verifies in its own place only, and says nothing about what lies behind its end.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "raft/peer/lives.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* As long as the counts say, if there is as much. */
static void repair(uint8_t *bytes, size_t len, enum copies_slot slot)
{
	if (len < 48 || bytes_u32(bytes + 40) > LIVES_OWN_MAX || bytes_u32(bytes + 44) > LIMIT_MEMBERS) {
		return;
	}
	size_t end = 48 + bytes_u32(bytes + 40) * (size_t)8 + bytes_u32(bytes + 44) * (size_t)24;
	if (end <= len) {
		bytes_put_u64(bytes, checksum64_at(slice_of(bytes + 8, end - 8),
						   slot == COPIES_A ? 0 : LIVES_STRIDE));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	enum copies_slot slot = (data[0] & 2) != 0 ? COPIES_B : COPIES_A;
	uint8_t *copy = malloc(size);
	struct lives_image *image = calloc(1, sizeof(*image));
	memcpy(copy, data + 1, size - 1);
	if ((data[0] & 1) != 0) {
		repair(copy, size - 1, slot);
	}
	if (lives_decode(slice_of(copy, size - 1), slot, image) == 0) {
		struct buf out;
		buf_init(&out, LIVES_BYTES_MAX);
		assert(image->own_count > 0 && image->own_count <= image->start);
		lives_encode(&out, slot, image);
		assert(out.len <= size - 1 && memcmp(out.data + 24, copy + 24, out.len - 24) == 0);
		int status = lives_decode(buf_slice(&out), slot == COPIES_A ? COPIES_B : COPIES_A, image);
		assert(status == ERR_CORRUPT); /* the checksum knows its place */
		buf_fini(&out);
	}
	free(image);
	free(copy);
	return 0;
}

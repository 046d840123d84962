/* The file of refused scripts. Byte 0: bit 0 gives it a right checksum. What is taken encodes to the same
 * bytes. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "script/refused.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK_LINE 23

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	struct refused *refused = calloc(1, sizeof(*refused));
	struct buf bytes, out;
	buf_init(&bytes, size + 64);
	buf_init(&out, REFUSED_BYTES);
	buf_append(&bytes, data + 1, size - 1);
	if ((data[0] & 1) != 0 && bytes.len > CHECK_LINE) {
		bytes.len -= CHECK_LINE;
		buf_appendf(&bytes, "check %016" PRIx64 "\n", checksum64(buf_slice(&bytes)));
	}
	if (refused_decode(buf_slice(&bytes), refused) == 0) {
		assert(refused->count <= LIMIT_REFUSED);
		refused_encode(refused, &out);
		assert(slice_equal(buf_slice(&out), buf_slice(&bytes)));
	}
	buf_fini(&bytes);
	buf_fini(&out);
	free(refused);
	return 0;
}

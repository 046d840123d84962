/* The record of what a database holds (store/meta.h). The last eight bytes are made the right
 * checksum, or nothing would get behind it; what was decoded encodes to the same bytes,
 * and one flipped bit anywhere is found. */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "store/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TAIL 8
#define RECORD_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t bytes[RECORD_MAX];
	struct store_meta meta;
	int status = meta_decode(slice_of(data, size), &meta);
	assert(status == 0 || status == ERR_CORRUPT || status == ERR_VERSION);
	if (size < TAIL || size > RECORD_MAX) {
		return 0;
	}
	memcpy(bytes, data, size);
	bytes_put_u64(bytes + size - TAIL, checksum64(slice_of(bytes, size - TAIL)));
	if (meta_decode(slice_of(bytes, size), &meta) == 0) {
		struct buf again;
		buf_init(&again, RECORD_MAX);
		meta_encode(&meta, &again);
		assert(again.len == size && memcmp(again.data, bytes, size) == 0);
		buf_fini(&again);
		bytes[bytes[size - 1] * 31u % size] ^= 1;
		status = meta_decode(slice_of(bytes, size), &meta);
		assert(status != 0);
	}
	return 0;
}

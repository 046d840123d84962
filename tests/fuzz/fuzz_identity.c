/* A directory's file `identity`. Byte 0: bit 0 puts the right checksum into its last line, so that the fuzzer
 * gets past it; the rest is the file. What is taken is, byte for byte, what would be written for it, and no
 * other; a refusal names the file. The decoder is compiled in. */
#include "server/identity.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK "check "
#define CHECK_LEN (sizeof(CHECK) - 1)

/* The last line that begins so gets the checksum of all before it, as far as there is room for it. */
static void repair(uint8_t *bytes, size_t len)
{
	for (size_t at = len; at-- > 0;) {
		if (len - at < CHECK_LEN + 16 || memcmp(bytes + at, CHECK, CHECK_LEN) != 0) {
			continue;
		}
		char digits[17];
		snprintf(digits, sizeof digits, "%016" PRIx64, checksum64(slice_of(bytes, at)));
		memcpy(bytes + at + CHECK_LEN, digits, 16);
		return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct identity identity = {0};
	struct err err = {0};
	uint8_t bytes[FILE_MAX];
	if (size == 0) {
		return 0;
	}
	/* Of a longer file no more is looked at than this. */
	size_t len = size - 1 < sizeof bytes ? size - 1 : sizeof bytes;
	memcpy(bytes, data + 1, len);
	if ((data[0] & 1) != 0) {
		repair(bytes, len);
	}
	int status = identity_parse(slice_of(bytes, len), "d/identity", &identity, &err);
	if (status != 0) {
		assert(err.code == status && strncmp(err.text, "d/identity: ", 12) == 0);
		return 0;
	}
	struct buf again;
	buf_init(&again, FILE_MAX);
	identity_print(&identity, &again);
	assert(slice_equal(buf_slice(&again), slice_of(bytes, len)));
	buf_fini(&again);
	return 0;
}

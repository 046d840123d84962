/* A reply that measures as whole also parses, and takes the same bytes. */
#include <assert.h>

#include "base/limits.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct resp_value value;
	size_t measured = 0, used = 0;
	arena_init(&arena, 1024);
	int rc = resp_reply_measure(slice_of(data, size), MIB(16), &measured);
	if (rc == 0) {
		assert(measured > 0 && measured <= size);
		int parsed = resp_reply_parse(slice_of(data, size), &arena, &value, &used);
		assert(parsed != ERR_MORE);
		assert(parsed != 0 || used == measured);
	}
	arena_fini(&arena);
	return 0;
}

/* What parses as JSON is written and parses again as the same value. */
#include <assert.h>

#include "base/limits.h"
#include "wire/json.h"
#include "wire/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	struct value value, again;
	struct err err = {0};
	arena_init(&arena, 1024);
	if (json_parse(slice_of(data, size), &arena, &value, &err) == 0) {
		struct buf out;
		buf_init(&out, MIB(8));
		json_write(&out, &value);
		assert(!buf_failed(&out));
		assert(json_parse(buf_slice(&out), &arena, &again, &err) == 0);
		assert(value_equal(&value, &again));
		buf_fini(&out);
	} else {
		assert(err.text[0] != '\0');
	}
	arena_fini(&arena);
	return 0;
}

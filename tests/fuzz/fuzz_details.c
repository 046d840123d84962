/* An error line as the client library takes it apart: any bytes are accepted, the code lies within the line,
 * and what is told as details is a map. */
#include <assert.h>

#include "base/limits.h"
#include "client/details.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice line = slice_of(data, size);
	struct slice code;
	enum outcome outcome = details_outcome(line, &code);
	assert(outcome <= OUTCOME_UNKNOWN);
	assert(code.len <= size);
	assert(code.len == 0 || (code.data >= data && code.data + code.len <= data + size));
	struct arena arena;
	arena_init(&arena, KIB(16));
	const struct resp_value *details = details_parse(line, &arena);
	assert(details == NULL || details->type == RESP_MAP);
	arena_fini(&arena);
	return 0;
}

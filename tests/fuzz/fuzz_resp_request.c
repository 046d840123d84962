/* A request parses the same however its bytes arrive. */
#include <assert.h>

#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int parse(struct slice input, struct arena *arena, size_t *argc, size_t *used)
{
	struct resp_request_state state;
	struct slice *argv;
	struct err err = {0};
	resp_request_init(&state);
	int rc = resp_request_parse(&state, input, arena, &argv, argc, used, &err);
	/* Words of an inline request may be unquoted copies. */
	for (size_t i = 0; rc == 0 && input.data[0] == '*' && i < *argc; i++) {
		assert(argv[i].len == 0 || (argv[i].data >= input.data && argv[i].data + argv[i].len <= input.data + input.len));
	}
	assert(rc == 0 || rc == ERR_MORE || err.text[0] != '\0');
	resp_request_fini(&state);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	size_t argc = 0, used = 0, again_argc = 0, again_used = 0;
	arena_init(&arena, 1024);
	int whole = parse(slice_of(data, size), &arena, &argc, &used);
	assert(whole != 0 || (used > 0 && used <= size));
	/* The same in growing pieces, one state over all of them. */
	struct resp_request_state state;
	struct slice *argv;
	struct err err = {0};
	resp_request_init(&state);
	int rc = ERR_MORE;
	for (size_t len = 0; len <= size && rc == ERR_MORE; len += len < 64 ? 1 : 97) {
		rc = resp_request_parse(&state, slice_of(data, len), &arena, &argv, &again_argc, &again_used, &err);
	}
	if (rc == ERR_MORE) {
		rc = resp_request_parse(&state, slice_of(data, size), &arena, &argv, &again_argc, &again_used, &err);
	}
	resp_request_fini(&state);
	assert((rc == 0) == (whole == 0));
	assert(rc != 0 || (again_argc == argc && again_used == used));
	arena_fini(&arena);
	return 0;
}

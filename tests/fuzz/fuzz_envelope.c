/* The prefixes in front of a request: a word a line. What they take is in front and fits what they say; the
 * words behind are left as they are, and whoever is refused is told once. */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "engine/request.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice argv[WORDS_MAX], rest = slice_of(data, size);
	struct request_envelope envelope;
	size_t argc = 0, skip = WORDS_MAX + 1, used = 0;
	struct buf out;
	for (; rest.len > 0 && argc < WORDS_MAX; argc++) {
		const uint8_t *end = memchr(rest.data, '\n', rest.len);
		size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
		argv[argc] = slice_of(rest.data, len);
		rest = slice_skip(rest, len + (end != NULL));
	}
	buf_init(&out, KIB(64));
	struct reply reply = {.out = &out, .protocol = 3};
	int status = request_envelope_parse(argv, argc, &envelope, &skip, &reply);
	if (status == 0) {
		assert(out.len == 0 && skip <= argc && (skip < argc || argc == 0));
		assert(envelope.once.len <= LIMIT_REQUEST_ID && envelope.deadline_ms <= LIMIT_DEADLINE_MS);
		assert(!envelope.settle || envelope.once.len > 0);
		assert((envelope.once.len > 0 ? 2u : 0) + (envelope.deadline_ms > 0 ? 2u : 0) +
			       envelope.settle + envelope.dryrun + envelope.explain <=
		       skip);
	} else {
		assert(status == ERR_INVALID && out.data[0] == '-');
		status = resp_reply_measure(buf_slice(&out), KIB(64), &used);
		assert(status == 0 && used == out.len);
	}
	buf_fini(&out);
	return 0;
}

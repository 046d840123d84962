/* A bundle as PUSH gets it: lines `-- file NAME` begin its files. Compiling it gives a
 * bundle, or one line that says why not; a file that is not there is never blamed. */
#include <assert.h>
#include <string.h>

#include "script/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILES_MAX 8
#define MARK "-- file "
#define MARK_LEN (sizeof(MARK) - 1)
/* Compiling makes a machine of its own; one input in so many is worth that. */
#define COMPILE_EVERY 32

static const uint8_t *line_end(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
	return newline != NULL ? newline + 1 : end;
}

static bool is_mark(const uint8_t *at, const uint8_t *end)
{
	return (size_t)(end - at) >= MARK_LEN && memcmp(at, MARK, MARK_LEN) == 0;
}

static size_t split(struct slice text, struct script_file files[FILES_MAX])
{
	const uint8_t *at = text.data;
	const uint8_t *end = text.data + text.len;
	size_t count = 0;
	while (at < end && count < FILES_MAX) {
		struct slice name = SLICE_LIT("a.lua");
		if (is_mark(at, end)) {
			const uint8_t *next = line_end(at, end);
			name = slice_of(at + MARK_LEN, (size_t)(next - at) - MARK_LEN);
			name.len -= name.len > 0 && name.data[name.len - 1] == '\n';
			at = next;
		}
		const uint8_t *start = at;
		while (at < end && !is_mark(at, end)) {
			at = line_end(at, end);
		}
		files[count++] = (struct script_file){name, slice_of(start, (size_t)(at - start))};
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script_file files[FILES_MAX];
	unsigned sum = 0;
	for (size_t i = 0; i < size; i++) {
		sum = sum * 31 + data[i];
	}
	size_t count = split(slice_of(data, size), files);
	if (count == 0 || sum % COMPILE_EVERY != 0) {
		return 0;
	}
	struct script_bundle *bundle = NULL;
	struct err err = {0};
	int status = script_compile(SLICE_LIT("fuzz"), files, count, &bundle, &err);
	if (status == 0) {
		struct chain hash = script_bundle_hash(bundle);
		script_bundle_free(bundle);
		status = script_compile(SLICE_LIT("fuzz"), files, count, &bundle, &err);
		assert(status == 0);
		struct chain again = script_bundle_hash(bundle);
		assert(hash.low == again.low && hash.high == again.high);
		script_bundle_free(bundle);
	} else {
		assert(err.code == status && err.text[0] != '\0');
	}
	return 0;
}

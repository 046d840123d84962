/* A payload that passes entry_check walks to its end, and encodes to the same bytes when its keys ascend. */
#include <assert.h>

#include "base/limits.h"
#include "wire/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct entry_view view;
	if (entry_check(slice_of(data, size), &view) != 0) {
		return 0;
	}
	struct buf out;
	struct slice key, value, last = SLICE_NONE;
	size_t at = 0, count = 0;
	bool deleted, ascends = true;
	buf_init(&out, LIMIT_ENTRY);
	entry_begin(&out, view.kind, view.stamp_ms);
	while (entry_next(&view, &at, &key, &value, &deleted)) {
		assert(key.data >= data && key.data + key.len <= data + size);
		ascends = ascends && (count == 0 || slice_compare(last, key) < 0);
		last = key;
		count++;
		if (ascends && deleted) {
			entry_delete(&out, key);
		} else if (ascends) {
			entry_put(&out, key, value);
		}
	}
	assert(count == view.count);
	if (ascends) {
		assert(entry_end(&out));
		/* Lengths may have been spelt longer than needed; then only the sizes differ. */
		assert(out.len <= size);
	}
	buf_fini(&out);
	return 0;
}

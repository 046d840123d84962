#include "base/limits.h"
#include "store/internal.h"
#include "store/meta.h"

/* The cursor's view is that of its opening, and the meta record lies in it: so
 * hash and index belong together while entries are being applied. */
int store_hash(struct store *store, struct chain *hash, uint64_t *index, struct err *err)
{
	struct store_cursor *cursor = store_cursor_open(store, SLICE_NONE, SLICE_NONE, false);
	struct store_meta meta = {0};
	struct chain sum = {0, 0};
	struct buf record;
	buf_init(&record, 2 * LIMIT_ENTRY);
	int status = 0;
	struct slice key, value;
	while (status == 0 && store_cursor_next(cursor, &key, &value)) {
		if (slice_equal(key, meta_key())) {
			status = meta_decode(value, &meta);
			continue;
		}
		buf_reset(&record);
		buf_append_slice(&record, key);
		buf_append_slice(&record, value);
		sum = chain_next(sum, key.len, value.len, 0, buf_slice(&record));
	}
	if (status == 0) {
		status = store_cursor_error(cursor);
	}
	store_cursor_close(cursor);
	buf_fini(&record);
	if (status != 0) {
		return err_set(err, status, "cannot read all of %s: %s", store->dir, store_why(store));
	}
	*hash = sum;
	*index = meta.index;
	return 0;
}

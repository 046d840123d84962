#include <stdlib.h>

#include "store/internal.h"
#include "store/options.h"

struct store_cursor {
	struct store *store;
	rocksdb_readoptions_t *options;
	rocksdb_iterator_t *iterator;
	bool backward;
	bool begun;
	int error;
	uint8_t bounds[]; /* from, then to: RocksDB borrows them */
};

struct store_cursor *store_cursor_open(struct store *store, struct slice from, struct slice to, bool backward)
{
	struct store_cursor *cursor = calloc(1, sizeof(*cursor) + from.len + to.len);
	if (cursor == NULL) {
		fatal("out of memory: a cursor");
	}
	cursor->store = store;
	cursor->backward = backward;
	cursor->options = options_for_walk();
	if (from.len > 0) {
		memcpy(cursor->bounds, from.data, from.len);
		rocksdb_readoptions_set_iterate_lower_bound(cursor->options, (const char *)cursor->bounds,
							    from.len);
	}
	if (to.len > 0) {
		uint8_t *upper = cursor->bounds + from.len;
		memcpy(upper, to.data, to.len);
		rocksdb_readoptions_set_iterate_upper_bound(cursor->options, (const char *)upper, to.len);
	}
	cursor->iterator = rocksdb_create_iterator(store->db, cursor->options);
	return cursor;
}

static void step(struct store_cursor *cursor)
{
	if (!cursor->begun) {
		cursor->begun = true;
		if (cursor->backward) {
			rocksdb_iter_seek_to_last(cursor->iterator);
		} else {
			rocksdb_iter_seek_to_first(cursor->iterator);
		}
	} else if (cursor->backward) {
		rocksdb_iter_prev(cursor->iterator);
	} else {
		rocksdb_iter_next(cursor->iterator);
	}
}

bool store_cursor_next(struct store_cursor *cursor, struct slice *key, struct slice *value)
{
	if (cursor->begun && !rocksdb_iter_valid(cursor->iterator)) {
		return false;
	}
	step(cursor);
	if (!rocksdb_iter_valid(cursor->iterator)) {
		char *message = NULL;
		rocksdb_iter_get_error(cursor->iterator, &message);
		if (message != NULL) {
			cursor->error = store_read_failed(cursor->store, message);
		}
		return false;
	}
	size_t len;
	const char *data = rocksdb_iter_key(cursor->iterator, &len);
	*key = slice_of(data, len);
	data = rocksdb_iter_value(cursor->iterator, &len);
	*value = slice_of(data, len);
	return true;
}

int store_cursor_error(const struct store_cursor *cursor)
{
	return cursor->error;
}

void store_cursor_close(struct store_cursor *cursor)
{
	if (cursor == NULL) {
		return;
	}
	rocksdb_iter_destroy(cursor->iterator);
	rocksdb_readoptions_destroy(cursor->options);
	free(cursor);
}

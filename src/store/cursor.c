#include <stdlib.h>
#include <string.h>

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

static struct store_cursor *cursor_new(struct store *store, struct slice from, struct slice to, bool backward,
				       uint64_t removed_max)
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
	rocksdb_readoptions_set_max_skippable_internal_keys(cursor->options, removed_max);
	cursor->iterator = rocksdb_create_iterator(store->db, cursor->options);
	return cursor;
}

struct store_cursor *store_cursor_open(struct store *store, struct slice from, struct slice to, bool backward)
{
	return cursor_new(store, from, to, backward, 0);
}

struct store_cursor *store_cursor_open_short(struct store *store, struct slice from, struct slice to,
					     uint64_t removed_max)
{
	return cursor_new(store, from, to, false, removed_max);
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

/* What RocksDB says of a walk that was cut short is no error of the database. */
static int why_it_ended(struct store_cursor *cursor, char *message)
{
	static const char cut[] = "Result incomplete";
	if (strncmp(message, cut, sizeof cut - 1) == 0) {
		rocksdb_free(message);
		return ERR_BUSY;
	}
	return store_read_failed(cursor->store, message);
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
			cursor->error = why_it_ended(cursor, message);
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

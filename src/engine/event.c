/* Event blocks, table 'e', one a batch: written by the overlay when it seals.
 * Here is only their end: blocks older than the retention, in entries, are removed. */
#include <assert.h>

#include "base/bytes.h"
#include "engine/shard_private.h"

#define EVENT_TRIM_MAX 256

static void event_key(uint8_t out[9], uint64_t index)
{
	out[0] = TABLE_EVENT;
	bytes_put_u64_big(out + 1, index);
}

static uint64_t index_of(const uint8_t key[9])
{
	assert(key[0] == TABLE_EVENT);
	return bytes_u64_big(key + 1);
}

/* Deletes up to EVENT_TRIM_MAX blocks; event_from remembers where the living begin. */
int event_trim(struct shard *shard, struct txn *txn)
{
	uint64_t keep = shard->config.event_retention;
	uint8_t from[9], to[9];
	struct slice key, value;
	if (keep == 0 || txn_index(txn) <= keep) {
		return 0;
	}
	event_key(from, shard->event_from);
	event_key(to, txn_index(txn) - keep);
	if (memcmp(from, to, sizeof from) >= 0) {
		return 0;
	}
	struct txn_cursor *cursor =
		txn_cursor_open(txn, slice_of(from, sizeof from), slice_of(to, sizeof to), false);
	int rc = 0;
	size_t deleted = 0;
	while (rc == 0 && deleted < EVENT_TRIM_MAX && txn_cursor_next(cursor, &key, &value)) {
		uint8_t copy[9];
		if (key.len != sizeof copy) {
			rc = ERR_CORRUPT;
			break;
		}
		memcpy(copy, key.data, sizeof copy);
		if (deleted++ == 0) {
			shard->event_from = index_of(copy);
		}
		rc = txn_delete(txn, slice_of(copy, sizeof copy));
	}
	rc = rc != 0 ? rc : txn_cursor_error(cursor);
	txn_cursor_close(cursor);
	if (rc == 0 && deleted == 0) {
		shard->event_from = txn_index(txn) - keep;
	}
	assert(deleted <= EVENT_TRIM_MAX);
	assert(shard->event_from + keep <= txn_index(txn)); /* what is kept is never behind us */
	shard->background_more = shard->background_more || deleted == EVENT_TRIM_MAX;
	return rc;
}

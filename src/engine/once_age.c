/* Once records by age: one block of ids a batch, and the removal of what is old.
 *
 * Table 'q':  key 'q' stamp(8) index(8) part(2), big-endian
 *   value: length(2, little-endian) key of an 'o' record, …
 *   and, before all of these, the horizon:  key 'q'  value: ms(8, little-endian)
 * One block holds the ids of a batch (ONCE_BLOCK_IDS at most, further ones are the next
 * part): what is only read in sequence is written once a batch.
 *
 * A record is removed ONCE_FUTURE_MS after its retention: an id may be that far
 * ahead of the stamp when it is first used, and must not be young enough to run again after its record has
 * gone. The retention is each node's own setting and can be raised: so how far records were removed is data
 * (the horizon), and no id from before it runs again. */
#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "engine/once.h"
#include "store/keys.h"

void once_block_fini(struct once_block *block)
{
	free(block->bytes);
	memset(block, 0, sizeof *block);
}

void once_block_add(struct once_block *block, struct slice key)
{
	assert(key.len <= ONCE_KEY_MAX);
	if (block->cap - block->len < 2 + key.len) {
		size_t cap = block->cap == 0 ? 4096 : block->cap * 2;
		uint8_t *bytes = realloc(block->bytes, cap);
		if (bytes == NULL) {
			fatal("out of memory: %zu bytes for request ids of a batch", cap);
		}
		block->bytes = bytes;
		block->cap = cap;
	}
	assert(block->cap - block->len >= 2 + key.len);
	uint8_t *p = block->bytes + block->len;
	p[0] = (uint8_t)key.len;
	p[1] = (uint8_t)(key.len >> 8);
	memcpy(p + 2, key.data, key.len);
	block->len += 2 + key.len;
	block->ids++;
}

static void age_key(uint8_t *out, uint64_t stamp_ms, uint64_t index, uint16_t part)
{
	out[0] = TABLE_ONCE_AGE;
	bytes_put_u64_big(out + 1, stamp_ms);
	bytes_put_u64_big(out + 9, index);
	out[17] = (uint8_t)(part >> 8);
	out[18] = (uint8_t)part;
}

static bool take_id(struct slice *block, struct slice *key)
{
	uint16_t len;
	return slice_take_u16(block, &len) && slice_take(block, len, key);
}

int once_block_put(const struct once_block *block, struct txn *txn)
{
	struct slice rest = slice_of(block->bytes, block->len);
	uint8_t key[ONCE_AGE_KEY];
	assert(block->ids <= (size_t)ONCE_BLOCK_IDS * UINT16_MAX);
	for (uint16_t part = 0; rest.len > 0; part++) {
		struct slice begin = rest, id;
		for (size_t i = 0; i < ONCE_BLOCK_IDS && take_id(&rest, &id); i++) {
		}
		age_key(key, txn_now_ms(txn), txn_index(txn), part);
		assert(rest.len < begin.len);
		int rc = txn_put(txn, slice_of(key, sizeof key), slice_of(begin.data, begin.len - rest.len));
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static struct slice horizon_key(void)
{
	static const uint8_t key[] = {TABLE_ONCE_AGE};
	return slice_of(key, sizeof key);
}

int once_horizon(struct txn *txn, uint64_t *made_ms)
{
	struct slice value;
	uint64_t ms = 0;
	int rc = txn_get_hot(txn, horizon_key(), &value);
	if (rc == 0 && (!slice_take_u64(&value, &ms) || value.len != 0)) {
		return ERR_CORRUPT;
	}
	if (rc != 0 && rc != ERR_NOT_FOUND) {
		return rc;
	}
	*made_ms = ms;
	return 0;
}

/* Records of this stamp go, and the ids of some may have been made ONCE_FUTURE_MS later. */
static int raise_horizon(struct txn *txn, uint64_t stamp_ms)
{
	uint64_t old_ms = 0, made_ms = stamp_ms + ONCE_FUTURE_MS;
	uint8_t value[8];
	int rc = once_horizon(txn, &old_ms);
	if (rc != 0 || made_ms <= old_ms) {
		return rc;
	}
	bytes_put_u64(value, made_ms);
	return txn_put(txn, horizon_key(), slice_of(value, sizeof value));
}

static int delete_block(struct txn *txn, struct slice key, struct slice ids, size_t *deleted)
{
	struct slice id;
	size_t count = 0;
	while (take_id(&ids, &id)) {
		if (id.len == 0 || id.len > ONCE_KEY_MAX || id.data[0] != TABLE_ONCE) {
			return ERR_CORRUPT;
		}
		int rc = txn_delete(txn, id);
		if (rc != 0) {
			return rc;
		}
		count++;
	}
	if (ids.len != 0) {
		return ERR_CORRUPT;
	}
	*deleted = count;
	return txn_delete(txn, key);
}

int once_sweep(struct txn *txn, uint8_t *from, uint64_t before_ms, size_t *deleted, bool *more)
{
	uint8_t first[ONCE_AGE_KEY], to[ONCE_AGE_KEY];
	struct slice key, value;
	uint64_t made_ms = 0;
	assert(from[0] == 0 || from[0] == TABLE_ONCE_AGE);
	*deleted = 0;
	*more = false;
	if (before_ms <= ONCE_FUTURE_MS) {
		return 0;
	}
	/* Blocks go in the order of their stamps, and the horizon comes along. Before it lie tombstones, in any number,
	 * and a new leader would stand still while RocksDB walks over them. */
	int rc = from[0] == 0 ? once_horizon(txn, &made_ms) : 0;
	if (rc != 0) {
		return rc;
	}
	age_key(first, made_ms > ONCE_FUTURE_MS ? made_ms - ONCE_FUTURE_MS : 0, 0, 0);
	age_key(to, before_ms - ONCE_FUTURE_MS, 0, 0);
	struct slice start = from[0] == 0 ? slice_of(first, sizeof first) : slice_of(from, ONCE_AGE_KEY);
	if (slice_compare(start, slice_of(to, sizeof to)) >= 0) {
		return 0;
	}
	struct txn_cursor *cursor = txn_cursor_open(txn, start, slice_of(to, sizeof to), false);
	if (txn_cursor_next(cursor, &key, &value)) {
		uint8_t done[ONCE_AGE_KEY];
		if (key.len != ONCE_AGE_KEY) {
			rc = ERR_CORRUPT;
		} else {
			memcpy(done, key.data, sizeof done);
			rc = delete_block(txn, slice_of(done, sizeof done), value, deleted);
			if (rc == 0) {
				rc = raise_horizon(txn, bytes_u64_big(done + 1));
			}
			*more = true;
			memcpy(from, done, sizeof done);
		}
	} else {
		rc = txn_cursor_error(cursor);
	}
	txn_cursor_close(cursor);
	return rc;
}

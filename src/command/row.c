/* The row of a key
 *
 *   key    'k'  db (1)  generation (4, big-endian)  the client's key
 *   value  type (1)     'S' string
 *          flags (1)    1: expires   2: raw   4: plain (OBJECT ENCODING)
 *          version (8)  big-endian, log index << 20 | ordinal of the last write (WATCH)
 *          [at_ms (8)]  big-endian, with flag 1: from this millisecond on the key is gone
 *          the string's bytes
 *
 * The expiry index
 *
 *   key    'x'  at_ms (8, big-endian)  key of the row
 *   value  empty
 *
 * has an entry for every row that expires. It may have more: a plain SET does not
 * read what it overwrites, so an entry can outlive the expiry it was made
 * for. Whoever works through the index compares with the row.
 *
 * A database
 *
 *   key    'g'  db (1)
 *   value  number (1)  generation (4, big-endian)  swept (4, big-endian)  swept to (rest)
 *
 * says which keys are the database's now. It is written with the first key, so
 * that it is there to be cached when it is read with every command.
 *
 * An expired key reads as absent. Who finds one also deletes it: the answer
 * said that its time has passed, and the next leader's clock must not say
 * otherwise (docs/architecture.md, One time). Any write makes the stamp of the batch durable, so one
 * deletion speaks for all that the transaction saw, and a walk over many expired
 * keys stops deleting after ROW_FORGET_MAX writes. On a full disk (txn_is_tight) nothing is
 * deleted: the proof that the answer waits for tells the other members its time, and that must do. */
#include "command/row.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/keys.h"

#define ROW_FORGET_MAX 128
#define SPACE_BYTES 9 /* without what sweeping reached */

/* ---- databases ---- */

int space_get(struct txn *txn, unsigned db, struct space *space)
{
	uint8_t key[2] = {TABLE_KV_DB, (uint8_t)db};
	struct slice value;
	int rc = txn_get_hot(txn, slice_of(key, sizeof(key)), &value);

	if (rc == ERR_NOT_FOUND) {
		*space = (struct space){.number = (uint8_t)db};
		return 0;
	}
	if (rc != 0) {
		return rc;
	}
	if (value.len < SPACE_BYTES || value.len > SPACE_BYTES + ROW_PREFIX + LIMIT_KEY) {
		return ERR_CORRUPT;
	}
	*space = (struct space){
		.number = value.data[0],
		.generation = bytes_u32_big(value.data + 1),
		.swept = bytes_u32_big(value.data + 5),
		.swept_to = slice_skip(value, SPACE_BYTES),
		.stored = true,
	};
	return space->swept <= space->generation ? 0 : ERR_CORRUPT;
}

int space_put(struct txn *txn, unsigned db, const struct space *space)
{
	uint8_t key[2] = {TABLE_KV_DB, (uint8_t)db};
	uint8_t value[SPACE_BYTES + ROW_PREFIX + LIMIT_KEY];

	assert(space->swept <= space->generation);
	assert(space->swept_to.len <= ROW_PREFIX + LIMIT_KEY);
	value[0] = space->number;
	bytes_put_u32_big(value + 1, space->generation);
	bytes_put_u32_big(value + 5, space->swept);
	if (space->swept_to.len > 0) {
		memcpy(value + SPACE_BYTES, space->swept_to.data, space->swept_to.len);
	}
	return txn_put(txn, slice_of(key, sizeof(key)), slice_of(value, SPACE_BYTES + space->swept_to.len));
}

void space_prefix(const struct space *space, uint32_t generation, uint8_t prefix[ROW_PREFIX])
{
	prefix[0] = TABLE_KV;
	prefix[1] = space->number;
	bytes_put_u32_big(prefix + 2, generation);
}

/* The first bytes behind all that begin with prefix: its last byte below 0xff one up. */
static size_t raise_prefix(uint8_t *bytes, size_t len)
{
	while (len > 0 && bytes[len - 1] == 0xff) {
		len--;
	}
	assert(len > 0); /* the table's letter is below 0xff */
	bytes[len - 1]++;
	return len;
}

void space_range(const struct space *space, struct slice prefix, struct arena *arena, struct slice *from,
                 struct slice *to)
{
	size_t len = ROW_PREFIX + prefix.len;
	uint8_t *begin = arena_alloc(arena, len);
	uint8_t *end = arena_alloc(arena, len);

	space_prefix(space, space->generation, begin);
	if (prefix.len > 0) {
		memcpy(begin + ROW_PREFIX, prefix.data, prefix.len);
	}
	memcpy(end, begin, len);
	*from = slice_of(begin, len);
	*to = slice_of(end, raise_prefix(end, len));
}

/* ---- one row ---- */

static struct slice key_of(const struct row *row)
{
	return slice_of(row->key, row->key_len);
}

/* Fills in all that does not come from the row itself. */
static int aim(struct row *row, struct txn *txn, struct arena *arena, unsigned db, struct slice key,
               struct space *space)
{
	int rc = space_get(txn, db, space);

	if (rc != 0) {
		return rc;
	}
	row->txn = txn;
	row->arena = arena;
	row->found = false;
	row->type = row->flags = 0;
	row->version = row->expire_at_ms = 0;
	row->bytes = SLICE_NONE;
	row->db = (uint8_t)db;
	row->space_stored = space->stored;
	row->key_fits = key.len <= LIMIT_KEY;
	row->key_len = ROW_PREFIX + (row->key_fits ? key.len : 0);
	space_prefix(space, space->generation, row->key);
	if (row->key_fits && key.len > 0) {
		memcpy(row->key + ROW_PREFIX, key.data, key.len);
	}
	return 0;
}

bool row_head_decode(struct slice value, struct row_head *head)
{
	if (value.len < ROW_HEAD_MIN) {
		return false;
	}
	*head = (struct row_head){value.data[0], value.data[1], bytes_u64_big(value.data + 2), 0, ROW_HEAD_MIN};
	if (head->flags & ROW_EXPIRES) {
		if (value.len < ROW_HEAD_MAX) {
			return false;
		}
		head->expire_at_ms = bytes_u64_big(value.data + ROW_HEAD_MIN);
		head->len = ROW_HEAD_MAX;
	}
	return true;
}

static bool decode_value(struct slice value, struct row *row)
{
	struct row_head head;

	if (!row_head_decode(value, &head)) {
		return false;
	}
	row->type = head.type;
	row->flags = head.flags;
	row->version = head.version;
	row->expire_at_ms = head.expire_at_ms;
	row->bytes = slice_skip(value, head.len);
	row->found = true;
	return true;
}

static bool expired(const struct row *row, const struct txn *txn)
{
	return (row->flags & ROW_EXPIRES) != 0 && row->expire_at_ms <= txn_now_ms(txn);
}

static size_t index_key(uint8_t *out, uint64_t at_ms, struct slice row_key)
{
	out[0] = TABLE_KV_EXPIRY;
	bytes_put_u64_big(out + 1, at_ms);
	memcpy(out + 9, row_key.data, row_key.len);
	return 9 + row_key.len;
}

#define INDEX_KEY_MAX (9 + ROW_PREFIX + LIMIT_KEY)
_Static_assert(INDEX_KEY_MAX <= LIMIT_ROW_KEY, "an entry of the expiry index is a key of the database");

static int index_delete(struct txn *txn, uint64_t at_ms, struct slice row_key)
{
	uint8_t key[INDEX_KEY_MAX];
	return txn_delete(txn, slice_of(key, index_key(key, at_ms, row_key)));
}

static int index_put(struct txn *txn, uint64_t at_ms, struct slice row_key)
{
	uint8_t key[INDEX_KEY_MAX];
	return txn_put(txn, slice_of(key, index_key(key, at_ms, row_key)), SLICE_NONE);
}

int row_forget_expired(struct txn *txn, struct slice row_key, uint64_t expire_at_ms)
{
	int rc;

	assert(row_key.len <= ROW_PREFIX + LIMIT_KEY);
	if (txn_is_tight(txn) || txn_write_count(txn) >= ROW_FORGET_MAX) {
		return 0;
	}
	rc = txn_delete(txn, row_key);
	return rc != 0 ? rc : index_delete(txn, expire_at_ms, row_key);
}

int row_find(struct row *row, struct txn *txn, struct arena *arena, unsigned db, struct slice key)
{
	struct space space;
	struct slice value;
	int rc = aim(row, txn, arena, db, key, &space);

	if (rc != 0 || !row->key_fits) {
		return rc;
	}
	txn_spend(txn, ROW_STEPS_FOUND);
	if (txn_spent(txn) > LIMIT_QUEUE_STEPS) {
		return ERR_TOO_LARGE; /* one EXISTS may name as many keys as its request holds */
	}
	rc = txn_get(txn, key_of(row), &value);
	if (rc != 0) {
		return rc == ERR_NOT_FOUND ? 0 : rc;
	}
	if (!decode_value(value, row)) {
		return ERR_CORRUPT;
	}
	if (!expired(row, txn)) {
		return 0;
	}
	rc = row_forget_expired(txn, key_of(row), row->expire_at_ms);
	row->found = false;
	row->flags = 0;
	row->version = row->expire_at_ms = 0;
	row->bytes = SLICE_NONE;
	return rc;
}

int row_aim(struct row *row, struct txn *txn, struct arena *arena, unsigned db, struct slice key)
{
	struct space space;
	return aim(row, txn, arena, db, key, &space);
}

bool row_decode(struct txn *txn, struct slice row_key, struct slice value, struct slice *key, struct row *row)
{
	row->found = false;
	row->flags = 0;
	row->expire_at_ms = 0;
	if (row_key.len < ROW_PREFIX || !decode_value(value, row)) {
		return false;
	}
	*key = slice_skip(row_key, ROW_PREFIX);
	row->found = !expired(row, txn);
	return row->found;
}

/* ---- writing ---- */

#define SMALL_VALUE 512

/* The database's own row, with its first key. */
static int ensure_space(struct row *row)
{
	struct space space = {.number = row->db};

	if (row->space_stored) {
		return 0;
	}
	row->space_stored = true;
	return space_put(row->txn, row->db, &space);
}

int row_put(struct row *row, struct slice bytes, uint8_t flags, uint64_t expire_at_ms)
{
	uint8_t small[SMALL_VALUE];
	size_t head = expire_at_ms == 0 ? ROW_HEAD_MIN : ROW_HEAD_MAX;
	uint8_t *value = head + bytes.len <= sizeof(small) ? small : arena_alloc(row->arena, head + bytes.len);
	int rc;

	assert(expire_at_ms == 0 || expire_at_ms > txn_now_ms(row->txn)); /* command_expire_due relies on it */
	if (!row->key_fits || bytes.len > LIMIT_VALUE) {
		return ERR_TOO_LARGE;
	}
	rc = ensure_space(row);
	if (rc != 0) {
		return rc;
	}
	if (row->found && row->expire_at_ms != 0 && row->expire_at_ms != expire_at_ms) {
		rc = index_delete(row->txn, row->expire_at_ms, key_of(row));
		if (rc != 0) {
			return rc;
		}
	}
	if (expire_at_ms != 0 && (!row->found || row->expire_at_ms != expire_at_ms)) {
		rc = index_put(row->txn, expire_at_ms, key_of(row));
		if (rc != 0) {
			return rc;
		}
	}
	if (expire_at_ms != 0) {
		bytes_put_u64_big(value + ROW_HEAD_MIN, expire_at_ms);
	}
	value[0] = ROW_STRING;
	value[1] = (uint8_t)((flags & (ROW_RAW | ROW_PLAIN)) | (expire_at_ms != 0 ? ROW_EXPIRES : 0));
	bytes_put_u64_big(value + 2, txn_index(row->txn) << 20 | txn_ordinal(row->txn));
	if (bytes.len > 0) {
		memcpy(value + head, bytes.data, bytes.len);
	}
	return txn_put(row->txn, key_of(row), slice_of(value, head + bytes.len));
}

int row_delete(struct row *row)
{
	int rc;

	assert(row->found);
	if (row->expire_at_ms != 0) {
		rc = index_delete(row->txn, row->expire_at_ms, key_of(row));
		if (rc != 0) {
			return rc;
		}
	}
	return txn_delete(row->txn, key_of(row));
}

size_t row_bytes(const struct row *row)
{
	bool expires = row->expire_at_ms != 0;
	uint8_t key[INDEX_KEY_MAX];

	assert(row->found);
	return row->key_len + (expires ? ROW_HEAD_MAX : ROW_HEAD_MIN) + row->bytes.len +
	       (expires ? index_key(key, row->expire_at_ms, key_of(row)) : 0);
}

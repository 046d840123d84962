/* Times of keys: EXPIRE and TTL families, and the background deletion of what has expired. */
#include "command/room.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/keys.h"

/* ---- EXPIRE and its sisters ---- */

enum expire_option { EXPIRE_NX = 1, EXPIRE_XX = 2, EXPIRE_GT = 4, EXPIRE_LT = 8 };

static bool parse_expire_options(struct command_call *call, unsigned *options)
{
	static const char *const words[] = {"NX", "XX", "GT", "LT"};

	*options = 0;
	for (size_t at = 3; at < call->argc; at++) {
		size_t i = 0;
		while (i < 4 && !argument_is(call, at, words[i])) {
			i++;
		}
		if (i == 4) {
			reply_error(call->reply, "ERR Unsupported option %.*s", (int)call->argv[at].len,
			            (const char *)call->argv[at].data);
			return false;
		}
		*options |= 1u << i;
	}
	if ((*options & EXPIRE_NX) && (*options & ~(unsigned)EXPIRE_NX)) {
		reply_error(call->reply, "ERR NX and XX, GT or LT options at the same time are not compatible");
		return false;
	}
	if ((*options & EXPIRE_GT) && (*options & EXPIRE_LT)) {
		reply_error(call->reply, "ERR GT and LT options at the same time are not compatible");
		return false;
	}
	return true;
}

/* A time of EXPIRE may lie in the past, even before 1970. */
static bool argument_when(struct command_call *call, bool seconds, bool relative, int64_t *when)
{
	if (!argument_integer(call, 2, when)) {
		return false;
	}
	if ((seconds && __builtin_mul_overflow(*when, 1000, when)) ||
	    (relative && __builtin_add_overflow(*when, (int64_t)txn_now_ms(call->txn), when))) {
		reply_expire_invalid(call);
		return false;
	}
	return true;
}

/* A key that never expires counts as later than every time. */
static bool options_allow(unsigned options, const struct row *row, int64_t when)
{
	bool expires = row->expire_at_ms != 0;
	int64_t current = (int64_t)row->expire_at_ms;

	if ((options & EXPIRE_NX) && expires) {
		return false;
	}
	if ((options & EXPIRE_XX) && !expires) {
		return false;
	}
	if ((options & EXPIRE_GT) && (!expires || when <= current)) {
		return false;
	}
	return !((options & EXPIRE_LT) && expires && when >= current);
}

static int expire_at(struct command_call *call, bool seconds, bool relative)
{
	struct row row;
	unsigned options;
	int64_t when;
	int rc;

	if (!parse_expire_options(call, &options) || !argument_when(call, seconds, relative, &when)) {
		return 0;
	}
	rc = row_find(&row, call->txn, call->arena, call->db, call->argv[1]);
	if (rc != 0) {
		return rc;
	}
	if (!row.found || !options_allow(options, &row, when)) {
		reply_integer(call->reply, 0);
		return 0;
	}
	reply_integer(call->reply, 1);
	if (when <= (int64_t)txn_now_ms(call->txn)) {
		return row_delete(&row);
	}
	return row_put(&row, row.bytes, row.flags, (uint64_t)when);
}

int expire_command(struct command_call *call)
{
	return expire_at(call, true, true);
}

int pexpire_command(struct command_call *call)
{
	return expire_at(call, false, true);
}

int expireat_command(struct command_call *call)
{
	return expire_at(call, true, false);
}

int pexpireat_command(struct command_call *call)
{
	return expire_at(call, false, false);
}

int persist_command(struct command_call *call)
{
	struct row row;
	int rc = row_find(&row, call->txn, call->arena, call->db, call->argv[1]);

	if (rc != 0) {
		return rc;
	}
	if (!row.found || row.expire_at_ms == 0) {
		reply_integer(call->reply, 0);
		return 0;
	}
	reply_integer(call->reply, 1);
	return row_put(&row, row.bytes, row.flags, 0);
}

/* ---- TTL and its sisters ---- */

static int tell_time(struct command_call *call, bool seconds, bool relative)
{
	struct row row;
	uint64_t time;
	int rc = row_find(&row, call->txn, call->arena, call->db, call->argv[1]);

	if (rc != 0) {
		return rc;
	}
	if (!row.found || row.expire_at_ms == 0) {
		reply_integer(call->reply, row.found ? -1 : -2);
		return 0;
	}
	time = relative ? row.expire_at_ms - txn_now_ms(call->txn) : row.expire_at_ms;
	reply_integer(call->reply, (int64_t)(seconds ? (time + 500) / 1000 : time));
	return 0;
}

int ttl_command(struct command_call *call)
{
	return tell_time(call, true, true);
}

int pttl_command(struct command_call *call)
{
	return tell_time(call, false, true);
}

int expiretime_command(struct command_call *call)
{
	return tell_time(call, true, false);
}

int pexpiretime_command(struct command_call *call)
{
	return tell_time(call, false, false);
}

/* ---- in the background ---- */

/* One entry of the index that is due: the entry goes, and the row if this is still its time. */
static int expire_entry(struct txn *txn, struct slice entry, uint64_t at_ms, size_t *deleted)
{
	struct slice row_key = slice_skip(entry, 9), value, key;
	struct row row;
	int rc = txn_get(txn, row_key, &value);

	if (rc != 0 && rc != ERR_NOT_FOUND) {
		return rc;
	}
	if (rc == 0 && !row_decode(txn, row_key, value, &key, &row) && row.expire_at_ms == at_ms) {
		rc = txn_delete(txn, row_key);
		if (rc != 0) {
			return rc;
		}
		*deleted += 1;
	}
	return txn_delete(txn, entry);
}

/* How far the index is worked off: 'g' 0xff -> at_ms (8, big-endian). Before that time lie only tombstones, which
 * RocksDB would walk over each time: of keys that have expired, and of those that were removed before (a lock that is
 * given back). Millions may have one time, so the leader remembers the very entry (struct command_expiry). No entry
 * can come there any more: rows are written with times after the stamp only. */
static const uint8_t progress_key[2] = {TABLE_KV_DB, 0xff};

static void place_at(struct command_expiry *place, uint64_t at_ms)
{
	place->len = 9;
	place->key[0] = TABLE_KV_EXPIRY;
	bytes_put_u64_big(place->key + 1, at_ms);
}

bool command_expiry_is_time(const struct command_expiry *place, uint64_t *at_ms)
{
	if (place->len != 9) {
		return false;
	}
	*at_ms = bytes_u64_big(place->key + 1);
	return true;
}

static int progress_get(struct txn *txn, uint64_t *at_ms)
{
	struct slice value;
	int rc = txn_get_hot(txn, slice_of(progress_key, sizeof(progress_key)), &value);

	*at_ms = 0;
	if (rc == ERR_NOT_FOUND) {
		return 0;
	}
	if (rc == 0 && value.len != 8) {
		return ERR_CORRUPT;
	}
	if (rc == 0) {
		*at_ms = bytes_u64_big(value.data);
	}
	return rc;
}

static int progress_put(struct txn *txn, const struct command_expiry *place)
{
	return txn_put(txn, slice_of(progress_key, sizeof(progress_key)), slice_of(place->key + 1, 8));
}

/* Works off at most max entries from place on and before `to`; the last of them is the place then. */
static int expire_entries(struct txn *txn, struct command_expiry *place, struct slice to, size_t max, size_t *deleted,
                          size_t *seen)
{
	struct txn_cursor *cursor = txn_cursor_open(txn, slice_of(place->key, place->len), to, false);
	struct slice entry, value;
	int rc = 0;

	while (rc == 0 && *seen < max && txn_cursor_next(cursor, &entry, &value)) {
		if (entry.len <= 9 || entry.len > sizeof(place->key)) {
			rc = ERR_CORRUPT;
			break;
		}
		place->len = entry.len; /* a copy: the entry is the cursor's, and we write */
		memcpy(place->key, entry.data, entry.len);
		rc = expire_entry(txn, slice_of(place->key, place->len), bytes_u64_big(place->key + 1), deleted);
		*seen += 1;
	}
	if (rc == 0) {
		rc = txn_cursor_error(cursor);
	}
	txn_cursor_close(cursor);
	return rc;
}

int command_expire_due(struct txn *txn, struct command_expiry *place, size_t max, size_t *deleted, bool *more)
{
	uint8_t to[9] = {TABLE_KV_EXPIRY};
	uint64_t at_ms, now_ms = txn_now_ms(txn);
	size_t seen = 0;
	int rc = 0;

	*deleted = 0;
	*more = false;
	if (place->len == 0) {
		rc = progress_get(txn, &at_ms);
		place_at(place, at_ms);
	}
	bytes_put_u64_big(to + 1, now_ms + 1);
	if (rc != 0 || memcmp(place->key, to, sizeof(to)) >= 0) {
		return rc; /* all of this millisecond is worked off */
	}
	rc = expire_entries(txn, place, slice_of(to, sizeof(to)), max, deleted, &seen);
	if (rc != 0) {
		return rc;
	}
	if (seen == 0) {
		place_at(place, now_ms + 1);
		return 0;
	}
	*more = seen == max; /* perhaps: the next step finds out */
	return progress_put(txn, place);
}

int command_expire_note(struct txn *txn, const struct command_expiry *place)
{
	uint64_t at_ms = 0, noted_ms;
	bool is_time = command_expiry_is_time(place, &at_ms);
	int rc = progress_get(txn, &noted_ms);

	assert(is_time);
	return rc != 0 || at_ms <= noted_ms ? rc : progress_put(txn, place);
}

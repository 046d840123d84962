/* Formats.
 *
 * Once record, table 'o':  key 'o' user-length(1) user id
 *   offset  size  field
 *   0       1     version, 1
 *   1       1     outcome (0 done, 1 refused, 2 conflict)
 *   2       2     zero
 *   4       4     ordinal in the batch
 *   8       8     index
 *   16      8     stamp, ms
 *   24      16    fingerprint (low, high; once_is_same)
 *   40      n     reply in RESP3 */
#include "engine/once.h"

#include <assert.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "store/keys.h"

#define ONCE_VERSION 1
#define ONCE_HEAD 40

struct slice once_key(uint8_t *out, struct slice user, struct slice id)
{
	assert(user.len <= ONCE_USER_MAX);
	assert(id.len > 0);
	assert(id.len <= LIMIT_REQUEST_ID);
	out[0] = TABLE_ONCE;
	out[1] = (uint8_t)user.len;
	if (user.len > 0) {
		memcpy(out + 2, user.data, user.len);
	}
	memcpy(out + 2 + user.len, id.data, id.len);
	return slice_of(out, 2 + user.len + id.len);
}

struct slice once_encode(const struct once_record *record, struct arena *arena)
{
	assert(record->reply.len > 0);
	assert(record->reply.len <= LIMIT_ONCE_REPLY);
	assert(record->outcome <= OUTCOME_CONFLICT);
	size_t len = ONCE_HEAD + record->reply.len;
	uint8_t *p = arena_alloc(arena, len);
	p[0] = ONCE_VERSION;
	p[1] = (uint8_t)record->outcome;
	p[2] = p[3] = 0;
	bytes_put_u32(p + 4, record->ordinal);
	bytes_put_u64(p + 8, record->index);
	bytes_put_u64(p + 16, record->stamp_ms);
	bytes_put_u64(p + 24, record->fingerprint.low);
	bytes_put_u64(p + 32, record->fingerprint.high);
	memcpy(p + ONCE_HEAD, record->reply.data, record->reply.len);
	return slice_of(p, len);
}

int once_decode(struct slice value, struct once_record *record)
{
	uint8_t version, outcome;
	uint16_t zero;
	struct once_record r;
	if (!slice_take_u8(&value, &version) || !slice_take_u8(&value, &outcome) ||
	    !slice_take_u16(&value, &zero) || !slice_take_u32(&value, &r.ordinal) ||
	    !slice_take_u64(&value, &r.index) || !slice_take_u64(&value, &r.stamp_ms) ||
	    !slice_take_u64(&value, &r.fingerprint.low) || !slice_take_u64(&value, &r.fingerprint.high)) {
		return ERR_CORRUPT;
	}
	if (version != ONCE_VERSION || zero != 0 || outcome > OUTCOME_CONFLICT || value.len == 0) {
		return ERR_CORRUPT;
	}
	r.outcome = (enum outcome)outcome;
	r.reply = value;
	*record = r;
	return 0;
}

/* ---- ids that carry a time ---- */

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9') {
		return c - '0';
	}
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* xxxxxxxx-xxxx-7xxx-[89ab]xxx-xxxxxxxxxxxx: the first 48 bits are milliseconds since 1970 (RFC 9562). */
static bool uuid7_time(struct slice id, uint64_t *made_ms)
{
	uint64_t ms = 0;
	if (id.len != 36 || id.data[14] != '7') {
		return false;
	}
	for (size_t i = 0; i < 36; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (id.data[i] != '-') {
				return false;
			}
			continue;
		}
		int digit = hex_digit(id.data[i]);
		if (digit < 0) {
			return false;
		}
		if (i < 13) {
			ms = ms << 4 | (uint64_t)digit;
		}
	}
	if ((hex_digit(id.data[19]) & 0xc) != 0x8) {
		return false;
	}
	assert(ms >> 48 == 0);
	*made_ms = ms;
	return true;
}

/* 26 letters of Crockford's base 32, upper case, the first at most '7'; ten of them are the time. A random id
 * may look the same: one whose time is not in this century and a little is taken for random. */
static bool ulid_time(struct slice id, uint64_t *made_ms)
{
	static const char letters[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	const uint64_t year_2010 = 1262304000000, year_2100 = 4102444800000;
	uint64_t ms = 0;
	if (id.len != 26 || id.data[0] > '7') {
		return false;
	}
	for (size_t i = 0; i < 26; i++) {
		const char *at = id.data[i] == 0 ? NULL : strchr(letters, id.data[i]);
		if (at == NULL) {
			return false;
		}
		if (i < 10) {
			ms = ms << 5 | (uint64_t)(at - letters);
		}
	}
	if (ms < year_2010 || ms > year_2100) {
		return false;
	}
	*made_ms = ms;
	return true;
}

bool once_id_time(struct slice id, uint64_t *made_ms)
{
	return uuid7_time(id, made_ms) || ulid_time(id, made_ms);
}

enum code once_id_check(struct slice id, uint64_t now_ms, uint64_t retention_ms)
{
	uint64_t made_ms;
	if (!once_id_time(id, &made_ms)) {
		return CODE_NONE;
	}
	if (made_ms > now_ms + ONCE_FUTURE_MS) {
		return CODE_ID_IN_FUTURE;
	}
	return made_ms + retention_ms < now_ms ? CODE_ID_TOO_OLD : CODE_NONE;
}

#include "raft/wal/segment.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

static const char magic[] = "TALLYLOG";
#define MAGIC_BYTES 8
#define SEGMENT_VERSION 1
/* Segments are smaller than this: number and offset share one seed. */
#define OFFSET_BITS 36

void segment_head_encode(uint8_t out[SEGMENT_HEAD], struct segment_head *head)
{
	assert(head->first_index > 0);
	memset(out, 0, SEGMENT_HEAD);
	memcpy(out + 8, magic, MAGIC_BYTES);
	bytes_put_u32(out + 16, SEGMENT_VERSION);
	bytes_put_u64(out + 24, head->number);
	bytes_put_u64(out + 32, head->log_id);
	bytes_put_u64(out + 40, head->salt);
	bytes_put_u64(out + 48, head->first_index);
	bytes_put_u64(out + 56, head->previous_term);
	bytes_put_u64(out + 64, head->previous_chain.low);
	bytes_put_u64(out + 72, head->previous_chain.high);
	bytes_put_u64(out + 80, head->previous_end);
	head->link = checksum64_at(slice_of(out + 8, SEGMENT_HEAD - 8), head->number);
	bytes_put_u64(out, head->link);
}

int segment_head_decode(struct slice segment, uint64_t number, struct segment_head *head)
{
	if (segment.len < SEGMENT_HEAD) {
		return ERR_CORRUPT;
	}
	const uint8_t *at = segment.data;
	uint64_t sum = checksum64_at(slice_of(at + 8, SEGMENT_HEAD - 8), number);
	if (bytes_u64(at) != sum || memcmp(at + 8, magic, MAGIC_BYTES) != 0 || bytes_u64(at + 24) != number) {
		return ERR_CORRUPT;
	}
	if (bytes_u32(at + 16) != SEGMENT_VERSION) {
		return ERR_VERSION;
	}
	if (bytes_u64(at + 48) == 0) {
		return ERR_CORRUPT;
	}
	*head = (struct segment_head){
		.number = number,
		.log_id = bytes_u64(at + 32),
		.salt = bytes_u64(at + 40),
		.first_index = bytes_u64(at + 48),
		.previous_term = bytes_u64(at + 56),
		.previous_chain = {bytes_u64(at + 64), bytes_u64(at + 72)},
		.previous_end = bytes_u64(at + 80),
		.link = sum,
	};
	return 0;
}

static uint64_t position(uint64_t number, uint64_t offset)
{
	return number << OFFSET_BITS ^ offset;
}

void record_encode(uint8_t *out, uint64_t number, uint64_t offset, struct record *record,
		   struct slice payload)
{
	assert(offset % 8 == 0);
	assert(offset >> OFFSET_BITS == 0);
	assert(record->len == payload.len);
	assert(record->synced <= offset);
	assert(record->kind >= RECORD_ENTRY);
	assert(record->kind <= RECORD_MARK);
	assert(record->len <= LIMIT_ENTRY);
	bytes_put_u64(out + 8, checksum64(payload));
	bytes_put_u64(out + 16, record->link);
	bytes_put_u32(out + 24, record->len);
	out[28] = record->kind;
	out[29] = record->type;
	bytes_put_u16(out + 30, 0);
	bytes_put_u64(out + 32, record->synced);
	bytes_put_u64(out + 40, record->index);
	bytes_put_u64(out + 48, record->term);
	bytes_put_u64(out + 56, record->chain.low);
	bytes_put_u64(out + 64, record->chain.high);
	record->sum = checksum64_at(slice_of(out + 8, RECORD_HEAD - 8), position(number, offset));
	bytes_put_u64(out, record->sum);
	if (payload.len > 0) {
		memcpy(out + RECORD_HEAD, payload.data, payload.len);
	}
	size_t padding = (size_t)(record_bytes(record->len) - RECORD_HEAD - payload.len);
	memset(out + RECORD_HEAD + payload.len, 0, padding);
}

/* Length, kind, type and zeroes are possible: one look, for a segment is searched at every eighth byte. */
static bool looks_like_head(const uint8_t *at)
{
	uint64_t word = bytes_u64(at + 24);
	uint64_t kind = word >> 32 & 0xff;
	return word >> 48 == 0 && kind >= RECORD_ENTRY && kind <= RECORD_MARK &&
	       (uint32_t)word <= LIMIT_ENTRY;
}

int record_head_decode(struct slice bytes, uint64_t base, uint64_t number, uint64_t offset,
		       struct record *record)
{
	if (offset < base || offset - base > bytes.len || bytes.len - (offset - base) < RECORD_HEAD) {
		return ERR_CORRUPT;
	}
	const uint8_t *at = bytes.data + (offset - base);
	uint64_t sum = bytes_u64(at);
	if (!looks_like_head(at) ||
	    sum != checksum64_at(slice_of(at + 8, RECORD_HEAD - 8), position(number, offset))) {
		return ERR_CORRUPT;
	}
	*record = (struct record){
		.kind = at[28],
		.type = at[29],
		.len = bytes_u32(at + 24),
		.link = bytes_u64(at + 16),
		.synced = bytes_u64(at + 32),
		.index = bytes_u64(at + 40),
		.term = bytes_u64(at + 48),
		.chain = {bytes_u64(at + 56), bytes_u64(at + 64)},
		.sum = sum,
	};
	return record->synced <= offset ? 0 : ERR_CORRUPT;
}

int record_decode(struct slice bytes, uint64_t base, uint64_t number, uint64_t offset, struct record *record,
		  struct slice *payload)
{
	struct record found;
	int status = record_head_decode(bytes, base, number, offset, &found);
	if (status != 0) {
		return status;
	}
	size_t at = (size_t)(offset - base);
	if (bytes.len - at < record_bytes(found.len)) {
		return ERR_CORRUPT;
	}
	struct slice content = slice_of(bytes.data + at + RECORD_HEAD, found.len);
	if (bytes_u64(bytes.data + at + 8) != checksum64(content)) {
		return ERR_CORRUPT;
	}
	for (size_t i = found.len; i < record_bytes(found.len) - RECORD_HEAD; i++) {
		if (content.data[i] != 0) {
			return ERR_CORRUPT;
		}
	}
	*record = found;
	*payload = content;
	return 0;
}

/* A group whose first record says that it was meant for another place: the disk put it here. What should lie
 * here is lost, and what was meant for there never came. */
static bool misdirected(struct slice segment, uint64_t number, uint64_t at)
{
	struct record record;
	uint64_t meant = bytes_u64(segment.data + at + 32);
	return meant != at && record_head_decode(slice_skip(segment, at), meant, number, meant, &record) == 0;
}

bool segment_proves(struct slice segment, uint64_t number, uint64_t offset, uint64_t link)
{
	struct record record;
	uint64_t next_group = segment_group_start(offset);
	/* The next group begins, and not behind the record in front of offset: one is missing between. A
	 * record of the damaged group may begin there too, by chance. */
	if (offset < next_group && record_head_decode(segment, 0, number, next_group, &record) == 0 &&
	    record.synced == next_group && record.link != link) {
		return true;
	}
	for (uint64_t at = (offset + 7) & ~(uint64_t)7; at + RECORD_HEAD <= segment.len; at += 8) {
		if (!looks_like_head(segment.data + at)) {
			continue;
		}
		if (record_head_decode(segment, 0, number, at, &record) == 0 && record.synced > next_group) {
			return true;
		}
		if (misdirected(segment, number, at)) {
			return true;
		}
	}
	return false;
}

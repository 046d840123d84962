#include "raft/wal/mend.h"

#include "base/limits.h"

/* Whether what begins at offset is whole; link is that of the record before. */
typedef bool (*mend_test)(struct slice bytes, uint64_t number, uint64_t offset, uint64_t link);

static bool is_head(struct slice bytes, uint64_t number, uint64_t offset, uint64_t link)
{
	struct segment_head head;
	(void)offset, (void)link;
	return segment_head_decode(bytes, number, &head) == 0;
}

static bool is_record(struct slice bytes, uint64_t number, uint64_t offset, uint64_t link)
{
	struct record record;
	struct slice payload;
	return record_decode(bytes, 0, number, offset, &record, &payload) == 0 && record.link == link;
}

/* Turns each bit in [from, to) in turn, until what begins at offset is whole. */
static bool mend_search(struct slice bytes, uint64_t number, uint64_t offset, uint64_t link, uint64_t from,
			uint64_t to, mend_test test, struct mend *mend)
{
	uint8_t *at = (uint8_t *)bytes.data;
	for (uint64_t i = from; i < to && i < bytes.len; i++) {
		for (unsigned bit = 1; bit <= 0x80; bit <<= 1) {
			at[i] ^= (uint8_t)bit;
			if (test(bytes, number, offset, link)) {
				*mend = (struct mend){.number = number, .offset = i, .bit = (uint8_t)bit};
				return true;
			}
			at[i] ^= (uint8_t)bit;
		}
	}
	return false;
}

bool mend_head(struct slice bytes, uint64_t number, struct mend *mend)
{
	return bytes.len >= SEGMENT_HEAD && mend_search(bytes, number, 0, 0, 0, SEGMENT_HEAD, is_head, mend);
}

bool mend_record(struct slice bytes, uint64_t number, uint64_t offset, uint64_t link, struct mend *mend)
{
	struct record record;
	if (record_head_decode(bytes, 0, number, offset, &record) != 0 || record.link != link) {
		/* The payload must be whole as it is: there is one bit, and it was in the head. */
		return mend_search(bytes, number, offset, link, offset, offset + RECORD_HEAD, is_record,
				   mend);
	}
	return record.len <= MEND_PAYLOAD_MAX &&
	       mend_search(bytes, number, offset, link, offset + RECORD_HEAD,
			   offset + record_bytes(record.len), is_record, mend);
}

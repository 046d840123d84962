#include "raft/wal/mend.h"

#include "base/limits.h"
#include "raft/flip.h"

/* What begins at offset of a segment, and the link of the record before. */
struct suspect {
	struct slice bytes;
	uint64_t number, offset, link;
};

static bool is_head(void *owner)
{
	const struct suspect *suspect = owner;
	struct segment_head head;
	return segment_head_decode(suspect->bytes, suspect->number, &head) == 0;
}

static bool is_record(void *owner)
{
	const struct suspect *suspect = owner;
	struct record record;
	struct slice payload;
	return record_decode(suspect->bytes, 0, suspect->number, suspect->offset, &record, &payload) == 0 &&
	       record.link == suspect->link;
}

/* The bit is looked for in [from, to). */
static bool mend_search(struct suspect *suspect, uint64_t from, uint64_t to, bool (*whole)(void *owner),
			struct mend *mend)
{
	struct flip flip;
	to = to < suspect->bytes.len ? to : suspect->bytes.len;
	if (!flip_mend((uint8_t *)suspect->bytes.data, from, to, whole, suspect, &flip)) {
		return false;
	}
	*mend = (struct mend){.number = suspect->number, .offset = flip.offset, .bit = flip.bit};
	return true;
}

bool mend_head(struct slice bytes, uint64_t number, struct mend *mend)
{
	struct suspect suspect = {.bytes = bytes, .number = number};
	return bytes.len >= SEGMENT_HEAD && mend_search(&suspect, 0, SEGMENT_HEAD, is_head, mend);
}

bool mend_record(struct slice bytes, uint64_t number, uint64_t offset, uint64_t link, struct mend *mend)
{
	struct suspect suspect = {bytes, number, offset, link};
	struct record record;
	if (record_head_decode(bytes, 0, number, offset, &record) != 0 || record.link != link) {
		/* The payload must be whole as it is: there is one bit, and it was in the head. */
		return mend_search(&suspect, offset, offset + RECORD_HEAD, is_record, mend);
	}
	return record.len <= MEND_PAYLOAD_MAX &&
	       mend_search(&suspect, offset + RECORD_HEAD, offset + record_bytes(record.len), is_record, mend);
}

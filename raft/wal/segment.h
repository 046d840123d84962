/* One segment of the log: bytes, nothing that touches the world.
 *
 * A log is a directory of files "%016llx.log", numbered without a gap. Each has
 * its whole size before it is used, so that a sync of new records carries data
 * only: it was zeroed, or it is an older segment that was trimmed (in between a
 * file "%016llx.free"). What such a file still holds is no record here, for the
 * checksums say for which segment a record was made. Nothing that counts is ever
 * overwritten: a truncation is a record of its own.
 *
 * Integers are little-endian. A segment begins with a head of 96 bytes, written
 * together with its first group of records (at a start of the node: after them):
 *
 *   offset  size  field
 *   0       8     XXH3-64 of bytes 8..96, seeded with the segment's number
 *   8       8     "TALLYLOG"
 *   16      4     version, 1
 *   20      4     zero
 *   24      8     number of this segment
 *   32      8     log id: drawn when the log was made, also in the vote file
 *   40      8     salt, drawn when the segment was opened
 *   48      8     first index: the index of the next entry when it was opened
 *   56      8     term of the entry before that, 0 for none
 *   64      16    chain of the entry before that
 *   80      8     end of the segment before: what lies behind it there was never
 *                 acknowledged, or is written again in this segment; 0: the first
 *   88      8     zero
 *
 * Records follow, each a head of 72 bytes and the payload. A group begins at a
 * multiple of 512, so that a torn write of it harms no sector of an earlier one
 * (one written with the head: at 96); its records follow each
 * other at multiples of 8:
 *
 *   0       8     XXH3-64 of bytes 8..72, seeded with segment number and offset
 *   8       8     XXH3-64 of the payload
 *   16      8     link: the first field of the record before, or of the segment's head
 *   24      4     bytes of payload
 *   28      1     kind: 1 entry, 2 truncate, 3 mark
 *   29      1     type of the entry, else 0
 *   30      2     zero
 *   32      8     synced: where the group of this record begins; all before it was durable
 *                 when it was written
 *   40      8     index: of the entry; truncate: the first entry that goes; mark: the last entry
 *   48      8     term of the entry, else 0
 *   56      16    chain(index); truncate: chain(index - 1); mark: chain(index)
 *   72      n     payload, zeroes up to a multiple of 8
 *
 * A group is what one write and one sync carried. A record that does not verify
 * is a torn tail if only records of its own group or none follow: that group
 * was never acknowledged. A record behind it that was written after a later
 * sync proves that the damaged one had been durable: that is bit rot, and
 * truth lost. (One bit, where nothing proves it, is turned back: raft/wal/mend.h.) A mark is an empty record that proves the last group, written
 * when the log has been quiet for a while and when it is closed.
 *
 * The link and the salt keep leftovers of a torn group from being taken for
 * records of a later one that ends in the same place. */
#ifndef RAFT_WAL_SEGMENT_H
#define RAFT_WAL_SEGMENT_H

#include "base/checksum.h"

#define SEGMENT_HEAD 96
#define RECORD_HEAD 72
#define SEGMENT_SECTOR 512

struct segment_head {
	uint64_t number, log_id, salt;
	uint64_t first_index, previous_term;
	struct chain previous_chain;
	uint64_t previous_end;
	uint64_t link; /* the checksum: what the first record links to */
};
/* Sets head->link. */
void segment_head_encode(uint8_t out[SEGMENT_HEAD], struct segment_head *head);
/* 0; ERR_CORRUPT when these bytes are not the head of this segment; ERR_VERSION. */
int segment_head_decode(struct slice segment, uint64_t number, struct segment_head *head);

enum record_kind { RECORD_ENTRY = 1, RECORD_TRUNCATE = 2, RECORD_MARK = 3 };

struct record {
	uint8_t kind, type;
	uint32_t len; /* bytes of payload */
	uint64_t link, synced, index, term;
	struct chain chain;
	uint64_t sum; /* its first field */
};

/* Bytes a record takes, padding included. */
static inline uint64_t record_bytes(uint32_t len)
{
	return RECORD_HEAD + (((uint64_t)len + 7) & ~(uint64_t)7);
}
/* Where a group begins that follows bytes used up to end. */
static inline uint64_t segment_group_start(uint64_t end)
{
	return (end + SEGMENT_SECTOR - 1) & ~(uint64_t)(SEGMENT_SECTOR - 1);
}
/* Writes record_bytes() bytes that will lie at offset; sets record->sum. */
void record_encode(uint8_t *out, uint64_t number, uint64_t offset, struct record *record,
		   struct slice payload);
/* The record at offset, where bytes is the part of the segment that begins at
 * base: 0, or ERR_CORRUPT. Checks what a record can say about itself; link and
 * order are the reader's. *payload points into bytes. */
int record_decode(struct slice bytes, uint64_t base, uint64_t number, uint64_t offset, struct record *record,
		  struct slice *payload);
/* The same of its head alone. */
int record_head_decode(struct slice bytes, uint64_t base, uint64_t number, uint64_t offset,
		       struct record *record);
/* Whether a record lies behind offset, the end of the last one that is good
 * (its sum is link), which was written after more had become durable, or which
 * was meant for another place: then the damage at offset is bit rot or a disk
 * that misdirects writes, else a torn tail. */
bool segment_proves(struct slice segment, uint64_t number, uint64_t offset, uint64_t link);

#endif /* RAFT_WAL_SEGMENT_H */

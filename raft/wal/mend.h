/* One flipped bit in what nothing proves: the last group of the log, or the head in front of it.
 *
 * A damaged record with no later sync behind it looks like a torn write, and would be dropped. But one whose
 * two checksums of 64 bits and whose link all agree once a bit is turned back was not torn (raft/flip.h). So it
 * is searched for, and what was acknowledged stays. */
#ifndef RAFT_WAL_MEND_H
#define RAFT_WAL_MEND_H

#include "raft/wal/segment.h"

/* Payloads over this are not searched: each bit that may have flipped costs a checksum of all bytes. */
#define MEND_PAYLOAD_MAX KIB(8)

struct mend {
	uint64_t number; /* of the segment; 0: nothing was mended, for that one comes first */
	uint64_t offset; /* of the byte */
	uint8_t bit;     /* its mask */
};

/* bytes: the segment from its start. Turns one bit of the head back if it is the head of this segment then.
 */
bool mend_head(struct slice bytes, uint64_t number, struct mend *mend);
/* Turns one bit back if a record lies at offset then whose link is given. The bytes are changed. */
bool mend_record(struct slice bytes, uint64_t number, uint64_t offset, uint64_t link, struct mend *mend);

#endif /* RAFT_WAL_MEND_H */

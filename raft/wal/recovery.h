/* A start of the log, between its two halves: recover reads what is there, recover_write opens a new segment.
 */
#ifndef RAFT_WAL_RECOVERY_H
#define RAFT_WAL_RECOVERY_H

#include "raft/wal/mend.h"
#include "raft/wal/wal_private.h"

struct recovery {
	struct wal *wal;
	struct err *err;
	struct wal_names names;
	size_t used;    /* of them have a head: the first ones */
	uint8_t *bytes; /* the segment being read */
	size_t bytes_cap;
	uint64_t link;
	struct mend mend; /* a bit that was turned back, in each reading of its segment */

	struct wal_ops tail; /* the last group */
	uint64_t tail_synced;
	uint64_t cut_end, cut_index, cut_term; /* the log before it */
	struct chain cut_chain;
};

/* Reads at most bytes_max of a segment, with the bit turned back that was mended. *bytes are the recovery's,
 * until the next reading. */
int recovery_read(struct recovery *r, uint64_t number, uint64_t bytes_max, struct slice *bytes);
/* When all was read: the new segment, durable. */
int recovery_write(struct recovery *r);

#endif /* RAFT_WAL_RECOVERY_H */

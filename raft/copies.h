/* A small record in two copies, for what must not be lost: term and vote
 * (wal/hardstate), who has lived (peer/lives).
 *
 * One file with two slots, at 0 and at the format's stride. A change is written and
 * synced into one slot, from then on it is durable; then into the other. One record
 * is in both slots before the next one touches either, so at every moment one slot
 * holds at least what was last promised. Of two that verify the later one counts.
 *
 *   offset  size  field (little-endian)
 *   0       8     XXH3-64 of bytes 8..end, seeded with the slot's offset
 *   8       8     magic
 *   16      4     version
 *   20      4     zero
 *   24      8     sequence: one more with each change
 *   32      …     the record
 *
 * A slot that verifies once one bit is turned has rotted (flip.h). It is turned back, or a
 * bit that flips before the second slot is written would bring back the record from before
 * the promise. Any other that does not verify was torn by a crash or has rotted more, and
 * the other one stands for it. A slot that cannot be READ is neither: it may be the later
 * one and whole, promised a moment before the crash, and the next attempt may read it. A
 * start that took the other one would write the older record over it. So it is
 * refused, as whatever else a failing disk says.
 *
 * The file is made under another name, at its full size, and renamed once both slots
 * are durable. Who opens it writes both slots again before anything in it counts:
 * what is read may be in memory only, left by a sync that failed before the process
 * ended. */
#ifndef RAFT_COPIES_H
#define RAFT_COPIES_H

#include "base/buf.h"
#include "env/env.h"

#define COPIES_HEAD_BYTES 32

enum copies_slot { COPIES_A, COPIES_B };
static inline enum copies_slot copies_other(enum copies_slot slot)
{
	return slot == COPIES_A ? COPIES_B : COPIES_A;
}

struct copies_format {
	const char *name;    /* of the file in its directory */
	const char *what;    /* the record, for a person */
	const char *without; /* what a member is that has lost it */
	const char *magic;   /* eight bytes */
	uint32_t version;
	size_t stride, bytes_max; /* whole pages: none is in both slots; a slot's bytes at most */
	/* Appends a slot's bytes, sealed. */
	void (*encode)(const void *record, enum copies_slot slot, struct buf *out);
	/* 0, ERR_CORRUPT or ERR_VERSION, then record may hold anything; bytes behind the end are not looked
	 * at. */
	int (*decode)(struct slice bytes, enum copies_slot slot, void *record);
};

/* Writes the head in front of a record: bytes are both, len of them. */
void copies_seal(const struct copies_format *format, enum copies_slot slot, uint64_t sequence, uint8_t *bytes,
		 size_t len);
/* The head and its checksum over exactly these bytes: 0, ERR_CORRUPT or ERR_VERSION. */
int copies_verify(const struct copies_format *format, enum copies_slot slot, struct slice bytes,
		  uint64_t *sequence);

/* All that follow block, and are for a lane or a start. */

/* The later record, and the slot to touch first: the other one holds it. The file is owned by the caller.
 * ERR_NOT_FOUND, without words, when dir has none; ERR_CORRUPT or ERR_VERSION when no slot verifies; else
 * errors of env, also when one slot alone cannot be read. On failure the record may hold anything. */
int copies_open(struct env *env, const char *dir, const struct copies_format *format, void *record,
		enum copies_slot *first, struct env_file **file, struct err *err);
/* Makes the file; dir exists and has none. The file is owned by the caller. */
int copies_make(struct env *env, const char *dir, const struct copies_format *format, const void *record,
		struct env_file **file, struct err *err);
/* Writes and syncs one slot. After a failure nothing may be assumed of it. */
int copies_store(struct env_file *file, const struct copies_format *format, enum copies_slot slot,
		 const void *record);
/* Both, this one first. */
int copies_store_both(struct env_file *file, const struct copies_format *format, enum copies_slot first,
		      const void *record);

#endif /* RAFT_COPIES_H */

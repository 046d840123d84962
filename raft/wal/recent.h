/* The newest entries of the log, in memory: what messages are filled from and
 * what has not reached the disk or its owner yet. Without a gap from first to
 * last; the front leaves when a bound of bytes is passed. */
#ifndef RAFT_WAL_RECENT_H
#define RAFT_WAL_RECENT_H

#include "wire/entry.h"

struct recent {
	struct entry **slots; /* by index & (cap - 1) */
	size_t cap;           /* a power of two */
	uint64_t first;       /* index of the oldest held */
	uint64_t last;        /* first - 1 when empty */
	struct chain base;    /* chain(first - 1) */
	size_t bytes;         /* payloads held, and their heads */
};

/* Empty; the next entry is next_index, behind chain. */
void recent_init(struct recent *r, uint64_t next_index, struct chain chain);
void recent_fini(struct recent *r);
/* Takes a reference of its own; entry->index is last + 1. */
void recent_append(struct recent *r, struct entry *entry);
/* Forgets index and all behind it. Below first it is empty afterwards and goes on at index behind chain. */
void recent_truncate(struct recent *r, uint64_t index, struct chain chain);
/* Lets the oldest go while more than bytes_max are held; never those above floor. */
void recent_shrink(struct recent *r, size_t bytes_max, uint64_t floor);
static inline bool recent_holds(const struct recent *r, uint64_t index)
{
	return index >= r->first && index <= r->last;
}
/* Borrowed; NULL when not held. */
struct entry *recent_get(const struct recent *r, uint64_t index);
/* chain(index) for first - 1 <= index <= last. */
struct chain recent_chain(const struct recent *r, uint64_t index);

#endif /* RAFT_WAL_RECENT_H */

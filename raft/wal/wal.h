/* The log of one member: entries appended, truncated and read by index, durable
 * in order, never overwritten (raft/wal/segment.h has the format).
 *
 * Group commit: what is appended while a write and its sync are under way goes
 * out with the next single write and sync. wal_flush starts one when none runs;
 * afterwards each follows the other until nothing waits. The loop never waits
 * for the disk: groups run on a lane of their own, the next segment is zeroed
 * ahead on another, old entries are read and old segments removed on a third.
 *
 * A failed write or sync, or bytes that do not verify, is truth lost: on_failed
 * is called once and the log takes nothing any more. No space for the next
 * segment is not: the log waits, asks again, and wal_pending_bytes grows.
 *
 * All on the loop thread. */
#ifndef RAFT_WAL_WAL_H
#define RAFT_WAL_WAL_H

#include "base/log.h"
#include "env/env.h"
#include "wire/entry.h"

struct wal;

struct wal_config {
	struct env *env;
	struct log *log;
	const char *dir; /* exists; copied */
	uint64_t log_id; /* a segment with another id is refused */
	uint64_t segment_bytes;
	uint64_t cache_bytes; /* entries kept in memory for sending */
	uint64_t floor; /* applied: entries above it stay in memory until wal_set_floor says otherwise */
	struct entry *first_entry; /* borrowed during open: what an empty log begins with, or NULL */
	/* Everything up to index is durable. May fall after a truncation. */
	void (*on_durable)(void *owner, uint64_t index);
	void (*on_failed)(void *owner, const char *line);
	void *owner;
};

/* Blocking: recovers what dir holds, finishes a torn tail, opens a new segment.
 * What was not proven durable is written once more (a sync may have failed
 * before the end of the process, and the bytes be in memory only). ERR_CORRUPT:
 * truth lost, err says where; else errors of env. Opens no lane yet. */
int wal_open(const struct wal_config *config, struct wal **wal, struct err *err);
/* Opens the lanes; from here on the log writes. */
void wal_start(struct wal *wal);
/* Proves the last group with a mark if that is possible, waits for the lanes; closed comes later. */
void wal_close(struct wal *wal, void (*closed)(void *owner));
/* Closed, never started, or its env was killed. NULL ok. */
void wal_free(struct wal *wal);

/* Whether the directory held no segment at all when it was opened. */
bool wal_was_empty(const struct wal *wal);
uint64_t wal_first_index(const struct wal *wal); /* last + 1 when empty */
uint64_t wal_last_index(const struct wal *wal);
uint64_t wal_durable_index(const struct wal *wal);
struct chain wal_chain(const struct wal *wal); /* chain(last) */
/* Term of an entry held, or of the one before the first; 0 when not known. */
uint64_t wal_term_of(const struct wal *wal, uint64_t index);
/* The entries of type ENTRY_CHANGE it holds, in order. */
size_t wal_change_count(const struct wal *wal);
uint64_t wal_change(const struct wal *wal, size_t i);
/* chain(index), when it is known without reading the disk. */
bool wal_chain_of(const struct wal *wal, uint64_t index, struct chain *chain);

/* Appends entry (index last + 1, chain set); takes a reference. */
void wal_append(struct wal *wal, struct entry *entry);
/* Forgets index and all behind it, with a record. Writes under way are not reported beyond index - 1. */
void wal_truncate(struct wal *wal, uint64_t index);
/* Starts a group if none runs and nothing holds. */
void wal_flush(struct wal *wal);
/* While held no group starts: a vote must be durable first. Releasing flushes. */
void wal_hold(struct wal *wal, bool hold);
/* Appended and not yet durable. */
size_t wal_pending_bytes(const struct wal *wal);

/* Whether the next segment could not be made for want of space: soon, or now, what is appended waits. */
bool wal_no_space(const struct wal *wal);
/* How long the write under way takes already, or what waits for a segment that is being made ready; 0 when
 * nothing is, or there is no space for one. */
uint64_t wal_stalled_us(const struct wal *wal);

/* An entry in memory, borrowed, or NULL. Those not durable and those above the floor always are. */
struct entry *wal_recent(const struct wal *wal, uint64_t index);
/* Entries up to index may leave the memory when the cache is full and they are durable. */
void wal_set_floor(struct wal *wal, uint64_t index);

/* Reads old entries on a lane, embedded by the owner: at most WAL_READ_ENTRIES,
 * and about WAL_READ_BYTES. The entries are owned by the callback, count >= 1 on
 * 0. ERR_CORRUPT and ERR_IO: on_failed was called too. Never called after wal_free. */
#define WAL_READ_ENTRIES 64
#define WAL_READ_BYTES MIB(4)
struct wal_read {
	struct env_work work; /* private */
	struct list link;     /* private */
	struct wal *wal;      /* private */
	uint64_t first;
	size_t count;
	struct entry *entries[WAL_READ_ENTRIES];
	bool before_known;
	struct chain before;                                     /* chain(first - 1), if it could be had */
	uint64_t number, before_place, places[WAL_READ_ENTRIES]; /* private */
	int status;                                              /* private */
	void (*cb)(struct wal_read *read, int status);
};
/* first is held by the log and durable; to >= first bounds the run. */
void wal_read_start(struct wal *wal, struct wal_read *read, uint64_t first, uint64_t to);
/* Blocking, before wal_start: one entry, owned by the caller. */
int wal_load(struct wal *wal, uint64_t index, struct entry **entry);

/* The first index that remains if all segments are removed that lie wholly at
 * or below `durable` (in the database) and either below `kept` (the last that
 * every member has) or more than keep_bytes behind. */
uint64_t wal_trim_point(const struct wal *wal, uint64_t durable, uint64_t kept, uint64_t keep_bytes);
/* Removes the segments before first, which wal_trim_point gave. */
void wal_trim(struct wal *wal, uint64_t first);

/* The log's lane, for what must be in order with its writes (term and vote). NULL before wal_start. */
struct env_lane *wal_lane(struct wal *wal);

struct wal_stats {
	uint64_t bytes, writes, syncs; /* bytes: of all segments, in use */
	uint64_t sync_us_p50, sync_us_p99;
	uint64_t segments;
	bool no_space;
};
void wal_stats(const struct wal *wal, struct wal_stats *stats);

#endif /* RAFT_WAL_WAL_H */

/* One RocksDB database as the house uses it: one column family, no WAL of its
 * own, one-byte tables in front of the keys (store/keys.h). It is at all times
 * exactly the state after one log index, which its meta record names.
 *
 * Threads: store_get on the loop; a cursor is opened there and used by one thread at a time; store_apply on
 * the apply lane; store_flush and store_checkpoint on the flush lane. RocksDB allows these side by side.
 *
 * A background error of RocksDB other than "no space" is truth lost: the next
 * apply or flush answers ERR_CORRUPT or ERR_IO and the owner stops. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/checksum.h"
#include "base/err.h"
#include "wire/entry.h"

struct store;

/* An in-memory disk that outlives a store: what the simulator's node keeps over a crash. */
struct store_disk;
struct store_disk *store_disk_new(void);
void store_disk_free(struct store_disk *disk);
/* From how many young files on a flush merges them; else as many as on a real disk. For stores opened from now on. */
void store_disk_merge_at(struct store_disk *disk, uint64_t young_files);

struct store_config {
	const char *dir;         /* made if absent; its parent is synced */
	struct store_disk *disk; /* NULL: the real one. Else also: no automatic flush or compaction, no
				    statistics; a flush merges young files itself; cache_bytes are those of
				    the disk's first opening */
	uint64_t memtable_bytes; /* 64 MiB */
	uint64_t cache_bytes;    /* block cache, 64 MiB */
};

/* The meta record, written in the batch of every applied entry. */
struct store_meta {
	uint64_t index, term;
	struct chain chain;
	uint64_t stamp_ms;
	uint64_t cluster_id, node_id;
	uint64_t configuration_index;
	struct slice configuration; /* from arena/borrowed, see the functions */
};

int store_open(const struct store_config *config, struct store **store, struct err *err);
/* Without a flush (a crash loses what a crash loses) unless flush is true. NULL ok. */
void store_close(struct store *store, bool flush);

/* The meta record; index 0 when the database is empty. configuration is owned by store, valid until close. */
int store_meta(struct store *store, struct store_meta *meta, struct err *err);

/* A pinned value: valid until store_unpin. */
struct store_pin {
	void *impl;
	struct slice value;
};
/* 0, ERR_NOT_FOUND, ERR_IO or ERR_CORRUPT. */
int store_get(struct store *store, struct slice key, struct store_pin *pin);
/* What RocksDB said of the first read that failed, with the file it names; "" while none has. For any thread.
 */
const char *store_why(const struct store *store);
void store_unpin(struct store_pin *pin);

/* One entry and its meta record, in one atomic write. view: a checked batch, or
 * NULL for entries that write nothing but the meta record. 0, ERR_NO_SPACE (nothing applied, try the
 * same again later), ERR_IO, ERR_CORRUPT. */
int store_apply(struct store *store, const struct entry_view *view, const struct store_meta *meta,
		struct err *err);

/* Makes durable all that was applied before the call; *index is what is durable then. */
int store_flush(struct store *store, uint64_t *index, struct err *err);

/* Ordered walk over committed and applied keys in [from, to). The view is that of
 * the cursor's opening. to empty: to the end of all. */
struct store_cursor;
struct store_cursor *store_cursor_open(struct store *store, struct slice from, struct slice to,
				       bool backward);
/* The same for who has little time: where more than removed_max rows on end were removed and not merged away yet,
 * each of which RocksDB walks over (some 150 ns), it ends with ERR_BUSY. 0: as many as there are. */
struct store_cursor *store_cursor_open_short(struct store *store, struct slice from, struct slice to,
					     uint64_t removed_max);
/* False at the end; key and value borrowed until the next call. */
bool store_cursor_next(struct store_cursor *cursor, struct slice *key, struct slice *value);
int store_cursor_error(const struct store_cursor *cursor);
void store_cursor_close(struct store_cursor *cursor);

/* XXH3-128 over every key and value except the meta record, and the index it
 * belongs to. Slow: walks all. For any thread. */
int store_hash(struct store *store, struct chain *hash, uint64_t *index, struct err *err);

struct store_stats {
	uint64_t flushes, applied;
	uint64_t gets, gets_missed, gets_in_gap; /* in_gap: missed without asking RocksDB (store/gap.h) */
	bool no_space;
};
void store_stats(const struct store *store, struct store_stats *stats);

/* What it needs of memory. RocksDB asks each open file for it: not to be asked all the time. */
struct store_sizes {
	uint64_t memtable_bytes;
	uint64_t memtable_all_bytes;        /* with those that were written out and are still read */
	uint64_t cache_bytes, reader_bytes; /* what the cache holds; what open files need beside it */
};
void store_sizes(struct store *store, struct store_sizes *sizes);

/* What merges have before them; grows where they fall behind. */
struct store_backlog {
	uint64_t young_files, unmerged_bytes;
	bool stopped; /* applying waits for a flush or a merge */
};
/* The first of it, for whoever asks all the time. For any thread. */
uint64_t store_young_files(const struct store *store);
void store_backlog(struct store *store, struct store_backlog *backlog);

#endif /* STORE_STORE_H */

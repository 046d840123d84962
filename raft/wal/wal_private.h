/* What the files of the log's room share. */
#ifndef RAFT_WAL_WAL_PRIVATE_H
#define RAFT_WAL_WAL_PRIVATE_H

#include "base/histogram.h"
#include "base/limits.h"
#include "raft/wal/recent.h"
#include "raft/wal/segment.h"
#include "raft/wal/wal.h"

#define WAL_PATH_BYTES 1024
#define WAL_QUIET_MS 200        /* after a group: then a mark proves it */
#define WAL_SPACE_RETRY_MS 1000 /* after "no space" for the next segment */
#define WAL_GROUP_BYTES MIB(4)  /* a group closes at this size */
#define WAL_ZERO_BYTES MIB(1)   /* zeroed and synced at a time */
#define WAL_POOL 4              /* trimmed segments that wait to be used again */
#define WAL_FRESH 0 /* in the name of a free file that was never a segment: their numbers begin at 1 */

/* Something to be written: an entry, a truncation or a mark. */
struct wal_op {
	uint8_t kind;         /* enum record_kind */
	uint64_t index, term; /* term: of a truncation, of the entry before it; not written */
	struct chain chain;
	struct entry *entry; /* owned reference; only RECORD_ENTRY */
};

struct wal_ops {
	struct wal_op *ops;
	size_t first, count, cap;
};
void wal_ops_push(struct wal_ops *ops, struct wal_op op);
void wal_ops_fini(struct wal_ops *ops);

/* A segment in use; the last of the list is the active one. */
struct wal_segment {
	struct list link;
	uint64_t number;
	uint64_t first_index; /* of its head, or where it truncated to */
	uint64_t highest;     /* largest index written into it; first_index - 1 if none */
	uint64_t end;         /* bytes in use */
};

/* Where an entry lies. */
struct wal_place {
	uint32_t number; /* of the segment, its low bits */
	uint32_t offset; /* divided by 8 */
};

/* From here on the entries have this term, until the next of these. */
struct wal_term {
	uint64_t first_index, term;
};

/* The one write under way. */
struct wal_group {
	struct env_work work;
	struct wal *wal;
	bool busy;
	struct wal_op *ops; /* owned */
	size_t count, cap;
	struct env_file *file;     /* of the active segment */
	struct env_file *finished; /* of the segment before, to be closed; or NULL */
	uint64_t number, offset;   /* where the write begins */
	bool opens;                /* at 0, with head */
	struct segment_head head;
	uint64_t synced, link; /* of the first record; link: of the last one afterwards */
	uint64_t bytes;        /* of the write */
	uint64_t end_index;    /* last index of the log behind it */
	uint64_t clamp;        /* lowered by truncations meanwhile */
	uint64_t started_us;
	uint8_t *buffer; /* owned, kept from group to group */
	size_t buffer_cap;
	int status;
};

/* The segment that comes next. */
struct wal_spare {
	struct env_work work;
	struct wal *wal;
	bool busy, ready, no_space;
	uint64_t number, bytes; /* wanted size */
	bool reuses;
	uint64_t reused; /* the free file that becomes it, as long as that has its old name */
	struct env_file *file;
	int status;
};

/* Files "%016llx.free" that wait to be the next segment. */
struct wal_pool {
	struct env_work work; /* makes the first one */
	struct wal *wal;
	bool busy, filled;
	uint64_t names[WAL_POOL];
	size_t count;
	int status;
	bool dir_failed; /* not making the file, but the sync of its name */
};

struct wal_removal {
	struct env_work work;
	struct wal *wal;
	bool busy;
	uint64_t first, count; /* numbers; what could not be removed waits here for the next trim */
	uint64_t wanted;       /* how many of them may wait to be used again */
	uint64_t removed;      /* by the work item */
	uint64_t freed[WAL_POOL];
	size_t freed_count;
	int status; /* of the syncs */
};

struct wal {
	struct wal_config config;
	char dir[WAL_PATH_BYTES - 64];
	bool was_empty, started, failed, closing;
	bool held;
	void (*closed)(void *owner);

	struct recent recent;
	uint64_t first_index, last_index, durable_index, floor;
	uint64_t base_term; /* of first_index - 1 */
	struct wal_place *places;
	size_t place_cap;
	struct wal_term *terms;
	size_t term_count, term_cap;
	uint64_t *changes; /* indexes of entries of type ENTRY_CHANGE, ascending */
	size_t change_count, change_cap;

	struct list segments;
	uint64_t segment_count;
	struct env_file *file; /* of the active segment */
	uint64_t file_bytes;   /* its size */
	uint64_t link;         /* of the next record */
	/* The end of the log as far as it was given to a group. */
	uint64_t written_index, written_term;
	struct chain written_chain;
	bool mark_is_last;
	struct wal_ops pending;
	size_t pending_truncations;
	size_t pending_bytes; /* waiting and under way */
	uint64_t waits_us;    /* since then for the next segment; 0: not for that */
	struct wal_group group;
	struct wal_spare spare;
	struct wal_removal removal;
	struct wal_pool pool;
	struct list reads;
	struct env_lane *lane, *space_lane, *read_lane;
	struct env_timer quiet, space_retry;
	struct env_turn close_turn;
	uint64_t writes;
	struct histogram sync_us;
};

void wal_path(const struct wal *wal, uint64_t number, char out[WAL_PATH_BYTES]);
void wal_free_path(const struct wal *wal, uint64_t name, char out[WAL_PATH_BYTES]);
struct wal_segment *wal_active(const struct wal *wal);
struct wal_segment *wal_segment_add(struct wal *wal, uint64_t number, uint64_t first_index);
void wal_fail(struct wal *wal, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Syncs the directory, on any lane: 0 or ERR_IO, also for "no space": whatever it says, a failed sync is
 * never made good by another. Whoever gets that tells the loop, which calls wal_fail_dir. */
int wal_sync_dir(struct wal *wal);
void wal_fail_dir(struct wal *wal);
/* Lets old entries go that are durable and below the floor. */
void wal_shrink(struct wal *wal);
/* A closing log is done when nothing runs. */
void wal_close_tick(struct wal *wal);

/* notes.c */
/* Starts again at index, behind an entry of this term and chain: what recovery begins with. */
void wal_begin_at(struct wal *wal, uint64_t index, uint64_t term, struct chain chain);
void wal_note_entry(struct wal *wal, const struct entry *entry);
void wal_note_place(struct wal *wal, uint64_t index, uint64_t number, uint64_t offset);
void wal_note_truncation(struct wal *wal, uint64_t index, struct chain chain);
/* The log begins at first from here on. */
void wal_note_trim(struct wal *wal, uint64_t first);
struct wal_place wal_place_of(const struct wal *wal, uint64_t index);

/* names.c */
struct wal_names {
	struct wal *wal;
	uint64_t *all; /* owned, ascending */
	size_t cap;
	size_t below;      /* the first ones: below a gap, of no use to anybody */
	uint64_t *numbers; /* the others, count of them */
	size_t count;
};
/* Lists the directory; free segments go to the pool. */
int wal_names_list(struct wal_names *names, struct err *err);
void wal_names_fini(struct wal_names *names);
/* The log is whole and goes on in segment `next`: removes what is of no use, makes sure of the free ones and
 * lets one of them, or an empty file, be the next. The next sync of the directory carries it. On failure path
 * says what it was about. */
int wal_names_renew(struct wal_names *names, uint64_t next, char path[WAL_PATH_BYTES]);

/* recover.c: fills an empty wal from the directory and opens a new segment. */
int wal_recover(struct wal *wal, struct err *err);
/* space.c (trim.c has wal_trim): makes the next segment ready, of at least this size, unless that is under
 * way. */
void wal_spare_prepare(struct wal *wal, uint64_t bytes);
/* Zeroes and syncs a file up to bytes, step by step; blocking. */
int wal_zero(struct env_file *file, uint64_t bytes, uint64_t step);
void wal_cut(struct env_file *file, uint64_t end); /* what lies behind end is no record */
void wal_space_retry_cb(struct env_timer *timer);
/* group.c: the lane's part and what follows; wal_flush is there too. */
void wal_group_fini(struct wal *wal);
void wal_quiet_cb(struct env_timer *timer);

#endif /* RAFT_WAL_WAL_PRIVATE_H */

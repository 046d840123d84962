/* A log on a disk that loses power or has no room, and what is believed about it. */
#ifndef TESTS_UNIT_WAL_WORLD_H
#define TESTS_UNIT_WAL_WORLD_H

#include "raft/wal/wal.h"
#include "tests/lib/disk_env.h"

#define INDEX_MAX 4096

/* A log and what is believed about it: content is a function of (index, version). */
struct story {
	struct disk *disk;
	struct env *env;
	struct wal *wal;
	uint64_t log_id, segment_bytes, cache_bytes, floor;
	struct chain chain[INDEX_MAX]; /* of each entry, as appended last */
	uint64_t last, durable, term;
	unsigned falls; /* reports that were lower than the one before */
	bool failed, closed;
	char line[600];
};

void story_init(struct story *story, struct disk *disk, uint64_t segment_bytes);
int story_open(struct story *story, struct err *err);
/* As a process that is killed: what is in the cache of the disk stays. */
void story_kill(struct story *story);
void story_close(struct story *story);
/* A life in which so many entries were written, and its polite end. */
void story_live(struct story *story, struct disk *disk, uint64_t segment_bytes, unsigned count);

void append_sized(struct story *story, size_t len);
void append(struct story *story, unsigned count);
void truncate_to(struct story *story, uint64_t index);
/* A script of appends, truncations and restarts, the same for every point of the cut. */
void script(struct story *story);
/* Every entry up to index is held with the content that was appended last. */
bool holds(struct story *story, uint64_t index);
/* Files whose names have this in them. */
unsigned files_named(struct disk *disk, const char *ending);

#endif /* TESTS_UNIT_WAL_WORLD_H */

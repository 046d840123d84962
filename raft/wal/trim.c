/* The oldest segments: which of them may go, and where they go. Some wait under another name to be the next
 * one (space.c), the others are removed.
 *
 *   in use --trim--> to go --renamed or unlinked--> name gone --directory synced--> gone: free, or no more
 *                      ^            |                   |
 *                      +-- failed --+                   +-- sync failed: truth lost
 *
 * A name that could not be taken away is tried again with the next trim: nothing has changed. After a failed
 * sync of the directory nothing is tried: the kernel shows the name gone, the disk may have it, and a later
 * sync that succeeds need not carry it. Going on would remove the segments behind one that comes back. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/wal/wal_private.h"

static struct wal_segment *segment_after(const struct wal *wal, const struct wal_segment *segment)
{
	return segment->link.next == &wal->segments
		       ? NULL
		       : list_entry(segment->link.next, struct wal_segment, link);
}

uint64_t wal_trim_point(const struct wal *wal, uint64_t durable, uint64_t kept, uint64_t keep_bytes)
{
	uint64_t bytes = 0;
	list_for_each (link, &wal->segments) {
		bytes += list_entry(link, struct wal_segment, link)->end;
	}
	uint64_t first = wal->first_index;
	list_for_each (link, &wal->segments) {
		const struct wal_segment *segment = list_entry(link, struct wal_segment, link);
		const struct wal_segment *next = segment_after(wal, segment);
		if (next == NULL || segment->highest > durable) {
			break;
		}
		bytes -= segment->end;
		/* The entry that the slowest member has stays: the next one is sent behind it. */
		if (segment->highest >= kept && bytes < keep_bytes) {
			break;
		}
		first = next->first_index > first ? next->first_index : first;
	}
	/* The entry before the first is the database's: its term and chain are asked for. */
	return first > durable + 1 ? durable + 1 : first;
}

/* ---- on the lane ---- */

/* From its place in the log: to the free ones as long as some are wanted, else for good. */
static int removal_step(struct wal_removal *removal, uint64_t number, bool frees)
{
	struct wal *wal = removal->wal;
	char path[WAL_PATH_BYTES], free_path[WAL_PATH_BYTES];
	wal_path(wal, number, path);
	if (!frees) {
		return env_unlink(wal->config.env, path);
	}
	wal_free_path(wal, number, free_path);
	return env_rename(wal->config.env, path, free_path);
}

static void removal_run(struct env_work *work)
{
	struct wal_removal *removal = list_entry(work, struct wal_removal, work);
	removal->removed = 0;
	removal->freed_count = 0;
	removal->status = 0;
	while (removal->removed < removal->count) {
		uint64_t number = removal->first + removal->removed;
		bool frees = removal->freed_count < removal->wanted;
		int status = removal_step(removal, number, frees);
		/* One after the other: what is left after a crash, or when one cannot be removed, has no gap.
		 */
		if (status != 0 && status != ERR_NOT_FOUND) {
			return;
		}
		removal->status = wal_sync_dir(removal->wal);
		if (removal->status != 0) {
			return;
		}
		removal->removed++;
		if (frees && status == 0) {
			removal->freed[removal->freed_count++] = number;
		}
	}
}

/* ---- on the loop ---- */

static void removal_done(struct env_work *work)
{
	struct wal_removal *removal = list_entry(work, struct wal_removal, work);
	struct wal_pool *pool = &removal->wal->pool;
	removal->busy = false;
	for (size_t i = 0; i < removal->freed_count && pool->count < WAL_POOL; i++) {
		pool->names[pool->count++] = removal->freed[i];
	}
	removal->first += removal->removed;
	removal->count -= removal->removed;
	if (removal->status != 0) {
		wal_fail_dir(removal->wal);
	} else if (removal->count > 0) {
		log_event(removal->wal->config.log, LOG_WARN, "log_not_removed",
			  "segment=%llu it is tried again with the next ones",
			  (unsigned long long)removal->first);
	}
	wal_close_tick(removal->wal);
}

/* Were the one before it gone first, a power cut could leave no segment with a head: a log of nothing. */
static bool head_under_way(const struct wal *wal, const struct wal_segment *segment)
{
	const struct wal_group *group = &wal->group;
	return group->busy && group->opens && group->number == segment->number;
}

void wal_trim(struct wal *wal, uint64_t first)
{
	struct wal_removal *removal = &wal->removal;
	if (removal->busy || first <= wal->first_index || wal->failed || wal->closing || !wal->started) {
		return;
	}
	assert(first - 1 <= wal->floor);
	recent_shrink(&wal->recent, 0, first - 1);
	wal_note_trim(wal, first);
	uint64_t oldest = list_entry(wal->segments.next, struct wal_segment, link)->number;
	assert(removal->count == 0 || removal->first + removal->count == oldest);
	removal->first = oldest - removal->count;
	for (;;) {
		struct wal_segment *segment = list_entry(wal->segments.next, struct wal_segment, link);
		const struct wal_segment *next = segment_after(wal, segment);
		if (next == NULL || segment->highest >= first || head_under_way(wal, next)) {
			break;
		}
		list_remove(&segment->link);
		free(segment);
		wal->segment_count--;
		removal->count++;
	}
	if (removal->count == 0) {
		return;
	}
	/* A segment that was cut short or made for one long entry is not worth keeping; nearly all are whole.
	 */
	removal->wanted = WAL_POOL - wal->pool.count;
	removal->busy = true;
	removal->work.run = removal_run;
	removal->work.done = removal_done;
	/* Behind the reads, on their lane: none finds its segment gone. */
	env_lane_submit(wal->read_lane, &removal->work);
}

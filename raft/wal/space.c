/* Room for the log: the next segment is zeroed ahead, the oldest are removed. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/wal/wal_private.h"

/* ---- the next segment ---- */

/* In steps, so that a sync of the log meanwhile does not wait for all of it. */
int wal_zero(struct env_file *file, uint64_t bytes, uint64_t step)
{
	uint64_t at = 0;
	int status = 0;
	while (at < bytes && status == 0) {
		at = bytes - at > step ? at + step : bytes;
		status = env_file_allocate(file, at);
		if (status == 0) {
			status = env_file_sync(file);
		}
	}
	return status;
}

static void spare_run(struct env_work *work)
{
	struct wal_spare *spare = list_entry(work, struct wal_spare, work);
	struct wal *wal = spare->wal;
	char path[WAL_PATH_BYTES];
	wal_path(wal, spare->number, path);
	unsigned flags = ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE;
	spare->status = spare->file == NULL ? env_file_open(wal->config.env, path, flags, &spare->file) : 0;
	if (spare->status != 0) {
		return;
	}
	spare->status = wal_zero(spare->file, spare->bytes, WAL_ZERO_BYTES);
	if (spare->status == 0) {
		spare->status = env_dir_sync(wal->config.env, wal->dir);
	}
}

static void spare_done(struct env_work *work)
{
	struct wal_spare *spare = list_entry(work, struct wal_spare, work);
	struct wal *wal = spare->wal;
	assert(spare->busy && !spare->ready);
	spare->busy = false;
	if (spare->status == 0) {
		spare->ready = true;
		spare->no_space = false;
		wal_flush(wal);
	} else if (spare->status == ERR_NO_SPACE) {
		if (!spare->no_space) {
			log_event(wal->config.log, LOG_ERROR, "log_no_space",
				  "dir=%s bytes=%llu writes wait until there is space", wal->dir,
				  (unsigned long long)spare->bytes);
		}
		spare->no_space = true;
		if (!wal->closing) {
			env_timer_start(&wal->space_retry, WAL_SPACE_RETRY_MS);
		}
	} else {
		wal_fail(wal, "making %s/%016llx.log ready failed (%s): check the disk, then start again",
			 wal->dir, (unsigned long long)spare->number, err_name(spare->status));
	}
	wal_close_tick(wal);
}

void wal_space_retry_cb(struct env_timer *timer)
{
	struct wal *wal = list_entry(timer, struct wal, space_retry);
	wal_spare_prepare(wal, wal->spare.bytes);
}

void wal_spare_prepare(struct wal *wal, uint64_t bytes)
{
	struct wal_spare *spare = &wal->spare;
	if (spare->busy || wal->failed || wal->closing || (spare->ready && spare->bytes >= bytes)) {
		return;
	}
	if (env_timer_armed(&wal->space_retry) && spare->bytes >= bytes) {
		return; /* asked a moment ago */
	}
	env_timer_stop(&wal->space_retry);
	spare->busy = true;
	spare->ready = false;
	spare->number = wal_active(wal)->number + 1;
	spare->bytes = bytes;
	spare->work.run = spare_run;
	spare->work.done = spare_done;
	env_lane_submit(wal->space_lane, &spare->work);
}

/* ---- the oldest segments ---- */

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

static void removal_run(struct env_work *work)
{
	struct wal_removal *removal = list_entry(work, struct wal_removal, work);
	struct wal *wal = removal->wal;
	removal->removed = 0;
	while (removal->removed < removal->count) {
		char path[WAL_PATH_BYTES];
		wal_path(wal, removal->first + removal->removed, path);
		int status = env_unlink(wal->config.env, path);
		/* One after the other: what is left after a crash, or when one cannot be removed, has no gap.
		 */
		if ((status != 0 && status != ERR_NOT_FOUND) ||
		    env_dir_sync(wal->config.env, wal->dir) != 0) {
			return;
		}
		removal->removed++;
	}
}

static void removal_done(struct env_work *work)
{
	struct wal_removal *removal = list_entry(work, struct wal_removal, work);
	removal->busy = false;
	removal->first += removal->removed;
	removal->count -= removal->removed;
	if (removal->count > 0) {
		log_event(removal->wal->config.log, LOG_WARN, "log_not_removed",
			  "segment=%llu it is tried again with the next ones",
			  (unsigned long long)removal->first);
	}
	wal_close_tick(removal->wal);
}

static void forget_before(struct wal *wal, uint64_t first)
{
	wal->base_term = wal_term_of(wal, first - 1);
	size_t gone = 0;
	while (gone + 1 < wal->term_count && wal->terms[gone + 1].first_index <= first) {
		gone++;
	}
	if (gone > 0) {
		memmove(wal->terms, wal->terms + gone, (wal->term_count - gone) * sizeof(*wal->terms));
		wal->term_count -= gone;
	}
	gone = 0;
	while (gone < wal->change_count && wal->changes[gone] < first) {
		gone++;
	}
	if (gone > 0) {
		memmove(wal->changes, wal->changes + gone,
			(wal->change_count - gone) * sizeof(*wal->changes));
		wal->change_count -= gone;
	}
	wal->first_index = first;
}

void wal_trim(struct wal *wal, uint64_t first)
{
	struct wal_removal *removal = &wal->removal;
	if (removal->busy || first <= wal->first_index || wal->failed || wal->closing || !wal->started) {
		return;
	}
	assert(first - 1 <= wal->floor);
	recent_shrink(&wal->recent, 0, first - 1);
	forget_before(wal, first);
	uint64_t oldest = list_entry(wal->segments.next, struct wal_segment, link)->number;
	assert(removal->count == 0 || removal->first + removal->count == oldest);
	removal->first = oldest - removal->count;
	for (;;) {
		struct wal_segment *segment = list_entry(wal->segments.next, struct wal_segment, link);
		if (segment_after(wal, segment) == NULL || segment->highest >= first) {
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
	removal->busy = true;
	removal->work.run = removal_run;
	removal->work.done = removal_done;
	/* Behind the reads, on their lane: none finds its segment gone. */
	env_lane_submit(wal->read_lane, &removal->work);
}

/* Room for the log: the next segment is made ready ahead, from one that was trimmed or from zeroes.
 *
 *   trimmed --rename--> K.free --rename--> N.log, the spare ----> active ----> trimmed
 *                         ^                  ^
 *   once, at the start ---+  zeroes          +--- zeroes, when nothing is free
 *
 * What an old segment holds is no record of the new one: their checksums are seeded with the number of the
 * segment they were written for (segment.h), and a number is never given twice to the same file. */
#include <assert.h>
#include <stdio.h>

#include "raft/wal/wal_private.h"

#define BLOCK_BYTES 4096 /* of the file system, or a multiple */

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
	assert(status != 0 || at == bytes);
	return status;
}

/* Whole blocks only: cutting one in the middle writes it again. */
void wal_cut(struct env_file *file, uint64_t end)
{
	uint64_t bytes = (end + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
	uint64_t now = 0;
	if (env_file_size(file, &now) == 0 && now > bytes) {
		env_file_truncate(file, bytes);
	}
}

/* ---- one more, against the time before the first trim ---- */

static void pool_run(struct env_work *work)
{
	struct wal_pool *pool = list_entry(work, struct wal_pool, work);
	struct wal *wal = pool->wal;
	char path[WAL_PATH_BYTES];
	wal_free_path(wal, WAL_FRESH, path);
	struct env_file *file;
	unsigned flags = ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE;
	pool->status = env_file_open(wal->config.env, path, flags, &file);
	if (pool->status != 0) {
		return;
	}
	pool->status = wal_zero(file, wal->config.segment_bytes, WAL_ZERO_BYTES);
	env_file_close(file);
	if (pool->status == 0) {
		pool->status = wal_sync_dir(wal);
		pool->dir_failed = pool->status != 0;
	}
}

/* A failure to make the file is not told: it costs nothing but time, and whoever needs the next segment will
 * meet it. A failed sync of the directory may have been the only one to carry what a trim did there. */
static void pool_done(struct env_work *work)
{
	struct wal_pool *pool = list_entry(work, struct wal_pool, work);
	assert(pool->busy);
	assert(pool->count <= WAL_POOL);
	pool->busy = false;
	if (pool->dir_failed) {
		wal_fail_dir(pool->wal);
	} else if (pool->status == 0 && pool->count < WAL_POOL) {
		pool->names[pool->count++] = WAL_FRESH;
	}
	wal_close_tick(pool->wal);
}

static void pool_fill(struct wal *wal)
{
	struct wal_pool *pool = &wal->pool;
	if (pool->filled || wal->failed || wal->closing) {
		return;
	}
	pool->filled = true;
	if (pool->count > 0) {
		return;
	}
	pool->busy = true;
	pool->work.run = pool_run;
	pool->work.done = pool_done;
	env_lane_submit(wal->space_lane, &pool->work);
}

/* ---- the next segment ---- */

/* On the lane. An old file keeps its blocks: only what it is short of is zeroed. */
static int spare_open(struct wal_spare *spare)
{
	struct wal *wal = spare->wal;
	char path[WAL_PATH_BYTES], free_path[WAL_PATH_BYTES];
	assert(spare->number > 0);
	assert(spare->file == NULL);
	wal_path(wal, spare->number, path);
	if (spare->reuses) {
		wal_free_path(wal, spare->reused, free_path);
		int status = env_rename(wal->config.env, free_path, path);
		/* It held nothing: who took it away for the space, as nobody's, costs us the zeroes. */
		if (status != 0 && status != ERR_NOT_FOUND) {
			return status;
		}
		spare->reuses = false;
	}
	unsigned flags = ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE;
	return env_file_open(wal->config.env, path, flags, &spare->file);
}

static void spare_run(struct env_work *work)
{
	struct wal_spare *spare = list_entry(work, struct wal_spare, work);
	struct wal *wal = spare->wal;
	assert(spare->bytes >= SEGMENT_HEAD);
	spare->status = spare->file == NULL ? spare_open(spare) : 0;
	if (spare->status != 0) {
		return;
	}
	spare->status = wal_zero(spare->file, spare->bytes, WAL_ZERO_BYTES);
	if (spare->status == 0) {
		spare->status = wal_sync_dir(wal);
	}
}

static void spare_done(struct env_work *work)
{
	struct wal_spare *spare = list_entry(work, struct wal_spare, work);
	struct wal *wal = spare->wal;
	assert(spare->busy);
	assert(!spare->ready);
	spare->busy = false;
	if (spare->status == 0) {
		assert(spare->file != NULL);
		assert(spare->number == wal_active(wal)->number + 1);
		spare->ready = true;
		spare->no_space = false;
		wal_flush(wal);
		pool_fill(wal);
	} else if (spare->status == ERR_NO_SPACE) {
		if (!spare->no_space) {
			log_event(wal->config.log, LOG_ERROR, "log_no_space",
				  "dir=%s bytes=%llu writes wait until there is space for a segment: free it, or set "
				  "segment smaller",
				  wal->dir, (unsigned long long)spare->bytes);
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
	struct wal_pool *pool = &wal->pool;
	if (spare->file == NULL && !spare->reuses && pool->count > 0) {
		spare->reuses = true;
		spare->reused = pool->names[--pool->count];
	}
	spare->work.run = spare_run;
	spare->work.done = spare_done;
	env_lane_submit(wal->space_lane, &spare->work);
}

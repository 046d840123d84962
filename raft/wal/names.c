/* The names in the log's directory at a start: which segments there are, and what earlier lives left
 * beside them.
 *
 *   3.log 4.log | 7.log 8.log 9.log | 10.log      5.free
 *   below a gap   used: have a head   made ready   trimmed, waits to be used again
 *
 * A directory's entry is like a page of a file: after a failed sync the kernel shows what the disk may
 * not have, and a later sync that succeeds need not carry it. So nothing is built upon a name that an earlier
 * life gave or took away before this life has done that anew, and names that come back do no harm. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "raft/wal/wal_private.h"

/* ---- what there is ---- */

/* Used again, as far as they are wanted. */
static bool take_free(struct wal *wal, const char *name)
{
	unsigned long long number;
	int length = 0;
	if (sscanf(name, "%16llx.free%n", &number, &length) != 1 || length != 21 || name[length] != '\0') {
		return false;
	}
	struct wal_pool *pool = &wal->pool;
	if (pool->count < WAL_POOL) {
		pool->names[pool->count++] = number;
	}
	return true;
}

static int visit_name(void *owner, const char *name)
{
	struct wal_names *names = owner;
	unsigned long long number;
	int length = 0;
	if (take_free(names->wal, name)) {
		return 0;
	}
	if (sscanf(name, "%16llx.log%n", &number, &length) != 1 || length != 20 || name[length] != '\0') {
		return 0;
	}
	if (names->count == names->cap) {
		names->cap = names->cap == 0 ? 16 : names->cap * 2;
		names->all = realloc(names->all, names->cap * sizeof(*names->all));
		if (names->all == NULL) {
			fatal("out of memory: the names of %zu segments of the log", names->cap);
		}
	}
	assert(names->count == 0 || names->all[names->count - 1] < number); /* they come in byte order */
	names->all[names->count++] = number;
	return 0;
}

/* ERR_CORRUPT when there is none. */
static int read_head(struct wal *wal, uint64_t number, struct segment_head *head, struct err *err)
{
	char path[WAL_PATH_BYTES];
	uint8_t bytes[SEGMENT_HEAD];
	size_t got = 0;
	struct env_file *file;
	wal_path(wal, number, path);
	int status = env_file_open(wal->config.env, path, ENV_FILE_READ, &file);
	if (status == 0) {
		status = env_file_read(file, 0, bytes, sizeof(bytes), &got);
		env_file_close(file);
	}
	if (status != 0) {
		return err_set(err, status, "cannot read %s: %s", path, err_name(status));
	}
	return segment_head_decode(slice_of(bytes, got), number, head);
}

/* A trim takes the oldest away one after the other, so a gap means that a name came back whose removal was
 * taken for durable, or that a segment is lost. Either is harmless if the log behind the gap begins at or
 * below the first index that this member still needs, the one behind what the database holds: no entry in the
 * gap is needed then, and nothing behind it reaches back over it, for what is in the database is committed
 * and never truncated. */
static int find_gap(struct wal_names *names, struct err *err)
{
	struct wal *wal = names->wal;
	size_t at = names->count;
	while (at > 1 && names->all[at - 1] == names->all[at - 2] + 1) {
		at--;
	}
	if (at <= 1) {
		return 0;
	}
	struct segment_head head;
	int status = read_head(wal, names->all[at - 1], &head, err);
	if (status != 0 && status != ERR_CORRUPT && status != ERR_VERSION) {
		return status;
	}
	if (status != 0 || head.log_id != wal->config.log_id || head.first_index > wal->floor + 1) {
		return 0; /* whoever reads the log says what is missing */
	}
	log_event(wal->config.log, LOG_WARN, "log_gap",
		  "dir=%s from=%016llx.log first=%llu older segments have come back or are missing; the "
		  "database holds what was in them: they are removed",
		  wal->dir, (unsigned long long)head.number, (unsigned long long)head.first_index);
	names->below = at - 1;
	return 0;
}

int wal_names_list(struct wal_names *names, struct err *err)
{
	int status = env_dir_list(names->wal->config.env, names->wal->dir, visit_name, names);
	if (status != 0) {
		return err_set(err, status, "cannot list %s: %s", names->wal->dir, err_name(status));
	}
	status = find_gap(names, err);
	names->numbers = names->below == 0 ? names->all : names->all + names->below;
	names->count -= names->below;
	return status;
}

void wal_names_fini(struct wal_names *names)
{
	free(names->all);
}

/* ---- what becomes of it ---- */

/* Back to the name it had as a segment and away from it again: that it has that one no longer is what its
 * use needs, and the next sync of the directory carries it. */
static int renew_free(struct wal_names *names, char path[WAL_PATH_BYTES])
{
	struct wal *wal = names->wal;
	struct wal_pool *pool = &wal->pool;
	uint64_t oldest = names->below + names->count == 0 ? UINT64_MAX : names->all[0];
	size_t kept = 0;
	for (size_t i = 0; i < pool->count; i++) {
		char old_path[WAL_PATH_BYTES];
		uint64_t name = pool->names[i];
		if (name >= oldest) {
			continue; /* left by no trim: that name may be in use */
		}
		wal_free_path(wal, name, path);
		wal_path(wal, name, old_path);
		int status = name == WAL_FRESH ? 0 : env_rename(wal->config.env, path, old_path);
		if (status == 0 && name != WAL_FRESH) {
			status = env_rename(wal->config.env, old_path, path);
		}
		if (status != 0) {
			return status;
		}
		pool->names[kept++] = name;
	}
	pool->count = kept;
	return 0;
}

/* A free file, or an empty one, takes the place of the next segment. One that was made ready under that name is
 * replaced, not removed: those behind it may come back in a power cut, and the gap before them would look as if
 * the newest segment of the log were lost. */
static int take_place(struct wal *wal, uint64_t next, char path[WAL_PATH_BYTES])
{
	struct wal_pool *pool = &wal->pool;
	char free_path[WAL_PATH_BYTES];
	struct env_file *file;
	wal_path(wal, next, path);
	wal_free_path(wal, pool->count > 0 ? pool->names[--pool->count] : WAL_FRESH, free_path);
	int status = env_file_open(wal->config.env, free_path, ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	if (status != 0) {
		return status;
	}
	env_file_close(file);
	return env_rename(wal->config.env, free_path, path);
}

int wal_names_renew(struct wal_names *names, uint64_t next, char path[WAL_PATH_BYTES])
{
	struct wal *wal = names->wal;
	int status = renew_free(names, path);
	for (size_t i = 0; i < names->below && status == 0; i++) {
		wal_path(wal, names->all[i], path);
		status = env_unlink(wal->config.env, path);
	}
	/* Made ready and never used: nobody knows under which name the disk has it. */
	for (size_t i = names->count; i > 0 && names->numbers[i - 1] > next && status == 0; i--) {
		wal_path(wal, names->numbers[i - 1], path);
		status = env_unlink(wal->config.env, path);
	}
	return status == 0 ? take_place(wal, next, path) : status;
}

/* The simulated disk.
 *
 * A file has two images: what the kernel holds (now) and what the platter holds
 * (old). Writes go to now; a sync copies what is dirty to old. A directory has
 * two lists of entries and, between them, the operations since its last sync.
 *
 * A power cut resolves the difference: each dirty sector of 512 bytes is kept,
 * lost or torn, the size is one of those between, and each directory
 * operation is kept or lost on its own (a rename is one operation). A sync
 * that fails marks all clean and leaves either version of each sector; the
 * kernel goes on showing the new one, so who reads it back is deceived, as on Linux.
 * When only a process dies, the kernel's image stays. */
#include "tests/sim/sim_inode.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OP_US 3
#define BYTES_PER_US 1000
#define SYNC_US 60
#define STALL_US 100000 /* a sync that takes longer holds up its host */
#define LONG_US 500 /* after so much a work item's calls take effect later */

struct sim_file {
	struct env_file file;
	struct list link;
	struct inode *inode;
	unsigned flags;
};

static struct sim_file *file_of(struct env_file *file) { return (struct sim_file *)file; }

/* ---- every call passes here ---- */

bool sim_disk_chance(struct sim_host *host, uint32_t per_million)
{
	return per_million != 0 && prng_chance(&host->sim->prng, per_million, 1000000);
}

void sim_disk_fail_nth(struct sim_host *host, enum sim_disk_nth kind, uint64_t n)
{
	host->nth_kind = kind;
	host->nth = n;
}

bool sim_disk_nth_waits(const struct sim_host *host)
{
	return host->nth != 0;
}

bool sim_disk_nth(struct sim_host *host, enum sim_disk_nth kind)
{
	return host->nth != 0 && host->nth_kind == kind && --host->nth == 0;
}

int sim_disk_full(struct sim_env *e)
{
	sim_trace(e->sim, e->host, "full", SLICE_NONE);
	e->sim->stats.disk_errors++;
	return ERR_NO_SPACE;
}

void sim_disk_takes(struct sim_env *e, uint64_t us)
{
	e->call_us += us;
	uint64_t until_us = e->sim->now_us + e->call_us;
	if (us > STALL_US && until_us > e->host->stalls_until_us) {
		e->host->stalls_until_us = until_us;
	}
}

/* 0, or ERR_IO when the power went before this call. */
int sim_disk_call(struct sim_env *e, size_t bytes)
{
	struct sim_host *host = e->host;
	if (e->env.dead || host->crashing) {
		return ERR_IO;
	}
	e->sim->stats.disk_calls++;
	if (host->crash_after != 0 && --host->crash_after == 0) {
		sim_trace(e->sim, host, "crash", SLICE_NONE);
		host->crashing = true;
		sim_event_in(e->sim, &host->crash, 0);
		return ERR_IO;
	}
	if (sim_disk_nth(host, SIM_NTH_ERROR)) {
		return sim_disk_error(e, "nth-eio");
	}
	e->call_us += (host->faults.op_us != 0 ? host->faults.op_us : OP_US) + bytes / BYTES_PER_US;
	return e->call_us < LONG_US || sim_lane_pass(e) ? 0 : ERR_IO;
}

int sim_disk_error(struct sim_env *e, const char *kind)
{
	e->sim->stats.disk_errors++;
	e->host->wounds++;
	sim_trace(e->sim, e->host, kind, SLICE_NONE);
	return ERR_IO;
}

/* ---- the disk ---- */

struct sim_disk *sim_disk_new(void)
{
	struct sim_disk *disk = calloc(1, sizeof(*disk));
	if (disk == NULL) {
		fatal("out of memory for a disk");
	}
	list_init(&disk->inodes);
	disk->root = sim_inode_ref(sim_inode_new(disk, true));
	return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
	sim_inode_unref(disk->root);
	assert(list_empty(&disk->inodes));
	free(disk);
}

void sim_disk_wipe(struct sim_host *host)
{
	assert(host->env == NULL);
	sim_disk_free(host->disk);
	host->disk = sim_disk_new();
}

static void copy_dir(struct sim_disk *disk, struct inode *to, const struct inode *from)
{
	for (size_t i = 0; i < from->entries.count; i++) {
		const struct entry *entry = &from->entries.list[i];
		struct inode *copy = sim_inode_new(disk, entry->inode->is_dir);
		sim_image_resize(&copy->now, entry->inode->now.size);
		sim_image_copy(&copy->now, &entry->inode->now, 0, copy->now.size);
		sim_image_resize(&copy->old, copy->now.size);
		sim_image_copy(&copy->old, &copy->now, 0, copy->now.size);
		disk->used += copy->now.size;
		copy_dir(disk, copy, entry->inode);
		sim_entries_set(&to->entries, entry->name, copy);
		sim_entries_set(&to->synced, entry->name, copy);
	}
}

void sim_disk_copy(struct sim_host *from, struct sim_host *to)
{
	assert(from->env == NULL);
	sim_disk_wipe(to);
	copy_dir(to->disk, to->disk->root, from->disk->root);
}

uint64_t sim_disk_wounds(const struct sim_host *host) { return host->wounds; }
uint64_t sim_disk_used(const struct sim_host *host) { return host->disk->used; }

void sim_disk_release(struct sim_env *e)
{
	list_for_each(link, &e->files)
	{
		struct sim_file *file = list_entry(link, struct sim_file, link);
		if (file->inode != NULL) {
			sim_inode_unref(file->inode);
			file->inode = NULL;
		}
	}
}

void sim_disk_forget(struct sim_env *e)
{
	struct list *link;
	while ((link = list_pop(&e->files)) != NULL) {
		free(list_entry(link, struct sim_file, link));
	}
	sim_disk_forget_locks(e);
}

/* ---- files ---- */

int sim_disk_open(struct env *env, const char *path, unsigned flags, struct env_file **file)
{
	struct sim_env *e = sim_env_of(env);
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char name[SIM_NAME_BYTES];
	struct inode *dir = sim_disk_walk(e->host->disk, path, name);
	if (dir == NULL || name[0] == '\0') {
		return ERR_NOT_FOUND;
	}
	struct inode *inode = sim_entries_find(&dir->entries, name);
	if (inode == NULL && (flags & ENV_FILE_CREATE) == 0) {
		return ERR_NOT_FOUND;
	}
	if (inode != NULL && ((flags & ENV_FILE_EXCLUSIVE) != 0 || inode->is_dir)) {
		return inode->is_dir ? ERR_IO : ERR_EXISTS;
	}
	if (inode == NULL && sim_disk_nth(e->host, SIM_NTH_NO_SPACE)) {
		return sim_disk_full(e);
	}
	if (inode == NULL) {
		inode = sim_inode_new(e->host->disk, false);
		sim_dir_do(dir, OP_LINK, name, "", inode);
	}
	struct sim_file *opened = calloc(1, sizeof(*opened));
	if (opened == NULL) {
		fatal("out of memory opening %s", path);
	}
	opened->file.env = env;
	opened->inode = sim_inode_ref(inode);
	opened->flags = flags;
	list_append(&e->files, &opened->link);
	*file = &opened->file;
	return 0;
}

void sim_disk_close(struct env_file *base)
{
	struct sim_file *file = file_of(base);
	list_remove(&file->link);
	if (file->inode != NULL) {
		sim_inode_unref(file->inode);
	}
	free(file);
}

int sim_disk_read(struct env_file *base, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	int status = sim_disk_call(e, len);
	if (status != 0) {
		return status;
	}
	assert((file->flags & ENV_FILE_READ) != 0);
	if (sim_disk_chance(e->host, e->host->faults.read_error_per_million)) {
		return sim_disk_error(e, "read-eio");
	}
	struct inode *inode = file->inode;
	uint64_t left = offset < inode->now.size ? inode->now.size - offset : 0;
	size_t take = left < len ? (size_t)left : len;
	if (take > 0 && sim_disk_nth(e->host, SIM_NTH_SHORT_READ)) {
		sim_disk_error(e, "short-read");
		take /= 2;
	}
	size_t exposed = take;
	if (e->host->faults.flips_spare_end && offset + take > inode->last_two_from) {
		exposed = offset < inode->last_two_from ? (size_t)(inode->last_two_from - offset) : 0;
	}
	if (exposed > 0 && sim_disk_chance(e->host, e->host->faults.flip_per_million)) {
		uint64_t at = offset + prng_below(&e->sim->prng, exposed);
		uint8_t bit = (uint8_t)(1u << prng_below(&e->sim->prng, 8));
		inode->now.bytes[at] ^= bit;
		if (at < inode->old.size) {
			inode->old.bytes[at] ^= bit;
		}
		e->sim->stats.flips++;
		e->host->wounds++;
		sim_trace(e->sim, e->host, "rot", slice_of(&at, sizeof(at)));
	}
	if (take > 0) {
		memcpy(bytes, inode->now.bytes + offset, take);
	}
	*got = take;
	return 0;
}

static void mark_dirty(struct inode *inode, uint64_t from, uint64_t to)
{
	if (inode->dirty_from == inode->dirty_to) {
		inode->dirty_from = from;
		inode->dirty_to = to;
		return;
	}
	inode->dirty_from = from < inode->dirty_from ? from : inode->dirty_from;
	inode->dirty_to = to > inode->dirty_to ? to : inode->dirty_to;
}

static int set_size(struct sim_env *e, struct inode *inode, uint64_t size)
{
	uint64_t capacity = e->host->faults.capacity;
	struct sim_disk *disk = inode->disk;
	if (inode->ghost) {
		sim_image_resize(&inode->now, size);
		return 0;
	}
	if (size > inode->now.size && capacity != 0 && disk->used + (size - inode->now.size) > capacity) {
		return ERR_NO_SPACE;
	}
	disk->used += size - inode->now.size;
	sim_image_resize(&inode->now, size);
	return 0;
}

static int write_now(struct sim_env *e, struct inode *inode, uint64_t offset, const void *bytes, size_t len)
{
	if (len == 0) {
		return 0;
	}
	if (offset + len > inode->now.size) {
		uint64_t before = inode->now.size;
		int status = set_size(e, inode, offset + len);
		if (status != 0) {
			sim_trace(e->sim, e->host, "full", SLICE_NONE);
			e->sim->stats.disk_errors++;
			return status;
		}
		mark_dirty(inode, before < offset ? before : offset, offset + len);
	}
	memcpy(inode->now.bytes + offset, bytes, len);
	mark_dirty(inode, offset, offset + len);
	inode->last_two_from = inode->last_from < offset ? inode->last_from : offset;
	inode->last_from = offset;
	inode->last_number = ++inode->disk->writes;
	return 0;
}

int sim_disk_write(struct env_file *base, uint64_t offset, const void *bytes, size_t len)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	int status = sim_disk_call(e, len);
	if (status != 0) {
		return status;
	}
	assert((file->flags & ENV_FILE_WRITE) != 0);
	if (sim_disk_chance(e->host, e->host->faults.write_error_per_million)) {
		write_now(e, file->inode, offset, bytes, prng_below(&e->sim->prng, len + 1));
		return sim_disk_error(e, "write-eio");
	}
	if (sim_disk_nth(e->host, SIM_NTH_NO_SPACE)) {
		e->host->wounds++; /* also where space had been allocated */
		return sim_disk_full(e);
	}
	if (sim_disk_nth(e->host, SIM_NTH_SHORT_WRITE)) {
		write_now(e, file->inode, offset, bytes, len / 2);
		e->host->wounds++;
		return sim_disk_full(e);
	}
	if (offset >= SIM_SECTOR && sim_disk_chance(e->host, e->host->faults.misdirect_per_million)) {
		sim_trace(e->sim, e->host, "misdirect", SLICE_NONE);
		e->sim->stats.flips++;
		e->host->wounds++;
		offset = prng_chance(&e->sim->prng, 1, 2) ? offset - SIM_SECTOR : offset + SIM_SECTOR;
	}
	sim_trace(e->sim, e->host, "write", slice_of(bytes, len));
	return write_now(e, file->inode, offset, bytes, len);
}

/* [from, to) and the size are on the platter, except what was written meanwhile. */
static void sync_range(struct inode *inode, uint64_t from, uint64_t to, uint64_t size)
{
	uint64_t first = inode->dirty_from, last = inode->dirty_to;
	if (first == last) {
		sim_image_copy(&inode->old, &inode->now, from, to);
	} else {
		if (from < first) {
			sim_image_copy(&inode->old, &inode->now, from, to < first ? to : first);
		}
		if (last < to) {
			sim_image_copy(&inode->old, &inode->now, from > last ? from : last, to);
		}
	}
	sim_image_reserve(&inode->old, size);
	if (size < inode->old.size) {
		sim_image_resize(&inode->old, size);
	}
	inode->old.size = size;
}

int sim_disk_sync(struct env_file *base)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	uint64_t wounds = e->host->wounds;
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		if (e->host->wounds != wounds) {
			sim_crash_after_bad_sync(e->sim, file->inode);
		}
		return status;
	}
	struct inode *inode = file->inode;
	struct sim_host *host = e->host;
	e->sim->stats.syncs++;
	uint32_t usual_us = SYNC_US + (uint32_t)prng_below(&e->sim->prng, 2 * SYNC_US);
	sim_disk_takes(e, host->faults.sync_us != 0 ? host->faults.sync_us : usual_us);
	/* What is written while it is under way is not part of it. */
	uint64_t from = inode->dirty_from, to = inode->dirty_to, size = inode->now.size;
	inode->dirty_from = inode->dirty_to = 0;
	bool passed = sim_lane_pass(e);
	if (!passed || sim_disk_chance(host, host->faults.sync_error_per_million)) {
		if (from < to) {
			mark_dirty(inode, from, to);
		}
		if (!passed) {
			return ERR_IO;
		}
		/* Clean from now on, whichever version reached the platter. */
		sim_crash_after_bad_sync(e->sim, inode);
		return sim_disk_error(e, "sync-eio");
	}
	sim_trace(e->sim, host, "sync", SLICE_NONE);
	sync_range(inode, from, to, size);
	return 0;
}

int sim_disk_truncate(struct env_file *base, uint64_t size)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	uint64_t before = file->inode->now.size;
	status = set_size(e, file->inode, size);
	if (status == 0 && size != before) {
		/* Cut off and grown again, a range must come back as zeroes after a sync. */
		mark_dirty(file->inode, size < before ? size : before, size < before ? before : size);
	}
	return status;
}

int sim_disk_allocate(struct env_file *base, uint64_t size)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	uint64_t before = file->inode == NULL ? 0 : file->inode->now.size;
	int status = sim_disk_call(e, size > before ? size - before : 0);
	before = file->inode == NULL ? 0 : file->inode->now.size; /* time may have passed */
	if (status != 0 || size <= before) {
		return status;
	}
	if (sim_disk_nth(e->host, SIM_NTH_NO_SPACE)) {
		return sim_disk_full(e);
	}
	status = set_size(e, file->inode, size);
	if (status == 0) {
		mark_dirty(file->inode, before, size);
	}
	return status;
}

int sim_disk_size(struct env_file *base, uint64_t *size)
{
	int status = sim_disk_call(sim_env_of(base->env), 0);
	if (status == 0) {
		*size = file_of(base)->inode->now.size;
	}
	return status;
}

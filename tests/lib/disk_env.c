#include "tests/lib/disk_env.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "env/env_ops.h"

#define SECTOR 512
#define PATH_MAX_BYTES 512

struct inode {
	struct list link;
	char path[PATH_MAX_BYTES];    /* "" when unlinked */
	char durable[PATH_MAX_BYTES]; /* "" when no synced directory names it */
	uint8_t *bytes, *synced;      /* as written, as on the disk */
	size_t len, synced_len, cap;
	bool *dirty; /* by sector */
	unsigned refs;
	struct inode *pair; /* replaced by, or instead of, this one since the directory was synced: one fate
			       for both */
	enum { FATE_OPEN, FATE_OLDER, FATE_NEWER } fate;
};

struct disk {
	struct list inodes;
	struct prng prng;
	uint64_t changes, cut_at, fail_read, fail_write, fail_sync;
	bool cut, full;
};

struct disk_env {
	struct env env;
	struct disk *disk;
	struct list lanes;
	struct prng prng;
	uint64_t now_us;
};
struct lane {
	struct env_lane base;
	struct list link;
	struct list queue;
};
struct file {
	struct env_file base;
	struct inode *inode;
};

/* ---- the disk ---- */

struct disk *disk_new(uint64_t seed)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	assert(disk != NULL);
	list_init(&disk->inodes);
	prng_init(&disk->prng, seed);
	return disk;
}

static void inode_free(struct inode *inode)
{
	if (inode->pair != NULL) {
		inode->pair->pair = NULL;
	}
	list_remove(&inode->link);
	free(inode->bytes);
	free(inode->synced);
	free(inode->dirty);
	free(inode);
}

void disk_free(struct disk *disk)
{
	while (!list_empty(&disk->inodes)) {
		inode_free(list_entry(disk->inodes.next, struct inode, link));
	}
	free(disk);
}

uint64_t disk_changes(const struct disk *disk)
{
	return disk->changes;
}
void disk_cut_at(struct disk *disk, uint64_t at)
{
	disk->cut_at = at;
}
bool disk_is_cut(const struct disk *disk)
{
	return disk->cut;
}
void disk_fail_read(struct disk *disk, uint64_t count)
{
	disk->fail_read = count;
}
void disk_fail_write(struct disk *disk, uint64_t count)
{
	disk->fail_write = count;
}
void disk_fail_sync(struct disk *disk, uint64_t count)
{
	disk->fail_sync = count;
}
void disk_fill(struct disk *disk, bool full)
{
	disk->full = full;
}

/* False when the power is gone. */
static bool change(struct disk *disk)
{
	disk->changes++;
	disk->cut = disk->cut || (disk->cut_at != 0 && disk->changes >= disk->cut_at);
	return !disk->cut;
}

static struct inode *find(struct disk *disk, const char *path)
{
	list_for_each (link, &disk->inodes) {
		struct inode *inode = list_entry(link, struct inode, link);
		if (strcmp(inode->path, path) == 0) {
			return inode;
		}
	}
	return NULL;
}

/* In order of names, so that a listing is. */
static void insert(struct disk *disk, struct inode *inode)
{
	struct list *at = disk->inodes.next;
	while (at != &disk->inodes && strcmp(list_entry(at, struct inode, link)->path, inode->path) < 0) {
		at = at->next;
	}
	list_append(at, &inode->link);
}

static struct inode *inode_new(struct disk *disk, const char *path)
{
	struct inode *inode = calloc(1, sizeof(*inode));
	assert(inode != NULL);
	snprintf(inode->path, sizeof(inode->path), "%s", path);
	insert(disk, inode);
	return inode;
}

static void reserve(struct inode *inode, size_t len)
{
	if (len <= inode->cap) {
		return;
	}
	size_t cap = (len * 2 + SECTOR - 1) / SECTOR * SECTOR;
	inode->bytes = realloc(inode->bytes, cap);
	inode->synced = realloc(inode->synced, cap);
	inode->dirty = realloc(inode->dirty, cap / SECTOR);
	assert(inode->bytes != NULL && inode->synced != NULL && inode->dirty != NULL);
	memset(inode->bytes + inode->cap, 0, cap - inode->cap);
	memset(inode->synced + inode->cap, 0, cap - inode->cap);
	memset(inode->dirty + inode->cap / SECTOR, 0, (cap - inode->cap) / SECTOR);
	inode->cap = cap;
}

static void soil(struct inode *inode, size_t from, size_t to)
{
	for (size_t sector = from / SECTOR; sector * SECTOR < to; sector++) {
		inode->dirty[sector] = true;
	}
}

static void settle(struct disk *disk, struct inode *inode, enum disk_loss loss)
{
	bool keep_len = loss == DISK_KEEP_ALL || (loss == DISK_LOSE_SOME && prng_chance(&disk->prng, 1, 2));
	size_t len = keep_len ? inode->len : inode->synced_len;
	for (size_t sector = 0; sector * SECTOR < inode->cap; sector++) {
		uint8_t *now = inode->bytes + sector * SECTOR, *was = inode->synced + sector * SECTOR;
		if (!inode->dirty[sector]) {
			memcpy(now, was, SECTOR); /* after a failed sync they differ */
			continue;
		}
		inode->dirty[sector] = false;
		uint64_t luck = prng_below(&disk->prng, 8);
		if (loss == DISK_KEEP_ALL || (loss == DISK_LOSE_SOME && luck > 4)) {
			memcpy(was, now, SECTOR);
		} else if (loss == DISK_LOSE_SOME && luck == 0) {
			prng_fill(&disk->prng, now, SECTOR);
			memcpy(was, now, SECTOR);
		} else {
			memcpy(now, was, SECTOR);
		}
	}
	inode->len = inode->synced_len = len;
	if (inode->cap > len) {
		memset(inode->bytes + len, 0, inode->cap - len);
		memset(inode->synced + len, 0, inode->cap - len);
	}
}

void disk_recover(struct disk *disk, enum disk_loss loss)
{
	disk->cut = false;
	disk->cut_at = disk->fail_read = disk->fail_write = disk->fail_sync = 0;
	struct list all;
	list_init(&all);
	list_splice(&all, &disk->inodes);
	for (struct list *link; (link = list_pop(&all)) != NULL;) {
		struct inode *inode = list_entry(link, struct inode, link);
		assert(inode->refs == 0);
		bool newer =
			loss == DISK_KEEP_ALL || (loss == DISK_LOSE_SOME && prng_chance(&disk->prng, 1, 2));
		if (inode->fate != FATE_OPEN) {
			newer = inode->fate == FATE_NEWER;
		} else if (inode->pair != NULL) {
			inode->pair->fate = newer ? FATE_NEWER : FATE_OLDER; /* a rename is one operation */
		}
		inode->fate = FATE_OPEN;
		char *name = newer ? inode->path : inode->durable;
		if (name[0] == '\0' || find(disk, name) != NULL) {
			inode_free(inode);
			continue;
		}
		settle(disk, inode, loss);
		memmove(inode->path, name, strlen(name) + 1);
		snprintf(inode->durable, sizeof(inode->durable), "%s", inode->path);
		insert(disk, inode);
	}
}

struct disk *disk_copy(const struct disk *disk)
{
	struct disk *copy = disk_new(1);
	list_for_each (link, &disk->inodes) {
		const struct inode *inode = list_entry(link, struct inode, link);
		if (inode->path[0] == '\0') {
			continue;
		}
		struct inode *twin = inode_new(copy, inode->path);
		snprintf(twin->durable, sizeof(twin->durable), "%s", inode->path);
		reserve(twin, inode->len + 1);
		if (inode->len > 0) {
			memcpy(twin->bytes, inode->bytes, inode->len);
			memcpy(twin->synced, inode->bytes, inode->len);
		}
		twin->len = twin->synced_len = inode->len;
	}
	return copy;
}

const char *disk_name(struct disk *disk, size_t i)
{
	list_for_each (link, &disk->inodes) {
		struct inode *inode = list_entry(link, struct inode, link);
		if (inode->path[0] != '\0' && i-- == 0) {
			return inode->path;
		}
	}
	return NULL;
}

uint8_t *disk_bytes(struct disk *disk, const char *path, size_t *len)
{
	struct inode *inode = find(disk, path);
	assert(inode != NULL);
	*len = inode->len;
	return inode->bytes;
}

/* ---- files ---- */

static struct disk *disk_of(struct env *env)
{
	return list_entry(env, struct disk_env, env)->disk;
}
static struct inode *inode_of(struct env_file *file)
{
	return list_entry(file, struct file, base)->inode;
}

static int file_open(struct env *env, const char *path, unsigned flags, struct env_file **opened)
{
	struct disk *disk = disk_of(env);
	struct inode *inode = find(disk, path);
	if (inode != NULL && (flags & ENV_FILE_EXCLUSIVE) != 0) {
		return ERR_EXISTS;
	}
	if (inode == NULL) {
		if ((flags & ENV_FILE_CREATE) == 0) {
			return ERR_NOT_FOUND;
		}
		if (!change(disk)) {
			return ERR_IO;
		}
		inode = inode_new(disk, path);
	}
	struct file *file = calloc(1, sizeof(*file));
	assert(file != NULL);
	file->base.env = env;
	file->inode = inode;
	inode->refs++;
	*opened = &file->base;
	return 0;
}

static void file_close(struct env_file *base)
{
	struct file *file = list_entry(base, struct file, base);
	assert(file->inode->refs > 0);
	file->inode->refs--;
	free(file);
}

static bool countdown(uint64_t *count)
{
	return *count > 0 && --*count == 0;
}

static int file_read(struct env_file *file, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	struct disk *disk = disk_of(file->env);
	struct inode *inode = inode_of(file);
	if (disk->cut || countdown(&disk->fail_read)) {
		return ERR_IO;
	}
	size_t left = offset < inode->len ? inode->len - (size_t)offset : 0;
	*got = len < left ? len : left;
	if (*got > 0) {
		memcpy(bytes, inode->bytes + offset, *got);
	}
	return 0;
}

static int file_write(struct env_file *file, uint64_t offset, const void *bytes, size_t len)
{
	struct disk *disk = disk_of(file->env);
	struct inode *inode = inode_of(file);
	if (!change(disk) || countdown(&disk->fail_write)) {
		/* Cut in the middle of it: part of it is in the cache of the disk. */
		len = len > 0 ? (size_t)prng_below(&disk->prng, len) : 0;
		if (len > 0 && offset + len <= inode->len) {
			memcpy(inode->bytes + offset, bytes, len);
			soil(inode, (size_t)offset, (size_t)offset + len);
		}
		return ERR_IO;
	}
	if (disk->full && offset + len > inode->len) {
		return ERR_NO_SPACE;
	}
	reserve(inode, (size_t)offset + len);
	memcpy(inode->bytes + offset, bytes, len);
	soil(inode, (size_t)offset, (size_t)offset + len);
	inode->len = offset + len > inode->len ? (size_t)offset + len : inode->len;
	return 0;
}

static int file_sync(struct env_file *file)
{
	struct disk *disk = disk_of(file->env);
	struct inode *inode = inode_of(file);
	if (!change(disk)) {
		return ERR_IO;
	}
	bool fails = countdown(&disk->fail_sync);
	for (size_t sector = 0; sector * SECTOR < inode->cap; sector++) {
		if (inode->dirty[sector] && !fails) {
			memcpy(inode->synced + sector * SECTOR, inode->bytes + sector * SECTOR, SECTOR);
		}
		inode->dirty[sector] = false;
	}
	if (fails) {
		return ERR_IO;
	}
	inode->synced_len = inode->len;
	return 0;
}

static int file_truncate(struct env_file *file, uint64_t size)
{
	struct inode *inode = inode_of(file);
	if (!change(disk_of(file->env))) {
		return ERR_IO;
	}
	if (size < inode->len) {
		memset(inode->bytes + size, 0, inode->len - (size_t)size);
		soil(inode, (size_t)size, inode->len);
	}
	reserve(inode, (size_t)size);
	inode->len = (size_t)size;
	return 0;
}

static int file_allocate(struct env_file *file, uint64_t size)
{
	struct disk *disk = disk_of(file->env);
	struct inode *inode = inode_of(file);
	if (!change(disk)) {
		return ERR_IO;
	}
	if (size <= inode->len) {
		return 0;
	}
	if (disk->full) {
		return ERR_NO_SPACE;
	}
	reserve(inode, (size_t)size);
	soil(inode, inode->len, (size_t)size);
	inode->len = (size_t)size;
	return 0;
}

static int file_size(struct env_file *file, uint64_t *size)
{
	*size = inode_of(file)->len;
	return 0;
}

static int make_dir(struct env *env, const char *path)
{
	return 0;
}

static int rename_file(struct env *env, const char *from, const char *to)
{
	struct disk *disk = disk_of(env);
	struct inode *inode = find(disk, from), *old = find(disk, to);
	if (inode == NULL) {
		return ERR_NOT_FOUND;
	}
	if (!change(disk)) {
		return ERR_IO;
	}
	if (old != NULL) {
		old->path[0] = '\0';
		if (old->pair == NULL && inode->pair == NULL) {
			old->pair = inode;
			inode->pair = old;
		}
	}
	snprintf(inode->path, sizeof(inode->path), "%s", to);
	list_remove(&inode->link);
	insert(disk, inode);
	return 0;
}

static int unlink_file(struct env *env, const char *path)
{
	struct disk *disk = disk_of(env);
	struct inode *inode = find(disk, path);
	if (inode == NULL) {
		return ERR_NOT_FOUND;
	}
	if (!change(disk)) {
		return ERR_IO;
	}
	inode->path[0] = '\0';
	list_remove(&inode->link);
	insert(disk, inode);
	return 0;
}

static int dir_sync(struct env *env, const char *path)
{
	struct disk *disk = disk_of(env);
	if (!change(disk)) {
		return ERR_IO;
	}
	for (struct list *link = disk->inodes.next, *next; link != &disk->inodes; link = next) {
		struct inode *inode = list_entry(link, struct inode, link);
		next = link->next;
		snprintf(inode->durable, sizeof(inode->durable), "%s", inode->path);
		inode->pair = NULL;
		if (inode->path[0] == '\0' && inode->refs == 0) {
			inode_free(inode);
		}
	}
	return 0;
}

static int dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name),
		    void *owner)
{
	size_t prefix = strlen(path);
	list_for_each (link, &disk_of(env)->inodes) {
		struct inode *inode = list_entry(link, struct inode, link);
		if (strncmp(inode->path, path, prefix) == 0 && inode->path[prefix] == '/') {
			int status = visit(owner, inode->path + prefix + 1);
			if (status != 0) {
				return status;
			}
		}
	}
	return 0;
}

static int free_space(struct env *env, const char *path, uint64_t *bytes)
{
	*bytes = disk_of(env)->full ? 0 : UINT64_MAX;
	return 0;
}

/* ---- the rest ---- */

static uint64_t now_us(struct env *env)
{
	return list_entry(env, struct disk_env, env)->now_us;
}
static uint64_t wall_ms(struct env *env)
{
	return 1700000000000 + now_us(env) / 1000;
}
static void random_bytes(struct env *env, void *bytes, size_t len)
{
	prng_fill(&list_entry(env, struct disk_env, env)->prng, bytes, len);
}
static void wake(struct env *env) {}

static struct env_lane *lane_open(struct env *env, const char *name, enum env_lane_priority priority)
{
	struct lane *lane = calloc(1, sizeof(*lane));
	assert(lane != NULL);
	lane->base.env = env;
	list_init(&lane->queue);
	list_append(&list_entry(env, struct disk_env, env)->lanes, &lane->link);
	return &lane->base;
}

static void lane_submit(struct env_lane *base, struct env_work *work)
{
	if (!base->env->dead) {
		list_append(&list_entry(base, struct lane, base)->queue, &work->link);
	}
}

static size_t lane_pending(const struct env_lane *base)
{
	size_t count = 0;
	list_for_each (link, &list_entry(base, struct lane, base)->queue) {
		count++;
	}
	return count;
}

static void lane_close(struct env_lane *base)
{
	struct lane *lane = list_entry(base, struct lane, base);
	list_remove(&lane->link);
	free(lane);
}

static const struct env_ops ops = {
	.now_us = now_us,
	.wall_ms = wall_ms,
	.random = random_bytes,
	.wake = wake,
	.file_open = file_open,
	.file_close = file_close,
	.file_read = file_read,
	.file_write = file_write,
	.file_sync = file_sync,
	.file_truncate = file_truncate,
	.file_allocate = file_allocate,
	.file_size = file_size,
	.mkdir = make_dir,
	.rename = rename_file,
	.unlink = unlink_file,
	.dir_sync = dir_sync,
	.dir_list = dir_list,
	.free_space = free_space,
	.lane_open = lane_open,
	.lane_submit = lane_submit,
	.lane_pending = lane_pending,
	.lane_close = lane_close,
};

struct env *disk_env_new(struct disk *disk)
{
	struct disk_env *env = calloc(1, sizeof(*env));
	assert(env != NULL);
	env_schedule_init(&env->env, &ops);
	env->disk = disk;
	env->now_us = 1000000;
	list_init(&env->lanes);
	prng_init(&env->prng, prng_next(&disk->prng));
	return &env->env;
}

void disk_env_kill(struct env *env)
{
	env->dead = true;
	env_schedule_fini(env);
}

void disk_env_free(struct env *base)
{
	struct disk_env *env = list_entry(base, struct disk_env, env);
	disk_env_kill(base);
	while (!list_empty(&env->lanes)) {
		lane_close(&list_entry(env->lanes.next, struct lane, link)->base);
	}
	free(env);
}

bool disk_env_step(struct env *base)
{
	struct disk_env *env = list_entry(base, struct disk_env, env);
	if (base->dead) {
		return false;
	}
	env->now_us++;
	list_for_each (link, &env->lanes) {
		struct lane *lane = list_entry(link, struct lane, link);
		struct list *first = list_pop(&lane->queue);
		if (first != NULL) {
			struct env_work *work = list_entry(first, struct env_work, link);
			work->run(work);
			work->done(work);
			return true;
		}
	}
	return env_schedule_hooks(base);
}

void disk_env_run(struct env *env)
{
	while (disk_env_step(env)) {
	}
}

void disk_env_advance(struct env *base, uint64_t ms)
{
	struct disk_env *env = list_entry(base, struct disk_env, env);
	disk_env_run(base);
	for (uint64_t i = 0; i < ms && !base->dead; i++) {
		env->now_us += 1000;
		env_schedule_fire(base, env->now_us);
		disk_env_run(base);
	}
}

/* The simulated disk (RELIABILITY.md 3.3).
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
#include "tests/sim/sim_body.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512
#define NAME_BYTES 64
#define OP_US 3
#define BYTES_PER_US 1000
#define SYNC_US 60

struct inode;

struct entry {
	char name[NAME_BYTES];
	struct inode *inode;
};
struct entries {
	struct entry *list; /* in byte order of name */
	size_t count, cap;
};

enum op_kind { OP_LINK, OP_UNLINK, OP_RENAME };
struct op {
	enum op_kind kind;
	char name[NAME_BYTES], to[NAME_BYTES];
	struct inode *inode;
};

struct image {
	uint8_t *bytes; /* cap of them, zeroes behind size */
	uint64_t size;
	size_t cap;
};

struct inode {
	struct list link; /* of the disk, in order of making */
	struct sim_disk *disk;
	unsigned refs; /* entries, operations, handles */
	bool is_dir;
	bool ghost; /* without a name now: its space is free, though a power cut may bring it back */
	/* a file */
	struct image now, old;
	uint64_t dirty_from, dirty_to; /* bytes that may differ; none when equal */
	/* a directory */
	struct entries entries, synced;
	struct op *ops;
	size_t op_count, op_cap;
};

struct held_lock {
	struct env_lock lock;
	struct list link;
	char path[256];
};

struct sim_disk {
	struct inode *root;
	struct list inodes;
	uint64_t used;
};

struct sim_file {
	struct env_file file;
	struct list link;
	struct inode *inode;
	unsigned flags;
};

static struct sim_file *file_of(struct env_file *file) { return (struct sim_file *)file; }

static void *grow(void *list, size_t count, size_t *cap, size_t size)
{
	if (count < *cap) {
		return list;
	}
	*cap = *cap == 0 ? 8 : *cap * 2;
	list = realloc(list, *cap * size);
	if (list == NULL) {
		fatal("out of memory in the simulated disk");
	}
	return list;
}

/* ---- images ---- */

static void image_reserve(struct image *image, uint64_t size)
{
	if (size <= image->cap) {
		return;
	}
	size_t cap = image->cap == 0 ? 4096 : image->cap;
	while (cap < size) {
		cap *= 2;
	}
	image->bytes = realloc(image->bytes, cap);
	if (image->bytes == NULL) {
		fatal("out of memory in the simulated disk");
	}
	memset(image->bytes + image->cap, 0, cap - image->cap);
	image->cap = cap;
}

static void image_resize(struct image *image, uint64_t size)
{
	image_reserve(image, size);
	if (size < image->size) {
		memset(image->bytes + size, 0, image->size - size);
	}
	image->size = size;
}

/* Copies [from, to) where both images reach; beyond an image's end there are zeroes. */
static void image_copy(struct image *into, const struct image *source, uint64_t from, uint64_t to)
{
	image_reserve(into, to);
	for (uint64_t at = from; at < to;) {
		uint64_t end = at < source->cap ? (to < source->cap ? to : source->cap) : to;
		if (at < source->cap) {
			memcpy(into->bytes + at, source->bytes + at, end - at);
		} else {
			memset(into->bytes + at, 0, end - at);
		}
		at = end;
	}
}

/* ---- inodes and entries ---- */

static struct inode *inode_new(struct sim_disk *disk, bool is_dir)
{
	struct inode *inode = calloc(1, sizeof(*inode));
	if (inode == NULL) {
		fatal("out of memory in the simulated disk");
	}
	inode->disk = disk;
	inode->is_dir = is_dir;
	list_append(&disk->inodes, &inode->link);
	return inode;
}

static void entries_clear(struct entries *entries);
static void ops_clear(struct inode *dir);

static void inode_unref(struct inode *inode)
{
	assert(inode->refs > 0);
	if (--inode->refs > 0) {
		return;
	}
	entries_clear(&inode->entries);
	entries_clear(&inode->synced);
	ops_clear(inode);
	free(inode->ops);
	inode->disk->used -= inode->ghost ? 0 : inode->now.size;
	free(inode->now.bytes);
	free(inode->old.bytes);
	list_remove(&inode->link);
	free(inode);
}

static struct inode *inode_ref(struct inode *inode)
{
	inode->refs++;
	return inode;
}

static void entries_clear(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		inode_unref(entries->list[i].inode);
	}
	free(entries->list);
	*entries = (struct entries){0};
}

/* Where name is, or would be. */
static size_t entries_place(const struct entries *entries, const char *name)
{
	size_t i = 0;
	while (i < entries->count && strcmp(entries->list[i].name, name) < 0) {
		i++;
	}
	return i;
}

static struct inode *entries_find(const struct entries *entries, const char *name)
{
	size_t i = entries_place(entries, name);
	return i < entries->count && strcmp(entries->list[i].name, name) == 0 ? entries->list[i].inode : NULL;
}

static void entries_remove(struct entries *entries, const char *name)
{
	if (entries_find(entries, name) == NULL) {
		return;
	}
	size_t i = entries_place(entries, name);
	struct inode *inode = entries->list[i].inode;
	memmove(&entries->list[i], &entries->list[i + 1], (entries->count - i - 1) * sizeof(struct entry));
	entries->count--;
	inode_unref(inode);
}

static void entries_set(struct entries *entries, const char *name, struct inode *inode)
{
	inode_ref(inode);
	entries_remove(entries, name);
	size_t i = entries_place(entries, name);
	entries->list = grow(entries->list, entries->count, &entries->cap, sizeof(struct entry));
	memmove(&entries->list[i + 1], &entries->list[i], (entries->count - i) * sizeof(struct entry));
	snprintf(entries->list[i].name, NAME_BYTES, "%s", name);
	entries->list[i].inode = inode;
	entries->count++;
}

static void entries_assign(struct entries *to, const struct entries *from)
{
	struct entries fresh = {0};
	for (size_t i = 0; i < from->count; i++) {
		entries_set(&fresh, from->list[i].name, from->list[i].inode);
	}
	entries_clear(to);
	*to = fresh;
}

static void ops_clear(struct inode *dir)
{
	for (size_t i = 0; i < dir->op_count; i++) {
		inode_unref(dir->ops[i].inode);
	}
	dir->op_count = 0;
}

static void op_apply(struct entries *entries, const struct op *op)
{
	switch (op->kind) {
	case OP_LINK:
		entries_set(entries, op->name, op->inode);
		break;
	case OP_UNLINK:
		if (entries_find(entries, op->name) == op->inode) {
			entries_remove(entries, op->name);
		}
		break;
	case OP_RENAME:
		entries_set(entries, op->to, op->inode);
		if (entries_find(entries, op->name) == op->inode) {
			entries_remove(entries, op->name);
		}
		break;
	}
}

/* What loses its name gives its space back (hard links we have none). */
static void release_space(struct inode *inode)
{
	if (inode != NULL && !inode->ghost) {
		inode->ghost = true;
		inode->disk->used -= inode->now.size;
	}
}

static void dir_do(struct inode *dir, enum op_kind kind, const char *name, const char *to, struct inode *inode)
{
	dir->ops = grow(dir->ops, dir->op_count, &dir->op_cap, sizeof(struct op));
	struct op *op = &dir->ops[dir->op_count++];
	*op = (struct op){.kind = kind, .inode = inode_ref(inode)};
	snprintf(op->name, NAME_BYTES, "%s", name);
	snprintf(op->to, NAME_BYTES, "%s", to);
	if (kind == OP_UNLINK) {
		release_space(inode);
	} else if (kind == OP_RENAME && entries_find(&dir->entries, to) != inode) {
		release_space(entries_find(&dir->entries, to));
	}
	op_apply(&dir->entries, op);
}

/* ---- paths ---- */

/* The directory that holds path's last name, which goes to name. NULL when it is not there. */
static struct inode *walk(struct sim_disk *disk, const char *path, char name[NAME_BYTES])
{
	struct inode *at = disk->root;
	name[0] = '\0';
	while (*path != '\0') {
		size_t len = strcspn(path, "/");
		if (len > 0 && !(len == 1 && *path == '.')) {
			if (name[0] != '\0') {
				at = entries_find(&at->entries, name);
				if (at == NULL || !at->is_dir) {
					return NULL;
				}
			}
			if (len >= NAME_BYTES) {
				return NULL;
			}
			memcpy(name, path, len);
			name[len] = '\0';
		}
		path += len + strspn(path + len, "/");
	}
	return at;
}

static struct inode *find(struct sim_disk *disk, const char *path)
{
	char name[NAME_BYTES];
	struct inode *dir = walk(disk, path, name);
	if (dir == NULL || name[0] == '\0') {
		return dir;
	}
	return entries_find(&dir->entries, name);
}

/* ---- every call passes here ---- */

static bool chance(struct sim_host *host, uint32_t per_million)
{
	return per_million != 0 && prng_chance(&host->sim->prng, per_million, 1000000);
}

/* 0, or ERR_IO when the power went before this call. */
static int disk_call(struct sim_env *e, size_t bytes)
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
	e->call_us += (host->faults.op_us != 0 ? host->faults.op_us : OP_US) + bytes / BYTES_PER_US;
	return 0;
}

static int disk_error(struct sim_env *e, const char *kind)
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
	disk->root = inode_ref(inode_new(disk, true));
	return disk;
}

void sim_disk_free(struct sim_disk *disk)
{
	inode_unref(disk->root);
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
		struct inode *copy = inode_new(disk, entry->inode->is_dir);
		image_resize(&copy->now, entry->inode->now.size);
		image_copy(&copy->now, &entry->inode->now, 0, copy->now.size);
		image_resize(&copy->old, copy->now.size);
		image_copy(&copy->old, &copy->now, 0, copy->now.size);
		disk->used += copy->now.size;
		copy_dir(disk, copy, entry->inode);
		entries_set(&to->entries, entry->name, copy);
		entries_set(&to->synced, entry->name, copy);
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

/* ---- the power cut ---- */

enum luck { LUCK_ALL_LOST, LUCK_ALL_KEPT, LUCK_MIXED };

static enum luck draw_luck(struct prng *prng)
{
	static const enum luck lucks[4] = {LUCK_ALL_LOST, LUCK_ALL_KEPT, LUCK_MIXED, LUCK_MIXED};
	return lucks[prng_below(prng, 4)];
}

static void tear(struct sim *sim, struct inode *file, uint64_t from, uint64_t to)
{
	uint64_t cut = from + prng_below(&sim->prng, to - from);
	if (prng_chance(&sim->prng, 1, 2)) {
		image_copy(&file->old, &file->now, from, cut);
		return;
	}
	image_copy(&file->old, &file->now, from, to);
	prng_fill(&sim->prng, file->old.bytes + cut, to - cut);
}

static void crash_sectors(struct sim *sim, struct inode *file, enum luck luck, bool tearing)
{
	/* What was only cut off is whole again if the cut is lost. */
	uint64_t to = file->dirty_to < file->now.size ? file->dirty_to : file->now.size;
	image_reserve(&file->old, to);
	for (uint64_t at = file->dirty_from / SECTOR * SECTOR; at < to; at += SECTOR) {
		uint64_t end = at + SECTOR < to ? at + SECTOR : to;
		bool keep = luck == LUCK_ALL_KEPT || (luck == LUCK_MIXED && prng_chance(&sim->prng, 1, 2));
		if (tearing && luck == LUCK_MIXED && prng_chance(&sim->prng, 1, 8)) {
			tear(sim, file, at, end);
			sim->stats.sectors_torn++;
		} else if (keep) {
			image_copy(&file->old, &file->now, at, end);
		} else {
			sim->stats.sectors_lost++;
		}
	}
	file->old.size = file->old.size > to ? file->old.size : to;
}

static uint64_t crash_size(struct sim *sim, const struct inode *file, enum luck luck)
{
	uint64_t now = file->now.size;
	uint64_t old = file->old.size;
	if (luck == LUCK_ALL_KEPT || now == old) {
		return now;
	}
	if (luck == LUCK_ALL_LOST) {
		return old;
	}
	if (now < old || prng_chance(&sim->prng, 1, 2)) {
		return prng_chance(&sim->prng, 1, 2) ? now : old;
	}
	return old + prng_below(&sim->prng, now - old + 1);
}

/* The platter as it is when not all of what is dirty reached it. Nothing is dirty afterwards. */
static void settle(struct sim *sim, struct inode *file, enum luck luck, bool tearing)
{
	uint64_t size = crash_size(sim, file, luck);
	crash_sectors(sim, file, luck, tearing);
	image_resize(&file->old, size);
	file->dirty_from = file->dirty_to = 0;
}

static void crash_file(struct sim *sim, struct inode *file)
{
	settle(sim, file, draw_luck(&sim->prng), true);
	uint64_t size = file->old.size;
	image_resize(&file->now, size);
	image_copy(&file->now, &file->old, 0, size);
}

static void crash_dir(struct sim *sim, struct inode *dir)
{
	enum luck luck = draw_luck(&sim->prng);
	for (size_t i = 0; i < dir->op_count; i++) {
		if (luck == LUCK_ALL_KEPT || (luck == LUCK_MIXED && prng_chance(&sim->prng, 1, 2))) {
			op_apply(&dir->synced, &dir->ops[i]);
		} else {
			sim->stats.entries_lost++;
		}
	}
	entries_assign(&dir->entries, &dir->synced);
	ops_clear(dir);
}

static void count_space(struct sim_disk *disk, struct inode *dir)
{
	for (size_t i = 0; i < dir->entries.count; i++) {
		struct inode *inode = dir->entries.list[i].inode;
		if (inode->ghost) { /* not met under another name */
			inode->ghost = false;
			disk->used += inode->now.size;
			count_space(disk, inode);
		}
	}
}

void sim_disk_crash(struct sim_host *host)
{
	struct sim_disk *disk = host->disk;
	/* Held while walking: a directory's loss may be the end of others. */
	list_for_each(link, &disk->inodes) { inode_ref(list_entry(link, struct inode, link)); }
	list_for_each(link, &disk->inodes)
	{
		struct inode *inode = list_entry(link, struct inode, link);
		if (inode->is_dir) {
			crash_dir(host->sim, inode);
		} else {
			crash_file(host->sim, inode);
		}
	}
	list_for_each(link, &disk->inodes) { list_entry(link, struct inode, link)->ghost = true; }
	disk->used = 0;
	count_space(disk, disk->root);
	/* Letting one go may free others, but those come from their own hold: each is still in the list for its turn. */
	struct list held;
	list_init(&held);
	list_splice(&held, &disk->inodes);
	struct list *held_link;
	while ((held_link = list_pop(&held)) != NULL) {
		list_append(&disk->inodes, held_link);
		inode_unref(list_entry(held_link, struct inode, link));
	}
}

void sim_disk_release(struct sim_env *e)
{
	list_for_each(link, &e->files)
	{
		struct sim_file *file = list_entry(link, struct sim_file, link);
		if (file->inode != NULL) {
			inode_unref(file->inode);
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
	while ((link = list_pop(&e->locks)) != NULL) {
		free(list_entry(link, struct held_lock, link));
	}
}

/* ---- files ---- */

int sim_disk_open(struct env *env, const char *path, unsigned flags, struct env_file **file)
{
	struct sim_env *e = sim_env_of(env);
	int status = disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char name[NAME_BYTES];
	struct inode *dir = walk(e->host->disk, path, name);
	if (dir == NULL || name[0] == '\0') {
		return ERR_NOT_FOUND;
	}
	struct inode *inode = entries_find(&dir->entries, name);
	if (inode == NULL && (flags & ENV_FILE_CREATE) == 0) {
		return ERR_NOT_FOUND;
	}
	if (inode != NULL && ((flags & ENV_FILE_EXCLUSIVE) != 0 || inode->is_dir)) {
		return inode->is_dir ? ERR_IO : ERR_EXISTS;
	}
	if (inode == NULL) {
		inode = inode_new(e->host->disk, false);
		dir_do(dir, OP_LINK, name, "", inode);
	}
	struct sim_file *opened = calloc(1, sizeof(*opened));
	if (opened == NULL) {
		fatal("out of memory opening %s", path);
	}
	opened->file.env = env;
	opened->inode = inode_ref(inode);
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
		inode_unref(file->inode);
	}
	free(file);
}

int sim_disk_read(struct env_file *base, uint64_t offset, void *bytes, size_t len, size_t *got)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	int status = disk_call(e, len);
	if (status != 0) {
		return status;
	}
	assert((file->flags & ENV_FILE_READ) != 0);
	if (chance(e->host, e->host->faults.read_error_per_million)) {
		return disk_error(e, "read-eio");
	}
	struct inode *inode = file->inode;
	uint64_t left = offset < inode->now.size ? inode->now.size - offset : 0;
	size_t take = left < len ? (size_t)left : len;
	if (take > 0 && chance(e->host, e->host->faults.flip_per_million)) {
		uint64_t at = offset + prng_below(&e->sim->prng, take);
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
		image_resize(&inode->now, size);
		return 0;
	}
	if (size > inode->now.size && capacity != 0 && disk->used + (size - inode->now.size) > capacity) {
		return ERR_NO_SPACE;
	}
	disk->used += size - inode->now.size;
	image_resize(&inode->now, size);
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
	return 0;
}

int sim_disk_write(struct env_file *base, uint64_t offset, const void *bytes, size_t len)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	int status = disk_call(e, len);
	if (status != 0) {
		return status;
	}
	assert((file->flags & ENV_FILE_WRITE) != 0);
	if (chance(e->host, e->host->faults.write_error_per_million)) {
		write_now(e, file->inode, offset, bytes, prng_below(&e->sim->prng, len + 1));
		return disk_error(e, "write-eio");
	}
	if (offset >= SECTOR && chance(e->host, e->host->faults.misdirect_per_million)) {
		sim_trace(e->sim, e->host, "misdirect", SLICE_NONE);
		e->sim->stats.flips++;
		e->host->wounds++;
		offset -= SECTOR;
	}
	sim_trace(e->sim, e->host, "write", slice_of(bytes, len));
	return write_now(e, file->inode, offset, bytes, len);
}

int sim_disk_sync(struct env_file *base)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	int status = disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	struct inode *inode = file->inode;
	struct sim_host *host = e->host;
	e->sim->stats.syncs++;
	uint32_t usual_us = SYNC_US + (uint32_t)prng_below(&e->sim->prng, 2 * SYNC_US);
	e->call_us += host->faults.sync_us != 0 ? host->faults.sync_us : usual_us;
	if (chance(host, host->faults.sync_error_per_million)) {
		/* Clean from now on, whichever version reached the platter. */
		settle(e->sim, inode, LUCK_MIXED, false);
		return disk_error(e, "sync-eio");
	}
	sim_trace(e->sim, host, "sync", SLICE_NONE);
	image_copy(&inode->old, &inode->now, inode->dirty_from, inode->dirty_to);
	image_reserve(&inode->old, inode->now.size);
	if (inode->now.size < inode->old.size) {
		image_resize(&inode->old, inode->now.size);
	}
	inode->old.size = inode->now.size;
	inode->dirty_from = inode->dirty_to = 0;
	return 0;
}

int sim_disk_truncate(struct env_file *base, uint64_t size)
{
	struct sim_file *file = file_of(base);
	struct sim_env *e = sim_env_of(base->env);
	int status = disk_call(e, 0);
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
	int status = disk_call(e, size > before ? size - before : 0);
	if (status != 0 || size <= before) {
		return status;
	}
	status = set_size(e, file->inode, size);
	if (status == 0) {
		mark_dirty(file->inode, before, size);
	}
	return status;
}

int sim_disk_size(struct env_file *base, uint64_t *size)
{
	int status = disk_call(sim_env_of(base->env), 0);
	if (status == 0) {
		*size = file_of(base)->inode->now.size;
	}
	return status;
}

/* ---- directories ---- */

int sim_disk_mkdir(struct env *env, const char *path)
{
	struct sim_env *e = sim_env_of(env);
	int status = disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char name[NAME_BYTES];
	struct inode *dir = walk(e->host->disk, path, name);
	if (dir == NULL) {
		return ERR_NOT_FOUND;
	}
	if (name[0] == '\0' || entries_find(&dir->entries, name) != NULL) {
		return ERR_EXISTS;
	}
	dir_do(dir, OP_LINK, name, "", inode_new(e->host->disk, true));
	return 0;
}

int sim_disk_rename(struct env *env, const char *from, const char *to)
{
	struct sim_env *e = sim_env_of(env);
	int status = disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char old_name[NAME_BYTES], new_name[NAME_BYTES];
	struct inode *old_dir = walk(e->host->disk, from, old_name);
	struct inode *new_dir = walk(e->host->disk, to, new_name);
	struct inode *inode = old_dir == NULL ? NULL : entries_find(&old_dir->entries, old_name);
	if (inode == NULL || new_dir == NULL) {
		return ERR_NOT_FOUND;
	}
	sim_trace(e->sim, e->host, "rename", slice_str(to));
	if (old_dir == new_dir) {
		dir_do(old_dir, OP_RENAME, old_name, new_name, inode);
		return 0;
	}
	release_space(entries_find(&new_dir->entries, new_name));
	dir_do(new_dir, OP_LINK, new_name, "", inode);
	dir_do(old_dir, OP_UNLINK, old_name, "", inode);
	inode->ghost = false;
	inode->disk->used += inode->now.size;
	return 0;
}

int sim_disk_unlink(struct env *env, const char *path)
{
	struct sim_env *e = sim_env_of(env);
	int status = disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char name[NAME_BYTES];
	struct inode *dir = walk(e->host->disk, path, name);
	struct inode *inode = dir == NULL ? NULL : entries_find(&dir->entries, name);
	if (inode == NULL) {
		return ERR_NOT_FOUND;
	}
	sim_trace(e->sim, e->host, "unlink", slice_str(path));
	dir_do(dir, OP_UNLINK, name, "", inode);
	return 0;
}

int sim_disk_dir_sync(struct env *env, const char *path)
{
	struct sim_env *e = sim_env_of(env);
	int status = disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	struct inode *dir = find(e->host->disk, path);
	if (dir == NULL || !dir->is_dir) {
		return ERR_NOT_FOUND;
	}
	uint32_t sync_us = e->host->faults.sync_us;
	e->sim->stats.syncs++;
	e->call_us += sync_us != 0 ? sync_us : SYNC_US;
	if (chance(e->host, e->host->faults.sync_error_per_million)) {
		return disk_error(e, "dir-eio");
	}
	entries_assign(&dir->synced, &dir->entries);
	ops_clear(dir);
	return 0;
}

int sim_disk_dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name), void *owner)
{
	struct sim_env *e = sim_env_of(env);
	int status = disk_call(e, 0);
	struct inode *dir = status == 0 ? find(e->host->disk, path) : NULL;
	if (dir == NULL || !dir->is_dir) {
		return status != 0 ? status : ERR_NOT_FOUND;
	}
	/* A copy: the visitor may change the directory. */
	struct entries names = {0};
	entries_assign(&names, &dir->entries);
	for (size_t i = 0; i < names.count && status == 0; i++) {
		status = visit(owner, names.list[i].name);
	}
	entries_clear(&names);
	return status;
}

int sim_disk_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	struct sim_env *e = sim_env_of(env);
	int status = disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	if (find(e->host->disk, path) == NULL) {
		return ERR_NOT_FOUND;
	}
	uint64_t capacity = e->host->faults.capacity;
	uint64_t used = e->host->disk->used;
	*bytes = capacity == 0 ? UINT64_C(1) << 40 : capacity > used ? capacity - used : 0;
	return 0;
}

int sim_disk_lock_take(struct env *env, const char *path, struct env_lock **lock)
{
	struct sim_env *e = sim_env_of(env);
	struct env_file *file;
	int status = sim_disk_open(env, path, ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	if (status != 0) {
		return status;
	}
	sim_disk_close(file);
	list_for_each(link, &e->locks)
	{
		if (strcmp(list_entry(link, struct held_lock, link)->path, path) == 0) {
			return ERR_LOCKED;
		}
	}
	struct held_lock *held = calloc(1, sizeof(*held));
	if (held == NULL) {
		fatal("out of memory locking %s", path);
	}
	held->lock.env = env;
	snprintf(held->path, sizeof(held->path), "%s", path);
	list_append(&e->locks, &held->link);
	*lock = &held->lock;
	return 0;
}

void sim_disk_lock_release(struct env_lock *lock)
{
	struct held_lock *held = (struct held_lock *)lock;
	list_remove(&held->link);
	free(held);
}

/* ---- rot at rest ---- */

static struct inode *pick_file(struct sim *sim, struct inode *dir, const char *prefix, const char *part,
			       size_t *seen, struct inode *picked)
{
	for (size_t i = 0; i < dir->entries.count; i++) {
		const struct entry *entry = &dir->entries.list[i];
		char path[256];
		snprintf(path, sizeof(path), "%s/%s", prefix, entry->name);
		if (entry->inode->is_dir) {
			picked = pick_file(sim, entry->inode, path, part, seen, picked);
		} else if (strstr(path, part) != NULL && entry->inode->now.size > 0) {
			if (prng_below(&sim->prng, ++*seen) == 0) {
				picked = entry->inode;
			}
		}
	}
	return picked;
}

bool sim_disk_flip(struct sim_host *host, const char *part)
{
	size_t seen = 0;
	struct inode *file = pick_file(host->sim, host->disk->root, "", part, &seen, NULL);
	if (file == NULL) {
		return false;
	}
	uint64_t at = prng_below(&host->sim->prng, file->now.size);
	uint8_t bit = (uint8_t)(1u << prng_below(&host->sim->prng, 8));
	file->now.bytes[at] ^= bit;
	if (at < file->old.size) {
		file->old.bytes[at] ^= bit;
	}
	host->sim->stats.flips++;
	host->wounds++;
	sim_trace(host->sim, host, "rot", slice_of(&at, sizeof(at)));
	return true;
}

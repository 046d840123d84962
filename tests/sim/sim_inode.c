#include "tests/sim/sim_inode.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void sim_image_reserve(struct image *image, uint64_t size)
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

void sim_image_resize(struct image *image, uint64_t size)
{
	sim_image_reserve(image, size);
	if (size < image->size) {
		memset(image->bytes + size, 0, image->size - size);
	}
	image->size = size;
}

/* Copies [from, to) where both images reach; beyond an image's end there are zeroes. */
void sim_image_copy(struct image *into, const struct image *source, uint64_t from, uint64_t to)
{
	sim_image_reserve(into, to);
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

struct inode *sim_inode_new(struct sim_disk *disk, bool is_dir)
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

void sim_inode_unref(struct inode *inode)
{
	assert(inode->refs > 0);
	if (--inode->refs > 0) {
		return;
	}
	sim_entries_clear(&inode->entries);
	sim_entries_clear(&inode->synced);
	sim_ops_clear(inode);
	free(inode->ops);
	inode->disk->used -= inode->ghost ? 0 : inode->now.size;
	free(inode->now.bytes);
	free(inode->old.bytes);
	list_remove(&inode->link);
	free(inode);
}

struct inode *sim_inode_ref(struct inode *inode)
{
	inode->refs++;
	return inode;
}

void sim_entries_clear(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		sim_inode_unref(entries->list[i].inode);
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

struct inode *sim_entries_find(const struct entries *entries, const char *name)
{
	size_t i = entries_place(entries, name);
	return i < entries->count && strcmp(entries->list[i].name, name) == 0 ? entries->list[i].inode : NULL;
}

static void entries_remove(struct entries *entries, const char *name)
{
	if (sim_entries_find(entries, name) == NULL) {
		return;
	}
	size_t i = entries_place(entries, name);
	struct inode *inode = entries->list[i].inode;
	memmove(&entries->list[i], &entries->list[i + 1], (entries->count - i - 1) * sizeof(struct entry));
	entries->count--;
	sim_inode_unref(inode);
}

void sim_entries_set(struct entries *entries, const char *name, struct inode *inode)
{
	sim_inode_ref(inode);
	entries_remove(entries, name);
	size_t i = entries_place(entries, name);
	entries->list = grow(entries->list, entries->count, &entries->cap, sizeof(struct entry));
	memmove(&entries->list[i + 1], &entries->list[i], (entries->count - i) * sizeof(struct entry));
	snprintf(entries->list[i].name, SIM_NAME_BYTES, "%s", name);
	entries->list[i].inode = inode;
	entries->count++;
}

void sim_entries_assign(struct entries *to, const struct entries *from)
{
	struct entries fresh = {0};
	for (size_t i = 0; i < from->count; i++) {
		sim_entries_set(&fresh, from->list[i].name, from->list[i].inode);
	}
	sim_entries_clear(to);
	*to = fresh;
}

void sim_ops_clear(struct inode *dir)
{
	for (size_t i = 0; i < dir->op_count; i++) {
		sim_inode_unref(dir->ops[i].inode);
	}
	dir->ops_over += dir->op_count;
	dir->op_count = 0;
}

void sim_op_apply(struct entries *entries, const struct op *op)
{
	switch (op->kind) {
	case OP_LINK:
		sim_entries_set(entries, op->name, op->inode);
		break;
	case OP_UNLINK:
		if (sim_entries_find(entries, op->name) == op->inode) {
			entries_remove(entries, op->name);
		}
		break;
	case OP_RENAME:
		sim_entries_set(entries, op->to, op->inode);
		if (sim_entries_find(entries, op->name) == op->inode) {
			entries_remove(entries, op->name);
		}
		break;
	}
}

/* Those before until are gone from the list; prng: NULL, or it says which of them the platter has. */
static void take_ops(struct inode *dir, uint64_t until, struct prng *prng)
{
	size_t count = until > dir->ops_over ? (size_t)(until - dir->ops_over) : 0;
	assert(count <= dir->op_count);
	for (size_t i = 0; i < count; i++) {
		if (prng == NULL || prng_chance(prng, 1, 2)) {
			sim_op_apply(&dir->synced, &dir->ops[i]);
		}
		sim_inode_unref(dir->ops[i].inode);
	}
	if (count == 0) {
		return; /* a disk that was never used has no operations at all */
	}
	memmove(dir->ops, dir->ops + count, (dir->op_count - count) * sizeof(struct op));
	dir->op_count -= count;
	dir->ops_over += count;
}

void sim_dir_settle(struct inode *dir, uint64_t until)
{
	take_ops(dir, until, NULL);
}

void sim_dir_forget(struct inode *dir, uint64_t until, struct prng *prng)
{
	take_ops(dir, until, prng);
}

/* What loses its name gives its space back (hard links we have none). */
void sim_inode_release_space(struct inode *inode)
{
	if (inode != NULL && !inode->ghost) {
		inode->ghost = true;
		inode->disk->used -= inode->now.size;
	}
}

void sim_dir_do(struct inode *dir, enum op_kind kind, const char *name, const char *to, struct inode *inode)
{
	dir->ops = grow(dir->ops, dir->op_count, &dir->op_cap, sizeof(struct op));
	struct op *op = &dir->ops[dir->op_count++];
	*op = (struct op){.kind = kind, .inode = sim_inode_ref(inode)};
	snprintf(op->name, SIM_NAME_BYTES, "%s", name);
	snprintf(op->to, SIM_NAME_BYTES, "%s", to);
	if (kind == OP_UNLINK) {
		sim_inode_release_space(inode);
	} else if (kind == OP_RENAME && sim_entries_find(&dir->entries, to) != inode) {
		sim_inode_release_space(sim_entries_find(&dir->entries, to));
	}
	sim_op_apply(&dir->entries, op);
}

/* ---- paths ---- */

/* The directory that holds path's last name, which goes to name. NULL when it is not there. */
struct inode *sim_disk_walk(struct sim_disk *disk, const char *path, char name[SIM_NAME_BYTES])
{
	struct inode *at = disk->root;
	name[0] = '\0';
	while (*path != '\0') {
		size_t len = strcspn(path, "/");
		if (len > 0 && !(len == 1 && *path == '.')) {
			if (name[0] != '\0') {
				at = sim_entries_find(&at->entries, name);
				if (at == NULL || !at->is_dir) {
					return NULL;
				}
			}
			if (len >= SIM_NAME_BYTES) {
				return NULL;
			}
			memcpy(name, path, len);
			name[len] = '\0';
		}
		path += len + strspn(path + len, "/");
	}
	return at;
}

struct inode *sim_disk_find(struct sim_disk *disk, const char *path)
{
	char name[SIM_NAME_BYTES];
	struct inode *dir = sim_disk_walk(disk, path, name);
	if (dir == NULL || name[0] == '\0') {
		return dir;
	}
	return sim_entries_find(&dir->entries, name);
}

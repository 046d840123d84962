/* Inodes by number, and the power cut over all of them. */
#include "tests/nemesis/volume_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- inodes ---- */

static int enter(struct volume *volume, struct inode *inode)
{
	if (volume->count == volume->cap) {
		size_t cap = volume->cap == 0 ? 64 : volume->cap * 2;
		struct inode **grown = realloc(volume->inodes, cap * sizeof(*grown));
		if (grown == NULL) {
			return -ENOMEM;
		}
		volume->inodes = grown;
		volume->cap = cap;
	}
	inode->id = volume->count;
	volume->inodes[volume->count++] = inode;
	return 0;
}

static int open_face(const struct volume *volume)
{
	int fd = openat(volume->store_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : -errno;
}

int volume_inode_new(struct volume *volume, mode_t mode, struct inode **made)
{
	struct inode *inode = calloc(1, sizeof(*inode));
	if (inode == NULL) {
		return -ENOMEM;
	}
	inode->mode = mode;
	inode->now_fd = inode->old_fd = -1;
	clock_gettime(CLOCK_REALTIME, &inode->changed_at);
	int status = 0;
	if (S_ISREG(mode)) {
		status = inode->now_fd = open_face(volume);
		if (status >= 0) {
			status = inode->old_fd = open_face(volume);
		}
	}
	if (status >= 0) {
		status = enter(volume, inode);
	}
	if (status < 0) {
		if (inode->now_fd >= 0) {
			close(inode->now_fd);
		}
		free(inode);
		return status;
	}
	*made = inode;
	return 0;
}

void volume_inode_free(struct volume *volume, struct inode *inode)
{
	volume->inodes[inode->id] = NULL;
	volume_file_fini(inode);
	volume_names_clear(&inode->now);
	volume_names_clear(&inode->old);
	free(inode);
}

struct inode *volume_inode(struct volume *volume, uint64_t id)
{
	return id < volume->count ? volume->inodes[id] : NULL;
}

int volume_open(struct volume *volume, const char *store)
{
	struct inode *root;
	*volume = (struct volume){.store_fd = open(store, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	if (volume->store_fd < 0) {
		return -errno;
	}
	/* Number 0 is nobody's. */
	int status = volume_inode_new(volume, S_IFDIR | 0700, &root);
	if (status == 0) {
		volume->inodes[0] = NULL;
		status = enter(volume, root);
	}
	assert(status != 0 || root->id == VOLUME_ROOT);
	return status;
}

void volume_close(struct volume *volume)
{
	for (size_t i = 0; i < volume->count; i++) {
		if (volume->inodes[i] != NULL) {
			volume_inode_free(volume, volume->inodes[i]);
		}
	}
	volume_changes_drop(volume, volume->change_count);
	free(volume->changes);
	free(volume->inodes);
	close(volume->store_fd);
}

/* ---- who can still be reached ---- */

static void meet(struct inode *inode)
{
	if (inode->met) {
		return;
	}
	inode->met = true;
	for (size_t i = 0; i < inode->now.count; i++) {
		meet(inode->now.list[i].inode);
	}
	for (size_t i = 0; i < inode->old.count; i++) {
		meet(inode->old.list[i].inode);
	}
}

static void meet_all(struct volume *volume)
{
	meet(volume->inodes[VOLUME_ROOT]);
	for (size_t i = 0; i < volume->change_count; i++) {
		struct name_change *change = &volume->changes[i];
		meet(change->inode);
		if (change->from != NULL) {
			meet(change->from);
		}
		if (change->to != NULL) {
			meet(change->to);
		}
	}
	for (size_t i = 0; i < volume->count; i++) {
		if (volume->inodes[i] != NULL && volume->inodes[i]->opened > 0) {
			meet(volume->inodes[i]);
		}
	}
}

void volume_sweep(struct volume *volume)
{
	meet_all(volume);
	for (size_t i = 0; i < volume->count; i++) {
		struct inode *inode = volume->inodes[i];
		if (inode != NULL && !inode->met) {
			volume_inode_free(volume, inode);
		} else if (inode != NULL) {
			inode->met = false;
		}
	}
}

/* ---- the cut ---- */

static void cut_names(struct volume *volume, struct prng *prng, enum volume_mode mode, struct volume_cut *cut)
{
	size_t count = volume->change_count;
	size_t prefix = mode == CUT_ALL ? 0 : (size_t)prng_below(prng, count + 1);
	if (mode == CUT_SOME && prng_chance(prng, 1, 3)) {
		prefix = prng_chance(prng, 1, 2) ? 0 : count;
	}
	for (size_t i = 0; i < count; i++) {
		bool keep = mode == CUT_SCATTER ? prng_chance(prng, 1, 2) : i < prefix;
		if (keep) {
			volume_change_apply(&volume->changes[i], true);
		}
		cut->names_kept += keep;
		cut->names_lost += !keep;
	}
	volume_changes_drop(volume, count);
}

/* Everybody gets a new number, so what the kernel or a process still holds leads nowhere. */
static int renumber(struct volume *volume)
{
	size_t count = volume->count;
	int status = 0;
	for (size_t i = VOLUME_ROOT + 1; status == 0 && i < count; i++) {
		struct inode *inode = volume->inodes[i];
		if (inode != NULL) {
			volume->inodes[i] = NULL;
			inode->links = 0;
			status = enter(volume, inode);
		}
	}
	for (size_t i = 0; i < volume->count; i++) {
		struct inode *folder = volume->inodes[i];
		for (size_t k = 0; folder != NULL && k < folder->now.count; k++) {
			folder->now.list[k].inode->links++;
		}
	}
	return status;
}

int volume_cut(struct volume *volume, uint64_t seed, enum volume_mode mode, struct volume_cut *cut)
{
	struct prng prng;
	int status = 0;
	prng_init(&prng, seed);
	*cut = (struct volume_cut){0};
	cut_names(volume, &prng, mode, cut);
	for (size_t i = 0; status == 0 && i < volume->count; i++) {
		struct inode *inode = volume->inodes[i];
		if (inode == NULL) {
			continue;
		}
		inode->opened = 0;
		if (S_ISDIR(inode->mode)) {
			status = volume_names_assign(&inode->now, &inode->old);
		} else {
			status = volume_file_cut(inode, &prng, mode, cut);
		}
	}
	volume_sweep(volume);
	return status == 0 ? renumber(volume) : status;
}

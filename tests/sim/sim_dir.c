/* Directories and locks of the simulated disk. */
#include "tests/sim/sim_inode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIR_SYNC_US 60

struct held_lock {
	struct env_lock lock;
	struct list link;
	char path[256];
};

/* ---- directories ---- */

int sim_disk_mkdir(struct env *env, const char *path)
{
	struct sim_env *e = sim_env_of(env);
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char name[SIM_NAME_BYTES];
	struct inode *dir = sim_disk_walk(e->host->disk, path, name);
	if (dir == NULL) {
		return ERR_NOT_FOUND;
	}
	if (name[0] == '\0' || sim_entries_find(&dir->entries, name) != NULL) {
		return ERR_EXISTS;
	}
	if (sim_disk_nth(e->host, SIM_NTH_NO_SPACE)) {
		return sim_disk_full(e);
	}
	sim_dir_do(dir, OP_LINK, name, "", sim_inode_new(e->host->disk, true));
	return 0;
}

int sim_disk_rename(struct env *env, const char *from, const char *to)
{
	struct sim_env *e = sim_env_of(env);
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char old_name[SIM_NAME_BYTES], new_name[SIM_NAME_BYTES];
	struct inode *old_dir = sim_disk_walk(e->host->disk, from, old_name);
	struct inode *new_dir = sim_disk_walk(e->host->disk, to, new_name);
	struct inode *inode = old_dir == NULL ? NULL : sim_entries_find(&old_dir->entries, old_name);
	if (inode == NULL || new_dir == NULL) {
		return ERR_NOT_FOUND;
	}
	if (sim_disk_nth(e->host, SIM_NTH_DIR)) {
		return sim_disk_error(e, "rename-eio");
	}
	sim_trace(e->sim, e->host, "rename", slice_str(to));
	if (old_dir == new_dir) {
		sim_dir_do(old_dir, OP_RENAME, old_name, new_name, inode);
		return 0;
	}
	sim_inode_release_space(sim_entries_find(&new_dir->entries, new_name));
	sim_dir_do(new_dir, OP_LINK, new_name, "", inode);
	sim_dir_do(old_dir, OP_UNLINK, old_name, "", inode);
	inode->ghost = false;
	inode->disk->used += inode->now.size;
	return 0;
}

int sim_disk_unlink(struct env *env, const char *path)
{
	struct sim_env *e = sim_env_of(env);
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	char name[SIM_NAME_BYTES];
	struct inode *dir = sim_disk_walk(e->host->disk, path, name);
	struct inode *inode = dir == NULL ? NULL : sim_entries_find(&dir->entries, name);
	if (inode == NULL) {
		return ERR_NOT_FOUND;
	}
	if (sim_disk_nth(e->host, SIM_NTH_DIR)) {
		return sim_disk_error(e, "unlink-eio");
	}
	sim_trace(e->sim, e->host, "unlink", slice_str(path));
	sim_dir_do(dir, OP_UNLINK, name, "", inode);
	return 0;
}

int sim_disk_dir_sync(struct env *env, const char *path)
{
	struct sim_env *e = sim_env_of(env);
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	struct inode *dir = sim_disk_find(e->host->disk, path);
	if (dir == NULL || !dir->is_dir) {
		return ERR_NOT_FOUND;
	}
	uint32_t sync_us = e->host->faults.sync_us;
	e->sim->stats.syncs++;
	sim_disk_takes(e, sync_us != 0 ? sync_us : DIR_SYNC_US);
	/* What is done while it is under way is not part of it. */
	uint64_t until = dir->ops_over + dir->op_count;
	sim_inode_ref(dir);
	if (!sim_lane_pass(e)) {
		status = ERR_IO;
	} else if (sim_disk_nth(e->host, SIM_NTH_DIR) ||
		   sim_disk_chance(e->host, e->host->faults.sync_error_per_million)) {
		status = sim_disk_error(e, "dir-eio");
		if (e->host->faults.dir_forgets) {
			sim_dir_forget(dir, until, &e->sim->prng);
		}
	} else {
		sim_dir_settle(dir, until);
	}
	sim_inode_unref(dir);
	return status;
}

int sim_disk_dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name), void *owner)
{
	struct sim_env *e = sim_env_of(env);
	int status = sim_disk_call(e, 0);
	struct inode *dir = status == 0 ? sim_disk_find(e->host->disk, path) : NULL;
	if (dir == NULL || !dir->is_dir) {
		return status != 0 ? status : ERR_NOT_FOUND;
	}
	/* A copy: the visitor may change the directory. */
	struct entries names = {0};
	sim_entries_assign(&names, &dir->entries);
	for (size_t i = 0; i < names.count && status == 0; i++) {
		status = visit(owner, names.list[i].name);
	}
	sim_entries_clear(&names);
	return status;
}

int sim_disk_free_space(struct env *env, const char *path, uint64_t *bytes)
{
	struct sim_env *e = sim_env_of(env);
	int status = sim_disk_call(e, 0);
	if (status != 0) {
		return status;
	}
	if (sim_disk_find(e->host->disk, path) == NULL) {
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

void sim_disk_forget_locks(struct sim_env *e)
{
	struct list *link;
	while ((link = list_pop(&e->locks)) != NULL) {
		free(list_entry(link, struct held_lock, link));
	}
}

/* The power cut: what was not synced is resolved (the rules are in sim_disk.c). And rot. */
#include "tests/sim/sim_inode.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

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
		sim_image_copy(&file->old, &file->now, from, cut);
		return;
	}
	sim_image_copy(&file->old, &file->now, from, to);
	prng_fill(&sim->prng, file->old.bytes + cut, to - cut);
}

static void crash_sectors(struct sim *sim, struct inode *file, enum luck luck, bool tearing)
{
	/* What was only cut off is whole again if the cut is lost. */
	uint64_t to = file->dirty_to < file->now.size ? file->dirty_to : file->now.size;
	sim_image_reserve(&file->old, to);
	for (uint64_t at = file->dirty_from / SIM_SECTOR * SIM_SECTOR; at < to; at += SIM_SECTOR) {
		uint64_t end = at + SIM_SECTOR < to ? at + SIM_SECTOR : to;
		bool keep = luck == LUCK_ALL_KEPT || (luck == LUCK_MIXED && prng_chance(&sim->prng, 1, 2));
		if (tearing && luck == LUCK_MIXED && prng_chance(&sim->prng, 1, 8)) {
			tear(sim, file, at, end);
			sim->stats.sectors_torn++;
		} else if (keep) {
			sim_image_copy(&file->old, &file->now, at, end);
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
	sim_image_resize(&file->old, size);
	file->dirty_from = file->dirty_to = 0;
}

static void crash_file(struct sim *sim, struct inode *file)
{
	settle(sim, file, draw_luck(&sim->prng), true);
	uint64_t size = file->old.size;
	sim_image_resize(&file->now, size);
	sim_image_copy(&file->now, &file->old, 0, size);
}

static void crash_dir(struct sim *sim, struct inode *dir)
{
	enum luck luck = draw_luck(&sim->prng);
	for (size_t i = 0; i < dir->op_count; i++) {
		if (luck == LUCK_ALL_KEPT || (luck == LUCK_MIXED && prng_chance(&sim->prng, 1, 2))) {
			sim_op_apply(&dir->synced, &dir->ops[i]);
		} else {
			sim->stats.entries_lost++;
		}
	}
	sim_entries_assign(&dir->entries, &dir->synced);
	sim_ops_clear(dir);
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
	list_for_each(link, &disk->inodes) { sim_inode_ref(list_entry(link, struct inode, link)); }
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
		sim_inode_unref(list_entry(held_link, struct inode, link));
	}
}

void sim_crash_after_bad_sync(struct sim *sim, struct inode *file) { settle(sim, file, LUCK_MIXED, false); }

/* ---- rot at rest ---- */

#define HEAD_BYTES 64 /* of what was written last: without them none of it can be read */

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

static void flip(struct sim_host *host, struct inode *file, uint64_t at)
{
	uint8_t bit = (uint8_t)(1u << prng_below(&host->sim->prng, 8));
	file->now.bytes[at] ^= bit;
	if (at < file->old.size) {
		file->old.bytes[at] ^= bit;
	}
	host->sim->stats.flips++;
	host->wounds++;
	sim_trace(host->sim, host, "rot", slice_of(&at, sizeof(at)));
}

bool sim_disk_flip(struct sim_host *host, const char *part)
{
	size_t seen = 0;
	struct inode *file = pick_file(host->sim, host->disk->root, "", part, &seen, NULL);
	if (file == NULL) {
		return false;
	}
	uint64_t size = host->faults.flips_spare_end && file->last_two_from < file->now.size ? file->last_two_from
											      : file->now.size;
	if (size == 0) {
		return false;
	}
	flip(host, file, prng_below(&host->sim->prng, size));
	return true;
}

static struct inode *newest_file(struct inode *dir, const char *prefix, const char *part, struct inode *newest)
{
	for (size_t i = 0; i < dir->entries.count; i++) {
		const struct entry *entry = &dir->entries.list[i];
		char path[256];
		snprintf(path, sizeof(path), "%s/%s", prefix, entry->name);
		if (entry->inode->is_dir) {
			newest = newest_file(entry->inode, path, part, newest);
		} else if (strstr(path, part) != NULL && entry->inode->last_number > (newest == NULL ? 0 : newest->last_number)) {
			newest = entry->inode;
		}
	}
	return newest;
}

bool sim_disk_flip_last(struct sim_host *host, const char *part, unsigned bits)
{
	struct inode *file = newest_file(host->disk->root, "", part, NULL);
	if (file == NULL || file->last_from + 1 >= file->now.size) {
		return false;
	}
	uint64_t head = file->now.size - file->last_from;
	uint64_t reach = head < HEAD_BYTES ? head : HEAD_BYTES;
	uint64_t at = prng_below(&host->sim->prng, reach);
	flip(host, file, file->last_from + at);
	if (bits > 1) {
		flip(host, file, file->last_from + (at + 1 + prng_below(&host->sim->prng, reach - 1)) % reach);
	}
	return true;
}

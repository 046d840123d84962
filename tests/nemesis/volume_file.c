/* The two faces of a file's bytes. */
#include "tests/nemesis/volume.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_BYTES (256 * 1024)

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}
static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- which sectors differ ---- */

static bool is_dirty(const struct inode *file, uint64_t sector)
{
	return sector < file->dirty_sectors && (file->dirty[sector / 8] >> (sector % 8) & 1) != 0;
}

static void set_clean(struct inode *file, uint64_t sector)
{
	file->dirty[sector / 8] &= (uint8_t) ~(1U << (sector % 8));
}

static int set_dirty(struct inode *file, uint64_t from, uint64_t to)
{
	if (from >= to) {
		return 0;
	}
	uint64_t first = from / VOLUME_SECTOR;
	uint64_t end = (to + VOLUME_SECTOR - 1) / VOLUME_SECTOR;
	if (end > file->dirty_sectors) {
		size_t sectors = (higher(end, file->dirty_sectors * 2) + 63) / 64 * 64;
		uint8_t *grown = realloc(file->dirty, sectors / 8);
		if (grown == NULL) {
			return -ENOMEM;
		}
		memset(grown + file->dirty_sectors / 8, 0, (sectors - file->dirty_sectors) / 8);
		file->dirty = grown;
		file->dirty_sectors = sectors;
	}
	for (uint64_t sector = first; sector < end; sector++) {
		file->dirty[sector / 8] |= (uint8_t)(1U << (sector % 8));
	}
	return 0;
}

/* The next run of dirty sectors at or behind *first; false when there is none. */
static bool next_run(const struct inode *file, uint64_t *first, uint64_t *end)
{
	uint64_t at = *first;
	while (at < file->dirty_sectors && !is_dirty(file, at)) {
		at += at % 8 == 0 && file->dirty[at / 8] == 0 ? 8 : 1;
	}
	if (at >= file->dirty_sectors) {
		return false;
	}
	*first = at;
	while (is_dirty(file, at)) {
		at++;
	}
	*end = at;
	return true;
}

/* ---- plain files below ---- */

static int read_all(int fd, uint64_t at, uint8_t *bytes, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, bytes + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -errno;
		}
		if (n == 0) { /* behind its end there are zeroes */
			memset(bytes + done, 0, len - done);
			break;
		}
		done += (size_t)n;
	}
	return 0;
}

static int write_all(int fd, uint64_t at, const uint8_t *bytes, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)(at + done));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n < 0) {
			return -errno;
		}
		done += (size_t)n;
	}
	return 0;
}

static int copy(int to_fd, int from_fd, uint64_t from, uint64_t to)
{
	static const size_t step = COPY_BYTES;
	uint8_t *bytes = from < to ? malloc(step) : NULL;
	int status = from < to && bytes == NULL ? -ENOMEM : 0;
	while (status == 0 && from < to) {
		size_t len = (size_t)lower(step, to - from);
		status = read_all(from_fd, from, bytes, len);
		if (status == 0) {
			status = write_all(to_fd, from, bytes, len);
		}
		from += len;
	}
	free(bytes);
	return status;
}

static int set_size(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) == 0 ? 0 : -errno;
}

/* ---- reading and writing ---- */

int volume_file_read(struct inode *file, uint64_t at, void *bytes, size_t len, size_t *got)
{
	*got = at >= file->now_size ? 0 : (size_t)lower(len, file->now_size - at);
	return read_all(file->now_fd, at, bytes, *got);
}

int volume_file_write(struct inode *file, uint64_t at, const void *bytes, size_t len)
{
	int status = set_dirty(file, at, at + len);
	if (status == 0) {
		status = write_all(file->now_fd, at, bytes, len);
	}
	if (status == 0) {
		file->now_size = higher(file->now_size, at + len);
	}
	return status;
}

int volume_file_resize(struct inode *file, uint64_t size)
{
	/* Growing shows zeroes, and so does the old face there, or a bit says already that it does not. */
	int status = set_dirty(file, size, file->now_size);
	if (status == 0) {
		status = set_size(file->now_fd, size);
	}
	if (status == 0) {
		file->now_size = size;
	}
	return status;
}

int volume_file_zero(struct inode *file, uint64_t at, uint64_t len)
{
	static const uint8_t zeroes[4096];
	uint64_t end = lower(at + len, file->now_size);
	int status = 0;
	while (status == 0 && at < end) {
		size_t step = (size_t)lower(sizeof(zeroes), end - at);
		status = volume_file_write(file, at, zeroes, step);
		at += step;
	}
	return status;
}

/* ---- syncing ---- */

int volume_file_sync(struct inode *file, bool data_only)
{
	uint64_t first = 0, end = 0;
	int status = 0;
	while (status == 0 && next_run(file, &first, &end)) {
		uint64_t to = lower(end * VOLUME_SECTOR, file->now_size);
		status = copy(file->old_fd, file->now_fd, first * VOLUME_SECTOR, to);
		first = end;
	}
	if (status != 0) {
		return status;
	}
	bool shrunk = file->now_size < file->old_size;
	if (!(shrunk && data_only)) {
		status = set_size(file->old_fd, file->now_size);
		file->old_size = file->now_size;
	}
	/* The last sector that is shown stays dirty too: behind the new end the old face has bytes. */
	uint64_t kept = shrunk && data_only ? file->now_size / VOLUME_SECTOR : UINT64_MAX;
	for (first = 0; next_run(file, &first, &end) && first < kept; first = end) {
		for (uint64_t sector = first; sector < lower(end, kept); sector++) {
			set_clean(file, sector);
		}
	}
	return status;
}

/* ---- what reached the platter by chance ---- */

enum luck { LUCK_NOTHING, LUCK_ALL, LUCK_MIXED };

static enum luck draw_luck(struct prng *prng, enum volume_mode mode)
{
	static const enum luck lucks[4] = {LUCK_NOTHING, LUCK_ALL, LUCK_MIXED, LUCK_MIXED};
	return mode == CUT_ALL ? LUCK_NOTHING : lucks[prng_below(prng, 4)];
}

static uint64_t draw_size(const struct inode *file, struct prng *prng, enum luck luck)
{
	uint64_t now = file->now_size, old = file->old_size;
	if (luck != LUCK_MIXED || now == old) {
		return luck == LUCK_ALL ? now : old;
	}
	if (now < old || prng_chance(prng, 1, 2)) {
		return prng_chance(prng, 1, 2) ? now : old;
	}
	return old + prng_below(prng, now - old + 1);
}

/* New up to some byte, then old, or garbage in the bytes that the write changed; never in others. */
static void tear(uint8_t *old, const uint8_t *now, struct prng *prng)
{
	size_t at = (size_t)prng_below(prng, VOLUME_SECTOR);
	bool garbage = prng_chance(prng, 1, 2);
	for (size_t i = at; garbage && i < VOLUME_SECTOR; i++) {
		if (old[i] != now[i]) {
			old[i] = (uint8_t)prng_below(prng, 256);
		}
	}
	memcpy(old, now, at);
}

static int settle_sector(struct inode *file, uint64_t sector, bool torn, struct prng *prng)
{
	uint8_t now[VOLUME_SECTOR], old[VOLUME_SECTOR];
	uint64_t at = sector * VOLUME_SECTOR;
	int status = read_all(file->now_fd, at, now, sizeof(now));
	if (status == 0) {
		status = read_all(file->old_fd, at, old, sizeof(old));
	}
	if (status != 0) {
		return status;
	}
	if (torn) {
		tear(old, now, prng);
	} else {
		memcpy(old, now, sizeof(old));
	}
	return write_all(file->old_fd, at, old, sizeof(old));
}

/* The old face becomes what the platter holds. The bits stay: they say where the faces may differ. */
static int settle(struct inode *file, struct prng *prng, enum volume_mode mode, struct volume_cut *cut)
{
	enum luck luck = draw_luck(prng, mode);
	uint64_t size = draw_size(file, prng, luck);
	uint64_t step = prng_chance(prng, 1, 2) ? 1 : 8;
	uint64_t first = 0, end = 0, block = UINT64_MAX;
	bool keep = false;
	int status = 0;
	cut->files += next_run(file, &first, &end) || file->now_size != file->old_size;
	for (first = 0; next_run(file, &first, &end); first = end) {
		for (uint64_t sector = first; status == 0 && sector < end; sector++) {
			if (sector / step != block) {
				block = sector / step;
				keep = luck == LUCK_ALL || (luck == LUCK_MIXED && prng_chance(prng, 1, 2));
			}
			bool torn = luck == LUCK_MIXED && step == 1 && prng_chance(prng, 1, 8);
			cut->sectors_torn += torn;
			cut->sectors_kept += !torn && keep;
			cut->sectors_lost += !torn && !keep;
			if (torn || keep) {
				status = settle_sector(file, sector, torn, prng);
			}
		}
	}
	if (status == 0) {
		status = set_size(file->old_fd, size);
		file->old_size = size;
	}
	return status;
}

static void all_clean(struct inode *file)
{
	if (file->dirty_sectors > 0) {
		memset(file->dirty, 0, file->dirty_sectors / 8);
	}
}

int volume_file_sync_badly(struct inode *file, struct prng *prng)
{
	struct volume_cut ignored = {0};
	int status = settle(file, prng, CUT_SOME, &ignored);
	all_clean(file);
	file->astray = true;
	return status;
}

int volume_file_cut(struct inode *file, struct prng *prng, enum volume_mode mode, struct volume_cut *cut)
{
	int status = settle(file, prng, mode, cut);
	uint64_t first = 0, end = 0;
	if (status == 0 && file->astray) {
		status = copy(file->now_fd, file->old_fd, 0, file->old_size);
	}
	for (; status == 0 && next_run(file, &first, &end); first = end) {
		uint64_t to = lower(end * VOLUME_SECTOR, file->old_size);
		status = copy(file->now_fd, file->old_fd, first * VOLUME_SECTOR, to);
	}
	if (status == 0) {
		status = set_size(file->now_fd, file->old_size);
	}
	file->now_size = file->old_size;
	file->astray = false;
	all_clean(file);
	return status;
}

void volume_file_fini(struct inode *file)
{
	if (file->now_fd >= 0) {
		close(file->now_fd);
		close(file->old_fd);
	}
	free(file->dirty);
	file->now_fd = file->old_fd = -1;
	file->dirty = NULL;
	file->dirty_sectors = 0;
}

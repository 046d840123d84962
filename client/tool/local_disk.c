/* The disk below a local cluster: what it is, what a sync costs there, what the cluster takes of it. */
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "client/tool/local.h"

static const struct {
	unsigned long magic;
	const char *name;
	bool memory;
} file_systems[] = {
	{0xEF53, "ext4", false},     {0x58465342, "xfs", false},  {0x9123683E, "btrfs", false},
	{0x01021994, "tmpfs", true}, {0x858458F6, "ramfs", true}, {0x794C7630, "overlay", false},
	{0x2FC12FC1, "zfs", false},  {0x6969, "nfs", false},      {0xF2F52010, "f2fs", false},
};

const char *local_file_system(const char *path, bool *memory)
{
	struct statfs fs;
	*memory = false;
	if (statfs(path, &fs) != 0) {
		return "unknown";
	}
	for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++) {
		if ((unsigned long)fs.f_type == file_systems[i].magic) {
			*memory = file_systems[i].memory;
			return file_systems[i].name;
		}
	}
	return "unknown";
}

#define SYNC_SAMPLES 51

static int compare_us(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

static uint64_t clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t local_sync_us(const char *dir)
{
	char path[600];
	uint64_t samples[SYNC_SAMPLES];
	static const char block[4096];
	snprintf(path, sizeof(path), "%s/sync-probe", dir);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0) {
		return 0;
	}
	bool fine = true;
	for (size_t i = 0; i < SYNC_SAMPLES && fine; i++) {
		uint64_t start = clock_us();
		fine = pwrite(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block) && fdatasync(fd) == 0;
		samples[i] = clock_us() - start;
	}
	close(fd);
	unlink(path);
	qsort(samples, SYNC_SAMPLES, sizeof(samples[0]), compare_us);
	return fine ? samples[SYNC_SAMPLES / 2] : 0;
}

uint64_t local_disk_bytes(const struct local *local)
{
	char dir[sizeof(local->dir)];
	char *const roots[] = {dir, NULL};
	uint64_t bytes = 0;
	snprintf(dir, sizeof(dir), "%s", local->dir);
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	for (FTSENT *entry; walk != NULL && (entry = fts_read(walk)) != NULL;) {
		bytes += entry->fts_info == FTS_F ? (uint64_t)entry->fts_statp->st_blocks * 512 : 0;
	}
	if (walk != NULL) {
		fts_close(walk);
	}
	return bytes;
}

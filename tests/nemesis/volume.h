/* A disk with two faces, for powerfs: what its readers see now, and what a power
 * cut would leave. Writing changes the first; a sync of the file carries its
 * bytes over to the second, a sync of the folder the names. Between the two:
 *
 *   bytes     a bit for each 512-byte sector that differs
 *   names     a list of changes, oldest first, each create, link, rename or unlink
 *
 * A cut draws, by its seed, what of that had reached the platter by chance:
 *
 *   CUT_ALL      nothing had
 *   CUT_SOME     of each file nothing, all, or some sectors of 512 or 4096 bytes, some of them
 *                torn: a part is new, the rest is old, or garbage where the write changed it; the
 *                size is old, new or between. Of the names the oldest changes, as a journal has it
 *   CUT_SCATTER  the same for bytes; each change of a name is kept or lost by itself
 *
 * Both faces of a file lie in files without names, so they end with the process.
 * After a cut every inode has a new number: who held a file open holds nothing.
 * Nothing here knows FUSE. Functions return 0 or a negative errno. */
#ifndef NEMESIS_VOLUME_H
#define NEMESIS_VOLUME_H

#include "base/prng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define VOLUME_SECTOR 512
#define VOLUME_ROOT 1

struct inode;

struct name {
	char *text;
	struct inode *inode;
};

struct names {
	struct name *list;
	size_t count, cap;
};

struct inode {
	uint64_t id;
	mode_t mode;
	struct timespec changed_at;
	unsigned links; /* names that show it now */
	unsigned opened;
	/* a file */
	int now_fd, old_fd;
	uint64_t now_size, old_size;
	uint8_t *dirty; /* a bit a sector */
	size_t dirty_sectors;
	bool astray; /* a sync failed: the faces may differ where no bit says so */
	/* a folder */
	struct names now, old;
	bool met;
};

struct name_change {
	struct inode *from, *to; /* folders; from is NULL for a new name, to for a removed one */
	char *from_text, *to_text;
	struct inode *inode;
};

struct volume_cut {
	size_t files; /* with bytes nobody had synced */
	size_t sectors_lost, sectors_kept, sectors_torn;
	size_t names_lost, names_kept;
};

struct volume {
	int store_fd; /* the folder in whose file system the faces lie */
	struct inode **inodes;
	size_t count, cap; /* numbers are never used twice */
	struct name_change *changes;
	size_t change_count, change_cap;
};

enum volume_mode { CUT_ALL, CUT_SOME, CUT_SCATTER };

int volume_open(struct volume *volume, const char *store);
void volume_close(struct volume *volume);

/* NULL when no inode has that number (any more). */
struct inode *volume_inode(struct volume *volume, uint64_t id);

/* ---- bytes (volume_file.c) ---- */

int volume_file_read(struct inode *file, uint64_t at, void *bytes, size_t len, size_t *got);
int volume_file_write(struct inode *file, uint64_t at, const void *bytes, size_t len);
int volume_file_resize(struct inode *file, uint64_t size);
/* Zeroes a range without changing the size. */
int volume_file_zero(struct inode *file, uint64_t at, uint64_t len);
/* data_only as fdatasync: a size that grew is carried, one that shrank is not. */
int volume_file_sync(struct inode *file, bool data_only);
/* A sync that fails: some of it is on the platter, and no later sync will bring the rest. */
int volume_file_sync_badly(struct inode *file, struct prng *prng);
/* The part of a cut that is this file's. */
int volume_file_cut(struct inode *file, struct prng *prng, enum volume_mode mode, struct volume_cut *cut);
void volume_file_fini(struct inode *file);

/* ---- names (volume_name.c) ---- */

struct inode *volume_lookup(struct inode *folder, const char *text);
int volume_make(struct volume *volume, struct inode *folder, const char *text, mode_t mode,
		struct inode **made);
int volume_link(struct volume *volume, struct inode *inode, struct inode *folder, const char *text);
int volume_unlink(struct volume *volume, struct inode *folder, const char *text);
int volume_rename(struct volume *volume, struct inode *from, const char *from_text, struct inode *to,
		  const char *to_text);
int volume_folder_sync(struct volume *volume, struct inode *folder);
/* Lets go of the bytes of files that nobody can reach any more. */
void volume_sweep(struct volume *volume);
/* The whole cut. Nobody may be using the volume, or finds every open file gone. */
int volume_cut(struct volume *volume, uint64_t seed, enum volume_mode mode, struct volume_cut *cut);

#endif /* NEMESIS_VOLUME_H */

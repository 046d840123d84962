/* What powerfs.c (commands, the loop) and powerfs_calls.c (the kernel's calls) share. */
#ifndef NEMESIS_POWERFS_H
#define NEMESIS_POWERFS_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include "tests/nemesis/volume.h"

#define LINE_MAX_BYTES 256

struct powerfs {
	struct volume volume;
	struct prng prng; /* for syncs that fail */
	unsigned delay_ms;
	bool fail_read, fail_write, fail_sync, fail_table, lie;
	uint64_t bytes_written, writes, syncs, folder_syncs;
	char line[LINE_MAX_BYTES]; /* of standard input, so far */
	size_t line_len;
};

extern const struct fuse_lowlevel_ops powerfs_calls;

#endif /* NEMESIS_POWERFS_H */

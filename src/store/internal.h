/* What the files of the store share. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include <rocksdb/c.h>

#include "base/arena.h"
#include "store/gap.h"
#include "store/store.h"

struct store {
	rocksdb_t *db;
	rocksdb_env_t *env;
	bool owns_env;     /* a memory disk's env is the disk's */
	uint64_t merge_at; /* young files; on a disk in memory */
	rocksdb_readoptions_t *read;
	rocksdb_writeoptions_t *write;
	const char *dir;
	struct arena arena;         /* dir and configurations */
	struct slice configuration; /* the last one handed out */
	struct gaps gaps;

	/* the apply lane's */
	struct buf meta;

	/* counted across threads, with atomics */
	uint64_t applied_index, applied, flushes;
	bool no_space;
	char *why; /* of the first read that failed; set once */
	/* the loop's */
	uint64_t gets, gets_missed, gets_in_gap;
};

/* A read failed: the code of RocksDB's message (freed), kept for store_why. */
int store_read_failed(struct store *store, char *message);

#endif /* STORE_INTERNAL_H */

/* An env of one room's tests: a disk in memory that loses power at any call,
 * a clock that stands until it is moved, lanes that run when they are told.
 * No sockets. Single thread.
 *
 * The disk outlives the env on it: end the env, let the power cut decide what
 * became durable, open another. Unsynced sectors of 512 bytes are kept, lost,
 * or (1 in 8) torn with garbage; unsynced names come or go. */
#ifndef TESTS_LIB_DISK_ENV_H
#define TESTS_LIB_DISK_ENV_H

#include "env/env.h"

struct disk;
struct disk *disk_new(uint64_t seed);
void disk_free(struct disk *disk);
/* Calls so far that change something: writes, syncs, creations, removals. */
uint64_t disk_changes(const struct disk *disk);
/* The power fails in front of change number `at` (and all later ones fail with ERR_IO). 0: never. */
void disk_cut_at(struct disk *disk, uint64_t at);
bool disk_is_cut(const struct disk *disk);
/* The count-th read, write, or sync, from now on fails with ERR_IO; 0: none. After a failed sync the bytes
 * are readable and never written: the pages count as clean. */
void disk_fail_read(struct disk *disk, uint64_t count);
void disk_fail_write(struct disk *disk, uint64_t count);
void disk_fail_sync(struct disk *disk, uint64_t count);
/* Further growth of files fails with ERR_NO_SPACE while full. */
void disk_fill(struct disk *disk, bool full);
enum disk_loss { DISK_LOSE_ALL, DISK_KEEP_ALL, DISK_LOSE_SOME };
/* Power is back: unsynced changes are resolved, nothing fails any more. */
void disk_recover(struct disk *disk, enum disk_loss loss);

/* Files by name, for tests that damage them. Names in order; NULL behind the last. */
const char *disk_name(struct disk *disk, size_t i);
uint8_t *disk_bytes(struct disk *disk, const char *path, size_t *len);
/* A copy of the disk as it is, all of it durable. */
struct disk *disk_copy(const struct disk *disk);

struct env *disk_env_new(struct disk *disk);
/* From here on nothing happens in it any more; its objects may still be closed. */
void disk_env_kill(struct env *env);
void disk_env_free(struct env *env);
/* Runs one lane item, or one round of hooks; false when there is nothing to do. */
bool disk_env_step(struct env *env);
/* Steps until there is nothing to do. */
void disk_env_run(struct env *env);
/* Moves the clock and fires what is due, then runs. */
void disk_env_advance(struct env *env, uint64_t ms);

#endif /* TESTS_LIB_DISK_ENV_H */

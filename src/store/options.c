#include "store/options.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"

#define LEVELS 7
#define BLOOM_BITS 10
#define COMPACTION_NICE 10
/* One fills while one is written out. A disk that takes less than is applied makes the writer wait then, and
 * the leader refuse: with four, a node of 256 MiB had taken 446 before anybody waited. */
#define MEMTABLES 2
/* So many more are a matter of time only, not of waiting: merges that fall behind take them all at once. */
#define YOUNG_FILES_SLOW 128
#define YOUNG_FILES_STOP 256
/* A merge reads so much of each of its files at once. Left to itself RocksDB reads block by block, 4 KiB a
 * system call: a quarter of what merges cost. */
#define MERGE_READ_BYTES KIB(256)
/* Of the memtable: 24 bits a key for rows of 300 bytes, small enough to stay in a cache. */
#define MEMTABLE_BLOOM_RATIO 0.01
/* What has no function of its own (options_new). */
#define EVERYWHERE                                                                                           \
	"avoid_flush_during_shutdown=true;stats_persist_period_sec=0;avoid_unnecessary_blocking_io=true;"    \
	"allow_concurrent_memtable_write=false;memtable_insert_with_hint_prefix_extractor=fixed:1;"
#define PARTITIONS "sst_partitioner_factory={id=SstPartitionerFixedPrefixFactory;length=4}"

/* A thread takes the priority of who starts it, and RocksDB starts them here. */
static void *start_compactions(void *env)
{
	setpriority(PRIO_PROCESS, 0 /* this thread */, COMPACTION_NICE);
	rocksdb_env_set_background_threads(env, 1);
	return NULL;
}

/* Background threads belong to the process. Flushes keep its priority, for the log is trimmed behind them;
 * compactions yield to everything else, but not for ever: at the lowest priority they stood still beside a
 * full load, until writes had to wait for them. */
static void tune_threads(rocksdb_env_t *env)
{
	rocksdb_env_set_high_priority_background_threads(env, 1);
	pthread_t thread;
	if (pthread_create(&thread, NULL, start_compactions, env) != 0) {
		fatal("cannot start a thread");
	}
	pthread_join(thread, NULL);
}

/* In two shards. Left to itself RocksDB makes shards of 512 KiB, and one that is full of what is held keeps
 * nothing else: a sale stood still for seconds, each read taking the same blocks from the files again. */
static rocksdb_cache_t *cache_new(size_t bytes)
{
	rocksdb_lru_cache_options_t *lru = rocksdb_lru_cache_options_create();
	rocksdb_lru_cache_options_set_capacity(lru, bytes);
	rocksdb_lru_cache_options_set_num_shard_bits(lru, 1);
	rocksdb_cache_t *cache = rocksdb_cache_create_lru_opts(lru);
	rocksdb_lru_cache_options_destroy(lru);
	return cache;
}

/* Filters and indexes grow with the data (two bytes a row): in the cache they stay within its bound, and in
 * pieces of 4 KiB, so that a large table does not push out all else. Those of young files, which every read
 * asks, are held there. The simulator's files are small and stay open with theirs, whole: a third of what a
 * read costs there. */
static void bound_filters(rocksdb_block_based_table_options_t *table)
{
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
	rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
	rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
	rocksdb_block_based_options_set_index_type(
		table, rocksdb_block_based_table_index_type_two_level_index_search);
	rocksdb_block_based_options_set_partition_filters(table, 1);
}

/* Point reads that miss are the common case (is this order new?): a bloom filter in front of the memtable
 * and of every file saves most of their cost. */
static void tune_reads(const struct store_config *config, rocksdb_options_t *options)
{
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	rocksdb_block_based_options_set_filter_policy(table,
						      rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
	rocksdb_block_based_options_set_whole_key_filtering(table, 1);
	rocksdb_block_based_options_set_format_version(table, 5);
	rocksdb_cache_t *cache = cache_new(config->cache_bytes ? config->cache_bytes : MIB(64));
	rocksdb_block_based_options_set_block_cache(table, cache);
	if (config->disk == NULL) {
		bound_filters(table);
	}
	rocksdb_options_set_block_based_table_factory(options, table);
	rocksdb_cache_destroy(cache);
	rocksdb_block_based_options_destroy(table);
}

/* Whether files in dir can be written around the page cache. */
static bool writes_direct(const char *dir)
{
	char path[4096];
	if (snprintf(path, sizeof(path), "%s/direct.probe", dir) >= (int)sizeof(path)) {
		return false;
	}
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
	}
	unlink(path);
	return fd >= 0;
}

/* Memory comes in blocks below what malloc maps apart (server/main), and, as RocksDB has it by itself, eight
 * or more to a memtable: one that is smaller than half a block counts as full when it is made, and RocksDB
 * asserts that it is not. */
static size_t memtable_block(uint64_t memtable_bytes)
{
	return memtable_bytes / 8 < KIB(512) ? memtable_bytes / 8 : KIB(512);
}

/* One core's worth of work at most. Three levels are uncompressed: the first two are rewritten soon, and a
 * file moves to the third as it is, without being read, when no key there lies between its own. Compressing
 * it on the way took as long as merging the young files, and they grew from 16 to 55 in six minutes of a
 * sale. */
static void tune_real_disk(const struct store_config *config, rocksdb_options_t *options)
{
	uint64_t memtable_bytes = config->memtable_bytes ? config->memtable_bytes : MIB(64);
	/* Half of it in entries is flushed (engine/open.c), which take a quarter more as rows of a memtable; two
	 * that are full, because the disk takes less, are one and a half. */
	rocksdb_options_set_write_buffer_size(options, memtable_bytes / 4 * 3);
	rocksdb_options_set_max_write_buffer_number(options, MEMTABLES);
	rocksdb_options_set_arena_block_size(options, memtable_block(memtable_bytes));
	rocksdb_options_set_memtable_whole_key_filtering(options, 1);
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, MEMTABLE_BLOOM_RATIO);
	rocksdb_options_set_max_background_jobs(options, 2);
	rocksdb_options_compaction_readahead_size(options, MERGE_READ_BYTES);
	/* The level below takes the young files, which flush at half a memtable, whole. */
	rocksdb_options_set_max_bytes_for_level_base(options, YOUNG_FILES * memtable_bytes / 2);
	rocksdb_options_set_target_file_size_base(options, memtable_bytes / 2);
	rocksdb_options_set_level0_file_num_compaction_trigger(options, YOUNG_FILES);
	rocksdb_options_set_level0_slowdown_writes_trigger(options, YOUNG_FILES_SLOW);
	rocksdb_options_set_level0_stop_writes_trigger(options, YOUNG_FILES_STOP);
	/* Nobody reads a new file at once: through the page cache it would cost a fresh page, a copy and,
	 * later, a burst of writing that syncs of the log wait behind. */
	if (writes_direct(config->dir)) {
		rocksdb_options_set_use_direct_io_for_flush_and_compaction(options, 1);
	} else {
		rocksdb_options_set_bytes_per_sync(options, MIB(1));
	}
	const int compression[LEVELS] = {rocksdb_no_compression,  rocksdb_no_compression,
					 rocksdb_no_compression,  rocksdb_lz4_compression,
					 rocksdb_lz4_compression, rocksdb_lz4_compression,
					 rocksdb_lz4_compression};
	rocksdb_options_set_compression_per_level(options, compression, LEVELS);
	/* Its own LOG would say more, but asserts that a line after one which found no space is never
	 * written, and Debian builds it with assertions: on a full disk it would end the node. Errors reach
	 * us anyway. */
	rocksdb_options_set_info_log_level(options, 5 /* headers only */);
	rocksdb_options_set_max_log_file_size(options, MIB(1));
	rocksdb_options_set_keep_log_file_num(options, 2);
}

/* The simulator's disk: nothing happens that nobody asked for (store_flush asks for merges). Sixteen threads
 * to open the files of a new life would cost more than the files. */
static void tune_memory_disk(rocksdb_options_t *options)
{
	rocksdb_options_set_write_buffer_size(options, (size_t)1 << 40);
	rocksdb_options_set_arena_block_size(options, KIB(64));
	rocksdb_options_set_disable_auto_compactions(options, 1);
	rocksdb_options_set_max_file_opening_threads(options, 1);
	rocksdb_options_set_compression(options, rocksdb_no_compression);
	rocksdb_options_set_info_log_level(options, 5 /* headers only */);
}

rocksdb_options_t *options_new(const struct store_config *config, rocksdb_env_t *env, struct err *err)
{
	rocksdb_options_t *base = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(base, 1);
	rocksdb_options_set_env(base, env);
	rocksdb_options_set_paranoid_checks(base, 1);
	rocksdb_options_set_num_levels(base, LEVELS);
	rocksdb_options_set_stats_dump_period_sec(base, 0);
	tune_reads(config, base);
	if (config->disk != NULL) {
		tune_memory_disk(base);
	} else {
		tune_threads(env);
		tune_real_disk(config, base);
	}
	/* Closing must not flush, or a simulated crash would lose nothing. A batch comes in the order of
	 * its keys: an insert begins where the last one of its table ended, not at the head of the list. One
	 * thread applies, so nothing is lost with concurrent writes, which would ignore the hint. Merged
	 * files end where a table does (its first bytes, store/keys.h): one that reached from the end of a
	 * table into the next would be merged with all of the next again and again, and could not be moved;
	 * the simulator's merges take everything.
	 * What RocksDB cannot build of this it leaves out and says nothing: tests/unit/test_store asks. */
	const char *more = config->disk != NULL ? EVERYWHERE : EVERYWHERE PARTITIONS;
	rocksdb_options_t *options = rocksdb_options_create();
	char *message = NULL;
	rocksdb_get_options_from_string(base, more, options, &message);
	rocksdb_options_destroy(base);
	if (message != NULL) {
		rocksdb_options_destroy(options);
		options_fail(message, err, "setting RocksDB's options");
		return NULL;
	}
	return options;
}

/* Nothing here deletes ranges. RocksDB 7.8 minds the end of a file for their sake, and there forgets the
 * error that ended it: a walk went on behind a rotten file as if it were empty. */
rocksdb_readoptions_t *options_for_walk(void)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_readoptions_set_ignore_range_deletions(options, 1);
	return options;
}

int options_fail(char *message, struct err *err, const char *doing)
{
	int code = ERR_IO;
	if (strstr(message, "No space left") != NULL) {
		code = ERR_NO_SPACE;
	} else if (strncmp(message, "Corruption", 10) == 0) {
		code = ERR_CORRUPT;
	} else if (strstr(message, "lock ") != NULL) {
		code = ERR_LOCKED;
	}
	err_set(err, code, "%s: %s", doing, message);
	rocksdb_free(message);
	return code;
}

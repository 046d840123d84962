#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rocksdb/c.h>

#include "base/arena.h"
#include "base/limits.h"
#include "store/internal.h"
#include "store/meta.h"
#include "store/options.h"

#define META_BYTES_MAX KIB(64)

/* ---- disks ---- */

struct store_disk *store_disk_new(void)
{
	struct store_disk *disk = calloc(1, sizeof(*disk));
	if (disk == NULL) {
		fatal("out of memory: a disk in memory");
	}
	disk->env = rocksdb_create_mem_env();
	disk->merge_at = YOUNG_FILES;
	return disk;
}

void store_disk_merge_at(struct store_disk *disk, uint64_t young_files)
{
	disk->merge_at = young_files;
}

void store_disk_free(struct store_disk *disk)
{
	if (disk == NULL) {
		return;
	}
	if (disk->options != NULL) {
		rocksdb_options_destroy(disk->options);
	}
	rocksdb_env_destroy(disk->env);
	free(disk);
}

/* ---- opening and closing ---- */

/* RocksDB counts comparisons in thread-local variables unless a thread asks it not to: up to a sixth
 * of a point read. */
static void count_nothing(void)
{
	rocksdb_set_perf_level(1 /* disable */);
}

/* A directory that was just made is lost in a crash unless its parent is synced. */
static int sync_parent(const char *dir, struct err *err)
{
	char parent[4096];
	snprintf(parent, sizeof(parent), "%s/..", dir);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		return err_set(err, ERR_IO, "cannot open %s: %s", parent, strerror(errno));
	}
	int status = fsync(fd) == 0 ? 0 : err_set(err, ERR_IO, "cannot sync %s: %s", parent, strerror(errno));
	close(fd);
	return status;
}

static int make_dir(const char *dir, struct err *err)
{
	if (mkdir(dir, 0700) == 0) {
		return sync_parent(dir, err);
	}
	if (errno == EEXIST) {
		return 0;
	}
	int code = errno == ENOSPC ? ERR_NO_SPACE : ERR_IO;
	return err_set(err, code, "cannot make %s: %s", dir, strerror(errno));
}

/* Reads the meta record; *meta is zeroed when there is none. */
static int read_meta(struct store *store, struct store_meta *meta, struct err *err)
{
	struct store_pin pin;
	int status = store_get(store, meta_key(), &pin);
	if (status == ERR_NOT_FOUND) {
		memset(meta, 0, sizeof(*meta));
		return 0;
	}
	if (status != 0) {
		return err_set(err, status, "cannot read the meta record of %s: %s", store->dir,
			       store_why(store));
	}
	struct store_meta read;
	status = meta_decode(pin.value, &read);
	if (status != 0) {
		store_unpin(&pin);
		return err_set(err, status, "the meta record of %s does not verify", store->dir);
	}
	if (!slice_equal(read.configuration, store->configuration)) {
		store->configuration = arena_copy(&store->arena, read.configuration);
	}
	*meta = read;
	meta->configuration = store->configuration;
	store_unpin(&pin);
	return 0;
}

int store_open(const struct store_config *config, struct store **out, struct err *err)
{
	int status = config->disk == NULL ? make_dir(config->dir, err) : 0;
	if (status != 0) {
		return status;
	}
	struct store *store = calloc(1, sizeof(*store));
	if (store == NULL) {
		fatal("out of memory: a store");
	}
	count_nothing();
	arena_init(&store->arena, KIB(4));
	gaps_init(&store->gaps);
	buf_init(&store->meta, META_BYTES_MAX);
	/* A disk in memory has no working directory. */
	const char *root = config->disk != NULL && config->dir[0] != '/' ? "/" : "";
	store->dir = arena_printf(&store->arena, "%s%s", root, config->dir);
	store->env = config->disk != NULL ? config->disk->env : rocksdb_create_default_env();
	store->owns_env = config->disk == NULL;
	store->merge_at = config->disk != NULL ? config->disk->merge_at : 0;
	store->read = rocksdb_readoptions_create();
	store->write = rocksdb_writeoptions_create();
	rocksdb_writeoptions_disable_WAL(store->write, 1);

	rocksdb_options_t *options = config->disk != NULL ? config->disk->options : NULL;
	if (options == NULL) {
		options = options_new(config, store->env, err);
	}
	if (options == NULL) {
		status = ERR_INVALID;
		goto err_after_store;
	}
	char *message = NULL;
	store->db = rocksdb_open(options, store->dir, &message);
	if (config->disk != NULL) {
		config->disk->options = options;
	} else {
		rocksdb_options_destroy(options);
	}
	if (message != NULL) {
		status = options_fail(message, err, "opening the database");
		goto err_after_store;
	}
	struct store_meta meta;
	status = read_meta(store, &meta, err);
	if (status != 0) {
		goto err_after_store;
	}
	store->applied_index = meta.index;
	*out = store;
	return 0;

err_after_store:
	store_close(store, false);
	return status;
}

void store_close(struct store *store, bool flush)
{
	if (store == NULL) {
		return;
	}
	if (store->db != NULL) {
		uint64_t index;
		if (flush) {
			store_flush(store, &index, NULL);
		}
		rocksdb_cancel_all_background_work(store->db, 1);
		rocksdb_close(store->db);
	}
	rocksdb_readoptions_destroy(store->read);
	rocksdb_writeoptions_destroy(store->write);
	if (store->owns_env) {
		rocksdb_env_destroy(store->env);
	}
	free(store->why);
	buf_fini(&store->meta);
	gaps_fini(&store->gaps);
	arena_fini(&store->arena);
	free(store);
}

int store_meta(struct store *store, struct store_meta *meta, struct err *err)
{
	return read_meta(store, meta, err);
}

/* ---- reading ---- */

int store_read_failed(struct store *store, char *message)
{
	struct err err = {0};
	int code = options_fail(message, &err, "reading");
	char *none = NULL;
	char *text = strdup(err.text);
	if (!__atomic_compare_exchange_n(&store->why, &none, text, false, __ATOMIC_RELEASE,
					 __ATOMIC_RELAXED)) {
		free(text);
	}
	return code;
}

const char *store_why(const struct store *store)
{
	const char *why = __atomic_load_n(&store->why, __ATOMIC_ACQUIRE);
	return why == NULL ? "" : why;
}

int store_get(struct store *store, struct slice key, struct store_pin *pin)
{
	store->gets++;
	if (gaps_have(&store->gaps, key)) {
		store->gets_missed++;
		store->gets_in_gap++;
		return ERR_NOT_FOUND;
	}
	char *message = NULL;
	rocksdb_pinnableslice_t *value =
		rocksdb_get_pinned(store->db, store->read, (const char *)key.data, key.len, &message);
	if (value == NULL) {
		if (message != NULL) {
			return store_read_failed(store, message);
		}
		store->gets_missed++;
		gaps_missed(&store->gaps, store->db, key);
		return ERR_NOT_FOUND;
	}
	size_t len;
	const char *data = rocksdb_pinnableslice_value(value, &len);
	pin->impl = value;
	pin->value = slice_of(data, len);
	return 0;
}

void store_unpin(struct store_pin *pin)
{
	rocksdb_pinnableslice_destroy(pin->impl);
	pin->impl = NULL;
}

/* ---- writing ---- */

int store_apply(struct store *store, const struct entry_view *view, const struct store_meta *meta,
		struct err *err)
{
	assert(meta->index > store->applied_index);
	count_nothing();
	buf_reset(&store->meta);
	meta_encode(meta, &store->meta);
	assert(!buf_failed(&store->meta));

	rocksdb_writebatch_t *batch =
		view == NULL
			? rocksdb_writebatch_create()
			: rocksdb_writebatch_create_from((const char *)view->batch.data, view->batch.len);
	struct slice key = meta_key();
	rocksdb_writebatch_put(batch, (const char *)key.data, key.len, (const char *)store->meta.data,
			       store->meta.len);
	if (view != NULL) {
		gaps_write_begin(&store->gaps, view);
	}
	char *message = NULL;
	rocksdb_write(store->db, store->write, batch, &message);
	if (view != NULL) {
		gaps_write_end(&store->gaps);
	}
	rocksdb_writebatch_destroy(batch);
	if (message != NULL) {
		int code = options_fail(message, err, "applying an entry");
		__atomic_store_n(&store->no_space, code == ERR_NO_SPACE, __ATOMIC_RELAXED);
		return code;
	}
	__atomic_store_n(&store->no_space, false, __ATOMIC_RELAXED);
	__atomic_store_n(&store->applied_index, meta->index, __ATOMIC_RELEASE);
	__atomic_add_fetch(&store->applied, 1, __ATOMIC_RELAXED);
	return 0;
}

uint64_t store_young_files(const struct store *store)
{
	char *text = rocksdb_property_value(store->db, "rocksdb.num-files-at-level0");
	uint64_t count = text != NULL ? strtoull(text, NULL, 10) : 0;
	rocksdb_free(text);
	return count;
}

/* On a real disk RocksDB comes to it by itself, some time. */
static void merge_young(struct store *store)
{
	if (store_young_files(store) >= store->merge_at) {
		rocksdb_compact_range(store->db, NULL, 0, NULL, 0);
	}
}

int store_flush(struct store *store, uint64_t *index, struct err *err)
{
	uint64_t applied = __atomic_load_n(&store->applied_index, __ATOMIC_ACQUIRE);
	rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
	rocksdb_flushoptions_set_wait(options, 1);
	char *message = NULL;
	rocksdb_flush(store->db, options, &message);
	rocksdb_flushoptions_destroy(options);
	if (message != NULL) {
		int code = options_fail(message, err, "flushing");
		__atomic_store_n(&store->no_space, code == ERR_NO_SPACE, __ATOMIC_RELAXED);
		return code;
	}
	__atomic_add_fetch(&store->flushes, 1, __ATOMIC_RELAXED);
	if (!store->owns_env) {
		merge_young(store);
	}
	*index = applied;
	return 0;
}

/* ---- figures ---- */

void store_stats(const struct store *store, struct store_stats *stats)
{
	*stats = (struct store_stats){
		.flushes = __atomic_load_n(&store->flushes, __ATOMIC_RELAXED),
		.applied = __atomic_load_n(&store->applied, __ATOMIC_RELAXED),
		.gets = store->gets,
		.gets_missed = store->gets_missed,
		.gets_in_gap = store->gets_in_gap,
		.no_space = __atomic_load_n(&store->no_space, __ATOMIC_RELAXED),
	};
}

static uint64_t property(const struct store *store, const char *name)
{
	uint64_t value = 0;
	rocksdb_property_int(store->db, name, &value);
	return value;
}

void store_sizes(struct store *store, struct store_sizes *sizes)
{
	*sizes = (struct store_sizes){
		.memtable_bytes = property(store, "rocksdb.cur-size-all-mem-tables"),
		.memtable_all_bytes = property(store, "rocksdb.size-all-mem-tables"),
		.cache_bytes = property(store, "rocksdb.block-cache-usage"),
		.reader_bytes = property(store, "rocksdb.estimate-table-readers-mem"),
	};
}

void store_backlog(struct store *store, struct store_backlog *backlog)
{
	*backlog = (struct store_backlog){
		.young_files = store_young_files(store),
		.unmerged_bytes = property(store, "rocksdb.estimate-pending-compaction-bytes"),
		.stopped = property(store, "rocksdb.is-write-stopped") != 0,
	};
}

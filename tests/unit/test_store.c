/* One RocksDB database: applying, crashing, flushing, walking, hashing, running out of space. */
#include "store/internal.h"

#include <glob.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

/* Opens, or ends the test. */
static struct store *open_store(const char *dir, struct store_disk *disk)
{
	struct store_config config = {
		.dir = dir, .disk = disk, .memtable_bytes = MIB(1), .cache_bytes = MIB(1)};
	struct store *store = NULL;
	struct err err = {0};
	if (store_open(&config, &store, &err) != 0) {
		fatal("cannot open a store: %s", err.text);
	}
	return store;
}

static struct store_meta meta_at(uint64_t index)
{
	return (struct store_meta){.index = index,
				   .term = 3,
				   .chain = {index * 7, index * 11},
				   .stamp_ms = 1000 + index,
				   .cluster_id = 5,
				   .node_id = 2,
				   .configuration_index = 1,
				   .configuration = SLICE_LIT("n1 n2 n3")};
}

/* Applies "key-<index>" = "value-<index>" and "last" = "<index>" as entry index. */
static int apply_one(struct store *store, uint64_t index)
{
	char key[32], value[32], last[32];
	snprintf(key, sizeof(key), "key-%06llu", (unsigned long long)index);
	snprintf(value, sizeof(value), "value-%llu", (unsigned long long)index);
	snprintf(last, sizeof(last), "%llu", (unsigned long long)index);
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 1000 + index);
	entry_put(&payload, slice_str(key), slice_str(value));
	entry_put(&payload, SLICE_LIT("last"), slice_str(last));
	entry_end(&payload);
	struct entry_view view;
	entry_check(buf_slice(&payload), &view);
	struct store_meta meta = meta_at(index);
	int status = store_apply(store, &view, &meta, NULL);
	buf_fini(&payload);
	return status;
}

static bool holds(struct store *store, const char *key, const char *want)
{
	struct store_pin pin;
	int status = store_get(store, slice_str(key), &pin);
	if (status != 0) {
		return want == NULL && status == ERR_NOT_FOUND;
	}
	bool same = want != NULL && slice_equal(pin.value, slice_str(want));
	store_unpin(&pin);
	return same;
}

static uint64_t index_of(struct store *store)
{
	struct store_meta meta;
	return store_meta(store, &meta, NULL) == 0 ? meta.index : UINT64_MAX;
}

static void test_meta(struct store_disk *disk)
{
	struct store *store = open_store("db", disk);
	struct store_meta meta = {.index = 99};
	is_int(store_meta(store, &meta, NULL), 0, "a new database has a meta record to tell");
	is_int(meta.index, 0, "and stands at index 0");
	is_int(apply_one(store, 1), 0, "the first entry is applied");
	struct store_meta barrier = meta_at(2);
	is_int(store_apply(store, NULL, &barrier, NULL), 0, "an entry that writes nothing is applied too");
	is_int(store_meta(store, &meta, NULL), 0, "the meta record is read");
	is_int(meta.index, 2, "the meta record names the entry that wrote nothing");
	ok(meta.term == 3 && meta.chain.low == 14 && meta.chain.high == 22 && meta.stamp_ms == 1002,
	   "term, chain and stamp come back");
	ok(meta.cluster_id == 5 && meta.node_id == 2 && meta.configuration_index == 1 &&
		   slice_equal(meta.configuration, SLICE_LIT("n1 n2 n3")),
	   "ids and configuration come back");
	ok(holds(store, "key-000001", "value-1"), "what was applied is read");
	ok(holds(store, "key-000002", NULL), "what was not is not found");
	store_close(store, false);
}

static void test_crash(struct store_disk *disk)
{
	struct store *store = open_store("crash", disk);
	for (uint64_t index = 1; index <= 10; index++) {
		apply_one(store, index);
	}
	uint64_t durable = 0;
	is_int(store_flush(store, &durable, NULL), 0, "a flush succeeds");
	is_int(durable, 10, "it names what is durable");
	apply_one(store, 11);
	store_close(store, false);
	store = open_store("crash", disk);
	is_int(index_of(store), 10, "a crash loses what was applied after the flush");
	ok(holds(store, "last", "10") && holds(store, "key-000011", NULL), "and nothing else");
	is_int(apply_one(store, 11), 0, "the lost entry is applied again");
	store_close(store, true);
	store = open_store("crash", disk);
	is_int(index_of(store), 11, "closing with a flush loses nothing");
	store_close(store, false);
}

static void test_deletes(struct store_disk *disk)
{
	struct store *store = open_store("deletes", disk);
	apply_one(store, 1);
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 1);
	entry_delete(&payload, SLICE_LIT("key-000001"));
	entry_end(&payload);
	struct entry_view view;
	entry_check(buf_slice(&payload), &view);
	struct store_meta meta = meta_at(2);
	store_apply(store, &view, &meta, NULL);
	ok(holds(store, "key-000001", NULL), "a deleted key is not found");
	ok(holds(store, "last", "1"), "its neighbour is");
	struct slice key, value;
	struct store_cursor *cursor = store_cursor_open_short(store, SLICE_LIT("key"), SLICE_NONE, 1);
	ok(!store_cursor_next(cursor, &key, &value) && store_cursor_error(cursor) == ERR_BUSY,
	   "a short walk ends where more was removed than it may pass over");
	is_str(store_why(store), "", "which is no read that failed");
	store_cursor_close(cursor);
	cursor = store_cursor_open_short(store, SLICE_LIT("key"), SLICE_NONE, 10);
	ok(store_cursor_next(cursor, &key, &value) && slice_equal(key, SLICE_LIT("last")), "less it passes over");
	store_cursor_close(cursor);
	buf_fini(&payload);
	store_close(store, false);
}

/* The keys a walk meets, with spaces between; in text. */
static void walk(struct store *store, const char *from, const char *to, bool backward, char *text,
		 size_t size)
{
	struct store_cursor *cursor = store_cursor_open(store, slice_str(from), slice_str(to), backward);
	struct slice key, value;
	size_t at = 0;
	text[0] = '\0';
	while (store_cursor_next(cursor, &key, &value)) {
		at += (size_t)snprintf(text + at, size - at, "%.*s ", (int)key.len, (const char *)key.data);
	}
	if (store_cursor_next(cursor, &key, &value) || store_cursor_error(cursor) != 0) {
		snprintf(text, size, "the walk goes on behind its end");
	}
	store_cursor_close(cursor);
}

static void test_cursor(struct store_disk *disk)
{
	struct store *store = open_store("cursor", disk);
	for (uint64_t index = 1; index <= 4; index++) {
		apply_one(store, index);
	}
	char text[200];
	walk(store, "key-000002", "key-000004", false, text, sizeof(text));
	is_str(text, "key-000002 key-000003 ", "a walk has its first key and not its end");
	walk(store, "key-000002", "key-000004", true, text, sizeof(text));
	is_str(text, "key-000003 key-000002 ", "backward it has the same keys");
	walk(store, "key-000003", "", false, text, sizeof(text));
	is_str(text, "key-000003 key-000004 last ", "an empty end is the end of all");
	walk(store, "", "key", true, text, sizeof(text));
	is_str(text, "M ", "a backward walk without a lower bound ends at the first key");
	walk(store, "x", "y", false, text, sizeof(text));
	is_str(text, "", "a walk over nothing ends at once");

	struct store_cursor *cursor = store_cursor_open(store, SLICE_LIT("key"), SLICE_LIT("last"), false);
	apply_one(store, 5);
	struct slice key, value;
	int count = 0;
	while (store_cursor_next(cursor, &key, &value)) {
		count++;
	}
	is_int(count, 4, "a walk sees the state of its opening");
	store_cursor_close(cursor);
	store_close(store, false);
}

static void test_hash(struct store_disk *disk)
{
	struct store *one = open_store("hash-1", disk);
	struct store *two = open_store("hash-2", disk);
	struct chain a, b;
	uint64_t index;
	for (uint64_t i = 1; i <= 20; i++) {
		apply_one(one, i);
		apply_one(two, i);
		if (i == 7) {
			store_flush(two, &index, NULL);
		}
	}
	ok(store_hash(one, &a, &index, NULL) == 0 && index == 20, "a hash says which index it belongs to");
	ok(store_hash(two, &b, &index, NULL) == 0 && chain_equal(a, b),
	   "two databases with the same entries have the same hash, flushed or not");
	struct store_meta meta = meta_at(21);
	store_apply(two, NULL, &meta, NULL);
	store_hash(two, &b, &index, NULL);
	ok(chain_equal(a, b), "the meta record does not count");
	apply_one(two, 22);
	store_hash(two, &b, &index, NULL);
	ok(!chain_equal(a, b), "another row does");
	store_close(one, false);
	store_close(two, false);
}

static void test_real_disk(void)
{
	char dir[300];
	snprintf(dir, sizeof(dir), "%s/db", tap_dir());
	struct store *store = open_store(dir, NULL);
	struct store_config config = {.dir = dir};
	struct store *second = NULL;
	struct err err = {0};
	is_int(store_open(&config, &second, &err), ERR_LOCKED,
	       "a database that is open cannot be opened again");
	ok(err.text[0] != '\0', "and the error says so: %s", err.text);
	/* Enough for several memtables of 1 MiB: flushes happen by themselves. */
	for (uint64_t index = 1; index <= 20000; index++) {
		if (apply_one(store, index) != 0) {
			break;
		}
	}
	store_close(store, false);
	store = open_store(dir, NULL);
	uint64_t index = index_of(store);
	char last[32];
	snprintf(last, sizeof(last), "%llu", (unsigned long long)index);
	ok(index < 20001 && holds(store, "last", index ? last : NULL),
	   "after a crash the database is exactly the state after one index");
	struct store_stats stats;
	store_stats(store, &stats);
	ok(stats.gets >= 2, "reads are counted");
	struct store_sizes sizes;
	store_sizes(store, &sizes);
	/* Ten bits and an entry of the index a row would be beside it else. */
	ok(sizes.reader_bytes < sizes.cache_bytes,
	   "filters and indexes count as the cache's: %llu bytes there, %llu beside it",
	   (unsigned long long)sizes.cache_bytes, (unsigned long long)sizes.reader_bytes);
	store_close(store, false);

	config.dir = "/dev/null/db";
	is_int(store_open(&config, &second, &err), ERR_IO, "a directory that cannot be made is an error");
}

/* RocksDB takes an option it cannot build (a name it does not know) for none at all and says nothing; what it
 * really took stands in its OPTIONS file. */
static void test_options(void)
{
	static const char *const taken[] = {
		"sst_partitioner_factory={id=SstPartitionerFixedPrefixFactory;length=4",
		"compression_per_level=kNoCompression:kNoCompression:kNoCompression:kLZ4Compression",
		"memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.1",
		"max_write_buffer_number=2",
		"avoid_flush_during_shutdown=true",
		"avoid_unnecessary_blocking_io=true",
		"allow_concurrent_memtable_write=false",
		"stats_persist_period_sec=0",
		"index_type=kTwoLevelIndexSearch",
		"partition_filters=true",
		"filter_policy=bloomfilter",
	};
	static char text[KIB(64)];
	char dir[300], pattern[400];
	snprintf(dir, sizeof(dir), "%s/options", tap_dir());
	store_close(open_store(dir, NULL), false);
	snprintf(pattern, sizeof(pattern), "%s/OPTIONS-*", dir);
	glob_t found;
	size_t length = 0;
	if (glob(pattern, 0, NULL, &found) == 0) {
		FILE *file = fopen(found.gl_pathv[found.gl_pathc - 1], "r");
		length = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
		if (file != NULL) {
			fclose(file);
		}
		globfree(&found);
	}
	text[length] = '\0';
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		ok(strstr(text, taken[i]) != NULL, "RocksDB took the option it was given: %s", taken[i]);
	}
}

static void test_backlog(void)
{
	struct store_backlog backlog;
	uint64_t durable;
	char dir[300];
	snprintf(dir, sizeof(dir), "%s/backlog", tap_dir());
	struct store *store = open_store(dir, NULL);
	for (uint64_t index = 1; index <= 3; index++) {
		apply_one(store, index);
		store_flush(store, &durable, NULL);
	}
	store_backlog(store, &backlog);
	ok(backlog.young_files == 3 && !backlog.stopped, "each flush makes a young file (%llu)",
	   (unsigned long long)backlog.young_files);
	store_close(store, false);
}

static void test_corruption(void)
{
	char dir[300], command[1000];
	snprintf(dir, sizeof(dir), "%s/broken", tap_dir());
	struct store *store = open_store(dir, NULL);
	apply_one(store, 1);
	store_close(store, true);
	snprintf(command, sizeof(command),
		 "for f in %s/*.sst; do printf 'XXXXXXXXXXXXXXXX' | dd of=$f bs=1 seek=8 conv=notrunc "
		 "2>/dev/null; done",
		 dir);
	ok(system(command) == 0, "a file of the database is damaged");
	struct store_config config = {.dir = dir};
	struct err err = {0};
	is_int(store_open(&config, &store, &err), ERR_CORRUPT,
	       "a damaged meta record is noticed at the open");
	ok(strstr(err.text, ".sst") != NULL, "and the damaged file is named: %s", err.text);
}

#define THREES 17

/* Three long rows, far from each other, that nothing makes shorter: a merge of such files ends in several. */
static void apply_three(struct store *store, uint64_t index)
{
	static uint8_t noise[KIB(32)];
	struct prng prng;
	struct buf payload;
	prng_init(&prng, index);
	prng_fill(&prng, noise, sizeof(noise));
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 1000 + index);
	for (char table = 'a'; table < 'd'; table++) {
		char key[32];
		snprintf(key, sizeof(key), "%c-%06llu", table, (unsigned long long)index);
		entry_put(&payload, slice_str(key), slice_of(noise, sizeof(noise)));
	}
	entry_end(&payload);
	struct entry_view view;
	entry_check(buf_slice(&payload), &view);
	struct store_meta meta = meta_at(index);
	store_apply(store, &view, &meta, NULL);
	buf_fini(&payload);
}

static const char *row_of(unsigned number, char key[32])
{
	snprintf(key, 32, "%c-%06u", "abc"[number / THREES], number % THREES + 1);
	return key;
}

static void write_row(struct store *store, const char *key, bool removal)
{
	struct store_meta meta = meta_at(index_of(store) + 1);
	struct entry_view view;
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	entry_begin(&payload, ENTRY_BATCH, 2000);
	if (removal) {
		entry_delete(&payload, slice_str(key));
	} else {
		entry_put(&payload, slice_str(key), SLICE_LIT("v"));
	}
	entry_end(&payload);
	entry_check(buf_slice(&payload), &view);
	store_apply(store, &view, &meta, NULL);
	buf_fini(&payload);
}

/* Takes away one row of apply_three after the other and asks for what would stand before it, so that whoever
 * looks for the neighbours walks over what is left of it, into the next file if it was a file's last; then
 * puts it back. How many learned a gap, and in how many of these the next row lies. */
static unsigned learn_gaps(struct store *store, unsigned *hidden)
{
	char row[32], before[32];
	struct store_pin pin;
	unsigned learned = 0;
	for (unsigned i = 0; i + 1 < 3 * THREES; i++) {
		size_t last = strlen(row_of(i, row)) - 1;
		snprintf(before, sizeof(before), "%.*s%c~", (int)last, row, row[last] - 1);
		write_row(store, row, true);
		store->gaps.count = 0;
		store->gaps.patience = 1;
		if (store_get(store, slice_str(before), &pin) == 0) {
			fatal("%s is there", before);
		}
		learned += gaps_have(&store->gaps, slice_str(before));
		write_row(store, row, false);
		*hidden += gaps_have(&store->gaps, slice_str(row_of(i + 1, row)));
	}
	return learned;
}

/* Flips a bit in the first block of a file, walks, and flips it back. */
static void walk_finds_rot(const char *dir, const char *name)
{
	char path[4800]; /* dir may be a long one */
	struct store_config config = {.dir = dir, .memtable_bytes = MIB(1), .cache_bytes = MIB(1)};
	struct store *store = NULL;
	struct chain hash;
	uint64_t index;
	struct err err = {0};
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	for (int turn = 0; turn < 2; turn++) {
		FILE *file = fopen(path, "r+");
		if (file == NULL || fseek(file, 10, SEEK_SET) != 0) {
			fatal("cannot open %s", path);
		}
		int byte = fgetc(file) ^ 4;
		fseek(file, 10, SEEK_SET);
		fputc(byte, file);
		fclose(file);
		if (turn == 1) {
			break;
		}
		unsigned learned = 0, hidden = 0;
		int status = store_open(&config, &store, &err);
		if (status == 0) {
			status = store_hash(store, &hash, &index, &err);
			learned = learn_gaps(store, &hidden);
			store_close(store, false);
			ok(learned > THREES && hidden == 0,
			   "of %u gaps that are learned beside rot in %s none hides a row", learned, name);
		}
		ok(status == ERR_CORRUPT && strstr(err.text, name) != NULL,
		   "rot in %s is no end of the data: %s", name, err.text);
	}
}

static size_t table_files(const char *dir, char names[64][64])
{
	char pattern[400];
	glob_t found;
	size_t count = 0;
	snprintf(pattern, sizeof(pattern), "%s/*.sst", dir);
	if (glob(pattern, 0, NULL, &found) != 0) {
		return 0;
	}
	for (; count < found.gl_pathc && count < 64; count++) {
		snprintf(names[count], 64, "%s", strrchr(found.gl_pathv[count], '/') + 1);
	}
	globfree(&found);
	return count;
}

static void test_rotten_file_among_others(void)
{
	char dir[300], names[64][64];
	snprintf(dir, sizeof(dir), "%s/several", tap_dir());
	struct store *store = open_store(dir, NULL);
	uint64_t durable;
	for (uint64_t index = 1; index <= THREES; index++) {
		apply_three(store, index);
		store_flush(store, &durable, NULL);
	}
	size_t count = 64;
	for (int i = 0; i < 600 && count > 16; i++) { /* a merge is under way */
		usleep(50000);
		count = table_files(dir, names);
	}
	store_close(store, true);
	count = table_files(dir, names);
	ok(count >= 3 && count < 16, "young files were merged into several: %zu", count);
	for (size_t i = 0; i < count; i++) {
		walk_finds_rot(dir, names[i]);
	}
}

/* A file system of 6 MiB, where a container lets us have one. */
static bool mount_small(const char *dir)
{
	mkdir(dir, 0700);
	return unshare(CLONE_NEWNS) == 0 && mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", dir, "tmpfs", 0, "size=6m") == 0;
}

/* A ramfs knows no direct writes. The unshared mounts of test_no_space are still ours. */
static void test_indirect(void)
{
	char dir[300], db[320];
	snprintf(dir, sizeof(dir), "%s/ram", tap_dir());
	mkdir(dir, 0700);
	if (mount("ramfs", dir, "ramfs", 0, NULL) != 0) {
		tap_skip("writes through the page cache: this test needs the right to mount a ramfs");
		return;
	}
	snprintf(db, sizeof(db), "%s/db", dir);
	struct store *store = open_store(db, NULL);
	uint64_t durable = 0;
	apply_one(store, 1);
	is_int(store_flush(store, &durable, NULL), 0,
	       "a file system without direct writes takes a flush too");
	store_close(store, false);
	store = open_store(db, NULL);
	ok(durable == 1 && holds(store, "key-000001", "value-1"), "and what it took is read again");
	store_close(store, false);
	umount(dir);
}

static void fill(const char *path)
{
	static const uint8_t zeroes[4096];
	FILE *file = fopen(path, "a");
	while (file != NULL && fwrite(zeroes, sizeof(zeroes), 1, file) == 1 && fflush(file) == 0) {
	}
	if (file != NULL) {
		fclose(file);
	}
}

static void test_no_space(void)
{
	char dir[300], filler[400];
	snprintf(dir, sizeof(dir), "%s/small", tap_dir());
	if (!mount_small(dir)) {
		tap_skip("no space left: this test needs the right to mount a tmpfs");
		return;
	}
	snprintf(filler, sizeof(filler), "%s/filler", dir);
	char db[320];
	snprintf(db, sizeof(db), "%s/db", dir);
	struct store *store = open_store(db, NULL);
	int status = 0;
	uint64_t index = 0, durable;
	/* RocksDB gives room back behind our back (files it preallocated): fill until nothing is left. */
	for (int tries = 0; status == 0 && tries < 50; tries++) {
		fill(filler);
		apply_one(store, ++index);
		status = store_flush(store, &durable, NULL);
	}
	char last[24];
	snprintf(last, sizeof(last), "%" PRIu64, index);
	is_int(status, ERR_NO_SPACE, "a flush on a full disk says that there is no space");
	is_int(apply_one(store, index + 1), ERR_NO_SPACE, "an apply behind it says the same");
	ok(holds(store, "last", last), "reads go on");
	struct store_stats stats;
	store_stats(store, &stats);
	ok(stats.no_space, "and the figures tell");
	unlink(filler);
	for (int tries = 0; tries < 120 && status != 0; tries++) {
		status = apply_one(store, index + 1);
		if (status != 0) {
			usleep(250000);
		}
	}
	is_int(status, 0, "when space returns the same apply succeeds");
	is_int(store_flush(store, &durable, NULL), 0, "and so does a flush");
	is_int(durable, index + 1, "which makes both durable");
	store_close(store, false);
	umount(dir);
}

/* Its blocks are no larger than it bears: RocksDB takes one that holds a block for full. */
static void test_small_memtable(void)
{
	char dir[300], rows[32];
	snprintf(dir, sizeof(dir), "%s/small", tap_dir());
	struct store_config config = {.dir = dir, .memtable_bytes = KIB(64), .cache_bytes = MIB(1)};
	struct store *store = NULL;
	is_int(store_open(&config, &store, NULL), 0, "a store with the smallest memtable opens");
	for (uint64_t index = 1; index <= 20; index++) {
		apply_one(store, index);
	}
	char *text = rocksdb_property_value(store->db, "rocksdb.num-entries-active-mem-table");
	snprintf(rows, sizeof(rows), "%s", text);
	rocksdb_free(text);
	is_int(atoi(rows), 60, "which keeps what is written: 20 batches of two rows and a meta record");
	store_close(store, false);
}

int main(void)
{
	test_no_space(); /* first: a thread has the mounts of its birth, and RocksDB keeps its threads */
	test_indirect();
	struct store_disk *disk = store_disk_new();
	test_meta(disk);
	test_crash(disk);
	test_deletes(disk);
	test_cursor(disk);
	test_hash(disk);
	store_disk_free(disk);
	store_disk_free(NULL);
	store_close(NULL, true);
	test_real_disk();
	test_options();
	test_backlog();
	test_small_memtable();
	test_corruption();
	test_rotten_file_among_others();
	return tap_done();
}

/* The log on a disk that loses power: what was reported durable is there again. */
#include "raft/wal/wal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/prng.h"
#include "raft/wal/segment.h"
#include "tests/lib/disk_env.h"
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"

#define LOG_ID 77
#define INDEX_MAX 4096

/* A log and what is believed about it: content is a function of (index, version). */
struct story {
	struct disk *disk;
	struct env *env;
	struct wal *wal;
	uint64_t segment_bytes, cache_bytes, floor;
	struct chain chain[INDEX_MAX]; /* of each entry, as appended last */
	uint64_t last, durable, term;
	unsigned falls; /* reports that were lower than the one before */
	bool failed, closed;
	char line[600];
};

static void on_durable(void *owner, uint64_t index)
{
	struct story *story = owner;
	story->falls += index < story->durable;
	story->durable = index;
}

static void on_failed(void *owner, const char *line)
{
	struct story *story = owner;
	story->failed = true;
	snprintf(story->line, sizeof(story->line), "%s", line);
}

static void on_closed(void *owner)
{
	((struct story *)owner)->closed = true;
}

static int story_open(struct story *story, struct err *err)
{
	story->env = disk_env_new(story->disk);
	struct wal_config config = {
		.env = story->env,
		.dir = "d",
		.log_id = LOG_ID,
		.segment_bytes = story->segment_bytes,
		.cache_bytes = story->cache_bytes,
		.floor = story->floor,
		.on_durable = on_durable,
		.on_failed = on_failed,
		.owner = story,
	};
	story->failed = story->closed = false;
	int status = wal_open(&config, &story->wal, err);
	if (status != 0) {
		story->wal = NULL;
		disk_env_free(story->env);
		story->env = NULL;
		return status;
	}
	story->last = story->durable = wal_last_index(story->wal);
	wal_start(story->wal);
	return 0;
}

static void story_init(struct story *story, struct disk *disk, uint64_t segment_bytes)
{
	*story = (struct story){
		.disk = disk, .segment_bytes = segment_bytes, .cache_bytes = MIB(1), .term = 1};
}

/* As a process that is killed: what is in the cache of the disk stays. */
static void story_kill(struct story *story)
{
	if (story->env == NULL) {
		return;
	}
	disk_env_kill(story->env);
	wal_free(story->wal);
	disk_env_free(story->env);
	story->wal = NULL;
	story->env = NULL;
}

static void story_close(struct story *story)
{
	wal_close(story->wal, on_closed);
	disk_env_run(story->env);
	assert(story->closed);
	wal_free(story->wal);
	disk_env_free(story->env);
	story->wal = NULL;
	story->env = NULL;
}

static void append_sized(struct story *story, size_t len)
{
	uint8_t *bytes = malloc(len + 1);
	uint64_t index = story->last + 1;
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (uint8_t)(index * 31 + story->term * 7 + i);
	}
	struct entry *entry = entry_new(ENTRY_COMMAND, slice_of(bytes, len));
	entry->index = index;
	entry->term = story->term;
	entry->chain =
		chain_next(wal_chain(story->wal), index, entry->term, entry->type, entry_payload(entry));
	story->chain[index] = entry->chain;
	story->last = index;
	wal_append(story->wal, entry);
	entry_unref(entry);
	free(bytes);
}

static void append(struct story *story, unsigned count)
{
	while (count-- > 0) {
		append_sized(story, 20 + story->last % 50);
	}
	wal_flush(story->wal);
}

static void truncate_to(struct story *story, uint64_t index)
{
	wal_truncate(story->wal, index);
	story->last = index - 1;
	story->durable = story->durable < index ? story->durable : index - 1;
	story->term++;
}

/* Every entry up to index is held with the content that was appended last. */
static bool holds(struct story *story, uint64_t index)
{
	if (wal_last_index(story->wal) < index) {
		return false;
	}
	for (uint64_t i = wal_first_index(story->wal); i <= index; i++) {
		struct entry *entry;
		if (wal_load(story->wal, i, &entry) != 0) {
			return false;
		}
		bool same = chain_equal(entry->chain, story->chain[i]) && entry->index == i;
		entry_unref(entry);
		if (!same) {
			return false;
		}
	}
	return true;
}

/* A life in which so many entries were written, and its polite end. */
static void story_live(struct story *story, struct disk *disk, uint64_t segment_bytes, unsigned count)
{
	story_init(story, disk, segment_bytes);
	story_open(story, NULL);
	append(story, count);
	disk_env_run(story->env);
	story_close(story);
}

static void test_round_trip(void)
{
	struct disk *disk = disk_new(1);
	struct story story;
	story_init(&story, disk, KIB(4));
	ok(story_open(&story, NULL) == 0, "an empty directory opens as an empty log");
	ok(wal_was_empty(story.wal), "it says that it was empty");
	append(&story, 100);
	ok(story.durable == 0, "nothing is durable before the lane ran");
	disk_env_run(story.env);
	is_int(story.durable, 100, "all is durable when the lane is done");
	ok(holds(&story, 100), "every entry is held");
	struct wal_stats stats;
	wal_stats(story.wal, &stats);
	ok(stats.segments > 1, "a full segment is followed by the next one");
	story_close(&story);
	ok(story_open(&story, NULL) == 0 && wal_last_index(story.wal) == 100 && holds(&story, 100),
	   "after a restart every entry is there again");
	ok(!wal_was_empty(story.wal) && wal_durable_index(story.wal) == 100, "and durable");
	truncate_to(&story, 91);
	append(&story, 5);
	disk_env_run(story.env);
	is_int(story.durable, 95, "a truncated log goes on at the place");
	story_kill(&story);
	ok(story_open(&story, NULL) == 0 && wal_last_index(story.wal) == 95 && holds(&story, 95),
	   "a truncation survives a restart");
	is_int(wal_term_of(story.wal, 95), 2, "terms are known behind it");
	is_int(wal_term_of(story.wal, 90), 1, "and before it");
	story_close(&story);
	disk_free(disk);
}

static void test_group_commit(void)
{
	struct disk *disk = disk_new(2);
	struct story story;
	struct wal_stats stats;
	story_init(&story, disk, KIB(64));
	story_open(&story, NULL);
	disk_env_run(story.env);
	append(&story, 1);
	append(&story, 30);
	disk_env_run(story.env);
	wal_stats(story.wal, &stats);
	is_int(stats.syncs, 2, "what is appended while a sync is under way goes out with one more sync");
	is_int(story.durable, 31, "and is durable with it");
	wal_hold(story.wal, true);
	append(&story, 1);
	disk_env_run(story.env);
	is_int(story.durable, 31, "while a vote holds the log nothing is written");
	wal_hold(story.wal, false);
	disk_env_run(story.env);
	is_int(story.durable, 32, "it is written when the vote is durable");
	append_sized(&story, KIB(200));
	wal_flush(story.wal);
	disk_env_run(story.env);
	is_int(story.durable, 33, "an entry larger than a segment gets a segment of its size");
	story_kill(&story);
	ok(story_open(&story, NULL) == 0 && holds(&story, 33), "and is read back");
	story_close(&story);
	disk_free(disk);
}

static void test_truncation_clamps(void)
{
	struct disk *disk = disk_new(3);
	struct story story;
	story_init(&story, disk, KIB(64));
	story_open(&story, NULL);
	append(&story, 10);
	disk_env_run(story.env);
	append(&story, 5); /* under way */
	truncate_to(&story, 12);
	append(&story, 1);
	disk_env_step(story.env);
	is_int(story.durable, 11, "a write under way reports nothing that was truncated meanwhile");
	disk_env_run(story.env);
	is_int(story.durable, 12, "the entry that took its place is reported by its own write");
	ok(story.falls == 0, "reports rise");
	wal_hold(story.wal, true);
	append(&story, 3);
	truncate_to(&story, 13);
	append(&story, 1);
	wal_hold(story.wal, false);
	disk_env_run(story.env);
	is_int(story.durable, 13, "entries truncated before they were written are not reported");
	/* More than one write takes: the truncation is not in the first of them. */
	wal_hold(story.wal, true);
	for (unsigned i = 0; i < 6; i++) {
		append_sized(&story, MIB(1));
	}
	truncate_to(&story, 14);
	append(&story, 1);
	wal_hold(story.wal, false);
	bool early = false;
	while (disk_env_step(story.env)) {
		struct entry *entry = wal_recent(story.wal, 14);
		early |= story.durable > 14 ||
			 (story.durable == 14 && !chain_equal(entry->chain, story.chain[14]));
		early |= story.durable == 14 && wal_pending_bytes(story.wal) > MIB(1);
	}
	ok(!early && story.durable == 14, "not even when the truncation goes out with a later write");
	truncate_to(&story, 14);
	wal_flush(story.wal);
	disk_env_run(story.env);
	story_kill(&story);
	ok(story_open(&story, NULL) == 0 && wal_last_index(story.wal) == 13 && holds(&story, 13),
	   "nor read back");
	story_close(&story);
	disk_free(disk);
}

static bool truncation_clamps(void *owner)
{
	test_truncation_clamps();
	return tap_done() == 0;
}

struct reader {
	struct wal_read read;
	unsigned called;
	int status;
	uint64_t first, count;
	bool right;
	struct story *story;
};

static void read_cb(struct wal_read *read, int status)
{
	struct reader *reader = list_entry(read, struct reader, read);
	reader->called++;
	reader->status = status;
	reader->first = read->first;
	reader->count = read->count;
	reader->right = true;
	for (size_t i = 0; i < read->count; i++) {
		struct entry *entry = read->entries[i];
		reader->right &= entry->index == read->first + i &&
				 chain_equal(entry->chain, reader->story->chain[entry->index]);
		entry_unref(entry);
	}
}

static void test_old_entries(void)
{
	struct disk *disk = disk_new(4);
	struct story story;
	story_init(&story, disk, KIB(8));
	story.cache_bytes = KIB(2);
	story_open(&story, NULL);
	append(&story, 200);
	disk_env_run(story.env);
	ok(wal_recent(story.wal, 1) != NULL, "what is above the floor stays in memory");
	wal_set_floor(story.wal, 150);
	ok(wal_recent(story.wal, 1) == NULL && wal_recent(story.wal, 151) != NULL,
	   "below the floor the oldest leave when the cache is full");
	struct reader reader = {.story = &story, .read.cb = read_cb};
	uint64_t next = 1;
	unsigned rounds = 0;
	while (next <= 150 && rounds++ < 200) {
		unsigned before = reader.called;
		wal_read_start(story.wal, &reader.read, next, 150);
		disk_env_run(story.env);
		if (reader.called != before + 1 || reader.status != 0 || !reader.right ||
		    reader.first != next) {
			break;
		}
		if (reader.read.before_known && next > 1 &&
		    !chain_equal(reader.read.before, story.chain[next - 1])) {
			break;
		}
		next += reader.count;
	}
	is_int(next, 151, "they are read back by a lane, in order, with the chain in front");
	uint64_t point = wal_trim_point(story.wal, 150, 150, 0);
	ok(point > 1 && point <= 151, "segments wholly behind the database may go");
	is_int(wal_trim_point(story.wal, 150, 0, MIB(1)), 1, "but not while a member lags and there is room");
	ok(wal_trim_point(story.wal, 150, 0, KIB(12)) > 1, "unless that costs more than keep_bytes");
	wal_trim(story.wal, point);
	disk_env_run(story.env);
	is_int(wal_first_index(story.wal), point, "then the log begins behind them");
	struct chain chain = story.chain[point - 1];
	story.floor = 150;
	story_kill(&story);
	ok(story_open(&story, NULL) == 0, "a trimmed log opens");
	ok(wal_first_index(story.wal) <= point && wal_last_index(story.wal) == 200 && holds(&story, 200),
	   "and holds the rest");
	struct chain front;
	if (wal_first_index(story.wal) == point && wal_chain_of(story.wal, point - 1, &front)) {
		ok(chain_equal(front, chain), "its chain goes on from what was trimmed");
	}
	story_close(&story);
	disk_free(disk);
}

/* A script of appends, truncations and restarts, the same for every point of the cut. */
static void script(struct story *story)
{
	append(story, 3);
	disk_env_run(story->env);
	append(story, 1);
	append(story, 12);
	disk_env_step(story->env);
	append(story, 4);
	disk_env_run(story->env);
	truncate_to(story, story->durable > 0 ? story->durable : 1);
	append(story, 2);
	disk_env_run(story->env);
	disk_env_advance(story->env, 300);
	append_sized(story, 1500);
	wal_flush(story->wal);
	append(story, 8);
	disk_env_run(story->env);
}

static void test_power_cuts(void)
{
	uint64_t changes = 0, wrong = 0, refused = 0, runs = 0;
	for (enum disk_loss loss = DISK_LOSE_ALL; loss <= DISK_LOSE_SOME; loss++) {
		for (uint64_t at = 1; at < 400; at++) {
			unsigned luck_max = loss == DISK_LOSE_SOME ? 12 : 1;
			bool ended = false;
			for (unsigned luck = 0; luck < luck_max; luck++) {
				struct disk *disk = disk_new(at * 100 + luck);
				struct story story;
				struct err err = {0};
				story_init(&story, disk, KIB(2));
				disk_cut_at(disk, at);
				if (story_open(&story, &err) == 0) {
					script(&story);
				}
				ended = !disk_is_cut(disk);
				changes = disk_changes(disk);
				uint64_t durable = story.durable;
				story_kill(&story);
				disk_recover(disk, loss);
				runs++;
				/* And once more in the middle of the recovery. */
				disk_cut_at(disk, disk_changes(disk) + 1 + (at + luck) % 9);
				err = (struct err){0};
				if (story_open(&story, &err) != 0 && err.code == ERR_CORRUPT) {
					refused++;
					tap_note("at %llu: %s", (unsigned long long)at, err.text);
				}
				story_kill(&story);
				disk_recover(disk, loss);
				err = (struct err){0};
				if (story_open(&story, &err) != 0) {
					refused++;
					tap_note("at %llu: %s", (unsigned long long)at, err.text);
				} else {
					bool good = holds(&story, durable);
					wrong += !good;
					append(&story, 1);
					disk_env_run(story.env);
					wrong += story.durable != story.last;
				}
				story_kill(&story);
				disk_free(disk);
			}
			if (ended) {
				break;
			}
		}
	}
	tap_note("%llu runs over %llu changes", (unsigned long long)runs, (unsigned long long)changes);
	ok(changes > 30 && runs > 300, "the power was cut at every change, and again during recovery");
	is_int(wrong, 0, "what was reported durable is there, whatever unsynced sectors did");
	is_int(refused, 0, "a torn tail is no bit rot: the log opens");
}

static void test_bit_rot(void)
{
	struct disk *disk = disk_new(5);
	struct story story;
	story_init(&story, disk, KIB(2));
	story_open(&story, NULL);
	script(&story);
	uint64_t durable = story.durable;
	story_close(&story);
	uint64_t flips = 0, silent = 0, found = 0;
	char text[600] = "";
	const char *name;
	for (size_t i = 0; (name = disk_name(disk, i)) != NULL; i++) {
		size_t len;
		disk_bytes(disk, name, &len);
		for (size_t at = 0; at < len; at++) {
			struct disk *damaged = disk_copy(disk);
			size_t same;
			disk_bytes(damaged, name, &same)[at] ^= (uint8_t)(1u << (at * 7 + i) % 8);
			struct story again;
			struct err err = {0};
			memcpy(&again, &story, sizeof(again));
			again.disk = damaged;
			int status = story_open(&again, &err);
			flips++;
			if (status == ERR_CORRUPT) {
				found++;
				snprintf(text, sizeof(text), "%s", err.text);
			} else if (status != 0 || !holds(&again, durable)) {
				silent++;
				tap_note("%s at %zu of %zu: status %d", name, at, len, status);
			}
			story_kill(&again);
			disk_free(damaged);
		}
	}
	tap_note("%llu flips, %llu refused: %s", (unsigned long long)flips, (unsigned long long)found, text);
	is_int(silent, 0, "a flipped bit in any byte is found, or harms nothing");
	ok(found > flips / 4, "and found in what was durable");
	ok(strstr(text, "corrupt log at index") != NULL, "the message names the index");
	disk_free(disk);
}

/* The process was killed: no mark proves the last group. */
static void test_bit_rot_at_end(void)
{
	struct disk *disk = disk_new(5);
	struct story story;
	story_init(&story, disk, KIB(2));
	story_open(&story, NULL);
	script(&story);
	uint64_t durable = story.durable;
	story_kill(&story);
	uint64_t flips = 0, lost = 0, again_lost = 0;
	const char *name;
	for (size_t i = 0; (name = disk_name(disk, i)) != NULL; i++) {
		size_t len;
		disk_bytes(disk, name, &len);
		for (size_t at = 0; at < len; at++) {
			struct disk *damaged = disk_copy(disk);
			size_t same;
			disk_bytes(damaged, name, &same)[at] ^= (uint8_t)(1u << (at * 5 + i) % 8);
			struct story again;
			struct err err = {0};
			memcpy(&again, &story, sizeof(again));
			again.disk = damaged;
			int status = story_open(&again, &err);
			flips++;
			if (status != ERR_CORRUPT && (status != 0 || !holds(&again, durable))) {
				lost++;
				tap_note("%s at %zu of %zu: status %d", name, at, len, status);
			}
			story_kill(&again);
			/* What was mended is written again: the next start needs no mending. */
			if (status == 0 && (story_open(&again, &err) != 0 || !holds(&again, durable))) {
				again_lost++;
			}
			story_kill(&again);
			disk_free(damaged);
		}
	}
	tap_note("%llu flips", (unsigned long long)flips);
	is_int(lost, 0,
	       "a flipped bit in any byte, the newest group too, costs nothing that was acknowledged");
	is_int(again_lost, 0, "nor at the next start");
	disk_free(disk);
}

/* The newest file that has a head; its length in *len. */
static uint8_t *newest_segment(struct disk *disk, size_t *len)
{
	uint8_t *newest = NULL;
	const char *name;
	for (size_t i = 0; (name = disk_name(disk, i)) != NULL; i++) {
		unsigned long long number;
		size_t bytes_len;
		uint8_t *bytes = disk_bytes(disk, name, &bytes_len);
		struct segment_head head;
		if (sscanf(name, "d/%16llx.log", &number) == 1 &&
		    segment_head_decode(slice_of(bytes, bytes_len), number, &head) == 0) {
			newest = bytes;
			*len = bytes_len;
		}
	}
	return newest;
}

/* One bit has flipped, and the power is cut at each change of the start that mends it. */
static unsigned mend_cut(const struct story *killed, size_t at, enum disk_loss loss)
{
	unsigned wrong = 0;
	bool ended = false;
	for (uint64_t cut = 1; !ended; cut++) {
		size_t len;
		uint8_t *byte = newest_segment(killed->disk, &len) + at, was = *byte;
		*byte ^= (uint8_t)(1u << (at * 5 + cut) % 8);
		struct disk *disk = disk_copy(killed->disk); /* the flipped bit is durable there */
		*byte = was;
		struct story story = *killed;
		struct err err = {0};
		story.disk = disk;
		disk_cut_at(disk, disk_changes(disk) + cut);
		int status = story_open(&story, &err);
		ended = !disk_is_cut(disk);
		bool refused = status == ERR_CORRUPT; /* something proves it: nothing is mended, nor lost */
		story_kill(&story);
		disk_recover(disk, loss);
		for (unsigned again = 0; again < 2 && !refused; again++) {
			err = (struct err){0};
			status = story_open(&story, &err);
			if (status != 0 || !holds(&story, killed->durable)) {
				wrong++;
				tap_note("at %zu, cut %llu, start %u: %s", at, (unsigned long long)cut, again,
					 err.text);
			}
			story_kill(&story);
		}
		disk_free(disk);
	}
	return wrong;
}

/* The newest segment holds no group but its mark, one, two, or more; its first ones came with its head. */
static void test_mend_power_cuts(size_t step)
{
	unsigned wrong = 0, flips = 0;
	for (unsigned groups = 0; groups < 10; groups++) {
		struct disk *disk = disk_new(6);
		struct story story;
		story_init(&story, disk, KIB(1));
		story_open(&story, NULL);
		for (unsigned i = 0; i < groups; i++) {
			append(&story, 1 + i % 2);
			disk_env_run(story.env);
		}
		story_kill(&story);
		size_t len = 0;
		newest_segment(disk, &len);
		for (size_t at = groups % step; at < len; at += step) {
			flips++;
			wrong += mend_cut(&story, at, flips % 3 == 0 ? DISK_LOSE_ALL : DISK_LOSE_SOME);
		}
		disk_free(disk);
	}
	tap_note("%u flips", flips);
	ok(flips > 100 && wrong == 0,
	   "nor is anything lost when the power is cut during the start that turns a bit back (%u)", wrong);
}

/* A write of three records, torn inside of a sector; the third begins at the next one. */
static void test_torn_inside_sector(void)
{
	struct disk *disk = disk_new(9);
	struct story story;
	struct err err = {0};
	story_init(&story, disk, KIB(4));
	story_open(&story, NULL);
	append(&story, 1);
	disk_env_run(story.env);
	append_sized(&story, SEGMENT_SECTOR - 3 * RECORD_HEAD);
	append_sized(&story, 72);
	append_sized(&story, 72);
	wal_flush(story.wal);
	disk_env_run(story.env);
	story_kill(&story);
	size_t len = 0, at = SEGMENT_HEAD;
	uint8_t *bytes = newest_segment(disk, &len);
	uint64_t number = bytes_u64(bytes + 24);
	struct record record = {.index = 0};
	while (record_head_decode(slice_of(bytes, len), 0, number, at, &record) != 0 || record.index != 3) {
		at += 8;
		assert(at < len);
	}
	ok((at + record_bytes(record.len)) % SEGMENT_SECTOR == 0,
	   "the second record of a write ends where a sector does");
	memset(bytes + at, 0, record_bytes(record.len));
	bool opens = story_open(&story, &err) == 0;
	ok(opens && story.last == 2 && holds(&story, 2),
	   "a write that was torn in front of there is no bit rot");
	if (!opens) {
		tap_note("%s", err.text);
	}
	story_kill(&story);
	disk_free(disk);
}

static void test_failures(void)
{
	for (int kind = 0; kind < 2; kind++) {
		struct disk *disk = disk_new(6);
		struct story story;
		story_init(&story, disk, KIB(64));
		story_open(&story, NULL);
		append(&story, 5);
		disk_env_run(story.env);
		if (kind == 0) {
			disk_fail_write(disk, 1);
		} else {
			disk_fail_sync(disk, 1);
		}
		append(&story, 5);
		disk_env_run(story.env);
		ok(story.failed && story.durable == 5, "a failed %s is told, and nothing of it is durable",
		   kind == 0 ? "write" : "sync");
		append(&story, 5);
		disk_env_run(story.env);
		is_int(story.durable, 5, "afterwards nothing is written");
		story_kill(&story);
		ok(story_open(&story, NULL) == 0 && holds(&story, 5),
		   "the next start holds what was durable");
		uint64_t told = wal_durable_index(story.wal);
		story_kill(&story);
		disk_recover(disk, DISK_LOSE_ALL);
		ok(story_open(&story, NULL) == 0 && holds(&story, told),
		   "what that start calls durable survives a power cut: it was written again");
		story_close(&story);
		disk_free(disk);
	}
}

static void nothing(struct env_work *work) {}

/* A moment in which the lane of the log has work and that of its space has not begun. */
static void pass(struct story *story)
{
	struct env_work work = {.run = nothing, .done = nothing};
	env_lane_submit(wal_lane(story->wal), &work);
	disk_env_step(story->env);
}

static void test_stall(void)
{
	struct disk *disk = disk_new(10);
	struct story story;
	story_init(&story, disk, KIB(4));
	story_open(&story, NULL);
	disk_env_run(story.env);
	for (unsigned i = 0; i < 2; i++) {
		append_sized(&story, 3000);
		wal_flush(story.wal);
		disk_env_step(story.env);
	}
	ok(story.durable == 2 && wal_stalled_us(story.wal) == 0, "what was written has not stalled");
	append_sized(&story, 3000);
	wal_flush(story.wal);
	pass(&story);
	ok(wal_stalled_us(story.wal) > 0, "what waits for the next segment has, as a write that takes long");
	disk_env_run(story.env);
	ok(story.durable == 3 && wal_stalled_us(story.wal) == 0, "until it is made ready");
	story_close(&story);
	disk_free(disk);
}

static void test_no_space(void)
{
	struct disk *disk = disk_new(7);
	struct story story;
	story_init(&story, disk, KIB(4));
	story_open(&story, NULL);
	disk_env_run(story.env);
	disk_fill(disk, true);
	append(&story, 300);
	disk_env_run(story.env);
	struct wal_stats stats;
	wal_stats(story.wal, &stats);
	ok(stats.no_space && !story.failed, "no space for the next segment is not truth lost");
	ok(story.durable > 0 && story.durable < 300 && wal_pending_bytes(story.wal) > 0,
	   "what has no room waits");
	is_int(wal_stalled_us(story.wal), 0, "and is told from what has stalled");
	disk_fill(disk, false);
	disk_env_advance(story.env, 1500);
	is_int(story.durable, 300, "it is written when there is space again");
	disk_fill(disk, true);
	append(&story, 300);
	disk_env_run(story.env);
	story_close(&story);
	ok(true, "a log without space closes");
	disk_free(disk);
	disk = disk_new(7);
	disk_fill(disk, true);
	story_init(&story, disk, KIB(4));
	struct err err = {0};
	ok(story_open(&story, &err) == ERR_NO_SPACE &&
		   strstr(err.text, "a segment of the log takes 4 KiB at once; free space, or set segment smaller") != NULL,
	   "a new one that finds none says how much it asks for, and what to set");
	story_kill(&story);
	disk_free(disk);
}

static unsigned files_named(struct disk *disk, const char *ending)
{
	unsigned count = 0;
	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		count += strstr(disk_name(disk, i), ending) != NULL;
	}
	return count;
}

/* Writes count entries and gives up what is behind them, as a database does that makes them durable. */
static void write_and_trim(struct story *story, unsigned count)
{
	append(story, count);
	disk_env_run(story->env);
	wal_set_floor(story->wal, story->durable);
	wal_trim(story->wal, wal_trim_point(story->wal, story->durable, story->durable, 0));
	disk_env_run(story->env);
}

static void test_reuse(void)
{
	struct disk *disk = disk_new(9);
	struct story story;
	struct err err = {0};
	story_init(&story, disk, KIB(4));
	story_open(&story, NULL);
	disk_env_run(story.env);
	is_int(files_named(disk, ".free"), 1, "a new log has a segment beyond the next one");
	write_and_trim(&story, 300);
	unsigned free_files = files_named(disk, ".free"), segments = files_named(disk, ".log");
	ok(free_files > 1 && free_files <= 4 && segments <= 2,
	   "trimmed segments wait to be used again: %u of %u", free_files, segments);
	disk_fill(disk, true);
	for (unsigned i = 0; i < 30; i++) {
		write_and_trim(&story, 40);
	}
	is_int(story.durable, 1500, "on a full disk a log that is trimmed goes on in its old segments");
	story_close(&story);
	disk_fill(disk, false);
	ok(story_open(&story, &err) == 0 && holds(&story, 1500),
	   "and is read again, whatever lies behind its end: %s", err.text);
	disk_fill(disk, true);
	for (unsigned i = 0; i < 10; i++) {
		write_and_trim(&story, 40);
	}
	is_int(story.durable, 1900, "free segments of an earlier life are used");
	story_close(&story);
	disk_free(disk);
}

static void test_short_when_closed(void)
{
	struct disk *disk = disk_new(13);
	struct story story;
	struct err err = {0};
	size_t bytes = 0, len = 0;
	story_live(&story, disk, KIB(256), 20);
	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		if (strstr(disk_name(disk, i), ".log") != NULL) {
			disk_bytes(disk, disk_name(disk, i), &len);
			bytes += len;
		}
	}
	ok(bytes > 0 && bytes <= KIB(4), "a log that was closed is no longer than what it holds: %zu bytes",
	   bytes);
	ok(story_open(&story, &err) == 0 && holds(&story, 20), "and is read again: %s", err.text);
	append(&story, 20);
	disk_env_run(story.env);
	is_int(story.durable, 40, "and goes on");
	story_close(&story);
	disk_free(disk);
}

static void test_full_start(void)
{
	struct disk *disk = disk_new(11);
	struct story story;
	struct err err = {0};
	story_init(&story, disk, KIB(4));
	story_open(&story, NULL);
	write_and_trim(&story, 300);
	story_close(&story);
	disk_fill(disk, true);
	ok(files_named(disk, ".free") > 0 && story_open(&story, &err) == 0 && holds(&story, 300),
	   "a log with a free segment starts on a full disk, too: %s", err.text);
	story_close(&story);
	disk_free(disk);
}

/* A name that no trim gives: its segment is in use. */
static void test_foreign_free(void)
{
	struct disk *disk = disk_new(12);
	struct story story;
	struct err err = {0};
	story_live(&story, disk, KIB(2), 100);
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	env_file_open(env, "d/0000000000000002.free", ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	env_file_close(file);
	env_dir_sync(env, "d");
	disk_env_free(env);
	ok(story_open(&story, &err) == 0 && holds(&story, 100), "a free file takes no segment's place: %s",
	   err.text);
	story_close(&story);
	ok(story_open(&story, &err) == 0 && holds(&story, 100), "nor at the next start: %s", err.text);
	story_close(&story);
	disk_free(disk);
}

/* Segment 3 of a copy is missing, and the database holds everything up to floor. 0: every read succeeds. */
static int open_with_gap(struct disk *disk, uint64_t floor, uint64_t fail_read, struct story *story,
			 struct err *err)
{
	struct disk *copy = disk_copy(disk);
	struct env *env = disk_env_new(copy);
	env_unlink(env, "d/0000000000000003.log");
	disk_env_free(env);
	disk_fail_read(copy, fail_read);
	story->disk = copy;
	story->floor = floor;
	return story_open(story, err);
}

static void test_gap(void)
{
	struct disk *disk = disk_new(10);
	struct story story;
	struct err err = {0};
	story_live(&story, disk, KIB(2), 100);
	size_t len;
	struct segment_head head = {0};
	const uint8_t *bytes = disk_bytes(disk, "d/0000000000000004.log", &len);
	segment_head_decode(slice_of(bytes, len), 4, &head);
	ok(open_with_gap(disk, head.first_index - 2, 0, &story, &err) == ERR_CORRUPT &&
		   strstr(err.text, "missing") != NULL,
	   "a gap is truth lost when the database misses one entry of it");
	disk_free(story.disk);
	ok(open_with_gap(disk, head.first_index - 1, 0, &story, &err) == 0 &&
		   wal_first_index(story.wal) == head.first_index && holds(&story, 100),
	   "a gap below what the database holds is none: the log begins behind it");
	struct disk *gap = story.disk;
	append(&story, 50);
	disk_env_run(story.env);
	ok(files_named(gap, "0001.log") + files_named(gap, "0002.log") == 0, "what lay below it is removed");
	story_close(&story);
	ok(story_open(&story, &err) == 0 && holds(&story, 150), "and the log goes on");
	story_close(&story);
	disk_free(gap);
	disk_free(disk);
}

/* The gap is harmless, whatever cannot be read. */
static void test_gap_behind_a_failing_disk(void)
{
	struct disk *disk = disk_new(10);
	struct story story;
	struct err err = {0};
	unsigned told_missing = 0, told_unreadable = 0;
	story_live(&story, disk, KIB(2), 100);
	for (uint64_t count = 1;; count++) {
		int status = open_with_gap(disk, 90, count, &story, &err);
		if (status == 0) {
			story_close(&story);
			disk_free(story.disk);
			break;
		}
		told_missing += strstr(err.text, "missing") != NULL;
		told_unreadable += status == ERR_IO && strstr(err.text, "cannot read d/0000") != NULL;
		disk_free(story.disk);
	}
	ok(told_unreadable > 0, "a segment that cannot be read is told as that");
	is_int(told_missing, 0, "and not as one that is missing, also when it lies behind a gap");
	disk_free(disk);
}

/* What a power cut leaves that took the head of a new segment while the next one was ready: two files behind
 * the log that never held anything. */
static void leave_two_unused(struct story *story, struct disk *disk, bool trimmed)
{
	char last[64] = "", path[64];
	story_init(story, disk, KIB(2));
	story_open(story, NULL);
	append(story, 60);
	disk_env_run(story->env);
	if (trimmed) {
		wal_set_floor(story->wal, 40);
		wal_trim(story->wal, wal_trim_point(story->wal, 40, 40, 0));
		disk_env_run(story->env);
		story->floor = 40;
	}
	story_close(story);
	for (size_t i = 0; disk_name(disk, i) != NULL; i++) {
		if (strstr(disk_name(disk, i), ".log") != NULL) {
			snprintf(last, sizeof(last), "%s", disk_name(disk, i));
		}
	}
	snprintf(path, sizeof(path), "d/%016llx.log", strtoull(last + 2, NULL, 16) + 1);
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	env_file_open(env, path, ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	env_file_close(file);
	env_dir_sync(env, "d");
	disk_env_free(env);
}

/* sim 1803000330: the next start took both away in one sync of the directory. The power went, and the one that
 * came back was the last: the first, in whose place the log was to go on, was called missing. */
static void test_unused_and_power_cuts(bool trimmed)
{
	unsigned refused = 0, cuts = 0;
	uint64_t at = 1;
	for (bool ended = false; !ended; at++) {
		for (uint64_t luck = 1; luck <= 32; luck++) {
			struct disk *disk = disk_new(at * 100 + luck);
			struct story story;
			struct err err = {0};
			leave_two_unused(&story, disk, trimmed);
			disk_cut_at(disk, disk_changes(disk) + at);
			ended = story_open(&story, &err) == 0;
			cuts += !ended;
			story_kill(&story);
			disk_recover(disk, DISK_LOSE_SOME);
			err = (struct err){0};
			bool opens = story_open(&story, &err) == 0;
			if ((!opens || !holds(&story, 60)) && refused++ == 0) {
				tap_note("the power went at change %llu of a start: %s",
					 (unsigned long long)at, err.text);
			}
			story_kill(&story);
			disk_free(disk);
		}
	}
	ok(refused == 0 && cuts > 0,
	   "a start that goes on %s is cut short %u times, and the next one finds every segment",
	   trimmed ? "in a trimmed segment" : "in a new one", cuts);
}

static void test_another_log(void)
{
	struct disk *disk = disk_new(8);
	struct story story;
	struct err err = {0};
	story_live(&story, disk, KIB(2), 40);
	struct disk *gap = disk_copy(disk);
	struct env *env = disk_env_new(gap);
	env_unlink(env, "d/0000000000000002.log");
	disk_env_free(env);
	story.disk = gap;
	ok(story_open(&story, &err) == ERR_CORRUPT && strstr(err.text, "missing") != NULL,
	   "a missing segment is truth lost");
	ok(strstr(err.text, "0000000000000002.log: corrupt log: this") != NULL,
	   "and is told without an index, as none is known yet");
	story.disk = disk;
	env = disk_env_new(disk);
	struct wal_config config = {.env = env,
				    .dir = "d",
				    .log_id = LOG_ID + 1,
				    .segment_bytes = KIB(2),
				    .on_durable = on_durable,
				    .on_failed = on_failed};
	struct wal *wal;
	ok(wal_open(&config, &wal, &err) == ERR_CORRUPT && strstr(err.text, "another log") != NULL,
	   "segments of another log are refused");
	disk_env_free(env);
	disk_free(gap);
	disk_free(disk);
}

/* Random work, kills and power cuts, against what was believed. */
static void test_random(void)
{
	uint64_t wrong = 0, restarts = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct prng prng;
		prng_init(&prng, seed);
		struct disk *disk = disk_new(seed);
		struct story story;
		struct err err = {0};
		story_init(&story, disk, KIB(1) << prng_below(&prng, 4));
		story.cache_bytes = KIB(1);
		wrong += story_open(&story, &err) != 0;
		for (unsigned step = 0; step < 300 && wrong == 0 && story.last < INDEX_MAX - 50; step++) {
			switch (prng_below(&prng, 12)) {
			case 0:
				if (story.last > story.floor) {
					truncate_to(&story,
						    story.floor + 1 +
							    prng_below(&prng, story.last - story.floor));
				}
				break;
			case 1:
				disk_env_advance(story.env, prng_below(&prng, 400));
				break;
			case 2: {
				uint64_t durable = story.durable;
				uint64_t last = story.last;
				bool power = prng_chance(&prng, 1, 2);
				story_kill(&story);
				if (power) {
					disk_recover(disk, DISK_LOSE_SOME);
				}
				err = (struct err){0};
				restarts++;
				wrong += story_open(&story, &err) != 0;
				if (wrong == 0) {
					wrong += !holds(&story, durable);
					/* An unreported truncation may be undone, so more may be there; then
					 * it counts. */
					story.last = wal_last_index(story.wal);
					story.term++;
					(void)last;
					for (uint64_t i = durable + 1; i <= story.last; i++) {
						struct entry *entry;
						wrong += wal_load(story.wal, i, &entry) != 0;
						story.chain[i] = entry->chain;
						entry_unref(entry);
					}
				}
				break;
			}
			case 3:
				story.floor += prng_below(&prng, story.durable - story.floor + 1);
				wal_set_floor(story.wal, story.floor);
				wal_trim(story.wal, wal_trim_point(story.wal, story.floor, story.floor, 0));
				break;
			case 4:
				disk_env_run(story.env);
				break;
			default:
				append(&story, (unsigned)prng_below(&prng, 6));
				disk_env_step(story.env);
			}
		}
		if (wrong > 0) {
			tap_note("seed %llu: %s", (unsigned long long)seed, err.text);
			story_kill(&story);
			disk_free(disk);
			break;
		}
		disk_env_run(story.env);
		wrong += story.durable != story.last;
		story_close(&story);
		disk_free(disk);
	}
	is_int(wrong, 0, "random work over %llu restarts and power cuts loses nothing",
	       (unsigned long long)restarts);
}

int main(void)
{
	test_round_trip();
	test_group_commit();
	ok(survives(truncation_clamps, NULL), "a truncation under a write is nothing that ends the process");
	test_truncation_clamps();
	test_old_entries();
	test_power_cuts();
	test_bit_rot();
	test_bit_rot_at_end();
	test_mend_power_cuts(23);
	test_torn_inside_sector();
	test_failures();
	test_stall();
	test_no_space();
	test_reuse();
	test_gap();
	test_gap_behind_a_failing_disk();
	test_unused_and_power_cuts(false);
	test_unused_and_power_cuts(true);
	test_another_log();
	test_random();
	test_short_when_closed();
	test_full_start();
	test_foreign_free();
	return tap_done();
}

/* The log on a disk that loses power: what was reported durable is there again. */
#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"
#include "tests/unit/wal_world.h"

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
	test_failures();
	test_random();
	return tap_done();
}

/* What a start finds in the directory: segments that are missing, unused, free, or of another log. */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "raft/wal/segment.h"
#include "tests/lib/tap.h"
#include "tests/unit/wal_world.h"

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
	story.log_id++;
	ok(story_open(&story, &err) == ERR_CORRUPT && strstr(err.text, "another log") != NULL,
	   "segments of another log are refused");
	disk_free(gap);
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

int main(void)
{
	test_gap();
	test_gap_behind_a_failing_disk();
	test_unused_and_power_cuts(false);
	test_unused_and_power_cuts(true);
	test_another_log();
	test_foreign_free();
	return tap_done();
}

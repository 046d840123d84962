/* Room for a log: the next segment is made ready ahead, from a trimmed one if there is one, and waited for
 * when the disk is full. */
#include <stdio.h>

#include "base/limits.h"
#include "tests/lib/tap.h"
#include "tests/unit/wal_world.h"

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

/* By somebody who needs room and takes them for nobody's. */
static void test_free_removed(void)
{
	struct disk *disk = disk_new(15);
	struct story story;
	struct err err = {0};
	story_init(&story, disk, KIB(4));
	story_open(&story, NULL);
	write_and_trim(&story, 300);
	for (size_t i = 0; disk_name(disk, i) != NULL;) {
		bool is_free = strstr(disk_name(disk, i), ".free") != NULL;
		if (is_free) {
			env_unlink(story.env, disk_name(disk, i));
		}
		i = is_free ? 0 : i + 1;
	}
	is_int(files_named(disk, ".free"), 0, "free segments are removed while the log runs");
	append(&story, 300);
	disk_env_run(story.env);
	ok(!story.failed && story.durable == 600, "it makes new ones and goes on: %s", story.line);
	story_close(&story);
	ok(story_open(&story, &err) == 0 && holds(&story, 600), "and is read again: %s", err.text);
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

int main(void)
{
	test_stall();
	test_no_space();
	test_reuse();
	test_free_removed();
	test_full_start();
	test_short_when_closed();
	return tap_done();
}

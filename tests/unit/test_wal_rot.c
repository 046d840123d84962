/* Damage in the files of a log: it is found, mended or harmless; and what was torn is told from it. */
#include <assert.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "raft/wal/segment.h"
#include "tests/lib/tap.h"
#include "tests/unit/wal_world.h"

/* A copy of the story, with a disk of its own (the caller's to free), of which one bit has flipped, is opened. */
static int open_flipped(const struct story *story, const char *name, size_t at, unsigned bit, struct story *again,
			struct err *err)
{
	size_t len;
	memcpy(again, story, sizeof(*again));
	again->disk = disk_copy(story->disk);
	disk_bytes(again->disk, name, &len)[at] ^= (uint8_t)(1u << bit);
	return story_open(again, err);
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
			struct story again;
			struct err err = {0};
			int status = open_flipped(&story, name, at, (at * 7 + i) % 8, &again, &err);
			flips++;
			if (status == ERR_CORRUPT) {
				found++;
				snprintf(text, sizeof(text), "%s", err.text);
			} else if (status != 0 || !holds(&again, durable)) {
				silent++;
				tap_note("%s at %zu of %zu: status %d", name, at, len, status);
			}
			story_kill(&again);
			disk_free(again.disk);
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
			struct story again;
			struct err err = {0};
			int status = open_flipped(&story, name, at, (at * 5 + i) % 8, &again, &err);
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
			disk_free(again.disk);
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

int main(void)
{
	test_bit_rot();
	test_bit_rot_at_end();
	test_mend_power_cuts(23);
	test_torn_inside_sector();
	return tap_done();
}

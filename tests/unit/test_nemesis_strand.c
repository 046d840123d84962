/* What the fault proxy does to a stream of frames, without sockets and with time at hand. */
#include "tests/lib/tap.h"
#include "tests/nemesis/strand.h"

#include "wire/frame.h"

#include <string.h>

struct story {
	struct mischief mischief;
	struct strand strand;
	struct buf fed, out;
	uint64_t now_us;
};

static void begin(struct story *story, struct strand_settings settings)
{
	*story = (struct story){.now_us = 1000000};
	mischief_init(&story->mischief, 7);
	mischief_set(&story->mischief, &settings);
	strand_init(&story->strand, &story->mischief, 3, 0);
	buf_init(&story->fed, SIZE_MAX);
	buf_init(&story->out, SIZE_MAX);
}

static void end(struct story *story)
{
	strand_fini(&story->strand);
	mischief_fini(&story->mischief);
	buf_fini(&story->fed);
	buf_fini(&story->out);
}

/* Writes all that may be written, up to a time. */
static void drain(struct story *story, uint64_t until_us)
{
	while (story->now_us <= until_us) {
		for (struct slice bytes; (bytes = strand_ready(&story->strand, story->now_us)).len > 0;) {
			buf_append_slice(&story->out, bytes);
			strand_wrote(&story->strand, bytes.len);
		}
		uint64_t wakes = strand_wakes_us(&story->strand, story->now_us);
		if (wakes > until_us) {
			break;
		}
		story->now_us = wakes > story->now_us ? wakes : story->now_us + 1;
	}
	story->now_us = until_us > story->now_us ? until_us : story->now_us;
}

static void feed_hello(struct story *story, uint8_t kind)
{
	struct buf frame;
	buf_init(&frame, SIZE_MAX);
	struct hello hello = {.cluster_id = 1, .from_id = 1, .to_id = 2, .life = {1, 7}, .kind = kind};
	hello_encode(&frame, &hello, 0);
	buf_append_slice(&story->fed, buf_slice(&frame));
	strand_feed(&story->strand, story->now_us, buf_slice(&frame));
	buf_fini(&frame);
}

static void feed_numbers(struct story *story, uint32_t from, uint32_t count)
{
	struct buf frame;
	buf_init(&frame, SIZE_MAX);
	for (uint32_t i = from; i < from + count; i++) {
		size_t at = frame_begin(&frame, FRAME_APPEND, 0);
		buf_append_u32(&frame, i);
		frame_end(&frame, at, 0);
	}
	buf_append_slice(&story->fed, buf_slice(&frame));
	/* In pieces that respect no boundary. */
	for (size_t at = 0; at < frame.len; at += 13) {
		strand_feed(&story->strand, story->now_us,
			    slice_of(frame.data + at, frame.len - at < 13 ? frame.len - at : 13));
	}
	buf_fini(&frame);
}

/* Reads the numbers that came out; -1: bytes that make no frame. */
static int read_numbers(const struct story *story, uint32_t *numbers, int max)
{
	struct frame_reader reader;
	frame_reader_init(&reader);
	struct slice bytes = buf_slice(&story->out);
	struct frame frame;
	int count = 0, rc;
	while ((rc = frame_reader_next(&reader, &bytes, &frame)) == 0) {
		if (frame.type == FRAME_APPEND && count < max) {
			struct slice body = frame.body;
			slice_take_u32(&body, &numbers[count++]);
		}
	}
	frame_reader_fini(&reader);
	return rc == ERR_MORE ? count : -1;
}

static void test_nothing(void)
{
	struct story story;
	begin(&story, (struct strand_settings){0});
	feed_hello(&story, FRAME_RAFT);
	feed_numbers(&story, 0, 100);
	drain(&story, story.now_us);
	is_bytes(story.out.data, story.out.len, story.fed.data, story.fed.len,
		 "without a fault bytes come at once, as they were");
	end(&story);

	begin(&story, (struct strand_settings){.corrupt = 1000});
	strand_feed(&story.strand, story.now_us, slice_str("PING and other bytes that are no frame"));
	drain(&story, story.now_us);
	is_bytes(story.out.data, story.out.len, "PING and other bytes that are no frame", 38,
		 "bytes that are no frames pass");
	end(&story);

	begin(&story, (struct strand_settings){0});
	feed_hello(&story, FRAME_RAFT);
	strand_feed(&story.strand, story.now_us, slice_of(story.fed.data, 40));
	drain(&story, story.now_us);
	is_int(story.out.len, story.fed.len, "a frame that is not whole waits");
	strand_end(&story.strand, story.now_us);
	drain(&story, story.now_us);
	is_int(story.out.len, story.fed.len + 40, "and goes out in pieces when its sender has ended");
	end(&story);
}

static void test_late(void)
{
	struct story story;
	uint32_t numbers[200];
	begin(&story, (struct strand_settings){.delay_ms = 50, .jitter_ms = 30});
	feed_hello(&story, FRAME_RAFT);
	feed_numbers(&story, 0, 100);
	uint64_t fed_us = story.now_us;
	drain(&story, fed_us + 49999);
	is_int(story.out.len, 0, "a late frame does not come before its delay");
	drain(&story, fed_us + 80000);
	bool ordered = read_numbers(&story, numbers, 200) == 100;
	for (uint32_t i = 0; ordered && i < 100; i++) {
		ordered = numbers[i] == i;
	}
	ok(ordered, "after delay and jitter all are there, in their order");
	end(&story);
}

static void test_throttle(void)
{
	struct story story;
	begin(&story, (struct strand_settings){.bytes_per_s = 10000});
	feed_hello(&story, FRAME_RAFT);
	for (int i = 0; i < 10; i++) {
		feed_numbers(&story, 0, 1000);
	}
	uint64_t fed_us = story.now_us;
	drain(&story, fed_us + 10000000);
	ok(story.out.len > 95000 && story.out.len < 105000,
	   "ten seconds at 10 kB/s let about 100 kB through");
	ok(story.mischief.counts.choked > 0 && story.mischief.counts.bytes == story.out.len,
	   "and it is counted, as is what came through");
	end(&story);
}

static void test_swapped(void)
{
	struct story story;
	uint32_t numbers[400];
	bool seen[200] = {0};
	begin(&story, (struct strand_settings){.swap = 200});
	feed_hello(&story, FRAME_RAFT);
	feed_numbers(&story, 0, 200);
	drain(&story, story.now_us + STRAND_SWAP_MS * 1000);
	int count = read_numbers(&story, numbers, 400), early = 0;
	is_int(count, 200, "swapped frames are all there, each one whole");
	for (int i = 0; i < count; i++) {
		seen[numbers[i]] = true;
		early += numbers[i] == (uint32_t)i + 1;
	}
	bool all = true;
	for (int i = 0; i < 200; i++) {
		all = all && seen[i];
	}
	ok(all, "none twice");
	is_int(early, story.mischief.counts.swapped, "and as many overtook another as were counted");
	ok(early > 10, "which are some");
	is_bytes(story.out.data, 64, story.fed.data, 64, "the hello stays the first");
	end(&story);
}

static void test_again(void)
{
	struct story story;
	uint32_t numbers[1000];
	begin(&story, (struct strand_settings){.duplicate = 100});
	feed_hello(&story, FRAME_RAFT);
	feed_numbers(&story, 0, 200);
	drain(&story, story.now_us);
	int count = read_numbers(&story, numbers, 1000);
	is_int(count, 200 + (int)story.mischief.counts.duplicated, "a duplicated frame comes twice");
	ok(count > 205, "and some do");
	strand_fini(&story.strand);

	mischief_set(&story.mischief, &(struct strand_settings){.replay = 500});
	strand_init(&story.strand, &story.mischief, 3, 0);
	buf_reset(&story.out);
	feed_hello(&story, FRAME_RAFT);
	feed_numbers(&story, 1000, 100);
	drain(&story, story.now_us);
	count = read_numbers(&story, numbers, 1000);
	int old = 0;
	for (int i = 0; i < count; i++) {
		old += numbers[i] < 1000;
	}
	ok(old > 5, "frames of a connection that has ended come again on the next one");
	strand_fini(&story.strand);

	strand_init(&story.strand, &story.mischief, 3, 0);
	buf_reset(&story.out);
	feed_hello(&story, FRAME_REQUESTS);
	feed_numbers(&story, 2000, 100);
	drain(&story, story.now_us);
	count = read_numbers(&story, numbers, 1000);
	old = 0;
	for (int i = 0; i < count; i++) {
		old += numbers[i] < 2000;
	}
	is_int(old, 0, "but not on one of another kind");
	end(&story);
}

static void test_corrupt(void)
{
	struct story story;
	begin(&story, (struct strand_settings){.corrupt = 1000});
	feed_hello(&story, FRAME_RAFT);
	feed_numbers(&story, 0, 1);
	drain(&story, story.now_us);
	is_int(story.out.len, story.fed.len, "a damaged frame keeps its length");
	is_bytes(story.out.data, 72, story.fed.data, 72, "the hello is not damaged");
	ok(memcmp(story.out.data + 72, story.fed.data + 72, story.fed.len - 72) != 0, "the other frame is");
	end(&story);
}

static void test_cut(void)
{
	struct story story;
	begin(&story, (struct strand_settings){.cut = STRAND_SILENT, .cut_after = 1000});
	feed_hello(&story, FRAME_RAFT);
	feed_numbers(&story, 0, 100);
	drain(&story, story.now_us);
	ok(story.out.len <= 1000, "a cut strand lets at most so many bytes through");
	is_bytes(story.out.data, story.out.len, story.fed.data, story.out.len, "which are the first ones");
	is_int(story.strand.cut, STRAND_SILENT, "and says how it ended");
	size_t before = story.out.len;
	mischief_set(&story.mischief, &(struct strand_settings){0});
	feed_numbers(&story, 0, 100);
	drain(&story, story.now_us);
	is_int(story.out.len, before, "for good");
	ok(strand_empty(&story.strand), "and keeps nothing");
	end(&story);
}

int main(void)
{
	test_nothing();
	test_late();
	test_throttle();
	test_swapped();
	test_again();
	test_corrupt();
	test_cut();
	return tap_done();
}

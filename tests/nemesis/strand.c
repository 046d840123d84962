#include "tests/nemesis/strand.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BURST_US 100000 /* what a throttled direction may save up */
#define PACKET 1448u
#define REMEMBER_OF 4 /* one frame of so many is remembered */
#define LAG_OF 20     /* a lag lasts so many frames, about */

struct parcel {
	struct list link;
	uint64_t due_us;
	size_t len, at;
	uint8_t bytes[];
};

/* ---- what strands share ---- */

void mischief_init(struct mischief *mischief, uint64_t seed)
{
	*mischief = (struct mischief){0};
	prng_init(&mischief->prng, seed);
}

void mischief_fini(struct mischief *mischief)
{
	for (size_t i = 0; i < STRAND_MEMORY; i++) {
		free(mischief->memory[i].bytes);
	}
}

void mischief_set(struct mischief *mischief, const struct strand_settings *settings)
{
	mischief->settings = *settings;
	mischief->settings_number++;
}

static bool chance(struct mischief *mischief, uint32_t of_1000)
{
	return of_1000 > 0 && prng_chance(&mischief->prng, of_1000, 1000);
}

static uint8_t *copy_of(struct slice bytes)
{
	uint8_t *copy = malloc(bytes.len + 1);
	if (copy == NULL) {
		fatal("out of memory: a frame of %zu bytes", bytes.len);
	}
	memcpy(copy, bytes.data, bytes.len);
	return copy;
}

/* Any slot: so some frames stay for minutes and for terms. */
static void remember(struct mischief *mischief, uint64_t route, struct slice frame)
{
	if (frame.len > STRAND_MEMORY_FRAME || !prng_chance(&mischief->prng, 1, REMEMBER_OF)) {
		return;
	}
	struct strand_memory *slot = &mischief->memory[prng_below(&mischief->prng, STRAND_MEMORY)];
	free(slot->bytes);
	*slot = (struct strand_memory){.bytes = copy_of(frame), .len = frame.len, .route = route};
}

static struct slice recall(struct mischief *mischief, uint64_t route)
{
	size_t from = prng_below(&mischief->prng, STRAND_MEMORY);
	for (size_t i = 0; i < STRAND_MEMORY; i++) {
		const struct strand_memory *slot = &mischief->memory[(from + i) % STRAND_MEMORY];
		if (slot->bytes != NULL && slot->route == route) {
			return slice_of(slot->bytes, slot->len);
		}
	}
	return slice_of(NULL, 0);
}

/* ---- parcels ---- */

static struct parcel *parcel_new(struct slice bytes)
{
	struct parcel *parcel = malloc(sizeof(*parcel) + bytes.len);
	if (parcel == NULL) {
		fatal("out of memory: a frame of %zu bytes", bytes.len);
	}
	*parcel = (struct parcel){.len = bytes.len};
	memcpy(parcel->bytes, bytes.data, bytes.len);
	return parcel;
}

static struct parcel *first_parcel(const struct strand *strand)
{
	return list_empty(&strand->parcels) ? NULL : list_entry(strand->parcels.next, struct parcel, link);
}

/* A stream keeps its order: whoever is due before the one ahead of it waits. */
static void enqueue(struct strand *strand, uint64_t now_us, struct parcel *parcel)
{
	struct mischief *mischief = strand->mischief;
	const struct strand_settings *settings = &mischief->settings;
	if (settings->lag_ms == 0) {
		strand->lag_us = 0;
	} else if (prng_chance(&mischief->prng, 1, LAG_OF)) {
		strand->lag_us = prng_below(&mischief->prng, settings->lag_ms * 1000ull + 1);
	}
	uint64_t late_us = settings->delay_ms * 1000ull + strand->lag_us +
			   prng_below(&mischief->prng, settings->jitter_ms * 1000ull + 1);
	mischief->counts.late += late_us > 0;
	parcel->due_us = now_us + late_us;
	strand->queued += parcel->len;
	list_append(&strand->parcels, &parcel->link);
}

static void drop_all(struct strand *strand)
{
	for (struct list *link; (link = list_pop(&strand->parcels)) != NULL;) {
		free(list_entry(link, struct parcel, link));
	}
	free(strand->waiting);
	strand->waiting = NULL;
	strand->queued = 0;
	buf_reset(&strand->partial);
}

void strand_init(struct strand *strand, struct mischief *mischief, uint32_t peer, uint8_t direction)
{
	assert(direction < 2);
	*strand = (struct strand){.mischief = mischief, .direction = direction, .left = UINT64_MAX};
	strand->route = (uint64_t)peer << 16 | (uint64_t)direction << 8;
	list_init(&strand->parcels);
	buf_init(&strand->partial, SIZE_MAX);
}

void strand_fini(struct strand *strand)
{
	drop_all(strand);
	buf_fini(&strand->partial);
}

/* ---- frames ---- */

static void release_waiting(struct strand *strand, uint64_t now_us)
{
	if (strand->waiting != NULL) {
		enqueue(strand, now_us, strand->waiting);
		strand->waiting = NULL;
	}
}

static void damage(struct mischief *mischief, struct parcel *parcel)
{
	for (uint64_t flips = 1 + prng_below(&mischief->prng, 3); flips > 0; flips--) {
		/* Half of them in the head: there are the lengths. */
		size_t within = prng_chance(&mischief->prng, 1, 2) ? FRAME_HEAD : parcel->len;
		parcel->bytes[prng_below(&mischief->prng, within)] ^=
			(uint8_t)(1u << prng_below(&mischief->prng, 8));
	}
	mischief->counts.corrupted++;
}

static void take_frame(struct strand *strand, uint64_t now_us, struct slice frame)
{
	struct mischief *mischief = strand->mischief;
	struct strand_counts *counts = &mischief->counts;
	struct parcel *parcel = parcel_new(frame);
	counts->frames++;
	if (strand->seen++ == 0) {
		struct hello hello = {0};
		bool whole =
			frame.len > FRAME_HEAD && hello_decode(slice_skip(frame, FRAME_HEAD), &hello) == 0;
		strand->route |= whole ? hello.kind : 0;
		enqueue(strand, now_us, parcel);
		return;
	}
	remember(mischief, strand->route, frame);
	if (chance(mischief, mischief->settings.corrupt)) {
		damage(mischief, parcel);
	}
	if (strand->waiting == NULL && chance(mischief, mischief->settings.swap)) {
		strand->waiting = parcel;
		strand->waits_until_us = now_us + STRAND_SWAP_MS * 1000;
		return;
	}
	enqueue(strand, now_us, parcel);
	counts->swapped += strand->waiting != NULL;
	release_waiting(strand, now_us);
	if (chance(mischief, mischief->settings.duplicate)) {
		enqueue(strand, now_us, parcel_new(frame));
		counts->duplicated++;
	}
	/* A new connection begins with what an old one carried, however little is said on it. */
	bool first = mischief->settings.replay > 0 && strand->seen == 2;
	struct slice old = first || chance(mischief, mischief->settings.replay) ? recall(mischief, strand->route)
										: slice_of(NULL, 0);
	if (old.len > 0) {
		enqueue(strand, now_us, parcel_new(old));
		counts->replayed++;
	}
}

/* Bytes of the frame at the front, 0 when more are needed to know, SIZE_MAX when it is none. */
static size_t frame_length(struct slice bytes)
{
	if (bytes.len >= 12 && memcmp(bytes.data + 8, "TLYP", 4) != 0) {
		return SIZE_MAX;
	}
	if (bytes.len < FRAME_HEAD) {
		return 0;
	}
	uint32_t body = bytes_u32(bytes.data + 16);
	return body <= LIMIT_FRAME ? FRAME_HEAD + (size_t)body : SIZE_MAX;
}

void strand_feed(struct strand *strand, uint64_t now_us, struct slice bytes)
{
	if (strand->cut != STRAND_WHOLE) {
		return;
	}
	buf_append_slice(&strand->partial, bytes);
	struct slice left = buf_slice(&strand->partial);
	while (left.len > 0 && !strand->raw) {
		size_t len = frame_length(left);
		strand->raw = len == SIZE_MAX;
		if (len == 0 || len > left.len) {
			break;
		}
		take_frame(strand, now_us, slice_of(left.data, len));
		left = slice_of(left.data + len, left.len - len);
	}
	buf_consume(&strand->partial, strand->partial.len - left.len);
	if (strand->raw) {
		strand_end(strand, now_us);
	}
}

void strand_end(struct strand *strand, uint64_t now_us)
{
	release_waiting(strand, now_us);
	if (strand->partial.len > 0) {
		enqueue(strand, now_us, parcel_new(buf_slice(&strand->partial)));
		buf_reset(&strand->partial);
	}
}

bool strand_full(const struct strand *strand)
{
	return strand->queued >= STRAND_QUEUE_MAX;
}

bool strand_empty(const struct strand *strand)
{
	return list_empty(&strand->parcels) && strand->waiting == NULL;
}

/* ---- bytes ---- */

/* How many bytes a throttled direction may send now. */
static size_t allowance(struct strand *strand, uint64_t now_us, size_t wanted)
{
	struct mischief *mischief = strand->mischief;
	uint64_t rate = mischief->settings.bytes_per_s;
	uint64_t *budget = &mischief->budget[strand->direction],
		 *at = &mischief->budget_at_us[strand->direction];
	if (rate == 0) {
		return wanted;
	}
	uint64_t passed_us = now_us - *at < BURST_US ? now_us - *at : BURST_US;
	uint64_t gained = passed_us * rate / 1000000;
	if (gained > 0) {
		uint64_t most = rate / 10 + PACKET;
		*budget = *budget + gained < most ? *budget + gained : most;
		*at = now_us;
	}
	/* In whole packets, not in drops. */
	bool enough = *budget >= (wanted < PACKET ? wanted : PACKET);
	mischief->counts.choked += wanted > *budget;
	return !enough ? 0 : wanted < *budget ? wanted : (size_t)*budget;
}

/* A new fault draws anew where it cuts this strand. */
static void heed_settings(struct strand *strand)
{
	struct mischief *mischief = strand->mischief;
	if (strand->seen_settings == mischief->settings_number) {
		return;
	}
	strand->seen_settings = mischief->settings_number;
	strand->left = mischief->settings.cut == STRAND_WHOLE
			       ? UINT64_MAX
			       : prng_below(&mischief->prng, mischief->settings.cut_after + 1);
}

struct slice strand_ready(struct strand *strand, uint64_t now_us)
{
	heed_settings(strand);
	if (strand->waiting != NULL && strand->waits_until_us <= now_us) {
		release_waiting(strand, now_us);
	}
	struct parcel *parcel = first_parcel(strand);
	if (parcel == NULL || parcel->due_us > now_us) {
		return slice_of(NULL, 0);
	}
	if (strand->left == 0) {
		strand->cut = strand->mischief->settings.cut;
		strand->mischief->counts.cut++;
		drop_all(strand);
		return slice_of(NULL, 0);
	}
	size_t len = allowance(strand, now_us, parcel->len - parcel->at);
	return slice_of(parcel->bytes + parcel->at, len < strand->left ? len : (size_t)strand->left);
}

void strand_wrote(struct strand *strand, size_t len)
{
	struct parcel *parcel = first_parcel(strand);
	struct mischief *mischief = strand->mischief;
	assert(parcel != NULL && len <= parcel->len - parcel->at && len <= strand->left);
	parcel->at += len;
	mischief->counts.bytes += len;
	strand->left -= strand->left != UINT64_MAX ? len : 0;
	if (mischief->settings.bytes_per_s > 0) {
		uint64_t *budget = &mischief->budget[strand->direction];
		assert(len <= *budget);
		*budget -= len;
	}
	if (parcel->at == parcel->len) {
		list_remove(&parcel->link);
		strand->queued -= parcel->len;
		free(parcel);
	}
}

uint64_t strand_wakes_us(const struct strand *strand, uint64_t now_us)
{
	const struct parcel *parcel = first_parcel(strand);
	uint64_t wakes = parcel != NULL ? parcel->due_us : UINT64_MAX;
	if (wakes <= now_us && strand->mischief->settings.bytes_per_s > 0) {
		return now_us + 5000; /* a budget grows */
	}
	return strand->waiting != NULL && strand->waits_until_us < wakes ? strand->waits_until_us : wakes;
}

/* One direction of one connection through the fault proxy: bytes go in, frames
 * (wire/frame.h) are cut, delayed, swapped, duplicated, repeated, damaged, and
 * come out again. No sockets and no clock: the proxy brings both.
 *
 *   fed bytes -> partial -> frame -> [waits to be swapped] -> parcels by due time -> bytes to write
 *                               \-> memory of old frames, of all connections -> replay
 *
 * The first frame of a strand is the hello: it may be late, nothing else happens to it.
 * Bytes that are no frames pass as they are. */
#ifndef TESTS_NEMESIS_STRAND_H
#define TESTS_NEMESIS_STRAND_H

#include "base/buf.h"
#include "base/list.h"
#include "base/prng.h"

#define STRAND_QUEUE_MAX ((size_t)8 << 20) /* then it takes no more bytes */
#define STRAND_MEMORY 128                  /* old frames that are remembered */
#define STRAND_MEMORY_FRAME 65536          /* longer ones are not */
#define STRAND_SWAP_MS 50                  /* a frame waits so long for one that overtakes it */

/* How a strand ends whose bytes are counted (cut_after). */
enum strand_cut {
	STRAND_WHOLE,
	STRAND_SILENT, /* what comes vanishes; neither side hears of it */
	STRAND_HALF,   /* the receiver sees the end, the sender may go on */
	STRAND_RESET,  /* both see a reset, in the middle of a frame */
};

struct strand_settings {
	uint32_t delay_ms, jitter_ms; /* of every frame: delay, and 0 to jitter on top */
	uint32_t lag_ms;      /* a connection falls 0 to lag behind the others, drawn anew now and then */
	uint64_t bytes_per_s; /* of all strands of one direction; 0: no bound */
	uint32_t swap, duplicate, replay, corrupt; /* of 1000 frames */
	enum strand_cut cut;
	uint64_t cut_after; /* bytes that still come through a strand, at most: drawn */
};

struct strand_counts {
	uint64_t bytes, frames, late, choked, swapped, duplicated, replayed, corrupted, cut; /* bytes: that left */
};

struct strand_memory {
	uint8_t *bytes;
	size_t len;
	uint64_t route;
};

/* What the strands of one proxy share. */
struct mischief {
	struct prng prng;
	struct strand_settings settings;
	uint64_t settings_number; /* grows with each change */
	struct strand_counts counts;
	uint64_t budget[2], budget_at_us[2]; /* bytes that a direction may still send */
	struct strand_memory memory[STRAND_MEMORY];
};
void mischief_init(struct mischief *mischief, uint64_t seed);
void mischief_fini(struct mischief *mischief);
void mischief_set(struct mischief *mischief, const struct strand_settings *settings);

struct strand {
	struct mischief *mischief; /* borrowed */
	struct list parcels;
	struct parcel *waiting; /* the next frame overtakes it */
	uint64_t waits_until_us;
	struct buf partial;
	size_t queued;  /* bytes in parcels */
	uint64_t route; /* peer, direction and, when the hello was seen, kind: old frames stay on it */
	uint64_t lag_us, seen, seen_settings, left;
	uint8_t direction; /* 0 away from the node of this proxy, 1 to it */
	bool raw;          /* no frames */
	enum strand_cut cut;
};
void strand_init(struct strand *strand, struct mischief *mischief, uint32_t peer, uint8_t direction);
void strand_fini(struct strand *strand);

/* Takes bytes from the sender. */
void strand_feed(struct strand *strand, uint64_t now_us, struct slice bytes);
/* The sender has ended: what was begun of a frame goes out as it is. */
void strand_end(struct strand *strand, uint64_t now_us);
bool strand_full(const struct strand *strand);
bool strand_empty(const struct strand *strand); /* of frames */
/* Bytes that may be written now, borrowed until the next call; perhaps none. */
struct slice strand_ready(struct strand *strand, uint64_t now_us);
void strand_wrote(struct strand *strand, size_t len);
/* When strand_ready may have something; UINT64_MAX: not before more is fed. */
uint64_t strand_wakes_us(const struct strand *strand, uint64_t now_us);

#endif /* TESTS_NEMESIS_STRAND_H */

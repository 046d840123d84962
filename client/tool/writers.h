/* Writers who write all the time, each one key after the other, and remember
 * what was acknowledged: a bench hurts the cluster meanwhile and has every acknowledged write
 * read back at the end. Asking again repeats the same key, because what was
 * not acknowledged may be there or not. */
#ifndef CLIENT_TOOL_WRITERS_H
#define CLIENT_TOOL_WRITERS_H

#include "client/tool/bench.h"

#define WRITERS 32
#define WRITERS_READERS 256

struct writer {
	struct tally_call call;
	struct writers *writers;
	struct env_timer timer;
	uint64_t at;  /* which writer */
	uint64_t seq; /* the write under way; all below are acknowledged */
	uint64_t started_us;
};

struct writers {
	struct bench *bench;
	/* A write was acknowledged: when it was started and how often it was sent. */
	void (*answered)(void *owner, uint64_t started_us, unsigned attempts);
	void *owner;
	bool over; /* set by the bench: each stops after his write */
	struct writer list[WRITERS];
	size_t running;
	uint64_t acknowledged, unanswered;

	/* reading back */
	struct load_slot readers[WRITERS_READERS];
	uint64_t read_writer, read_seq, reading, found, lost;
};

/* bench, answered and owner are set. Returns at once; wait for writers_are_over. */
void writers_start(struct writers *writers);
bool writers_are_over(void *writers);
/* Reads every acknowledged write back: found and lost. */
void writers_read_back(struct writers *writers);

#endif /* CLIENT_TOOL_WRITERS_H */

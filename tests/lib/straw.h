/* A shard of straw: stands in for engine/shard.h below a node. It keeps every
 * request and every frame until the test answers it. One node at a time in a test program. */
#ifndef TESTS_LIB_STRAW_H
#define TESTS_LIB_STRAW_H

#include "engine/shard.h"

#define STRAW_MAX 4096

struct shard {
	struct shard_config config;
	enum shard_role role;
	uint64_t leader_id;
	struct shard_stats stats; /* what shard_stats tells */
	struct request *requests[STRAW_MAX]; /* submitted, not answered; NULL: answered or cancelled */
	char words[STRAW_MAX][64];           /* of each: its commands' words */
	size_t count, cancelled;
	struct replica_forward *forwards[STRAW_MAX];
	struct buf frames[STRAW_MAX];
	uint64_t to[STRAW_MAX];
	size_t forward_count;
	size_t reply_room; /* what shard_forward_room tells; SIZE_MAX at first */
	struct buf reply;  /* the last frame given to shard_forward_reply */
	size_t reply_count;
	uint64_t took_us; /* that each request runs for, as on_ran is told; 0: it is not */
	bool sheds, defers;
	size_t shed, followed, wrote; /* of those that were asked about */
	void (*asked)(void *owner);   /* whenever shard_sheds is, or NULL */
	void *asker;
	void (*left)(void *owner);
	void (*closed)(void *owner);
};
extern struct shard straw;

/* Answers a submitted request; text is its reply's bytes. */
void straw_answer(size_t at, const char *text);
/* The outcome of a forwarded frame; text is the reply when status is 0. */
void straw_answer_forward(size_t at, int status, const char *text);

#endif /* TESTS_LIB_STRAW_H */

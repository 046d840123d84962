/* A shard in small: store, overlay, sealed batches that wait to be applied. */
#ifndef TESTS_UNIT_TXN_WORLD_H
#define TESTS_UNIT_TXN_WORLD_H

#include "store/store.h"
#include "txn/overlay.h"
#include "txn/txn.h"

/* For some thirty rows. */
#define HOT_BYTES KIB(8)
#define BATCHES_MAX 64

struct world {
	struct store_disk *disk;
	struct store *store;
	struct overlay *overlay;
	struct arena arena;
	uint64_t next_index;
	struct buf sealed[BATCHES_MAX]; /* in order of index, those not yet applied */
	uint64_t sealed_index[BATCHES_MAX];
	size_t sealed_count;
};

void world_init(struct world *w);
void world_fini(struct world *w);

/* The next transaction; its memory is that of the one before. */
struct txn *begin(struct world *w);
void open_batch(struct world *w);
void seal(struct world *w);
/* Writes the oldest sealed batch to the store; the overlay still has it. Returns its index. */
uint64_t apply(struct world *w);
void apply_payload(struct world *w, uint64_t index, struct slice payload);

void put(struct txn *txn, const char *key, const char *value);
/* One committed write. */
void put_alone(struct world *w, const char *key, const char *value);
/* want NULL: absent. */
bool reads(struct txn *txn, const char *key, const char *want);
bool reads_hot(struct txn *txn, const char *key, const char *want);

#endif /* TESTS_UNIT_TXN_WORLD_H */

/* What the files of txn share: versions, layers, the table, the transaction.
 *
 *   table ── slot of a key ──► newest version ──older──► … ──► oldest
 *                │                 │ layer                      │ layer
 *                └► hot row        ▼                            ▼
 *                            open layer        …         oldest layer
 *
 * A transaction writes straight into the open layer and keeps an undo log: to
 * commit is to forget the log, to abort is to play it backward. So own writes
 * and the overlay are one lookup, and nothing is copied at commit. It works
 * because one transaction runs at a time.
 *
 * A key has at most one version a layer. Layers go oldest first, so what is
 * forgotten is always the oldest version of its key. */
#ifndef TXN_LAYER_H
#define TXN_LAYER_H

#include "base/checksum.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/ordmap.h"
#include "store/store.h"
#include "txn/hot.h"
#include "txn/overlay.h"
#include "txn/region.h"
#include "txn/table.h"
#include "txn/txn.h"

/* What one layer says about one key. */
struct version {
	struct version *older, *newer; /* the same key in other layers */
	struct version *next;          /* the same layer, latest first */
	struct layer *layer;
	uint64_t hash;
	const uint8_t *data;
	uint32_t len, cap;
	uint8_t *spare; /* the buffer before last, to write into next time; NULL or spare_cap bytes */
	uint32_t spare_cap;
	uint32_t undo_at; /* where writer's latest undo record of this version is */
	uint64_t writer;  /* id of the transaction that wrote it last */
	uint16_t key_len;
	bool deleted;
	uint8_t key[];
};
_Static_assert(LIMIT_ROW_KEY <= UINT16_MAX, "key_len holds every key");

static inline struct slice version_key(const struct version *v)
{
	return slice_of(v->key, v->key_len);
}
static inline struct slice version_value(const struct version *v)
{
	return slice_of(v->data, v->len);
}

struct layer {
	struct list link; /* in overlay.layers, oldest first */
	uint64_t index, stamp_ms;
	struct region region;
	struct version *latest; /* all of the layer's versions */
	size_t count;
	size_t record_bytes; /* of all versions, as records of a payload */
	uint32_t joined;     /* transactions that wrote and committed */
	bool sealed;
	struct version **ordered; /* by key, when sealed; in the region */
};

/* How to take one write back. */
struct undo {
	struct version *version;
	const uint8_t *data;
	uint64_t writer;
	uint32_t len, cap, undo_at;
	uint32_t txn_bytes;
	uint8_t *spare; /* the spare buffer that the write used up, of spare_cap bytes, or NULL */
	uint32_t spare_cap;
	bool deleted, created; /* created: the version itself goes */
};

/* A read of the store that this transaction has done already. */
struct seen {
	uint64_t reader; /* id of the transaction, or the slot is stale */
	uint64_t hash;
	struct slice key, value;
	int status;
};
#define TXN_SEEN 32

struct txn {
	struct overlay *overlay;
	struct arena *arena;
	struct layer *layer; /* the open one, or NULL: read only */
	uint64_t id;         /* 0: none runs */
	uint64_t read_index;
	struct undo *undo;
	size_t undo_count, undo_cap;
	size_t undo_marked; /* undo records below it may be asked for by a mark */
	size_t writes;      /* distinct keys */
	uint32_t bytes;     /* of keys and values */
	size_t churn;       /* of all values ever written */
	size_t events_begin;
	size_t cursors;          /* open ones */
	struct txn_trace *trace; /* of reads, or NULL */
	bool tight;
	uint64_t spent; /* steps */
	struct region_mark begin;
	struct store_pin *pins;
	size_t pin_count, pin_cap;
	struct seen seen[TXN_SEEN];
};

struct overlay {
	struct store *store;
	uint64_t seed; /* of overlay_hash */
	struct table table;
	struct list layers;
	size_t layer_count;
	struct layer *open;
	struct buf events; /* of the open layer: ordinal (varint), length (varint), bytes, and so on */
	struct region_stock stock;
	struct hot_cache hot;

	/* The open layer's versions by key, kept only once somebody has walked over them; see order.h. */
	bool in_order;
	struct ordmap order;
	struct region order_region;
	uint64_t order_changes; /* cursors look for their place again when it has changed */

	uint64_t last_txn_id;
	struct txn txn;
};

static inline uint64_t overlay_hash(const struct overlay *overlay, struct slice key)
{
	return checksum64_at(key, overlay->seed);
}

/* Adds a version of key, which has none in the open layer yet, as the newest of slot (NULL: of a new slot).
 * Its value is empty; the caller sets it with layer_set. */
struct version *layer_add(struct overlay *overlay, struct table_slot *slot, struct slice key, uint64_t hash);
/* Takes the version of the open layer that was added last away again. */
void layer_remove_latest(struct overlay *overlay, struct version *v);
/* Gives v a new value in a buffer that nobody has seen. The old buffer stays as it is. */
void layer_set(struct overlay *overlay, struct version *v, struct slice value, bool deleted);
/* key was read. */
void txn_note_key(struct txn *txn, struct slice key);
/* Bytes of a version as a record of a payload. */
static inline size_t layer_record_bytes(size_t key_len, size_t value_len, bool deleted)
{
	size_t lengths = 1 + (key_len >= 0x80);
	if (!deleted) {
		lengths += 1 + (value_len >= 0x80) + (value_len >= 0x4000) + (value_len >= 0x200000);
		lengths += value_len;
	}
	return 1 + lengths + key_len;
}

#endif /* TXN_LAYER_H */

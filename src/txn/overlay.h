/* What the leader has written and not yet applied: one layer a batch, the
 * newest is the open one. A lookup is one hash of the key, whatever the number
 * of layers; a hot key has one value a layer.
 *
 * Life of a layer: overlay_open (index and stamp fixed) → transactions join →
 * overlay_seal (payload built, keys ascending) → applied: overlay_forget. On loss of
 * leadership overlay_drop throws all away. On the loop thread only.
 *
 * The event block of a batch, the row 'e' index(8, big-endian), is what its
 * transactions emitted, in order: ordinal of the transaction (varint), length
 * (varint), bytes, and so on to the end. */
#ifndef TXN_OVERLAY_H
#define TXN_OVERLAY_H

#include "base/buf.h"
#include "base/slice.h"
#include "txn/txn.h"

/* hot_bytes: of memory for copies of rows that are read often; > 0. seed: of the hash of keys, and secret:
 * who knew it could name keys that all lie behind one another. Nothing else depends on it. */
struct overlay *overlay_new(struct store *store, size_t hot_bytes, uint64_t seed);
void overlay_free(struct overlay *overlay);
/* What they take now. */
size_t overlay_hot_bytes(const struct overlay *overlay);

/* Opens a layer: index is what the next proposal will get. There is none open. */
void overlay_open(struct overlay *overlay, uint64_t index, uint64_t stamp_ms);
bool overlay_is_open(const struct overlay *overlay);
uint64_t overlay_open_index(const struct overlay *overlay);
uint64_t overlay_open_stamp_ms(const struct overlay *overlay);
/* Nothing joined yet: the stamp may still be raised and the index re-fixed. */
bool overlay_open_empty(const struct overlay *overlay);
void overlay_restamp(struct overlay *overlay, uint64_t stamp_ms);
/* Bytes the open layer would take as a payload, events included. */
size_t overlay_open_bytes(const struct overlay *overlay);
/* True when txn's writes fit into the open layer's entry (LIMIT_ENTRY); if not, seal first and run the
 * request again. */
bool overlay_fits(const struct overlay *overlay, const struct txn *txn);
/* Builds the payload (ENTRY_BATCH) of the open layer, to which somebody has joined: puts and deletes in key
 * order, the event block last joined under its 'e' key. The layer stays readable. */
void overlay_seal(struct overlay *overlay, struct buf *payload);
/* Closes an empty open layer without an entry. */
void overlay_cancel(struct overlay *overlay);
/* All layers up to index are applied: forget them. The hot cache keeps what is newest. */
void overlay_forget(struct overlay *overlay, uint64_t index);
/* Leadership is lost: every layer goes, and the hot cache: followers apply without an overlay, so whoever
 * becomes leader starts with an empty one. */
void overlay_drop(struct overlay *overlay);
size_t overlay_layers(const struct overlay *overlay);
size_t overlay_bytes(const struct overlay *overlay);

#endif /* TXN_OVERLAY_H */

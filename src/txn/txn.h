/* The reads and writes of one request.
 *
 * A transaction reads its own writes, then the overlay (writes of the leader
 * that are not yet applied), then the store. It writes into the open batch at
 * once and remembers how to take that back (layer.h): until txn_commit it can be
 * rolled back to a mark or dropped without a trace.
 *
 * One transaction runs at a time on a loop, start to end without waiting
 * (asserted), so it is serial by construction. */
#ifndef TXN_TXN_H
#define TXN_TXN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

struct overlay;
struct store;

/* There is one, the overlay's; the struct is in layer.h. */
struct txn;

/* overlay has an open batch (overlay.h), which fixes index and stamp; without one (on a follower) the
 * transaction only reads, and its time and index are 0. The arena serves cursors and copies of keys. A txn
 * that wrote nothing costs nothing at commit. */
struct txn *txn_begin(struct overlay *overlay, struct arena *arena);

/* The time of this transaction: the stamp of the open batch. */
uint64_t txn_now_ms(const struct txn *txn);
/* The version its writes will carry: index of the open batch and our ordinal in it, both fixed now.
 * Big-endian-comparable as (index << 20 | ordinal) fits 64 bits. */
uint64_t txn_index(const struct txn *txn);
uint32_t txn_ordinal(const struct txn *txn);

/* 0 and *value (borrowed until this transaction ends), ERR_NOT_FOUND, or ERR_IO /
 * ERR_CORRUPT from the store, which the caller passes up: the request fails whole. */
int txn_get(struct txn *txn, struct slice key, struct slice *value);
/* As txn_get, but a copy stays in the cache of hot rows from the first reading on, where txn_get waits for
 * the second: for rows that many transactions read and few write (a campaign, the active bundle). */
int txn_get_hot(struct txn *txn, struct slice key, struct slice *value);
/* Key and value are copied. There is an open batch. ERR_TOO_LARGE: key or value over LIMIT_ROW_KEY or
 * LIMIT_ROW_VALUE; ERR_FULL: LIMIT_TXN_WRITES, LIMIT_TXN_BYTES or LIMIT_TXN_CHURN; nothing is changed then.
 */
int txn_put(struct txn *txn, struct slice key, struct slice value);
int txn_delete(struct txn *txn, struct slice key);

/* An event or a timer told with the change: its bytes go into the batch's event block in
 * order (overlay.h has the block's layout). ERR_FULL as above. */
int txn_emit(struct txn *txn, struct slice event);

/* Everything after the mark can be undone: writes and events. */
struct txn_mark {
	size_t undo, events;
};
struct txn_mark txn_mark(struct txn *txn);
void txn_rollback(struct txn *txn, struct txn_mark mark);

bool txn_wrote(const struct txn *txn);
size_t txn_write_count(const struct txn *txn);
/* The highest index whose uncommitted writes this transaction has read, or 0: its reply must wait for that
 * commit (D3a). */
uint64_t txn_read_index(const struct txn *txn);

/* There is no room for what nobody asked for: who would write by the way asks txn_is_tight and lets it be.
 * What is written all the same counts as ever. */
void txn_tighten(struct txn *txn);
bool txn_is_tight(const struct txn *txn);

/* What takes the loop longer than a look at a row or two, in steps of about 10 ns as scripts count them: whoever
 * walks, or goes through a long value, says so, and who runs many commands asks when it is enough. */
void txn_spend(struct txn *txn, size_t steps);
uint64_t txn_spent(const struct txn *txn);

/* For EXPLAIN. From now on the keys that are read are kept in trace, each once, in order; those beyond its
 * bound are not and set more. Copies in the transaction's arena. */
#define TXN_TRACE_MAX 256
struct txn_trace {
	size_t count;
	bool more;
	struct slice keys[TXN_TRACE_MAX];
};
void txn_trace_reads(struct txn *txn, struct txn_trace *trace);
/* The keys that are written, in order of their first writing; *at begins at 0. Borrowed. */
bool txn_next_written(const struct txn *txn, size_t *at, struct slice *key, bool *deleted);

/* Ordered walk over [from, to) as this transaction sees it: own writes over
 * overlay over store. to empty: no upper end. Writes during the walk ahead of its
 * position are seen. */
struct txn_cursor;
struct txn_cursor *txn_cursor_open(struct txn *txn, struct slice from, struct slice to, bool backward);
bool txn_cursor_next(struct txn_cursor *cursor, struct slice *key,
		     struct slice *value); /* borrowed until the next call */
int txn_cursor_error(const struct txn_cursor *cursor);
void txn_cursor_close(struct txn_cursor *cursor); /* before the transaction ends */

/* Its writes and events stay in the open batch. The caller has checked overlay_fits. txn is over. */
void txn_commit(struct txn *txn);
/* They are taken back. One of the two is called, exactly once. */
void txn_abort(struct txn *txn);

#endif /* TXN_TXN_H */

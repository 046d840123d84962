/* A range of the database as one transaction saw it, kept for later: for walks that take too long for the
 * loop.
 *
 * What the overlay held there is copied when the view is opened, keys and the heads of values; the store's
 * part is RocksDB's snapshot of that moment. So transactions that come later, batches that are applied,
 * layers that are forgotten do not change a view. It is opened on the loop; then one thread at a time may
 * walk it and close it, whether its transaction, or leadership, is long over. */
#ifndef TXN_VIEW_H
#define TXN_VIEW_H

#include "txn/txn.h"

/* What the overlay may hold of a view's range, copied. */
#define VIEW_PENDING_MAX MIB(16)

struct txn_view;

/* [from, to) as txn sees it now; to empty: no upper end. Of a value that is not applied yet the first
 * head_max bytes are kept. removed_max: as store_cursor_open_short. Counts as a read of what is uncommitted (txn_read_index). NULL: more than
 * VIEW_PENDING_MAX waits to be applied. */
struct txn_view *txn_view_open(struct txn *txn, struct slice from, struct slice to, size_t head_max,
			       uint64_t removed_max);
/* In the order of keys; false at the end and on failure. Borrowed until the next call. */
bool txn_view_next(struct txn_view *view, struct slice *key, struct slice *value);
int txn_view_error(const struct txn_view *view);
void txn_view_close(struct txn_view *view); /* NULL ok; before the store closes */

#endif /* TXN_VIEW_H */

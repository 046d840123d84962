/* What a cursor and a view share: the layers of the overlay merged, without the store. Private to txn. */
#ifndef TXN_CURSOR_H
#define TXN_CURSOR_H

#include "txn/layer.h"

/* A cursor over the layers alone: no store stands behind it. Closed as any other. */
struct txn_cursor *cursor_open_layers(struct txn *txn, struct slice from, struct slice to, bool backward);
/* The newest version of the next key of the layers, deletions too; NULL at the end. */
const struct version *cursor_next_version(struct txn_cursor *cursor);

#endif /* TXN_CURSOR_H */

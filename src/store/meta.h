/* The meta record: which log entry the database stands after. Its layout:
 *
 *   offset  size  field
 *   0       1     version, 1
 *   1       7     zero
 *   8       8     index
 *   16      8     term
 *   24      16    chain(index), low half first
 *   40      8     stamp, ms since 1970
 *   48      8     cluster id
 *   56      8     node id
 *   64      8     index of the last applied configuration
 *   72      n     that configuration
 *   72 + n  8     XXH3-64 of all before
 *
 * All integers are little-endian. Private to the store. */
#ifndef STORE_META_H
#define STORE_META_H

#include "store/store.h"

/* The one key of the record. */
struct slice meta_key(void);
void meta_encode(const struct store_meta *meta, struct buf *out);
/* ERR_CORRUPT or ERR_VERSION; configuration is borrowed from record. */
int meta_decode(struct slice record, struct store_meta *meta);

#endif /* STORE_META_H */

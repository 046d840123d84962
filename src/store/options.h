/* How RocksDB is tuned. Private to the store. */
#ifndef STORE_OPTIONS_H
#define STORE_OPTIONS_H

#include <rocksdb/c.h>

#include "store/store.h"

/* Files before they are merged. Fewer would be merged sooner, and the level below rewritten as often: with 4,
 * each row of a long sale was written five times again, with 16 a little more than once. */
#define YOUNG_FILES 16

/* Its options are kept from its first opening: to read them out of a text costs a tenth of an opening. */
struct store_disk {
	rocksdb_env_t *env;
	rocksdb_options_t *options;
	uint64_t merge_at;
};

/* Options for one database; the caller destroys them after opening. NULL and err when RocksDB refuses them.
 */
rocksdb_options_t *options_new(const struct store_config *config, rocksdb_env_t *env, struct err *err);
/* For every iterator; the caller destroys them after it. */
rocksdb_readoptions_t *options_for_walk(void);
/* Turns RocksDB's message (freed) into a code and a text: ERR_NO_SPACE, ERR_CORRUPT, ERR_LOCKED, ERR_IO. */
int options_fail(char *message, struct err *err, const char *doing);

#endif /* STORE_OPTIONS_H */

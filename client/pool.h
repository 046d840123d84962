/* Memory of request texts: a few size classes with free lists, so that a
 * client in full swing calls malloc never. Larger texts come from malloc. */
#ifndef CLIENT_POOL_H
#define CLIENT_POOL_H

#include <stddef.h>

#define POOL_CLASSES 4

struct pool_block;
struct pool {
	struct pool_block *free[POOL_CLASSES];
	size_t kept[POOL_CLASSES]; /* blocks on the free list */
};

void pool_init(struct pool *pool);
void pool_fini(struct pool *pool);
/* Room for bytes; memory gone is fatal. */
void *pool_take(struct pool *pool, size_t bytes);
/* bytes: what was asked for. NULL ok. */
void pool_give(struct pool *pool, void *memory, size_t bytes);

#endif /* CLIENT_POOL_H */

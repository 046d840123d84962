/* What a queue and watched keys have in common: both keep words of a client, and both read arrays of the
 * leader. */
#ifndef SERVER_TRANSACTION_PRIVATE_H
#define SERVER_TRANSACTION_PRIVATE_H

#include "server/conn.h"

/* Room for one more element of size bytes; the array may move. */
void *transaction_grow(void *array, size_t count, size_t *cap, size_t size);
/* What copies of the words take at most. */
size_t transaction_words(const struct slice *argv, size_t argc);
/* With so much more all connections of the node hold too much, and this one more than a little of it. */
bool transaction_crowds(const struct conn *conn, size_t more);
/* Takes the head of an array reply: false when it is an error or a null. */
bool transaction_array(struct slice *bytes, int64_t *count);

#endif /* SERVER_TRANSACTION_PRIVATE_H */

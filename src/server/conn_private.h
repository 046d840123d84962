/* Between conn.c, which reads and writes, and conn_answer.c, which puts answers in order. */
#ifndef SERVER_CONN_PRIVATE_H
#define SERVER_CONN_PRIVATE_H

#include "server/conn.h"
#include "server/node_private.h"

/* Keeps the sum over all connections. */
static inline void conn_count_output(struct conn *conn)
{
	size_t bytes = conn_unsent(conn) + conn->held_bytes;
	conn->node->listener.output_bytes += bytes - conn->counted_output;
	conn->counted_output = bytes;
}

#endif /* SERVER_CONN_PRIVATE_H */

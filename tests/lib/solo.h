/* One database without a cluster: commands run on a real transaction over a
 * real overlay and a store in memory, and every few writes the overlay's open
 * layer is sealed, checked and applied. Time stands still until it is moved. */
#ifndef TESTS_LIB_SOLO_H
#define TESTS_LIB_SOLO_H

#include "base/buf.h"
#include "command/command.h"
#include "store/store.h"
#include "txn/overlay.h"

struct solo {
	struct store_disk *disk;
	struct store *store;
	struct overlay *overlay;
	struct arena arena;
	struct buf payload;
	uint64_t index, now_ms;
	unsigned transactions, seal_every; /* a layer is sealed and applied after so many transactions that wrote */
	unsigned db;
	int protocol;
};

void solo_open(struct solo *solo);
void solo_close(struct solo *solo);
/* Time goes on; the next transaction sees it. */
void solo_advance(struct solo *solo, uint64_t ms);
/* Seals and applies what is open. */
void solo_apply(struct solo *solo);
/* A transaction in the open layer; end it with solo_end. */
struct txn *solo_begin(struct solo *solo);
void solo_end(struct solo *solo, struct txn *txn, bool commit);
/* One command in a transaction of its own; the reply is appended to out. Unknown commands, wrong
 * arity and failures of the transaction are replies too. False when the table has no body for it. */
bool solo_run(struct solo *solo, const struct slice *argv, size_t argc, struct buf *out);
/* The words of a line, as an inline request has them; the reply as text, valid until the next call. */
const char *solo_line(struct solo *solo, struct buf *out, const char *line);
/* Rows in the store, after solo_apply, that begin with this byte. */
size_t solo_count(struct solo *solo, uint8_t table);

#endif /* TESTS_LIB_SOLO_H */

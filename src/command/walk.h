/* A walk over the live keys of a database, in their order, and the gathering of what it finds.
 *
 * Expired keys are passed over (and forgotten, see row.h). A walk ends at its bound. */
#ifndef COMMAND_WALK_H
#define COMMAND_WALK_H

#include "command/room.h"

struct walk {
	struct txn *txn;
	struct txn_cursor *cursor; /* NULL: the database has no keys */
	size_t rows, rows_max;     /* seen, dead ones included */
	int rc;
	size_t place_len; /* of the last key seen */
	uint8_t place[LIMIT_KEY];
};

/* Keys that begin with prefix; after: only those that are >= it (SLICE_NONE: all). When it fails there is nothing to close. */
int walk_open(struct walk *walk, struct command_call *call, struct slice prefix, struct slice after, bool backward);
/* The next live key, borrowed until the next call; false at the end, on failure and when rows_max rows were seen. */
bool walk_next(struct walk *walk, struct slice *key, struct row *row);
/* Ends the walk; *cut says whether its bound did and there is more. 0, ERR_IO or ERR_CORRUPT. */
int walk_close(struct walk *walk, bool *cut);

/* Copies of what was found, in the arena. Zero-initialised is empty. */
struct gather {
	struct slice *items;
	size_t count, cap, bytes;
};

void gather_add(struct gather *g, struct arena *arena, struct slice item);
void reply_gathered(struct reply *r, const struct gather *g);

#endif /* COMMAND_WALK_H */

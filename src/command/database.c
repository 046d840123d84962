/* Whole databases: FLUSHDB, FLUSHALL, SWAPDB, and the sweeping of what was flushed.
 *
 * A flush raises the database's generation, which is part of every row's key: one
 * write, whatever the database holds. The old rows are nobody's from
 * then on, and command_sweep removes them in bounded steps. Their entries in the
 * expiry index go when they are due. */
#include "command/room.h"

#include "base/err.h"

static int raise_generation(struct txn *txn, unsigned db)
{
	struct space space;
	int rc = space_get(txn, db, &space);

	if (rc != 0) {
		return rc;
	}
	if (!space.stored) {
		return 0; /* never had a key */
	}
	if (space.generation == UINT32_MAX) {
		return ERR_TOO_LARGE; /* a flush a millisecond for fifty days */
	}
	space.generation++;
	return space_put(txn, db, &space);
}

/* ASYNC and SYNC are the same here. */
static bool flush_arguments(struct command_call *call)
{
	if (call->argc == 1 || (call->argc == 2 && (argument_is(call, 1, "ASYNC") || argument_is(call, 1, "SYNC")))) {
		return true;
	}
	reply_syntax_error(call->reply);
	return false;
}

int flushdb_command(struct command_call *call)
{
	if (!flush_arguments(call)) {
		return 0;
	}
	reply_ok(call->reply);
	return raise_generation(call->txn, call->db);
}

int flushall_command(struct command_call *call)
{
	if (!flush_arguments(call)) {
		return 0;
	}
	reply_ok(call->reply);
	for (unsigned db = 0; db < COMMAND_DATABASES; db++) {
		int rc = raise_generation(call->txn, db);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static bool swap_argument(struct command_call *call, size_t at, const char *which, int64_t *db)
{
	if (slice_to_int64(call->argv[at], db) && *db >= INT32_MIN && *db <= INT32_MAX) {
		return true;
	}
	reply_error(call->reply, "ERR invalid %s DB index", which);
	return false;
}

int swapdb_command(struct command_call *call)
{
	struct space one, other;
	int64_t a, b;
	int rc;

	if (!swap_argument(call, 1, "first", &a) || !swap_argument(call, 2, "second", &b)) {
		return 0;
	}
	if (a < 0 || a >= COMMAND_DATABASES || b < 0 || b >= COMMAND_DATABASES) {
		reply_error(call->reply, "ERR DB index is out of range");
		return 0;
	}
	reply_ok(call->reply);
	rc = space_get(call->txn, (unsigned)a, &one);
	if (rc == 0) {
		rc = space_get(call->txn, (unsigned)b, &other);
	}
	if (rc == 0) {
		rc = space_put(call->txn, (unsigned)a, &other);
	}
	return rc != 0 ? rc : space_put(call->txn, (unsigned)b, &one);
}

bool command_row_name(struct txn *txn, struct slice row_key, unsigned *db, struct slice *key)
{
	uint8_t prefix[ROW_PREFIX];
	struct space space;

	for (*db = 0; *db < COMMAND_DATABASES; (*db)++) {
		if (space_get(txn, *db, &space) != 0) {
			return false;
		}
		space_prefix(&space, space.generation, prefix);
		if (slice_starts_with(row_key, slice_of(prefix, sizeof(prefix)))) {
			*key = slice_skip(row_key, ROW_PREFIX);
			return true;
		}
	}
	return false;
}

/* ---- sweeping ---- */

/* Deletes at most max rows of the flushed generations. It goes on where the last step
 * stopped: behind that lie only tombstones, which RocksDB would walk over each time. */
static int sweep_rows(struct txn *txn, struct space *space, size_t max, size_t *deleted, uint8_t *reached)
{
	struct slice from, to, key, value;
	struct txn_cursor *cursor;
	int rc = 0;
	uint8_t begin[ROW_PREFIX], end[ROW_PREFIX];

	space_prefix(space, space->swept, begin);
	space_prefix(space, space->generation, end);
	from = space->swept_to.len > 0 ? space->swept_to : slice_of(begin, sizeof(begin));
	to = slice_of(end, sizeof(end));
	cursor = txn_cursor_open(txn, from, to, false);
	space->swept_to = SLICE_NONE;
	while (rc == 0 && txn_cursor_next(cursor, &key, &value)) {
		if (*deleted == max) {
			break;
		}
		if (key.len > ROW_PREFIX + LIMIT_KEY) {
			rc = ERR_CORRUPT;
			break;
		}
		memcpy(reached, key.data, key.len);
		space->swept_to = slice_of(reached, key.len);
		rc = txn_delete(txn, space->swept_to);
		*deleted += rc == 0;
	}
	if (rc == 0) {
		rc = txn_cursor_error(cursor);
	}
	txn_cursor_close(cursor);
	return rc;
}

static int sweep_database(struct txn *txn, unsigned db, size_t max, size_t *deleted, bool *more)
{
	uint8_t reached[ROW_PREFIX + LIMIT_KEY];
	struct space space;
	int rc = space_get(txn, db, &space);

	if (rc != 0 || space.swept == space.generation) {
		return rc;
	}
	if (*deleted == max) {
		*more = true;
		return 0;
	}
	rc = sweep_rows(txn, &space, max, deleted, reached);
	if (rc != 0) {
		return rc;
	}
	if (*deleted == max) {
		*more = true; /* perhaps: the next step finds out */
	} else {
		space.swept = space.generation;
		space.swept_to = SLICE_NONE;
	}
	return space_put(txn, db, &space);
}

int command_sweep(struct txn *txn, size_t max, size_t *deleted, bool *more)
{
	*deleted = 0;
	*more = false;
	for (unsigned db = 0; db < COMMAND_DATABASES && !*more; db++) {
		int rc = sweep_database(txn, db, max, deleted, more);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

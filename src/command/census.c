#include "command/census.h"

#include <assert.h>
#include <stdlib.h>

#include "command/room.h"
#include "store/keys.h"
#include "txn/view.h"

_Static_assert(CENSUS_DATABASES == COMMAND_DATABASES, "a count a database");

struct command_census {
	struct txn_view *view; /* NULL: through */
	uint64_t now_ms;
	int status;
	uint8_t prefixes[CENSUS_DATABASES][ROW_PREFIX]; /* of the databases' keys */
	struct census_count counts[CENSUS_DATABASES];
};

struct command_census *command_census_open(struct txn *txn, uint64_t now_ms)
{
	static const uint8_t from[] = {TABLE_KV}, to[] = {TABLE_KV + 1};
	struct command_census *census = calloc(1, sizeof(*census));
	int rc = 0;

	if (census == NULL) {
		fatal("out of memory: a count of all keys");
	}
	census->now_ms = now_ms;
	for (unsigned db = 0; db < CENSUS_DATABASES && rc == 0; db++) {
		struct space space;
		rc = space_get(txn, db, &space);
		if (rc == 0) {
			space_prefix(&space, space.generation, census->prefixes[db]);
		}
	}
	if (rc == 0) {
		census->view = txn_view_open(txn, slice_of(from, sizeof(from)), slice_of(to, sizeof(to)), ROW_HEAD_MAX);
	}
	if (census->view == NULL) {
		free(census);
		return NULL;
	}
	return census;
}

/* Rows of a generation that was flushed are nobody's. */
static void census_see(struct command_census *census, struct slice row_key, struct slice value)
{
	struct row_head head;

	if (!row_head_decode(value, &head)) {
		census->status = ERR_CORRUPT;
		return;
	}
	if (head.expire_at_ms != 0 && head.expire_at_ms <= census->now_ms) {
		return;
	}
	for (unsigned db = 0; db < CENSUS_DATABASES; db++) {
		if (slice_starts_with(row_key, slice_of(census->prefixes[db], ROW_PREFIX))) {
			census->counts[db].keys++;
			census->counts[db].expires += head.expire_at_ms != 0;
			return;
		}
	}
}

bool command_census_step(struct command_census *census, size_t rows)
{
	struct slice key, value;

	if (census->view == NULL) {
		return false;
	}
	for (; rows > 0 && census->status == 0; rows--) {
		if (!txn_view_next(census->view, &key, &value)) {
			census->status = txn_view_error(census->view);
			break;
		}
		census_see(census, key, value);
	}
	if (rows == 0 && census->status == 0) {
		return true;
	}
	txn_view_close(census->view);
	census->view = NULL;
	return false;
}

int command_census_counts(const struct command_census *census, struct census_count counts[CENSUS_DATABASES])
{
	assert(census->view == NULL);
	if (census->status == 0) {
		memcpy(counts, census->counts, sizeof(census->counts));
	}
	return census->status;
}

void command_census_close(struct command_census *census)
{
	if (census != NULL) {
		txn_view_close(census->view);
		free(census);
	}
}

#include "command/census.h"

#include <assert.h>
#include <stdlib.h>

#include "command/room.h"
#include "command/tour.h"
#include "base/list.h"
#include "store/keys.h"

_Static_assert(CENSUS_DATABASES == COMMAND_DATABASES, "a count a database");

struct command_census {
	struct tour tour;
	uint8_t prefixes[CENSUS_DATABASES][ROW_PREFIX]; /* of the databases' keys */
	struct census_count counts[CENSUS_DATABASES];
};

struct command_census *command_census_open(struct txn *txn, uint64_t now_ms, uint64_t removed_max)
{
	static const uint8_t from[] = {TABLE_KV}, to[] = {TABLE_KV + 1};
	struct command_census *census = calloc(1, sizeof(*census));
	int rc = 0;

	if (census == NULL) {
		fatal("out of memory: a count of all keys");
	}
	for (unsigned db = 0; db < CENSUS_DATABASES && rc == 0; db++) {
		struct space space;
		rc = space_get(txn, db, &space);
		if (rc == 0) {
			space_prefix(&space, space.generation, census->prefixes[db]);
		}
	}
	if (rc == 0) {
		rc = tour_open(&census->tour, txn, slice_of(from, sizeof(from)), slice_of(to, sizeof(to)), now_ms,
		               removed_max);
	}
	if (rc != 0) {
		free(census);
		return NULL;
	}
	return census;
}

/* Rows of a generation that was flushed are nobody's. */
static bool census_see(struct tour *tour, struct slice row_key, const struct row_head *head)
{
	struct command_census *census = list_entry(tour, struct command_census, tour);

	if (tour_expired(tour, head)) {
		return true;
	}
	for (unsigned db = 0; db < CENSUS_DATABASES; db++) {
		if (slice_starts_with(row_key, slice_of(census->prefixes[db], ROW_PREFIX))) {
			census->counts[db].keys++;
			census->counts[db].expires += head->expire_at_ms != 0;
			return true;
		}
	}
	return true;
}

bool command_census_step(struct command_census *census, size_t rows)
{
	return tour_step(&census->tour, rows, census_see);
}

int command_census_counts(const struct command_census *census, struct census_count counts[CENSUS_DATABASES])
{
	assert(census->tour.view == NULL);
	if (census->tour.status == 0) {
		memcpy(counts, census->counts, sizeof(census->counts));
	}
	return census->tour.status;
}

void command_census_close(struct command_census *census)
{
	if (census != NULL) {
		tour_close(&census->tour);
		free(census);
	}
}

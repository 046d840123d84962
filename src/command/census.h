/* How many keys the databases hold, for INFO: a walk over all of them in steps, as survey.h has it, and off the loop
 * for all but the first. */
#ifndef COMMAND_CENSUS_H
#define COMMAND_CENSUS_H

#include "txn/txn.h"

#define CENSUS_DATABASES 16

struct census_count {
	uint64_t keys, expires; /* live keys, and those of them that expire */
};

struct command_census;
/* As txn sees them now, with what has expired at now_ms left out. removed_max: as txn_view_open. NULL: not now, too much
 * waits to be applied, or the database cannot be read. */
struct command_census *command_census_open(struct txn *txn, uint64_t now_ms, uint64_t removed_max);
/* Looks at rows more keys; false when it is through. On any one thread. */
bool command_census_step(struct command_census *census, size_t rows);
/* Through: what was found. 0, ERR_IO, ERR_CORRUPT, or ERR_BUSY: too many removed rows. */
int command_census_counts(const struct command_census *census, struct census_count counts[CENSUS_DATABASES]);
void command_census_close(struct command_census *census); /* NULL ok; before the store closes */

#endif /* COMMAND_CENSUS_H */

/* A tour of the rows of a view, in steps, on any one thread: what KEYS, DBSIZE and the counts for INFO are when they
 * have left the loop. */
#ifndef COMMAND_TOUR_H
#define COMMAND_TOUR_H

#include "command/row.h"
#include "txn/view.h"

struct tour {
	struct txn_view *view; /* NULL: it is through, or there was nothing to see */
	uint64_t now_ms;       /* what has expired then is not there any more */
	int status;            /* 0, or what ended it: ERR_IO, ERR_CORRUPT, ERR_BUSY (removed_max) */
};

/* [from, to) as txn sees it now; removed_max: as txn_view_open. 0; ERR_BUSY: more than VIEW_PENDING_MAX waits to be
 * applied. */
int tour_open(struct tour *tour, struct txn *txn, struct slice from, struct slice to, uint64_t now_ms,
              uint64_t removed_max);
/* Shows see at most rows more, until it answers false. False when the tour is through: then it holds nothing of the
 * store any more. */
bool tour_step(struct tour *tour, size_t rows,
               bool (*see)(struct tour *tour, struct slice row_key, const struct row_head *head));
static inline bool tour_expired(const struct tour *tour, const struct row_head *head)
{
	return head->expire_at_ms != 0 && head->expire_at_ms <= tour->now_ms;
}
void tour_close(struct tour *tour); /* also one that was never opened; before the store closes */

#endif /* COMMAND_TOUR_H */

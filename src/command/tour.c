#include "command/tour.h"

#include "base/err.h"

int tour_open(struct tour *tour, struct txn *txn, struct slice from, struct slice to, uint64_t now_ms,
              uint64_t removed_max)
{
	*tour = (struct tour){.view = txn_view_open(txn, from, to, ROW_HEAD_MAX, removed_max), .now_ms = now_ms};
	return tour->view == NULL ? ERR_BUSY : 0;
}

bool tour_step(struct tour *tour, size_t rows,
               bool (*see)(struct tour *tour, struct slice row_key, const struct row_head *head))
{
	struct slice key, value;
	struct row_head head;

	if (tour->view == NULL) {
		return false;
	}
	for (; rows > 0; rows--) {
		if (!txn_view_next(tour->view, &key, &value)) {
			tour->status = txn_view_error(tour->view);
			break;
		}
		if (!row_head_decode(value, &head)) {
			tour->status = ERR_CORRUPT;
			break;
		}
		if (!see(tour, key, &head)) {
			break;
		}
	}
	if (rows == 0) {
		return true;
	}
	tour_close(tour);
	return false;
}

void tour_close(struct tour *tour)
{
	txn_view_close(tour->view);
	tour->view = NULL;
}

#include "tests/check/ring.h"

#include <inttypes.h>

int ring_check(const int64_t *next, size_t count, struct err *err)
{
	int64_t at = 0;
	for (size_t step = 1; step <= count; step++) {
		if (at < 0 || (size_t)at >= count) {
			return err_set(err, ERR_INVALID, "ring: a link leaves the ring to %" PRId64, at);
		}
		at = next[at];
		if (at == 0 && step < count) {
			return err_set(err, ERR_INVALID, "ring: closed after %zu of %zu nodes", step, count);
		}
	}
	return at == 0 ? 0 : err_set(err, ERR_INVALID, "ring: not closed after %zu nodes", count);
}

int ring_check_history(const struct history *history, struct err *err)
{
	size_t nodes = 0;
	uint64_t laid_us = HISTORY_NEVER;
	for (size_t i = 0; i < history->count; i++) {
		const struct history_op *op = &history->ops[i];
		if (op->function == HISTORY_RING && op->outcome != HISTORY_FAIL) {
			nodes = op->list_count;
			laid_us = op->returned_us;
		}
	}
	for (size_t i = 0; i < history->count; i++) {
		const struct history_op *op = &history->ops[i];
		if (op->function != HISTORY_LINKS || op->outcome != HISTORY_OK) {
			continue;
		}
		if (!op->found && op->invoked_us <= laid_us) {
			continue;
		}
		if (!op->found || op->list_count != nodes) {
			return err_set(err, ERR_INVALID, "ring: client %u saw %zu of %zu nodes", op->client,
				       op->list_count, nodes);
		}
		if (ring_check(op->list, nodes, err) != 0) {
			return ERR_INVALID;
		}
	}
	return 0;
}

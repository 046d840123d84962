/* So many measured times, all of them kept: what few, dear measurements deserve
 * (a failover takes seconds). Quantiles are measured values, not interpolated. */
#ifndef CLIENT_TOOL_DISTRIBUTION_H
#define CLIENT_TOOL_DISTRIBUTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define DISTRIBUTION_MAX 1000

struct distribution {
	uint64_t us[DISTRIBUTION_MAX]; /* in ascending order */
	size_t count;
};

/* At most DISTRIBUTION_MAX; zeroed memory is an empty one. */
void distribution_add(struct distribution *d, uint64_t us);
/* The smallest value that permille of 1000 do not exceed (1000: the largest). 0 when empty. */
uint64_t distribution_quantile(const struct distribution *d, unsigned permille);
/* `n 30 · median 188 ms · p99 227 ms · max 227 ms` and a histogram, to standard output. */
void distribution_print(const struct distribution *d);
/* Members "n", "min_ms", "median_ms", "p99_ms", "max_ms", "all_ms" of the object that out is in. */
void distribution_json(const struct distribution *d, struct buf *out);

#endif /* CLIENT_TOOL_DISTRIBUTION_H */

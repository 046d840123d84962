/* Latencies as HdrHistogram counts them: buckets of constant relative width
 * (1/64), from 1 to 2^40, fixed memory. Units are the caller's (us here). */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS (36 * 64) /* 2^41 and above share the last */

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS];
	uint64_t count, sum, min, max;
};

void histogram_init(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
/* The value below which `permille` of 1000 lie (500 = median, 999 = p99.9). 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, unsigned permille);

#endif /* BASE_HISTOGRAM_H */

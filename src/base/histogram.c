#include "base/histogram.h"

#include <assert.h>
#include <string.h>

/* Values below 128 have a bucket each; above, 64 buckets a power of two. */
static unsigned bucket_of(uint64_t value)
{
	if (value < 128) {
		return (unsigned)value;
	}
	unsigned top = 63 - (unsigned)__builtin_clzll(value);
	unsigned bucket = (top - 6) * 64 + (unsigned)(value >> (top - 6));
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The highest value that falls into a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
	if (bucket < 128) {
		return bucket;
	}
	unsigned shift = bucket / 64 - 1;
	uint64_t base = (uint64_t)(bucket % 64 + 64) << shift;
	return base + ((uint64_t)1 << shift) - 1;
}

void histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->buckets[bucket_of(value)]++;
	h->sum += value;
	h->min = h->count == 0 || value < h->min ? value : h->min;
	h->max = value > h->max ? value : h->max;
	h->count++;
}

uint64_t histogram_quantile(const struct histogram *h, unsigned permille)
{
	assert(permille <= 1000);
	if (h->count == 0) {
		return 0;
	}
	uint64_t rank = (h->count * permille + 999) / 1000;
	uint64_t seen = 0;
	for (unsigned i = bucket_of(h->min); i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank && seen > 0) {
			uint64_t top = bucket_top(i);
			return top < h->max ? top : h->max;
		}
	}
	return h->max;
}

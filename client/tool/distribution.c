#include "client/tool/distribution.h"

#include <assert.h>
#include <stdio.h>

#include "client/tool/json_out.h"
#include "client/tool/print.h"

/* Of the histogram. */
#define ROWS 12
#define COLUMNS 40

void distribution_add(struct distribution *d, uint64_t us)
{
	assert(d->count < DISTRIBUTION_MAX);
	size_t at = d->count++;
	for (; at > 0 && d->us[at - 1] > us; at--) {
		d->us[at] = d->us[at - 1];
	}
	d->us[at] = us;
}

uint64_t distribution_quantile(const struct distribution *d, unsigned permille)
{
	assert(permille <= 1000);
	if (d->count == 0) {
		return 0;
	}
	size_t rank = (d->count * permille + 999) / 1000;
	return d->us[rank > 0 ? rank - 1 : 0];
}

/* 1, 2 or 5 times a power of ten, so that the rows begin at round numbers. */
static uint64_t round_step(uint64_t least)
{
	uint64_t power = 1;
	while (power * 10 < least) {
		power *= 10;
	}
	return least <= power       ? power
	       : least <= 2 * power ? 2 * power
	       : least <= 5 * power ? 5 * power
				    : 10 * power;
}

static void print_histogram(const struct distribution *d)
{
	uint64_t from = d->us[0];
	uint64_t step = round_step((d->us[d->count - 1] - from) / ROWS + 1);
	size_t counts[ROWS + 2] = {0};
	size_t most = 0;
	from -= from % step;
	for (size_t i = 0; i < d->count; i++) {
		size_t row = (size_t)((d->us[i] - from) / step);
		assert(row < ROWS + 2);
		counts[row]++;
		most = counts[row] > most ? counts[row] : most;
	}
	for (size_t row = 0; from + row * step <= d->us[d->count - 1]; row++) {
		char room[32];
		printf("  from %10s %5zu ", print_us(from + row * step, room, sizeof(room)), counts[row]);
		for (size_t i = 0; i < (counts[row] * COLUMNS + most - 1) / most; i++) {
			fputs("█", stdout);
		}
		printf("\n");
	}
}

void distribution_print(const struct distribution *d)
{
	char rooms[4][32];
	if (d->count == 0) {
		printf("n 0\n");
		return;
	}
	printf("n %zu · min %s · median %s · p99 %s · max %s\n", d->count, print_us(d->us[0], rooms[0], 32),
	       print_us(distribution_quantile(d, 500), rooms[1], 32),
	       print_us(distribution_quantile(d, 990), rooms[2], 32),
	       print_us(distribution_quantile(d, 1000), rooms[3], 32));
	if (d->count > 1) {
		print_histogram(d);
	}
}

void distribution_json(const struct distribution *d, struct buf *out)
{
	json_out_int(out, "n", (int64_t)d->count);
	json_out_int(out, "min_ms", (int64_t)distribution_quantile(d, 0) / 1000);
	json_out_int(out, "median_ms", (int64_t)distribution_quantile(d, 500) / 1000);
	json_out_int(out, "p99_ms", (int64_t)distribution_quantile(d, 990) / 1000);
	json_out_int(out, "max_ms", (int64_t)distribution_quantile(d, 1000) / 1000);
	json_out_name(out, "all_ms");
	buf_append_byte(out, '[');
	for (size_t i = 0; i < d->count; i++) {
		buf_appendf(out, "%s%llu", i == 0 ? "" : ",", (unsigned long long)d->us[i] / 1000);
	}
	buf_append_byte(out, ']');
}

/* Quantiles of a few dear measurements: measured values, whatever order they came in. */
#include "client/tool/distribution.h"

#include "tests/lib/tap.h"

static void quantiles(void)
{
	struct distribution d = {.count = 0};
	is_int(distribution_quantile(&d, 500), 0, "nothing measured has no median");
	static const uint64_t us[] = {40, 10, 30, 50, 20};
	for (size_t i = 0; i < 5; i++) {
		distribution_add(&d, us[i]);
	}
	is_int(distribution_quantile(&d, 0), 10, "the least comes first, whatever was measured first");
	is_int(distribution_quantile(&d, 500), 30, "half of five is the third");
	is_int(distribution_quantile(&d, 990), 50, "99 of 100 of five are all of them");
	is_int(distribution_quantile(&d, 1000), 50, "and the most is the last");
	distribution_add(&d, 60);
	is_int(distribution_quantile(&d, 500), 30, "of six, the third is one that half do not exceed");
}

static void hundred(void)
{
	struct distribution d = {.count = 0};
	for (uint64_t i = 200; i > 0; i--) {
		distribution_add(&d, i);
	}
	is_int(distribution_quantile(&d, 990), 198, "p99 of 1 to 200 is 198");
	is_int(distribution_quantile(&d, 1), 1, "a share smaller than one value is the least value");
}

static void json(void)
{
	struct distribution d = {.count = 0};
	struct buf out;
	distribution_add(&d, 188000);
	distribution_add(&d, 227000);
	buf_init(&out, 4096);
	buf_append_byte(&out, '{');
	distribution_json(&d, &out);
	buf_append_byte(&out, '\0');
	is_str((const char *)out.data,
	       "{\"n\":2,\"min_ms\":188,\"median_ms\":188,\"p99_ms\":227,\"max_ms\":227,\"all_ms\":[188,227]",
	       "programs get milliseconds, and every value");
	buf_fini(&out);
}

int main(void)
{
	quantiles();
	hundred();
	json();
	return tap_done();
}

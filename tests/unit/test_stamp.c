#include "engine/stamp.h"

#include "tests/lib/tap.h"

#define SECOND_US 1000000ull

static void test_follows_the_wall(void)
{
	struct stamp s;
	stamp_init(&s, 0, 0);
	is_int(stamp_take(&s, 5000, 0), 5000, "an empty shard believes the first clock");
	stamp_observe(&s, 5000, 0);
	is_int(stamp_take(&s, 5100, SECOND_US / 10), 5100, "a stamp follows the wall clock");
	is_int(stamp_take(&s, 4000, SECOND_US / 10), 5100, "and never falls when the clock does");
}

static void test_bound(void)
{
	struct stamp s;
	stamp_init(&s, 10000, 0);
	is_int(stamp_take(&s, 99999999, 0), 10000 + STAMP_STEP_MS,
	       "a clock in the future moves a stamp by one step");
	is_int(stamp_take(&s, 99999999, 0), 10000 + STAMP_STEP_MS,
	       "however often it is asked without an entry");
	stamp_observe(&s, 10000 + STAMP_STEP_MS, 0);
	is_int(stamp_take(&s, 99999999, 0), 10000 + 2 * STAMP_STEP_MS, "an entry gives one step more");
	stamp_init(&s, 10000, 0);
	is_int(stamp_take(&s, 99999999, 30 * SECOND_US), 10000 + 30000 + STAMP_STEP_MS,
	       "elapsed time is given in full");
	is_int(stamp_lag_ms(&s, 50000, 30 * SECOND_US), 50000 - 41000,
	       "the lag is what the bound holds back");
	is_int(stamp_lag_ms(&s, 40000, 30 * SECOND_US), 0,
	       "there is none while the wall is within the bound");
}

static void test_agreement(void)
{
	struct stamp s;
	stamp_init(&s, 10000, 0);
	stamp_agree(&s, 70000);
	is_int(stamp_take(&s, 70010, 0), 70000, "what a majority's clocks have reached is believed at once");
	is_int(stamp_lag_ms(&s, 99999, 0), 29999, "what is ahead of them is not");
	stamp_init(&s, 10000, 0);
	stamp_agree(&s, 70000);
	is_int(stamp_take(&s, 10500, 0), 10500, "our own clock may be behind theirs");
	stamp_init(&s, 10000, 0);
	stamp_agree(&s, 5000);
	is_int(stamp_take(&s, 99999, 0), 10000 + STAMP_STEP_MS, "and theirs behind the bound");
	stamp_init(&s, 0, 0);
	stamp_agree(&s, 70000);
	is_int(stamp_take(&s, 99999, 0), 70000, "an empty shard believes them sooner than one clock");
}

static void test_floor(void)
{
	struct stamp s;
	stamp_init(&s, 10000, 0);
	uint64_t shown = stamp_take(&s, 10900, 0);
	is_int(shown, 10900, "a read is shown a time");
	is_int(stamp_take(&s, 10100, 0), 10900, "and no later batch contradicts it");
	stamp_observe(&s, 10500, 0);
	is_int(stamp_take(&s, 10100, 0), 10900, "nor when an older stamp comes from a peer");
	stamp_observe(&s, 20000, 0);
	is_int(stamp_take(&s, 10100, 0), 20000, "a higher one from a peer is the new floor");
	stamp_observe(&s, 15000, 9 * SECOND_US);
	is_int(s.last_ms, 20000, "a lower one is not");
}

int main(void)
{
	test_follows_the_wall();
	test_bound();
	test_agreement();
	test_floor();
	return tap_done();
}

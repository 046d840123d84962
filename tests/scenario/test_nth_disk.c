/* The N-th disk call fails, for every N until a life needs no more calls: over a
 * first start, writes that fill segments, flushes, trims, a restart with replay.
 *
 * After each the node either goes on, or stops or refuses with one line; on the
 * good disk it comes back by itself or by hand, with all that was acknowledged,
 * also after a power cut.
 *
 * With TALLY_TEST_STRIDE=7 every seventh call fails: under memcheck a life takes half a second. */
#include "tests/scenario/stage.h"

#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITES 24
#define CALLS_MAX 5000 /* more than any life here makes: something repeats without end */

static const char *const kinds[] = {
	[SIM_NTH_ERROR] = "an I/O error",
	[SIM_NTH_NO_SPACE] = "no space left",
	[SIM_NTH_SHORT_WRITE] = "a short write",
	[SIM_NTH_SHORT_READ] = "a short read",
};

struct sum {
	uint64_t calls, stops, refusals, unharmed, lost, silent, judged;
};

static void key_of(unsigned i, char *key, char *value)
{
	snprintf(key, 16, "k%u", i);
	snprintf(value, 1001, "%0*u", 700 + (int)(i * 11 % 300), i);
}

/* Returns how many were acknowledged: bit i for key i. */
static uint32_t write_some(struct stage *s, unsigned from, unsigned to)
{
	uint32_t done = 0;
	for (unsigned i = from; i < to; i++) {
		char key[16], value[1001];
		key_of(i, key, value);
		if (stage_set(s, key, value) == TALLY_DONE) {
			done |= (uint32_t)1 << i;
		}
	}
	return done;
}

static bool said(const struct member *m, const char *what)
{
	for (size_t i = 0; i < FLEET_LOG_LINES; i++) {
		if (strstr(m->lines[i], what) != NULL) {
			return true;
		}
	}
	return false;
}

/* A member that was given up because its disk had lied: the disk is good again, and somebody starts it. */
static void start_by_hand(struct stage *s)
{
	struct member *m = &s->fleet.members[0];
	if (m->state == MEMBER_LOST) {
		m->state = MEMBER_DOWN;
		fleet_start_in(&s->fleet, 0, 1000);
	}
}

static uint32_t count_lost(struct stage *s, uint32_t acknowledged)
{
	uint32_t lost = 0;
	for (unsigned i = 0; i < WRITES; i++) {
		char key[16], value[1001];
		key_of(i, key, value);
		if ((acknowledged >> i & 1) != 0) {
			const char *text = stage_get(s, key);
			lost += text == NULL || strcmp(text, value) != 0;
		}
	}
	return lost;
}

/* False when the life had no N-th call. */
static bool life(uint64_t seed, enum sim_disk_nth kind, uint64_t n, struct sum *sum)
{
	struct stage s;
	stage_open(&s, seed + n, 1); /* what a power cut leaves is the seed's affair */
	struct fleet *fleet = &s.fleet;
	struct member *m = &fleet->members[0];
	m->config.segment_bytes = KIB(8);
	m->config.flush_entries = 8;
	sim_disk_fail_nth(m->host, kind, n);
	if (kind == SIM_NTH_NO_SPACE || kind == SIM_NTH_SHORT_WRITE) {
		sim_disk_faults(m->host)->capacity = UINT64_MAX; /* tells the fleet that a refusal may be */
	}
	uint32_t acknowledged = write_some(&s, 0, WRITES / 2);
	stage_kill(&s, 0, SIM_KILL_PROCESS, 1);
	start_by_hand(&s);
	acknowledged |= write_some(&s, WRITES / 2, WRITES);
	bool happened = !sim_disk_nth_waits(m->host);
	sim_disk_fail_nth(m->host, kind, 0);
	bool silent = happened && fleet->truth_lost > 0 && !said(m, "stopped");
	silent = silent || (happened && fleet->refused > 0 && !said(m, "refused"));
	start_by_hand(&s);
	stage_kill(&s, 0, SIM_KILL_POWER, 1000);
	uint32_t lost = count_lost(&s, acknowledged);
	if (lost > 0 || silent || s.judge.failed || m->state != MEMBER_UP) {
		tap_note("%s at call %llu: %u lost, judge: %s", kinds[kind], (unsigned long long)n, lost,
			 s.judge.failure);
		fleet_print(fleet);
	}
	sum->calls += happened;
	sum->stops += fleet->truth_lost > 0;
	sum->refusals += fleet->refused > 0;
	sum->unharmed += happened && fleet->truth_lost == 0 && fleet->refused == 0;
	sum->lost += lost > 0 || m->state != MEMBER_UP;
	sum->silent += silent;
	sum->judged += s.judge.failed;
	stage_end(&s);
	return happened;
}

/* 1: each call in its turn. */
static uint64_t stride(void)
{
	const char *text = getenv("TALLY_TEST_STRIDE");
	uint64_t step = text != NULL ? strtoull(text, NULL, 10) : 1;
	return step > 0 ? step : 1;
}

static void test_each(uint64_t seed, enum sim_disk_nth kind, uint64_t n)
{
	struct sum sum = {0};
	uint64_t step = stride();
	while (n < CALLS_MAX && life(seed, kind, n, &sum)) {
		n += step;
	}
	tap_note("%s: %llu calls; %llu lives stopped, %llu refused to start, %llu went on", kinds[kind],
		 (unsigned long long)sum.calls, (unsigned long long)sum.stops,
		 (unsigned long long)sum.refusals, (unsigned long long)sum.unharmed);
	ok(sum.calls > 5 / step && n < CALLS_MAX, "%s at every call of a life, one after the other",
	   kinds[kind]);
	is_int(sum.lost, 0, "%s: on the good disk the node is back with all that was acknowledged",
	       kinds[kind]);
	is_int(sum.silent, 0, "%s: who stops or refuses says so", kinds[kind]);
	is_int(sum.judged, 0, "%s: nothing is applied twice, out of order or not at all", kinds[kind]);
}

int main(void)
{
	test_each(1000, SIM_NTH_ERROR, 1);
	test_each(7000, SIM_NTH_ERROR,
		  150); /* the end again, with another choice of what a power cut leaves */
	test_each(1000, SIM_NTH_NO_SPACE, 1);
	test_each(1000, SIM_NTH_SHORT_WRITE, 1);
	test_each(1000, SIM_NTH_SHORT_READ, 1);
	return tap_done();
}

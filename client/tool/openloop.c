#include "client/tool/openloop.h"

#define TICK_MS 1
#define BURST_US 100000 /* a generator that was not run for longer does not make up for it */
/* Asked in one tick, at most: what is refused at once makes room before more is asked, so that a generator that
 * has to catch up does not touch more memory than its processor holds close by. Four million a second. */
#define TICK_ASKS 4096

/* How long ago the next request was due, beyond a tick. */
static uint64_t openloop_late_us(const struct openloop *loop, uint64_t now_us)
{
	if (loop->rate == 0) {
		return 0;
	}
	uint64_t due_us = loop->since_us + (uint64_t)((double)loop->due * 1e6 / (double)loop->rate);
	return now_us > due_us + TICK_MS * 1000 ? now_us - due_us - TICK_MS * 1000 : 0;
}

static void openloop_tick_cb(struct env_timer *timer)
{
	struct openloop *loop = list_entry(timer, struct openloop, tick);
	uint64_t now_us = env_now_us(loop->env);
	histogram_add(&loop->late, openloop_late_us(loop, now_us));
	uint64_t due = (uint64_t)((double)loop->rate * (double)(now_us - loop->since_us) / 1e6);
	uint64_t most = loop->rate * BURST_US / 1000000 + 1;
	if (due - loop->due > most) {
		loop->held += due - loop->due - most;
		loop->due = due - most;
	}
	for (unsigned asks = 0; loop->due < due && asks < TICK_ASKS; loop->due++, asks++) {
		if (loop->ask(loop, loop->seq, now_us)) {
			loop->seq++;
		} else {
			loop->held++;
		}
	}
	if (loop->asked != NULL) {
		loop->asked(loop);
	}
	env_timer_start(timer, TICK_MS);
}

void openloop_set_rate(struct openloop *loop, uint64_t rate)
{
	loop->rate = rate;
	loop->since_us = env_now_us(loop->env);
	loop->due = 0;
	histogram_init(&loop->late);
}

void openloop_start(struct openloop *loop)
{
	env_timer_init(loop->env, &loop->tick, openloop_tick_cb);
	openloop_set_rate(loop, 0);
	env_timer_start(&loop->tick, TICK_MS);
}

void openloop_stop(struct openloop *loop)
{
	env_timer_stop(&loop->tick);
}

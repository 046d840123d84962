/* The turn of the libuv body.
 *
 *   prepare   hooks and due callbacks left over or armed outside a turn;
 *             the clock is read: due_us; wake is armed for the earliest timer
 *   poll      sleeps, then socket input and finished work
 *   check     timers up to due_us, then hooks and due callbacks
 *
 * Only timers that were due before the poll fire after it, so whatever had
 * arrived when a timer expired is read first, however long the loop stood
 * still. A uv timer does nothing but end the sleep. */
#include "env/uv_body.h"

#include <assert.h>

#define TURN_ROUNDS 64 /* hooks that keep arming each other go on in the next turn, behind fresh input */

/* True when anything was called. */
static bool turn_end(struct uv_env *e)
{
	bool any = false;
	for (int round = 0; round < TURN_ROUNDS && !e->env.dead; round++) {
		bool hooks = env_schedule_hooks(&e->env);
		bool reports = uv_stream_report(e);
		if (!hooks && !reports) {
			break;
		}
		any = true;
	}
	return any;
}

static bool turn_pending(const struct uv_env *e)
{
	return !list_empty(&e->env.hooks) || !list_empty(&e->written) || !list_empty(&e->gone);
}

static void wake_cb(uv_timer_t *timer)
{
	struct uv_env *e = (struct uv_env *)timer->data;
	e->wake_at_us = UINT64_MAX;
}

static void arm_wake(struct uv_env *e, bool now)
{
	uint64_t at = now ? 0 : env_schedule_next(&e->env);
	if (at == UINT64_MAX) {
		if (e->wake_at_us != UINT64_MAX) {
			uv_timer_stop(&e->wake);
			e->wake_at_us = UINT64_MAX;
		}
		return;
	}
	if (at == e->wake_at_us && at > e->due_us) {
		return; /* armed for it already */
	}
	uint64_t wait_ms = at > e->due_us ? (at - e->due_us + 999) / 1000 : 0;
	uv_update_time(e->loop);
	uv_timer_start(&e->wake, wake_cb, wait_ms, 0);
	e->wake_at_us = at;
}

static void prepare_cb(uv_prepare_t *prepare)
{
	struct uv_env *e = (struct uv_env *)prepare->data;
	bool any = turn_end(e);
	if (e->env.dead) {
		return;
	}
	e->due_us = env_now_us(&e->env);
	/* What was called may be what uv_env_run_until waits for: it must get to look before the loop sleeps. */
	arm_wake(e, any || turn_pending(e));
}

static void check_cb(uv_check_t *check)
{
	struct uv_env *e = (struct uv_env *)check->data;
	env_schedule_fire(&e->env, e->due_us);
	turn_end(e);
}

void uv_timer_open(struct uv_env *e)
{
	uv_prepare_init(e->loop, &e->prepare);
	uv_check_init(e->loop, &e->check);
	uv_timer_init(e->loop, &e->wake);
	e->prepare.data = e->check.data = e->wake.data = e;
	e->wake_at_us = UINT64_MAX;
	e->due_us = e->env.due_us;
	uv_prepare_start(&e->prepare, prepare_cb);
	uv_check_start(&e->check, check_cb);
	uv_env_count(e);
	uv_env_count(e);
	uv_env_count(e);
}

void uv_timer_close(struct uv_env *e)
{
	uv_close((uv_handle_t *)&e->prepare, uv_env_uncount_cb);
	uv_close((uv_handle_t *)&e->check, uv_env_uncount_cb);
	uv_close((uv_handle_t *)&e->wake, uv_env_uncount_cb);
}

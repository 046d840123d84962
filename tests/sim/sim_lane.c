/* Lanes of the simulated body.
 *
 *   IDLE ──▶ STARTING ──▶ RUNNING ──▶ (next) STARTING or IDLE
 *            a thread     run() was called at once; the time its
 *            wakes up     disk calls took passes; then done waits for a turn
 *
 * So a crash finds work not begun, or done on the disk and not yet known; for a
 * crash between two calls of one item there is sim_disk_crash_after. */
#include "tests/sim/sim_body.h"

#include <assert.h>
#include <stdlib.h>

enum lane_state { LANE_IDLE, LANE_STARTING, LANE_RUNNING };

struct sim_lane {
	struct env_lane lane;
	struct list link;
	struct sim_env *e;
	enum lane_state state;
	enum env_lane_priority priority;
	bool stalled;    /* its time came while the host was paused */
	bool delivering; /* a done callback is on the stack */
	bool closed;
	size_t pending;
	struct env_work *running;
	struct list queue, finished;
	struct sim_event event;
	struct sim_item item;
};

static struct sim_lane *lane_of(const struct env_lane *lane) { return (struct sim_lane *)lane; }

static void lane_start_next(struct sim_lane *lane)
{
	if (list_empty(&lane->queue)) {
		lane->state = LANE_IDLE;
		return;
	}
	lane->state = LANE_STARTING;
	sim_event_in(lane->e->sim, &lane->event, 2 + prng_below(&lane->e->sim->prng, 12));
}

static void lane_run(struct sim_lane *lane)
{
	struct sim_env *e = lane->e;
	lane->running = list_entry(list_pop(&lane->queue), struct env_work, link);
	e->call_us = 0;
	e->in_lane = true;
	lane->running->run(lane->running);
	e->in_lane = false;
	lane->state = LANE_RUNNING;
	uint64_t think_us = prng_below(&e->sim->prng, lane->priority == ENV_LANE_LOW ? 200 : 20);
	sim_event_in(e->sim, &lane->event, e->call_us + think_us);
	e->call_us = 0;
}

static void lane_fire(struct sim_event *event)
{
	struct sim_lane *lane = list_entry(event, struct sim_lane, event);
	struct sim_env *e = lane->e;
	if (e->host->paused || e->host->crashing) {
		lane->stalled = true;
		return;
	}
	if (lane->state == LANE_STARTING) {
		lane_run(lane);
		return;
	}
	assert(lane->state == LANE_RUNNING);
	list_append(&lane->finished, &lane->running->link);
	lane->running = NULL;
	sim_env_post(e, &lane->item);
	lane_start_next(lane);
}

static void lane_deliver(struct sim_item *item)
{
	struct sim_lane *lane = list_entry(item, struct sim_lane, item);
	lane->delivering = true;
	struct list *link;
	while (!lane->e->env.dead && (link = list_pop(&lane->finished)) != NULL) {
		struct env_work *work = list_entry(link, struct env_work, link);
		lane->pending--;
		sim_trace(lane->e->sim, lane->e->host, "done", SLICE_NONE);
		work->done(work);
	}
	lane->delivering = false;
	if (lane->closed && !lane->e->env.dead) {
		list_remove(&lane->link);
		free(lane);
	}
}

struct env_lane *sim_lane_open(struct env *env, const char *name, enum env_lane_priority priority)
{
	struct sim_lane *lane = calloc(1, sizeof(*lane));
	if (lane == NULL) {
		fatal("out of memory for a lane");
	}
	lane->lane.env = env;
	lane->e = sim_env_of(env);
	lane->priority = priority;
	list_init(&lane->queue);
	list_init(&lane->finished);
	list_init(&lane->item.link);
	lane->item.deliver = lane_deliver;
	sim_event_init(&lane->event, lane_fire);
	list_append(&lane->e->lanes, &lane->link);
	return &lane->lane;
}

void sim_lane_submit(struct env_lane *base, struct env_work *work)
{
	struct sim_lane *lane = lane_of(base);
	if (lane->e->env.dead) {
		return;
	}
	assert(!lane->closed);
	work->lane = base;
	lane->pending++;
	list_append(&lane->queue, &work->link);
	if (lane->state == LANE_IDLE) {
		lane_start_next(lane);
	}
}

size_t sim_lane_pending(const struct env_lane *lane) { return lane_of(lane)->pending; }

static void lane_drop(struct sim_lane *lane)
{
	sim_event_cancel(lane->e->sim, &lane->event);
	list_remove(&lane->item.link);
	while (list_pop(&lane->queue) != NULL || list_pop(&lane->finished) != NULL) {
	}
	lane->running = NULL;
	lane->state = LANE_IDLE;
}

void sim_lane_close(struct env_lane *base)
{
	struct sim_lane *lane = lane_of(base);
	assert(!lane->closed);
	lane->closed = true;
	if (lane->e->env.dead) {
		return; /* sim_lane_free has it */
	}
	lane_drop(lane);
	if (!lane->delivering) {
		list_remove(&lane->link);
		free(lane);
	}
}

void sim_lane_kill(struct sim_env *e)
{
	list_for_each(link, &e->lanes) { lane_drop(list_entry(link, struct sim_lane, link)); }
}

void sim_lane_free(struct sim_env *e)
{
	struct list *link;
	while ((link = list_pop(&e->lanes)) != NULL) {
		free(list_entry(link, struct sim_lane, link));
	}
}

void sim_lane_resume(struct sim_env *e)
{
	list_for_each(link, &e->lanes)
	{
		struct sim_lane *lane = list_entry(link, struct sim_lane, link);
		if (lane->stalled) {
			lane->stalled = false;
			sim_event_in(e->sim, &lane->event, 1);
		}
	}
}

/* Lanes of the simulated body.
 *
 *   IDLE ──▶ STARTING ──▶ WORKING ──▶ ENDING ──▶ (next) STARTING or IDLE
 *            a thread     │  ▲        run() returned; the rest of its
 *            wakes up     └──┘        time passes, then done waits for a turn
 *                    a call takes time
 *
 * run() is called on a fiber. A sync, or calls that took long together, let the
 * time pass before they take effect: what happens meanwhile finds the item in the middle of
 * its work, and a power cut finds on the disk what was synced by then. When its program
 * ends, the item goes on at once to its end, with every call refused; done is never called. */
#include "tests/sim/sim_body.h"
#include "tests/sim/sim_fiber.h"

#include <assert.h>
#include <stdlib.h>

enum lane_state { LANE_IDLE, LANE_STARTING, LANE_WORKING, LANE_ENDING };

struct sim_lane {
	struct env_lane lane;
	struct list link;
	struct sim_env *e;
	enum lane_state state;
	enum env_lane_priority priority;
	bool stalled;    /* its time came while the host was paused */
	bool delivering; /* a done callback is on the stack */
	bool closed;
	bool hurries; /* no time passes any more */
	struct sim_fiber *fiber; /* made by the first item */
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
	uint64_t threads_us = lane->e->host->threads_us;
	sim_event_in(lane->e->sim, &lane->event, 2 + prng_below(&lane->e->sim->prng, threads_us != 0 ? threads_us : 12));
}

static void lane_run(void *owner)
{
	struct sim_lane *lane = owner;
	lane->running->run(lane->running);
}

/* Goes on with the item until a call takes time, or to its end. */
static void lane_work(struct sim_lane *lane)
{
	struct sim_env *e = lane->e;
	e->call_us = 0;
	e->lane = lane;
	bool ended = sim_fiber_resume(lane->fiber);
	e->lane = NULL;
	lane->state = ended ? LANE_ENDING : LANE_WORKING;
	uint64_t think_us = ended ? prng_below(&e->sim->prng, lane->priority == ENV_LANE_LOW ? 200 : 20) : 0;
	sim_event_in(e->sim, &lane->event, e->call_us + think_us);
	e->call_us = 0;
}

bool sim_lane_pass(struct sim_env *e)
{
	if (e->lane != NULL && !e->lane->hurries) {
		sim_fiber_wait(e->lane->fiber);
	}
	return !e->env.dead && !e->host->crashing;
}

/* The item that is in the middle of its work comes to its end now. */
static void lane_hurry(struct sim_lane *lane)
{
	if (lane->state != LANE_WORKING) {
		return;
	}
	struct sim_env *e = lane->e;
	uint64_t call_us = e->call_us;
	assert(e->lane == NULL);
	lane->hurries = true;
	e->lane = lane;
	bool ended = sim_fiber_resume(lane->fiber);
	assert(ended);
	e->lane = NULL;
	lane->hurries = false;
	lane->state = LANE_ENDING;
	e->call_us = call_us;
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
		lane->running = list_entry(list_pop(&lane->queue), struct env_work, link);
		if (lane->fiber == NULL) {
			lane->fiber = sim_fiber_take(&e->sim->fibers, lane_run, lane);
		}
	}
	if (lane->state != LANE_ENDING) {
		lane_work(lane);
		return;
	}
	list_append(&lane->finished, &lane->running->link);
	lane->running = NULL;
	sim_env_post(e, &lane->item);
	lane_start_next(lane);
}

static void lane_free(struct sim_lane *lane)
{
	list_remove(&lane->link);
	sim_fiber_give(&lane->e->sim->fibers, lane->fiber);
	free(lane);
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
		lane_free(lane);
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
	lane_hurry(lane);
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
		lane_free(lane);
	}
}

void sim_lane_kill(struct sim_env *e)
{
	list_for_each(link, &e->lanes) { lane_drop(list_entry(link, struct sim_lane, link)); }
}

void sim_lane_free(struct sim_env *e)
{
	while (!list_empty(&e->lanes)) {
		lane_free(list_entry(e->lanes.next, struct sim_lane, link));
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

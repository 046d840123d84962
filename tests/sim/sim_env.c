/* The simulated body: what happens to a host's program, and in what order.
 *
 * Whatever arrives waits in the inbox for the next turn. A turn takes it all, fires
 * the expired timers, runs hooks and due callbacks, and then the loop is busy
 * for a while: so arrivals gather, as they do on a real loop, and a slow or paused host
 * is only one whose next turn comes late. */
#include "tests/sim/sim_body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TURN_ROUNDS 64

static void turn_fire(struct sim_event *event);

static uint64_t now_us(struct env *env) { return sim_host_now_us(sim_env_of(env)->host); }

static uint64_t wall_ms(struct env *env)
{
	struct sim_env *e = sim_env_of(env);
	return (uint64_t)((int64_t)(SIM_WALL_START_MS + sim_host_now_us(e->host) / 1000) + e->host->wall_offset_ms);
}

static void random_bytes(struct env *env, void *bytes, size_t len)
{
	prng_fill(&sim_env_of(env)->sim->prng, bytes, len);
}

static void wake(struct env *env)
{
	struct sim_env *e = sim_env_of(env);
	if (!e->in_turn) {
		sim_env_schedule(e);
	}
}

/* What runs takes no processor time here that would be the same twice. */
static void alarm_none(struct env_alarm *alarm)
{
	(void)alarm;
}

const struct env_ops sim_env_ops = {
	.now_us = now_us,
	.wall_ms = wall_ms,
	.random = random_bytes,
	.wake = wake,
	.connect = sim_net_connect,
	.stream_set = sim_net_set,
	.stream_write = sim_net_write,
	.stream_unsent = sim_net_unsent,
	.stream_pause = sim_net_pause,
	.stream_resume = sim_net_resume,
	.stream_close = sim_net_close,
	.stream_peer = sim_net_peer,
	.listen = sim_net_listen,
	.listener_port = sim_net_listener_port,
	.listener_close = sim_net_listener_close,
	.file_open = sim_disk_open,
	.file_close = sim_disk_close,
	.file_read = sim_disk_read,
	.file_write = sim_disk_write,
	.file_sync = sim_disk_sync,
	.file_truncate = sim_disk_truncate,
	.file_allocate = sim_disk_allocate,
	.file_size = sim_disk_size,
	.mkdir = sim_disk_mkdir,
	.rename = sim_disk_rename,
	.unlink = sim_disk_unlink,
	.dir_sync = sim_disk_dir_sync,
	.dir_list = sim_disk_dir_list,
	.free_space = sim_disk_free_space,
	.lock_take = sim_disk_lock_take,
	.lock_release = sim_disk_lock_release,
	.lane_open = sim_lane_open,
	.lane_submit = sim_lane_submit,
	.lane_pending = sim_lane_pending,
	.lane_close = sim_lane_close,
	.alarm_open = alarm_none,
	.alarm_close = alarm_none,
};

static bool work_waits(const struct sim_env *e)
{
	return !list_empty(&e->inbox) || !list_empty(&e->written) || !list_empty(&e->gone) ||
	       !list_empty(&e->env.hooks);
}

void sim_env_schedule(struct sim_env *e)
{
	uint64_t timer = env_schedule_next(&e->env);
	uint64_t at = work_waits(e) ? e->sim->now_us : timer == UINT64_MAX ? timer : sim_host_moment(e->host, timer);
	if (e->env.dead || e->host->paused || e->host->crashing || at == UINT64_MAX) {
		sim_event_cancel(e->sim, &e->turn);
		return;
	}
	if (at < e->busy_until_us) {
		at = e->busy_until_us;
	}
	if (!heap_holds(&e->turn.node) || e->turn.node.at != at) {
		sim_event_at(e->sim, &e->turn, at);
	}
}

void sim_env_post(struct sim_env *e, struct sim_item *item)
{
	if (e->env.dead || !list_empty(&item->link)) {
		return;
	}
	list_append(&e->inbox, &item->link);
	if (!e->in_turn) {
		sim_env_schedule(e);
	}
}

/* Returns how many items there were. */
static size_t take_inbox(struct sim_env *e)
{
	struct list arrived;
	list_init(&arrived);
	list_splice(&arrived, &e->inbox);
	size_t count = 0;
	struct list *link;
	while ((link = list_pop(&arrived)) != NULL) {
		if (!e->env.dead) {
			struct sim_item *item = list_entry(link, struct sim_item, link);
			item->deliver(item);
			count++;
		}
	}
	return count;
}

static void turn_fire(struct sim_event *event)
{
	struct sim_env *e = list_entry(event, struct sim_env, turn);
	assert(!e->in_turn && !e->env.dead);
	e->in_turn = true;
	e->call_us = 0;
	e->sim->stats.turns++;
	size_t items = take_inbox(e);
	if (!e->env.dead) {
		env_schedule_fire(&e->env, sim_host_now_us(e->host));
	}
	for (int round = 0; round < TURN_ROUNDS && !e->env.dead; round++) {
		bool hooks = env_schedule_hooks(&e->env);
		bool reports = sim_net_report(e);
		if (!hooks && !reports) {
			break;
		}
	}
	e->in_turn = false;
	uint64_t busy_us = e->host->slow_us != 0 ? e->host->slow_us : 2 + items + prng_below(&e->sim->prng, 6);
	e->busy_until_us = e->sim->now_us + busy_us + e->call_us;
	sim_env_schedule(e);
}

struct env *sim_host_start(struct sim_host *host)
{
	assert(host->env == NULL);
	struct sim_env *e = calloc(1, sizeof(*e));
	if (e == NULL) {
		fatal("out of memory for a program");
	}
	env_schedule_init(&e->env, &sim_env_ops);
	e->env.due_us = sim_host_now_us(host);
	e->sim = host->sim;
	e->host = host;
	sim_event_init(&e->turn, turn_fire);
	list_init(&e->inbox);
	list_init(&e->written);
	list_init(&e->gone);
	list_init(&e->streams);
	list_init(&e->listeners);
	list_init(&e->lanes);
	list_init(&e->files);
	list_init(&e->locks);
	host->env = e;
	host->powered = true;
	host->paused = false;
	sim_event_cancel(host->sim, &host->crash);
	sim_trace(host->sim, host, "start", SLICE_NONE);
	return &e->env;
}

void sim_host_kill(struct sim_host *host, enum sim_kill kill)
{
	struct sim_env *e = host->env;
	assert(e != NULL && !e->env.dead);
	sim_trace(host->sim, host, kill == SIM_KILL_POWER ? "power" : "kill", SLICE_NONE);
	e->env.dead = true;
	host->env = NULL;
	host->paused = false;
	host->crashing = false;
	host->crash_after = 0;
	sim_event_cancel(host->sim, &host->crash);
	sim_event_cancel(host->sim, &e->turn);
	env_schedule_fini(&e->env);
	while (list_pop(&e->inbox) != NULL) {
	}
	sim_lane_kill(e);
	sim_net_kill(e, kill);
	sim_disk_release(e);
	if (kill == SIM_KILL_POWER) {
		host->sim->stats.power_cuts++;
		host->powered = false;
		sim_disk_crash(host);
	} else {
		host->sim->stats.kills++;
	}
}

void sim_env_free(struct env *env)
{
	if (env == NULL) {
		return;
	}
	struct sim_env *e = sim_env_of(env);
	if (!env->dead) {
		sim_host_kill(e->host, SIM_KILL_PROCESS);
	}
	sim_lane_free(e);
	sim_net_free(e);
	sim_disk_forget(e);
	free(e);
}

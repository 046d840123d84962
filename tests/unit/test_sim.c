/* The simulated body: what all bodies do, and its hosts: clocks, threads, and whether one is sound. Its crash model
 * is test_sim_disk's, its network test_sim_network's. */
#include "tests/lib/env_conformance.h"
#include "tests/lib/tap.h"
#include "tests/unit/sim_world.h"

#define PATIENCE_US 60000000

struct world {
	struct env_body body;
	struct sim_host *host;
	struct sim *sim;
};

static void run_until(struct env_body *body, bool (*done)(void *owner), void *owner)
{
	struct world *world = (struct world *)body;
	sim_run_until(world->sim, done, owner, PATIENCE_US);
	sim_host_slow(world->host, 0);
}

/* Every turn lasts as long, until the story is over. */
static void stall(struct env_body *body, uint64_t us)
{
	sim_host_slow(((struct world *)body)->host, us);
}

static uint64_t conform(uint64_t seed)
{
	struct world world = {.sim = sim_new(seed)};
	world.host = sim_host_new(world.sim, "n1");
	struct env *env = sim_host_start(world.host);
	world.body = (struct env_body){
		.name = "simulated",
		.env = env,
		.run_until = run_until,
		.stall = stall,
		.host = "n1",
		.dir = ".",
	};
	env_conformance(&world.body);
	sim_env_free(env);
	uint64_t trace = sim_trace_hash(world.sim);
	sim_free(world.sim);
	return trace;
}

static void test_repeats(void)
{
	uint64_t first = conform(7);
	uint64_t second = conform(7);
	uint64_t third = conform(8);
	ok(first == second, "one seed gives one trace, twice");
	ok(first != third, "another seed another");
}

/* ---- clocks ---- */

struct alarm {
	struct env_timer timer;
	struct sim *sim;
	uint64_t rang_us;
};
static void alarm_cb(struct env_timer *timer)
{
	struct alarm *alarm = list_entry(timer, struct alarm, timer);
	alarm->rang_us = sim_now_us(alarm->sim);
}

/* How long a timer of a second takes when the clock becomes wrong after a quarter of it. */
static uint64_t ring(uint32_t thousandths, uint64_t *clock_us, uint64_t *wall_ms)
{
	struct sim *sim = sim_new(1);
	struct sim_host *host = sim_host_new(sim, "n1");
	struct alarm alarm = {.sim = sim};
	struct env *env = sim_host_start(host);
	uint64_t from = sim_now_us(sim);
	uint64_t clock_from = env_now_us(env), wall_from = env_wall_ms(env);
	env_timer_init(env, &alarm.timer, alarm_cb);
	env_timer_start(&alarm.timer, 1000);
	sim_run(sim, 250000);
	sim_host_clock_rate(host, thousandths);
	sim_run(sim, 9750000);
	*clock_us = env_now_us(env) - clock_from;
	*wall_ms = env_wall_ms(env) - wall_from;
	sim_env_free(env);
	sim_free(sim);
	return alarm.rang_us - from;
}

static void test_clock_rate(void)
{
	uint64_t clock, wall;
	is_int(ring(1000, &clock, &wall), 1000000, "a true clock's second is a second");
	is_int(clock, 10000000, "and ten are ten");
	is_int(ring(2000, &clock, &wall), 625000, "a clock that becomes twice as fast rings early");
	ok(clock == 19750000 && wall == 19750, "it shows more time, on the wall as well");
	is_int(ring(500, &clock, &wall), 1750000, "one that becomes half as fast rings late");
	ok(clock == 5125000 && wall == 5125, "it shows less");
}

/* ---- slow threads ---- */

static void test_slow_threads(void)
{
	int late = 0;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim *sim = sim_new(seed);
		struct sim_host *host = sim_host_new(sim, "n1");
		struct env *env = sim_host_start(host);
		struct env_lane *lane = env_lane_open(env, "log", ENV_LANE_NORMAL);
		struct log_job job = {.work = {.run = log_run, .done = log_done}, .env = env};
		sim_host_threads_slow(host, 1000000);
		env_lane_submit(lane, &job.work);
		sim_run(sim, 200000);
		late += !job.done;
		sim_run(sim, 1000000);
		late += job.done ? 0 : 1000;
		sim_env_free(env);
		sim_free(sim);
	}
	ok(late > 10 && late <= 20, "where threads are slow, work begins late and is done (%d of 20 late)", late);
}

/* ---- soundness ---- */

static void test_soundness(void)
{
	struct sim *sim = sim_new(3);
	struct sim_host *host = sim_host_new(sim, "n1");
	ok(!sim_host_sound(host), "a host that is down is not sound");
	struct env *env = sim_host_start(host);
	ok(sim_host_sound(host), "one that runs is");
	sim_host_pause(host);
	ok(!sim_host_sound(host), "not while it is paused");
	sim_host_resume(host);
	sim_host_clock_rate(host, 900);
	ok(!sim_host_sound(host), "nor with a clock that is wrong");
	sim_host_clock_rate(host, 1000);
	struct env_lane *lane = env_lane_open(env, "log", ENV_LANE_NORMAL);
	struct log_job job = {.work = {.run = log_run, .done = log_done}, .env = env};
	sim_disk_faults(host)->sync_us = 2000000;
	ok(!sim_host_sound(host), "nor with a slow disk");
	env_lane_submit(lane, &job.work);
	sim_run(sim, 1000000);
	sim_disk_faults(host)->sync_us = 0;
	ok(!sim_host_sound(host) && !job.done, "nor while a sync of that time is under way");
	sim_run(sim, 2000000);
	ok(sim_host_sound(host) && job.done, "then it is again");
	struct sim_link link = *sim_link(sim, host, host);
	bool sound = sim_link_sound(&link);
	link.loss_per_million = 1;
	ok(sound && !sim_link_sound(&link), "a link is until it loses something");
	sim_env_free(env);
	sim_free(sim);
}

int main(void)
{
	test_repeats();
	test_clock_rate();
	test_slow_threads();
	test_soundness();
	return tap_done();
}

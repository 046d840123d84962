/* Faults of a host: it dies, it stops for a while, it is slow, its clock is wrong. */
#include "tests/sim/nemesis_kind.h"

static void kill_begin(struct fault *fault)
{
	fault_strike(fault, fault_some_member(fault), SIM_KILL_PROCESS);
}
static void power_begin(struct fault *fault)
{
	fault_strike(fault, fault_some_member(fault), SIM_KILL_POWER);
}

static void kill_leader_begin(struct fault *fault)
{
	int leader = fleet_leader(fault_fleet(fault));
	fault_strike(fault, leader >= 0 ? (unsigned)leader : fault_any_member(fault),
		     prng_chance(fault_chance(fault), 1, 2) ? SIM_KILL_PROCESS : SIM_KILL_POWER);
}

static void blackout_begin(struct fault *fault)
{
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		fault_strike(fault, i, SIM_KILL_POWER);
	}
}

static void massacre_begin(struct fault *fault)
{
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		fault_strike(fault, i, SIM_KILL_PROCESS);
	}
}

static void crash_inside_begin(struct fault *fault)
{
	sim_disk_crash_after(fault_host(fault, fault_some_member(fault)),
			     1 + prng_below(fault_chance(fault), 60));
}

/* The power goes again while it starts. */
static void crash_start_begin(struct fault *fault)
{
	unsigned victim = fault_some_member(fault);
	fleet_kill(fault_fleet(fault), victim, SIM_KILL_POWER);
	sim_disk_crash_after(fault_host(fault, victim), 1 + prng_below(fault_chance(fault), 50));
	fleet_start_in(fault_fleet(fault), victim, 1000);
}

static void polite_begin(struct fault *fault)
{
	fleet_stop(fault_fleet(fault), fault_some_member(fault));
}

static void pause_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	sim_host_pause(fault_host(fault, fault->victim));
}
static void pause_end(struct fault *fault)
{
	sim_host_resume(fault_host(fault, fault->victim));
}

/* Several at once, as when the machine under them stands still. */
static void pause_some_begin(struct fault *fault)
{
	fault->chosen = prng_next(fault_chance(fault));
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		if ((fault->chosen >> i & 1) != 0) {
			sim_host_pause(fault_host(fault, i));
		}
	}
}
static void pause_some_end(struct fault *fault)
{
	for (unsigned i = 0; i < fault_fleet(fault)->count; i++) {
		if ((fault->chosen >> i & 1) != 0) {
			sim_host_resume(fault_host(fault, i));
		}
	}
}

static void slow_cpu_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	sim_host_slow(fault_host(fault, fault->victim), 1000 + prng_below(fault_chance(fault), 30000));
}
static void slow_cpu_end(struct fault *fault)
{
	sim_host_slow(fault_host(fault, fault->victim), 0);
}

static void slow_threads_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	sim_host_threads_slow(fault_host(fault, fault->victim), 1 + prng_below(fault_chance(fault), 100000));
}
static void slow_threads_end(struct fault *fault)
{
	sim_host_threads_slow(fault_host(fault, fault->victim), 0);
}

/* ---- clocks ---- */

/* A command has been stamped: index 1 names the members, 2 opens the first term. */
static bool is_stamped(const struct fleet *fleet)
{
	for (unsigned i = 0; i < fleet->count; i++) {
		if (fleet->judge->commits[i] > 2) {
			return true;
		}
	}
	return false;
}

/* Stamps never go back, so a clock that does harms nobody; but one that founds a cluster far in the past has
 * it refuse the ids of right clocks (ID_IN_FUTURE). That is no fault of the nodes: until then jumps go
 * forward. */
static void clock_begin(struct fault *fault)
{
	int64_t ms = (int64_t)prng_below(fault_chance(fault), 7200000) - 3600000;
	if (ms < 0 && !is_stamped(fault_fleet(fault))) {
		ms = -ms;
	}
	sim_host_wall_jump(fault_host(fault, fault_some_member(fault)), ms);
}

static void strobe_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	sim_host_wall_jump(fault_host(fault, fault->victim), 5000);
}
static void strobe_end(struct fault *fault)
{
	sim_host_wall_jump(fault_host(fault, fault->victim), -5000);
}

/* Half as fast to twice as fast; half the time hardly wrong, as real clocks are. */
static void skew_begin(struct fault *fault)
{
	fault->victim = fault_some_member(fault);
	uint32_t wrong = prng_chance(fault_chance(fault), 1, 2)
				 ? (uint32_t)prng_below(fault_chance(fault), 1501)
				 : 480 + (uint32_t)prng_below(fault_chance(fault), 41);
	sim_host_clock_rate(fault_host(fault, fault->victim), 500 + wrong);
}
static void skew_end(struct fault *fault)
{
	sim_host_clock_rate(fault_host(fault, fault->victim), 1000);
}

const struct fault_kind nemesis_host_kinds[] = {
	{"kill", 6000, 0, kill_begin, NULL},
	{"power", 6000, 0, power_begin, NULL},
	{"kill-leader", 7000, 0, kill_leader_begin, NULL},
	{"blackout", 20000, 0, blackout_begin, NULL},
	{"massacre", 20000, 0, massacre_begin, NULL},
	{"crash-inside", 4000, 0, crash_inside_begin, NULL},
	{"crash-start", 8000, 0, crash_start_begin, NULL},
	{"polite", 12000, 0, polite_begin, NULL},
	{"pause", 6000, 1500, pause_begin, pause_end},
	{"slow-cpu", 8000, 3000, slow_cpu_begin, slow_cpu_end},
	{"pause-some", 12000, 1000, pause_some_begin, pause_some_end},
	{"slow-threads", 8000, 3000, slow_threads_begin, slow_threads_end},
	{"clock", 10000, 0, clock_begin, NULL},
	{"strobe", 2000, 200, strobe_begin, strobe_end},
	{"skew", 8000, 5000, skew_begin, skew_end},
	{.name = NULL},
};

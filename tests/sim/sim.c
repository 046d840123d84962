#include "tests/sim/sim_body.h"
#include "tests/sim/sim_fiber.h"

#include "base/checksum.h"
#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- events ---- */

void sim_event_init(struct sim_event *event, void (*fire)(struct sim_event *event))
{
	heap_node_init(&event->node);
	event->fire = fire;
}

void sim_event_at(struct sim *sim, struct sim_event *event, uint64_t at_us)
{
	assert(event->fire != NULL);
	sim_event_cancel(sim, event);
	event->node.at = at_us > sim->now_us ? at_us : sim->now_us;
	event->node.order = ++sim->order;
	heap_push(&sim->events, &event->node);
}

void sim_event_in(struct sim *sim, struct sim_event *event, uint64_t after_us)
{
	sim_event_at(sim, event, sim->now_us + after_us);
}

void sim_event_cancel(struct sim *sim, struct sim_event *event)
{
	if (heap_holds(&event->node)) {
		heap_remove(&sim->events, &event->node);
	}
}

bool sim_step(struct sim *sim)
{
	struct heap_node *node = heap_top(&sim->events);
	if (node == NULL) {
		return false;
	}
	assert(node->at >= sim->now_us);
	heap_remove(&sim->events, node);
	sim->now_us = node->at;
	sim->stats.events++;
	struct sim_event *event = list_entry(node, struct sim_event, node);
	event->fire(event);
	return true;
}

static bool never(void *owner) { return false; }

void sim_run(struct sim *sim, uint64_t for_us) { sim_run_until(sim, never, NULL, for_us); }

bool sim_run_until(struct sim *sim, bool (*done)(void *owner), void *owner, uint64_t for_us)
{
	uint64_t end = sim->now_us + for_us;
	while (!done(owner)) {
		struct heap_node *node = heap_top(&sim->events);
		if (node == NULL || node->at > end) {
			sim->now_us = end;
			return done(owner);
		}
		sim_step(sim);
	}
	return true;
}

/* ---- the trace ---- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
	uint64_t both[2] = {hash, value};
	return checksum64(slice_of(both, sizeof(both)));
}

void sim_trace(struct sim *sim, const struct sim_host *host, const char *kind, struct slice bytes)
{
	uint64_t line[4] = {sim->now_us, host == NULL ? UINT64_MAX : host->index, checksum64(slice_str(kind)),
			    checksum64(bytes)};
	sim->trace = mix(sim->trace, checksum64(slice_of(line, sizeof(line))));
	if (sim->print) {
		char text[80];
		fprintf(stderr, "%10" PRIu64 ".%06" PRIu64 " %-4s %-10s %5zu %s\n", sim->now_us / 1000000,
			sim->now_us % 1000000, host == NULL ? "-" : host->name, kind, bytes.len,
			log_escape(bytes, text, 60));
	}
}

uint64_t sim_trace_hash(const struct sim *sim) { return sim->trace; }
uint64_t sim_event_count(const struct sim *sim) { return sim->stats.events; }
void sim_trace_print(struct sim *sim, bool on) { sim->print = on; }
const struct sim_stats *sim_stats(const struct sim *sim) { return &sim->stats; }

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	if (sim == NULL) {
		fatal("out of memory for a world");
	}
	heap_init(&sim->events);
	list_init(&sim->conns);
	list_init(&sim->memory);
	prng_init(&sim->prng, seed);
	sim->next_port = 40000;
	/* Not zero, so that nobody takes an unset time for the start of the world. */
	sim->now_us = 1000000;
	sim_links_reset(sim);
	return sim;
}

void sim_free(struct sim *sim)
{
	if (sim == NULL) {
		return;
	}
	for (size_t i = 0; i < sim->host_count; i++) {
		struct sim_host *host = sim->hosts[i];
		assert(host->env == NULL);
		sim_event_cancel(sim, &host->crash);
		sim_disk_free(host->disk);
		free(host);
	}
	sim_net_fini(sim);
	sim_fibers_free(&sim->fibers);
	heap_fini(&sim->events);
	free(sim);
}

uint64_t sim_now_us(const struct sim *sim) { return sim->now_us; }
struct prng *sim_prng(struct sim *sim) { return &sim->prng; }

void sim_on_crash(struct sim *sim, void (*crashed)(void *owner, struct sim_host *host), void *owner)
{
	sim->crashed = crashed;
	sim->crashed_owner = owner;
}

/* ---- hosts ---- */

#define CLOCK_TRUE 1000

static void crash_fire(struct sim_event *event)
{
	struct sim_host *host = list_entry(event, struct sim_host, crash);
	assert(host->crashing && host->sim->crashed != NULL);
	host->sim->crashed(host->sim->crashed_owner, host);
}

struct sim_host *sim_host_new(struct sim *sim, const char *name)
{
	assert(sim->host_count < SIM_HOSTS_MAX);
	struct sim_host *host = calloc(1, sizeof(*host));
	if (host == NULL) {
		fatal("out of memory for a host");
	}
	host->sim = sim;
	host->index = sim->host_count;
	snprintf(host->name, sizeof(host->name), "%s", name);
	host->disk = sim_disk_new();
	host->powered = true;
	host->clock_us = host->clock_from_us = sim->now_us;
	host->clock_rate = CLOCK_TRUE;
	sim_event_init(&host->crash, crash_fire);
	sim->hosts[sim->host_count++] = host;
	return host;
}

const char *sim_host_name(const struct sim_host *host) { return host->name; }
bool sim_host_up(const struct sim_host *host) { return host->env != NULL; }
bool sim_host_crashing(const struct sim_host *host) { return host->crashing; }
struct env *sim_host_env(struct sim_host *host) { return host->env == NULL ? NULL : &host->env->env; }
bool sim_host_paused(const struct sim_host *host) { return host->paused; }
struct sim_disk_faults *sim_disk_faults(struct sim_host *host) { return &host->faults; }

void sim_host_pause(struct sim_host *host)
{
	if (host->env == NULL || host->paused) {
		return;
	}
	sim_trace(host->sim, host, "pause", SLICE_NONE);
	host->paused = true;
	sim_env_schedule(host->env);
}

void sim_host_resume(struct sim_host *host)
{
	if (host->env == NULL || !host->paused) {
		return;
	}
	sim_trace(host->sim, host, "resume", SLICE_NONE);
	host->paused = false;
	sim_lane_resume(host->env);
	sim_env_schedule(host->env);
}

static bool disk_sound(const struct sim_disk_faults *faults)
{
	uint32_t errors = faults->write_error_per_million | faults->read_error_per_million |
			  faults->sync_error_per_million | faults->flip_per_million | faults->misdirect_per_million;
	return faults->op_us == 0 && faults->sync_us == 0 && faults->capacity == 0 && errors == 0;
}

bool sim_host_sound(const struct sim_host *host)
{
	bool runs = host->env != NULL && !host->paused && !host->crashing && host->slow_us == 0 && host->threads_us == 0;
	bool stalls = host->stalls_until_us > host->sim->now_us;
	return runs && !stalls && host->clock_rate == CLOCK_TRUE && disk_sound(&host->faults);
}

void sim_host_wall_jump(struct sim_host *host, int64_t ms)
{
	sim_trace(host->sim, host, "wall", slice_of(&ms, sizeof(ms)));
	host->wall_offset_ms += ms;
}

uint64_t sim_host_now_us(const struct sim_host *host)
{
	return host->clock_us + (host->sim->now_us - host->clock_from_us) * host->clock_rate / CLOCK_TRUE;
}

void sim_host_clock_rate(struct sim_host *host, uint32_t thousandths)
{
	assert(thousandths >= CLOCK_TRUE / 2 && thousandths <= CLOCK_TRUE * 2);
	sim_trace(host->sim, host, "rate", slice_of(&thousandths, sizeof(thousandths)));
	host->clock_us = sim_host_now_us(host);
	host->clock_from_us = host->sim->now_us;
	host->clock_rate = thousandths;
	if (host->env != NULL && !host->env->in_turn) {
		sim_env_schedule(host->env);
	}
}

/* The first moment of the world at which its clock shows at_us. */
uint64_t sim_host_moment(const struct sim_host *host, uint64_t at_us)
{
	if (at_us <= host->clock_us) {
		return host->clock_from_us;
	}
	return host->clock_from_us + ((at_us - host->clock_us) * CLOCK_TRUE + host->clock_rate - 1) / host->clock_rate;
}

void sim_host_threads_slow(struct sim_host *host, uint64_t wake_us) { host->threads_us = wake_us; }

void sim_host_slow(struct sim_host *host, uint64_t turn_us) { host->slow_us = turn_us; }

void sim_disk_crash_after(struct sim_host *host, uint64_t calls) { host->crash_after = calls; }

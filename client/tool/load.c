/* The closed loop of bench.h. */
#include <stdlib.h>

#include "client/tool/bench.h"
#include "client/tool/print.h"

/* Connections open and caches warm up before anything counts. */
#define START_US 1000000

static void load_second_cb(struct env_timer *timer)
{
	struct load *load = list_entry(timer, struct load, second);
	uint64_t now_us = env_now_us(load->bench->env);
	uint64_t answers = 0;
	char rate[32];
	char p99[32];
	for (size_t i = 0; i <= TALLY_UNKNOWN; i++) {
		answers += load->outcomes[i];
	}
	const struct histogram *shown = load->done.count > 0 ? &load->done : &load->refused;
	if (now_us > load->measure_from_us + 500000) {
		bench_progress(load->bench, "%s: %3llu s  %10s/s  p99 %s", load->name,
			       (unsigned long long)((now_us - load->measure_from_us + 500000) / 1000000),
			       print_count(answers - load->shown, rate, sizeof(rate)),
			       print_us(histogram_quantile(shown, 990), p99, sizeof(p99)));
	}
	load->shown = answers;
	footprint_sample(&load->footprint);
	env_timer_start(&load->second, 1000);
}

void load_cb(struct tally_call *call)
{
	struct load_slot *slot = call->data;
	struct load *load = slot->load;
	uint64_t now_us = env_now_us(load->bench->env);
	enum tally_outcome outcome = tally_call_outcome(call);
	if (now_us >= load->measure_from_us && now_us < load->until_us) {
		load->outcomes[outcome]++;
		if (outcome == TALLY_DONE) {
			histogram_add(&load->done, tally_call_latency_us(call));
		} else if (outcome == TALLY_REFUSED) {
			histogram_add(&load->refused, tally_call_latency_us(call));
		}
		load->last_us = now_us;
	}
	load->answers++;
	if (load->answered != NULL) {
		load->answered(slot);
	}
	if (now_us >= load->until_us || load->bench->stop) {
		load->running--;
		return;
	}
	slot->seq = load->next_seq++;
	load->next(slot);
}

static bool load_is_over(void *owner)
{
	return ((struct load *)owner)->running == 0;
}

void load_run(struct load *load)
{
	struct bench *bench = load->bench;
	load->count = bench->connections * bench->depth;
	load->slots = calloc(load->count, sizeof(*load->slots));
	if (load->slots == NULL) {
		fatal("out of memory for %zu requests", load->count);
	}
	histogram_init(&load->done);
	histogram_init(&load->refused);
	footprint_begin(&load->footprint, bench->tool, &bench->local);
	cpu_sample(&bench->local, &load->before);
	load->measure_from_us = env_now_us(bench->env) + START_US;
	load->until_us = load->measure_from_us + bench->seconds * 1000000;
	load->last_us = load->until_us;
	env_timer_init(bench->env, &load->second, load_second_cb);
	env_timer_start(&load->second, START_US / 1000);
	for (size_t i = 0; i < load->count; i++) {
		struct load_slot *slot = &load->slots[i];
		slot->load = load;
		slot->call.data = slot;
		slot->seq = load->next_seq++;
		load->running++;
		load->next(slot);
	}
	bench_wait(bench, load_is_over, load);
	/* An interrupt leaves calls under way; their structs stay until they have ended. */
	bool interrupted = bench->stop;
	bench->stop = false;
	load->until_us = interrupted ? 0 : load->until_us;
	bench_wait(bench, load_is_over, load);
	bench->stop = interrupted;
	cpu_sample(&bench->local, &load->after);
	footprint_sample(&load->footprint);
	footprint_end(&load->footprint, bench->tool);
	env_timer_stop(&load->second);
	bench_progress_end(bench);
	/* When the local nodes died, too, calls are under way until the client is closed: their structs stay. */
	if (load->running == 0) {
		free(load->slots);
	}
	load->slots = NULL;
}

void load_print_cost(const struct load *load, const char *of)
{
	struct tally_stats stats;
	tally_stats(load->bench->tally, &stats);
	const struct local *local = &load->bench->local;
	if (local->count > 0 && load->answers > 0) {
		printf("%s", of);
	}
	cpu_print(local, &load->before, &load->after, load->answers, local_find(local, stats.leader));
	footprint_print(&load->footprint);
}

void load_json_cost(const struct load *load, struct buf *out)
{
	footprint_json(&load->footprint, out);
	cpu_json(out, &load->before, &load->after);
}

uint64_t load_rate(const struct load *load, enum tally_outcome outcome)
{
	uint64_t us = load->bench->seconds * 1000000;
	return load->bench->interrupted || us == 0 ? 0 : load->outcomes[outcome] * 1000000 / us;
}

#include "tests/sim/run.h"

#include "tests/sim/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIVENESS_US 60000000
#define DRAIN_US 30000000
#define LATE_US 12000000 /* longer than any deadline of a client */
#define SILENCE_US 20000000
#define GRACE_US 2000000 /* answers that were on their way */

/* How often a seed's time is given again until it has what it needs to count, with half as many faults each time. */
#define STORM_AGAIN 4

/* What a seed must have seen to count. */
#define ACKNOWLEDGED_MIN 500
#define LEADER_CHANGES_MIN 2
#define RESTARTS_MIN 1

struct run {
	struct sim *sim;
	struct judge judge;
	struct fleet fleet;
	struct shops shops;
	struct sale sale;
	struct nemesis nemesis;
	struct progress progress;
	uint64_t closed_us; /* from here on clients ask nothing new; 0: they still do */
	bool may_halt;
};

/* More members are lost to damage than the cluster can spare: it cannot go on, and must not pretend to. */
static bool halted(const struct run *run)
{
	return run->may_halt && fleet_lost(&run->fleet) > (run->fleet.count - 1) / 2;
}
static bool over(const struct run *run) { return run->judge.failed || halted(run); }

static bool run_failed(void *owner) { return over(owner); }
static bool shops_idle(void *owner)
{
	struct run *run = owner;
	return (run->shops.busy == 0 && run->sale.busy == 0) || over(run);
}
static bool acknowledged(void *owner)
{
	struct run *run = owner;
	return run->shops.last_done_us + 1 > run->shops.healed_us || over(run);
}
static bool converged(void *owner)
{
	struct run *run = owner;
	return fleet_converged(&run->fleet) || over(run);
}

/* ---- the nodes' bytes ---- */

struct hash_wait {
	bool done;
	int status;
	struct chain hash;
	uint64_t index;
};
static void hashed(void *owner, int status, struct chain hash, uint64_t index)
{
	struct hash_wait *wait = owner;
	*wait = (struct hash_wait){true, status, hash, index};
}
static bool hash_done(void *owner) { return ((struct hash_wait *)owner)->done; }

static void compare_bytes(struct run *run)
{
	struct hash_wait first = {0};
	for (unsigned i = 0; i < run->fleet.count && !run->judge.failed; i++) {
		struct member *m = &run->fleet.members[i];
		if (m->state != MEMBER_UP) {
			continue;
		}
		struct hash_wait wait = {0};
		shard_hash(node_shard(m->node), hashed, &wait);
		if (!sim_run_until(run->sim, hash_done, &wait, DRAIN_US) || wait.status != 0) {
			judge_fail(&run->judge, "n%u gives no hash of its database: %d", i + 1, wait.status);
		}
		history_add_hash(&run->judge.history, &(struct history_hash){i + 1, wait.index, wait.hash});
		if (first.done && first.index == wait.index && !chain_equal(first.hash, wait.hash)) {
			judge_fail(&run->judge, "the databases differ at index %" PRIu64 " (n%u)", wait.index, i + 1);
		}
		if (!first.done) {
			first = wait;
		}
	}
}

/* ---- reading back ---- */

struct reading {
	const struct shops *shops;
	const struct sale *sale;
	bool (*ended)(void *owner);
	void *owner;
};

static bool is_read(void *owner)
{
	struct reading *r = owner;
	bool sale_is_read = r->sale->sim == NULL || r->sale->state == SALE_READ;
	return (shops_are_read(r->shops) && sale_is_read) || r->ended(r->owner);
}

void run_read_back(struct judge *judge, struct shops *shops, struct sale *sale, bool (*ended)(void *owner),
		   void *owner)
{
	struct reading reading = {shops, sale, ended, owner};
	if (sim_run_until(shops->sim, ended, owner, LATE_US)) {
		return;
	}
	shops_read_back(shops);
	if (sale->sim != NULL) {
		sale_read(sale);
	}
	if (!sim_run_until(shops->sim, is_read, &reading, LIVENESS_US)) {
		judge_fail(judge, "after %d s, %zu of %zu keys were read back", LIVENESS_US / 1000000,
			   shops->final_done, shops->final_count);
	}
}

/* ---- the phases ---- */

static bool did_enough(void *owner)
{
	struct run *run = owner;
	bool enough = run->shops.acknowledged >= ACKNOWLEDGED_MIN && run->judge.leader_changes >= LEADER_CHANGES_MIN &&
		      run->fleet.restarts >= RESTARTS_MIN && nemesis_idle(&run->nemesis) == NULL;
	return enough || over(run);
}

static void safety(struct run *run, const struct run_options *options)
{
	uint64_t minutes = options->minutes == 0 ? 1 : options->minutes;
	sim_run_until(run->sim, run_failed, run, minutes * 60000000);
	/* A seed that is hit hard gets longer to do its work, in a storm that abates: with as many members lost for
	 * good as can be, a majority is all the others, and at the rates of some seeds those are never up
	 * together. */
	for (unsigned more = 0; more < STORM_AGAIN && options->only == NULL && !halted(run) && !did_enough(run); more++) {
		nemesis_abate(&run->nemesis);
		sim_run_until(run->sim, did_enough, run, minutes * 60000000);
	}
}

static void close_clients(struct run *run)
{
	shops_close(&run->shops);
	sale_close(&run->sale);
	if (run->closed_us == 0) {
		run->closed_us = sim_now_us(run->sim);
	}
}

/* HALT. With any disk open to damage, most members may refuse to start. Then each has said which file is
 * bad, nothing is acknowledged any more, every request ends, and what was told before holds. */
static void silence(struct run *run)
{
	struct judge *judge = &run->judge;
	for (unsigned i = 0; i < run->fleet.count; i++) {
		const struct member *m = &run->fleet.members[i];
		if (m->why.code != 0 && strstr(m->why.text, m->config.dir) == NULL) {
			judge_fail(judge, "n%u refuses and does not name what is damaged: %s", i + 1, m->why.text);
		}
	}
	sim_run(run->sim, GRACE_US);
	uint64_t before = run->shops.acknowledged;
	sim_run(run->sim, SILENCE_US);
	if (run->shops.acknowledged != before) {
		judge_fail(judge, "most members are lost, and yet %" PRIu64 " requests were acknowledged",
			   run->shops.acknowledged - before);
	}
	close_clients(run);
	uint64_t end = sim_now_us(run->sim) + DRAIN_US;
	while (run->shops.busy + run->sale.busy > 0 && sim_now_us(run->sim) < end && sim_step(run->sim)) {
	}
	if (run->shops.busy + run->sale.busy > 0) {
		judge_fail(judge, "%u requests never ended", run->shops.busy + run->sale.busy);
	}
	judge->history.cut = true;
	judge_verdict(judge);
}

static void liveness(struct run *run)
{
	nemesis_stop(&run->nemesis);
	nemesis_leave_majority(&run->nemesis);
	run->shops.healed_us = sim_now_us(run->sim);
	bool served = sim_run_until(run->sim, acknowledged, run, LIVENESS_US);
	if (over(run)) {
		return;
	}
	if (!served) {
		judge_fail(&run->judge, "nothing was acknowledged for %d s after the faults ended", LIVENESS_US / 1000000);
		return;
	}
	close_clients(run);
	if (!sim_run_until(run->sim, shops_idle, run, DRAIN_US)) {
		judge_fail(&run->judge, "%u requests never ended", run->shops.busy + run->sale.busy);
		return;
	}
	if (over(run)) {
		return;
	}
	run_read_back(&run->judge, &run->shops, &run->sale, run_failed, run);
	if (run->judge.failed) {
		return;
	}
	if (!sim_run_until(run->sim, converged, run, LIVENESS_US)) {
		judge_fail(&run->judge, "the nodes do not converge within %d s", LIVENESS_US / 1000000);
	}
}

/* A run with a choice of faults of its own need not have seen all that a seed of the swarm must. */
static void verdict(struct run *run, bool swarm)
{
	judge_verdict(&run->judge);
	if (!swarm) {
		return;
	}
	if (run->shops.acknowledged < ACKNOWLEDGED_MIN) {
		judge_fail(&run->judge, "void: %" PRIu64 " requests were acknowledged, fewer than %d", run->shops.acknowledged,
			   ACKNOWLEDGED_MIN);
	}
	if (run->judge.leader_changes < LEADER_CHANGES_MIN) {
		judge_fail(&run->judge, "void: leadership changed %" PRIu64 " times", run->judge.leader_changes);
	}
	if (run->fleet.restarts < RESTARTS_MIN) {
		judge_fail(&run->judge, "void: no node started again");
	}
	const char *idle = nemesis_idle(&run->nemesis);
	if (idle != NULL) {
		judge_fail(&run->judge, "void: the fault %s is on and never struck", idle);
	}
}

static void write_history(const struct run *run, const struct run_options *options, struct run_result *result)
{
	char path[1024];
	if (options->history == NULL) {
		return;
	}
	snprintf(path, sizeof(path), "%s/seed-%" PRIu64 ".jsonl", options->history, options->seed);
	FILE *out = fopen(path, "we");
	bool written = out != NULL && history_write(&run->judge.history, out) == 0;
	if (!written && !result->failed) {
		result->failed = true;
		snprintf(result->failure, sizeof(result->failure), "cannot write %.900s", path);
	}
	if (out != NULL) {
		fclose(out);
	}
}

static void fill_result(struct run *run, struct run_result *result)
{
	result->failed = run->judge.failed;
	result->halted = halted(run);
	memcpy(result->failure, run->judge.failure, sizeof(result->failure));
	result->trace = sim_trace_hash(run->sim);
	result->events = sim_event_count(run->sim);
	result->sim_us = sim_now_us(run->sim);
	result->loaded_us = run->closed_us != 0 ? run->closed_us : result->sim_us;
	result->acknowledged = run->shops.acknowledged;
	result->refused = run->shops.refused;
	result->retried = run->shops.retried;
	result->unknown = run->shops.unknown;
	result->started = run->shops.works.started;
	result->leader_changes = run->judge.leader_changes;
	result->restarts = run->fleet.restarts;
	result->truth_lost = run->fleet.truth_lost;
	result->lost = fleet_lost(&run->fleet);
	result->entries = run->judge.entry_count;
	result->longest_gap_us = run->shops.longest_gap_us;
	result->longest_silence_us = run->progress.longest_us;
	result->sold = run->sale.sold;
	result->sale_refused = run->sale.refused;
	result->sale_unknown = run->sale.unknown;
	result->replayed = run->sale.replayed;
	for (unsigned i = 0; nemesis_kind_name(i) != NULL; i++) {
		result->fired[i] = run->nemesis.faults[i].fired;
	}
}

void run_seed(const struct run_options *options, struct run_result *result)
{
	struct run *run = calloc(1, sizeof(*run));
	if (run == NULL) {
		fatal("out of memory for a run");
	}
	run->sim = sim_new(options->seed);
	sim_trace_print(run->sim, options->trace);
	struct prng *prng = sim_prng(run->sim);
	unsigned nodes = options->nodes != 0 ? options->nodes : prng_chance(prng, 1, 4) ? 5 : 3;
	judge_init(&run->judge);
	fleet_init(&run->fleet, run->sim, &run->judge, nodes, options->log);
	for (unsigned i = 0; i < nodes; i++) {
		fleet_start_in(&run->fleet, i, 1 + prng_below(prng, 50000));
	}
	unsigned shops = 2 + (unsigned)prng_below(prng, 3);
	unsigned workers = 1 + (unsigned)prng_below(prng, 4);
	unsigned a_second = 20 + (unsigned)prng_below(prng, 60);
	shops_init(&run->shops, &run->fleet, &run->judge, shops, workers, 2000000 / a_second * shops * workers);
	if (options->wares != NULL) {
		sale_init(&run->sale, &run->fleet, &run->judge, options->wares);
	}
	run->may_halt = options->halt;
	nemesis_init(&run->nemesis, &run->fleet, &run->shops, options->only, options->halt ? nodes : 0);
	progress_init(&run->progress, &run->fleet, &run->shops);
	safety(run, options);
	if (!run->judge.failed) {
		liveness(run);
	}
	if (halted(run)) {
		silence(run);
	}
	if (!over(run)) {
		compare_bytes(run);
	}
	if (!over(run)) {
		verdict(run, options->only == NULL);
	}
	fill_result(run, result);
	write_history(run, options, result);
	if (run->judge.failed && !options->log) {
		fleet_print(&run->fleet);
	}
	if (run->nemesis.running) {
		nemesis_stop(&run->nemesis);
	}
	progress_fini(&run->progress);
	sale_fini(&run->sale);
	shops_fini(&run->shops);
	fleet_fini(&run->fleet);
	sim_free(run->sim);
	judge_fini(&run->judge);
	free(run);
}

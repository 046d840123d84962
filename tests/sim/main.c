/* build/sim: tortures whole clusters in simulated time, one seed after the other.
 *
 * Each seed runs in a process of its own, so that a failed assertion is one
 * failed seed. With --twice a second process, with other memory under it, must
 * come to the same trace hash. */
#include "tests/sim/run.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define SEED_SECONDS 300 /* real; a seed that takes longer hangs */

struct plan {
	struct run_options run;
	uint64_t from, seeds;
	unsigned jobs;
	bool replay, twice, quiet;
	const char *program, *commit;
};

struct totals {
	uint64_t seeds, failed, diverged, voids;
	uint64_t events, sim_us, acknowledged, refused, retried, unknown, started, leader_changes, restarts, truth_lost,
		lost;
	uint64_t sold, sale_refused, sale_unknown, replayed;
	uint64_t fired[NEMESIS_KINDS_MAX];
};

struct job {
	pid_t pid;
	int pipe;
	uint64_t seed;
};

static _Noreturn void usage(int status)
{
	printf("usage: sim [--seeds N] [--from S] [--nodes K] [--minutes M] [--jobs J] [--twice]\n"
	       "           [--faults KIND,KIND|none] [--replay SEED] [--trace] [--log] [--quiet] [--history DIR]\n"
	       "\n"
	       "Runs N seeds from S, each a cluster of K nodes under faults for M simulated minutes.\n"
	       "--replay runs one seed in this process; --trace prints every event, --log the nodes' logs.\n"
	       "--history writes what clients saw and the log to DIR/seed-N.jsonl, for judge-history.\n"
	       "Faults:");
	for (unsigned i = 0; nemesis_kind_name(i) != NULL; i++) {
		printf(" %s", nemesis_kind_name(i));
	}
	printf("\n");
	exit(status);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = text == NULL ? 0 : strtoull(text, &end, 10);
	if (text == NULL || *text == '\0' || *end != '\0') {
		usage(2);
	}
	return value;
}

static void parse(struct plan *plan, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(argv[i], "--trace") == 0) {
			plan->run.trace = true;
		} else if (strcmp(argv[i], "--log") == 0) {
			plan->run.log = true;
		} else if (strcmp(argv[i], "--twice") == 0) {
			plan->twice = true;
		} else if (strcmp(argv[i], "--quiet") == 0) {
			plan->quiet = true;
		} else if (strcmp(argv[i], "--help") == 0) {
			usage(0);
		} else if (strcmp(argv[i], "--seeds") == 0) {
			plan->seeds = number(value), i++;
		} else if (strcmp(argv[i], "--from") == 0) {
			plan->from = number(value), i++;
		} else if (strcmp(argv[i], "--nodes") == 0) {
			plan->run.nodes = (unsigned)number(value), i++;
		} else if (strcmp(argv[i], "--minutes") == 0) {
			plan->run.minutes = number(value), i++;
		} else if (strcmp(argv[i], "--jobs") == 0) {
			plan->jobs = (unsigned)number(value), i++;
		} else if (strcmp(argv[i], "--replay") == 0) {
			plan->run.seed = number(value), i++;
			plan->replay = true;
		} else if (strcmp(argv[i], "--history") == 0 && value != NULL) {
			plan->run.history = value, i++;
		} else if (strcmp(argv[i], "--faults") == 0 && value != NULL) {
			plan->run.only = value, i++;
		} else {
			usage(2);
		}
	}
	if (plan->jobs < 1 || plan->jobs > JOBS_MAX || plan->run.nodes > LIMIT_MEMBERS) {
		usage(2);
	}
}

static void print_command(const struct plan *plan, uint64_t seed)
{
	printf("#   replay: %s --replay %" PRIu64, plan->program, seed);
	if (plan->run.nodes != 0) {
		printf(" --nodes %u", plan->run.nodes);
	}
	if (plan->run.minutes != 0) {
		printf(" --minutes %" PRIu64, plan->run.minutes);
	}
	if (plan->run.only != NULL) {
		printf(" --faults %s", plan->run.only);
	}
	printf(" --log   (commit %s)\n", plan->commit);
}

static void print_result(const struct plan *plan, uint64_t seed, const struct run_result *r)
{
	if (!plan->quiet || r->failed) {
		printf("%s seed %" PRIu64 " trace %016" PRIx64 " events %" PRIu64 " acked %" PRIu64 " unknown %" PRIu64
		       " leaders %" PRIu64 " restarts %" PRIu64 " entries %" PRIu64 " gap %.1fs%s%s\n",
		       r->failed ? "FAIL" : "ok", seed, r->trace, r->events, r->acknowledged, r->unknown, r->leader_changes,
		       r->restarts, r->entries, (double)r->longest_gap_us / 1e6, r->failed ? ": " : "", r->failure);
	}
	if (r->failed) {
		print_command(plan, seed);
	}
	fflush(stdout);
}

static void add_result(struct totals *t, const struct run_result *r)
{
	t->seeds++;
	t->failed += r->failed;
	t->voids += strncmp(r->failure, "void:", 5) == 0;
	t->events += r->events;
	t->sim_us += r->sim_us;
	t->acknowledged += r->acknowledged;
	t->refused += r->refused;
	t->retried += r->retried;
	t->unknown += r->unknown;
	t->started += r->started;
	t->leader_changes += r->leader_changes;
	t->restarts += r->restarts;
	t->truth_lost += r->truth_lost;
	t->lost += r->lost;
	t->sold += r->sold;
	t->sale_refused += r->sale_refused;
	t->sale_unknown += r->sale_unknown;
	t->replayed += r->replayed;
	for (unsigned i = 0; nemesis_kind_name(i) != NULL; i++) {
		t->fired[i] += r->fired[i];
	}
}

/* ---- a seed in a process of its own ---- */

static void job_start(const struct plan *plan, struct job *job, uint64_t seed)
{
	int ends[2];
	fflush(stdout);
	if (pipe(ends) != 0) {
		fatal("no pipe for a seed");
	}
	job->seed = seed;
	job->pipe = ends[0];
	job->pid = fork();
	if (job->pid < 0) {
		fatal("no process for a seed");
	}
	if (job->pid > 0) {
		close(ends[1]);
		return;
	}
	alarm(SEED_SECONDS);
	struct run_options options = plan->run;
	options.seed = seed;
	struct run_result result;
	run_seed(&options, &result);
	fflush(stderr);
	bool sent = write(ends[1], &result, sizeof(result)) == sizeof(result);
	exit(sent ? 0 : 1);
}

static void job_end(struct job *job, struct run_result *result)
{
	memset(result, 0, sizeof(*result));
	ssize_t got = read(job->pipe, result, sizeof(*result));
	close(job->pipe);
	int status = 0;
	waitpid(job->pid, &status, 0);
	if (got != sizeof(*result)) {
		result->failed = true;
		if (WIFSIGNALED(status)) {
			snprintf(result->failure, sizeof(result->failure), "ended by signal %d (%s)", WTERMSIG(status),
				 strsignal(WTERMSIG(status)));
		} else {
			snprintf(result->failure, sizeof(result->failure), "ended with status %d", WEXITSTATUS(status));
		}
	} else if (!result->failed && status != 0) {
		result->failed = true;
		snprintf(result->failure, sizeof(result->failure), "passed, then ended with %d (a leak?)", status);
	}
	job->pid = 0;
}

/* The trace hash of the seed from a new process image, with other garbage in fresh memory. */
static uint64_t second_trace(const struct plan *plan, uint64_t seed)
{
	char command[512];
	int len = snprintf(command, sizeof(command), "MALLOC_PERTURB_=85 '%s' --replay %" PRIu64 " --quiet", plan->program, seed);
	if (plan->run.nodes != 0) {
		len += snprintf(command + len, sizeof(command) - (size_t)len, " --nodes %u", plan->run.nodes);
	}
	if (plan->run.minutes != 0) {
		len += snprintf(command + len, sizeof(command) - (size_t)len, " --minutes %" PRIu64, plan->run.minutes);
	}
	if (plan->run.only != NULL) {
		len += snprintf(command + len, sizeof(command) - (size_t)len, " --faults '%s'", plan->run.only);
	}
	snprintf(command + len, sizeof(command) - (size_t)len, " 2>/dev/null");
	FILE *out = popen(command, "r");
	uint64_t trace = 0;
	if (out == NULL || fscanf(out, "trace %" SCNx64, &trace) != 1) {
		trace = 0;
	}
	if (out != NULL) {
		pclose(out);
	}
	return trace;
}

static void settle(const struct plan *plan, struct job *job, struct totals *totals)
{
	struct run_result result;
	job_end(job, &result);
	if (plan->twice && !result.failed) {
		uint64_t again = second_trace(plan, job->seed);
		if (again != result.trace) {
			totals->diverged++;
			result.failed = true;
			snprintf(result.failure, sizeof(result.failure), "the second run's trace is %016" PRIx64, again);
		}
	}
	print_result(plan, job->seed, &result);
	add_result(totals, &result);
}

/* A crude but fair pool: the oldest seed is waited for first, so output is in order of seeds. */
static void run_all(const struct plan *plan, struct totals *totals)
{
	struct job jobs[JOBS_MAX] = {0};
	uint64_t end = plan->from + plan->seeds;
	for (uint64_t seed = plan->from; seed < end + plan->jobs; seed++) {
		struct job *job = &jobs[seed % plan->jobs];
		if (job->pid != 0) {
			settle(plan, job, totals);
		}
		if (seed < end) {
			job_start(plan, job, seed);
		}
	}
}

static double seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_totals(const struct plan *plan, const struct totals *t, double took)
{
	double sim_s = (double)t->sim_us / 1e6;
	printf("# %" PRIu64 " seeds: %" PRIu64 " failed (%" PRIu64 " void), %" PRIu64 " diverged\n", t->seeds, t->failed,
	       t->voids, t->diverged);
	printf("# %.2f simulated hours in %.1f s: %.0f times real time on each of %u cores; %.0f events/s; %.2f s a seed and core\n",
	       sim_s / 3600, took, sim_s / took / plan->jobs, plan->jobs, (double)t->events / took,
	       took * plan->jobs / (double)(t->seeds == 0 ? 1 : t->seeds));
	printf("# operations %" PRIu64 ": acknowledged %" PRIu64 ", refused %" PRIu64 ", retry %" PRIu64 ", unknown %" PRIu64
	       " (%.2f %%)\n",
	       t->started, t->acknowledged, t->refused, t->retried, t->unknown,
	       100.0 * (double)t->unknown / (double)(t->started == 0 ? 1 : t->started));
	printf("# sales: sold %" PRIu64 ", refused %" PRIu64 ", unknown %" PRIu64 ", replayed %" PRIu64 "\n", t->sold,
	       t->sale_refused, t->sale_unknown, t->replayed);
	printf("# leader changes %" PRIu64 ", restarts from disk %" PRIu64 ", fail-stops %" PRIu64 ", members lost to damage %" PRIu64
	       "\n# faults:",
	       t->leader_changes, t->restarts, t->truth_lost, t->lost);
	for (unsigned i = 0; nemesis_kind_name(i) != NULL; i++) {
		if (t->fired[i] > 0) {
			printf(" %s %" PRIu64, nemesis_kind_name(i), t->fired[i]);
		}
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	struct plan plan = {.from = 1, .seeds = 10, .jobs = 1, .program = argv[0], .commit = SIM_COMMIT};
	parse(&plan, argc, argv);
	static struct wares wares;
	struct err err = {0};
	if (wares_read(&wares, SIM_COMMERCE, &err) != 0) {
		fprintf(stderr, "sim: %s\n", err.text);
		return 2;
	}
	plan.run.wares = &wares;
	if (plan.replay) {
		struct run_result result;
		run_seed(&plan.run, &result);
		if (plan.quiet) {
			printf("trace %016" PRIx64 "\n", result.trace);
		} else {
			print_result(&plan, plan.run.seed, &result);
		}
		return result.failed ? 1 : 0;
	}
	struct totals totals = {0};
	double start = seconds_now();
	run_all(&plan, &totals);
	print_totals(&plan, &totals, seconds_now() - start);
	return totals.failed == 0 ? 0 : 1;
}

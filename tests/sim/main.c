/* build/sim: tortures whole clusters in simulated time, one seed after the other.
 *
 * Each seed runs in a process of its own, so that a failed assertion is one
 * failed seed. With --twice a second process, with other memory under it, must
 * come to the same trace hash. */
#include "tests/sim/report.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 64
#define NODES_LEAST 3 /* fewer have no disk to spare */
#define SEED_CPU_SECONDS 300 /* a seed that computes for longer spins; other work beside it costs it nothing */
#define SEED_SECONDS 3600    /* real; one that takes longer waits for itself */

struct plan {
	struct run_options run;
	uint64_t from, seeds;
	unsigned jobs;
	bool replay, twice, quiet, json;
	const char *program, *commit;
};

struct job {
	pid_t pid;
	int pipe;
	uint64_t seed;
};

/* In the place of libc's, which reads a file of the kernel's each time: RocksDB asks nine times a life. */
int get_nprocs(void)
{
	return 2;
}

static _Noreturn void usage(int status)
{
	printf("usage: sim [--seeds N] [--from S] [--nodes K] [--minutes M] [--jobs J] [--twice]\n"
	       "           [--faults KIND,KIND|none] [--halt] [--replay SEED] [--trace] [--log] [--quiet] [--json]\n"
	       "           [--history DIR]\n"
	       "\n"
	       "Runs N seeds from S, each a cluster of K (3 to 9) nodes under faults for M simulated minutes.\n"
	       "--replay runs one seed in this process; --trace prints every event, --log the nodes' logs.\n"
	       "--halt damages more disks than a cluster can repair: it may stop, it must not lie.\n"
	       "--history writes what clients saw and the log to DIR/seed-N.jsonl, for judge-history.\n"
	       "--json: the sums as one object on standard output, all else on standard error.\n"
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

static bool is_kind(const char *name, size_t len)
{
	bool is = len == 4 && memcmp(name, "none", 4) == 0;
	for (unsigned i = 0; !is && nemesis_kind_name(i) != NULL; i++) {
		is = strlen(nemesis_kind_name(i)) == len && memcmp(name, nemesis_kind_name(i), len) == 0;
	}
	return is;
}

/* A name that is none of a fault would be a calm run, which passes. */
static const char *check_kinds(const char *list)
{
	for (const char *name = list;; name++) {
		size_t len = strcspn(name, ",");
		if (!is_kind(name, len)) {
			fprintf(stderr, "sim: no fault is called '%.*s'; --help names them\n", (int)len, name);
			exit(2);
		}
		name += len;
		if (*name == '\0') {
			return list;
		}
	}
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
		} else if (strcmp(argv[i], "--json") == 0) {
			plan->json = plan->quiet = true;
		} else if (strcmp(argv[i], "--halt") == 0) {
			plan->run.halt = true;
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
			plan->run.only = check_kinds(value), i++;
		} else {
			usage(2);
		}
	}
	bool few = plan->run.nodes != 0 && plan->run.nodes < NODES_LEAST;
	if (plan->jobs < 1 || plan->jobs > JOBS_MAX || few || plan->run.nodes > LIMIT_MEMBERS) {
		usage(2);
	}
}

static void print_command(const struct plan *plan, uint64_t seed)
{
	FILE *out = plan->json ? stderr : stdout;
	fprintf(out, "#   replay: %s --replay %" PRIu64, plan->program, seed);
	if (plan->run.nodes != 0) {
		fprintf(out, " --nodes %u", plan->run.nodes);
	}
	if (plan->run.minutes != 0) {
		fprintf(out, " --minutes %" PRIu64, plan->run.minutes);
	}
	if (plan->run.only != NULL) {
		fprintf(out, " --faults %s", plan->run.only);
	}
	if (plan->run.history != NULL) {
		fprintf(out, " --history %s", plan->run.history);
	}
	fprintf(out, "%s --log   (commit %s)\n", plan->run.halt ? " --halt" : "", plan->commit);
}

static void print_result(const struct plan *plan, uint64_t seed, const struct run_result *r)
{
	if (!plan->quiet || r->failed) {
		fprintf(plan->json ? stderr : stdout, "%s seed %" PRIu64 " trace %016" PRIx64 " events %" PRIu64 " acked %" PRIu64 " unknown %" PRIu64
		       " leaders %" PRIu64 " restarts %" PRIu64 " entries %" PRIu64 " gap %.1fs silence %.1fs%s%s\n",
		       r->failed ? "FAIL" : "ok", seed, r->trace, r->events, r->acknowledged, r->unknown, r->leader_changes,
		       r->restarts, r->entries, (double)r->longest_gap_us / 1e6, (double)r->longest_silence_us / 1e6, r->failed ? ": " : r->halted ? " halted" : "", r->failure);
	}
	if (r->failed) {
		print_command(plan, seed);
	}
	fflush(stdout);
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
	struct rlimit most;
	getrlimit(RLIMIT_CPU, &most);
	most.rlim_cur = SEED_CPU_SECONDS;
	setrlimit(RLIMIT_CPU, &most);
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
	snprintf(command + len, sizeof(command) - (size_t)len, "%s 2>/dev/null", plan->run.halt ? " --halt" : "");
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
	/* A seed that failed must come to the same trace too, or its command replays nothing. */
	if (plan->twice && result.trace != 0) {
		uint64_t again = second_trace(plan, job->seed);
		if (again != result.trace) {
			size_t used = strlen(result.failure);
			totals->diverged++;
			result.failed = true;
			snprintf(result.failure + used, sizeof(result.failure) - used, "%sthe second run's trace is %016" PRIx64,
				 used > 0 ? "; " : "", again);
		}
	}
	print_result(plan, job->seed, &result);
	totals->runs += plan->twice ? 2 : 1;
	totals_add(totals, &result);
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

/* Of the processes that ran the seeds. */
static double cpu_seconds(void)
{
	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
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
	totals.wall_s = seconds_now() - start;
	totals.cpu_s = cpu_seconds();
	totals_print(&totals, plan.json ? stderr : stdout);
	if (plan.json) {
		totals_json(&totals, stdout);
	}
	return totals.failed == 0 ? 0 : 1;
}

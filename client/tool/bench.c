#include "client/tool/bench.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/tool/print.h"
#include "client/tool/script.h"
#include "env/uv_env.h"

/* Progress is shown this often: a terminal overwrites its line, a log keeps every one. */
#define TERMINAL_US 100000
#define LOG_US 990000

void bench_init(struct bench *bench, struct tool *tool, struct option options[BENCH_OPTIONS])
{
	*bench = (struct bench){
		.tool = tool, .connections = 8, .depth = 64, .seconds = 10, .seed = 1, .unset = tool->servers};
	struct option list[BENCH_OPTIONS] = {
		{"local", OPTION_COUNT, &bench->local_options.nodes, "N",
		 "start N nodes here, and stop them afterwards"},
		{"nodes", OPTION_TEXT, &tool->servers, "HOST:PORT,...", "the same as --servers"},
		{"dir", OPTION_TEXT, &bench->local_options.dir, "PATH",
		 "where local nodes keep their data (below /var/tmp)"},
		{"tallyd", OPTION_TEXT, &bench->local_options.flags, "FLAGS",
		 "further flags for local nodes, e.g. \"--memory=1GiB\""},
		{"unsafe", OPTION_FLAG, &bench->local_options.unsafe, NULL,
		 "allow a memory file system: figures mean nothing"},
		{"keep", OPTION_FLAG, &bench->local_options.keep, NULL,
		 "leave local nodes running and their data behind"},
		{"connections", OPTION_COUNT, &bench->connections, "N", "to the leader"},
		{"depth", OPTION_COUNT, &bench->depth, "N", "requests under way on each"},
		{"seconds", OPTION_COUNT, &bench->seconds, "N", "how long is measured"},
		{"seed", OPTION_COUNT, &bench->seed, "N", "of everything that is drawn"},
		{"bundle", OPTION_TEXT, &bench->bundle, "DIR", "the commerce bundle (found by itself)"},
	};
	memcpy(options, list, sizeof(list));
}

static void bench_signal_cb(void *owner, int signum)
{
	struct bench *bench = owner;
	bench->interrupted = true;
	bench->stop = true;
}

int bench_open(struct bench *bench)
{
	struct tool *tool = bench->tool;
	if (bench->connections < 1 || bench->connections > 1024 || bench->depth < 1 || bench->depth > 4096) {
		return tool_fail(tool, TOOL_USAGE, "1 to 1024 connections with 1 to 4096 requests each");
	}
	if (bench->seconds < 1 || bench->seconds > 86400) {
		return tool_fail(tool, TOOL_USAGE, "--seconds is between 1 and 86400");
	}
	prng_init(&bench->prng, bench->seed);
	if (bench->local_options.nodes > 0 && tool->servers != bench->unset) {
		return tool_fail(tool, TOOL_USAGE,
				 "this bench starts nodes of its own: --local and --servers (--nodes) exclude each other");
	}
	if (bench->local_options.nodes > 0) {
		int code = local_start(&bench->local, tool, &bench->local_options);
		if (code != 0) {
			return code;
		}
	}
	struct err err = {0};
	struct tally_options options = {.servers = tool->servers,
					.connections = (unsigned)bench->connections,
					.pipeline_max = (unsigned)bench->depth};
	bench->env = uv_env_new(NULL);
	uv_env_on_signal(bench->env, bench_signal_cb, bench);
	bench->tally = client_open(bench->env, &options, &err);
	return bench->tally != NULL ? 0 : tool_fail(tool, TOOL_USAGE, "--servers: %s", err.text);
}

static void bench_closed_cb(void *data)
{
	((struct bench *)data)->closed = true;
}
static bool bench_is_closed(void *owner)
{
	return ((struct bench *)owner)->closed;
}

void bench_close(struct bench *bench)
{
	if (bench->tally != NULL) {
		tally_close(bench->tally, bench_closed_cb, bench);
		while (!bench->closed) {
			uv_env_run_until(bench->env, bench_is_closed, bench, 1000);
		}
	}
	if (bench->env != NULL) {
		uv_env_free(bench->env, NULL, NULL);
	}
	tool_close(bench->tool);
	local_stop(&bench->local);
}

struct bench_waiter {
	struct bench *bench;
	bool (*done)(void *owner);
	void *owner;
};

static bool bench_done(void *owner)
{
	struct bench_waiter *waiter = owner;
	return waiter->bench->stop || (waiter->done != NULL && waiter->done(waiter->owner));
}

void bench_wait(struct bench *bench, bool (*done)(void *owner), void *owner)
{
	struct bench_waiter waiter = {bench, done, owner};
	while (!bench_done(&waiter)) {
		uv_env_run_until(bench->env, bench_done, &waiter, 1000);
		if (local_died(&bench->local)) {
			bench->stop = bench->interrupted = true;
		}
	}
}

/* ---- scripts ---- */

bool script_commerce(const char *given, char *dir, size_t size)
{
	if (given != NULL) {
		snprintf(dir, size, "%s", given);
		return true;
	}
	char exe[512];
	char file[700];
	ssize_t len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[len > 0 ? len : 0] = '\0';
	char *slash = strrchr(exe, '/');
	if (slash != NULL) {
		*slash = '\0';
	}
	static const char *const places[] = {"/../commerce", "/../share/tally/commerce", "/commerce"};
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(dir, size, "%s%s", exe, places[i]);
		snprintf(file, sizeof(file), "%s/tables.lua", dir);
		if (access(file, R_OK) == 0) {
			return true;
		}
	}
	return false;
}

int bench_push(struct bench *bench)
{
	struct tool *tool = bench->tool;
	char dir[600];
	struct files *files = calloc(1, sizeof(*files));
	if (files == NULL || !script_commerce(bench->bundle, dir, sizeof(dir))) {
		free(files);
		return tool_fail(tool, TOOL_FAILED,
				 "the commerce bundle is not beside this program; name it with --bundle");
	}
	int code = files_read(tool, dir, ".lua", files);
	if (code == 0) {
		const struct tally_call *call = script_send(tool, "PUSH", "commerce", files);
		code = call == NULL                             ? TOOL_FAILED
		       : tally_call_outcome(call) != TALLY_DONE ? tool_refused(tool, call)
								: 0;
	}
	files_free(files);
	free(files);
	return code;
}

int bench_call(struct bench *bench, const char *procedure, const struct tally_arg *args, size_t count,
	       const struct tally_call **call)
{
	struct tally_sync *sync = tool_client(bench->tool);
	if (sync == NULL) {
		return TOOL_USAGE;
	}
	*call = tally_sync_call(sync, NULL, procedure, args, count, (unsigned)bench->tool->timeout_ms);
	if (tally_call_outcome(*call) == TALLY_DONE) {
		return 0;
	}
	fprintf(stderr, "%s: ", procedure);
	return tool_refused(bench->tool, *call);
}

/* ---- progress ---- */

void bench_progress(struct bench *bench, const char *format, ...)
{
	va_list args;
	bool terminal = print_is_terminal(stderr);
	uint64_t now_us = env_now_us(bench->env);
	if (bench->shown_us != 0 && now_us < bench->shown_us + (terminal ? TERMINAL_US : LOG_US)) {
		return;
	}
	bench->shown_us = now_us;
	fputs(terminal ? "\r\033[K" : "", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputs(terminal ? "" : "\n", stderr);
	fflush(stderr);
}

void bench_progress_end(struct bench *bench)
{
	bench->shown_us = 0;
	fputs(print_is_terminal(stderr) ? "\r\033[K" : "", stderr);
}

/* ---- tables ---- */

void bench_table_head(void)
{
	printf("%-12s %12s %10s %10s %10s %10s %10s %10s\n", "latency", "count", "mean", "p50", "p90", "p99",
	       "p99.9", "max");
}

void bench_table_row(const char *name, const struct histogram *histogram)
{
	char count[32];
	char rooms[6][32];
	if (histogram->count == 0) {
		return;
	}
	printf("%-12s %12s %10s %10s %10s %10s %10s %10s\n", name,
	       print_count(histogram->count, count, sizeof(count)),
	       print_us(histogram->sum / histogram->count, rooms[0], 32),
	       print_us(histogram_quantile(histogram, 500), rooms[1], 32),
	       print_us(histogram_quantile(histogram, 900), rooms[2], 32),
	       print_us(histogram_quantile(histogram, 990), rooms[3], 32),
	       print_us(histogram_quantile(histogram, 999), rooms[4], 32),
	       print_us(histogram->max, rooms[5], 32));
}

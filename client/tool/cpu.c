#include "client/tool/cpu.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/tool/json_out.h"

/* User and system time of a stat file of /proc, in us; 0 when it is gone. */
static uint64_t cpu_of(const char *path)
{
	char text[1024];
	FILE *in = fopen(path, "re");
	if (in == NULL) {
		return 0;
	}
	size_t len = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[len] = '\0';
	/* The name in parentheses may hold anything; behind it, state is field 3 and the times are 14 and 15.
	 */
	const char *rest = strrchr(text, ')');
	unsigned long long user;
	unsigned long long system;
	if (rest == NULL ||
	    sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system) != 2) {
		return 0;
	}
	return (user + system) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* The first line of /proc/stat: user, nice, system, idle, waiting for a disk, interrupts, soft ones, stolen.
 */
static void sample_machine(struct cpu_sample *sample)
{
	unsigned long long t[8] = {0};
	FILE *in = fopen("/proc/stat", "re");
	if (in == NULL) {
		return;
	}
	int found = fscanf(in, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
			   &t[4], &t[5], &t[6], &t[7]);
	fclose(in);
	for (int i = 0; i < found; i++) {
		sample->ticks += t[i];
	}
	sample->idle_ticks = t[3] + t[4];
	sample->stolen_ticks = t[7];
}

void cpu_sample(const struct local *local, struct cpu_sample *sample)
{
	struct timespec mine;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &mine);
	*sample = (struct cpu_sample){.client_us = (uint64_t)mine.tv_sec * 1000000 +
						   (uint64_t)mine.tv_nsec / 1000};
	sample_machine(sample);
	for (size_t i = 0; i < local->count; i++) {
		char path[64];
		int pid = (int)local->nodes[i].pid;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		sample->node_us[i] = cpu_of(path);
		snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, pid);
		sample->node_loop_us[i] = cpu_of(path);
	}
}

static double percent(uint64_t from, uint64_t to, const struct cpu_sample *before,
		      const struct cpu_sample *after)
{
	/* The kernel's count of waiting for disks may go back (proc(5)). */
	uint64_t all = after->ticks > before->ticks ? after->ticks - before->ticks : 0;
	return all == 0 || to < from ? 0 : 100.0 * (double)(to - from) / (double)all;
}

void cpu_print(const struct local *local, const struct cpu_sample *before, const struct cpu_sample *after,
	       uint64_t requests, size_t leader)
{
	if (requests == 0 || local->count == 0) {
		return;
	}
	double each = (double)requests;
	double sum = (double)(after->client_us - before->client_us);
	printf("cpu a request: client %.1f us", sum / each);
	for (size_t i = 0; i < local->count; i++) {
		double all = (double)(after->node_us[i] - before->node_us[i]);
		double loop = (double)(after->node_loop_us[i] - before->node_loop_us[i]);
		printf(" · n%zu%s %.1f us, loop %.1f", i + 1, i == leader ? " (leads)" : "", all / each,
		       loop / each);
		sum += all;
	}
	printf(" · together %.1f us\n", sum / each);
	printf("%ld cores: %.1f %% idle, %.1f %% stolen by the host\n", sysconf(_SC_NPROCESSORS_ONLN),
	       percent(before->idle_ticks, after->idle_ticks, before, after),
	       percent(before->stolen_ticks, after->stolen_ticks, before, after));
}

void cpu_json(struct buf *out, const struct cpu_sample *before, const struct cpu_sample *after)
{
	json_out_name(out, "idle_percent");
	buf_appendf(out, "%.1f", percent(before->idle_ticks, after->idle_ticks, before, after));
	json_out_name(out, "stolen_percent");
	buf_appendf(out, "%.1f", percent(before->stolen_ticks, after->stolen_ticks, before, after));
}

#include "client/tool/cpu.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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

void cpu_sample(const struct local *local, struct cpu_sample *sample)
{
	struct timespec mine;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &mine);
	*sample = (struct cpu_sample){.client_us = (uint64_t)mine.tv_sec * 1000000 +
						   (uint64_t)mine.tv_nsec / 1000};
	for (size_t i = 0; i < local->count; i++) {
		char path[64];
		int pid = (int)local->nodes[i].pid;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		sample->node_us[i] = cpu_of(path);
		snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, pid);
		sample->node_loop_us[i] = cpu_of(path);
	}
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
}

/* What a run costs in processor time, by process: the figure that a loaded
 * machine does not spoil as it spoils requests a second. */
#ifndef CLIENT_TOOL_CPU_H
#define CLIENT_TOOL_CPU_H

#include "base/buf.h"
#include "client/tool/local.h"

struct cpu_sample {
	uint64_t client_us;
	uint64_t node_us[LOCAL_MAX];      /* all threads */
	uint64_t node_loop_us[LOCAL_MAX]; /* the loop thread alone */
	/* Of all cores, in the kernel's ticks; 0 where /proc/stat does not say. */
	uint64_t ticks, idle_ticks;
	uint64_t stolen_ticks; /* this machine is a guest, and its host gave the core to somebody else */
};

void cpu_sample(const struct local *local, struct cpu_sample *sample);
/* `cpu a request: client 3.1 us · n1 (leads) 24.0 us, loop 18.2 · … · together 41.0 us`, and a line about the
 * machine: `2 cores: 7.5 % idle, 2.0 % stolen by the host`. */
void cpu_print(const struct local *local, const struct cpu_sample *before, const struct cpu_sample *after,
	       uint64_t requests, size_t leader);
/* "idle_percent" and "stolen_percent", with a decimal. */
void cpu_json(struct buf *out, const struct cpu_sample *before, const struct cpu_sample *after);

#endif /* CLIENT_TOOL_CPU_H */

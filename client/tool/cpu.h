/* What a run costs in processor time, by process: the figure that a loaded
 * machine does not spoil as it spoils requests a second. */
#ifndef CLIENT_TOOL_CPU_H
#define CLIENT_TOOL_CPU_H

#include "client/tool/local.h"

struct cpu_sample {
	uint64_t client_us;
	uint64_t node_us[LOCAL_MAX];      /* all threads */
	uint64_t node_loop_us[LOCAL_MAX]; /* the loop thread alone */
};

void cpu_sample(const struct local *local, struct cpu_sample *sample);
/* `cpu a sale: client 3.1 us · n1 (leads) 24.0 us, 18.2 of them its loop · …` */
void cpu_print(const struct local *local, const struct cpu_sample *before, const struct cpu_sample *after,
	       uint64_t requests, size_t leader);

#endif /* CLIENT_TOOL_CPU_H */

/* A leader that is faster than its merges. Beyond a number of young files RocksDB slows writes down abruptly, and
 * the merge that follows takes all of them at once, with memory that is in no budget (docs/decisions/0007). So the
 * leader applies more slowly before:
 *
 *   young files      48          64          80
 *   pause / work      0           4           8      up to PAUSE_MAX_US an item
 *
 * What it commits waits for what it applies (pace_holds), so its clients feel it as latency, not as refusals; and
 * merges get the processor and the disk that it leaves. In multiples of its own work the pause needs to know
 * neither how fast this machine applies nor how fast it merges: files settle where both are even. A follower
 * applies what is committed as fast as it can. */
#include "engine/shard_private.h"

#define FILES_CALM 48
#define FILES_STEP 4 /* so many more: once the work's time more */
#define PAUSE_MAX_US 100000

uint64_t pace_pause_us(uint64_t young_files, uint64_t work_us)
{
	if (young_files <= FILES_CALM) {
		return 0;
	}
	uint64_t files = young_files - FILES_CALM;
	uint64_t work = work_us < PAUSE_MAX_US ? work_us : PAUSE_MAX_US;
	uint64_t pause_us = work * files / FILES_STEP;
	return pause_us < PAUSE_MAX_US ? pause_us : PAUSE_MAX_US;
}

bool pace_holds(const struct shard *shard)
{
	return shard->apply.bytes > LIMIT_APPLY_AHEAD && !shard->apply.waits;
}

/* Merges that fall behind. At a number of young files RocksDB slows writes down abruptly, and the merge that follows
 * takes all of them at once, with memory that is in no budget (docs/decisions/0007). So a node applies more slowly
 * before:
 *
 *   young files      48          64          80
 *   pause / work      0           4           8      up to PAUSE_MAX_US an item
 *
 * and merges get the processor and the disk that it leaves. In multiples of its own work the pause needs to know
 * neither how fast this machine applies nor how fast it merges: files settle where both are even. Who is about to
 * lead does not pause.
 *
 * What is committed waits for it. A leader seals no batch that is not full while LIMIT_APPLY_AHEAD is not applied,
 * so that its clients feel it as latency, not as refusals. A follower that has LIMIT_APPLY_LAG before it takes
 * nothing into its log, so that a leader whose followers are slower than itself waits for one of them, and what
 * one that is slower than the others has not applied lies in their logs, not in its memory. */
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
	bool most = work_us >= PAUSE_MAX_US * FILES_STEP / files; /* a product would not fit every work */
	return most ? PAUSE_MAX_US : work_us * files / FILES_STEP;
}

size_t pace_item_bytes(uint64_t young_files)
{
	return young_files <= FILES_CALM ? APPLY_ITEM_BYTES : APPLY_ITEM_BYTES / 8;
}

bool pace_holds(const struct shard *shard)
{
	return shard->apply.bytes > LIMIT_APPLY_AHEAD && !shard->apply.waits;
}

void pace_step(struct shard *shard)
{
	bool behind = shard->apply.bytes > shard->config.behind_bytes;
	if (behind != shard->apply.behind) {
		shard->apply.behind = behind;
		replica_set_behind(shard->replica, behind);
	}
}

/* How many keys this node holds, for INFO. A small database is counted when somebody asks. A large one is
 * counted on the lane of the walks, at most a twentieth of the time and only while somebody asks; he is told
 * the last count and its age. Followers count their own. Large is also one of few keys among many that were removed and
 * are not merged away yet: millions that have expired would hold the loop at each INFO. */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdlib.h>

#define AT_ONCE_ROWS 1000
#define AT_ONCE_REMOVED 100 /* before each of them */
#define REST_US 1000000 /* between two counts on the lane, and REST_TIMES the last one's length */
#define REST_TIMES 19

static void count_run(struct env_work *work)
{
	struct keyspace *keyspace = list_entry(work, struct keyspace, work);
	keyspace->more = command_census_step(keyspace->census, SURVEY_SLICE_ROWS);
}

/* The census is through. */
static void count_end(struct shard *shard)
{
	struct keyspace *keyspace = &shard->keyspace;
	uint64_t now_us = env_now_us(shard->env);
	if (command_census_counts(keyspace->census, keyspace->counts) == 0) {
		keyspace->known = true;
		keyspace->as_of_us = keyspace->begun_us;
	}
	keyspace->next_us = now_us + REST_US + REST_TIMES * (now_us - keyspace->begun_us);
	command_census_close(keyspace->census);
	keyspace->census = NULL;
}

static void count_done(struct env_work *work)
{
	struct keyspace *keyspace = list_entry(work, struct keyspace, work);
	struct shard *shard = list_entry(keyspace, struct shard, keyspace);
	if (keyspace->more) {
		env_lane_submit(shard->surveys.lane, &keyspace->work);
	} else {
		count_end(shard);
	}
}

/* False: it is large. */
static bool count_at_once(struct shard *shard, struct txn *txn)
{
	struct keyspace *keyspace = &shard->keyspace;
	struct command_census *census = command_census_open(txn, shard->stamp.last_ms, AT_ONCE_REMOVED);
	bool counted = census != NULL && !command_census_step(census, AT_ONCE_ROWS) &&
		       command_census_counts(census, keyspace->counts) == 0;
	command_census_close(census);
	if (counted) {
		keyspace->known = true;
		keyspace->as_of_us = keyspace->begun_us;
		keyspace->next_us = 0;
	}
	return counted;
}

static void count_begin(struct shard *shard)
{
	struct keyspace *keyspace = &shard->keyspace;
	arena_reset(&shard->arena);
	struct txn *txn = txn_begin(shard->overlay, &shard->arena);
	keyspace->begun_us = env_now_us(shard->env);
	if (!count_at_once(shard, txn)) {
		keyspace->census = command_census_open(txn, shard->stamp.last_ms, 0);
	}
	txn_abort(txn);
	if (keyspace->census != NULL) {
		keyspace->work.run = count_run;
		keyspace->work.done = count_done;
		env_lane_submit(shard->surveys.lane, &keyspace->work);
	}
}

bool shard_keyspace(struct shard *shard, struct census_count counts[CENSUS_DATABASES], uint64_t *age_ms)
{
	struct keyspace *keyspace = &shard->keyspace;
	if (keyspace->census == NULL && env_now_us(shard->env) >= keyspace->next_us && shard->surveys.lane != NULL) {
		count_begin(shard);
	}
	if (!keyspace->known) {
		return false;
	}
	memcpy(counts, keyspace->counts, sizeof keyspace->counts);
	*age_ms = (env_now_us(shard->env) - keyspace->as_of_us) / 1000;
	return true;
}

/* The lane is closed. */
void keyspace_fini(struct shard *shard)
{
	command_census_close(shard->keyspace.census);
	shard->keyspace.census = NULL;
}

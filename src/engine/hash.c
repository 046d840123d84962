/* A hash over the whole database, on the lane of the walks: for checkers and operators.
 *
 *   asked ── none is on the lane ──> walks ──> told
 *     └───── one is ──> the next: begins when that is through, and is everybody's who asked meanwhile
 *
 * So however many ask, no more than one walk is ahead of who asks last, and neither a flush nor the look at
 * free space waits for any. */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdlib.h>

struct hash_job {
	struct env_work work;
	struct list link; /* on shard->hashes: the first is on the lane */
	struct list askers;
	struct shard *shard;
	int status;
	struct chain hash;
	uint64_t index;
	struct err err;
};

struct hash_asker {
	struct list link;
	void (*cb)(void *owner, int status, struct chain hash, uint64_t index);
	void *owner;
};

static void hash_run(struct env_work *work)
{
	struct hash_job *job = list_entry(work, struct hash_job, work);
	job->status = store_hash(job->shard->store, &job->hash, &job->index, &job->err);
}

static void hash_tell(struct hash_job *job, bool tell)
{
	struct list *link;
	while ((link = list_pop(&job->askers)) != NULL) {
		struct hash_asker *asker = list_entry(link, struct hash_asker, link);
		if (tell) {
			asker->cb(asker->owner, job->status, job->hash, job->index);
		}
		free(asker);
	}
}

static struct hash_job *hash_last(struct shard *shard)
{
	return list_entry(shard->hashes.prev, struct hash_job, link);
}

static void hash_done(struct env_work *work)
{
	struct hash_job *job = list_entry(work, struct hash_job, work);
	struct shard *shard = job->shard;
	assert(shard->hashes.next == &job->link);
	list_remove(&job->link);
	if (!list_empty(&shard->hashes)) {
		env_lane_submit(shard->surveys.lane, &hash_last(shard)->work);
	}
	if (job->status != 0) {
		log_event(shard->log, LOG_ERROR, "hash_failed", "reason=\"%s\"", job->err.text);
	}
	hash_tell(job, true);
	/* A scan that met a checksum that lies has found what a read would find later. */
	if (job->status == ERR_CORRUPT || job->status == ERR_IO) {
		shard_fail(shard, job->err.text);
	}
	free(job);
}

/* The one that has not begun. */
static struct hash_job *hash_next(struct shard *shard)
{
	if (shard->hashes.next != shard->hashes.prev) {
		return hash_last(shard);
	}
	bool idle = list_empty(&shard->hashes);
	struct hash_job *job = calloc(1, sizeof *job);
	if (job == NULL) {
		fatal("out of memory: a hash of the database");
	}
	job->shard = shard;
	job->work.run = hash_run;
	job->work.done = hash_done;
	list_init(&job->askers);
	list_append(&shard->hashes, &job->link);
	if (idle) {
		env_lane_submit(shard->surveys.lane, &job->work);
	}
	return job;
}

void shard_hash(struct shard *shard, void (*cb)(void *owner, int status, struct chain hash, uint64_t index),
		void *owner)
{
	assert(shard->surveys.lane != NULL);
	assert(cb != NULL);
	struct hash_asker *asker = malloc(sizeof *asker);
	if (asker == NULL) {
		fatal("out of memory: who asked for a hash of the database");
	}
	*asker = (struct hash_asker){.cb = cb, .owner = owner};
	list_init(&asker->link);
	list_append(&hash_next(shard)->askers, &asker->link);
}

void hash_close(struct shard *shard, bool tell)
{
	struct list *link;
	assert(shard->surveys.lane == NULL); /* no job runs */
	while ((link = list_pop(&shard->hashes)) != NULL) {
		struct hash_job *job = list_entry(link, struct hash_job, link);
		job->status = ERR_CANCELLED;
		job->hash = (struct chain){0, 0};
		job->index = 0;
		hash_tell(job, tell);
		free(job);
	}
}

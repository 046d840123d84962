/* A hash over the whole database, on the flush lane: for checkers and operators. */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdlib.h>

struct hash_job {
	struct env_work work;
	struct list link; /* on shard->hashes */
	struct shard *shard;
	void (*cb)(void *owner, int status, struct chain hash, uint64_t index);
	void *owner;
	int status;
	struct chain hash;
	uint64_t index;
	struct err err;
};

static void hash_run(struct env_work *work)
{
	struct hash_job *job = list_entry(work, struct hash_job, work);
	job->status = store_hash(job->shard->store, &job->hash, &job->index, &job->err);
}

static void hash_done(struct env_work *work)
{
	struct hash_job *job = list_entry(work, struct hash_job, work);
	list_remove(&job->link);
	if (job->status != 0) {
		log_event(job->shard->log, LOG_ERROR, "hash_failed", "reason=\"%s\"", job->err.text);
	}
	job->cb(job->owner, job->status, job->hash, job->index);
	/* A scan that met a checksum that lies has found what a read would find later. */
	if (job->status == ERR_CORRUPT || job->status == ERR_IO) {
		shard_fail(job->shard, job->err.text);
	}
	free(job);
}

void shard_hash(struct shard *shard, void (*cb)(void *owner, int status, struct chain hash, uint64_t index),
		void *owner)
{
	struct hash_job *job = calloc(1, sizeof *job);
	if (job == NULL) {
		fatal("out of memory: a hash of the database");
	}
	assert(shard->apply.flush_lane != NULL);
	assert(cb != NULL);
	*job = (struct hash_job){.shard = shard, .cb = cb, .owner = owner};
	job->work.run = hash_run;
	job->work.done = hash_done;
	list_append(&shard->hashes, &job->link);
	env_lane_submit(shard->apply.flush_lane, &job->work);
}

void hash_close(struct shard *shard, bool tell)
{
	struct list *link;
	assert(shard->apply.flush_lane == NULL); /* no job runs */
	while ((link = list_pop(&shard->hashes)) != NULL) {
		struct hash_job *job = list_entry(link, struct hash_job, link);
		if (tell) {
			job->cb(job->owner, ERR_CANCELLED, (struct chain){0, 0}, 0);
		}
		free(job);
	}
}

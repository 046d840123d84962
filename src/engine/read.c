/* Reads of a turn in which nothing was written share one proof of leadership (docs/request.md):
 * a ReadIndex round whose probe goes out after all of them arrived. Their stamp goes out with the
 * probe, so that the next leader has met the time they were told. */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdlib.h>

#define READ_ROUND_MS 5000

static struct read_round *round_take(struct shard *shard)
{
	struct list *link = list_pop(&shard->reads.free);
	if (link != NULL) {
		struct read_round *used = list_entry(link, struct read_round, link);
		assert(used->shard == shard);
		return used;
	}
	struct read_round *round = calloc(1, sizeof *round);
	if (round == NULL) {
		fatal("out of memory: a read round");
	}
	round->shard = shard;
	list_init(&round->link);
	list_init(&round->waiters);
	return round;
}

static void round_release(struct read_round *round)
{
	assert(list_empty(&round->waiters));
	list_remove(&round->link);
	list_append(&round->shard->reads.free, &round->link);
}

static void round_refuse(struct read_round *round, enum code code)
{
	struct list *link;
	while ((link = list_pop(&round->waiters)) != NULL) {
		release_refuse(round->shard, list_entry(link, struct request, link), code, NULL);
	}
}

/* Leadership is proven; who read what is not committed yet waits on with the batch it read. */
static void round_answer(struct read_round *round)
{
	struct shard *shard = round->shard;
	struct list *link;
	while ((link = list_pop(&round->waiters)) != NULL) {
		struct request *request = list_entry(link, struct request, link);
		assert(request->state == REQUEST_EXECUTED);
		assert(!request->wrote);
		if (request->wait_index <= shard->commit_index) {
			release_finish(shard, request);
		} else {
			list_append(&propose_batch(shard, request->wait_index)->waiters, link);
		}
	}
}

static void round_cb(struct replica_read *read, int status)
{
	struct read_round *round = list_entry(read, struct read_round, read);
	struct shard *shard = round->shard;
	if (status == 0) {
		if (shard->commit_index < read->commit_index) {
			shard->commit_index = read->commit_index;
		}
		round_answer(round);
	} else {
		round_refuse(round, status == ERR_NOT_LEADER ? CODE_LEADER_LOST : CODE_NO_QUORUM);
	}
	round_release(round);
	env_turn_arm(&shard->turn);
}

void read_init(struct shard *shard)
{
	list_init(&shard->reads.running);
	list_init(&shard->reads.free);
}

void read_fini(struct shard *shard)
{
	struct list *link;
	list_splice(&shard->reads.free, &shard->reads.running);
	while ((link = list_pop(&shard->reads.free)) != NULL) {
		free(list_entry(link, struct read_round, link));
	}
}

void read_start(struct shard *shard, struct list *waiters)
{
	assert(!list_empty(waiters));
	assert(shard->phase == PHASE_LEADING);
	struct read_round *round = round_take(shard);
	assert(list_empty(&round->waiters));
	list_splice(&round->waiters, waiters);
	list_append(&shard->reads.running, &round->link);
	round->read.cb = round_cb;
	replica_stamp(shard->replica, shard->stamp.shown_ms);
	replica_read_start(shard->replica, &round->read, READ_ROUND_MS);
}

void read_lost(struct shard *shard, enum code code)
{
	while (!list_empty(&shard->reads.running)) {
		struct read_round *round = list_entry(shard->reads.running.next, struct read_round, link);
		replica_read_cancel(shard->replica, &round->read);
		round_refuse(round, code);
		round_release(round);
	}
}

/* Letting go: whoever waits for a commit, a proof, a leader or its turn gets its
 * answer here, once. */
#include "engine/shard_private.h"

#include <assert.h>

void release_finish(struct shard *shard, struct request *request)
{
	assert(list_empty(&request->link)); /* on no list any more */
	assert(request->reply.len > 0);
	survey_forget(request);
	request->state = REQUEST_FINISHED;
	list_append(&shard->finished, &request->link);
	if (!shard->in_turn) {
		env_turn_arm(&shard->turn);
	}
}

void release_refuse(struct shard *shard, struct request *request, enum code code, const char *details)
{
	request_answer(request, code, details);
	release_finish(shard, request);
}

void release_park(struct shard *shard, struct request *request, bool in_front)
{
	assert(list_empty(&request->link));
	request_park(request);
	assert(request->parked != NULL); /* its words are no longer the caller's */
	request->state = REQUEST_PARKED;
	list_append(in_front ? shard->parked.next : &shard->parked, &request->link);
	shard->parked_count++;
}

/* Replies go out at commit; the overlay forgets at apply. */
void release_committed(struct shard *shard)
{
	uint64_t last =
		shard->commit_index < shard->proposed_index ? shard->commit_index : shard->proposed_index;
	while (shard->first_waiting <= last) {
		struct batch *batch = &shard->batches[shard->first_waiting % BATCH_RING];
		assert(list_empty(&batch->waiters) || batch->index == shard->first_waiting);
		if (batch->index == shard->first_waiting) {
			list_splice(&shard->finished, &batch->waiters);
		}
		shard->first_waiting++;
	}
}

static void count(struct shard_stats *stats, const struct request *request)
{
	stats->requests++;
	stats->writes += request->wrote;
	stats->reads += !request->wrote && request->outcome == OUTCOME_DONE;
	stats->replayed += request->replayed;
	stats->refused += request->outcome == OUTCOME_REFUSED || request->outcome == OUTCOME_CONFLICT;
	stats->retried += request->outcome == OUTCOME_RETRY;
	stats->unknown += request->outcome == OUTCOME_UNKNOWN;
}

static void deliver(struct shard *shard, struct request *request)
{
	assert(request->reply.len > 0);
	assert(request->state == REQUEST_EXECUTED || request->state == REQUEST_FINISHED);
	assert(!request->wrote || request->index > 0);
	assert(shard->stats.waiting > 0);
	assert(shard->stats.admitted_bytes >= request->admitted_bytes);
	request_unpark(request);
	request->state = REQUEST_IDLE;
	shard->stats.admitted_bytes -= request->admitted_bytes;
	shard->stats.waiting--;
	count(&shard->stats, request);
	request->done(request);
}

/* Only what was finished when we began: a done that submits again finds its answer in the next round. */
void release_deliver(struct shard *shard)
{
	struct list now, *link;
	list_init(&now);
	list_splice(&now, &shard->finished);
	while ((link = list_pop(&now)) != NULL) {
		deliver(shard, list_entry(link, struct request, link));
	}
}

/* The tick refuses who waited too long, but it may come after us: nothing is begun past its deadline. */
static void release_first(struct shard *shard, uint64_t now_us)
{
	struct request *request = list_entry(list_pop(&shard->parked), struct request, link);
	assert(shard->parked_count > 0);
	assert(request->state == REQUEST_PARKED);
	shard->parked_count--;
	if (request->deadline_us <= now_us) {
		release_refuse(shard, request, CODE_DEADLINE_PASSED, NULL);
	} else {
		execute(shard, request, now_us);
	}
}

/* While some are parked nothing else runs: theirs is the time of a whole turn. */
void release_parked(struct shard *shard)
{
	if (!list_empty(&shard->parked) && !env_timer_armed(&shard->turn_timer)) {
		uint64_t now_us = env_now_us(shard->env);
		shard->turn_began_us = shard->turn_asked_us = now_us;
		while (!list_empty(&shard->parked) && propose_ready(shard) &&
		       !overload_spends(shard, now_us)) {
			release_first(shard, now_us);
			now_us = env_now_us(shard->env);
		}
	}
	if (list_empty(&shard->parked)) {
		shard->spent_us = 0;
	}
}

/* ---- leadership lost, time run out ---- */

/* sealed: its entry was proposed and may still be committed by another leader. */
static void lose(struct shard *shard, struct list *waiters, bool sealed, enum code code)
{
	struct list *link;
	while ((link = list_pop(waiters)) != NULL) {
		struct request *request = list_entry(link, struct request, link);
		assert(request->state == REQUEST_EXECUTED || request->state == REQUEST_SURVEYING);
		release_refuse(shard, request, sealed && request->wrote ? CODE_OUTCOME_UNKNOWN : code, NULL);
	}
}

/* Called before the overlay is dropped. */
void release_lost(struct shard *shard, enum code code)
{
	uint64_t unproposed = UINT64_MAX;
	if (overlay_is_open(shard->overlay)) {
		unproposed = overlay_open_index(shard->overlay);
	}
	if (shard->unproposed != NULL) {
		unproposed = shard->unproposed_index;
	}
	for (uint64_t i = 0; i < BATCH_RING; i++) {
		struct batch *batch = &shard->batches[(shard->first_waiting + i) % BATCH_RING];
		lose(shard, &batch->waiters, batch->index < unproposed, code);
	}
	read_lost(shard, code);
	lose(shard, &shard->surveys.requests, false, code);
	struct list *link;
	while ((link = list_pop(&shard->parked)) != NULL) {
		assert(shard->parked_count > 0);
		shard->parked_count--;
		release_refuse(shard, list_entry(link, struct request, link), code, NULL);
	}
	assert(shard->parked_count == 0);
}

static const char *const survey_late =
	"\"reason\":\"the walk over all keys takes longer: put DEADLINE ms in front, or use SCAN\"";

static void expire(struct shard *shard, struct list *waiters, uint64_t now_us, enum code code)
{
	struct list *link = waiters->next;
	while (link != waiters) {
		struct request *request = list_entry(link, struct request, link);
		link = link->next;
		if (request->deadline_us > now_us) {
			continue;
		}
		list_remove(&request->link);
		if (request->state == REQUEST_PARKED) {
			assert(shard->parked_count > 0);
			assert(!request->wrote);
			shard->parked_count--;
		}
		const char *details = request->state == REQUEST_SURVEYING ? survey_late : NULL;
		release_refuse(shard, request, request->wrote ? CODE_OUTCOME_UNKNOWN : code, details);
	}
}

/* A leader that lost its majority without knowing must still answer. What is in the open batch may yet be
 * proposed: unknown. */
void release_deadlines(struct shard *shard, uint64_t now_us)
{
	expire(shard, &shard->parked, now_us, CODE_DEADLINE_PASSED);
	expire(shard, &shard->surveys.requests, now_us, CODE_DEADLINE_PASSED);
	for (size_t i = 0; i < BATCH_RING; i++) {
		expire(shard, &shard->batches[i].waiters, now_us, CODE_NO_QUORUM);
	}
	list_for_each (link, &shard->reads.running) {
		expire(shard, &list_entry(link, struct read_round, link)->waiters, now_us, CODE_NO_QUORUM);
	}
}

/* One request through the open batch: run, judged, joined. A request that fails whole (a bound, the store)
 * drops its transaction. */
#include <assert.h>

#include "engine/execution.h"

static void fail_unreadable(struct shard *shard)
{
	struct err err = {0};
	err_set(&err, ERR_IO,
		"the database cannot be read: move this node's data away and restore it from another member "
		"(%s)",
		store_why(shard->store));
	shard_fail(shard, err.text);
}

_Static_assert(LIMIT_REPLY == MIB(8), "the text says so");

/* why: details of a bound, or NULL. */
static void fail(struct shard *shard, struct request *request, int rc, const char *why)
{
	assert(rc != 0);
	assert(rc != ERR_BUSY);
	switch (rc) {
	case ERR_FULL:
	case ERR_TOO_LARGE:
		release_refuse(shard, request, CODE_TOO_LARGE,
			       buf_failed(&request->reply)
				       ? "\"reason\":\"the reply is over 8 MiB: ask for less at once\""
				       : why);
		break;
	default:
		release_refuse(shard, request, CODE_LEADER_LOST, NULL);
		fail_unreadable(shard);
	}
}

static void wait_in_batch(struct shard *shard, struct request *request)
{
	assert(request->wait_index <= overlay_open_index(shard->overlay));
	assert(list_empty(&request->link));
	assert(request->state != REQUEST_EXECUTED);
	size_t bytes = request->reply.len;
	request->admitted_bytes += (uint32_t)bytes;
	shard->stats.admitted_bytes += bytes;
	request->state = REQUEST_EXECUTED;
	request_unpark(request);
	survey_forget(request);
	list_append(&propose_batch(shard, overlay_open_index(shard->overlay))->waiters, &request->link);
}

/* The block of ids is written when the batch seals: it has to fit as well. */
static bool fits(const struct shard *shard, const struct txn *txn)
{
	size_t ids = shard->once_block.len + ONCE_BLOCK_SLACK;
	for (const struct once_new *made = shard->once_new; made != NULL; made = made->next) {
		ids += made->key.len + 2;
	}
	return overlay_fits(shard->overlay, txn) && overlay_open_bytes(shard->overlay) + ids <= LIMIT_ENTRY;
}

static void join(struct shard *shard, struct txn *txn)
{
	assert(txn_wrote(txn));
	assert(shard->unproposed == NULL);
	shard->stats.batch_writes += txn_write_count(txn);
	txn_commit(txn);
	shard->batch_txns++;
	for (const struct once_new *made = shard->once_new; made != NULL; made = made->next) {
		once_block_add(&shard->once_block, made->key);
	}
}

enum step { STEP_DONE, STEP_SEAL, STEP_COMPILE };

static int run_whole(struct execution *x, struct verdict *verdict)
{
	struct request *request = x->request;
	struct reply reply = {&request->reply, request->protocol};
	buf_reset(&request->reply);
	int rc = request->survey != NULL     ? survey_answer(x, &reply, verdict)
		 : request->envelope.explain ? run_explained(x, &reply, verdict)
					     : run_request(x, &reply, verdict);
	assert(x->depth == 0);
	return rc == 0 && buf_failed(&request->reply) ? ERR_TOO_LARGE : rc;
}

static void note(struct request *request, const struct txn *txn, const struct verdict *verdict, bool wrote)
{
	assert(request->reply.len > 0);
	assert(!(verdict->replayed && wrote && request->kind == REQUEST_ONE));
	request->outcome = verdict->outcome;
	request->code = verdict->code;
	request->replayed = verdict->replayed;
	request->first_ms = verdict->first_ms;
	request->wrote = wrote;
	request->index = verdict->replayed ? verdict->index : txn_index(txn);
	request->ordinal = verdict->replayed ? verdict->ordinal : txn_ordinal(txn);
	request->wait_index = txn_read_index(txn);
	if (request->survey != NULL) {
		survey_note(request);
	}
}

/* Its words are there, for the last time when they are a parked one's. */
static void tell_ran(const struct execution *x)
{
	const struct shard_config *config = &x->shard->config;
	if (config->on_ran != NULL) {
		config->on_ran(config->owner, x->request, env_now_us(x->shard->env) - x->began_us);
	}
}

/* The transaction has run: into the batch with it, or nothing was. */
static enum step conclude(struct execution *x, const struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct request *request = x->request;
	struct txn *txn = x->txn;
	bool wrote = txn_wrote(txn) && !request->envelope.dryrun && !request->envelope.explain;
	enum code code = wrote ? admission_write(shard) : CODE_NONE;
	if (wrote && code == CODE_NONE && !fits(shard, txn)) {
		if (!overlay_open_empty(shard->overlay)) {
			txn_abort(txn);
			return STEP_SEAL;
		}
		code = CODE_TOO_LARGE;
	}
	tell_ran(x);
	if (code != CODE_NONE) {
		txn_abort(txn);
		admission_refuse(shard, request, code);
		return STEP_DONE;
	}
	assert(!wrote || txn_index(txn) == shard->proposed_index + 1);
	note(request, txn, verdict, wrote);
	if (wrote) {
		join(shard, txn);
	} else {
		txn_abort(txn);
	}
	wait_in_batch(shard, request);
	if (wrote && propose_full(shard)) {
		propose_seal(shard);
	}
	return STEP_DONE;
}

static const char *const many_surveys =
	"\"reason\":\"too many KEYS and DBSIZE at once: come back later, or use SCAN\"";

static enum step begin_survey(struct shard *shard, struct request *request, struct txn *txn)
{
	int rc = survey_begin(shard, request, txn);
	txn_abort(txn);
	if (rc == ERR_BUSY) {
		bool many = shard->surveys.count >= LIMIT_SURVEYS; /* or too much is not applied */
		release_refuse(shard, request, CODE_OVERLOADED, many ? many_surveys : NULL);
	} else if (rc != 0) {
		fail(shard, request, rc, NULL);
	}
	return STEP_DONE;
}

static enum step attempt(struct shard *shard, struct request *request, uint64_t began_us)
{
	assert(list_empty(&request->link));
	struct txn *txn = propose_begin(shard);
	if (admission_tight(shard)) {
		txn_tighten(txn);
	}
	if (survey_wanted(request)) {
		return begin_survey(shard, request, txn);
	}
	struct execution x = {.shard = shard, .request = request, .txn = txn, .began_us = began_us};
	struct verdict verdict = {.outcome = OUTCOME_DONE};
	int rc = run_whole(&x, &verdict);
	if (rc == 0) {
		return conclude(&x, &verdict);
	}
	txn_abort(txn);
	if (rc == ERR_BUSY) {
		return STEP_COMPILE;
	}
	tell_ran(&x);
	fail(shard, request, rc, x.why);
	return STEP_DONE;
}

void execute(struct shard *shard, struct request *request, uint64_t now_us)
{
	assert(propose_ready(shard));
	assert(request->kind != REQUEST_ONE || request->command_count == 1);
	for (;;) {
		switch (attempt(shard, request, now_us)) {
		case STEP_DONE:
			return;
		case STEP_SEAL:
			propose_seal(shard);
			break;
		case STEP_COMPILE:
			bundle_refresh(shard, false);
			if (!shard->compile_wanted) {
				release_refuse(shard, request, CODE_SCRIPT_INVALID,
					       "\"reason\":\"the active bundle does not compile here\"");
				return;
			}
			break;
		}
		if (shard->phase != PHASE_LEADING) {
			release_refuse(shard, request, CODE_LEADER_LOST, NULL);
			return;
		}
		if (!propose_ready(shard)) {
			release_park(shard, request, true);
			return;
		}
	}
}

bool execute_background(struct shard *shard, int (*run)(struct shard *shard, struct txn *txn))
{
	if (!propose_ready(shard) || admission_write(shard) != CODE_NONE) {
		return false;
	}
	struct txn *txn = propose_begin(shard);
	int rc = run(shard, txn);
	if (rc == ERR_IO || rc == ERR_CORRUPT) {
		txn_abort(txn);
		fail_unreadable(shard);
		return false;
	}
	if (rc != 0 || !txn_wrote(txn) || !fits(shard, txn)) {
		txn_abort(txn);
		return false;
	}
	join(shard, txn);
	return true;
}

/* KEYS and DBSIZE sent by themselves: the walk over all keys leaves the loop, in slices on a lane of its own,
 * so that walks take turns and a client that is gone, a deadline or the end of the node stops one soon.
 *
 *   execute ── the view is taken ──> SURVEYING ── last slice ──> parked in front ── execute ──> EXECUTED
 *                                        │
 *                                        └ deadline, leadership lost, client gone: answered, or not,
 *                                          at once; the walk ends with its next slice
 *
 * The answer is that of the moment at which the view was taken: it is in order with what its connection
 * sent before and after. It leaves as every read's does: what it saw is committed, and leadership was
 * proven after the request came, here even after the walk. Leadership that was lost meanwhile takes the
 * answer with it, for then what the view held uncommitted may have never been. */
#include <assert.h>
#include <stdlib.h>

#include "command/survey.h"
#include "engine/execution.h"

struct survey {
	struct env_work work;
	struct list link; /* on surveys.all */
	struct shard *shard;
	struct request *request; /* NULL: nobody waits for it any more */
	struct command_survey *walk;
	uint64_t read_index, index;
	uint32_t ordinal;
	bool through; /* the lane's, until done: nothing is left to walk */
	bool over;    /* no item of it is or will be on the lane */
};

/* ---- on the lane ---- */

static void survey_run(struct env_work *work)
{
	struct survey *survey = list_entry(work, struct survey, work);
	survey->through = !command_survey_step(survey->walk, SURVEY_SLICE_ROWS);
}

/* A snapshot may be the last holder of files: what it lets go is deleted here, not on the loop. */
static void survey_end(struct env_work *work)
{
	struct survey *survey = list_entry(work, struct survey, work);
	command_survey_close(survey->walk);
	survey->walk = NULL;
}

/* ---- on the loop ---- */

static void survey_free(struct survey *survey)
{
	list_remove(&survey->link);
	command_survey_close(survey->walk);
	free(survey);
}

static void survey_ended(struct env_work *work)
{
	struct survey *survey = list_entry(work, struct survey, work);
	survey->shard->surveys.count--;
	survey_free(survey);
}

static void survey_done(struct env_work *work)
{
	struct survey *survey = list_entry(work, struct survey, work);
	struct shard *shard = survey->shard;
	struct request *request = survey->request;
	if (request == NULL && !survey->through) {
		survey->work.run = survey_end;
		survey->work.done = survey_ended;
	}
	if (!survey->through) {
		env_lane_submit(shard->surveys.lane, &survey->work);
		return;
	}
	if (request == NULL) {
		survey_ended(work);
		return;
	}
	survey->over = true;
	shard->surveys.count--;
	list_remove(&request->link);
	release_park(shard, request, true);
	env_turn_arm(&shard->turn);
}

bool survey_wanted(const struct request *request)
{
	const struct request_envelope *envelope = &request->envelope;
	return request->kind == REQUEST_ONE && request->survey == NULL && envelope->once.len == 0 &&
	       !envelope->explain && (request->commands[0].command->flags & COMMAND_SURVEY) != 0;
}

static int open_walk(struct shard *shard, struct request *request, struct txn *txn,
		     struct command_survey **walk)
{
	const struct request_command *c = &request->commands[0];
	struct command_call call = {.command = c->command,
				    .txn = txn,
				    .arena = &shard->arena,
				    .argv = c->argv,
				    .argc = c->argc,
				    .db = c->db};
	return command_survey_open(&call, walk);
}

int survey_begin(struct shard *shard, struct request *request, struct txn *txn)
{
	struct command_survey *walk = NULL;
	if (shard->surveys.count >= LIMIT_SURVEYS) {
		return ERR_BUSY;
	}
	int rc = open_walk(shard, request, txn, &walk);
	if (rc != 0) {
		return rc;
	}
	struct survey *survey = calloc(1, sizeof *survey);
	if (survey == NULL) {
		fatal("out of memory: a walk over all keys");
	}
	*survey = (struct survey){.shard = shard,
				  .request = request,
				  .walk = walk,
				  .read_index = txn_read_index(txn),
				  .index = txn_index(txn),
				  .ordinal = txn_ordinal(txn)};
	survey->work.run = survey_run;
	survey->work.done = survey_done;
	list_append(&shard->surveys.all, &survey->link);
	shard->surveys.count++;
	request_park(request); /* its words are borrowed only until shard_submit returns */
	request->survey = survey;
	request->state = REQUEST_SURVEYING;
	list_append(&shard->surveys.requests, &request->link);
	env_lane_submit(shard->surveys.lane, &survey->work);
	return 0;
}

int survey_answer(struct execution *x, struct reply *reply, struct verdict *verdict)
{
	struct survey *survey = x->request->survey;
	size_t begin = reply->out->len;
	assert(survey->over && survey->request == x->request);
	int rc = command_survey_answer(survey->walk, x->txn, reply);
	if (rc == 0) {
		verdict_judge(reply, begin, verdict);
	}
	return rc;
}

void survey_note(struct request *request)
{
	const struct survey *survey = request->survey;
	if (survey->read_index > request->wait_index) {
		request->wait_index = survey->read_index;
	}
	if (!request->wrote) {
		request->index = survey->index;
		request->ordinal = survey->ordinal;
	}
}

void survey_forget(struct request *request)
{
	struct survey *survey = request->survey;
	if (survey == NULL) {
		return;
	}
	assert(survey->request == request);
	request->survey = NULL;
	survey->request = NULL;
	if (survey->over) {
		survey_free(survey);
	}
}

void survey_init(struct shard *shard)
{
	list_init(&shard->surveys.all);
	list_init(&shard->surveys.requests);
}

void survey_open(struct shard *shard)
{
	shard->surveys.lane = env_lane_open(shard->env, "survey", ENV_LANE_LOW);
}

void survey_close(struct shard *shard)
{
	if (shard->surveys.lane != NULL) {
		env_lane_close(shard->surveys.lane);
		shard->surveys.lane = NULL;
	}
}

/* The requests of those that still walked are done or gone, or their env was killed. */
void survey_fini(struct shard *shard)
{
	struct list *link;
	assert(shard->surveys.lane == NULL);
	while ((link = list_pop(&shard->surveys.all)) != NULL) {
		survey_free(list_entry(link, struct survey, link));
	}
	shard->surveys.count = 0;
}

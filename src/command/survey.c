#include "command/survey.h"

#include <assert.h>
#include <stdlib.h>

#include "command/room.h"
#include "command/tour.h"
#include "base/list.h"

/* What KEYS may answer: a reply's bound, and room for its head. */
#define SURVEY_ANSWER_MAX (LIMIT_REPLY - KIB(1))
_Static_assert(LIMIT_REPLY == MIB(8), "the text of the refusal says so");

struct command_survey {
	struct tour tour;
	bool count_only;
	uint64_t count;
	struct buf found; /* KEYS: bulk strings, in the protocol of the call (both have the same) */
	size_t expired_len; /* of the first row that was found expired, 0: none was */
	uint8_t expired[ROW_PREFIX + LIMIT_KEY];
	size_t pattern_len;
	uint8_t pattern[];
};

int command_survey_open(struct command_call *call, struct command_survey **out)
{
	bool count_only = call->command->run == dbsize_command;
	struct slice pattern = count_only ? SLICE_NONE : call->argv[1], from, to;
	struct command_survey *survey;
	struct space space;
	int rc = space_get(call->txn, call->db, &space);

	assert(call->command->flags & COMMAND_SURVEY);
	if (rc != 0) {
		return rc;
	}
	survey = calloc(1, sizeof(*survey) + pattern.len);
	if (survey == NULL) {
		fatal("out of memory: a walk over all keys");
	}
	survey->count_only = count_only;
	survey->pattern_len = pattern.len;
	if (pattern.len > 0) {
		memcpy(survey->pattern, pattern.data, pattern.len);
	}
	buf_init(&survey->found, SURVEY_ANSWER_MAX);
	if (space.stored) {
		space_range(&space, count_only ? SLICE_NONE : pattern_prefix(pattern, call->arena), call->arena, &from, &to);
		rc = tour_open(&survey->tour, call->txn, from, to, txn_now_ms(call->txn), 0);
	}
	if (rc != 0) {
		command_survey_close(survey);
		return rc;
	}
	*out = survey;
	return 0;
}

static bool survey_see(struct tour *tour, struct slice row_key, const struct row_head *head)
{
	struct command_survey *survey = list_entry(tour, struct command_survey, tour);
	struct reply reply = {&survey->found, 2};

	if (row_key.len < ROW_PREFIX || row_key.len > ROW_PREFIX + LIMIT_KEY) {
		tour->status = ERR_CORRUPT;
		return false;
	}
	if (tour_expired(tour, head)) {
		if (survey->expired_len == 0) {
			survey->expired_len = row_key.len;
			memcpy(survey->expired, row_key.data, row_key.len);
		}
		return true;
	}
	if (survey->count_only) {
		survey->count++;
	} else if (glob_match(slice_of(survey->pattern, survey->pattern_len), slice_skip(row_key, ROW_PREFIX))) {
		reply_bulk(&reply, slice_skip(row_key, ROW_PREFIX));
		survey->count++;
	}
	return !buf_failed(&survey->found);
}

bool command_survey_step(struct command_survey *survey, size_t rows)
{
	return tour_step(&survey->tour, pattern_rows(slice_of(survey->pattern, survey->pattern_len), rows), survey_see);
}

/* Others may have deleted or changed it since: what they wrote speaks for the time as well, and who reads it waits
 * for its commit. */
static int forget_expired(struct command_survey *survey, struct txn *txn)
{
	struct slice key = slice_of(survey->expired, survey->expired_len), value;
	struct row_head head;
	int rc;

	if (survey->expired_len == 0) {
		return 0;
	}
	rc = txn_get(txn, key, &value);
	if (rc != 0) {
		return rc == ERR_NOT_FOUND ? 0 : rc;
	}
	if (!row_head_decode(value, &head)) {
		return ERR_CORRUPT;
	}
	return tour_expired(&survey->tour, &head) ? row_forget_expired(txn, key, head.expire_at_ms) : 0;
}

int command_survey_answer(struct command_survey *survey, struct txn *txn, struct reply *reply)
{
	int rc = survey->tour.status != 0 ? survey->tour.status : forget_expired(survey, txn);

	assert(survey->tour.view == NULL);
	if (rc != 0) {
		return rc;
	}
	if (survey->count_only) {
		reply_integer(reply, (int64_t)survey->count);
	} else if (buf_failed(&survey->found)) {
		reply_code(reply, CODE_TOO_LARGE,
		           "\"reason\":\"the keys that match do not fit one reply of 8 MiB; use SCAN, or a narrower "
		           "pattern\"");
	} else {
		reply_array(reply, survey->count);
		buf_append_slice(reply->out, buf_slice(&survey->found));
	}
	return 0;
}

void command_survey_close(struct command_survey *survey)
{
	if (survey != NULL) {
		tour_close(&survey->tour);
		buf_fini(&survey->found);
		free(survey);
	}
}

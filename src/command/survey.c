#include "command/survey.h"

#include <assert.h>
#include <stdlib.h>

#include "command/room.h"
#include "txn/view.h"

/* What KEYS may answer: a reply's bound, and room for its head. */
#define SURVEY_ANSWER_MAX (LIMIT_REPLY - KIB(1))
_Static_assert(LIMIT_REPLY == MIB(8), "the text of the refusal says so");

struct command_survey {
	struct txn_view *view; /* NULL: no keys, or through */
	uint64_t now_ms;
	bool count_only;
	int status;
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
	survey->now_ms = txn_now_ms(call->txn);
	survey->count_only = count_only;
	survey->pattern_len = pattern.len;
	if (pattern.len > 0) {
		memcpy(survey->pattern, pattern.data, pattern.len);
	}
	buf_init(&survey->found, SURVEY_ANSWER_MAX);
	if (space.stored) {
		space_range(&space, count_only ? SLICE_NONE : pattern_prefix(pattern, call->arena), call->arena, &from, &to);
		survey->view = txn_view_open(call->txn, from, to, ROW_HEAD_MAX);
	}
	if (space.stored && survey->view == NULL) {
		command_survey_close(survey);
		return ERR_BUSY;
	}
	*out = survey;
	return 0;
}

static void survey_see(struct command_survey *survey, struct slice row_key, struct slice value)
{
	struct reply reply = {&survey->found, 2};
	struct row_head head;

	if (row_key.len < ROW_PREFIX || row_key.len > ROW_PREFIX + LIMIT_KEY || !row_head_decode(value, &head)) {
		survey->status = ERR_CORRUPT;
		return;
	}
	if (head.expire_at_ms != 0 && head.expire_at_ms <= survey->now_ms) {
		if (survey->expired_len == 0) {
			survey->expired_len = row_key.len;
			memcpy(survey->expired, row_key.data, row_key.len);
		}
		return;
	}
	if (survey->count_only) {
		survey->count++;
	} else if (glob_match(slice_of(survey->pattern, survey->pattern_len), slice_skip(row_key, ROW_PREFIX))) {
		reply_bulk(&reply, slice_skip(row_key, ROW_PREFIX));
		survey->count++;
	}
}

bool command_survey_step(struct command_survey *survey, size_t rows)
{
	struct slice key, value;

	if (survey->view == NULL) {
		return false;
	}
	for (; rows > 0 && survey->status == 0 && !buf_failed(&survey->found); rows--) {
		if (!txn_view_next(survey->view, &key, &value)) {
			survey->status = txn_view_error(survey->view);
			break;
		}
		survey_see(survey, key, value);
	}
	if (rows == 0 && survey->status == 0) {
		return true;
	}
	txn_view_close(survey->view);
	survey->view = NULL;
	return false;
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
	if (head.expire_at_ms == 0 || head.expire_at_ms > survey->now_ms) {
		return 0;
	}
	return row_forget_expired(txn, key, head.expire_at_ms);
}

int command_survey_answer(struct command_survey *survey, struct txn *txn, struct reply *reply)
{
	int rc = survey->status != 0 ? survey->status : forget_expired(survey, txn);

	assert(survey->view == NULL);
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
		txn_view_close(survey->view);
		buf_fini(&survey->found);
		free(survey);
	}
}

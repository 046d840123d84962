#include "client/call.h"

#include <assert.h>
#include <stdio.h>

#include "client/channel.h"
#include "client/details.h"
#include "client/request.h"

/* First rest after an answer that says "later"; doubles up to the second. */
#define REST_MS 5
#define REST_MAX_MS 1000
/* The same when another node may serve at once. */
#define REST_MOVED_MAX_MS 50

static void call_unqueue(struct call *call)
{
	call->tally->pending_count -= !list_empty(&call->link) && !call->unsent;
	list_remove(&call->link);
}

/* ---- ending ---- */

/* Whether the next call of this request has to settle what this one left. */
static void call_note_doubt(struct call *call)
{
	struct doubts *doubts = &call->tally->doubts;
	if (call->doubt == 0) {
		return;
	}
	if (call->outcome == OUTCOME_UNKNOWN) {
		doubts_add(doubts, call->doubt);
	} else if (call->was_unknown && call->outcome != OUTCOME_RETRY) {
		doubts_remove(doubts, call->doubt);
	}
}

static void call_end_at(struct call *call, enum outcome outcome, uint64_t now_us)
{
	assert(call->state != CALL_ENDED);
	struct tally *tally = call->tally;
	call->outcome = (uint8_t)outcome;
	call->state = CALL_ENDED;
	call->ended_us = now_us;
	call->arena = &tally->arena;
	wheel_remove(&call->due);
	call_unqueue(call);
	call_note_doubt(call);
	request_free(call);
	assert(tally->calls > 0);
	tally->calls--;

	struct tally_stats *stats = &tally->stats;
	uint64_t *const counters[] = {&stats->done, &stats->refused, &stats->conflict, &stats->retry,
				      &stats->unknown};
	(*counters[outcome])++;
	call->cb((struct tally_call *)call);
	/* The struct is the caller's again and may already hold another call. */
	arena_reset(&tally->arena);
}

static void call_end(struct call *call, enum outcome outcome)
{
	call_end_at(call, outcome, env_now_us(call->tally->env));
}

/* No answer that could be told: the deadline came, or the client closes. */
static void call_end_unanswered(struct call *call, const char *why)
{
	bool may_have_happened = !call->read && (call->was_unknown || call->state == CALL_SENT);
	if (call->state == CALL_SENT) {
		channel_forget(call->channel, call->seq);
	}
	call->reply = SLICE_NONE;
	call->attribute = SLICE_NONE;
	call->local = why;
	if (may_have_happened) {
		memcpy(call->code, "OUTCOME_UNKNOWN", sizeof("OUTCOME_UNKNOWN"));
	} else if (call->code[0] == '\0') {
		memcpy(call->code, "DEADLINE_PASSED", sizeof("DEADLINE_PASSED"));
	} /* else the last answer says best why it did not happen */
	call_end(call, may_have_happened ? OUTCOME_UNKNOWN : OUTCOME_RETRY);
}

/* ---- moving ---- */

static void call_schedule(struct call *call, uint64_t at_us)
{
	wheel_remove(&call->due);
	call->due.at_us = at_us < call->deadline_us ? at_us : call->deadline_us;
	wheel_add(&call->tally->wheel, &call->due);
	client_alarm(call->tally, call->due.at_us);
}

static void call_queue(struct call *call)
{
	assert(list_empty(&call->link));
	call->state = CALL_PENDING;
	list_append(&call->tally->pending, &call->link);
	call->tally->pending_count++;
	if (!call->tally->closing) {
		client_wake(call->tally);
	}
}

static void call_rest(struct call *call, uint64_t max_ms)
{
	uint64_t rest_ms = REST_MS;
	for (uint32_t i = 0; i < call->rests && rest_ms < max_ms; i++) {
		rest_ms *= 2;
	}
	call->rests++;
	call->state = CALL_RESTING;
	rest_ms = client_jitter_ms(call->tally, rest_ms < max_ms ? rest_ms : max_ms);
	call_schedule(call, env_now_us(call->tally->env) + rest_ms * 1000);
}

static bool call_may_repeat(const struct call *call)
{
	return call->read || call->id_len > 0;
}

static void call_will_end(struct call *call, enum outcome outcome, const char *code, const char *why)
{
	call->unsent = true;
	call->outcome = (uint8_t)outcome;
	snprintf(call->code, sizeof(call->code), "%s", code);
	call->reply = SLICE_NONE;
	call->attribute = SLICE_NONE;
	call->local = why;
}

/* A callback may start the next call that is not sent: it waits for the next millisecond, not for an endless
 * turn. */
static void call_end_soon(struct call *call)
{
	struct tally *tally = call->tally;
	call->state = CALL_RESTING;
	list_append(&tally->unsent, &call->link);
	if (!env_timer_armed(&tally->soon)) {
		env_timer_start(&tally->soon, 1);
	}
}

void call_refuse(struct call *call, const char *code, const char *why)
{
	assert(call->state == 0);
	if (!call->unsent) {
		/* What this one does wrong says nothing about the one before under its id. */
		call_will_end(call, call->was_unknown ? OUTCOME_UNKNOWN : OUTCOME_REFUSED, code, why);
	}
}

/* Too many wait before it: its caller hears so now, not at the deadline. */
static bool call_is_hopeless(const struct call *call)
{
	const struct tally *tally = call->tally;
	return pace_hopeless(&tally->pace, tally->pending_count, call->deadline_us - call->started_us);
}

bool call_too_late(struct call *call, uint64_t now_us)
{
	assert(call->state == CALL_PENDING);
	if (call->was_unknown ||
	    !pace_late(&call->tally->pace, now_us - call->started_us, call->deadline_us - now_us)) {
		return false;
	}
	/* Who was told "later" once has waited for that answer, not for other calls. */
	bool answered = call->code[0] != '\0';
	char code[CALL_CODE_MAX];
	snprintf(code, sizeof(code), "%s", answered ? call->code : "OVERLOADED");
	call_unqueue(call);
	call_will_end(call, OUTCOME_RETRY, code,
		      answered ? "too little time was left to ask once more"
			       : "so many calls waited before it that no answer would have come in time");
	call_end_soon(call);
	return true;
}

void call_prepare(struct call *call, uint64_t doubt, unsigned timeout_ms)
{
	struct tally *tally = call->tally;
	call->doubt = doubt;
	call->was_unknown = doubt != 0 && doubts_hold(&tally->doubts, doubt);
	list_init(&call->link);
	wheel_node_init(&call->due);
	call->started_us = env_now_us(tally->env);
	call->deadline_us = call->started_us + (uint64_t)timeout_ms * 1000;
	if (timeout_ms < 1 || timeout_ms > CLIENT_TIMEOUT_MAX_MS) {
		call_refuse(call, "VALIDATION", "timeout_ms is 1 to 600000");
	} else if (!call->was_unknown && call_is_hopeless(call)) {
		call_will_end(call, OUTCOME_RETRY, "OVERLOADED",
			      "so many calls wait that this one would not be answered in time");
	}
}

void call_begin(struct call *call)
{
	struct tally *tally = call->tally;
	tally->calls++;
	/* One that is started while the client closes ends in the next slot, not in an endless turn. */
	call_schedule(call, tally->closing ? call->started_us : call->deadline_us);
	if (call->unsent) {
		call_end_soon(call);
	} else {
		call_queue(call);
	}
}

void call_sent(struct call *call, struct channel *channel, uint64_t seq)
{
	assert(call->state == CALL_PENDING);
	call_unqueue(call);
	call->state = CALL_SENT;
	call->channel = channel;
	call->seq = seq;
	if (call->attempts > 0) {
		call->tally->stats.repeats++;
	}
	call->attempts++;
	call->tally->stats.sent++;
}

/* ---- answers ---- */

static bool code_moved(struct slice code)
{
	return slice_is_word(code, "NOT_LEADER") || slice_is_word(code, "STOPPING") ||
	       slice_is_word(code, "LEADER_LOST");
}

static void call_failed(struct call *call, struct slice line)
{
	struct slice code;
	enum outcome outcome = details_outcome(line, &code);
	size_t len = code.len < CALL_CODE_MAX - 1 ? code.len : CALL_CODE_MAX - 1;
	memcpy(call->code, code.data, len);
	call->code[len] = '\0';

	if (outcome == OUTCOME_UNKNOWN) {
		call->was_unknown = true;
	}
	if (outcome == OUTCOME_RETRY || (outcome == OUTCOME_UNKNOWN && call_may_repeat(call))) {
		bool moved = code_moved(code);
		if (moved) {
			compass_moved(&call->tally->compass);
		}
		call_rest(call, moved || outcome == OUTCOME_UNKNOWN ? REST_MOVED_MAX_MS : REST_MAX_MS);
		return;
	}
	/* The id is too old to look up: that says nothing about the attempt before. */
	if (call->was_unknown && slice_is_word(code, "ID_TOO_OLD")) {
		outcome = OUTCOME_UNKNOWN;
	}
	call_end(call, outcome);
}

void call_answered(struct call *call, struct slice attribute, struct slice reply)
{
	assert(call->state == CALL_SENT);
	assert(reply.len >= 3);
	call->channel = NULL;
	call->reply = reply;
	call->attribute = attribute;
	call->local = NULL;
	if (reply.data[0] == '-') {
		call->state = CALL_PENDING;
		call_failed(call, slice_of(reply.data + 1, reply.len - 3));
		return;
	}
	call->code[0] = '\0';
	call_end(call, OUTCOME_DONE);
}

void call_lost(struct call *call)
{
	assert(call->state == CALL_SENT);
	call->channel = NULL;
	call->was_unknown = true;
	call->reply = SLICE_NONE;
	call->attribute = SLICE_NONE;
	if (call_may_repeat(call) && !call->tally->closing) {
		/* Nodes die, and the next one is asked at once. But it may be the call that ends connections. */
		if (call->attempts == 1) {
			call_queue(call);
		} else {
			call_rest(call, REST_MAX_MS);
		}
		return;
	}
	call->state = CALL_PENDING;
	call_end_unanswered(call, "the connection was lost before the answer came");
}

void call_end_unsent(struct call *call, uint64_t now_us)
{
	assert(call->unsent);
	call_end_at(call, (enum outcome)call->outcome, now_us);
}

void call_cancel(struct call *call)
{
	if (call->unsent) {
		call_end_unsent(call, env_now_us(call->tally->env));
		return;
	}
	call_end_unanswered(call, "the client was closed");
}

void call_due(struct call *call, uint64_t now_us)
{
	assert(list_empty(&call->due.link));
	if (call->tally->closing || call->unsent) {
		call_cancel(call);
		return;
	}
	if (now_us >= call->deadline_us) {
		call_end_unanswered(
			call, call->attempts > 0 ? "the deadline passed before a definite answer came"
			      : compass_reaches(&call->tally->compass)
				      ? "the deadline passed: nodes answer, but none of them knows a leader"
				      : "the deadline passed and no node was reached");
		return;
	}
	assert(call->state == CALL_RESTING);
	call_schedule(call, call->deadline_us);
	call_queue(call);
}

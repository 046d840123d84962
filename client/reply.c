/* How a call ended, as its callback sees it. Values are parsed when they are
 * first asked for: a caller that only needs the outcome pays for nothing. */
#include <assert.h>

#include "client/call.h"
#include "client/details.h"
#include "client/value.h"

enum tally_outcome tally_call_outcome(const struct tally_call *public)
{
	const struct call *call = call_of_const(public);
	assert(call->state == CALL_ENDED);
	_Static_assert((int)TALLY_DONE == (int)OUTCOME_DONE && (int)TALLY_REFUSED == (int)OUTCOME_REFUSED &&
			       (int)TALLY_CONFLICT == (int)OUTCOME_CONFLICT &&
			       (int)TALLY_RETRY == (int)OUTCOME_RETRY &&
			       (int)TALLY_UNKNOWN == (int)OUTCOME_UNKNOWN,
		       "outcomes are the same on both sides of the door");
	return (enum tally_outcome)call->outcome;
}

static struct resp_value *reply_parse(struct arena *arena, struct slice bytes)
{
	struct resp_value *value = arena_zalloc(arena, sizeof(*value));
	size_t used;
	if (resp_reply_parse(bytes, arena, value, &used) != 0) {
		return NULL;
	}
	value_terminate(value);
	return value;
}

/* The caller sees a const call; what was parsed is remembered behind his back. */
static struct call *reply_memory(const struct tally_call *public)
{
	return call_of((struct tally_call *)(uintptr_t) public);
}

const struct tally_value *tally_call_value(const struct tally_call *public)
{
	struct call *call = reply_memory(public);
	assert(call->state == CALL_ENDED);
	if (call->value == NULL && call->reply.len > 0) {
		if (call->reply.data[0] == '-') {
			call->value = details_parse(slice_of(call->reply.data + 1, call->reply.len - 3),
						    call->arena);
		} else {
			call->value = reply_parse(call->arena, call->reply);
		}
	}
	return (const struct tally_value *)call->value;
}

const struct tally_value *tally_call_meta(const struct tally_call *public)
{
	struct call *call = reply_memory(public);
	assert(call->state == CALL_ENDED);
	if (call->meta == NULL && call->attribute.len > 0) {
		call->meta = reply_parse(call->arena, call->attribute);
	}
	return (const struct tally_value *)call->meta;
}

/* CALL's own map tells it; other answers have room only in an attribute. */
bool tally_call_replayed(const struct tally_call *public)
{
	const struct tally_value *mark = tally_value_get(tally_call_value(public), "replayed");
	if (tally_value_type(mark) == TALLY_BOOL && tally_value_int(mark, 0) != 0) {
		return true;
	}
	const struct tally_value *replayed = tally_value_get(tally_call_meta(public), "replayed");
	return replayed != NULL && tally_value_int(replayed, 0) != 0;
}

const char *tally_call_code(const struct tally_call *public)
{
	return call_of_const(public)->code;
}

const char *tally_call_message(const struct tally_call *public)
{
	const struct call *call = call_of_const(public);
	if (call->reply.len == 0) {
		return call->local != NULL ? call->local : "";
	}
	if (call->reply.data[0] != '-') {
		return "";
	}
	((uint8_t *)call->reply.data)[call->reply.len - 2] = '\0';
	return (const char *)call->reply.data + 1;
}

unsigned tally_call_attempts(const struct tally_call *public)
{
	return call_of_const(public)->attempts;
}
bool tally_call_was_unknown(const struct tally_call *public)
{
	return call_of_const(public)->was_unknown;
}

uint64_t tally_call_latency_us(const struct tally_call *public)
{
	const struct call *call = call_of_const(public);
	return call->ended_us - call->started_us;
}

const char *tally_outcome_name(enum tally_outcome outcome)
{
	return outcome_name((enum outcome)outcome);
}

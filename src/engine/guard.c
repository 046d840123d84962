/* A request id: what it keeps is written in the same transaction as the effects. */
#include <assert.h>

#include "engine/execution.h"
#include "engine/replay.h"

static int guard_show(struct execution *x, const struct guard *guard, struct slice kept, bool mark,
		      struct reply *reply)
{
	struct replay replay = {.kept = kept,
				.commands = guard->commands,
				.command_count = guard->command_count,
				.exec = guard->exec,
				.call = x->shard->call,
				.mark = mark};
	return replay_write(&replay, &x->shard->arena, reply);
}

static struct slice guard_key(struct execution *x, const struct guard *guard)
{
	assert(guard->id.len > 0);
	assert(guard->id.len <= LIMIT_REQUEST_ID);
	uint8_t *bytes = arena_alloc(&x->shard->arena, 2 + x->request->user.len + guard->id.len);
	return once_key(bytes, x->request->user, guard->id);
}

int guard_recall(struct execution *x, const struct guard *guard, struct slice *value)
{
	struct once_record record;
	struct slice found;
	int rc = txn_get(x->txn, guard_key(x, guard), &found);
	if (rc != 0) {
		return rc;
	}
	if (once_decode(found, &record) != 0) {
		return ERR_CORRUPT;
	}
	if (record.fingerprint.high != guard->fingerprint.high) {
		return ERR_NOT_FOUND;
	}
	*value = found;
	return 0;
}

int guard_replay(struct execution *x, const struct guard *guard, struct slice value, struct reply *reply,
		 struct verdict *verdict)
{
	struct once_record record;
	if (once_decode(value, &record) != 0) {
		return ERR_CORRUPT;
	}
	if (!once_is_same(record.fingerprint, guard->fingerprint)) {
		verdict_answer(reply, CODE_IDEMPOTENCY_KEY_REUSED, verdict);
		return 0;
	}
	size_t begin = reply->out->len;
	int rc = guard_show(x, guard, record.reply, true, reply);
	if (rc != 0) {
		return rc;
	}
	verdict_judge(reply, begin, verdict);
	verdict->outcome = record.outcome;
	verdict->replayed = true;
	verdict->index = record.index;
	verdict->ordinal = record.ordinal;
	verdict->first_ms = record.stamp_ms;
	return 0;
}

static int guard_keep(struct execution *x, const struct guard *guard, struct slice key, struct slice kept,
		      const struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct once_record record = {.fingerprint = guard->fingerprint,
				     .index = txn_index(x->txn),
				     .ordinal = txn_ordinal(x->txn),
				     .stamp_ms = txn_now_ms(x->txn),
				     .outcome = verdict->outcome,
				     .reply = kept};
	if (kept.len > LIMIT_ONCE_REPLY) {
		return ERR_TOO_LARGE;
	}
	assert(verdict->outcome <= OUTCOME_CONFLICT);
	assert(!verdict->replayed);
	assert(kept.len > 0);
	int rc = txn_put(x->txn, key, once_encode(&record, &shard->arena));
	if (rc == 0) {
		struct once_new *made = arena_alloc(&shard->arena, sizeof *made);
		*made = (struct once_new){shard->once_new, key};
		shard->once_new = made;
	}
	return rc;
}

static bool guard_keeps(const struct guard *guard, const struct verdict *verdict)
{
	switch (verdict->outcome) {
	case OUTCOME_DONE:
		return guard->may_write;
	case OUTCOME_REFUSED:
	case OUTCOME_CONFLICT:
		return guard->keeps_refusals;
	default:
		return false;
	}
}

/* There is no record: may the id run? */
static int guard_check(struct execution *x, const struct guard *guard, enum code *code)
{
	uint64_t made_ms, horizon_ms = 0;
	*code = once_id_check(guard->id, txn_now_ms(x->txn), x->shard->config.once_retention_ms);
	if (*code != CODE_NONE || !once_id_time(guard->id, &made_ms)) {
		return 0;
	}
	int rc = once_horizon(x->txn, &horizon_ms);
	if (rc == 0 && made_ms <= horizon_ms) {
		*code = CODE_ID_TOO_OLD;
	}
	return rc;
}

int guard_run(struct execution *x, const struct guard *guard, struct reply *reply, struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct slice value;
	assert(guard->run != NULL);
	struct slice key = guard_key(x, guard);
	int rc = txn_get(x->txn, key, &value);
	if (rc == 0) {
		return guard_replay(x, guard, value, reply, verdict);
	}
	if (rc != ERR_NOT_FOUND) {
		return rc;
	}
	enum code code = CODE_NONE;
	rc = guard_check(x, guard, &code);
	if (rc != 0) {
		return rc;
	}
	if (code != CODE_NONE) {
		verdict_answer(reply, code, verdict);
		return 0;
	}
	assert(x->depth < 2); /* the request's own, and a CALL's inside it */
	struct buf *kept = &shard->once_reply[x->depth++];
	struct reply kept_reply = {kept, 3};
	buf_reset(kept);
	rc = guard->run(x, guard->arg, &kept_reply, verdict);
	assert(x->depth > 0);
	x->depth--;
	if (rc != 0) {
		return rc;
	}
	if (buf_failed(kept)) {
		return ERR_TOO_LARGE;
	}
	if (guard_keeps(guard, verdict)) {
		rc = guard_keep(x, guard, key, buf_slice(kept), verdict);
		if (rc != 0) {
			return rc;
		}
	}
	return guard_show(x, guard, buf_slice(kept), false, reply);
}

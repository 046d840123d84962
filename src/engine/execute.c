/* One request through the open batch: run, judged, joined.
 *
 * A command that is refused leaves nothing: it is rolled back to the mark taken before it. A request
 * that fails whole (a bound, the store) drops its transaction. What a request id
 * keeps is written in the same transaction as the effects (D9). */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdlib.h>

#include "engine/replay.h"

#define UNREADABLE                                                                                           \
	"the database cannot be read: move this node's data directory away and restore it from another "     \
	"member"

/* How one command, or all of a request, came out. */
struct verdict {
	enum outcome outcome;
	enum code code;
	bool replayed;
	uint64_t index; /* of the first time, when replayed */
	uint32_t ordinal;
	uint64_t first_ms;
};

struct execution {
	struct shard *shard;
	struct request *request;
	struct txn *txn;
	unsigned depth; /* of request ids: 0 the request's own, 1 a CALL's inside it */
};

static void judge(const struct reply *reply, size_t begin, struct verdict *verdict)
{
	request_judge(slice_of(reply->out->data + begin, reply->out->len - begin), &verdict->outcome,
		      &verdict->code);
}

static void answer(struct reply *reply, enum code code, struct verdict *verdict)
{
	reply_code(reply, code, NULL);
	verdict->outcome = code_outcome(code);
	verdict->code = code;
}

/* ---- request ids ---- */

struct once {
	struct slice id;
	struct chain fingerprint;
	bool keeps_refusals, may_write;
	/* What runs when it is the first time: writes one reply. */
	int (*run)(struct execution *x, void *arg, struct reply *reply, struct verdict *verdict);
	void *arg;
	/* What is answered, for the kept reply. */
	const struct request_command *commands;
	size_t command_count;
	bool exec;
};

static int once_show(struct execution *x, const struct once *once, struct slice kept, bool mark,
		     struct reply *reply)
{
	struct replay replay = {.kept = kept,
				.commands = once->commands,
				.command_count = once->command_count,
				.exec = once->exec,
				.call = x->shard->call,
				.mark = mark};
	return replay_write(&replay, &x->shard->arena, reply);
}

/* A record is there: the same answer, or the id was used for something else. */
static int once_replay(struct execution *x, const struct once *once, struct slice value, struct reply *reply,
		       struct verdict *verdict)
{
	struct once_record record;
	if (once_decode(value, &record) != 0) {
		return ERR_CORRUPT;
	}
	if (!chain_equal(record.fingerprint, once->fingerprint)) {
		answer(reply, CODE_IDEMPOTENCY_KEY_REUSED, verdict);
		return 0;
	}
	size_t begin = reply->out->len;
	int rc = once_show(x, once, record.reply, true, reply);
	if (rc != 0) {
		return rc;
	}
	judge(reply, begin, verdict);
	verdict->outcome = record.outcome;
	verdict->replayed = true;
	verdict->index = record.index;
	verdict->ordinal = record.ordinal;
	verdict->first_ms = record.stamp_ms;
	return 0;
}

static int once_keep(struct execution *x, const struct once *once, struct slice key, struct slice kept,
		     const struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct once_record record = {.fingerprint = once->fingerprint,
				     .index = txn_index(x->txn),
				     .ordinal = txn_ordinal(x->txn),
				     .stamp_ms = txn_now_ms(x->txn),
				     .outcome = verdict->outcome,
				     .reply = kept};
	if (kept.len > LIMIT_ONCE_REPLY) {
		return ERR_TOO_LARGE;
	}
	int rc = txn_put(x->txn, key, once_encode(&record, &shard->arena));
	if (rc == 0) {
		struct once_new *made = arena_alloc(&shard->arena, sizeof *made);
		*made = (struct once_new){shard->once_new, key};
		shard->once_new = made;
	}
	return rc;
}

static bool keeps(const struct once *once, const struct verdict *verdict)
{
	switch (verdict->outcome) {
	case OUTCOME_DONE:
		return once->may_write;
	case OUTCOME_REFUSED:
	case OUTCOME_CONFLICT:
		return once->keeps_refusals;
	default:
		return false;
	}
}

static int run_once(struct execution *x, const struct once *once, struct reply *reply,
		    struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct slice value;
	uint8_t *key_bytes = arena_alloc(&shard->arena, 2 + x->request->user.len + once->id.len);
	struct slice key = once_key(key_bytes, x->request->user, once->id);
	int rc = txn_get(x->txn, key, &value);
	if (rc == 0) {
		return once_replay(x, once, value, reply, verdict);
	}
	if (rc != ERR_NOT_FOUND) {
		return rc;
	}
	enum code code = once_id_check(once->id, txn_now_ms(x->txn), shard->config.once_retention_ms);
	if (code != CODE_NONE) {
		answer(reply, code, verdict);
		return 0;
	}
	assert(x->depth < 2); /* the request's own, and a CALL's inside it */
	struct buf *kept = &shard->once_reply[x->depth++];
	struct reply kept_reply = {kept, 3};
	buf_reset(kept);
	rc = once->run(x, once->arg, &kept_reply, verdict);
	x->depth--;
	if (rc != 0) {
		return rc;
	}
	if (buf_failed(kept)) {
		return ERR_TOO_LARGE;
	}
	if (keeps(once, verdict)) {
		rc = once_keep(x, once, key, buf_slice(kept), verdict);
		if (rc != 0) {
			return rc;
		}
	}
	return once_show(x, once, buf_slice(kept), false, reply);
}

/* ---- one command ---- */

/* A refusal is rolled back, whatever the script did before it. */
static int settle(struct execution *x, struct txn_mark mark, int rc, const struct reply *reply, size_t begin,
		  struct verdict *verdict)
{
	if (rc != 0 && rc != ERR_DENIED) {
		return rc;
	}
	judge(reply, begin, verdict);
	if (rc == ERR_DENIED) {
		txn_rollback(x->txn, mark);
		if (verdict->outcome == OUTCOME_DONE) {
			verdict->outcome = OUTCOME_REFUSED; /* an error kept inside, as JSON or an array */
		}
	}
	return 0;
}

static int run_prepared(struct execution *x, void *arg, struct reply *reply, struct verdict *verdict)
{
	struct txn_mark mark = txn_mark(x->txn);
	enum outcome outcome = OUTCOME_DONE;
	size_t begin = reply->out->len;
	int rc = settle(x, mark, script_run(arg, reply, &outcome), reply, begin, verdict);
	if (rc == 0) {
		verdict->outcome = outcome;
		if (outcome != OUTCOME_DONE) {
			txn_rollback(x->txn, mark);
		}
	}
	return rc;
}

static int run_call(struct execution *x, const struct request_command *c, struct reply *reply,
		    struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct script_call *call;
	size_t begin = reply->out->len;
	if (c->argc < 2) {
		answer(reply, CODE_VALIDATION, verdict);
		return 0;
	}
	int rc = script_prepare(shard->host, x->txn, &shard->arena, c->argv[1], c->argv + 2, c->argc - 2,
				&call, reply);
	if (rc != 0) {
		return settle(x, txn_mark(x->txn), rc, reply, begin, verdict);
	}
	struct once once = {.id = script_call_once(call),
			    .keeps_refusals = script_call_keeps_refusals(call) || x->request->envelope.settle,
			    .may_write = script_call_writes(call),
			    .run = run_prepared,
			    .arg = call,
			    .commands = c,
			    .command_count = 1};
	if (once.id.len == 0 && x->request->kind == REQUEST_ONE) {
		once.id = x->request->envelope.once;
	}
	if (once.id.len == 0) {
		return run_prepared(x, call, reply, verdict);
	}
	if (once.id.len > LIMIT_REQUEST_ID) {
		answer(reply, CODE_VALIDATION, verdict);
		return 0;
	}
	once.fingerprint = script_call_fingerprint(call);
	return run_once(x, &once, reply, verdict);
}

static int run_redis(struct execution *x, const struct request_command *c, struct reply *reply,
		     struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct txn_mark mark = txn_mark(x->txn);
	size_t begin = reply->out->len;
	struct script_redis call = {.host = shard->host,
				    .txn = x->txn,
				    .arena = &shard->arena,
				    .db = c->db,
				    .argv = c->argv,
				    .argc = c->argc,
				    .reply = reply,
				    .random = prng_next(&shard->prng)};
	return settle(x, mark, script_redis_run(&call), reply, begin, verdict);
}

static int run_plain(struct execution *x, const struct request_command *c, struct reply *reply,
		     struct verdict *verdict)
{
	struct shard *shard = x->shard;
	size_t begin = reply->out->len;
	struct command_call call = {.command = c->command,
				    .txn = x->txn,
				    .arena = &shard->arena,
				    .argv = c->argv,
				    .argc = c->argc,
				    .db = c->db,
				    .reply = reply,
				    .random = prng_next(&shard->prng)};
	int rc = command_run(&call);
	if (rc == 0) {
		judge(reply, begin, verdict);
	}
	return rc;
}

/* Commands of the connection that may stand in a queue. */
static int run_local(const struct request_command *c, struct reply *reply, struct verdict *verdict)
{
	size_t begin = reply->out->len;
	if (slice_is_word(c->argv[0], "PING")) {
		if (c->argc > 1) {
			reply_bulk(reply, c->argv[1]);
		} else {
			reply_simple(reply, "PONG");
		}
	} else if (slice_is_word(c->argv[0], "ECHO") && c->argc == 2) {
		reply_bulk(reply, c->argv[1]);
	} else if (slice_is_word(c->argv[0], "SELECT")) {
		reply_simple(reply,
			     "OK"); /* whoever queued it has checked it and set the databases behind it */
	} else {
		reply_error(reply, "ERR %s is not allowed in a transaction", c->command->name);
	}
	judge(reply, begin, verdict);
	return 0;
}

static int run_command(struct execution *x, const struct request_command *c, struct reply *reply,
		       struct verdict *verdict)
{
	struct shard *shard = x->shard;
	size_t begin = reply->out->len;
	struct txn_mark mark = txn_mark(x->txn);
	if (c->command->run != NULL) {
		return run_plain(x, c, reply, verdict);
	}
	if (c->command == shard->call) {
		return run_call(x, c, reply, verdict);
	}
	if (c->command == shard->row) {
		return settle(x, mark,
			      script_row(shard->host, x->txn, &shard->arena, c->argv + 1, c->argc - 1, reply),
			      reply, begin, verdict);
	}
	if (c->command == shard->rows) {
		return settle(
			x, mark,
			script_rows(shard->host, x->txn, &shard->arena, c->argv + 1, c->argc - 1, reply),
			reply, begin, verdict);
	}
	if (c->command == shard->bundle) {
		return settle(x, mark, bundle_run(shard, x->request, x->txn, reply), reply, begin, verdict);
	}
	return c->command->flags & COMMAND_LOCAL ? run_local(c, reply, verdict)
						 : run_redis(x, c, reply, verdict);
}

/* ---- one request ---- */

static int run_exec(struct execution *x, struct reply *reply, struct verdict *verdict)
{
	const struct request *request = x->request;
	for (size_t i = 0; i < request->watch_count; i++) {
		uint64_t version;
		int rc = command_key_version(x->txn, request->watches[i].db, request->watches[i].key,
					     &version);
		if (rc != 0) {
			return rc;
		}
		if (version != request->watches[i].version) {
			reply_null_array(reply);
			*verdict =
				(struct verdict){.outcome = OUTCOME_CONFLICT, .code = CODE_VERSION_CONFLICT};
			return 0;
		}
	}
	reply_array(reply, request->command_count);
	for (size_t i = 0; i < request->command_count; i++) {
		struct verdict one = {0}; /* an error inside is that command's, as in Redis */
		int rc = run_command(x, &request->commands[i], reply, &one);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static int run_watch(struct execution *x, struct reply *reply)
{
	reply_array(reply, x->request->watch_count);
	for (size_t i = 0; i < x->request->watch_count; i++) {
		uint64_t version;
		int rc = command_key_version(x->txn, x->request->watches[i].db, x->request->watches[i].key,
					     &version);
		if (rc != 0) {
			return rc;
		}
		reply_integer(reply, (int64_t)version);
	}
	return 0;
}

static int run_body(struct execution *x, void *arg, struct reply *reply, struct verdict *verdict)
{
	(void)arg;
	switch (x->request->kind) {
	case REQUEST_EXEC:
		return run_exec(x, reply, verdict);
	case REQUEST_WATCH:
		return run_watch(x, reply);
	case REQUEST_ONE:
		break;
	}
	return run_command(x, &x->request->commands[0], reply, verdict);
}

/* Kind, database and every word; the name as the table spells it. Folded word by word: a queue may be long.
 */
static struct chain fingerprint(const struct request *request)
{
	struct chain hash = {0, 0};
	for (size_t i = 0; i < request->command_count; i++) {
		const struct request_command *c = &request->commands[i];
		hash = chain_next(hash, i, c->argc, (uint8_t)request->kind, slice_str(c->command->name));
		for (size_t a = 1; a < c->argc; a++) {
			hash = chain_next(hash, a, c->db, 0, c->argv[a]);
		}
	}
	return hash;
}

static int run_request(struct execution *x, struct reply *reply, struct verdict *verdict)
{
	struct request *request = x->request;
	bool is_call = request->kind == REQUEST_ONE && request->commands[0].command == x->shard->call;
	if (request->envelope.once.len == 0 || is_call || request->kind == REQUEST_WATCH) {
		return run_body(x, NULL, reply, verdict);
	}
	struct once once = {.id = request->envelope.once,
			    .fingerprint = fingerprint(request),
			    .keeps_refusals = request->envelope.settle,
			    .run = run_body,
			    .commands = request->commands,
			    .command_count = request->command_count,
			    .exec = request->kind == REQUEST_EXEC};
	for (size_t i = 0; i < request->command_count; i++) {
		once.may_write = once.may_write ||
				 (request->commands[i].command->flags & (COMMAND_WRITE | COMMAND_SCRIPT));
	}
	return run_once(x, &once, reply, verdict);
}

/* EXPLAIN: what would happen, around the reply that would come. */
static int run_explained(struct execution *x, struct reply *reply, struct verdict *verdict)
{
	struct buf inside;
	struct reply inner = {&inside, reply->protocol};
	buf_init(&inside, reply->out->max);
	int rc = run_request(x, &inner, verdict);
	if (rc == 0) {
		reply_map(reply, 6);
		reply_bulk_text(reply, "outcome");
		reply_bulk_text(reply, outcome_name(verdict->outcome));
		reply_bulk_text(reply, "replayed");
		reply_bool(reply, verdict->replayed);
		reply_bulk_text(reply, "now_ms");
		reply_integer(reply, (int64_t)txn_now_ms(x->txn));
		reply_bulk_text(reply, "writes");
		reply_integer(reply, (int64_t)txn_write_count(x->txn));
		reply_bulk_text(reply, "waits_for");
		reply_integer(reply, (int64_t)txn_read_index(x->txn));
		reply_bulk_text(reply, "reply");
		buf_append_slice(reply->out, buf_slice(&inside));
	}
	buf_fini(&inside);
	return rc;
}

/* ---- joining the batch ---- */

static void fail(struct shard *shard, struct request *request, int rc)
{
	switch (rc) {
	case ERR_FULL:
	case ERR_TOO_LARGE:
		release_refuse(shard, request, CODE_TOO_LARGE, NULL);
		break;
	default:
		release_refuse(shard, request, CODE_LEADER_LOST, NULL);
		shard_fail(shard, UNREADABLE);
	}
}

static void wait_in_batch(struct shard *shard, struct request *request)
{
	assert(request->wait_index <= overlay_open_index(shard->overlay));
	size_t bytes = request->reply.len;
	request->admitted_bytes += (uint32_t)bytes;
	shard->stats.admitted_bytes += bytes;
	request->state = REQUEST_EXECUTED;
	request_unpark(request);
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
	int rc = request->envelope.explain ? run_explained(x, &reply, verdict)
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
}

/* The transaction has run: into the batch with it, or nothing was. */
static enum step conclude(struct shard *shard, struct request *request, struct txn *txn,
			  const struct verdict *verdict)
{
	bool wrote = txn_wrote(txn) && !request->envelope.dryrun && !request->envelope.explain;
	enum code code = wrote ? admission_write(shard) : CODE_NONE;
	if (wrote && code == CODE_NONE && !fits(shard, txn)) {
		if (!overlay_open_empty(shard->overlay)) {
			txn_abort(txn);
			return STEP_SEAL;
		}
		code = CODE_TOO_LARGE;
	}
	if (code != CODE_NONE) {
		txn_abort(txn);
		release_refuse(shard, request, code, NULL);
		return STEP_DONE;
	}
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

static enum step attempt(struct shard *shard, struct request *request)
{
	struct txn *txn = propose_begin(shard);
	struct execution x = {.shard = shard, .request = request, .txn = txn};
	struct verdict verdict = {.outcome = OUTCOME_DONE};
	int rc = run_whole(&x, &verdict);
	if (rc == 0) {
		return conclude(shard, request, txn, &verdict);
	}
	txn_abort(txn);
	if (rc == ERR_BUSY) {
		return STEP_COMPILE;
	}
	fail(shard, request, rc);
	return STEP_DONE;
}

void execute(struct shard *shard, struct request *request)
{
	assert(propose_ready(shard));
	assert(request->kind != REQUEST_ONE || request->command_count == 1);
	for (;;) {
		switch (attempt(shard, request)) {
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
		shard_fail(shard, UNREADABLE);
		return false;
	}
	if (rc != 0 || !txn_wrote(txn) || !fits(shard, txn)) {
		txn_abort(txn);
		return false;
	}
	join(shard, txn);
	return true;
}

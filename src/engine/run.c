/* Commands and queues of commands in a transaction.
 *
 * A command that is refused leaves nothing: it is rolled back to the mark taken before it. */
#include <assert.h>

#include "engine/execution.h"
#include "script/sha1.h"

/* So many values of a call are tried as its id when its procedure is gone: it had no more arguments. */
#define RECALL_VALUES 64

void verdict_judge(const struct reply *reply, size_t begin, struct verdict *verdict)
{
	assert(begin < reply->out->len || buf_failed(reply->out));
	request_judge(slice_of(reply->out->data + begin, reply->out->len - begin), &verdict->outcome,
		      &verdict->code);
}

void verdict_answer(struct reply *reply, enum code code, struct verdict *verdict)
{
	assert(code != CODE_NONE);
	reply_code(reply, code, NULL);
	verdict->outcome = code_outcome(code);
	verdict->code = code;
}

/* ---- one command ---- */

/* A refusal is rolled back, whatever the script did before it. */
static int settle(struct execution *x, struct txn_mark mark, int rc, const struct reply *reply, size_t begin,
		  struct verdict *verdict)
{
	if (rc != 0 && rc != ERR_DENIED) {
		return rc;
	}
	verdict_judge(reply, begin, verdict);
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

/* EVAL is its script's EVALSHA: a client asks for that, and where the leader does not know the script
 * (another leads now), in the next breath for this; asked again it begins anew. sha is room for the second
 * word. */
static const char *name_script(const struct request_command *c, struct slice *second, char sha[SHA1_HEX + 1])
{
	static const char *const names[][2] = {{"EVAL", "EVALSHA"}, {"EVAL_RO", "EVALSHA_RO"}};
	const char *name = c->command->name;
	*second = c->argc > 1 ? c->argv[1] : SLICE_NONE;
	for (size_t i = 0; i < 2 && c->argc > 1; i++) {
		if (strcmp(name, names[i][0]) == 0) {
			sha1_hex(c->argv[1], sha);
			*second = slice_of(sha, SHA1_HEX);
			return names[i][1];
		}
		if (strcmp(name, names[i][1]) == 0 && c->argv[1].len == SHA1_HEX) {
			for (size_t at = 0; at < SHA1_HEX; at++) {
				uint8_t byte = c->argv[1].data[at];
				sha[at] = (char)(byte >= 'A' && byte <= 'F' ? byte | 0x20 : byte);
			}
			*second = slice_of(sha, SHA1_HEX);
		}
	}
	return name;
}

/* The name as the table spells it. Folded word by word: a queue may be long. The database stands with the
 * words, and with the kind where there are none (FLUSHDB). */
static struct chain fold_command(struct chain hash, size_t place, enum request_kind kind, unsigned db,
				 const struct request_command *c)
{
	unsigned alone = c->argc == 1 ? db << 4 : 0;
	char sha[SHA1_HEX + 1];
	struct slice second;
	const char *name = name_script(c, &second, sha);
	assert(c->argc > 0);
	assert((kind | alone) <= UINT8_MAX);
	hash = chain_next(hash, place, c->argc, (uint8_t)(kind | alone), slice_str(name));
	for (size_t a = 1; a < c->argc; a++) {
		hash = chain_next(hash, a, db, 0, a == 1 ? second : c->argv[a]);
	}
	return hash;
}

/* A procedure knows of no databases. named: one of the values is the id, else it stood in front. Each word's
 * hash is the seed of the next: the chain's hash, made for entries, costs six times as much for a word. */
static uint64_t call_words(const struct request_command *c, bool named)
{
	uint64_t hash = named;
	for (size_t a = 1; a < c->argc; a++) {
		hash = checksum64_at(c->argv[a], hash);
	}
	return hash;
}

/* Whether this very call happened: its id stood in front, or is one of its values. 0, ERR_NOT_FOUND, … */
static int recall(struct execution *x, const struct request_command *c, struct guard *guard,
		  struct slice *value)
{
	const struct request *request = x->request;
	int rc = ERR_NOT_FOUND;
	guard->id = request->kind == REQUEST_ONE ? request->envelope.once : SLICE_NONE;
	guard->fingerprint = (struct chain){0, call_words(c, false)};
	if (guard->id.len > 0) {
		rc = guard_recall(x, guard, value);
	}
	if (rc == ERR_NOT_FOUND) {
		guard->fingerprint.high = call_words(c, true);
	}
	for (size_t i = 3; i < c->argc && i < 3 + 2 * RECALL_VALUES && rc == ERR_NOT_FOUND; i += 2) {
		guard->id = c->argv[i];
		if (guard->id.len > 0 && guard->id.len <= LIMIT_REQUEST_ID) {
			rc = guard_recall(x, guard, value);
		}
	}
	return rc;
}

/* It cannot run: its refusal stands behind begin, or nothing does. But what happened while there was such a
 * procedure did happen, and whoever asks again is told so. */
static int run_unprepared(struct execution *x, const struct request_command *c, int rc, size_t begin,
			  struct reply *reply, struct verdict *verdict)
{
	struct guard guard = {.commands = c, .command_count = 1};
	struct slice value;
	int found = recall(x, c, &guard, &value);
	if (found == 0) {
		reply->out->len = begin;
		return guard_replay(x, &guard, value, reply, verdict);
	}
	if (found != ERR_NOT_FOUND) {
		return found;
	}
	return settle(x, txn_mark(x->txn), rc, reply, begin, verdict);
}

static int run_call(struct execution *x, const struct request_command *c, struct reply *reply,
		    struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct script_call *call;
	size_t begin = reply->out->len;
	assert(c->command == shard->call);
	if (c->argc < 2) {
		verdict_answer(reply, CODE_VALIDATION, verdict);
		return 0;
	}
	int rc = script_prepare(shard->host, x->txn, &shard->arena, c->argv[1], c->argv + 2, c->argc - 2,
				&call, reply);
	if (rc == ERR_DENIED || rc == ERR_BUSY) {
		return run_unprepared(x, c, rc, begin, reply, verdict);
	}
	if (rc != 0) {
		return rc;
	}
	struct guard guard = {.id = script_call_once(call),
			      .keeps_refusals =
				      script_call_keeps_refusals(call) || x->request->envelope.settle,
			      .may_write = script_call_writes(call),
			      .run = run_prepared,
			      .arg = call,
			      .commands = c,
			      .command_count = 1};
	bool named = guard.id.len > 0;
	if (!named && x->request->kind == REQUEST_ONE) {
		guard.id = x->request->envelope.once;
	}
	if (guard.id.len == 0) {
		return run_prepared(x, call, reply, verdict);
	}
	if (guard.id.len > LIMIT_REQUEST_ID) {
		verdict_answer(reply, CODE_VALIDATION, verdict);
		return 0;
	}
	guard.fingerprint = (struct chain){script_call_fingerprint(call).low, call_words(c, named)};
	return guard_run(x, &guard, reply, verdict);
}

static int run_redis(struct execution *x, const struct request_command *c, struct reply *reply,
		     struct verdict *verdict)
{
	struct shard *shard = x->shard;
	struct txn_mark mark = txn_mark(x->txn);
	size_t begin = reply->out->len;
	assert(c->command->run == NULL);
	assert(c->argc > 0);
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
	assert(c->command->run != NULL);
	assert(c->argc > 0);
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
		verdict_judge(reply, begin, verdict);
	}
	return rc;
}

/* Commands of the connection that may stand in a queue. */
static int run_local(const struct request_command *c, struct reply *reply, struct verdict *verdict)
{
	size_t begin = reply->out->len;
	assert(c->command->flags & COMMAND_LOCAL);
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
	verdict_judge(reply, begin, verdict);
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

static const char *const queue_spent =
	"\"reason\":\"the commands and scripts of this EXEC used up its steps, or the processor time of one script; "
	"nothing was written: do less in one EXEC\"";

static int run_commands(struct execution *x, struct reply *reply)
{
	const struct request *request = x->request;
	struct script_stats before, now;
	script_stats(x->shard->host, &before);
	for (size_t i = 0; i < request->command_count; i++) {
		if (watchdog_queue_late(x->shard->watchdog)) {
			x->why = queue_spent;
			return ERR_TOO_LARGE;
		}
		struct verdict one = {0}; /* an error inside is that command's, as in Redis */
		int rc = run_command(x, &request->commands[i], reply, &one);
		if (rc != 0) {
			return rc;
		}
		script_stats(x->shard->host, &now);
		if (now.steps - before.steps + txn_spent(x->txn) > LIMIT_QUEUE_STEPS) {
			x->why = queue_spent;
			return ERR_TOO_LARGE;
		}
		if (buf_failed(reply->out)) {
			return ERR_TOO_LARGE;
		}
	}
	return 0;
}

/* A queue of some thousand commands, each within its own bounds, took the loop for a minute: the cluster had
 * another leader meanwhile, and the client asked him the same. So it has bounds as a whole, and in time that of
 * one script. */
static int run_queue(struct execution *x, struct reply *reply)
{
	reply_array(reply, x->request->command_count);
	watchdog_queue_begin(x->shard->watchdog);
	int rc = run_commands(x, reply);
	watchdog_queue_end(x->shard->watchdog);
	return rc;
}

static int run_exec(struct execution *x, struct reply *reply, struct verdict *verdict)
{
	const struct request *request = x->request;
	assert(request->kind == REQUEST_EXEC);
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
	return run_queue(x, reply);
}

static int run_watch(struct execution *x, struct reply *reply)
{
	assert(x->request->kind == REQUEST_WATCH);
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
	assert(x->request->command_count == 1);
	return run_command(x, &x->request->commands[0], reply, verdict);
}

/* Kind, database and every word. */
static struct chain fingerprint(const struct request *request)
{
	struct chain hash = {0, 0};
	for (size_t i = 0; i < request->command_count; i++) {
		const struct request_command *c = &request->commands[i];
		hash = fold_command(hash, i, request->kind, c->db, c);
	}
	return hash;
}

int run_request(struct execution *x, struct reply *reply, struct verdict *verdict)
{
	struct request *request = x->request;
	bool is_call = request->kind == REQUEST_ONE && request->commands[0].command == x->shard->call;
	if (request->envelope.once.len == 0 || is_call || request->kind == REQUEST_WATCH) {
		return run_body(x, NULL, reply, verdict);
	}
	struct guard guard = {.id = request->envelope.once,
			      .fingerprint = fingerprint(request),
			      .keeps_refusals = request->envelope.settle,
			      .may_write = request_may_write(request),
			      .run = run_body,
			      .commands = request->commands,
			      .command_count = request->command_count,
			      .exec = request->kind == REQUEST_EXEC};
	return guard_run(x, &guard, reply, verdict);
}

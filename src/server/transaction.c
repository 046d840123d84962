#include "server/transaction.h"

#include "server/local.h"
#include "server/node_private.h"
#include "server/transaction_private.h"
#include "wire/resp.h"

#include <assert.h>
#include <stdlib.h>

#define ARENA_FIRST KIB(4)
/* A connection may hold so much however much all others hold. */
#define QUEUED_LITTLE KIB(16)
/* Answers from here alone may share a call with others that were held before them (conn_reply_begin). */
#define EXEC_HERE_MAX (LIMIT_REPLY / 2)

void transaction_init(struct transaction *transaction)
{
	memset(transaction, 0, sizeof *transaction);
}

void transaction_reset(struct transaction *transaction)
{
	transaction_fini(transaction);
	transaction_init(transaction);
}

void transaction_fini(struct transaction *transaction)
{
	arena_fini(&transaction->arena);
	arena_fini(&transaction->watch_arena);
	free(transaction->queue);
	free(transaction->watches);
}

void transaction_spoil(struct transaction *transaction)
{
	if (transaction->open) {
		transaction->dirty = true;
	}
}

void *transaction_grow(void *array, size_t count, size_t *cap, size_t size)
{
	if (count < *cap) {
		return array;
	}
	*cap = *cap == 0 ? 16 : *cap * 2;
	array = realloc(array, *cap * size);
	if (array == NULL) {
		fatal("out of memory: a transaction's queue");
	}
	return array;
}

/* ---- MULTI, DISCARD ---- */

void transaction_multi(struct conn *conn, struct reply *reply)
{
	struct transaction *transaction = &conn->session.transaction;
	if (transaction->open) {
		reply_error(reply, "ERR MULTI calls can not be nested");
		return;
	}
	transaction->open = true;
	transaction->db = conn->session.db;
	arena_init(&transaction->arena, ARENA_FIRST);
	reply_simple(reply, "OK");
}

void transaction_discard(struct conn *conn, struct reply *reply)
{
	struct transaction *transaction = &conn->session.transaction;
	if (!transaction->open) {
		reply_error(reply, "ERR DISCARD without MULTI");
		return;
	}
	transaction_reset(transaction);
	reply_simple(reply, "OK");
}

/* ---- the queue ---- */

size_t transaction_memory(const struct transaction *transaction)
{
	return transaction->arena.used + transaction->watch_arena.used;
}

size_t transaction_words(const struct slice *argv, size_t argc)
{
	size_t bytes = argc * (sizeof(struct slice) + 32);
	for (size_t i = 0; i < argc; i++) {
		bytes += argv[i].len;
	}
	return bytes;
}

bool transaction_crowds(const struct conn *conn, size_t more)
{
	return conn->node->listener.queued_bytes + more > LIMIT_NODE_QUEUED &&
	       transaction_memory(&conn->session.transaction) + more > QUEUED_LITTLE;
}

/* CODE_NONE when it may be queued, and then it is counted. */
static enum code queue_refuses(struct conn *conn, const struct slice *argv, size_t argc)
{
	struct transaction *transaction = &conn->session.transaction;
	size_t bytes = transaction->bytes, memory = transaction_words(argv, argc);
	for (size_t i = 0; i < argc; i++) {
		bytes += argv[i].len;
	}
	if (transaction->count >= LIMIT_QUEUED_COMMANDS || bytes > LIMIT_REQUEST_BYTES ||
	    transaction->arena.used + memory > LIMIT_QUEUED_BYTES) {
		return CODE_TOO_LARGE;
	}
	if (transaction_crowds(conn, memory)) {
		return CODE_OVERLOADED;
	}
	transaction->bytes = bytes;
	return CODE_NONE;
}

void transaction_queue(struct conn *conn, const struct command *command, const struct local *local,
		       const struct slice *argv, size_t argc, struct reply *reply)
{
	struct transaction *transaction = &conn->session.transaction;
	assert(transaction->open);
	enum code code = queue_refuses(conn, argv, argc);
	if (code != CODE_NONE) {
		transaction->dirty = true;
		reply_code(reply, code,
			   code == CODE_TOO_LARGE
				   ? "\"reason\":\"the transaction has too many commands or bytes\""
				   : NULL);
		return;
	}
	transaction->queue = transaction_grow(transaction->queue, transaction->count, &transaction->cap,
					      sizeof *transaction->queue);
	struct slice *copies = arena_alloc(&transaction->arena, argc * sizeof *copies);
	for (size_t i = 0; i < argc; i++) {
		copies[i] = arena_copy(&transaction->arena, argv[i]);
	}
	transaction->queue[transaction->count++] =
		(struct queued){{command, copies, argc, transaction->db}, local};
	int64_t db = 0;
	if (local != NULL && strcmp(local->name, "SELECT") == 0 && slice_to_int64(copies[1], &db) &&
	    db >= 0 && db < SESSION_DATABASES) {
		transaction->db = (unsigned)db; /* what follows in the queue is of that database */
	}
	reply_simple(reply, "QUEUED");
}

/* ---- EXEC ---- */

static bool run_local(struct conn *conn, const struct queued *queued, struct reply *reply)
{
	struct local_call call = {conn, queued->command.argv, queued->command.argc, reply, NULL};
	return local_run(queued->local, &call);
}

bool transaction_array(struct slice *bytes, int64_t *count)
{
	const uint8_t *end = memchr(bytes->data, '\r', bytes->len);
	if (bytes->len < 4 || bytes->data[0] != '*' || end == NULL) {
		return false;
	}
	size_t digits = (size_t)(end - bytes->data) - 1;
	if (bytes->len < digits + 3 || !slice_to_int64(slice_of(bytes->data + 1, digits), count) ||
	    *count < 0) {
		return false;
	}
	*bytes = slice_skip(*bytes, digits + 3);
	return true;
}

enum spliced { SPLICED, SPLICE_UNFIT, SPLICE_TOO_LARGE };

/* Puts the answers of the commands that are run here between the leader's. UNFIT: those do not fit the queue. One
 * command's answer may be too large, and be refused in its place: with a second, or when the whole is, nothing further
 * runs. Thousands may stand here whose answers take long to write. */
static enum spliced splice(struct conn *conn, struct slice theirs, struct reply *reply)
{
	struct transaction *transaction = &conn->session.transaction;
	size_t refused = 0;
	reply_array(reply, transaction->count);
	for (size_t i = 0; i < transaction->count; i++) {
		size_t used = 0;
		if (transaction->queue[i].local != NULL) {
			refused += !run_local(conn, &transaction->queue[i], reply);
		} else if (resp_reply_measure(theirs, LIMIT_REPLY, &used) == 0) {
			buf_append(reply->out, theirs.data, used);
			theirs = slice_skip(theirs, used);
		} else {
			return SPLICE_UNFIT;
		}
		if (refused > 1 || buf_failed(reply->out)) {
			return SPLICE_TOO_LARGE;
		}
	}
	return theirs.len == 0 ? SPLICED : SPLICE_UNFIT;
}

_Static_assert(LIMIT_REPLY == MIB(8), "the text says so");

/* With the answers from here the whole is over what a reply may be. */
static void exec_too_large(struct call *call)
{
	if (call->request.wrote || call->request.replayed) {
		call_replace(call, CODE_OUTCOME_UNKNOWN,
			     "\"reason\":\"it ran, but its answer is too large\"");
	} else {
		call_replace(call, CODE_TOO_LARGE,
			     "\"reason\":\"the reply is over 8 MiB: ask for less at once\"");
	}
}

static void exec_finish(struct call *call)
{
	struct conn *conn = call->conn;
	struct slice theirs = buf_slice(&call->request.reply);
	int64_t count = 0;
	conn->blocked = false;
	/* An explanation is no answer to the queue, though in RESP2 it is an array, too. */
	if (!call->request.envelope.explain && transaction_array(&theirs, &count)) {
		struct buf whole;
		buf_init(&whole, LIMIT_REPLY);
		struct reply reply = {&whole, call->request.protocol};
		switch (splice(conn, theirs, &reply)) {
		case SPLICED:
			buf_reset(&call->request.reply);
			buf_append_slice(&call->request.reply, buf_slice(&whole));
			break;
		case SPLICE_UNFIT:
			call_replace(call, CODE_OUTCOME_UNKNOWN, NULL);
			break;
		case SPLICE_TOO_LARGE:
			exec_too_large(call);
			break;
		}
		buf_fini(&whole);
	}
	transaction_reset(&conn->session.transaction);
	conn_wake(conn);
}

static size_t count_local(const struct transaction *transaction)
{
	size_t local = 0;
	for (size_t i = 0; i < transaction->count; i++) {
		local += transaction->queue[i].local != NULL;
	}
	return local;
}

/* As in Redis, what was queued counts when it runs. */
static void count_usage(struct node *node, const struct transaction *transaction)
{
	for (size_t i = 0; i < transaction->count; i++) {
		usage_of(&node->usage, transaction->queue[i].command.command)->calls++;
	}
}

/* The leader's part of the queue, in the arena of the request. */
static void split_queue(struct conn *conn, struct request *request)
{
	struct transaction *transaction = &conn->session.transaction;
	struct request_command *commands =
		arena_alloc(&conn->node->arena, (transaction->count + 1) * sizeof *commands);
	size_t theirs = 0;
	for (size_t i = 0; i < transaction->count; i++) {
		if (transaction->queue[i].local == NULL) {
			commands[theirs++] = transaction->queue[i].command;
		}
	}
	request->kind = REQUEST_EXEC;
	request->commands = commands;
	request->command_count = theirs;
	request->watches = transaction->watches;
	request->watch_count = transaction->watch_count;
}

_Static_assert(EXEC_HERE_MAX == MIB(4), "the text says so");

/* Nothing for the leader to do. What is too long must not begin as an answer. */
static void exec_here(struct conn *conn, bool muted)
{
	struct buf whole;
	buf_init(&whole, EXEC_HERE_MAX);
	struct reply reply = {&whole, conn->session.protocol};
	if (splice(conn, SLICE_NONE, &reply) != SPLICED) {
		buf_reset(&whole);
		reply_code(&reply, CODE_TOO_LARGE,
			   "\"reason\":\"the reply is over 4 MiB: ask for less at once\"");
	}
	struct conn_reply answer = conn_reply_begin(conn, muted);
	buf_append_slice(answer.reply.out, buf_slice(&whole));
	conn_reply_end(conn, &answer);
	buf_fini(&whole);
	transaction_reset(&conn->session.transaction);
}

static void exec_refuse(struct conn *conn, bool muted, const char *text)
{
	struct conn_reply answer = conn_reply_begin(conn, muted);
	reply_error(&answer.reply, "%s", text);
	conn_reply_end(conn, &answer);
}

void transaction_exec(struct conn *conn, const struct request_envelope *envelope, bool muted)
{
	struct transaction *transaction = &conn->session.transaction;
	if (!transaction->open) {
		exec_refuse(conn, muted, "ERR EXEC without MULTI");
		return;
	}
	if (transaction->dirty) {
		transaction_reset(transaction);
		exec_refuse(conn, muted, "EXECABORT Transaction discarded because of previous errors.");
		return;
	}
	count_usage(conn->node, transaction);
	size_t here = count_local(transaction);
	if (here == transaction->count && transaction->watch_count == 0) {
		exec_here(conn, muted);
		return;
	}
	struct call *call = conn_call(conn, muted);
	call->asked = command_find(SLICE_LIT("EXEC"));
	split_queue(conn, &call->request);
	call->request.envelope = *envelope;
	call->request.arrived_us = conn->active_us;
	if (here > 0) {
		call->finish = exec_finish;
		conn->blocked = true;
	}
	if (dispatch_call(&conn->node->dispatch, call)) {
		conn_count_held(conn, call);
	}
	if (here == 0) {
		transaction_reset(transaction);
	}
}

#include "server/session.h"

#include "server/local.h"
#include "server/node_private.h"

#include <assert.h>

void session_init(struct session *session)
{
	memset(session, 0, sizeof *session);
	session->protocol = 2;
	session->last = "NULL";
	transaction_init(&session->transaction);
}

void session_fini(struct session *session)
{
	transaction_fini(&session->transaction);
}

void session_reset(struct session *session)
{
	session_fini(session);
	session_init(session);
}

/* ---- answers on the spot ---- */

typedef void (*answer_fn)(struct reply *reply, const char *text);

static void say_error(struct reply *reply, const char *text)
{
	reply_error(reply, "%s", text);
}

static void session_say(struct conn *conn, bool muted, answer_fn say, const char *text)
{
	struct conn_reply answer = conn_reply_begin(conn, muted);
	say(&answer.reply, text);
	conn_reply_end(conn, &answer);
}

/* Tells the error that was written to nowhere: only then does it take a place in the order. */
static void session_tell(struct conn *conn, bool muted)
{
	if (muted) {
		return;
	}
	struct conn_reply answer = conn_reply_begin(conn, false);
	buf_append_slice(answer.reply.out, buf_slice(&conn->node->nowhere));
	conn_reply_end(conn, &answer);
}

/* ---- prefixes ---- */

/* Cheap look before request_envelope_parse: ONCE, DEADLINE, SETTLE, DRYRUN, EXPLAIN. */
static bool may_be_prefix(struct slice word)
{
	switch (word.len) {
	case 4:
		return (word.data[0] | 0x20) == 'o';
	case 6:
		return (word.data[0] | 0x20) == 's' || (word.data[0] | 0x20) == 'd';
	case 7:
		return (word.data[0] | 0x20) == 'e';
	case 8:
		return (word.data[0] | 0x20) == 'd';
	default:
		return false;
	}
}

/* False when a prefix was wrong; then that was answered. */
static bool session_prefixes(struct conn *conn, const struct slice *argv, size_t argc, bool muted,
			     struct request_envelope *envelope, size_t *skip)
{
	if (!may_be_prefix(argv[0])) {
		return true;
	}
	/* The usual case (EXISTS, DECRBY, STRLEN …) takes no prefix and must not take a place in the order.
	 */
	buf_reset(&conn->node->nowhere);
	struct reply scratch = {&conn->node->nowhere, conn->session.protocol};
	int status = request_envelope_parse(argv, argc, envelope, skip, &scratch);
	if (status == 0 && *skip < argc) {
		return true;
	}
	if (status == 0) {
		reply_code(&scratch, CODE_VALIDATION, "\"reason\":\"there is no command behind the prefix\"");
	}
	transaction_spoil(&conn->session.transaction);
	session_tell(conn, muted);
	return false;
}

/* ---- commands ---- */

static void session_local(struct conn *conn, const struct command *command, const struct local *local,
			  const struct slice *argv, size_t argc, bool muted)
{
	struct local_call run = {conn, argv, argc, NULL, NULL};
	if ((local->flags & LOCAL_LATER) != 0) {
		run.call = conn_call(conn, muted);
		run.call->asked = command;
		usage_of(&conn->node->usage, command)->calls++;
		local->run(&run);
		return;
	}
	struct conn_reply answer = conn_reply_begin(conn, muted && (local->flags & LOCAL_SPEAKS) == 0);
	const struct buf *out = answer.reply.out;
	size_t at = out->len;
	run.reply = &answer.reply;
	local_run(local, &run);
	struct usage_count *count =
		usage_of(&conn->node->usage, command); /* behind RESETSTAT itself, as in Redis */
	count->calls++;
	count->failed += out->len > at && out->data[at] == '-';
	conn_reply_end(conn, &answer);
}

/* Under overload most requests end here: no call is made for them. */
static void session_refuse(struct conn *conn, const struct command *command, bool muted)
{
	usage_of(&conn->node->usage, command)->rejected++;
	if (muted) {
		return;
	}
	struct conn_reply answer = conn_reply_begin(conn, false);
	buf_append_slice(answer.reply.out, buf_slice(&conn->node->refusal));
	conn_reply_end(conn, &answer);
	conn->hasty = true;
}

/* To the leader, wherever it is. */
static void session_data(struct conn *conn, const struct command *command, const struct slice *argv,
			 size_t argc, const struct request_envelope *envelope, bool muted)
{
	struct node *node = conn->node;
	struct call *call = conn_call(conn, muted);
	struct request *request = &call->request;
	usage_of(&node->usage, command)->calls++;
	call->asked = command;
	call->command = (struct request_command){command, argv, argc, conn->session.db};
	request->kind = REQUEST_ONE;
	request->commands = &call->command;
	request->command_count = 1;
	request->envelope = *envelope;
	request->arrived_us = conn->active_us;
	if (dispatch_call(&node->dispatch, call)) {
		conn_count_held(conn, call);
	}
}

static bool is_word(const struct command *command, const char *name)
{
	return strcmp(command->name, name) == 0;
}

/* MULTI begins with a prefix: whoever wrote it means all that follows, and none of that may run without. So
 * the queue is open, and spoilt. */
static void session_refuse_prefix(struct conn *conn, struct reply *reply)
{
	size_t begin = reply->out->len;
	transaction_multi(conn, reply);
	transaction_spoil(&conn->session.transaction);
	reply->out->len = begin;
	reply_code(reply, CODE_VALIDATION,
		   "\"reason\":\"a prefix stands in front of EXEC, not of MULTI: what is queued will be "
		   "discarded\"");
}

/* EXEC, MULTI, DISCARD, WATCH: what is not queued and drives the queue. False when command is none of them.
 */
static bool session_transaction(struct conn *conn, const struct command *command, const struct slice *argv,
				size_t argc, const struct request_envelope *envelope, bool prefixed,
				bool muted)
{
	bool exec = is_word(command, "EXEC");
	bool watch = !exec && is_word(command, "WATCH");
	bool multi = !exec && !watch && is_word(command, "MULTI");
	if (!exec && !watch && !multi && !is_word(command, "DISCARD")) {
		return false;
	}
	usage_of(&conn->node->usage, command)->calls++;
	if (exec) {
		transaction_exec(conn, envelope, muted);
		return true;
	}
	if (watch) {
		transaction_watch(conn, argv, argc, muted);
		return true;
	}
	struct conn_reply answer = conn_reply_begin(conn, muted);
	if (multi && prefixed) {
		session_refuse_prefix(conn, &answer.reply);
	} else if (multi) {
		transaction_multi(conn, &answer.reply);
	} else {
		transaction_discard(conn, &answer.reply);
	}
	conn_reply_end(conn, &answer);
	return true;
}

/* The command exists and has the right number of words. Otherwise the error was told and an open queue is
 * spoilt. */
static bool session_check(struct conn *conn, const struct command *command, const struct slice *argv,
			  size_t argc, const struct local **local, bool muted)
{
	struct node *node = conn->node;
	struct reply scratch = {&node->nowhere, conn->session.protocol};
	struct transaction *transaction = &conn->session.transaction;
	buf_reset(&node->nowhere);
	*local = NULL;
	bool fine = command_check(command, argv, argc, &scratch);
	if (fine && (command->flags & COMMAND_LOCAL) != 0 && (command->flags & COMMAND_QUEUE_NOT) == 0) {
		*local = local_find(command, argv, argc, &scratch);
		fine = *local != NULL;
	} else if (fine && (command->flags & COMMAND_LOCAL) != 0) {
		*local = local_find(command, argv, argc, NULL); /* EXEC and its like are in no table */
	} else if (fine && (command->flags & COMMAND_CONTAINER) != 0) {
		*local = local_find(command, argv, argc, NULL); /* some words of MEMORY are this node's */
	}
	if (fine) {
		return true;
	}
	if (command != NULL && is_word(command, "EXEC")) {
		transaction_reset(transaction); /* an EXEC that cannot be read ends the transaction */
	}
	transaction_spoil(transaction);
	if (command != NULL) {
		usage_of(&node->usage, command)->rejected++;
	}
	node->counters.errors++;
	session_tell(conn, muted);
	return false;
}

static void session_queue(struct conn *conn, const struct command *command, const struct local *local,
			  const struct slice *argv, size_t argc, bool prefixed, bool muted)
{
	struct conn_reply answer = conn_reply_begin(conn, muted);
	if (prefixed) {
		transaction_spoil(&conn->session.transaction);
		reply_code(&answer.reply, CODE_VALIDATION,
			   "\"reason\":\"inside MULTI a prefix stands in front of EXEC, not of a queued "
			   "command\"");
	} else if (local != NULL && (local->flags & LOCAL_LATER) != 0) {
		transaction_spoil(&conn->session.transaction);
		reply_error(&answer.reply, "ERR Command not allowed inside a transaction");
	} else {
		transaction_queue(conn, command, local, argv, argc, &answer.reply);
	}
	conn_reply_end(conn, &answer);
}

/* Somebody's browser was led here to smuggle commands in (as Redis does since 3.2.7). */
static bool is_http(struct slice word)
{
	return slice_is_word(word, "post") || slice_is_word(word, "host:");
}

/* Words that are no command of the table and have a way of their own. */
static bool session_stranger(struct conn *conn, struct slice word, bool muted)
{
	if (is_http(word)) {
		listener_log(&conn->node->listener, LOG_WARN, "client_closed", conn, "http_on_client_port");
		conn_doom(conn);
		return true;
	}
	if (slice_is_word(word, "quit")) {
		session_say(conn, muted, reply_simple, "OK");
		conn_leave(conn);
		return true;
	}
	return false;
}

/* A request that was read and is fine. */
struct asked {
	const struct command *command;
	const struct local *local; /* NULL: not answered by this node itself */
	const struct slice *argv;  /* without the prefixes */
	size_t argc;
	struct request_envelope envelope;
	bool prefixed, muted;
};

/* Into the queue, to ourselves or to the leader. */
static void session_route(struct conn *conn, const struct asked *asked)
{
	const struct command *command = asked->command;
	const struct local *local = asked->local;
	if ((command->flags & COMMAND_QUEUE_NOT) != 0 &&
	    session_transaction(conn, command, asked->argv, asked->argc, &asked->envelope, asked->prefixed,
				asked->muted)) {
		return;
	}
	bool at_once = local != NULL && (local->flags & LOCAL_ALWAYS) != 0;
	if (conn->session.transaction.open && !at_once) {
		session_queue(conn, command, local, asked->argv, asked->argc, asked->prefixed, asked->muted);
		return;
	}
	if (local != NULL) {
		session_local(conn, command, local, asked->argv, asked->argc, asked->muted);
		return;
	}
	if ((command->flags & COMMAND_LOCAL) != 0) {
		session_say(conn, asked->muted, say_error, "ERR this command is not served");
		return;
	}
	if (dispatch_sheds(&conn->node->dispatch, conn, command)) {
		session_refuse(conn, command, asked->muted);
		return;
	}
	session_data(conn, command, asked->argv, asked->argc, &asked->envelope, asked->muted);
}

void session_request(struct conn *conn, const struct slice *argv, size_t argc)
{
	struct session *session = &conn->session;
	struct asked asked = {.envelope.once = SLICE_NONE};
	size_t skip = 0;
	asked.muted = session->reply_off || session->skip_next;
	session->skip_next = false;
	conn->node->counters.commands++;
	if (!session_prefixes(conn, argv, argc, asked.muted, &asked.envelope, &skip)) {
		return;
	}
	asked.prefixed = skip > 0;
	asked.argv = argv + skip;
	asked.argc = argc - skip;
	if (asked.argc > 1 && slice_is_word(asked.argv[0], "tally") &&
	    slice_is_word(asked.argv[1], "bundle")) {
		asked.argv++; /* the one word of TALLY that is the leader's: a command of its own from here on
			       */
		asked.argc--;
	}
	asked.command = command_find(asked.argv[0]);
	if (asked.command == NULL && session_stranger(conn, asked.argv[0], asked.muted)) {
		return;
	}
	if (!session_check(conn, asked.command, asked.argv, asked.argc, &asked.local, asked.muted)) {
		return;
	}
	session->last = asked.command->name;
	session->last_sub = asked.local != NULL ? asked.local->sub : NULL;
	session_route(conn, &asked);
}

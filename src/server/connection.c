#include "server/connection.h"

#include "server/node_private.h"
#include "server/version.h"

#include <stdio.h>

void connection_ok(struct local_call *call)
{
	reply_simple(call->reply, "OK");
}

void connection_ping(struct local_call *call)
{
	if (call->argc > 2) {
		reply_error(call->reply, "ERR wrong number of arguments for 'ping' command");
	} else if (call->argc == 2) {
		reply_bulk(call->reply, call->argv[1]);
	} else {
		reply_simple(call->reply, "PONG");
	}
}

void connection_echo(struct local_call *call)
{
	reply_bulk(call->reply, call->argv[1]);
}

void connection_select(struct local_call *call)
{
	int64_t db = 0;
	if (!local_integer(call->argv[1], &db, call->reply)) {
		return;
	}
	if (db < INT32_MIN || db > INT32_MAX) {
		reply_error(call->reply, "ERR value is out of range, value must between %d and %d", INT32_MIN,
			    INT32_MAX);
		return;
	}
	if (db < 0 || db >= SESSION_DATABASES) {
		reply_error(call->reply, "ERR DB index is out of range");
		return;
	}
	call->conn->session.db = (unsigned)db;
	reply_simple(call->reply, "OK");
}

bool connection_set_name(struct conn *conn, struct slice name, struct reply *reply)
{
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] < '!' || name.data[i] > '~') {
			reply_error(
				reply,
				"ERR Client names cannot contain spaces, newlines or special characters.");
			return false;
		}
	}
	if (name.len > SESSION_NAME_MAX) {
		reply_error(reply, "ERR Client names cannot be longer than %d bytes", SESSION_NAME_MAX);
		return false;
	}
	if (name.len > 0) {
		memcpy(conn->session.name, name.data, name.len);
	}
	conn->session.name[name.len] = '\0';
	return true;
}

/* The one user is "default" and has no password: any is taken, as Redis does for a user with nopass. */
static bool may_be(struct slice user, struct reply *reply)
{
	if (slice_equal(user, SLICE_LIT("default"))) {
		return true;
	}
	reply_error(reply, "WRONGPASS invalid username-password pair or user is disabled.");
	return false;
}

void connection_auth(struct local_call *call)
{
	if (call->argc > 3) {
		reply_error(call->reply, "ERR syntax error");
		return;
	}
	if (call->argc == 2) {
		reply_error(
			call->reply,
			"ERR AUTH <password> called without any password configured for the default user. "
			"Are you sure your configuration is correct?");
		return;
	}
	if (may_be(call->argv[1], call->reply)) {
		reply_simple(call->reply, "OK");
	}
}

static void say_hello(struct local_call *call)
{
	struct reply *reply = call->reply;
	reply_map(reply, 7);
	reply_bulk_text(reply, "server");
	reply_bulk_text(reply, "redis");
	reply_bulk_text(reply, "version");
	reply_bulk_text(reply, VERSION_REDIS);
	reply_bulk_text(reply, "proto");
	reply_integer(reply, call->conn->session.protocol);
	reply_bulk_text(reply, "id");
	reply_integer(reply, (int64_t)call->conn->id);
	reply_bulk_text(reply, "mode");
	reply_bulk_text(reply, "standalone");
	reply_bulk_text(reply, "role");
	reply_bulk_text(reply, "master"); /* every node takes writes: it passes them on */
	reply_bulk_text(reply, "modules");
	reply_array(reply, 0);
}

/* HELLO [version [AUTH user password] [SETNAME name]]; nothing changes before all of it is read. */
void connection_hello(struct local_call *call)
{
	struct conn *conn = call->conn;
	struct reply *reply = call->reply;
	int64_t version = conn->session.protocol;
	struct slice name = SLICE_NONE;
	bool named = false;
	if (call->argc > 1 && !slice_to_int64(call->argv[1], &version)) {
		reply_error(reply, "ERR Protocol version is not an integer or out of range");
		return;
	}
	if (version < 2 || version > 3) {
		reply_error(reply, "NOPROTO unsupported protocol version");
		return;
	}
	for (size_t at = 2; at < call->argc; at++) {
		size_t more = call->argc - at - 1;
		if (slice_is_word(call->argv[at], "auth") && more >= 2) {
			if (!may_be(call->argv[at + 1], reply)) {
				return;
			}
			at += 2;
		} else if (slice_is_word(call->argv[at], "setname") && more >= 1) {
			name = call->argv[++at];
			named = true;
		} else {
			reply_error(reply, "ERR Syntax error in HELLO option '%.*s'", (int)call->argv[at].len,
				    (const char *)call->argv[at].data);
			return;
		}
	}
	if (named && !connection_set_name(conn, name, reply)) {
		return;
	}
	conn->session.protocol = (int)version;
	reply->protocol = (int)version;
	say_hello(call);
}

void connection_reset(struct local_call *call)
{
	session_reset(&call->conn->session);
	call->reply->protocol = 2;
	reply_simple(call->reply, "RESET");
}

void connection_quit(struct local_call *call)
{
	reply_simple(call->reply, "OK");
	conn_leave(call->conn);
}

void connection_unwatch(struct local_call *call)
{
	/* Inside EXEC the watches have done their work already. */
	if (!call->conn->session.transaction.open) {
		transaction_unwatch(call->conn);
	}
	reply_simple(call->reply, "OK");
}

void connection_time(struct local_call *call)
{
	uint64_t now_ms = env_wall_ms(call->conn->node->env);
	char text[24];
	reply_array(call->reply, 2);
	snprintf(text, sizeof text, "%llu", (unsigned long long)(now_ms / 1000));
	reply_bulk_text(call->reply, text);
	snprintf(text, sizeof text, "%llu", (unsigned long long)(now_ms % 1000 * 1000));
	reply_bulk_text(call->reply, text);
}

/* A write is answered when a majority has synced it, and answers keep their order: what stands before this
 * one in the pipeline is on so many others, and there is nothing to wait for. */
void connection_wait(struct local_call *call)
{
	int64_t replicas = 0, timeout_ms = 0;
	if (!local_integer(call->argv[1], &replicas, call->reply)) {
		return;
	}
	if (!slice_to_int64(call->argv[2], &timeout_ms)) {
		reply_error(call->reply, "ERR timeout is not an integer or out of range");
		return;
	}
	if (timeout_ms < 0) {
		reply_error(call->reply, "ERR timeout is negative");
		return;
	}
	reply_integer(call->reply, (int64_t)(call->conn->node->config.member_count / 2));
}

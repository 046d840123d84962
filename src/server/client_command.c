#include "server/client_command.h"

#include "server/connection.h"
#include "server/node_private.h"

#include <ctype.h>
#include <stdio.h>

#define LIST_MAX MIB(16) /* longer than any reply: a list that is cut here is refused as too large */

void client_id(struct local_call *call)
{
	reply_integer(call->reply, (int64_t)call->conn->id);
}

void client_getname(struct local_call *call)
{
	if (call->conn->session.name[0] == '\0') {
		reply_null(call->reply);
		return;
	}
	reply_bulk_text(call->reply, call->conn->session.name);
}

void client_setname(struct local_call *call)
{
	if (connection_set_name(call->conn, call->argv[2], call->reply)) {
		reply_simple(call->reply, "OK");
	}
}

/* Newer client libraries tell their name and version; kept by nobody. */
void client_setinfo(struct local_call *call)
{
	if (!slice_is_word(call->argv[2], "lib-name") && !slice_is_word(call->argv[2], "lib-ver")) {
		reply_error(call->reply, "ERR Unrecognized option '%.*s'", (int)call->argv[2].len,
			    (const char *)call->argv[2].data);
		return;
	}
	reply_simple(call->reply, "OK");
}

/* ---- LIST, INFO ---- */

static void put_lower(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		buf_append_byte(out, (uint8_t)tolower((unsigned char)*text));
	}
}

static void put_line(struct buf *out, const struct conn *conn, uint64_t now_us)
{
	const struct session *session = &conn->session;
	const struct transaction *transaction = &session->transaction;
	const struct node *node = conn->node;
	char flags[8];
	snprintf(flags, sizeof flags, "%s%s%s", transaction->open ? "x" : "", session->no_evict ? "e" : "",
		 transaction->open || session->no_evict ? "" : "N");
	buf_appendf(out,
		    "id=%llu addr=%s laddr=%s fd=-1 name=%s age=%llu idle=%llu flags=%s db=%u sub=0 psub=0 "
		    "ssub=0",
		    (unsigned long long)conn->id, conn->peer, node->config.listen, session->name,
		    (unsigned long long)((now_us - conn->opened_us) / 1000000),
		    (unsigned long long)((now_us - conn->active_us) / 1000000), flags, session->db);
	buf_appendf(out, " multi=%d qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=%zu rbp=0",
		    transaction->open ? (int)transaction->count : -1, conn->in.len,
		    conn->in.cap - conn->in.len, transaction->bytes, conn->out.cap);
	buf_appendf(out, " obl=%zu oll=%zu omem=%zu tot-mem=%zu events=%s cmd=", conn_unsent(conn),
		    conn->call_count, conn->out.cap + conn->sending.cap,
		    sizeof *conn + conn->in.cap + conn->out.cap + conn->sending.cap + transaction->bytes,
		    conn->paused ? (conn->writing ? "w" : "") : (conn->writing ? "rw" : "r"));
	put_lower(out, session->last);
	if (session->last_sub != NULL) {
		buf_append_byte(out, '|');
		put_lower(out, session->last_sub);
	}
	buf_appendf(out, " user=default redir=-1 resp=%d\n", session->protocol);
}

static bool is_client_type(struct slice word)
{
	return slice_is_word(word, "normal") || slice_is_word(word, "master") ||
	       slice_is_word(word, "slave") || slice_is_word(word, "replica") ||
	       slice_is_word(word, "pubsub");
}

static void put_all(struct local_call *call, struct buf *out, uint64_t now_us)
{
	list_for_each (link, &call->conn->node->listener.conns) {
		put_line(out, list_entry(link, struct conn, link), now_us);
	}
}

/* LIST [TYPE type] [ID id …] */
void client_list(struct local_call *call)
{
	struct node *node = call->conn->node;
	uint64_t now_us = env_now_us(node->env);
	struct buf out;
	buf_init(&out, LIST_MAX);
	if (call->argc == 2) {
		put_all(call, &out, now_us);
	} else if (call->argc == 4 && slice_is_word(call->argv[2], "type")) {
		if (!is_client_type(call->argv[3])) {
			reply_error(call->reply, "ERR Unknown client type '%.*s'", (int)call->argv[3].len,
				    (const char *)call->argv[3].data);
			goto done;
		}
		if (slice_is_word(call->argv[3], "normal")) {
			put_all(call, &out, now_us);
		}
	} else if (call->argc > 3 && slice_is_word(call->argv[2], "id")) {
		for (size_t i = 3; i < call->argc; i++) {
			int64_t id = 0;
			if (!slice_to_int64(call->argv[i], &id)) {
				reply_error(call->reply, "ERR Invalid client ID");
				goto done;
			}
			const struct conn *conn = listener_find(&node->listener, (uint64_t)id);
			if (conn != NULL) {
				put_line(&out, conn, now_us);
			}
		}
	} else {
		reply_error(call->reply, "ERR syntax error");
		goto done;
	}
	reply_verbatim(call->reply, "txt", buf_slice(&out));
done:
	buf_fini(&out);
}

void client_info(struct local_call *call)
{
	struct buf out;
	buf_init(&out, KIB(4));
	put_line(&out, call->conn, env_now_us(call->conn->node->env));
	reply_verbatim(call->reply, "txt", buf_slice(&out));
	buf_fini(&out);
}

/* ---- KILL ---- */

struct kill {
	struct slice addr, laddr;
	uint64_t id;
	bool other_type, skip_me;
};

static bool kill_option(struct kill *kill, struct slice word, struct slice value, struct reply *reply)
{
	int64_t id = 0;
	if (slice_is_word(word, "id")) {
		if (!slice_to_int64(value, &id) || id < 1) {
			reply_error(reply, "ERR client-id should be greater than 0");
			return false;
		}
		kill->id = (uint64_t)id;
	} else if (slice_is_word(word, "type")) {
		if (!is_client_type(value)) {
			reply_error(reply, "ERR Unknown client type '%.*s'", (int)value.len,
				    (const char *)value.data);
			return false;
		}
		kill->other_type = !slice_is_word(value, "normal");
	} else if (slice_is_word(word, "addr")) {
		kill->addr = value;
	} else if (slice_is_word(word, "laddr")) {
		kill->laddr = value;
	} else if (slice_is_word(word, "user")) {
		if (!slice_equal(value, SLICE_LIT("default"))) {
			reply_error(reply, "ERR No such user '%.*s'", (int)value.len,
				    (const char *)value.data);
			return false;
		}
	} else if (slice_is_word(word, "skipme") &&
		   (slice_is_word(value, "yes") || slice_is_word(value, "no"))) {
		kill->skip_me = slice_is_word(value, "yes");
	} else {
		reply_error(reply, "ERR syntax error");
		return false;
	}
	return true;
}

static int64_t kill_matching(struct conn *me, const struct kill *kill)
{
	int64_t killed = 0;
	list_for_each (link, &me->node->listener.conns) {
		struct conn *conn = list_entry(link, struct conn, link);
		if ((kill->addr.data != NULL && !slice_equal(kill->addr, slice_str(conn->peer))) ||
		    (kill->laddr.data != NULL &&
		     !slice_equal(kill->laddr, slice_str(me->node->config.listen))) ||
		    (kill->id != 0 && kill->id != conn->id) || kill->other_type ||
		    (kill->skip_me && conn == me) || conn->state != CONN_OPEN) {
			continue;
		}
		killed++;
		me->node->counters.killed++;
		if (conn == me) {
			conn_leave(conn); /* after its answer */
		} else {
			conn_doom(conn);
		}
	}
	return killed;
}

void client_kill(struct local_call *call)
{
	struct kill kill = {SLICE_NONE, SLICE_NONE, 0, false, true};
	if (call->argc == 3) { /* the old form: one address, me too */
		kill.addr = call->argv[2];
		kill.skip_me = false;
		if (kill_matching(call->conn, &kill) == 0) {
			reply_error(call->reply, "ERR No such client");
			return;
		}
		reply_simple(call->reply, "OK");
		return;
	}
	for (size_t i = 2; i < call->argc; i += 2) {
		if (i + 1 >= call->argc) {
			reply_error(call->reply, "ERR syntax error");
			return;
		}
		if (!kill_option(&kill, call->argv[i], call->argv[i + 1], call->reply)) {
			return;
		}
	}
	reply_integer(call->reply, kill_matching(call->conn, &kill));
}

/* ---- the rest ---- */

void client_reply(struct local_call *call)
{
	struct session *session = &call->conn->session;
	struct slice mode = call->argv[2];
	if (slice_is_word(mode, "on")) {
		session->reply_off = false;
		reply_simple(call->reply, "OK");
	} else if (slice_is_word(mode, "off")) {
		session->reply_off = true;
	} else if (slice_is_word(mode, "skip")) {
		session->skip_next = !session->reply_off;
	} else if (!session->reply_off) {
		reply_error(call->reply, "ERR syntax error");
	}
}

/* ON or OFF; NO-EVICT and NO-TOUCH have no effect: nothing is evicted. */
void client_no_evict(struct local_call *call)
{
	bool on = slice_is_word(call->argv[2], "on");
	if (!on && !slice_is_word(call->argv[2], "off")) {
		reply_error(call->reply, "ERR syntax error");
		return;
	}
	call->conn->session.no_evict = on;
	reply_simple(call->reply, "OK");
}

void client_getredir(struct local_call *call)
{
	reply_integer(call->reply, -1); /* tracking is off */
}

void client_tracking(struct local_call *call)
{
	if (slice_is_word(call->argv[2], "off")) {
		reply_simple(call->reply, "OK");
	} else if (slice_is_word(call->argv[2], "on")) {
		reply_error(call->reply, "ERR client side caching is not served");
	} else {
		reply_error(call->reply, "ERR syntax error");
	}
}

void client_trackinginfo(struct local_call *call)
{
	reply_map(call->reply, 3);
	reply_bulk_text(call->reply, "flags");
	reply_set(call->reply, 1);
	reply_bulk_text(call->reply, "off");
	reply_bulk_text(call->reply, "redirect");
	reply_integer(call->reply, -1);
	reply_bulk_text(call->reply, "prefixes");
	reply_array(call->reply, 0);
}

void client_caching(struct local_call *call)
{
	if (slice_is_word(call->argv[2], "yes") || slice_is_word(call->argv[2], "no")) {
		reply_error(call->reply,
			    "ERR CLIENT CACHING can be called only when the client is in tracking mode with "
			    "OPTIN or OPTOUT mode enabled");
		return;
	}
	reply_error(call->reply, "ERR syntax error");
}

void client_unblock(struct local_call *call)
{
	int64_t id = 0;
	bool how = call->argc == 4 &&
		   (slice_is_word(call->argv[3], "timeout") || slice_is_word(call->argv[3], "error"));
	if (call->argc > 4 || (call->argc == 4 && !how)) {
		reply_error(call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
		return;
	}
	if (local_integer(call->argv[2], &id, call->reply)) {
		reply_integer(call->reply, 0); /* nothing here blocks a client */
	}
}

void client_pause(struct local_call *call)
{
	int64_t ms = 0;
	if (!slice_to_int64(call->argv[2], &ms)) {
		reply_error(call->reply, "ERR timeout is not an integer or out of range");
		return;
	}
	reply_error(call->reply, ms < 0 ? "ERR timeout is negative" : "ERR CLIENT PAUSE is not served");
}

void client_help(struct local_call *call)
{
	static const char *const lines[] = {
		"GETNAME",
		"    Return the name of the current connection.",
		"ID",
		"    Return the ID of the current connection.",
		"INFO",
		"    Return information about the current client connection.",
		"KILL <ip:port>",
		"    Kill connection made from <ip:port>.",
		"KILL <option> <value> [<option> <value> [...]]",
		"    Kill connections by ADDR, LADDR, TYPE, USER, ID; SKIPME (YES|NO) spares this one.",
		"LIST [TYPE <type>] [ID <id> [<id> ...]]",
		"    Return information about client connections.",
		"REPLY (ON|OFF|SKIP)",
		"    Control the replies sent to the current connection.",
		"SETNAME <name>",
		"    Assign the name <name> to the current connection.",
	};
	local_help(call->reply, "CLIENT", lines, sizeof lines / sizeof lines[0]);
}

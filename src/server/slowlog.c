#include "server/slowlog.h"

#include "server/local.h"
#include "server/node_private.h"

#include <stdio.h>
#include <stdlib.h>

/* "... (N more bytes)" and "... (N more arguments)" */
#define NOTE_BYTES 48

void slowlog_init(struct slowlog *slowlog, size_t max)
{
	list_init(&slowlog->entries);
	slowlog->count = 0;
	slowlog->max = max;
	slowlog->next_id = 0;
}

void slowlog_clear(struct slowlog *slowlog)
{
	struct list *link;
	while ((link = list_pop(&slowlog->entries)) != NULL) {
		free(list_entry(link, struct slowlog_entry, link));
	}
	slowlog->count = 0;
}

void slowlog_fini(struct slowlog *slowlog)
{
	slowlog_clear(slowlog);
}

static char *copy_argument(char *at, struct slice *out, struct slice argument)
{
	size_t len = argument.len > SLOWLOG_ARG_BYTES ? SLOWLOG_ARG_BYTES : argument.len;
	char *begin = at;
	if (len > 0) {
		memcpy(at, argument.data, len);
	}
	at += len;
	if (len < argument.len) {
		at += snprintf(at, NOTE_BYTES, "... (%zu more bytes)", argument.len - len);
	}
	*out = slice_of(begin, (size_t)(at - begin));
	return at;
}

void slowlog_add(struct slowlog *slowlog, uint64_t at_s, uint64_t took_us, const struct slice *argv,
		 size_t argc, const char *peer, const char *name)
{
	if (slowlog->max == 0) {
		return;
	}
	size_t kept = argc > SLOWLOG_ARGS ? SLOWLOG_ARGS : argc;
	struct slowlog_entry *entry = calloc(1, sizeof *entry + kept * (SLOWLOG_ARG_BYTES + NOTE_BYTES));
	if (entry == NULL) {
		fatal("out of memory: the slow log");
	}
	char *at = entry->bytes;
	for (size_t i = 0; i < kept; i++) {
		if (argc > kept && i == kept - 1) {
			int len = snprintf(at, NOTE_BYTES, "... (%zu more arguments)", argc - kept + 1);
			entry->argv[i] = slice_of(at, (size_t)len);
		} else {
			at = copy_argument(at, &entry->argv[i], argv[i]);
		}
	}
	entry->argc = kept;
	entry->id = slowlog->next_id++;
	entry->at_s = at_s;
	entry->took_us = took_us;
	snprintf(entry->peer, sizeof entry->peer, "%s", peer);
	snprintf(entry->name, sizeof entry->name, "%s", name);
	list_append(slowlog->entries.next, &entry->link);
	if (++slowlog->count > slowlog->max) {
		struct list *oldest = slowlog->entries.prev;
		list_remove(oldest);
		free(list_entry(oldest, struct slowlog_entry, link));
		slowlog->count--;
	}
}

void slowlog_note(const struct call *call, uint64_t took_us)
{
	struct node *node = call->node;
	const struct request *request = &call->request;
	const struct conn *conn = call->conn;
	const struct node_member *from = conn == NULL ? node_member_find(node, call->from_id) : NULL;
	const struct slice word = request->kind == REQUEST_EXEC ? SLICE_LIT("EXEC") : SLICE_LIT("WATCH");
	bool one = request->kind == REQUEST_ONE;
	slowlog_add(&node->slowlog, env_wall_ms(node->env) / 1000, took_us,
		    one ? request->commands[0].argv : &word, one ? request->commands[0].argc : 1,
		    conn != NULL   ? conn->peer
		    : from != NULL ? from->client
				   : "",
		    conn != NULL ? conn->session.name : "");
}

/* ---- SLOWLOG ---- */

static void put_entry(struct reply *reply, const struct slowlog_entry *entry)
{
	reply_array(reply, 6);
	reply_integer(reply, (int64_t)entry->id);
	reply_integer(reply, (int64_t)entry->at_s);
	reply_integer(reply, (int64_t)entry->took_us);
	reply_array(reply, entry->argc);
	for (size_t i = 0; i < entry->argc; i++) {
		reply_bulk(reply, entry->argv[i]);
	}
	reply_bulk_text(reply, entry->peer);
	reply_bulk_text(reply, entry->name);
}

void slowlog_get(struct local_call *call)
{
	const struct slowlog *slowlog = &call->conn->node->slowlog;
	int64_t wanted = 10;
	if (call->argc > 3) {
		reply_error(
			call->reply,
			"ERR unknown subcommand or wrong number of arguments for '%.*s'. Try SLOWLOG HELP.",
			(int)call->argv[1].len, (const char *)call->argv[1].data);
		return;
	}
	if (call->argc == 3 && (!slice_to_int64(call->argv[2], &wanted) || wanted < -1)) {
		reply_error(call->reply, "ERR count should be greater than or equal to -1");
		return;
	}
	size_t count = wanted < 0 || (size_t)wanted > slowlog->count ? slowlog->count : (size_t)wanted;
	reply_array(call->reply, count);
	list_for_each (link, &slowlog->entries) {
		if (count-- == 0) {
			break;
		}
		put_entry(call->reply, list_entry(link, struct slowlog_entry, link));
	}
}

void slowlog_len(struct local_call *call)
{
	reply_integer(call->reply, (int64_t)call->conn->node->slowlog.count);
}

void slowlog_reset(struct local_call *call)
{
	slowlog_clear(&call->conn->node->slowlog);
	reply_simple(call->reply, "OK");
}

void slowlog_help(struct local_call *call)
{
	static const char *const lines[] = {
		"GET [<count>]",
		"    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
		"    Entries are made of:",
		"    id, timestamp, time in microseconds, arguments array, client IP and port,",
		"    client name",
		"LEN",
		"    Return the length of the slowlog.",
		"RESET",
		"    Reset the slowlog.",
	};
	local_help(call->reply, "SLOWLOG", lines, sizeof lines / sizeof lines[0]);
}

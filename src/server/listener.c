#include "server/listener.h"

#include "server/node_private.h"

#include <assert.h>

/* Over the bound: so many may wait for their one line at once, the others are just closed. */
#define REFUSED_MAX 64
/* Log lines about clients between two ticks: who attacks does not fill the disk with our words. */
#define LINES_MAX 10

void listener_init(struct listener *listener, struct node *node)
{
	memset(listener, 0, sizeof *listener);
	listener->node = node;
	listener->next_id = 1;
	list_init(&listener->conns);
	list_init(&listener->starved);
}

static void listener_accepted(void *owner, struct env_stream *stream)
{
	struct listener *listener = owner;
	struct node *node = listener->node;
	node->counters.connections++;
	if (listener->count >= node->config.max_clients + REFUSED_MAX || node->state != NODE_SERVING) {
		node->counters.refused_connections++;
		env_stream_close(stream);
		return;
	}
	bool over = listener->count >= node->config.max_clients;
	struct conn *conn = conn_new(node, stream, listener->next_id++);
	list_append(&listener->conns, &conn->link);
	listener->count++;
	if (over) {
		node->counters.refused_connections++;
		struct conn_reply answer = conn_reply_begin(conn, false);
		reply_error(&answer.reply, "ERR max number of clients reached");
		conn_reply_end(conn, &answer);
		conn_leave(conn);
	}
}

int listener_start(struct listener *listener, const char *address, struct err *err)
{
	listener->listener = env_listen(listener->node->env, address, listener_accepted, listener, err);
	if (listener->listener == NULL) {
		return err->code;
	}
	listener->port = env_listener_port(listener->listener);
	return 0;
}

void listener_stop(struct listener *listener)
{
	if (listener->listener != NULL) {
		env_listener_close(listener->listener);
		listener->listener = NULL;
	}
}

void listener_leave(struct listener *listener)
{
	for (struct list *link = listener->conns.next, *next; link != &listener->conns; link = next) {
		next = link->next;
		conn_leave(list_entry(link, struct conn, link));
	}
}

void listener_fini(struct listener *listener)
{
	while (!list_empty(&listener->conns)) {
		conn_free(list_entry(listener->conns.next, struct conn, link));
	}
	assert(listener->count == 0);
}

void listener_tick(struct listener *listener, uint64_t now_us)
{
	for (struct list *link = listener->conns.next, *next; link != &listener->conns; link = next) {
		next = link->next;
		conn_tick(list_entry(link, struct conn, link), now_us);
	}
	if (listener->lines_dropped > 0) {
		log_event(listener->node->log, LOG_WARN, "client_lines_dropped", "count=%llu",
			  (unsigned long long)listener->lines_dropped);
	}
	listener->lines = 0;
	listener->lines_dropped = 0;
	listener_feed(listener);
	call_pool_trim(&listener->node->calls);
}

void listener_log(struct listener *listener, enum log_level level, const char *event, const struct conn *conn,
		  const char *reason)
{
	if (listener->lines >= LINES_MAX) {
		listener->lines_dropped++;
		return;
	}
	listener->lines++;
	log_event(listener->node->log, level, event, "id=%llu addr=%s reason=\"%s\"",
		  (unsigned long long)conn->id, conn->peer, reason);
}

struct conn *listener_find(const struct listener *listener, uint64_t id)
{
	list_for_each (link, &listener->conns) {
		struct conn *conn = list_entry(link, struct conn, link);
		if (conn->id == id) {
			return conn;
		}
	}
	return NULL;
}

void listener_feed(struct listener *listener)
{
	while (!list_empty(&listener->starved) && listener->node->calls.taken < LIMIT_NODE_REQUESTS / 2) {
		struct conn *conn = list_entry(list_pop(&listener->starved), struct conn, starved);
		conn_wake(conn);
	}
}

#include "tests/unit/fake_node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/limits.h"
#include "wire/resp.h"

struct fake_conn {
	struct list link;
	struct fake_node *node;
	struct env_stream *stream;
	struct buf input;
	struct resp_request_state state;
	struct list later; /* struct fake_write, in order */
	struct env_timer timer;
	unsigned number; /* among those accepted, from 1 */
	bool owes;       /* an answer, which no status overtakes */
};

struct fake_write {
	struct env_write write;
	struct list link;
	uint64_t at_us;
	char bytes[];
};

static void fake_write_cb(struct env_write *write, int status)
{
	(void)status;
	free(list_entry(write, struct fake_write, write));
}

static void fake_write(struct fake_conn *conn, struct fake_write *message)
{
	struct slice slice = slice_of(message->bytes, strlen(message->bytes));
	env_stream_write(conn->stream, &message->write, &slice, 1);
}

static void fake_later_cb(struct env_timer *timer)
{
	struct fake_conn *conn = list_entry(timer, struct fake_conn, timer);
	while (!list_empty(&conn->later)) {
		struct fake_write *message = list_entry(conn->later.next, struct fake_write, link);
		if (message->at_us > env_now_us(conn->node->env)) {
			env_timer_start_at(timer, message->at_us);
			return;
		}
		list_remove(&message->link);
		fake_write(conn, message);
	}
}

/* Behind what the connection is still owed. */
static void fake_send(struct fake_conn *conn, const char *text)
{
	size_t len = strlen(text);
	struct fake_write *message = calloc(1, sizeof(*message) + len + 1);
	memcpy(message->bytes, text, len + 1);
	message->write.cb = fake_write_cb;
	list_init(&message->link);
	if (conn->node->pace_us == 0) {
		fake_write(conn, message);
		return;
	}
	message->at_us = conn->node->busy_us;
	list_append(&conn->later, &message->link);
	if (!env_timer_armed(&conn->timer)) {
		env_timer_start_at(&conn->timer, message->at_us);
	}
}

/* One more command takes its time behind those before it. */
static void fake_work(struct fake_node *node)
{
	uint64_t now_us = env_now_us(node->env);
	node->busy_us = (node->busy_us > now_us ? node->busy_us : now_us) + node->pace_us;
}

static void fake_status(struct fake_conn *conn)
{
	struct fake_node *node = conn->node;
	char text[2048];
	char *at = text;
	unsigned members = 0;
	for (size_t i = 0; i < 4; i++) {
		members += node->members[i] != NULL;
	}
	at += snprintf(
		at, 1000,
		"%%5\r\n+node\r\n:1\r\n+role\r\n+%s\r\n+term\r\n:%u\r\n+leader_client\r\n$%zu\r\n%s\r\n"
		"+members\r\n*%u\r\n",
		node->role, node->term, strlen(node->leader), node->leader, members);
	for (size_t i = 0; i < 4; i++) {
		if (node->members[i] != NULL) {
			const char *address = node->members[i]->address;
			at += snprintf(at, 200, "%%2\r\n+id\r\n:%zu\r\n+client\r\n$%zu\r\n%s\r\n", i + 1,
				       strlen(address), address);
		}
	}
	fake_send(conn, node->status != NULL ? node->status : text);
}

static void fake_remember(struct fake_node *node, const struct slice *words, size_t count)
{
	size_t at = 0;
	for (size_t i = 0; i < count && at + words[i].len + 2 < sizeof(node->last); i++) {
		memcpy(node->last + at, words[i].data, words[i].len);
		at += words[i].len;
		node->last[at++] = ' ';
	}
	node->last[at > 0 ? at - 1 : 0] = '\0';
}

static void fake_command(struct fake_conn *conn, const struct slice *words, size_t count)
{
	struct fake_node *node = conn->node;
	if (slice_is_word(words[0], "HELLO")) {
		fake_send(conn, node->hello != NULL ? node->hello : "%1\r\n+proto\r\n:3\r\n");
	} else if (slice_is_word(words[0], "TALLY")) {
		node->asked++;
		if (!conn->owes) {
			fake_status(conn);
		}
	} else {
		node->commands++;
		fake_work(node);
		fake_remember(node, words, count);
		const char *reply = node->answer(node, words, count);
		conn->owes = reply == NULL;
		if (reply == FAKE_CLOSE) {
			env_stream_close(conn->stream);
		} else if (reply != NULL) {
			fake_send(conn, reply);
		}
	}
}

static void fake_data_cb(void *owner, struct slice bytes)
{
	struct fake_conn *conn = owner;
	struct arena arena;
	if (conn->node->deaf || conn->number <= conn->node->forgotten) {
		return;
	}
	arena_init(&arena, KIB(4));
	conn->node->reads++;
	buf_append_slice(&conn->input, bytes);
	size_t at = 0;
	for (;;) {
		struct slice *words;
		size_t count;
		size_t used;
		struct slice rest = slice_skip(buf_slice(&conn->input), at);
		int status = resp_request_parse(&conn->state, rest, &arena, &words, &count, &used, NULL);
		if (status != 0) {
			assert(status == ERR_MORE);
			break;
		}
		at += used;
		fake_command(conn, words, count);
	}
	buf_consume(&conn->input, at);
	arena_fini(&arena);
}

static void fake_closed_cb(void *owner, int status)
{
	struct fake_conn *conn = owner;
	(void)status;
	list_remove(&conn->link);
	env_timer_stop(&conn->timer);
	for (struct list *link = list_pop(&conn->later); link != NULL; link = list_pop(&conn->later)) {
		free(list_entry(link, struct fake_write, link));
	}
	buf_fini(&conn->input);
	resp_request_fini(&conn->state);
	free(conn);
}

static const struct env_stream_events fake_events = {.data = fake_data_cb, .closed = fake_closed_cb};

static void fake_accepted(void *owner, struct env_stream *stream)
{
	struct fake_node *node = owner;
	struct fake_conn *conn = calloc(1, sizeof(*conn));
	conn->node = node;
	conn->stream = stream;
	buf_init(&conn->input, MIB(64));
	resp_request_init(&conn->state);
	list_init(&conn->later);
	env_timer_init(node->env, &conn->timer, fake_later_cb);
	list_append(&node->conns, &conn->link);
	conn->number = ++node->accepted;
	env_stream_set(stream, &fake_events, conn);
}

static void fake_listen(struct fake_node *node, const char *address)
{
	struct err err = {0};
	node->listener = env_listen(node->env, address, fake_accepted, node, &err);
	if (node->listener == NULL) {
		fprintf(stderr, "fake node: %s\n", err.text);
		abort();
	}
}

void fake_node_open(struct fake_node *node, struct env *env)
{
	node->env = env;
	node->role = "leader";
	node->term = 1;
	list_init(&node->conns);
	fake_listen(node, "127.0.0.1:0");
	snprintf(node->address, sizeof(node->address), "127.0.0.1:%u", env_listener_port(node->listener));
}

void fake_node_cut(struct fake_node *node)
{
	list_for_each (link, &node->conns) {
		env_stream_close(list_entry(link, struct fake_conn, link)->stream);
	}
}

void fake_node_kill(struct fake_node *node)
{
	if (node->listener != NULL) {
		env_listener_close(node->listener);
		node->listener = NULL;
	}
	fake_node_cut(node);
}

void fake_node_revive(struct fake_node *node)
{
	fake_listen(node, node->address);
}

#include "client/tool/flood.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "client/details.h"
#include "wire/resp.h"

#define OUT_BYTES KIB(256)
#define IN_BYTES MIB(4)

/* ---- sending ---- */

static void connection_send(struct flood_connection *connection);

static void connection_written(struct env_write *write, int status)
{
	struct flood_connection *connection = list_entry(write, struct flood_connection, write);
	connection->writing = false;
	buf_reset(&connection->sending);
	if (status == 0) {
		connection_send(connection);
	}
}

static void connection_send(struct flood_connection *connection)
{
	if (connection->writing || connection->stream == NULL || connection->out.len == 0) {
		return;
	}
	struct buf swap = connection->sending;
	connection->sending = connection->out;
	connection->out = swap;
	connection->writing = true;
	connection->write.cb = connection_written;
	struct slice bytes = buf_slice(&connection->sending);
	env_stream_write(connection->stream, &connection->write, &bytes, 1);
}

static bool flood_ask(struct openloop *loop, uint64_t seq, uint64_t now_us)
{
	struct flood *flood = list_entry(loop, struct flood, loop);
	struct flood_connection *connection = &flood->connections[flood->next++ / FLOOD_RUN % flood->count];
	if (!connection->opened || connection->sent - connection->answered == FLOOD_UNANSWERED ||
	    connection->out.len > OUT_BYTES / 2) {
		return false;
	}
	flood->make(loop->owner, seq, &connection->out);
	assert(!buf_failed(&connection->out));
	connection->sent_us[connection->sent++ % FLOOD_UNANSWERED] = now_us;
	return true;
}

static void flood_asked(struct openloop *loop)
{
	struct flood *flood = list_entry(loop, struct flood, loop);
	for (size_t i = 0; i < flood->count; i++) {
		connection_send(&flood->connections[i]);
	}
}

/* ---- answers ---- */

static enum openloop_answer answer_of(struct slice reply)
{
	struct slice code;
	if (reply.data[0] != '-') {
		return OPENLOOP_DONE;
	}
	/* Without the '-' and the line's end. */
	enum outcome outcome = details_outcome(slice_of(reply.data + 1, reply.len - 3), &code);
	return outcome == OUTCOME_RETRY ? OPENLOOP_RETRY : OPENLOOP_OTHER;
}

static void connection_data(void *owner, struct slice bytes)
{
	struct flood_connection *connection = owner;
	struct flood *flood = connection->flood;
	uint64_t now_us = env_now_us(flood->loop.env);
	buf_append_slice(&connection->in, bytes);
	struct slice rest = buf_slice(&connection->in);
	size_t used;
	while (rest.len > 0 && resp_reply_measure(rest, IN_BYTES, &used) == 0) {
		if (connection->answered == connection->sent) {
			fatal("an answer to a request that was not sent");
		}
		uint64_t sent_us = connection->sent_us[connection->answered++ % FLOOD_UNANSWERED];
		flood->loop.answered(flood->loop.owner, answer_of(slice_of(rest.data, used)),
				     now_us - sent_us);
		rest = slice_of(rest.data + used, rest.len - used);
	}
	buf_consume(&connection->in, connection->in.len - rest.len);
}

/* ---- opening and closing ---- */

static void connection_opened(void *owner, int status)
{
	struct flood_connection *connection = owner;
	connection->opened = status == 0;
}

static void connection_closed(void *owner, int status)
{
	struct flood_connection *connection = owner;
	connection->flood->broken += status != ERR_CANCELLED;
	connection->flood->open--;
	connection->stream = NULL;
	connection->opened = false;
}

void flood_open(struct flood *flood, const char *address, size_t connections)
{
	static const struct env_stream_events events = {
		.opened = connection_opened, .data = connection_data, .closed = connection_closed};
	flood->connections = calloc(connections, sizeof(*flood->connections));
	if (flood->connections == NULL) {
		fatal("out of memory for %zu connections", connections);
	}
	flood->count = flood->open = connections;
	for (size_t i = 0; i < connections; i++) {
		struct flood_connection *connection = &flood->connections[i];
		connection->flood = flood;
		buf_init(&connection->in, IN_BYTES);
		buf_init(&connection->out, OUT_BYTES);
		buf_init(&connection->sending, OUT_BYTES);
		connection->stream = env_connect(flood->loop.env, address, &events, connection);
	}
	flood->loop.ask = flood_ask;
	flood->loop.asked = flood_asked;
	openloop_start(&flood->loop);
}

bool flood_is_open(void *owner)
{
	struct flood *flood = owner;
	size_t opened = 0;
	for (size_t i = 0; i < flood->count; i++) {
		opened += flood->connections[i].opened;
	}
	return opened == flood->open;
}

void flood_close(struct flood *flood)
{
	openloop_stop(&flood->loop);
	for (size_t i = 0; i < flood->count; i++) {
		if (flood->connections[i].stream != NULL) {
			env_stream_close(flood->connections[i].stream);
		}
	}
}

bool flood_is_closed(void *owner)
{
	return ((struct flood *)owner)->open == 0;
}

void flood_fini(struct flood *flood)
{
	assert(flood->open == 0);
	for (size_t i = 0; i < flood->count; i++) {
		buf_fini(&flood->connections[i].in);
		buf_fini(&flood->connections[i].out);
		buf_fini(&flood->connections[i].sending);
	}
	free(flood->connections);
}

#include "client/channel.h"

#include <assert.h>
#include <stdlib.h>

#include "client/call.h"
#include "client/request.h"

static const char hello_text[] = "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n";
static const char status_text[] = "*2\r\n$5\r\nTALLY\r\n$6\r\nSTATUS\r\n";
static const char meta_text[] = "*3\r\n$5\r\nTALLY\r\n$4\r\nMETA\r\n$2\r\nON\r\n";

#define SLOTS_FIRST 16
#define WINDOW_FIRST 32

/* ---- what waits for an answer ---- */

static void channel_slots_grow(struct channel *channel)
{
	uint64_t cap = channel->slot_cap == 0 ? SLOTS_FIRST : channel->slot_cap * 2;
	struct channel_slot *slots = malloc(cap * sizeof(*slots));
	if (slots == NULL) {
		fatal("out of memory for %llu requests under way", (unsigned long long)cap);
	}
	for (uint64_t seq = channel->first; seq < channel->next; seq++) {
		slots[seq & (cap - 1)] = channel->slots[seq & (channel->slot_cap - 1)];
	}
	free(channel->slots);
	channel->slots = slots;
	channel->slot_cap = cap;
}

static struct channel_slot *channel_slot(const struct channel *channel, uint64_t seq)
{
	assert(seq >= channel->first);
	assert(seq < channel->next);
	return &channel->slots[seq & (channel->slot_cap - 1)];
}

static uint64_t channel_await(struct channel *channel, enum channel_turn turn, struct call *call,
			      uint64_t now_us)
{
	if (channel_waiting(channel) == channel->slot_cap) {
		channel_slots_grow(channel);
	}
	if (channel_waiting(channel) == 0) {
		channel->quiet_since_us = now_us;
	}
	uint64_t seq = channel->next++;
	*channel_slot(channel, seq) = (struct channel_slot){.call = call, .sent_us = now_us, .turn = turn};
	return seq;
}

void channel_forget(struct channel *channel, uint64_t seq)
{
	struct channel_slot *slot = channel_slot(channel, seq);
	assert(slot->call != NULL);
	slot->call = NULL;
}

bool channel_has_calls(const struct channel *channel)
{
	for (uint64_t seq = channel->first; seq < channel->next; seq++) {
		if (channel_slot(channel, seq)->call != NULL) {
			return true;
		}
	}
	return false;
}

/* ---- sending ---- */

bool channel_has_room(const struct channel *channel)
{
	return channel->state == CHANNEL_READY && !channel->retiring &&
	       channel_waiting(channel) < channel->window &&
	       channel->output[channel->filling].len < CLIENT_OUTPUT_MAX;
}

void channel_send(struct channel *channel, struct call *call, uint64_t now_us)
{
	assert(channel->state == CHANNEL_READY);
	request_write(call, now_us, &channel->output[channel->filling]);
	uint64_t seq = channel_await(channel, CHANNEL_CALL, call, now_us);
	call_sent(call, channel, seq);
}

void channel_ask(struct channel *channel)
{
	assert(channel->state == CHANNEL_READY);
	channel->asked = true;
	buf_append(&channel->output[channel->filling], status_text, sizeof(status_text) - 1);
	channel_await(channel, CHANNEL_STATUS, NULL, env_now_us(channel->tally->env));
}

static void channel_write_cb(struct env_write *write, int status)
{
	struct channel *channel = list_entry(write, struct channel, write);
	channel->writing = false;
	buf_reset(&channel->output[1 - channel->filling]);
	if (status == 0 && channel->state == CHANNEL_READY) {
		channel_flush(channel);
		client_wake(channel->tally);
	}
}

void channel_flush(struct channel *channel)
{
	struct buf *output = &channel->output[channel->filling];
	if (channel->state != CHANNEL_READY || channel->writing || output->len == 0) {
		return;
	}
	channel->writing = true;
	channel->filling = 1 - channel->filling;
	channel->write.cb = channel_write_cb;
	struct slice bytes = buf_slice(output);
	env_stream_write(channel->stream, &channel->write, &bytes, 1);
}

/* ---- answers ---- */

static void channel_answer(struct channel *channel, struct slice attribute, struct slice reply,
			   uint64_t now_us)
{
	struct channel_slot slot = *channel_slot(channel, channel->first);
	channel->first++;
	switch (slot.turn) {
	case CHANNEL_HELLO:
		/* Too many connections, a password: not a node that can serve us now. */
		if (reply.data[0] == '-') {
			channel_close(channel);
		}
		return;
	case CHANNEL_META:
		return; /* a server that does not know it tells less */
	case CHANNEL_STATUS:
		channel->asked = false;
		if (!channel->retiring) {
			compass_told(&channel->tally->compass, channel->node, reply);
		}
		return;
	case CHANNEL_CALL:
		channel->window += channel->window < channel->tally->pipeline_max;
		pace_answered(&channel->tally->pace, now_us - slot.sent_us);
		compass_heard(&channel->tally->compass, channel->node, now_us, now_us - slot.sent_us);
		if (slot.call != NULL) {
			call_answered(slot.call, attribute, reply);
		}
		return;
	}
}

/* One reply with the attribute in front of it, if there is one. An attribute is
 * written like a map ("|" for "%"), which is all the parser has to know. */
static int channel_measure(struct slice input, struct slice *attribute, struct slice *reply)
{
	size_t used;
	*attribute = SLICE_NONE;
	if (input.len > 0 && input.data[0] == '|') {
		((uint8_t *)input.data)[0] = '%';
		int status = resp_reply_measure(input, CLIENT_REPLY_MAX, &used);
		if (status != 0) {
			((uint8_t *)input.data)[0] = '|';
			return status;
		}
		*attribute = slice_of(input.data, used);
		input = slice_skip(input, used);
	}
	int status = resp_reply_measure(input, CLIENT_REPLY_MAX, &used);
	if (status != 0) {
		if (attribute->len > 0) {
			((uint8_t *)attribute->data)[0] = '|';
		}
		return status;
	}
	*reply = slice_of(input.data, used);
	return 0;
}

static void channel_data_cb(void *owner, struct slice bytes)
{
	struct channel *channel = owner;
	if (channel->state != CHANNEL_READY) {
		return;
	}
	buf_append_slice(&channel->input, bytes);
	if (buf_failed(&channel->input)) {
		channel_close(channel);
		return;
	}
	size_t at = 0;
	uint64_t now_us = env_now_us(channel->tally->env);
	while (channel->state == CHANNEL_READY && at < channel->input.len) {
		struct slice attribute;
		struct slice reply;
		struct slice rest = slice_skip(buf_slice(&channel->input), at);
		int status = channel_measure(rest, &attribute, &reply);
		if (status == ERR_MORE) {
			break;
		}
		bool push = status == 0 && reply.data[0] == '>';
		if (status != 0 || (channel_waiting(channel) == 0 && !push)) {
			/* Not RESP, or an answer to nothing: no place in the order can be trusted. */
			channel_close(channel);
			return;
		}
		at += attribute.len + reply.len;
		if (!push) {
			channel_answer(channel, attribute, reply, now_us);
		}
	}
	if (at > 0) {
		channel->quiet_since_us = now_us;
		client_wake(channel->tally);
	}
	buf_consume(&channel->input, at);
	if (channel->retiring && channel_waiting(channel) == 0) {
		channel_close(channel);
	}
}

/* ---- opening and closing ---- */

static void channel_opened_cb(void *owner, int status)
{
	struct channel *channel = owner;
	if (status != 0 || channel->state == CHANNEL_CLOSING) {
		return; /* closed follows */
	}
	uint64_t now_us = env_now_us(channel->tally->env);
	channel->state = CHANNEL_READY;
	buf_append(&channel->output[channel->filling], hello_text, sizeof(hello_text) - 1);
	channel_await(channel, CHANNEL_HELLO, NULL, now_us);
	if (channel->tally->meta) {
		buf_append(&channel->output[channel->filling], meta_text, sizeof(meta_text) - 1);
		channel_await(channel, CHANNEL_META, NULL, now_us);
	}
	client_wake(channel->tally);
}

static void channel_closed_cb(void *owner, int status)
{
	struct channel *channel = owner;
	struct tally *tally = channel->tally;
	const struct probe *node = channel->node;
	bool serving = !channel->retiring;
	list_remove(&channel->link);
	tally->channel_count--;
	while (channel->first < channel->next) {
		struct channel_slot slot = *channel_slot(channel, channel->first);
		channel->first++;
		if (slot.call != NULL) {
			call_lost(slot.call);
		}
	}
	channel_free(channel);
	if (serving && !tally->closing) {
		tally->stats.reconnects++;
		compass_lost(&tally->compass, node);
	}
	client_wake(tally);
	client_stream_gone(tally);
}

static const struct env_stream_events channel_events = {
	.opened = channel_opened_cb,
	.data = channel_data_cb,
	.closed = channel_closed_cb,
};

void channel_open(struct tally *tally, struct probe *node)
{
	struct channel *channel = calloc(1, sizeof(*channel));
	if (channel == NULL) {
		fatal("out of memory for a connection");
	}
	channel->tally = tally;
	channel->node = node;
	channel->state = CHANNEL_OPENING;
	channel->quiet_since_us = env_now_us(tally->env);
	channel->window = tally->pipeline_max < WINDOW_FIRST ? tally->pipeline_max : WINDOW_FIRST;
	buf_init(&channel->input, 2 * CLIENT_REPLY_MAX);
	buf_init(&channel->output[0], 2 * CLIENT_REPLY_MAX);
	buf_init(&channel->output[1], 2 * CLIENT_REPLY_MAX);
	list_append(&tally->channels, &channel->link);
	tally->channel_count++;
	channel->stream = env_connect(tally->env, node->address, &channel_events, channel);
}

void channel_close(struct channel *channel)
{
	if (channel->state == CHANNEL_CLOSING) {
		return;
	}
	channel->state = CHANNEL_CLOSING;
	env_stream_close(channel->stream);
}

void channel_retire(struct channel *channel)
{
	channel->retiring = true;
	if (channel->state == CHANNEL_OPENING || channel_waiting(channel) == 0) {
		channel_close(channel);
	}
}

void channel_free(struct channel *channel)
{
	buf_fini(&channel->input);
	buf_fini(&channel->output[0]);
	buf_fini(&channel->output[1]);
	free(channel->slots);
	free(channel);
}

#include "raft/peer/link.h"

#include <assert.h>
#include <stdio.h>

#include "base/limits.h"
#include "raft/peer/link_private.h"

/* Whoever has not said who it is shall not fill our memory. */
static void await_hello(struct link *link)
{
	frame_reader_init(&link->reader);
	link->reader.body_max = LIMIT_HELLO;
}

static void timer_cb(struct env_timer *timer);

static void init(struct link *link, struct env *env, const struct link_events *events, void *owner,
		 const struct hello *hello, uint64_t *stamp_ms)
{
	memset(link, 0, sizeof(*link));
	link->env = env;
	link->events = events;
	link->owner = owner;
	link->hello = *hello;
	link->stamp_ms = stamp_ms;
	list_init(&link->siblings);
	link_batches_init(link);
	await_hello(link);
	env_timer_init(env, &link->timer, timer_cb);
}

void link_fini(struct link *link)
{
	env_timer_stop(&link->timer);
	link_batches_fini(link);
	frame_reader_fini(&link->reader);
}

static void send_hello(struct link *link)
{
	assert(link->state == LINK_GREETING);
	hello_encode(link_out(link), &link->hello, *link->stamp_ms);
	link_out_done(link);
	link_flush(link);
}

static void become_ready(struct link *link)
{
	assert(link->state == LINK_GREETING);
	link->state = LINK_READY;
	link->reader.body_max = LIMIT_FRAME;
	link->failures = 0;
	link->sign_us = env_now_us(link->env);
	link->asked_us = 0;
	link->came = 0;
	env_timer_stop(&link->timer);
	link->events->ready(link);
}

void link_welcome(struct link *link)
{
	assert(!link->dialed);
	assert(link->state == LINK_GREETING);
	link->waiting = false;
	link->hello.seen = link->peer_life;
	send_hello(link);
	become_ready(link);
}

static void act(struct link *link, enum link_verdict verdict)
{
	switch (verdict) {
	case LINK_REFUSED:
		link->dial_status = 0;
		link_drop(link);
		return;
	case LINK_ASKS:
		send_hello(link);
		return;
	case LINK_WAITS:
		assert(!link->dialed);
		link->waiting = true;
		return;
	case LINK_WELCOME:
		if (link->dialed) {
			become_ready(link);
		} else {
			link_welcome(link);
		}
		return;
	}
}

static void take_hello(struct link *link, const struct frame *frame)
{
	struct hello hello;
	assert(link->state == LINK_GREETING);
	int status = frame->type == FRAME_HELLO && !link->waiting ? hello_decode(frame->body, &hello)
								  : ERR_INVALID;
	if (status != 0) {
		link->events->bad_frame(link, status);
		link_drop(link);
		return;
	}
	if (!link->dialed) {
		link->peer_id = link->hello.to_id = hello.from_id;
		link->hello.kind = hello.kind;
	}
	link->peer_life = hello.life;
	act(link, link->events->greeted(link, &hello));
}

/* What is long takes its time, as long as it comes. */
static void much_came(struct link *link)
{
	uint8_t type = frame_reader_coming(&link->reader);
	link->came = 0;
	if (link->dialed) {
		link->asked_us = 0;
		return;
	}
	if (env_now_us(link->env) - link->sign_us >= LINK_PING_MS * 1000) {
		link_pong(link);
	}
	if (type != 0) {
		link->events->coming(link, type);
	}
}

/* What came is no frame. A member's first bytes are a checksum: one that begins as a client's command, and is damaged
 * behind that, is told what it does not understand, and closed as ever. */
static void tell_stranger(struct link *link, int status)
{
	if (link->commands && link->state == LINK_GREETING && !link->waiting) {
		buf_append_text(link_out(link), "-ERR this is the port between nodes: clients use the port of the setting "
						"listen, 7401 unless set\r\n");
		link_flush(link);
	}
	link->events->bad_frame(link, status);
	link_drop(link);
}

static void data_cb(void *owner, struct slice bytes)
{
	struct link *link = owner;
	struct frame frame;
	int status = 0;
	if (link->came == 0 && link->state == LINK_GREETING && !link->dialed && bytes.len > 0) {
		link->commands = bytes.data[0] == '*';
	}
	link->came += bytes.len;
	while ((link->state == LINK_GREETING || link->state == LINK_READY) &&
	       (status = frame_reader_next(&link->reader, &bytes, &frame)) == 0) {
		if (link->state == LINK_GREETING) {
			take_hello(link, &frame);
		} else if (frame.type == FRAME_PING) {
			link_pong(link);
		} else {
			link->asked_us = frame.type == FRAME_PONG ? 0 : link->asked_us;
			link->events->frame(link, &frame);
		}
	}
	if (status != 0 && status != ERR_MORE) {
		tell_stranger(link, status);
	} else if (link->state == LINK_READY && link->came >= LINK_LEAST) {
		much_came(link);
	}
}

static uint64_t backoff_ms(struct link *link)
{
	if (link->failures == 0) {
		return 0;
	}
	unsigned doublings = link->failures - 1 < 10 ? link->failures - 1 : 10;
	uint64_t ms = (uint64_t)LINK_BACKOFF_FIRST_MS << doublings;
	ms = ms < LINK_BACKOFF_MAX_MS ? ms : LINK_BACKOFF_MAX_MS;
	uint64_t jitter = 0;
	env_random(link->env, &jitter, sizeof(jitter));
	return ms / 2 + jitter % (ms / 2 + 1);
}

static void closed_cb(void *owner, int status)
{
	struct link *link = owner;
	assert(link->stream != NULL);
	bool was_ready = link->state == LINK_READY || link->was_ready;
	link->dial_status = link->state == LINK_GREETING ? 0 : link->dial_status;
	link->was_ready = link->waiting = false;
	link->hello.seen = (struct life){0, 0};
	link->stream = NULL;
	link_forget_unsent(link);
	frame_reader_fini(&link->reader);
	await_hello(link);
	env_timer_stop(&link->timer);
	link->state = LINK_CLOSED;
	if (link->dialed && !link->closing) {
		link->state = LINK_WAITING;
		env_timer_start(&link->timer, backoff_ms(link));
		link->failures++;
	}
	link->events->ended(link, was_ready);
}

static void opened_cb(void *owner, int status)
{
	struct link *link = owner;
	if (link->state != LINK_CONNECTING) {
		return; /* given up meanwhile: closed follows */
	}
	link->dial_status = status != 0 ? status : ERR_TIMEOUT;
	if (status != 0) {
		/* Of a name that leads nowhere, or without a descriptor, nobody was asked. */
		if (status == ERR_CLOSED) {
			link->events->refused(link);
		}
		return;
	}
	link->state = LINK_GREETING;
	env_timer_start(&link->timer, LINK_GREETING_MS);
	send_hello(link);
}

static const struct env_stream_events stream_events = {
	.opened = opened_cb,
	.data = data_cb,
	.closed = closed_cb,
};

void link_init_dialed(struct link *link, struct env *env, const struct link_events *events, void *owner,
		      const char *address, const struct hello *hello, uint64_t *stamp_ms)
{
	init(link, env, events, owner, hello, stamp_ms);
	assert(hello->to_id != 0);
	assert(hello->to_id != hello->from_id);
	link->dialed = true;
	link->peer_id = hello->to_id;
	link->state = LINK_WAITING;
	snprintf(link->address, sizeof(link->address), "%s", address);
}

void link_init_accepted(struct link *link, struct env *env, const struct link_events *events, void *owner,
			struct env_stream *stream, const struct hello *hello, uint64_t *stamp_ms)
{
	init(link, env, events, owner, hello, stamp_ms);
	assert(stream != NULL);
	link->state = LINK_GREETING;
	link->stream = stream;
	env_stream_set(stream, &stream_events, link);
	env_timer_start(&link->timer, LINK_GREETING_MS);
}

void link_dial(struct link *link)
{
	assert(link->dialed);
	if (link->state != LINK_WAITING || link->closing) {
		return;
	}
	assert(link->stream == NULL);
	link->state = LINK_CONNECTING;
	env_timer_start(&link->timer, LINK_CONNECT_MS);
	link->stream = env_connect(link->env, link->address, &stream_events, link);
}

static void timer_cb(struct env_timer *timer)
{
	struct link *link = list_entry(timer, struct link, timer);
	if (link->state == LINK_WAITING) {
		link_dial(link);
	} else if (link->state == LINK_CONNECTING || link->state == LINK_GREETING) {
		link->dial_status = ERR_TIMEOUT;
		link_drop(link);
	}
}

void link_drop(struct link *link)
{
	if (link->stream == NULL) {
		env_timer_stop(&link->timer);
		return;
	}
	if (link->state == LINK_CLOSING) {
		return;
	}
	env_timer_stop(&link->timer);
	link->was_ready = link->state == LINK_READY;
	link->state = LINK_CLOSING;
	link_forget_unsent(link);
	env_stream_close(link->stream);
}

/* Streams of the libuv body: our own non-blocking sockets, watched by uv_poll.
 *
 *   RESOLVING ──▶ CONNECTING ──▶ OPEN ──▶ ENDED ──▶ CLOSING ──▶ GONE ──▶ freed
 *       │              │           │      (peer's end; writes      ▲
 *       │              │           │       go out first)           │
 *       └──────────────┴───────────┴───────────────────────────────┘
 *
 * What is up to OPEN is in uv_dial.c, with sockets of its own; the one that connected is ours. Writing, reading
 * and closing are here. A write
 * goes to the kernel at once with one sendmsg; what the kernel does not take waits for the socket. Either way
 * its callback is put on a list that the turn's end works through. CLOSING waits for libuv to let go of the
 * handle; GONE is on the list of closed events. Sends never raise SIGPIPE: the process may not be ours. */
#include "env/uv_stream.h"

#include "base/limits.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_ROUNDS 4 /* full buffers read from one stream before others get their turn */
#define WRITE_FEW 10 /* slices that fit the request itself */

/* What env_write.impl holds. */
struct uv_write_state {
	struct iovec *slices; /* few, or the heap's */
	uint32_t count, at;
	int status;
	struct iovec few[WRITE_FEW];
};
_Static_assert(sizeof(struct uv_write_state) <= sizeof(((struct env_write *)0)->impl), "a write fits its request");

static void poll_cb(uv_poll_t *poll, int status, int events);

static struct uv_stream *stream_of(const struct env_stream *stream) { return (struct uv_stream *)stream; }
static struct uv_write_state *write_state(struct env_write *write) { return (struct uv_write_state *)write->impl; }

struct uv_stream *uv_stream_new(struct uv_env *e, int fd)
{
	struct uv_stream *s = calloc(1, sizeof(*s));
	if (s == NULL) {
		fatal("out of memory for a connection");
	}
	s->stream.env = &e->env;
	s->e = e;
	s->fd = fd;
	list_init(&s->queue);
	list_init(&s->dials);
	list_init(&s->name_link);
	env_timer_init(&e->env, &s->dial_timer, uv_dial_timer_cb);
	list_append(&e->streams, &s->link);
	return s;
}

/* ---- writing ---- */

static void write_finish(struct uv_stream *s, struct env_write *write, int status)
{
	struct uv_write_state *state = write_state(write);
	if (state->slices != state->few) {
		free(state->slices);
		state->slices = state->few;
	}
	state->status = status;
	list_append(&s->e->written, &write->link);
}

static void fail_queue(struct uv_stream *s, int status)
{
	struct list *link;
	while ((link = list_pop(&s->queue)) != NULL) {
		write_finish(s, list_entry(link, struct env_write, link), status);
	}
	s->unsent = 0;
}

/* ---- closing ---- */

static void stream_gone(struct uv_stream *s)
{
	s->state = STREAM_GONE;
	list_remove(&s->link);
	if (s->events == NULL) {
		free(s);
		return;
	}
	list_append(&s->e->gone, &s->link);
}

static void poll_closed_cb(uv_handle_t *handle)
{
	struct uv_stream *s = list_entry((uv_poll_t *)handle, struct uv_stream, poll);
	struct uv_env *e = s->e;
	assert(s->state == STREAM_CLOSING);
	s->unpolling = false;
	stream_gone(s);
	uv_env_uncount(e);
}

/* Gives it back, first to libuv and then to the kernel. */
static void drop_socket(struct uv_stream *s)
{
	if (s->polled) {
		s->polled = false;
		s->unpolling = true;
		s->watched = 0;
		uv_close((uv_handle_t *)&s->poll, poll_closed_cb);
	}
	if (s->fd >= 0) {
		close(s->fd);
		s->fd = -1;
	}
}

/* With unread input in the socket, close() would reset the connection and take our last answer with it. */
static void drop_input(struct uv_stream *s)
{
	for (int i = 0; i < READ_ROUNDS; i++) {
		if (recv(s->fd, s->e->read_buffer, UV_BODY_READ_BYTES, MSG_DONTWAIT) < UV_BODY_READ_BYTES) {
			return;
		}
	}
}

void uv_stream_shut(struct uv_stream *s, int status)
{
	assert(s->state < STREAM_CLOSING);
	s->opening = s->state < STREAM_OPEN && status != ERR_CANCELLED;
	s->state = STREAM_CLOSING;
	s->status = status;
	fail_queue(s, status == ERR_CANCELLED ? ERR_CANCELLED : ERR_CLOSED);
	uv_dial_forget(s);
	if (s->fd >= 0) {
		drop_input(s);
	}
	drop_socket(s);
	if (!s->unpolling) {
		stream_gone(s);
	}
}

/* ---- watching the socket ---- */

void uv_stream_watch(struct uv_stream *s)
{
	int want = 0;
	assert(s->polled);
	if (!list_empty(&s->queue)) {
		want |= UV_WRITABLE;
	}
	if (s->state == STREAM_OPEN && !s->paused) {
		want |= UV_READABLE;
	}
	if (want == s->watched) {
		return;
	}
	s->watched = want;
	if (want == 0) {
		uv_poll_stop(&s->poll);
	} else {
		uv_poll_start(&s->poll, want, poll_cb);
	}
}

static void set_option(const struct uv_stream *s, int level, int option, int value)
{
	(void)setsockopt(s->fd, level, option, &value, sizeof(value));
}

int uv_stream_poll(struct uv_stream *s)
{
	set_option(s, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(s, IPPROTO_TCP, TCP_KEEPIDLE, LIMIT_SILENT_S);
	set_option(s, IPPROTO_TCP, TCP_KEEPINTVL, LIMIT_SILENT_AGAIN_S);
	set_option(s, IPPROTO_TCP, TCP_KEEPCNT, LIMIT_SILENT_ASKS);
	set_option(s, SOL_SOCKET, SO_KEEPALIVE, 1);
	int status = uv_poll_init(s->e->loop, &s->poll, s->fd);
	if (status != 0) {
		return ERR_IO;
	}
	s->polled = true;
	uv_env_count(s->e);
	return 0;
}

/* The peer's end: what is queued goes out first, or the owner says when it is over. Broken: a reset or a failed send. */
static void stream_ended(struct uv_stream *s, bool broken)
{
	bool asks = !broken && s->events->ended != NULL;
	if (broken || (!asks && list_empty(&s->queue))) {
		uv_stream_shut(s, ERR_CLOSED);
		return;
	}
	s->state = STREAM_ENDED;
	uv_stream_watch(s);
	if (asks) {
		s->events->ended(s->owner);
	}
}

static void stream_read(struct uv_stream *s)
{
	for (int round = 0; round < READ_ROUNDS; round++) {
		ssize_t n = recv(s->fd, s->e->read_buffer, UV_BODY_READ_BYTES, 0);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
			return;
		}
		if (n <= 0) {
			stream_ended(s, n < 0);
			return;
		}
		s->events->data(s->owner, slice_of(s->e->read_buffer, (size_t)n));
		if (s->state != STREAM_OPEN || s->paused || n < UV_BODY_READ_BYTES) {
			return;
		}
	}
}

static void advance(struct uv_stream *s, size_t sent)
{
	s->unsent -= sent;
	while (!list_empty(&s->queue)) {
		struct env_write *write = list_entry(s->queue.next, struct env_write, link);
		struct uv_write_state *state = write_state(write);
		while (state->at < state->count && state->slices[state->at].iov_len <= sent) {
			sent -= state->slices[state->at++].iov_len;
		}
		if (state->at < state->count) {
			struct iovec *part = &state->slices[state->at];
			part->iov_base = (uint8_t *)part->iov_base + sent;
			part->iov_len -= sent;
			return;
		}
		list_remove(&write->link);
		write_finish(s, write, 0);
	}
}

static void stream_send(struct uv_stream *s)
{
	struct iovec parts[ENV_WRITE_SLICES_MAX];
	size_t count = 0;
	list_for_each(link, &s->queue)
	{
		struct uv_write_state *state = write_state(list_entry(link, struct env_write, link));
		for (uint32_t i = state->at; i < state->count && count < ENV_WRITE_SLICES_MAX; i++) {
			parts[count++] = state->slices[i];
		}
	}
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
	ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
			stream_ended(s, true);
		}
		return;
	}
	advance(s, (size_t)n);
	if (s->state == STREAM_ENDED && list_empty(&s->queue) && s->events->ended == NULL) {
		uv_stream_shut(s, ERR_CLOSED);
		return;
	}
	uv_stream_watch(s);
}

static void poll_cb(uv_poll_t *poll, int status, int events)
{
	struct uv_stream *s = list_entry(poll, struct uv_stream, poll);
	if (status != 0) {
		s->watched = 0; /* libuv stopped it: an error is pending on the socket, and reading or writing tells which */
		events = UV_READABLE | UV_WRITABLE;
	}
	if ((events & UV_READABLE) != 0 && s->state == STREAM_OPEN && !s->paused) {
		stream_read(s);
	}
	if ((events & UV_WRITABLE) != 0 && s->state < STREAM_CLOSING && !list_empty(&s->queue)) {
		stream_send(s);
	}
	if (status != 0 && s->state < STREAM_CLOSING) {
		stream_ended(s, true);
	}
}

struct env_stream *uv_stream_accept(struct uv_env *e, int fd, const struct sockaddr *peer)
{
	struct uv_stream *s = uv_stream_new(e, fd);
	char host[INET6_ADDRSTRLEN] = "?";
	if (peer->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)peer;
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(s->peer, sizeof(s->peer), "%s:%u", host, ntohs(v4->sin_port));
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(s->peer, sizeof(s->peer), "[%s]:%u", host, ntohs(v6->sin6_port));
	}
	s->state = STREAM_OPEN;
	if (uv_stream_poll(s) != 0) {
		uv_stream_shut(s, ERR_IO); /* without events: frees it */
		return NULL;
	}
	uv_stream_watch(s);
	return &s->stream;
}

bool uv_stream_claimed(const struct env_stream *stream)
{
	return stream_of(stream)->events != NULL || stream_of(stream)->state >= STREAM_CLOSING;
}

/* ---- the door ---- */

void uv_stream_set(struct env_stream *stream, const struct env_stream_events *events, void *owner)
{
	struct uv_stream *s = stream_of(stream);
	s->events = events;
	s->owner = owner;
}

void uv_stream_write(struct env_stream *stream, struct env_write *write, const struct slice *slices, size_t count)
{
	struct uv_stream *s = stream_of(stream);
	struct uv_write_state *state = write_state(write);
	list_init(&write->link);
	write->stream = stream;
	state->slices = state->few;
	if (s->state >= STREAM_CLOSING) {
		write_finish(s, write, s->status == ERR_CANCELLED ? ERR_CANCELLED : ERR_CLOSED);
		return;
	}
	struct iovec parts[ENV_WRITE_SLICES_MAX];
	size_t total = 0;
	for (size_t i = 0; i < count; i++) {
		parts[i] = (struct iovec){(void *)(uintptr_t)slices[i].data, slices[i].len};
		total += slices[i].len;
	}
	size_t sent = 0;
	if (list_empty(&s->queue) && (s->state == STREAM_OPEN || s->state == STREAM_ENDED)) {
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
		ssize_t n = sendmsg(s->fd, &message, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
			write_finish(s, write, ERR_CLOSED);
			/* What the peer sent before it went away is still read; when nobody reads, this is the end. */
			if (s->paused || s->state == STREAM_ENDED) {
				stream_ended(s, true);
			}
			return;
		}
		sent = n < 0 ? 0 : (size_t)n;
		if (sent == total) {
			write_finish(s, write, 0);
			return;
		}
	}
	if (count > WRITE_FEW) {
		state->slices = malloc(count * sizeof(*state->slices));
		if (state->slices == NULL) {
			fatal("out of memory for a write");
		}
	}
	memcpy(state->slices, parts, count * sizeof(*parts));
	state->count = (uint32_t)count;
	state->at = 0;
	list_append(&s->queue, &write->link);
	s->unsent += total;
	advance(s, sent);
	if (s->state >= STREAM_OPEN) {
		uv_stream_watch(s);
	}
}

size_t uv_stream_unsent(const struct env_stream *stream) { return stream_of(stream)->unsent; }

void uv_stream_pause(struct env_stream *stream)
{
	struct uv_stream *s = stream_of(stream);
	s->paused = true;
	if (s->state == STREAM_OPEN) {
		uv_stream_watch(s);
	}
}

void uv_stream_resume(struct env_stream *stream)
{
	struct uv_stream *s = stream_of(stream);
	s->paused = false;
	if (s->state == STREAM_OPEN) {
		uv_stream_watch(s);
	}
}

bool uv_stream_finish(struct env_stream *stream)
{
	struct uv_stream *s = stream_of(stream);
	assert(list_empty(&s->queue));
	return s->state == STREAM_OPEN && shutdown(s->fd, SHUT_WR) == 0;
}

void uv_stream_close_now(struct env_stream *stream)
{
	struct uv_stream *s = stream_of(stream);
	if (s->state < STREAM_CLOSING) {
		uv_stream_shut(s, ERR_CANCELLED);
		return;
	}
	s->status = ERR_CANCELLED;
	s->opening = false;
}

const char *uv_stream_peer(const struct env_stream *stream) { return stream_of(stream)->peer; }

/* ---- the turn's end ---- */

static void report_gone(struct uv_stream *s)
{
	const struct env_stream_events *events = s->events;
	if (s->opening && events->opened != NULL) {
		s->opening = false;
		events->opened(s->owner, s->status);
	}
	s->events->closed(s->owner, s->status);
	free(s);
}

bool uv_stream_report(struct uv_env *e)
{
	bool any = false;
	while (!e->env.dead) {
		/* A stream's writes were all put here before it went to the other list, so they are told first. */
		struct list *link = list_pop(&e->written);
		if (link != NULL) {
			struct env_write *write = list_entry(link, struct env_write, link);
			write->cb(write, write_state(write)->status);
		} else if ((link = list_pop(&e->gone)) != NULL) {
			report_gone(list_entry(link, struct uv_stream, link));
		} else {
			break;
		}
		any = true;
	}
	return any;
}

void uv_stream_close_all(struct uv_env *e)
{
	list_for_each(link, &e->streams) { list_entry(link, struct uv_stream, link)->events = NULL; }
	struct list open;
	list_init(&open);
	list_splice(&open, &e->streams);
	struct list *link;
	while ((link = list_pop(&open)) != NULL) {
		struct uv_stream *s = list_entry(link, struct uv_stream, link);
		list_append(&e->streams, link);
		if (s->state < STREAM_CLOSING) {
			uv_stream_shut(s, ERR_CANCELLED);
		}
	}
	while ((link = list_pop(&e->gone)) != NULL) {
		free(list_entry(link, struct uv_stream, link));
	}
	while (list_pop(&e->written) != NULL) {
	}
}

/* Opening a stream of the libuv body: addresses, connecting.
 *
 *                 a name                    addresses                     one connects
 *   connect ──┬──────────▶ RESOLVING ──┬──────────────────▶ CONNECTING ──────────────────▶ OPEN
 *             │                │ none  │                      │  │  ▲
 *             └────────────────┼───────┘                      │  └──┘ another one is dialled
 *                a number      ▼                              ▼
 *                           CLOSING ◀─────────────────────────┘ all have failed
 *
 * RESOLVING waits for the resolver (uv_name.c), CONNECTING for sockets and a timer. The addresses of a name are
 * dialled in the resolver's order, the next one as soon as one fails, or after LIMIT_DIAL_NEXT_MS without an answer
 * of those that are under way (RFC 8305, without its sorting): one that drops what we send does not hold up those
 * behind it. The first to connect gives its socket to the stream and the others are closed; the failure that comes
 * last is the stream's. While a stream dials it has no socket of its own. */
#include "env/uv_stream.h"

#include "base/limits.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One address. Its memory goes when libuv has let go of its handle, which may be after the stream's. */
struct uv_dial {
	struct uv_env *e;
	struct uv_stream *stream;
	struct list link; /* in stream->dials */
	int fd;
	uv_poll_t poll;
};

static void dial_released_cb(uv_handle_t *handle)
{
	struct uv_dial *dial = list_entry((uv_poll_t *)handle, struct uv_dial, poll);
	struct uv_env *e = dial->e;
	free(dial);
	uv_env_uncount(e);
}

/* Its socket is the caller's. */
static void dial_release(struct uv_dial *dial)
{
	list_remove(&dial->link);
	assert(dial->stream->dial_count > 0);
	dial->stream->dial_count--;
	uv_close((uv_handle_t *)&dial->poll, dial_released_cb);
}

static void dial_drop(struct uv_dial *dial)
{
	int fd = dial->fd;
	dial_release(dial);
	close(fd);
}

void uv_dial_forget(struct uv_stream *s)
{
	env_timer_stop(&s->dial_timer);
	while (!list_empty(&s->dials)) {
		dial_drop(list_entry(s->dials.next, struct uv_dial, link));
	}
	s->next = NULL;
	uv_name_leave(s);
}

static void dial_connected(struct uv_dial *dial)
{
	struct uv_stream *s = dial->stream;
	s->fd = dial->fd;
	dial_release(dial);
	uv_dial_forget(s);
	if (uv_stream_poll(s) != 0) {
		uv_stream_shut(s, ERR_IO);
		return;
	}
	s->state = STREAM_OPEN;
	uv_stream_watch(s);
	if (s->events->opened != NULL) {
		s->events->opened(s->owner, 0);
	}
}

static void dial_next(struct uv_stream *s, int status);

/* The socket tells how it went. */
static void dial_cb(uv_poll_t *poll, int status, int events)
{
	struct uv_dial *dial = list_entry(poll, struct uv_dial, poll);
	struct uv_stream *s = dial->stream;
	int error = 0;
	socklen_t len = sizeof(error);
	assert(s->state == STREAM_CONNECTING);
	if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
		dial_drop(dial);
		dial_next(s, error == ETIMEDOUT ? ERR_TIMEOUT : ERR_CLOSED);
		return;
	}
	dial_connected(dial);
}

static int dial_begin(struct uv_stream *s, const struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return ERR_IO;
	}
	if (connect(fd, address, len) != 0 && errno != EINPROGRESS && errno != EINTR) {
		close(fd);
		return ERR_CLOSED;
	}
	struct uv_dial *dial = calloc(1, sizeof(*dial));
	if (dial == NULL) {
		fatal("out of memory dialling %s", s->peer);
	}
	if (uv_poll_init(s->e->loop, &dial->poll, fd) != 0) {
		free(dial);
		close(fd);
		return ERR_IO;
	}
	uv_env_count(s->e);
	dial->e = s->e;
	dial->stream = s;
	dial->fd = fd;
	list_append(&s->dials, &dial->link);
	s->dial_count++;
	uv_poll_start(&dial->poll, UV_WRITABLE, dial_cb);
	return 0;
}

/* Dials until one more is under way; when nothing is, status or a later failure is the stream's. */
static void dial_next(struct uv_stream *s, int status)
{
	while (s->next != NULL && s->dial_count < LIMIT_DIALS) {
		const struct addrinfo *address = s->next;
		s->next = address->ai_next;
		status = dial_begin(s, address->ai_addr, address->ai_addrlen);
		if (status == 0) {
			if (s->next != NULL) {
				env_timer_start(&s->dial_timer, LIMIT_DIAL_NEXT_MS);
			}
			return;
		}
	}
	if (list_empty(&s->dials)) {
		uv_name_doubt(s);
		uv_stream_shut(s, status);
	}
}

void uv_dial_timer_cb(struct env_timer *timer)
{
	struct uv_stream *s = list_entry(timer, struct uv_stream, dial_timer);
	assert(s->state == STREAM_CONNECTING);
	dial_next(s, 0);
}

static void dial_number(struct uv_stream *s, const struct sockaddr *address, socklen_t len)
{
	s->state = STREAM_CONNECTING;
	int status = dial_begin(s, address, len);
	if (status != 0) {
		uv_stream_shut(s, status);
	}
}

void uv_dial_addresses(struct uv_stream *s, const struct addrinfo *found)
{
	if (found == NULL) {
		uv_stream_shut(s, ERR_NOT_FOUND);
		return;
	}
	s->state = STREAM_CONNECTING;
	s->next = found;
	dial_next(s, 0);
}

struct env_stream *uv_stream_connect(struct env *env, const char *address,
				     const struct env_stream_events *events, void *owner)
{
	struct uv_stream *s = uv_stream_new(uv_env_of(env), -1);
	s->events = events;
	s->owner = owner;
	snprintf(s->peer, sizeof(s->peer), "%s", address);
	char host[256];
	unsigned port;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	if (!env_address_split(address, host, sizeof(host), &port)) {
		uv_stream_shut(s, ERR_INVALID);
	} else if (uv_ip4_addr(host, (int)port, &v4) == 0) {
		dial_number(s, (struct sockaddr *)&v4, sizeof(v4));
	} else if (uv_ip6_addr(host, (int)port, &v6) == 0) {
		dial_number(s, (struct sockaddr *)&v6, sizeof(v6));
	} else if (!uv_name_join(s, host, port)) {
		uv_stream_shut(s, ERR_NOT_FOUND);
	}
	return &s->stream;
}

/* Opening a stream of the libuv body: names, addresses, connecting.
 *
 * The addresses of a name are dialled one after the other, in the resolver's order, until one connects; the
 * last one's failure is the stream's. Between two of them the stream is RESOLVING again until libuv has let
 * go of the first one's handle. */
#include "env/uv_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A question to the resolver outlives a stream that was closed meanwhile. */
struct uv_dial_question {
	uv_getaddrinfo_t request;
	struct uv_env *e;
	struct uv_stream *stream; /* NULL when it was closed */
};

void uv_dial_forget(struct uv_stream *s)
{
	if (s->question != NULL) {
		s->question->stream = NULL;
		uv_cancel((uv_req_t *)&s->question->request);
		s->question = NULL;
	}
	uv_freeaddrinfo(s->addresses);
	s->addresses = s->next = NULL;
}

/* One address did not answer: the next, or this was the last and its failure is the stream's. */
static void dial_failed(struct uv_stream *s, int status)
{
	if (s->next == NULL) {
		uv_stream_shut(s, status);
		return;
	}
	s->state = STREAM_RESOLVING;
	uv_stream_drop_socket(s);
	if (!s->unpolling) {
		uv_dial_next(s);
	}
}

void uv_dial_connected(struct uv_stream *s)
{
	int error = 0;
	socklen_t len = sizeof(error);
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
		dial_failed(s, error == ETIMEDOUT ? ERR_TIMEOUT : ERR_CLOSED);
		return;
	}
	uv_dial_forget(s);
	s->state = STREAM_OPEN;
	uv_stream_watch(s);
	if (s->events->opened != NULL) {
		s->events->opened(s->owner, 0);
	}
}

static void dial_address(struct uv_stream *s, const struct sockaddr *address, socklen_t len)
{
	s->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || uv_stream_poll(s) != 0) {
		dial_failed(s, ERR_IO);
		return;
	}
	s->state = STREAM_CONNECTING;
	if (connect(s->fd, address, len) != 0 && errno != EINPROGRESS && errno != EINTR) {
		dial_failed(s, ERR_CLOSED);
		return;
	}
	uv_stream_watch(s);
}

void uv_dial_next(struct uv_stream *s)
{
	const struct addrinfo *address = s->next;
	s->next = address->ai_next;
	dial_address(s, address->ai_addr, address->ai_addrlen);
}

static void dial_name_cb(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct uv_dial_question *question = list_entry(request, struct uv_dial_question, request);
	struct uv_env *e = question->e;
	struct uv_stream *s = question->stream;
	if (s == NULL) {
		uv_freeaddrinfo(found);
	} else {
		s->question = NULL;
		s->addresses = s->next = found;
		if (status == 0 && found != NULL) {
			uv_dial_next(s);
		} else {
			uv_stream_shut(s, ERR_NOT_FOUND);
		}
	}
	free(question);
	uv_env_uncount(e);
}

static void dial_name(struct uv_stream *s, const char *host, unsigned port)
{
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct uv_dial_question *question = malloc(sizeof(*question));
	if (question == NULL) {
		fatal("out of memory resolving %s", host);
	}
	question->e = s->e;
	question->stream = s;
	if (uv_getaddrinfo(s->e->loop, &question->request, dial_name_cb, host, service, &hints) != 0) {
		free(question);
		uv_stream_shut(s, ERR_NOT_FOUND);
		return;
	}
	s->question = question;
	uv_env_count(s->e);
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
		dial_address(s, (struct sockaddr *)&v4, sizeof(v4));
	} else if (uv_ip6_addr(host, (int)port, &v6) == 0) {
		dial_address(s, (struct sockaddr *)&v6, sizeof(v6));
	} else {
		dial_name(s, host, port);
	}
	return &s->stream;
}

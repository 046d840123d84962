/* Listening sockets of the libuv body.
 *
 * When descriptors run out, a listening socket stays readable and a loop that
 * only retries would spin. One descriptor is held in reserve: it is given up for
 * a moment to accept the waiting connection and close it, so the client learns
 * at once. When even that fails, listening rests for a while. */
#include "env/uv_body.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define LISTEN_BACKLOG 1024
#define REST_MS 100

struct uv_listener {
	struct env_listener listener;
	struct uv_env *e;
	struct list link;
	int fd;
	bool closing;
	uv_poll_t poll;
	struct env_timer rest;
	void (*accepted)(void *owner, struct env_stream *stream);
	void *owner;
};

static struct uv_listener *listener_of(const struct env_listener *l) { return (struct uv_listener *)l; }

static void readable_cb(uv_poll_t *poll, int status, int events);

static void rest_cb(struct env_timer *timer)
{
	struct uv_listener *l = list_entry(timer, struct uv_listener, rest);
	uv_poll_start(&l->poll, UV_READABLE, readable_cb);
}

/* False when no reserve is left to do it with. */
static bool refuse_one(struct uv_listener *l)
{
	struct uv_env *e = l->e;
	if (e->reserve_fd >= 0) {
		close(e->reserve_fd);
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			close(fd);
		}
	}
	e->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return e->reserve_fd >= 0;
}

/* False when there is nothing more to accept now. */
static bool accept_one(struct uv_listener *l)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(l->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		if (!refuse_one(l)) {
			uv_poll_stop(&l->poll);
			env_timer_start(&l->rest, REST_MS);
			return false;
		}
		return true;
	}
	if (fd < 0) {
		/* A connection that died while it waited is no reason to stop; memory pressure is one to rest. */
		if (errno == ENOBUFS || errno == ENOMEM) {
			uv_poll_stop(&l->poll);
			env_timer_start(&l->rest, REST_MS);
			return false;
		}
		return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
	}
	struct env_stream *stream = uv_stream_accept(l->e, fd, (struct sockaddr *)&peer);
	if (stream != NULL) {
		l->accepted(l->owner, stream);
		assert(uv_stream_claimed(stream));
	}
	return true;
}

static void readable_cb(uv_poll_t *poll, int status, int events)
{
	struct uv_listener *l = list_entry(poll, struct uv_listener, poll);
	for (int i = 0; i < ACCEPTS_A_TURN && !l->closing && !l->e->env.dead; i++) {
		if (!accept_one(l)) {
			return;
		}
	}
}

static int bind_socket(const struct sockaddr *address, socklen_t len, int *fd)
{
	int made = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made < 0) {
		return errno;
	}
	int on = 1;
	setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(made, address, len) != 0 || listen(made, LISTEN_BACKLOG) != 0) {
		int why = errno;
		close(made);
		return why;
	}
	*fd = made;
	return 0;
}

/* Names are resolved while we wait: this is start-up. */
static int open_socket(struct uv_env *e, const char *address, int *fd, struct err *err)
{
	char host[256];
	unsigned port;
	if (!env_address_split(address, host, sizeof(host), &port)) {
		return err_set(err, ERR_INVALID, "%s is no address; it is written host:port or [IPv6]:port", address);
	}
	char service[8];
	snprintf(service, sizeof(service), "%u", port);
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	uv_getaddrinfo_t request;
	int status = uv_getaddrinfo(e->loop, &request, NULL, host, service, &hints);
	if (status != 0) {
		return err_set(err, ERR_NOT_FOUND, "cannot find %s: %s", host, uv_strerror(status));
	}
	int why = bind_socket(request.addrinfo->ai_addr, request.addrinfo->ai_addrlen, fd);
	uv_freeaddrinfo(request.addrinfo);
	if (why != 0) {
		int code = why == EADDRINUSE ? ERR_EXISTS : uv_env_error(why);
		return err_set(err, code, "cannot listen on %s: %s", address, strerror(why));
	}
	return 0;
}

struct env_listener *uv_listener_open(struct env *env, const char *address,
				      void (*accepted)(void *owner, struct env_stream *stream), void *owner,
				      struct err *err)
{
	struct uv_env *e = uv_env_of(env);
	int fd;
	if (open_socket(e, address, &fd, err) != 0) {
		return NULL;
	}
	struct uv_listener *l = calloc(1, sizeof(*l));
	if (l == NULL) {
		fatal("out of memory listening on %s", address);
	}
	l->listener.env = env;
	l->e = e;
	l->fd = fd;
	l->accepted = accepted;
	l->owner = owner;
	env_timer_init(env, &l->rest, rest_cb);
	int status = uv_poll_init(e->loop, &l->poll, fd);
	if (status != 0) {
		err_set(err, ERR_IO, "cannot listen on %s: %s", address, uv_strerror(status));
		close(fd);
		free(l);
		return NULL;
	}
	uv_env_count(e);
	uv_poll_start(&l->poll, UV_READABLE, readable_cb);
	list_append(&e->listeners, &l->link);
	return &l->listener;
}

unsigned uv_listener_port(const struct env_listener *listener)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	if (getsockname(listener_of(listener)->fd, (struct sockaddr *)&address, &len) != 0) {
		return 0;
	}
	/* The port is at the same place for both families. */
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void closed_cb(uv_handle_t *handle)
{
	struct uv_listener *l = list_entry((uv_poll_t *)handle, struct uv_listener, poll);
	struct uv_env *e = l->e;
	free(l);
	uv_env_uncount(e);
}

void uv_listener_close(struct env_listener *listener)
{
	struct uv_listener *l = listener_of(listener);
	assert(!l->closing);
	l->closing = true;
	env_timer_stop(&l->rest);
	list_remove(&l->link);
	uv_close((uv_handle_t *)&l->poll, closed_cb);
	close(l->fd);
}

void uv_listener_close_all(struct uv_env *e)
{
	while (!list_empty(&e->listeners)) {
		uv_listener_close(&list_entry(e->listeners.next, struct uv_listener, link)->listener);
	}
}

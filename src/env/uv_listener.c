/* Listening sockets of the libuv body.
 *
 * A name is listened on at every address it has, each by a socket of its own: who dials the name may try any of
 * them first. An address that this machine does not have (a name's IPv6 where there is none) is left out, as long
 * as one is left. Whatever else is wrong with one of them, most of all that somebody else has its port, is an
 * error: half of the clients would come to him.
 *
 * When descriptors run out, a listening socket stays readable and a loop that
 * only retries would spin. One descriptor is held in reserve: it is given up for
 * a moment to accept the waiting connection and close it, so the client learns
 * at once. When even that fails, listening rests for a while. */
#include "env/uv_body.h"

#include "base/limits.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define LISTEN_BACKLOG 1024
#define REST_MS 100

struct uv_listener;

/* One address. */
struct door {
	struct uv_listener *l;
	int fd;
	uv_poll_t poll;
};

struct uv_listener {
	struct env_listener listener;
	struct uv_env *e;
	struct list link;
	struct door doors[LIMIT_LISTEN_ADDRESSES];
	size_t door_count;
	size_t polled; /* of them, libuv knows so many, the first */
	bool closing;
	struct env_timer rest; /* of all doors: what they lack is the process's */
	void (*accepted)(void *owner, struct env_stream *stream);
	void *owner;
};

static struct uv_listener *listener_of(const struct env_listener *l) { return (struct uv_listener *)l; }

static void readable_cb(uv_poll_t *poll, int status, int events);

static void rest_cb(struct env_timer *timer)
{
	struct uv_listener *l = list_entry(timer, struct uv_listener, rest);
	for (size_t i = 0; i < l->door_count; i++) {
		uv_poll_start(&l->doors[i].poll, UV_READABLE, readable_cb);
	}
}

static void listener_rest(struct uv_listener *l)
{
	for (size_t i = 0; i < l->door_count; i++) {
		uv_poll_stop(&l->doors[i].poll);
	}
	env_timer_start(&l->rest, REST_MS);
}

/* False when no reserve is left to do it with. */
static bool refuse_one(struct door *door)
{
	struct uv_env *e = door->l->e;
	if (e->reserve_fd >= 0) {
		close(e->reserve_fd);
		int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			close(fd);
		}
	}
	e->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return e->reserve_fd >= 0;
}

/* False when there is nothing more to accept now. */
static bool accept_one(struct door *door)
{
	struct uv_listener *l = door->l;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(door->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		if (!refuse_one(door)) {
			listener_rest(l);
			return false;
		}
		return true;
	}
	if (fd < 0) {
		/* A connection that died while it waited is no reason to stop; memory pressure is one to rest. */
		if (errno == ENOBUFS || errno == ENOMEM) {
			listener_rest(l);
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
	struct door *door = list_entry(poll, struct door, poll);
	struct uv_listener *l = door->l;
	for (int i = 0; i < ACCEPTS_A_TURN && !l->closing && !l->e->env.dead; i++) {
		if (!accept_one(door)) {
			return;
		}
	}
}

/* several: of a name; then IPv6 leaves IPv4 to a door of its own (`*` has both), else [::] takes it too. */
static int bind_socket(const struct sockaddr *address, socklen_t len, bool several, int *fd)
{
	int made = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (made < 0) {
		return errno;
	}
	int on = 1;
	setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (several && address->sa_family == AF_INET6) {
		setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	}
	if (bind(made, address, len) != 0 || listen(made, LISTEN_BACKLOG) != 0) {
		int why = errno;
		close(made);
		return why;
	}
	*fd = made;
	return 0;
}

/* Not ours to bind: no such address on this machine, or no such family in its kernel. */
static bool is_absent(int why)
{
	return why == EADDRNOTAVAIL || why == EAFNOSUPPORT;
}

/* Resolvers tell some addresses twice. */
static bool is_told_before(const struct addrinfo *all, const struct addrinfo *one)
{
	for (const struct addrinfo *at = all; at != one; at = at->ai_next) {
		if (at->ai_addrlen == one->ai_addrlen && memcmp(at->ai_addr, one->ai_addr, one->ai_addrlen) == 0) {
			return true;
		}
	}
	return false;
}

/* The port is at the same place for both families. */
static in_port_t *port_of(struct sockaddr *address) { return &((struct sockaddr_in *)address)->sin_port; }

unsigned uv_listener_port(const struct env_listener *listener)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	if (getsockname(listener_of(listener)->doors[0].fd, (struct sockaddr *)&address, &len) != 0) {
		return 0;
	}
	return ntohs(*port_of((struct sockaddr *)&address));
}

static int cannot_listen(struct err *err, const char *address, const struct addrinfo *at, bool several, int why)
{
	char host[80] = "", number[64];
	if (several && getnameinfo(at->ai_addr, at->ai_addrlen, number, sizeof(number), NULL, 0, NI_NUMERICHOST) == 0) {
		snprintf(host, sizeof(host), " (%s)", number);
	}
	int code = why == EADDRINUSE ? ERR_EXISTS : uv_env_error(why);
	return err_set(err, code, "cannot listen on %s%s: %s", address, host, strerror(why));
}

/* One port for all: port 0 was chosen by the kernel for the first. */
static void share_port(struct uv_listener *l, struct addrinfo *found)
{
	in_port_t port = htons((in_port_t)uv_listener_port(&l->listener));
	for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
		*port_of(at->ai_addr) = port;
	}
}

/* A door for each address that there is. */
static int bind_all(struct uv_listener *l, const char *address, struct addrinfo *found, struct err *err)
{
	bool several = found->ai_next != NULL;
	const struct addrinfo *absent = NULL;
	int absent_why = 0;
	for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
		if (is_told_before(found, at)) {
			continue;
		}
		if (l->door_count == LIMIT_LISTEN_ADDRESSES) {
			return err_set(err, ERR_TOO_LARGE, "cannot listen on %s: it has more than %d addresses", address,
				       LIMIT_LISTEN_ADDRESSES);
		}
		struct door *door = &l->doors[l->door_count];
		int why = bind_socket(at->ai_addr, at->ai_addrlen, several, &door->fd);
		if (why == 0) {
			door->l = l;
			l->door_count++;
			share_port(l, found);
		} else if (!is_absent(why)) {
			return cannot_listen(err, address, at, several, why);
		} else if (absent == NULL) {
			absent = at;
			absent_why = why;
		}
	}
	return l->door_count > 0 ? 0 : cannot_listen(err, address, absent, several, absent_why);
}

/* Names are resolved while we wait: this is start-up. */
static int bind_name(struct uv_listener *l, const char *address, struct err *err)
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
	int status = uv_getaddrinfo(l->e->loop, &request, NULL, host, service, &hints);
	if (status != 0) {
		return err_set(err, ERR_NOT_FOUND, "cannot find %s: %s", host, uv_strerror(status));
	}
	status = bind_all(l, address, request.addrinfo, err);
	uv_freeaddrinfo(request.addrinfo);
	return status;
}

static void closed_cb(uv_handle_t *handle)
{
	struct uv_listener *l = list_entry((uv_poll_t *)handle, struct door, poll)->l;
	struct uv_env *e = l->e;
	assert(l->polled > 0);
	l->polled--;
	if (l->polled == 0) {
		free(l);
	}
	uv_env_uncount(e);
}

/* The memory goes when libuv has let go of the last door. */
static void listener_shut(struct uv_listener *l)
{
	l->closing = true;
	for (size_t i = 0; i < l->polled; i++) {
		uv_close((uv_handle_t *)&l->doors[i].poll, closed_cb);
	}
	for (size_t i = 0; i < l->door_count; i++) {
		close(l->doors[i].fd);
	}
	if (l->polled == 0) {
		free(l);
	}
}

static int poll_all(struct uv_listener *l, const char *address, struct err *err)
{
	for (; l->polled < l->door_count; l->polled++) {
		struct door *door = &l->doors[l->polled];
		int status = uv_poll_init(l->e->loop, &door->poll, door->fd);
		if (status != 0) {
			return err_set(err, ERR_IO, "cannot listen on %s: %s", address, uv_strerror(status));
		}
		uv_env_count(l->e);
		uv_poll_start(&door->poll, UV_READABLE, readable_cb);
	}
	return 0;
}

struct env_listener *uv_listener_open(struct env *env, const char *address,
				      void (*accepted)(void *owner, struct env_stream *stream), void *owner,
				      struct err *err)
{
	struct uv_env *e = uv_env_of(env);
	struct uv_listener *l = calloc(1, sizeof(*l));
	if (l == NULL) {
		fatal("out of memory listening on %s", address);
	}
	l->listener.env = env;
	l->e = e;
	l->accepted = accepted;
	l->owner = owner;
	env_timer_init(env, &l->rest, rest_cb);
	if (bind_name(l, address, err) != 0 || poll_all(l, address, err) != 0) {
		listener_shut(l);
		return NULL;
	}
	list_append(&e->listeners, &l->link);
	return &l->listener;
}

void uv_listener_close(struct env_listener *listener)
{
	struct uv_listener *l = listener_of(listener);
	assert(!l->closing);
	env_timer_stop(&l->rest);
	list_remove(&l->link);
	listener_shut(l);
}

void uv_listener_close_all(struct uv_env *e)
{
	while (!list_empty(&e->listeners)) {
		uv_listener_close(&list_entry(e->listeners.next, struct uv_listener, link)->listener);
	}
}

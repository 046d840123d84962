/* The libuv body: what all bodies do, and what only it must. */
#include "env/uv_env.h"
#include "base/limits.h"
#include "env/uv_stream.h"
#include "tests/lib/env_conformance.h"
#include "tests/lib/tap.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#define PATIENCE_MS 60000
#define PATIENCE_LOST_MS 200 /* a loop that slept through it once is broken; the rest is to be seen today */

struct uv_world {
	struct env_body body;
	unsigned slept; /* waits that ended with their patience only */
};

static void stall(struct env_body *body, uint64_t us)
{
	uint64_t until = env_now_us(body->env) + us;
	while (env_now_us(body->env) < until) {
	}
}

static void run_until(struct env_body *body, bool (*done)(void *owner), void *owner)
{
	struct uv_world *world = list_entry(body, struct uv_world, body);
	uint64_t patience_ms = world->slept > 0 ? PATIENCE_LOST_MS : PATIENCE_MS;
	uint64_t until_us = env_now_us(body->env) + patience_ms * 1000;
	uv_env_run_until(body->env, done, owner, patience_ms);
	world->slept += env_now_us(body->env) >= until_us;
}

static int plain_connect_to(const char *host, unsigned port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	inet_pton(AF_INET, host, &address.sin_addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}
static int plain_connect(unsigned port)
{
	return plain_connect_to("127.0.0.1", port);
}

/* ---- descriptors run out ---- */

struct crowd {
	unsigned accepted;
	struct env_stream *streams[64];
};
static void crowd_data(void *owner, struct slice bytes) {}
static void crowd_closed(void *owner, int status) {}
static const struct env_stream_events crowd_events = {NULL, crowd_data, crowd_closed, NULL};
static void crowd_accepted(void *owner, struct env_stream *stream)
{
	struct crowd *crowd = owner;
	env_stream_set(stream, &crowd_events, crowd);
	crowd->streams[crowd->accepted++] = stream;
}
static bool crowd_came(void *owner) { return ((struct crowd *)owner)->accepted >= 1; }

/* ---- a client whose machine is gone ---- */

static void test_gone_machine(struct env *env)
{
	struct crowd crowd = {0};
	struct err err = {0};
	struct env_listener *listener = env_listen(env, "127.0.0.1:0", crowd_accepted, &crowd, &err);
	int fd = plain_connect(env_listener_port(listener)), asks = 0, idle_s = 0;
	socklen_t len = sizeof(int);
	uv_env_run_until(env, crowd_came, &crowd, PATIENCE_MS);
	const struct uv_stream *stream = (const struct uv_stream *)crowd.streams[0];
	getsockopt(stream->fd, SOL_SOCKET, SO_KEEPALIVE, &asks, &len);
	getsockopt(stream->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &len);
	ok(asks != 0 && idle_s == LIMIT_SILENT_S,
	   "who says nothing for long is asked whether he is there (after %d s)", idle_s);
	env_stream_close(crowd.streams[0]);
	env_listener_close(listener);
	close(fd);
}

static void test_descriptors(struct env *env)
{
	struct crowd crowd = {0};
	struct err err = {0};
	struct env_listener *listener = env_listen(env, "127.0.0.1:0", crowd_accepted, &crowd, &err);
	unsigned port = env_listener_port(listener);
	int fds[3];
	fds[0] = plain_connect(port);
	fds[1] = plain_connect(port);
	/* No descriptor above the last one in use. */
	int next = open("/dev/null", O_RDONLY);
	struct rlimit before;
	getrlimit(RLIMIT_NOFILE, &before);
	struct rlimit none = {(rlim_t)next, before.rlim_max};
	close(next);
	setrlimit(RLIMIT_NOFILE, &none);
	uv_env_run_until(env, crowd_came, &crowd, 200);
	is_int(crowd.accepted, 0, "without descriptors nobody is accepted");
	char byte;
	struct timeval patience = {PATIENCE_MS / 1000, 0};
	setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	ok(recv(fds[0], &byte, 1, 0) <= 0, "who waits is closed at once instead of hanging");
	setrlimit(RLIMIT_NOFILE, &before);
	fds[2] = plain_connect(port);
	uv_env_run_until(env, crowd_came, &crowd, PATIENCE_MS);
	is_int(crowd.accepted, 1, "with descriptors again, the next one is accepted");
	env_stream_close(crowd.streams[0]);
	env_listener_close(listener);
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
	}
}

/* ---- signals, stopping ---- */

struct stopper {
	struct env *env;
	int signum;
};
static void on_signal(void *owner, int signum)
{
	struct stopper *stopper = owner;
	stopper->signum = signum;
	uv_env_stop(stopper->env);
}

static void test_signal(void)
{
	struct env *env = uv_env_new(NULL);
	struct stopper stopper = {env, 0};
	uv_env_on_signal(env, on_signal, &stopper);
	kill(getpid(), SIGTERM);
	uv_env_run(env);
	is_int(stopper.signum, SIGTERM, "SIGTERM reaches its handler on the loop, which ends the run");
	uv_env_free(env, NULL, NULL);
}

/* The blocking façade of libtally has a loop of its own, and the process is somebody else's. */
static void test_sigpipe(void)
{
	struct sigaction action;
	signal(SIGPIPE, SIG_DFL);
	struct env *env = uv_env_new(NULL);
	uv_env_free(env, NULL, NULL);
	sigaction(SIGPIPE, NULL, &action);
	ok(action.sa_handler == SIG_DFL, "what a process does upon SIGPIPE stays its own affair");
}

static bool never(void *owner) { return false; }

/* ---- a wait that the process slept through ---- */

struct sleeper {
	struct env_timer falls_asleep, due;
	uint64_t wakes_us;
	bool fired;
};
static void fall_asleep_cb(struct env_timer *timer)
{
	struct sleeper *sleeper = list_entry(timer, struct sleeper, falls_asleep);
	while (env_now_us(timer->env) < sleeper->wakes_us) {
	}
}
static void due_cb(struct env_timer *timer) { list_entry(timer, struct sleeper, due)->fired = true; }

static void test_slept_through(struct env *env)
{
	struct sleeper sleeper = {.wakes_us = env_now_us(env) + 30000};
	env_timer_init(env, &sleeper.falls_asleep, fall_asleep_cb);
	env_timer_init(env, &sleeper.due, due_cb);
	env_timer_start(&sleeper.falls_asleep, 1);
	env_timer_start(&sleeper.due, 10);
	uv_env_run_until(env, never, NULL, 20);
	ok(sleeper.fired, "what is due within a wait comes before it ends, also when the process sleeps through both");
	env_timer_stop(&sleeper.due);
}

/* ---- what is open is closed ---- */

static void no_timer(struct env_timer *timer) { ok(false, "a freed env fires no timer"); }
static void no_turn(struct env_turn *turn) { ok(false, "a freed env runs no hook"); }
static void no_write(struct env_write *write, int status) { ok(false, "a freed env ends no write"); }
static void no_run(struct env_work *work) {}
static void no_done(struct env_work *work) { ok(false, "a freed env says no done"); }
static void set_freed(void *owner) { *(bool *)owner = true; }

static void open_everything(struct env *env, struct env_timer *timer, struct env_turn *turn, struct crowd *crowd,
			    struct env_write *write, struct env_work *work)
{
	struct err err = {0};
	struct env_listener *listener = env_listen(env, "127.0.0.1:0", crowd_accepted, crowd, &err);
	char address[64];
	snprintf(address, sizeof(address), "127.0.0.1:%u", env_listener_port(listener));
	struct env_stream *near = env_connect(env, address, &crowd_events, crowd);
	env_connect(env, "localhost:1", &crowd_events, crowd);
	uv_env_run_until(env, crowd_came, crowd, PATIENCE_MS);
	env_timer_init(env, timer, no_timer);
	env_timer_start(timer, 0);
	env_turn_init(env, turn, no_turn);
	env_turn_arm(turn);
	static uint8_t big[4 << 20];
	write->cb = no_write;
	env_stream_write(near, write, &(struct slice){big, sizeof(big)}, 1);
	env_lane_submit(env_lane_open(env, "open", ENV_LANE_NORMAL), work);
	env_stream_close(env_connect(env, "localhost:1", &crowd_events, crowd));
}

static void test_free(void)
{
	struct env_timer timer;
	struct env_turn turn;
	struct env_write write;
	struct env_work work = {.run = no_run, .done = no_done};
	struct crowd crowd = {0};
	struct env *env = uv_env_new(NULL);
	bool freed = false;
	open_everything(env, &timer, &turn, &crowd, &write, &work);
	uv_env_free(env, set_freed, &freed);
	ok(freed, "an env with a loop of its own closes all that is open and is gone");
	ok(!env_timer_armed(&timer), "its timers are disarmed");

	uv_loop_t loop;
	uv_loop_init(&loop);
	env = uv_env_new(&loop);
	crowd = (struct crowd){0};
	freed = false;
	open_everything(env, &timer, &turn, &crowd, &write, &work);
	uv_env_free(env, set_freed, &freed);
	ok(!freed, "on a caller's loop, closing takes turns");
	uv_run(&loop, UV_RUN_DEFAULT);
	ok(freed, "and then the env is gone");
	is_int(uv_loop_close(&loop), 0, "leaving nothing in the loop");
}

/* ---- a lock and another process ---- */

static void test_lock_across(struct env *env)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/across", tap_dir());
	struct env_lock *lock;
	env_lock_take(env, path, &lock);
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		struct env_lock *second;
		struct env *own = uv_env_new(NULL);
		int taken = env_lock_take(own, path, &second);
		uv_env_free(own, NULL, NULL);
		_exit(taken == ERR_LOCKED ? 0 : 1);
	}
	int status = -1;
	waitpid(child, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "another process does not get a lock that is held");
	env_lock_release(lock);
}

static void test_names(struct env *env)
{
	struct crowd crowd = {0};
	struct err err = {0};
	ok(env_listen(env, "nonsense", crowd_accepted, &crowd, &err) == NULL && err.code == ERR_INVALID,
	   "an address without a port is refused");
	ok(env_listen(env, "::1:80", crowd_accepted, &crowd, &err) == NULL, "IPv6 wants brackets");
	struct env_listener *listener = env_listen(env, "127.0.0.1:0", crowd_accepted, &crowd, &err);
	char address[64];
	snprintf(address, sizeof(address), "localhost:%u", env_listener_port(listener));
	struct env_stream *stream = env_connect(env, address, &crowd_events, &crowd);
	uv_env_run_until(env, crowd_came, &crowd, 5000);
	if (crowd.accepted == 0) {
		tap_skip("localhost is not 127.0.0.1 here");
	} else {
		ok(true, "a name is resolved and connected to");
		env_stream_close(stream);
	}
	env_listener_close(listener);
	listener = env_listen(env, "*:0", crowd_accepted, &crowd, &err);
	ok(listener != NULL, "a star is every address of both families (%s)", err.text);
	if (listener != NULL) {
		env_listener_close(listener);
	}
}

/* ---- a name with several addresses ---- */

/* What this program calls the resolver: "several.test" has the addresses of the list below, in its order;
 * else libc's. */
static const char *const *several;
/* And "slow.test" is told when a post comes. */
static uv_sem_t slow_answers;
static unsigned slow_asked;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (strcmp(node, "slow.test") == 0) {
		__atomic_add_fetch(&slow_asked, 1, __ATOMIC_RELAXED);
		uv_sem_wait(&slow_answers);
		return real("127.0.0.1", service, hints, found);
	}
	if (strcmp(node, "several.test") != 0) {
		return real(node, service, hints, found);
	}
	int status = 0;
	struct addrinfo **end = found;
	for (const char *const *address = several; *address != NULL && status == 0; address++) {
		status = real(*address, service, hints, end);
		end = &(*end)->ai_next;
	}
	return status;
}

struct dial {
	unsigned opened, closed, turns, turns_max;
	int status, end;
};
static void dial_opened(void *owner, int status)
{
	struct dial *dial = owner;
	dial->opened++;
	dial->status = status;
}
static void dial_closed(void *owner, int status)
{
	((struct dial *)owner)->closed++;
	((struct dial *)owner)->end = status;
}
static const struct env_stream_events dial_events = {dial_opened, crowd_data, dial_closed, NULL};
static bool dial_told(void *owner)
{
	return ((struct dial *)owner)->opened > 0;
}
static bool dial_ended(void *owner)
{
	return ((struct dial *)owner)->closed > 0;
}
static bool dial_turned(void *owner)
{
	struct dial *dial = owner;
	return dial->opened > 0 || dial->turns++ == dial->turns_max;
}

static void test_addresses(struct env *env)
{
	static const char *const last[] = {"::1", "127.0.0.2", "127.0.0.3", "127.0.0.1", NULL};
	static const char *const nowhere[] = {"127.0.0.2", "127.0.0.3", NULL};
	struct crowd crowd = {0};
	struct err err = {0};
	struct env_listener *listener = env_listen(env, "127.0.0.1:0", crowd_accepted, &crowd, &err);
	char address[64];
	snprintf(address, sizeof(address), "several.test:%u", env_listener_port(listener));

	several = last;
	struct dial dial = {0};
	struct env_stream *stream = env_connect(env, address, &dial_events, &dial);
	uv_env_run_until(env, dial_told, &dial, PATIENCE_MS);
	ok(dial.opened == 1 && dial.status == 0,
	   "the addresses of a name are dialled in order until one connects");
	if (dial.status == 0) {
		uv_env_run_until(env, crowd_came, &crowd, PATIENCE_MS);
		env_stream_close(stream);
		env_stream_close(crowd.streams[0]);
	}
	uv_env_run_until(env, dial_ended, &dial, PATIENCE_MS);

	several = nowhere;
	snprintf(address, sizeof(address), "several.test:1"); /* the addresses of the other are known for a while */
	dial = (struct dial){0};
	env_connect(env, address, &dial_events, &dial);
	uv_env_run_until(env, dial_ended, &dial, PATIENCE_MS);
	ok(dial.opened == 1 && dial.status == ERR_CLOSED && dial.end == ERR_CLOSED,
	   "when none does, that is told once, as the last one's failure");

	bool once = true;
	for (unsigned turns = 0; turns < 8; turns++) {
		dial = (struct dial){.turns_max = turns};
		stream = env_connect(env, address, &dial_events, &dial);
		uv_env_run_until(env, dial_turned, &dial, PATIENCE_MS);
		if (dial.opened == 0) {
			env_stream_close(stream);
		}
		uv_env_run_until(env, dial_ended, &dial, PATIENCE_MS);
		once = once && dial.closed == 1;
	}
	ok(once, "closed between two addresses, a stream ends once");
	env_listener_close(listener);
}

/* Who dials gives up before the resolver answers, as the client does after a second, and dials again. */
static void test_slow_resolver(struct env *env)
{
	struct crowd crowd = {0};
	struct err err = {0};
	struct env_listener *listener = env_listen(env, "127.0.0.1:0", crowd_accepted, &crowd, &err);
	char address[64];
	snprintf(address, sizeof(address), "slow.test:%u", env_listener_port(listener));
	uv_sem_init(&slow_answers, 0);
	struct dial first = {0}, second = {0}, third = {0};
	struct env_stream *stream = env_connect(env, address, &dial_events, &first);
	while (__atomic_load_n(&slow_asked, __ATOMIC_RELAXED) == 0) {
		uv_env_run_until(env, never, NULL, 1);
	}
	env_stream_close(stream);
	uv_env_run_until(env, dial_ended, &first, PATIENCE_MS);
	ok(first.opened == 0 && first.end == ERR_CANCELLED, "who gives up on a slow resolver is told at once");
	struct env_stream *again = env_connect(env, address, &dial_events, &second);
	uv_sem_post(&slow_answers);
	uv_env_run_until(env, dial_told, &second, PATIENCE_MS);
	struct env_stream *late = env_connect(env, address, &dial_events, &third);
	uv_env_run_until(env, dial_told, &third, PATIENCE_MS);
	ok(second.opened == 1 && second.status == 0 && third.opened == 1 && third.status == 0,
	   "its answer serves those who dial the name next");
	is_int(__atomic_load_n(&slow_asked, __ATOMIC_RELAXED), 1, "and it was asked once");
	env_listener_close(listener);
	env_stream_close(again);
	env_stream_close(late);
	for (unsigned i = 0; i < crowd.accepted; i++) {
		env_stream_close(crowd.streams[i]);
	}
	uv_env_run_until(env, dial_ended, &second, PATIENCE_MS);
	uv_env_run_until(env, dial_ended, &third, PATIENCE_MS);
}

/* What this program calls the kernel: connecting to 127.0.0.9 is without an answer, for its socket is one end of
 * this pair instead, which never has room. */
static int silent[2] = {-1, -1};

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	int (*real)(int, const struct sockaddr *, socklen_t);
	*(void **)&real = dlsym(RTLD_NEXT, "connect");
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
	if (address->sa_family != AF_INET || v4->sin_addr.s_addr != inet_addr("127.0.0.9")) {
		return real(fd, address, len);
	}
	char bytes[4096] = {0};
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, silent);
	while (send(silent[0], bytes, sizeof(bytes), MSG_NOSIGNAL) > 0) {
	}
	dup2(silent[0], fd);
	close(silent[0]);
	errno = EINPROGRESS;
	return -1;
}

/* The other end of the pair reads what is there, and then the end. */
static bool silent_is_closed(void)
{
	char bytes[4096];
	ssize_t n;
	while ((n = recv(silent[1], bytes, sizeof(bytes), 0)) > 0) {
	}
	close(silent[1]);
	return n == 0;
}

static void test_silence(struct env *env)
{
	static const char *const silent_first[] = {"127.0.0.9", "127.0.0.2", "127.0.0.1", NULL};
	static const char *const silent_and_none[] = {"127.0.0.9", "127.0.0.2", NULL};
	struct crowd crowd = {0};
	struct err err = {0};
	struct env_listener *listener = env_listen(env, "127.0.0.1:0", crowd_accepted, &crowd, &err);
	char address[64];
	snprintf(address, sizeof(address), "several.test:%u", env_listener_port(listener));
	several = silent_first;
	struct dial dial = {0};
	struct env_stream *stream = env_connect(env, address, &dial_events, &dial);
	uv_env_run_until(env, dial_told, &dial, 10000);
	ok(dial.opened == 1 && dial.status == 0, "a silent address does not hold up those behind it");
	ok(silent_is_closed(), "and is given up when one of them connects");
	if (dial.opened == 1) {
		uv_env_run_until(env, crowd_came, &crowd, PATIENCE_MS);
		env_stream_close(crowd.streams[0]);
	}
	env_stream_close(stream);
	uv_env_run_until(env, dial_ended, &dial, PATIENCE_MS);

	several = silent_and_none;
	snprintf(address, sizeof(address), "several.test:2");
	dial = (struct dial){0};
	stream = env_connect(env, address, &dial_events, &dial);
	uv_env_run_until(env, dial_told, &dial, 500);
	is_int(dial.opened, 0, "what failed behind a silent one does not end the stream");
	if (dial.closed == 0) {
		env_stream_close(stream);
	}
	uv_env_run_until(env, dial_ended, &dial, PATIENCE_MS);
	ok(dial.closed == 1 && dial.end == ERR_CANCELLED, "closed while it dials, it ends once");
	ok(silent_is_closed(), "and so does what it dialled");
	env_listener_close(listener);
}

static struct env_listener *listen_several(struct env *env, unsigned port, struct crowd *crowd, struct err *err)
{
	char address[64];
	snprintf(address, sizeof(address), "several.test:%u", port);
	*err = (struct err){0};
	return env_listen(env, address, crowd_accepted, crowd, err);
}
static bool crowd_of_two(void *owner)
{
	return ((struct crowd *)owner)->accepted >= 2;
}

static void test_listen_on_all(struct env *env)
{
	/* One twice, as resolvers tell them. */
	static const char *const both[] = {"127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.2", NULL};
	struct crowd crowd = {0};
	struct err err;
	several = both;
	struct env_listener *listener = listen_several(env, 0, &crowd, &err);
	if (!ok(listener != NULL, "a name with several addresses is listened on %s", err.text)) {
		return;
	}
	unsigned port = env_listener_port(listener);
	int near = plain_connect_to("127.0.0.2", port), far = plain_connect_to("127.0.0.3", port);
	if (ok(near >= 0 && far >= 0, "at each of them, with one port")) {
		uv_env_run_until(env, crowd_of_two, &crowd, PATIENCE_MS);
	}
	is_int(crowd.accepted, 2, "who comes to either is accepted");
	ok(listen_several(env, port, &crowd, &err) == NULL && err.code == ERR_EXISTS &&
		   strstr(err.text, "127.0.0.2") != NULL && strstr(err.text, strerror(EADDRINUSE)) != NULL,
	   "a second listener is told what is in use (%s)", err.text);
	for (unsigned i = 0; i < crowd.accepted; i++) {
		env_stream_close(crowd.streams[i]);
	}
	env_listener_close(listener);
	close(near);
	close(far);
}

static void test_listen_on_some(struct env *env)
{
	/* Addresses of documentation (RFC 3849, 5737), which no machine has. */
	static const char *const some[] = {"2001:db8::1", "192.0.2.1", "127.0.0.2", NULL};
	static const char *const none[] = {"192.0.2.1", "2001:db8::1", NULL};
	static const char *const taken[] = {"127.0.0.2", "127.0.0.3", NULL};
	struct crowd crowd = {0};
	struct err err;
	several = some;
	struct env_listener *listener = listen_several(env, 0, &crowd, &err);
	if (!ok(listener != NULL, "an address that this machine does not have is left out %s", err.text)) {
		return;
	}
	env_listener_close(listener);
	several = none;
	ok(listen_several(env, 0, &crowd, &err) == NULL && err.code == ERR_IO &&
		   strstr(err.text, "192.0.2.1") != NULL,
	   "when none is left the first is told (%s)", err.text);
	listener = env_listen(env, "127.0.0.3:0", crowd_accepted, &crowd, &err);
	unsigned port = env_listener_port(listener);
	several = taken;
	ok(listen_several(env, port, &crowd, &err) == NULL && err.code == ERR_EXISTS &&
		   strstr(err.text, "127.0.0.3") != NULL,
	   "one that somebody else has is not left out (%s)", err.text);
	is_int(plain_connect_to("127.0.0.2", port), -1, "and then the others are given back");
	env_listener_close(listener);
}

static void test_listen_bound(struct env *env)
{
	static char texts[LIMIT_LISTEN_ADDRESSES + 1][32];
	static const char *many[LIMIT_LISTEN_ADDRESSES + 2];
	struct crowd crowd = {0};
	struct err err;
	for (int i = 0; i <= LIMIT_LISTEN_ADDRESSES; i++) {
		snprintf(texts[i], sizeof(texts[i]), "127.0.1.%d", i + 1);
		many[i] = texts[i];
	}
	several = many;
	ok(listen_several(env, 0, &crowd, &err) == NULL && err.code == ERR_TOO_LARGE,
	   "a name with too many addresses is refused (%s)", err.text);
	many[LIMIT_LISTEN_ADDRESSES] = NULL;
	struct env_listener *listener = listen_several(env, 0, &crowd, &err);
	ok(listener != NULL, "one with as many as may be is not %s", err.text);
	if (listener != NULL) {
		env_listener_close(listener);
	}
}

int main(void)
{
	struct env *env = uv_env_new(NULL);
	struct uv_world world = {
		.body = {
			.name = "libuv",
			.env = env,
			.run_until = run_until,
			.stall = stall,
			.host = "127.0.0.1",
			.dir = tap_dir(),
		},
	};
	env_conformance(&world.body);
	is_int(world.slept, 0, "the loop wakes for everything that was waited for");
	test_slept_through(env);
	test_gone_machine(env);
	test_descriptors(env);
	test_lock_across(env);
	test_names(env);
	test_addresses(env);
	test_slow_resolver(env);
	test_silence(env);
	test_listen_on_all(env);
	test_listen_on_some(env);
	test_listen_bound(env);
	uv_env_run_until(env, never, NULL, 1);
	uv_env_free(env, NULL, NULL);
	test_signal();
	test_sigpipe();
	test_free();
	return tap_done();
}

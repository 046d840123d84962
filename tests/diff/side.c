#include "tests/diff/side.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "tests/lib/tap.h"
#include "wire/resp.h"

#define REPLY_MAX MIB(16)

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_ms(unsigned ms)
{
	struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
	while (nanosleep(&time, &time) != 0 && errno == EINTR) {
	}
}

/* ---- connections ---- */

static int connect_to(const struct side *side)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons((uint16_t)side->port)};
	int fd = socket(side->unix_path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;

	if (side->unix_path != NULL) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%s", side->unix_path);
		rc = connect(fd, (struct sockaddr *)&local, sizeof(local));
	} else {
		inet_pton(AF_INET, side->host, &remote.sin_addr);
		rc = connect(fd, (struct sockaddr *)&remote, sizeof(remote));
	}
	if (rc != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void disconnect(struct side_conn *conn)
{
	if (conn->fd >= 0) {
		close(conn->fd);
		buf_fini(&conn->input);
	}
	conn->fd = -1;
}

static struct side_conn *conn_of(struct side *side, unsigned number)
{
	struct side_conn *conn = &side->conns[number];

	if (conn->fd < 0) {
		conn->fd = connect_to(side);
		if (conn->fd < 0) {
			fatal("%s does not accept a connection: %s", side->name, strerror(errno));
		}
		buf_init(&conn->input, REPLY_MAX);
	}
	return conn;
}

static void send_all(struct side_conn *conn, struct slice bytes)
{
	while (bytes.len > 0) {
		ssize_t sent = send(conn->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR) {
			continue;
		}
		if (sent <= 0) {
			return; /* closed: the reading side says so */
		}
		bytes = slice_skip(bytes, (size_t)sent);
	}
}

/* One reply off the input. */
static bool take_reply(struct side_conn *conn, struct buf *out)
{
	size_t used;
	int rc = resp_reply_measure(buf_slice(&conn->input), REPLY_MAX, &used);

	if (rc == ERR_MORE || conn->input.len == 0) {
		return false;
	}
	if (rc != 0) {
		buf_append_text(out, "(not RESP) ");
		used = conn->input.len;
	}
	buf_append(out, conn->input.data, used);
	buf_consume(&conn->input, used);
	return true;
}

static void read_reply(struct side_conn *conn, struct buf *out)
{
	uint64_t until = clock_ms(CLOCK_MONOTONIC) + SIDE_PATIENCE_MS;

	while (!take_reply(conn, out)) {
		struct pollfd ready = {.fd = conn->fd, .events = POLLIN};
		uint64_t now = clock_ms(CLOCK_MONOTONIC);
		uint8_t *room = buf_reserve(&conn->input, KIB(16));
		ssize_t got;
		if (now >= until || room == NULL) {
			buf_append_text(out, "(silent)");
			return;
		}
		if (poll(&ready, 1, (int)(until - now)) <= 0) {
			continue;
		}
		got = recv(conn->fd, room, KIB(16), 0);
		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0) {
			buf_append_text(out, "(closed)");
			return;
		}
		conn->input.len += (size_t)got;
	}
}

void side_raw(struct side *side, unsigned number, struct slice bytes, struct buf *out)
{
	struct side_conn *conn = conn_of(side, number);

	send_all(conn, bytes);
	read_reply(conn, out);
}

void side_read(struct side *side, unsigned number, struct buf *out)
{
	read_reply(conn_of(side, number), out);
}

/* ---- starting and ending ---- */

static void no_conns(struct side *side)
{
	for (unsigned i = 0; i < SIDE_CONNS; i++) {
		side->conns[i].fd = -1;
	}
}

static pid_t spawn_redis(const char *log)
{
	pid_t parent = getpid(), pid = fork();
	int null, out;

	if (pid != 0) {
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with us, whatever ends us */
	if (getppid() != parent) {
		_exit(1);
	}
	null = open("/dev/null", O_RDONLY);
	out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	dup2(null, 0);
	dup2(out, 1);
	dup2(out, 2);
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly",
	       "no", "--databases", "16", (char *)NULL);
	_exit(127);
}

static bool alive(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) == 0;
}

bool side_start_redis(struct side *side)
{
	uint64_t until = clock_ms(CLOCK_MONOTONIC) + SIDE_PATIENCE_MS;
	int fd = -1;

	*side = (struct side){.name = "redis", .unix_path = "redis.sock"};
	no_conns(side);
	side->pid = spawn_redis("redis.log");
	while (fd < 0 && clock_ms(CLOCK_MONOTONIC) < until) {
		if (!alive(side->pid)) {
			side->pid = 0;
			return false;
		}
		fd = connect_to(side);
		if (fd < 0) {
			pause_ms(10);
		}
	}
	if (fd < 0) {
		side_stop(side);
		return false;
	}
	close(fd);
	return true;
}

void side_use_solo(struct side *side, struct solo *solo)
{
	*side = (struct side){.name = "tally", .solo = solo};
	no_conns(side);
}

void side_use_address(struct side *side, const char *host, int port)
{
	*side = (struct side){.name = "tally", .host = host, .port = port};
	no_conns(side);
}

void side_stop(struct side *side)
{
	for (unsigned i = 0; i < SIDE_CONNS; i++) {
		disconnect(&side->conns[i]);
	}
	if (side->pid > 0) {
		kill(side->pid, SIGKILL); /* it keeps nothing */
		waitpid(side->pid, NULL, 0);
		side->pid = 0;
	}
}

/* ---- cases ---- */

static void run_quietly(struct side *side, const char *one, const char *two)
{
	struct slice argv[2] = {slice_str(one), slice_str(two)};
	struct buf ignored;

	buf_init(&ignored, REPLY_MAX);
	side_run(side, 0, argv, two[0] == '\0' ? 1 : 2, &ignored);
	if (two[0] == '\0' && (ignored.len == 0 || ignored.data[0] != '+')) { /* FLUSHALL did not flush */
		buf_append_byte(&ignored, '\0');
		tap_note("%s: %s %s: %s", side->name, one, two, (const char *)ignored.data);
	}
	buf_fini(&ignored);
}

void side_reset(struct side *side, int protocol)
{
	for (unsigned i = 0; i < SIDE_CONNS; i++) {
		disconnect(&side->conns[i]);
	}
	if (side->solo != NULL) {
		side->solo->protocol = protocol;
		side->solo->db = 0;
		run_quietly(side, "FLUSHALL", "");
		return;
	}
	run_quietly(side, "FLUSHALL", "");
	run_quietly(side, "FUNCTION", "FLUSH");
	run_quietly(side, "SCRIPT", "FLUSH");
	if (protocol == 3) {
		run_quietly(side, "HELLO", "3");
	}
}

void side_sleep(struct side *side, unsigned ms)
{
	(void)side;
	pause_ms(ms);
}

/* The little of a session that a case without a server needs. */
static bool solo_select(struct solo *solo, const struct slice *argv, size_t argc, struct buf *out)
{
	int64_t db;

	if (argc != 2 || !slice_is_word(argv[0], "SELECT") || !slice_to_int64(argv[1], &db) || db < 0 || db > 15) {
		return false;
	}
	solo->db = (unsigned)db;
	buf_append_text(out, "+OK\r\n");
	return true;
}

static void run_solo(struct solo *solo, const struct slice *argv, size_t argc, struct buf *out)
{
	uint64_t now = clock_ms(CLOCK_REALTIME);

	if (solo_select(solo, argv, argc, out)) {
		return;
	}
	solo_advance(solo, now > solo->now_ms ? now - solo->now_ms : 0);
	if (!solo_run(solo, argv, argc, out)) {
		buf_append_text(out, "(needs a server)");
	}
}

void side_run(struct side *side, unsigned number, const struct slice *argv, size_t argc, struct buf *out)
{
	struct buf request;
	struct reply writer = {&request, 2};

	if (side->solo != NULL) {
		run_solo(side->solo, argv, argc, out);
		return;
	}
	buf_init(&request, REPLY_MAX);
	reply_array(&writer, argc);
	for (size_t i = 0; i < argc; i++) {
		reply_bulk(&writer, argv[i]);
	}
	side_raw(side, number, buf_slice(&request), out);
	buf_fini(&request);
}

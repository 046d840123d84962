#include "tests/nemesis/pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 65536

void pair_close(struct pair *pair, bool reset)
{
	const struct linger at_once = {.l_onoff = 1};
	for (int i = 0; i < 2; i++) {
		if (pair->ends[i].fd >= 0 && reset) {
			setsockopt(pair->ends[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		}
		if (pair->ends[i].fd >= 0) {
			close(pair->ends[i].fd);
		}
		strand_fini(&pair->strands[i]);
	}
	pair->used = false;
}

static void no_delay(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void pair_open(struct pair *pair, struct mischief *mischief, int fd, int mark)
{
	struct sockaddr_in wanted;
	socklen_t len = sizeof(wanted);
	int out = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (out < 0 || getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &wanted, &len) != 0 ||
	    setsockopt(out, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0) {
		fprintf(stderr, "nemesis-proxy: a connection is refused: %s\n", strerror(errno));
		close(fd);
		close(out);
		return;
	}
	no_delay(fd);
	no_delay(out);
	*pair = (struct pair){.ends = {{.fd = fd}, {.fd = out}}, .used = true, .connecting = true};
	for (uint8_t i = 0; i < 2; i++) {
		strand_init(&pair->strands[i], mischief, ntohl(wanted.sin_addr.s_addr), i);
	}
	if (connect(out, (struct sockaddr *)&wanted, sizeof(wanted)) != 0 && errno != EINPROGRESS) {
		pair_close(pair, true);
	}
}

static void finish_connecting(struct pair *pair)
{
	int error = 0;
	socklen_t len = sizeof(error);
	getsockopt(pair->ends[1].fd, SOL_SOCKET, SO_ERROR, &error, &len);
	pair->connecting = false;
	if (error != 0) {
		pair_close(pair, true);
	}
}

/* False: the pair is gone. */
static bool read_end(struct pair *pair, int i, uint64_t now_us)
{
	uint8_t bytes[READ_BYTES];
	ssize_t got = read(pair->ends[i].fd, bytes, sizeof(bytes));
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		return true;
	}
	if (got < 0) {
		pair_close(pair, true);
		return false;
	}
	if (got == 0) {
		pair->ends[i].at_end = true;
		strand_end(&pair->strands[i], now_us);
		return true;
	}
	strand_feed(&pair->strands[i], now_us, slice_of(bytes, (size_t)got));
	return true;
}

/* Moves what is due from strand i to the other end. False: the pair is gone. */
static bool write_end(struct pair *pair, int i, uint64_t now_us)
{
	struct strand *strand = &pair->strands[i];
	struct end *to = &pair->ends[1 - i];
	to->blocked = false;
	for (struct slice bytes; (bytes = strand_ready(strand, now_us)).len > 0;) {
		ssize_t put = send(to->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
		if (put < 0 && (errno == EAGAIN || errno == EINTR)) {
			to->blocked = true;
			return true;
		}
		if (put < 0) {
			pair_close(pair, true);
			return false;
		}
		strand_wrote(strand, (size_t)put);
	}
	if (strand->cut == STRAND_RESET) {
		pair_close(pair, true);
		return false;
	}
	bool over = strand->cut == STRAND_HALF ||
		    (strand->cut == STRAND_WHOLE && pair->ends[i].at_end && strand_empty(strand));
	if (over && !to->shut) {
		shutdown(to->fd, SHUT_WR);
		to->shut = true;
	}
	return true;
}

/* Both have ended: what a cut made silent stays so until the fault is over. */
static bool pair_over(const struct pair *pair)
{
	return pair->ends[0].at_end && pair->ends[1].at_end && pair->ends[0].shut && pair->ends[1].shut;
}

short pair_events(const struct pair *pair, int i)
{
	const struct end *end = &pair->ends[i];
	if (pair->connecting) {
		return i == 1 ? POLLOUT : 0;
	}
	bool reads = !end->at_end && !strand_full(&pair->strands[i]);
	return (short)((reads ? POLLIN : 0) | (end->blocked ? POLLOUT : 0));
}

uint64_t pair_wakes_us(const struct pair *pair, uint64_t now_us)
{
	uint64_t wakes = UINT64_MAX;
	for (int i = 0; !pair->connecting && i < 2; i++) {
		uint64_t at =
			pair->ends[1 - i].blocked ? UINT64_MAX : strand_wakes_us(&pair->strands[i], now_us);
		wakes = at < wakes ? at : wakes;
	}
	return wakes;
}

void pair_turn(struct pair *pair, const struct pollfd fds[2], uint64_t now_us)
{
	if (pair->connecting) {
		if (fds[1].revents != 0) {
			finish_connecting(pair);
		}
		return;
	}
	for (int i = 0; i < 2; i++) {
		bool heard = (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !pair->ends[i].at_end;
		if (heard && !read_end(pair, i, now_us)) {
			return;
		}
	}
	for (int i = 0; i < 2; i++) {
		if (!write_end(pair, i, now_us)) {
			return;
		}
	}
	if (pair_over(pair)) {
		pair_close(pair, false);
	}
}

bool pair_is_cut(const struct pair *pair)
{
	return pair->strands[0].cut != STRAND_WHOLE || pair->strands[1].cut != STRAND_WHOLE;
}

/* nemesis-proxy: stands in a node's namespace between the node and its peers.
 *
 * nftables sends what the node dials to 127.0.0.1:PORT; the kernel still knows
 * whom it wanted, and the proxy dials that with a mark that nftables lets pass.
 * Everything between the two goes through strands (strand.h), one a direction.
 *
 *   nemesis-proxy --port N --seed N --mark N
 *
 * Standard input takes a line at a time, and each has one line for an answer:
 *   set NAME=NUMBER ...   delay jitter lag rate swap duplicate replay corrupt cut after;
 *                         what is not named is off. Connections that a cut has hit are reset.
 *   counts                what happened so far
 * The end of standard input ends the proxy, so it never survives the nemesis. */
#include "tests/nemesis/strand.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAIRS_MAX 128
#define READ_BYTES 65536
#define LINE_BYTES 512

struct end {
	int fd; /* -1: closed */
	bool at_end, shut, blocked;
};

/* A connection of the node (end 0) and the one to its peer (end 1); strand i carries from end i to the other.
 */
struct pair {
	struct end ends[2];
	struct strand strands[2];
	bool connecting, used;
};

struct proxy {
	struct mischief mischief;
	struct pair pairs[PAIRS_MAX];
	int listener;
	int mark;
	char line[LINE_BYTES];
	size_t line_len;
	bool done;
};

static uint64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void fail(const char *what)
{
	fprintf(stderr, "nemesis-proxy: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- pairs ---- */

static void pair_close(struct pair *pair, bool reset)
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

static struct pair *free_pair(struct proxy *proxy)
{
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		if (!proxy->pairs[i].used) {
			return &proxy->pairs[i];
		}
	}
	return NULL;
}

static void no_delay(int fd)
{
	int on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void take_connection(struct proxy *proxy)
{
	int fd = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		return;
	}
	struct sockaddr_in wanted;
	socklen_t len = sizeof(wanted);
	struct pair *pair = free_pair(proxy);
	int out = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (pair == NULL || out < 0 || getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &wanted, &len) != 0 ||
	    setsockopt(out, SOL_SOCKET, SO_MARK, &proxy->mark, sizeof(proxy->mark)) != 0) {
		fprintf(stderr, "nemesis-proxy: a connection is refused: %s\n", strerror(errno));
		close(fd);
		close(out);
		return;
	}
	no_delay(fd);
	no_delay(out);
	*pair = (struct pair){.ends = {{.fd = fd}, {.fd = out}}, .used = true, .connecting = true};
	for (uint8_t i = 0; i < 2; i++) {
		strand_init(&pair->strands[i], &proxy->mischief, ntohl(wanted.sin_addr.s_addr), i);
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
static bool read_end(struct pair *pair, int i)
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
		strand_end(&pair->strands[i], now_us());
		return true;
	}
	strand_feed(&pair->strands[i], now_us(), slice_of(bytes, (size_t)got));
	return true;
}

/* Moves what is due from strand i to the other end. False: the pair is gone. */
static bool write_end(struct pair *pair, int i)
{
	struct strand *strand = &pair->strands[i];
	struct end *to = &pair->ends[1 - i];
	to->blocked = false;
	for (struct slice bytes; (bytes = strand_ready(strand, now_us())).len > 0;) {
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

/* ---- what the nemesis says ---- */

static bool set_word(struct strand_settings *settings, const char *name, uint64_t value)
{
	const struct {
		const char *name;
		uint32_t *to;
	} words[] = {
		{"delay", &settings->delay_ms},      {"jitter", &settings->jitter_ms},
		{"lag", &settings->lag_ms},          {"swap", &settings->swap},
		{"duplicate", &settings->duplicate}, {"replay", &settings->replay},
		{"corrupt", &settings->corrupt},
	};
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].name, name) == 0 && value <= 60000) {
			*words[i].to = (uint32_t)value;
			return true;
		}
	}
	if (strcmp(name, "rate") == 0) {
		settings->bytes_per_s = value;
		return true;
	}
	if (strcmp(name, "after") == 0 && value < UINT32_MAX) {
		settings->cut_after = value;
		return true;
	}
	if (strcmp(name, "cut") == 0 && value <= STRAND_RESET) {
		settings->cut = (enum strand_cut)value;
		return true;
	}
	return false;
}

static void obey_set(struct proxy *proxy, char *words)
{
	struct strand_settings settings = {0};
	for (char *at = NULL, *word = strtok_r(words, " ", &at); word != NULL;
	     word = strtok_r(NULL, " ", &at)) {
		char *equals = strchr(word, '=');
		if (equals == NULL) {
			printf("error %s\n", word);
			return;
		}
		*equals = '\0';
		if (!set_word(&settings, word, strtoull(equals + 1, NULL, 10))) {
			printf("error %s\n", word);
			return;
		}
	}
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		struct pair *pair = &proxy->pairs[i];
		if (pair->used &&
		    (pair->strands[0].cut != STRAND_WHOLE || pair->strands[1].cut != STRAND_WHOLE)) {
			pair_close(pair, true);
		}
	}
	mischief_set(&proxy->mischief, &settings);
	printf("ok\n");
}

static void obey(struct proxy *proxy, char *line)
{
	const struct strand_counts *counts = &proxy->mischief.counts;
	if (strncmp(line, "set", 3) == 0) {
		obey_set(proxy, line + 3);
	} else if (strcmp(line, "counts") == 0) {
		printf("frames=%" PRIu64 " late=%" PRIu64 " choked=%" PRIu64 " swapped=%" PRIu64
		       " duplicated=%" PRIu64 " replayed=%" PRIu64 " corrupted=%" PRIu64 " cut=%" PRIu64 "\n",
		       counts->frames, counts->late, counts->choked, counts->swapped, counts->duplicated,
		       counts->replayed, counts->corrupted, counts->cut);
	} else {
		printf("error %s\n", line);
	}
	fflush(stdout);
}

static void read_lines(struct proxy *proxy)
{
	ssize_t got = read(STDIN_FILENO, proxy->line + proxy->line_len, LINE_BYTES - 1 - proxy->line_len);
	if (got <= 0) {
		proxy->done = true;
		return;
	}
	proxy->line_len += (size_t)got;
	for (char *end; (end = memchr(proxy->line, '\n', proxy->line_len)) != NULL;) {
		*end = '\0';
		obey(proxy, proxy->line);
		size_t used = (size_t)(end + 1 - proxy->line);
		proxy->line_len -= used;
		memmove(proxy->line, end + 1, proxy->line_len);
	}
	proxy->done |= proxy->line_len == LINE_BYTES - 1; /* nobody we know */
}

/* ---- the loop ---- */

static short wanted_events(const struct pair *pair, int i)
{
	const struct end *end = &pair->ends[i];
	if (pair->connecting) {
		return i == 1 ? POLLOUT : 0;
	}
	bool reads = !end->at_end && !strand_full(&pair->strands[i]);
	return (short)((reads ? POLLIN : 0) | (end->blocked ? POLLOUT : 0));
}

/* Milliseconds until a strand has something to write. */
static int patience_ms(const struct proxy *proxy)
{
	uint64_t now = now_us(), wakes = UINT64_MAX;
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		const struct pair *pair = &proxy->pairs[i];
		for (int j = 0; pair->used && !pair->connecting && j < 2; j++) {
			uint64_t at = pair->ends[1 - j].blocked ? UINT64_MAX
								: strand_wakes_us(&pair->strands[j], now);
			wakes = at < wakes ? at : wakes;
		}
	}
	if (wakes == UINT64_MAX) {
		return -1;
	}
	return wakes <= now ? 0 : (int)((wakes - now + 999) / 1000);
}

static void turn_pair(struct pair *pair, const struct pollfd *fds)
{
	if (pair->connecting) {
		if (fds[1].revents != 0) {
			finish_connecting(pair);
		}
		return;
	}
	for (int i = 0; i < 2; i++) {
		bool heard = (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !pair->ends[i].at_end;
		if (heard && !read_end(pair, i)) {
			return;
		}
	}
	for (int i = 0; i < 2; i++) {
		if (!write_end(pair, i)) {
			return;
		}
	}
	if (pair_over(pair)) {
		pair_close(pair, false);
	}
}

static void turn(struct proxy *proxy)
{
	struct pollfd fds[2 + 2 * PAIRS_MAX];
	fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		const struct pair *pair = &proxy->pairs[i];
		for (int j = 0; j < 2; j++) {
			short events = pair->used ? wanted_events(pair, j) : 0;
			/* One that wants nothing is not watched: poll would tell of its end again and again.
			 */
			fds[2 + 2 * i + (size_t)j] =
				(struct pollfd){.fd = events ? pair->ends[j].fd : -1, .events = events};
		}
	}
	if (poll(fds, 2 + 2 * PAIRS_MAX, patience_ms(proxy)) < 0 && errno != EINTR) {
		fail("poll");
	}
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		if (proxy->pairs[i].used) {
			turn_pair(&proxy->pairs[i], fds + 2 + 2 * i);
		}
	}
	if (fds[0].revents != 0) {
		read_lines(proxy);
	}
	if (fds[1].revents != 0) {
		take_connection(proxy);
	}
}

static void listen_at(struct proxy *proxy, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (proxy->listener < 0 ||
	    setsockopt(proxy->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(proxy->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(proxy->listener, 64) != 0) {
		fail("listen");
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"port", 1, 0, 'p'}, {"seed", 1, 0, 's'}, {"mark", 1, 0, 'm'}, {0}};
	static struct proxy proxy; /* too large for a stack; nothing else refers to it by name */
	uint64_t port = 0, seed = 1;
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (option) {
		case 'p':
			port = strtoull(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			proxy.mark = atoi(optarg);
			break;
		default:
			return 2;
		}
	}
	if (port == 0 || port > 65535 || optind != argc) {
		fprintf(stderr, "usage: nemesis-proxy --port N [--seed N] [--mark N]\n");
		return 2;
	}
	mischief_init(&proxy.mischief, seed);
	listen_at(&proxy, (uint16_t)port);
	while (!proxy.done) {
		turn(&proxy);
	}
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		if (proxy.pairs[i].used) {
			pair_close(&proxy.pairs[i], true);
		}
	}
	close(proxy.listener);
	mischief_fini(&proxy.mischief);
	return 0;
}

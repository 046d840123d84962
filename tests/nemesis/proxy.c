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
#include "tests/nemesis/pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAIRS_MAX 128
#define LINE_BYTES 512

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

/* ---- connections ---- */

static struct pair *free_pair(struct proxy *proxy)
{
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		if (!proxy->pairs[i].used) {
			return &proxy->pairs[i];
		}
	}
	return NULL;
}

static void take_connection(struct proxy *proxy)
{
	int fd = accept4(proxy->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct pair *pair = free_pair(proxy);
	if (fd >= 0 && pair == NULL) {
		fprintf(stderr, "nemesis-proxy: a connection is refused: %d are open\n", PAIRS_MAX);
		close(fd);
	} else if (fd >= 0) {
		pair_open(pair, &proxy->mischief, fd, proxy->mark);
	}
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
		if (pair->used && pair_is_cut(pair)) {
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
		printf("bytes=%" PRIu64 " frames=%" PRIu64 " late=%" PRIu64 " choked=%" PRIu64 " swapped=%" PRIu64
		       " duplicated=%" PRIu64 " replayed=%" PRIu64 " corrupted=%" PRIu64 " cut=%" PRIu64 "\n",
		       counts->bytes, counts->frames, counts->late, counts->choked, counts->swapped, counts->duplicated,
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

/* Milliseconds until a strand has something to write. */
static int patience_ms(const struct proxy *proxy)
{
	uint64_t now = now_us(), wakes = UINT64_MAX;
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		const struct pair *pair = &proxy->pairs[i];
		uint64_t at = pair->used ? pair_wakes_us(pair, now) : UINT64_MAX;
		wakes = at < wakes ? at : wakes;
	}
	if (wakes == UINT64_MAX) {
		return -1;
	}
	return wakes <= now ? 0 : (int)((wakes - now + 999) / 1000);
}

static void turn(struct proxy *proxy)
{
	struct pollfd fds[2 + 2 * PAIRS_MAX];
	fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		const struct pair *pair = &proxy->pairs[i];
		for (int j = 0; j < 2; j++) {
			short events = pair->used ? pair_events(pair, j) : 0;
			/* One that wants nothing is not watched: poll would tell of its end again and again.
			 */
			fds[2 + 2 * i + (size_t)j] =
				(struct pollfd){.fd = events ? pair->ends[j].fd : -1, .events = events};
		}
	}
	if (poll(fds, 2 + 2 * PAIRS_MAX, patience_ms(proxy)) < 0 && errno != EINTR) {
		fail("poll");
	}
	uint64_t now = now_us();
	for (size_t i = 0; i < PAIRS_MAX; i++) {
		if (proxy->pairs[i].used) {
			pair_turn(&proxy->pairs[i], fds + 2 + 2 * i, now);
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

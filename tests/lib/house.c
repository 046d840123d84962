#include "tests/lib/house.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "env/uv_env.h"
#include "server/config.h"
#include "tests/lib/tap.h"

static void quiet(void *owner, enum log_level level, const char *text) {}

void house_open_as(struct house *house, enum shard_role role, uint64_t leader_id, uint64_t deadline_ms)
{
	static unsigned number; /* directories of this program */
	struct node_config config;
	struct err err = {0};
	config_defaults(&config);
	config.id = 1;
	config.default_deadline_ms = deadline_ms;
	snprintf(config.dir, sizeof config.dir, "%s/node%u", tap_dir(), number++);
	strcpy(config.listen, "127.0.0.1:0");
	for (uint64_t id = 1; id <= 3; id++) {
		struct node_member *member = &config.members[config.member_count++];
		member->id = id;
		snprintf(member->peer, sizeof member->peer, "127.0.0.1:%d", 7500 + (int)id);
		snprintf(member->client, sizeof member->client, "127.0.0.1:%d", 7400 + (int)id);
	}
	config_finish(&config, &err);
	house->log = (struct log){LOG_ERROR, "n1", quiet, NULL};
	signal(SIGPIPE, SIG_IGN); /* who plays a client writes to what the node has closed */
	house->env = uv_env_new(NULL);
	straw.role = role;
	straw.leader_id = leader_id;
	if (node_open(house->env, &config, &house->log, &house->node, &err) != 0 ||
	    node_start(house->node, &err) != 0) {
		tap_note("%s", err.text);
		abort();
	}
}

void house_open(struct house *house, enum shard_role role, uint64_t leader_id)
{
	house_open_as(house, role, leader_id, 60000);
}

void house_close(struct house *house)
{
	node_free(house->node);
	uv_env_free(house->env, NULL, NULL);
}

bool never(void *owner)
{
	return false;
}

void turns(struct house *house)
{
	for (int i = 0; i < 6; i++) {
		uv_env_run_until(house->env, never, NULL, 4);
	}
}

struct wish {
	const uint64_t *now;
	uint64_t want;
};

static bool fulfilled(void *owner)
{
	const struct wish *wish = owner;
	return *wish->now >= wish->want;
}

static bool fewer(void *owner)
{
	const struct wish *wish = owner;
	return *wish->now <= wish->want;
}

void await_clients(struct house *house, size_t count)
{
	struct wish wish = {(const uint64_t *)&house->node->listener.count, count};
	uv_env_run_until(house->env, fewer, &wish, HEAR_MS);
	turns(house);
}
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "a count is looked at as a number");

void set_role(struct house *house, enum shard_role role, uint64_t leader_id)
{
	straw.role = role;
	straw.leader_id = leader_id;
	straw.config.on_role(straw.config.owner, role == SHARD_LEADS ? REPLICA_LEADER : REPLICA_FOLLOWER,
			     leader_id);
	turns(house);
}

int client_open(struct house *house)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)node_client_port(house->node)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
		abort();
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

void say(struct house *house, int fd, const char *text)
{
	size_t len = strlen(text);
	struct wish wish = {&house->node->counters.bytes_in, house->node->counters.bytes_in + len};
	if (write(fd, text, len) != (ssize_t)len) {
		tap_note("short write");
	}
	uv_env_run_until(house->env, fulfilled, &wish, HEAR_MS);
	turns(house);
}

void send_only(int fd, const char *text)
{
	int under_way = 1;
	size_t len = strlen(text);
	if (write(fd, text, len) != (ssize_t)len) {
		tap_note("short write");
	}
	for (int i = 0; i < HEAR_MS && ioctl(fd, SIOCOUTQ, &under_way) == 0 && under_way > 0; i++) {
		usleep(1000);
	}
}

bool heard(void *owner)
{
	struct ear *ear = owner;
	ssize_t n = read(ear->fd, ear->bytes + ear->len, sizeof ear->bytes - 1 - ear->len);
	if (n > 0) {
		ear->len += (size_t)n;
	}
	ear->closed = n == 0;
	return ear->closed || ear->len >= ear->want;
}

void hear(struct house *house, int fd, const char *text, const char *sentence)
{
	static struct ear ear;
	memset(&ear, 0, sizeof ear);
	ear.fd = fd;
	ear.want = strlen(text);
	for (int i = 0; i < HEAR_MS / 20 && !heard(&ear); i++) {
		uv_env_run_until(house->env, never, NULL, 20);
	}
	is_str(ear.bytes, text, "%s", sentence);
}

bool silent(struct house *house, int fd)
{
	char byte;
	turns(house);
	return read(fd, &byte, 1) < 0;
}

void hear_end(struct house *house, int fd, const char *sentence)
{
	static struct ear ear;
	memset(&ear, 0, sizeof ear);
	ear.fd = fd;
	ear.want = 1;
	for (int i = 0; i < HEAR_MS / 20 && !heard(&ear); i++) {
		uv_env_run_until(house->env, never, NULL, 20);
	}
	ok(ear.closed && ear.len == 0, "%s", sentence);
}

char *long_reply(size_t len)
{
	char *text = malloc(len + 64);
	int head = sprintf(text, "$%zu\r\n", len);
	memset(text + head, 'x', len);
	memcpy(text + head + len, "\r\n", 3);
	return text;
}

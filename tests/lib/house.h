/* A node over a shard of straw, on libuv, and clients of it by hand. A test is read as a talk with it: its
 * verbs carry no prefix. */
#ifndef TESTS_LIB_HOUSE_H
#define TESTS_LIB_HOUSE_H

#include "server/node_private.h"
#include "tests/lib/straw.h"

#define HEAR_MS 10000

struct house {
	struct env *env;
	struct node *node;
	struct log log;
};

void house_open(struct house *house, enum shard_role role, uint64_t leader_id);
/* With a deadline of requests that name none; else it is a minute. */
void house_open_as(struct house *house, enum shard_role role, uint64_t leader_id, uint64_t deadline_ms);
void house_close(struct house *house);
void set_role(struct house *house, enum shard_role role, uint64_t leader_id);
/* Several turns of the loop, however slow the machine is. */
void turns(struct house *house);
/* For uv_env_run_until: the time is waited for. */
bool never(void *owner);

int client_open(struct house *house);
/* The node has noticed that clients went. */
void await_clients(struct house *house, size_t count);
/* Written, and read by the node. */
void say(struct house *house, int fd, const char *text);
/* Written, and arrived where the node will read it. */
void send_only(int fd, const char *text);
/* Until the client has got as many bytes as text has; they must be text. */
void hear(struct house *house, int fd, const char *text, const char *sentence);
/* Its end is all that the client gets. */
void hear_end(struct house *house, int fd, const char *sentence);
bool silent(struct house *house, int fd);

/* What a client has got so far; want bytes make it enough. */
struct ear {
	int fd;
	char bytes[65536];
	size_t len, want;
	bool closed;
};
bool heard(void *ear);

/* A bulk string of len bytes as a reply, in malloced memory. */
char *long_reply(size_t len);

#endif /* TESTS_LIB_HOUSE_H */

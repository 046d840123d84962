/* Some replicas of one group in one process, each with a database that is only
 * a list of what was handed over. For tests of the raft room, over any env. */
#ifndef TESTS_LIB_GROUP_H
#define TESTS_LIB_GROUP_H

#include "raft/replica.h"

#define GROUP_MAX 5
#define GROUP_INDEX_MAX 20000

struct group;
struct group_member {
	struct group *group;
	uint64_t id;
	struct env *env;
	char dir[512], address[64];
	struct replica *replica; /* NULL while it is down */
	enum replica_role role;
	uint64_t term, leader_id;
	bool open; /* leads, and may propose */
	uint64_t open_index;
	uint64_t commit_index;               /* as told */
	uint64_t applied;                    /* survives a stop, as a database does */
	uint64_t flushed;                    /* what a stop leaves of it, where a test cares */
	struct chain chain[GROUP_INDEX_MAX]; /* of what was applied */
	uint64_t term_of[GROUP_INDEX_MAX];
	uint8_t type[GROUP_INDEX_MAX];
	uint64_t configuration_index;
	uint8_t configuration[1024];
	size_t configuration_len;
	uint64_t stamp_ms;
	bool closed, stopped;
	char stop_line[600];
	unsigned order_errors; /* handed over out of order, or again */
	unsigned opens, losses;
	/* What requests are answered with: the request, reversed. NULL: not at all. */
	bool answers;
	uint64_t requests, last_from;
};
struct group {
	size_t count;
	uint64_t segment_bytes, keep_bytes, cache_bytes;
	struct log *log;
	struct group_member members[GROUP_MAX];
	struct replica_member bootstrap[GROUP_MAX];
	/* What any member was handed first at each index, and how often another got something else. */
	struct chain agreed[GROUP_INDEX_MAX];
	uint64_t agreed_upto;
	unsigned disagreements;
	uint64_t acknowledged; /* highest commit index told by an open leader: replies may have gone out */
};

/* addresses of the members are set by the caller, then: */
int group_open(struct group *group, size_t i, struct err *err);
/* Forgets what the member applied: its database is new. */
void group_wipe(struct group *group, size_t i);
/* The open leader, or NULL. */
struct group_member *group_leader(struct group *group);
/* Proposes an entry of len bytes; its index, or 0. */
uint64_t group_propose(struct group_member *leader, size_t len);
/* All members that run have applied up to index. */
bool group_applied(struct group *group, uint64_t index);
/* The same, to wait for. */
struct group_wait {
	struct group *group;
	uint64_t index;
};
bool group_wait_applied(void *group_wait);
/* A read that remembers how it ended; its callback is group_read_cb. */
struct group_reader {
	struct replica_read read;
	unsigned called;
	int status;
};
void group_read_cb(struct replica_read *read, int status);
/* At every index the same chain everywhere, and nothing out of order. */
bool group_agrees(struct group *group);

#endif /* TESTS_LIB_GROUP_H */

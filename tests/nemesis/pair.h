/* A connection of the node (end 0) and the one to its peer (end 1); strand i carries from end i to the other.
 *
 *   pair_open ──> connecting ──the peer took it──> carrying ──both ended, an error, a cut──> not used
 *                     └── refused ──────────────────────────────────────────────────────────────^ */
#ifndef TESTS_NEMESIS_PAIR_H
#define TESTS_NEMESIS_PAIR_H

#include "tests/nemesis/strand.h"

#include <poll.h>

struct end {
	int fd; /* -1: closed */
	bool at_end, shut, blocked;
};

struct pair {
	struct end ends[2];
	struct strand strands[2];
	bool connecting, used;
};

/* Dials whom the accepted fd wanted before nftables turned it here; with that mark nftables lets it pass.
 * Takes fd. When nobody can be dialed pair stays unused. */
void pair_open(struct pair *pair, struct mischief *mischief, int fd, int mark);
/* reset: the ends are told by RST, not by an orderly end. */
void pair_close(struct pair *pair, bool reset);
/* What to poll end i for; 0: nothing, and it should not be watched at all. */
short pair_events(const struct pair *pair, int i);
/* When a strand has something to write, UINT64_MAX for never. */
uint64_t pair_wakes_us(const struct pair *pair, uint64_t now_us);
/* Moves what can be moved after a poll of both ends. */
void pair_turn(struct pair *pair, const struct pollfd fds[2], uint64_t now_us);
/* Whether a cut has hit one of its ways. */
bool pair_is_cut(const struct pair *pair);

#endif /* TESTS_NEMESIS_PAIR_H */

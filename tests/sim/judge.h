/* The judge of a simulated run: what must be true of the nodes at every
 * moment, and what the clients' histories must show at the end. Pure: it is told,
 * it asks nobody.
 *
 * During the run: one leader a term; every node applies the same entries at the
 * same index (chain, term), in order, without a gap and none a second time: a life goes on
 * behind what its database holds when it begins, and never beyond what was said before.
 * At the end: every judge of tests/check, over one history of what all clients saw and what the log holds. */
#ifndef TESTS_SIM_JUDGE_H
#define TESTS_SIM_JUDGE_H

#include "base/err.h"
#include "tests/check/history.h"
#include "wire/entry.h"

#define JUDGE_MEMBERS 16

struct judge_entry {
	uint64_t term;
	struct chain chain;
};

struct judge_leader {
	uint64_t term;
	unsigned member;
};

struct judge {
	bool failed;
	char failure[1024];
	struct history history; /* clients add what they saw; entries come from judge_applied */
	struct judge_entry *entries; /* [index - 1] */
	uint64_t entry_count, entry_cap;
	struct judge_leader *leaders; /* by rising term of first sight */
	size_t leader_count, leader_cap;
	uint64_t applied[JUDGE_MEMBERS]; /* what its database holds */
	uint64_t commits[JUDGE_MEMBERS];
	uint64_t leader_changes;
};

void judge_init(struct judge *judge);
void judge_fini(struct judge *judge);
/* The first failure is kept. */
void judge_fail(struct judge *judge, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A node began a life with a database that holds all up to an index, as the database says, not the node. */
void judge_started(struct judge *judge, unsigned member, uint64_t held);
void judge_applied(struct judge *judge, unsigned member, const struct entry *entry);
void judge_leads(struct judge *judge, unsigned member, uint64_t term);
void judge_commit(struct judge *judge, unsigned member, uint64_t commit_index);

/* Hands the history to the judges of tests/check. */
void judge_verdict(struct judge *judge);

#endif /* TESTS_SIM_JUDGE_H */

/* The judge of a simulated run finds the lies it is there for. */
#include "tests/sim/judge.h"

#include "tests/lib/tap.h"

#include <string.h>

static struct entry *entry_at(uint64_t index, uint64_t term, uint64_t mark)
{
	struct entry *entry = entry_new(ENTRY_BARRIER, SLICE_LIT("x"));
	entry->index = index;
	entry->term = term;
	entry->chain = (struct chain){index, mark};
	return entry;
}

static struct judge judge;

static void apply(unsigned member, uint64_t index, uint64_t term, uint64_t mark)
{
	struct entry *entry = entry_at(index, term, mark);
	judge_applied(&judge, member, entry);
	entry_unref(entry);
}

/* A node that applies 1 and 2, of term 1. */
static void apply_two(unsigned member)
{
	apply(member, 1, 1, 0);
	apply(member, 2, 1, 0);
}

/* The judge finds a lie, and looks at another world from here on. */
static void found(const char *sentence)
{
	ok(judge.failed, "%s", sentence);
	judge_fini(&judge);
	judge_init(&judge);
}

static void test_applied(void)
{
	judge_started(&judge, 0, 0);
	judge_started(&judge, 1, 0);
	for (uint64_t index = 1; index <= 5; index++) {
		apply(0, index, 1, 0);
		apply(1, index, 1, 0);
	}
	judge_started(&judge, 1, 2);
	apply(1, 3, 1, 0);
	apply(1, 4, 1, 0);
	ok(!judge.failed, "nodes that apply the same, and one that replays after a restart, are innocent");
	apply(1, 5, 1, 9);
	found("another chain at an index is found");

	apply_two(0);
	apply(1, 1, 1, 0);
	apply(1, 2, 2, 0);
	found("another term at an index is found");

	apply_two(0);
	apply(0, 2, 1, 0);
	found("an entry applied twice in one life is found");

	apply(0, 1, 1, 0);
	apply(0, 3, 1, 0);
	found("an entry left out is found");

	apply_two(0);
	judge_started(&judge, 0, 2);
	apply(0, 2, 1, 0);
	found("an entry applied again after a restart, to a database that holds it, is found");
}

static void test_roles(void)
{
	judge_leads(&judge, 0, 1);
	judge_leads(&judge, 0, 1);
	judge_leads(&judge, 1, 3);
	judge_leads(&judge, 0, 5);
	ok(!judge.failed, "one leader a term is innocent");
	is_int(judge.leader_changes, 2, "and changes are counted");
	judge_leads(&judge, 2, 3);
	found("two leaders in a term are found, late as well");

	judge_commit(&judge, 0, 7);
	judge_commit(&judge, 1, 3);
	judge_commit(&judge, 0, 8);
	judge_started(&judge, 0, 0);
	judge_commit(&judge, 0, 2);
	ok(!judge.failed, "a commit index rises, and begins anew with a life");
	judge_commit(&judge, 0, 1);
	found("one that falls is found");
}

/* What a node tells while it lives, and what it may not tell. */
static void test_lives(void)
{
	apply_two(0);
	judge_started(&judge, 0, 0);
	apply_two(0);
	apply(0, 3, 2, 0);
	ok(!judge.failed, "a node that comes back older than it was replays and goes on");
	judge_started(&judge, 0, 2);
	apply(0, 3, 2, 7);
	found("one that replays another entry than it applied in a former life is found");

	apply_two(0);
	apply(1, 1, 1, 0);
	judge_started(&judge, 1, 3);
	apply(1, 4, 1, 0);
	found("a node that begins beyond the common log is found");

	apply_two(0);
	apply(0, 1, 1, 0);
	found("an applied index that falls within a life is found");

	judge_fail(&judge, "first %d", 1);
	judge_fail(&judge, "second %d", 2);
	is_str(judge.failure, "first 1", "the first failure is kept");
	found("and it has failed");
}

static void test_history(void)
{
	apply(0, 1, 1, 0);
	apply(1, 1, 1, 0);
	ok(judge.history.entry_count == 1 && judge.history.entries[0].index == 1,
	   "an entry goes into the history once");
	judge_fini(&judge);
	judge_init(&judge);

	const struct history_op write = {.invoked_us = 1,
					 .returned_us = 2,
					 .function = HISTORY_WRITE,
					 .key = 1,
					 .value = 5,
					 .code = ""};
	struct history_op read = {.invoked_us = 3,
				  .returned_us = 4,
				  .client = 1,
				  .function = HISTORY_READ,
				  .key = 1,
				  .value = 5,
				  .found = true,
				  .code = ""};
	history_add(&judge.history, &write);
	history_add(&judge.history, &read);
	judge_verdict(&judge);
	ok(!judge.failed, "a read of what was written is innocent");
	read.invoked_us = 5;
	read.returned_us = 6;
	read.found = false;
	history_add(&judge.history, &read);
	judge_verdict(&judge);
	found("a stale read is found");
}

int main(void)
{
	judge_init(&judge);
	test_applied();
	test_roles();
	test_lives();
	test_history();
	judge_fini(&judge);
	return tap_done();
}

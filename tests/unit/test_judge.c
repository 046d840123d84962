/* The judge of a simulated run finds the lies it is there for. */
#include "tests/sim/judge.h"

#include "tests/lib/tap.h"

#include <string.h>

static struct entry *entry_at(uint64_t index, uint64_t term, uint64_t mark)
{
	struct entry *entry = entry_new(ENTRY_COMMAND, SLICE_LIT("x"));
	entry->index = index;
	entry->term = term;
	entry->chain = (struct chain){index, mark};
	return entry;
}

static void apply(struct judge *judge, unsigned member, uint64_t index, uint64_t term, uint64_t mark)
{
	struct entry *entry = entry_at(index, term, mark);
	judge_applied(judge, member, entry);
	entry_unref(entry);
}

static void test_applied(void)
{
	struct judge judge;
	judge_init(&judge);
	judge_started(&judge, 0);
	judge_started(&judge, 1);
	for (uint64_t index = 1; index <= 5; index++) {
		apply(&judge, 0, index, 1, 0);
		apply(&judge, 1, index, 1, 0);
	}
	judge_started(&judge, 1);
	apply(&judge, 1, 3, 1, 0);
	apply(&judge, 1, 4, 1, 0);
	ok(!judge.failed, "nodes that apply the same, and one that replays after a restart, are innocent");
	apply(&judge, 1, 5, 1, 9);
	ok(judge.failed, "another chain at an index is found");
	judge_fini(&judge);

	judge_init(&judge);
	apply(&judge, 0, 1, 1, 0);
	apply(&judge, 0, 2, 1, 0);
	apply(&judge, 1, 1, 1, 0);
	apply(&judge, 1, 2, 2, 0);
	ok(judge.failed, "another term at an index is found");
	judge_fini(&judge);

	judge_init(&judge);
	apply(&judge, 0, 1, 1, 0);
	apply(&judge, 0, 2, 1, 0);
	apply(&judge, 0, 2, 1, 0);
	ok(judge.failed, "an entry applied twice in one life is found");
	judge_fini(&judge);

	judge_init(&judge);
	apply(&judge, 0, 1, 1, 0);
	apply(&judge, 0, 3, 1, 0);
	ok(judge.failed, "an entry left out is found");
	judge_fini(&judge);
}

static void test_roles(void)
{
	struct judge judge;
	judge_init(&judge);
	judge_leads(&judge, 0, 1);
	judge_leads(&judge, 0, 1);
	judge_leads(&judge, 1, 3);
	judge_leads(&judge, 0, 5);
	ok(!judge.failed, "one leader a term is innocent");
	is_int(judge.leader_changes, 2, "and changes are counted");
	judge_leads(&judge, 2, 3);
	ok(judge.failed, "two leaders in a term are found, late as well");
	judge_fini(&judge);

	judge_init(&judge);
	judge_commit(&judge, 0, 7);
	judge_commit(&judge, 1, 3);
	judge_commit(&judge, 0, 8);
	judge_started(&judge, 0);
	judge_commit(&judge, 0, 2);
	ok(!judge.failed, "a commit index rises, and begins anew with a life");
	judge_commit(&judge, 0, 1);
	ok(judge.failed, "one that falls is found");
	judge_fini(&judge);
}

static void test_counters(void)
{
	struct judge judge;
	judge_init(&judge);
	judge_counter(&judge, "c", 10, 0, 10);
	judge_counter(&judge, "c", 10, 3, 12);
	ok(!judge.failed, "acknowledged once each, unknown at most once");
	judge_counter(&judge, "c", 10, 3, 9);
	ok(judge.failed, "an acknowledged INCR that is lost is found");
	judge_fini(&judge);
	judge_init(&judge);
	judge_counter(&judge, "c", 10, 0, 11);
	ok(judge.failed, "one that happened twice is found");
	judge_fini(&judge);
}

static void test_histories(void)
{
	struct judge judge;
	struct history registers, lists;
	judge_init(&judge);
	history_init(&registers);
	history_init(&lists);
	const struct history_op write = {.invoked_us = 1, .returned_us = 2, .function = HISTORY_WRITE, .key = 1, .value = 5, .code = ""};
	struct history_op read = {
		.invoked_us = 3, .returned_us = 4, .client = 1, .function = HISTORY_READ, .key = 1, .value = 5, .found = true, .code = ""};
	history_add(&registers, &write);
	history_add(&registers, &read);
	judge_history(&judge, &registers, &lists);
	ok(!judge.failed, "a read of what was written is innocent");
	read.invoked_us = 5;
	read.returned_us = 6;
	read.found = false;
	history_add(&registers, &read);
	judge_history(&judge, &registers, &lists);
	ok(judge.failed, "a stale read is found");
	judge_fini(&judge);

	judge_init(&judge);
	history_fini(&registers);
	history_init(&registers);
	struct history_part part = {.append = true, .key = 1, .value = 7};
	struct history_op txn = {.invoked_us = 1, .returned_us = 2, .function = HISTORY_TXN, .parts = &part, .part_count = 1, .code = ""};
	history_add(&lists, &txn);
	const int64_t none[1] = {0};
	part = (struct history_part){.key = 1, .list = none, .count = 0};
	txn.invoked_us = 3;
	txn.returned_us = 4;
	history_add(&lists, &txn);
	judge_history(&judge, &registers, &lists);
	ok(judge.failed, "an acknowledged append that is not in the list is found");
	judge_fini(&judge);
	history_fini(&registers);
	history_fini(&lists);
}

int main(void)
{
	test_applied();
	test_roles();
	test_counters();
	test_histories();
	return tap_done();
}

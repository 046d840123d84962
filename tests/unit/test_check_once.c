#include "tests/check/once.h"
#include "tests/lib/past.h"
#include "tests/lib/tap.h"

static struct history history, whole;

static struct history_op *add(const char *id, uint64_t from, uint64_t to, enum history_outcome outcome,
			      int64_t value)
{
	struct history_op *op = past_op(&history, HISTORY_ADD, id, from, to, 0, value);
	op->outcome = outcome;
	op->code = outcome == HISTORY_FAIL ? "OVERLOADED" : "";
	return op;
}

static void again(void)
{
	past_forget(&history);
	past_forget(&whole);
}

static void judge(const char *want, const char *sentence)
{
	struct err err = {0};
	int rc = once_merge(&history, &whole, &err);
	past_judged(rc, &err, want, sentence);
}

static void accepted(void)
{
	add("a", 1, 5, HISTORY_OK, 1);
	add("", 2, 3, HISTORY_OK, 2);
	add("", 2, 3, HISTORY_OK, 3);
	judge(NULL, "requests without an id are one each");
	is_int(whole.count, 3, "and stay three");
	again();

	add("a", 1, HISTORY_NEVER, HISTORY_INFO, 0);
	add("b", 2, 4, HISTORY_OK, 1);
	add("a", 6, 9, HISTORY_OK, 2);
	judge(NULL, "an unknown request that a retry settles is accepted");
	ok(whole.count == 2 && whole.ops[0].outcome == HISTORY_OK && whole.ops[0].value == 2 &&
		   whole.ops[0].invoked_us == 1 && whole.ops[0].returned_us == 9,
	   "and is one request, from its first attempt to its first answer");
	again();

	add("a", 1, 3, HISTORY_FAIL, 0);
	add("a", 6, 9, HISTORY_OK, 2);
	add("a", 10, 12, HISTORY_OK, 2);
	add("a", 14, HISTORY_NEVER, HISTORY_INFO, 0);
	judge(NULL, "refused at first, done, and asked again two times is accepted");
	ok(whole.count == 1 && whole.ops[0].invoked_us == 6 && whole.ops[0].returned_us == 9,
	   "and happened where it was first acknowledged");
	again();

	add("a", 1, 3, HISTORY_FAIL, 0);
	add("a", 4, 5, HISTORY_FAIL, 0);
	judge(NULL, "an attempt that failed twice is accepted");
	is_int(whole.ops[0].outcome, HISTORY_FAIL, "as failed");
	again();

	add("a", 1, HISTORY_NEVER, HISTORY_INFO, 0);
	add("a", 4, 5, HISTORY_FAIL, 0)->code = "SOLD_OUT";
	judge(NULL, "an unknown request that is refused afterwards is accepted");
	is_int(whole.ops[0].outcome, HISTORY_FAIL, "as refused");
	again();
}

static void refused(void)
{
	add("a", 1, 3, HISTORY_OK, 1);
	add("a", 6, 9, HISTORY_OK, 2);
	judge("different things", "a retry with another answer is found");
	again();

	add("a", 1, 3, HISTORY_OK, 1);
	add("a", 6, 9, HISTORY_FAIL, 0)->code = "SOLD_OUT";
	judge("refused at another time", "done, then refused is found");
	again();

	add("a", 1, 3, HISTORY_FAIL, 0)->code = "SOLD_OUT";
	add("a", 6, 9, HISTORY_OK, 1);
	judge("acknowledged at another time", "refused for good, then done is found");
	again();

	add("a", 1, 3, HISTORY_OK, 1);
	add("a", 6, 9, HISTORY_OK, 1)->key = 7;
	judge("another question", "an id used for two questions is found");
	again();

	add("a", 1, HISTORY_NEVER, HISTORY_INFO, 1)->function = HISTORY_WRITE;
	add("a", 6, 9, HISTORY_OK, 2)->function = HISTORY_WRITE;
	judge("another question",
	      "an id used for two values is found, also when nobody was told of the first");
	again();

	const int64_t one[] = {1, 5}, two[] = {1, 6};
	struct history_op *op = add("a", 1, 3, HISTORY_OK, 1);
	op->list = one, op->list_count = 2;
	op = add("a", 6, 9, HISTORY_OK, 1);
	op->list = two, op->list_count = 2;
	judge("different things", "another list in the answer is found");
	again();

	struct history_part part = {.key = 1, .list = one, .count = 2};
	struct history_op txn = {
		.function = HISTORY_TXN, .id = "t", .parts = &part, .part_count = 1, .code = ""};
	history_add(&history, &txn);
	part.count = 1;
	history_add(&history, &txn);
	judge("different things", "another list read by the same transaction is found");
	again();
}

int main(void)
{
	history_init(&history);
	history_init(&whole);
	accepted();
	refused();
	history_fini(&history);
	history_fini(&whole);
	return tap_done();
}

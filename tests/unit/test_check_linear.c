#include "tests/check/linear.h"
#include "base/prng.h"
#include "tests/lib/past.h"
#include "tests/lib/tap.h"

static struct history history;

static void op(enum history_function f, uint32_t client, uint64_t from, uint64_t to, int64_t value,
	       bool found)
{
	struct history_op *o = past_op(&history, f, "", from, to, 1, value);
	o->client = client;
	o->found = found;
}

static void cas(uint32_t client, uint64_t from, uint64_t to, int64_t expected, int64_t value, bool swapped)
{
	op(HISTORY_CAS, client, from, to, value, swapped);
	history.ops[history.count - 1].expected = expected;
}

static void judge(enum linear_verdict want, const char *sentence)
{
	struct err err = {0};
	size_t keys, undecided;
	enum linear_verdict got = linear_check(&history, 20000000, &keys, &undecided, &err);
	ok(got == want, "%s", sentence);
	if (got != want) {
		tap_note("%s", err.text);
	}
	past_forget(&history);
}

static void hand_made(void)
{
	op(HISTORY_READ, 1, 1, 2, 0, false);
	op(HISTORY_WRITE, 1, 3, 4, 7, true);
	op(HISTORY_READ, 2, 5, 6, 7, true);
	judge(LINEAR_YES, "a read after a write sees it");

	op(HISTORY_WRITE, 1, 1, 2, 7, true);
	op(HISTORY_READ, 2, 3, 4, 0, false);
	judge(LINEAR_NO, "a stale read is found");

	op(HISTORY_WRITE, 1, 1, 10, 7, true);
	op(HISTORY_READ, 2, 2, 3, 7, true);
	op(HISTORY_READ, 3, 4, 5, 0, false);
	judge(LINEAR_NO, "a value that was seen cannot be unseen, even while its write is under way");

	op(HISTORY_WRITE, 1, 1, 10, 7, true);
	op(HISTORY_READ, 2, 2, 3, 0, false);
	op(HISTORY_READ, 3, 4, 5, 7, true);
	judge(LINEAR_YES, "a write takes effect somewhere between its begin and its end");

	op(HISTORY_WRITE, 1, 1, HISTORY_NEVER, 7, true);
	op(HISTORY_READ, 2, 5, 6, 0, false);
	op(HISTORY_READ, 2, 100, 101, 7, true);
	judge(LINEAR_YES, "an unknown write may happen long after it began");

	op(HISTORY_WRITE, 1, 1, HISTORY_NEVER, 7, true);
	op(HISTORY_READ, 2, 5, 6, 0, false);
	judge(LINEAR_YES, "or never");

	op(HISTORY_WRITE, 1, 1, HISTORY_NEVER, 7, true);
	op(HISTORY_READ, 2, 5, 6, 7, true);
	op(HISTORY_WRITE, 2, 7, 8, 9, true);
	op(HISTORY_READ, 2, 9, 10, 7, true);
	judge(LINEAR_NO, "but not twice");

	op(HISTORY_WRITE, 1, 1, 2, 7, true);
	history.ops[0].outcome = HISTORY_FAIL;
	op(HISTORY_READ, 2, 5, 6, 7, true);
	judge(LINEAR_NO, "a write that certainly failed must not be seen");

	op(HISTORY_WRITE, 1, 1, 2, 1, true);
	cas(1, 3, 6, 1, 2, true);
	cas(2, 3, 6, 1, 3, true);
	judge(LINEAR_NO, "two swaps of one value cannot both succeed");

	op(HISTORY_WRITE, 1, 1, 2, 1, true);
	cas(1, 3, 6, 1, 2, true);
	cas(2, 3, 6, 1, 3, false);
	op(HISTORY_READ, 1, 7, 8, 2, true);
	judge(LINEAR_YES, "one succeeds, the other fails");
}

/* A register served by one clock tick an operation: true histories, then one planted lie. */
static void generated(uint64_t seed, const char *lie)
{
	struct prng prng;
	int64_t value = 0;
	bool present = false;
	prng_init(&prng, seed);
	for (int i = 0; i < 300; i++) {
		uint64_t effect = 100 * (uint64_t)i + 500;
		uint64_t from = effect - 1 - prng_below(&prng, 400);
		uint64_t to = effect + 1 + prng_below(&prng, 400);
		if (prng_chance(&prng, 1, 2)) {
			present = true;
			value = i + 1;
			op(HISTORY_WRITE, (uint32_t)i, from, i % 80 == 11 ? HISTORY_NEVER : to, value, true);
		} else {
			op(HISTORY_READ, (uint32_t)i, from, to, value, present);
		}
	}
	if (lie == NULL) {
		judge(LINEAR_YES, "a true history is accepted");
		return;
	}
	/* The last read tells what was overwritten long ago, by a write that ended. */
	int64_t old = 0;
	for (size_t i = 0; old == 0; i++) {
		bool ended = history.ops[i].function == HISTORY_WRITE && history.ops[i].outcome == HISTORY_OK;
		old = ended ? history.ops[i].value : 0;
	}
	for (size_t i = history.count; i-- > 0;) {
		if (history.ops[i].function == HISTORY_READ) {
			history.ops[i].value = old;
			break;
		}
	}
	judge(LINEAR_NO, lie);
}

int main(void)
{
	history_init(&history);
	hand_made();
	for (uint64_t seed = 1; seed <= 20; seed++) {
		generated(seed, NULL);
		generated(seed, "one planted stale read is found");
	}
	history_fini(&history);
	return tap_done();
}

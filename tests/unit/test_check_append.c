#include "tests/check/append.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

#include <stdio.h>

static struct history history;

static struct history_part append(int64_t key, int64_t value)
{
	return (struct history_part){.append = true, .key = key, .value = value};
}

static struct history_part observed(int64_t key, const int64_t *list, size_t count)
{
	return (struct history_part){.key = key, .list = list, .count = count};
}

static struct history_op *txn(uint64_t from, uint64_t to, const struct history_part *parts, size_t count)
{
	struct history_op o = {.invoked_us = from, .returned_us = to, .function = HISTORY_TXN, .parts = parts,
	                       .part_count = count, .outcome = to == HISTORY_NEVER ? HISTORY_INFO : HISTORY_OK};
	return history_add(&history, &o);
}
#define TXN(from, to, ...)                                                                  \
	txn(from, to, (const struct history_part[]){__VA_ARGS__},                           \
	    sizeof((const struct history_part[]){__VA_ARGS__}) / sizeof(struct history_part))
#define LIST(...) (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

static void judge(enum append_anomaly want, const char *sentence)
{
	struct err err = {0};
	enum append_anomaly got = append_check(&history, &err);
	ok(got == want, "%s", sentence);
	if (got != want) {
		tap_note("got %s: %s", append_anomaly_name(got), err.text);
	}
	history_fini(&history);
	history_init(&history);
}

static void hand_made(void)
{
	TXN(1, 2, append(1, 1), append(2, 1));
	TXN(3, 4, observed(1, LIST(1)), append(1, 2));
	TXN(5, 6, observed(1, LIST(1, 2)), observed(2, LIST(1)));
	judge(APPEND_NONE, "a serial history is accepted");

	TXN(1, 9, append(1, 1), append(2, 1));
	TXN(1, 9, append(1, 2), append(2, 2));
	TXN(10, 11, observed(1, LIST(1, 2)), observed(2, LIST(2, 1)));
	judge(APPEND_G0, "two transactions whose writes cross are found");

	TXN(1, 9, append(1, 1), observed(2, LIST(2)));
	TXN(1, 9, append(2, 2), observed(1, LIST(1)));
	judge(APPEND_G1C, "two transactions that saw each other are found");

	TXN(1, 9, observed(1, NULL, 0), append(2, 1));
	TXN(1, 9, append(1, 1), observed(2, LIST(1)), append(3, 1));
	judge(APPEND_NONE, "a read before and a read after are one order");

	TXN(1, 9, append(1, 1), append(2, 1));
	TXN(1, 9, observed(1, LIST(1)), observed(2, NULL, 0));
	TXN(10, 11, observed(1, LIST(1)), observed(2, LIST(1)));
	judge(APPEND_G_SINGLE, "a transaction that saw half of another is found");

	TXN(1, 9, observed(1, NULL, 0), append(2, 1));
	TXN(1, 9, observed(2, NULL, 0), append(1, 1));
	TXN(10, 11, observed(1, LIST(1)), observed(2, LIST(1)));
	judge(APPEND_G2, "write skew is found");

	TXN(1, 2, append(1, 1));
	TXN(3, 4, observed(1, NULL, 0));
	TXN(5, 6, observed(1, LIST(1)));
	judge(APPEND_REALTIME, "a read of the past is found by time alone");

	TXN(1, 2, append(1, 1));
	TXN(3, 4, observed(1, NULL, 0));
	judge(APPEND_LOST, "an acknowledged append that nobody ever sees is lost");

	TXN(1, HISTORY_NEVER, append(1, 1));
	TXN(3, 4, observed(1, NULL, 0));
	judge(APPEND_NONE, "an unknown append may be missing");

	TXN(1, 2, append(1, 1))->outcome = HISTORY_FAIL;
	TXN(3, 4, observed(1, LIST(1)));
	judge(APPEND_G1A, "a read of what certainly never happened is found");

	TXN(1, 2, append(1, 1), append(1, 2));
	TXN(1, 2, observed(1, LIST(1)));
	judge(APPEND_G1B, "a read from the middle of a transaction is found");

	TXN(1, 2, append(1, 1));
	TXN(3, 4, observed(1, LIST(1, 1)));
	judge(APPEND_DUPLICATE, "an append that happened twice is found");

	TXN(1, 2, append(1, 1));
	TXN(1, 2, append(1, 2));
	TXN(3, 4, observed(1, LIST(1, 2)));
	TXN(3, 4, observed(1, LIST(2, 1)));
	judge(APPEND_INCOMPATIBLE, "two orders of one list are found");

	TXN(1, 2, append(1, 1), observed(1, NULL, 0));
	judge(APPEND_INTERNAL, "a transaction sees its own appends");
}

/* True: lists under one lock. The lie, if any, drops one element from one late read. */
static void generated(uint64_t seed, bool lie)
{
	static int64_t lists[4][2000];
	size_t counts[4] = {0};
	struct prng prng;
	prng_init(&prng, seed);
	for (int i = 0; i < 800; i++) {
		struct history_part parts[4];
		size_t count = 1 + prng_below(&prng, 4);
		for (size_t p = 0; p < count; p++) {
			size_t key = prng_below(&prng, 4);
			if (prng_chance(&prng, 1, 2)) {
				lists[key][counts[key]++] = i * 4 + (int64_t)p;
				parts[p] = append((int64_t)key, i * 4 + (int64_t)p);
			} else {
				size_t drop = lie && i > 780 && counts[key] > 3 ? 2 : 0;
				parts[p] = observed((int64_t)key, lists[key], counts[key] - drop);
			}
		}
		uint64_t effect = 100 * (uint64_t)i + 500;
		txn(effect - 1 - prng_below(&prng, 300), effect + 1 + prng_below(&prng, 300), parts, count);
	}
	struct err err = {0};
	enum append_anomaly got = append_check(&history, &err);
	ok((got != APPEND_NONE) == lie, lie ? "a planted stale read among 800 transactions is found (%s)"
	                                    : "a true history of 800 transactions is accepted (%s)",
	   append_anomaly_name(got));
	history_fini(&history);
	history_init(&history);
}

static void round_trip(void)
{
	TXN(1, 2, append(1, 1), append(2, 1))->code = "";
	TXN(3, HISTORY_NEVER, observed(1, LIST(1)), append(1, 2));
	struct history_op w = {.invoked_us = 2, .returned_us = 7, .function = HISTORY_CAS, .key = -5, .value = 9,
	                       .expected = 8, .found = true, .index = 77, .ordinal = 3, .attempts = 2, .code = "X"};
	history_add(&history, &w);
	FILE *file = tmpfile();
	is_int(history_write(&history, file), 0, "a history is written");
	fputs("{\"type\":\"nemesis\",\"t_us\":9,\"fault\":\"kill\",\"at\":\"begin\",\"detail\":\"n3\"}\n", file);
	rewind(file);
	struct history again;
	struct err err = {0};
	history_init(&again);
	is_int(history_read(&again, file, &err), 0, "and read, with what the nemesis did in between");
	ok(again.count == 3 && again.ops[0].part_count == 2 && again.ops[1].returned_us == HISTORY_NEVER &&
	           again.ops[1].outcome == HISTORY_INFO && again.ops[2].key == -5 && again.ops[2].expected == 8 &&
	           again.ops[2].found && again.ops[2].index == 77 && again.ops[2].ordinal == 3,
	   "with the same operations");
	is_str(again.ops[2].code, "X", "and codes");
	fclose(file);
	file = tmpfile();
	fputs("{\"op\":0,\"type\":\"ok\",\"f\":\"read\"}\n", file);
	rewind(file);
	history_fini(&again);
	history_init(&again);
	is_int(history_read(&again, file, &err), ERR_INVALID, "an end without a begin is refused");
	is_str(err.text, "line 1 is no line of a history", "with its line");
	fclose(file);
	history_fini(&again);
	history_fini(&history);
	history_init(&history);
}

int main(void)
{
	history_init(&history);
	hand_made();
	for (uint64_t seed = 1; seed <= 10; seed++) {
		generated(seed, false);
		generated(seed, true);
	}
	round_trip();
	history_fini(&history);
	return tap_done();
}

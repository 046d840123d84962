#include "tests/check/verdict.h"

#include "tests/check/append.h"
#include "tests/check/linear.h"
#include "tests/check/once.h"
#include "tests/check/replay.h"
#include "tests/check/ring.h"
#include "tests/check/sums.h"
#include "tests/check/trade.h"

#define LINEAR_STEPS 2000000
#define UNDECIDED_IN 20 /* one key in so many may stay undecided */

static int judge_registers(const struct history *whole, struct verdict *verdict, struct err *err)
{
	struct err why = {0};
	if (linear_check(whole, LINEAR_STEPS, &verdict->keys, &verdict->undecided, &why) == LINEAR_NO) {
		return err_set(err, ERR_INVALID, "registers are not linearizable: %s", why.text);
	}
	if (verdict->undecided * UNDECIDED_IN > verdict->keys) {
		return err_set(err, ERR_INVALID, "the linearizability of %zu of %zu keys is undecided",
			       verdict->undecided, verdict->keys);
	}
	return 0;
}

static int judge_lists(const struct history *whole, struct err *err)
{
	struct err why = {0};
	enum append_anomaly anomaly = append_check(whole, &why);
	return anomaly == APPEND_NONE
		       ? 0
		       : err_set(err, ERR_INVALID, "lists: %s: %s", append_anomaly_name(anomaly), why.text);
}

static int named(int rc, const char *name, const struct err *why, struct err *err)
{
	return rc == 0 ? 0 : err_set(err, ERR_INVALID, "%s: %s", name, why->text);
}

static int judge_whole(const struct history *log, const struct history *whole, struct verdict *verdict,
		       struct err *err)
{
	struct err why = {0};
	int rc = judge_registers(whole, verdict, err);
	rc = rc != 0 ? rc : judge_lists(whole, err);
	rc = rc != 0 ? rc : sums_check_counters(whole, err);
	rc = rc != 0 ? rc : sums_check_bank(whole, err);
	rc = rc != 0 ? rc : ring_check_history(whole, err);
	rc = rc != 0 ? rc : named(trade_check_history(whole, &why), "the sale", &why, err);
	if (rc == 0 && log->entry_count > 0) {
		rc = named(replay_check(log, whole, &why), "replay", &why, err);
	}
	return rc;
}

int verdict_of(const struct history *history, struct verdict *verdict, struct err *err)
{
	struct history whole;
	struct err why = {0};
	*verdict = (struct verdict){.entries = history->entry_count, .hashes = history->hash_count};
	history_init(&whole);
	int rc = named(once_merge(history, &whole, &why), "once", &why, err);
	verdict->operations = whole.count;
	for (size_t i = 0; i < whole.count; i++) {
		verdict->ok += whole.ops[i].outcome == HISTORY_OK;
		verdict->failed += whole.ops[i].outcome == HISTORY_FAIL;
		verdict->unknown += whole.ops[i].outcome == HISTORY_INFO;
	}
	rc = rc != 0 ? rc : judge_whole(history, &whole, verdict, err);
	history_fini(&whole);
	return rc;
}

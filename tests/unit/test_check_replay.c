/* The ordered replay, over small logs made by hand: a good one is accepted, and each lie in it is found. */
#include "tests/check/ledger.h"
#include "tests/check/once.h"
#include "tests/check/replay.h"
#include "tests/lib/past.h"
#include "tests/lib/tap.h"

#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>

static struct history history;
static struct buf rows;
static uint32_t row_count;
static uint64_t stamp_ms;

/* ---- a log ---- */

static void begin(void)
{
	buf_reset(&rows);
	row_count = 0;
}

static void put(struct slice key, struct slice value)
{
	buf_append_byte(&rows, 1);
	buf_append_varint(&rows, key.len);
	buf_append_slice(&rows, key);
	buf_append_varint(&rows, value.len);
	buf_append_slice(&rows, value);
	row_count++;
}

static void string_row(const char *name, const char *text)
{
	struct buf key, value;
	buf_init(&key, 100);
	buf_init(&value, 100);
	buf_append(&key, "k\0\0\0\0\0", 6);
	buf_append_text(&key, name);
	buf_append(&value, "S\0\0\0\0\0\0\0\0\0", 10);
	buf_append_text(&value, text);
	put(buf_slice(&key), buf_slice(&value));
	buf_fini(&key);
	buf_fini(&value);
}

static void once_row(const char *id, uint64_t index, uint32_t ordinal, uint8_t outcome, const char *reply)
{
	struct buf key, value;
	buf_init(&key, 100);
	buf_init(&value, 400);
	buf_append_text(&key, "o\4user");
	buf_append_text(&key, id);
	buf_append_byte(&value, 1);
	buf_append_byte(&value, outcome);
	buf_append_u16(&value, 0);
	buf_append_u32(&value, ordinal);
	buf_append_u64(&value, index);
	buf_append_u64(&value, stamp_ms);
	buf_append_u64(&value, 0);
	buf_append_u64(&value, 0);
	buf_append_text(&value, reply);
	put(buf_slice(&key), buf_slice(&value));
	buf_fini(&key);
	buf_fini(&value);
}

static void seal(void)
{
	struct buf payload;
	buf_init(&payload, 1 << 16);
	buf_append_byte(&payload, 1);
	buf_append_byte(&payload, 1);
	buf_append_u16(&payload, 0);
	buf_append_u32(&payload, row_count);
	buf_append_u64(&payload, stamp_ms);
	buf_append_u64(&payload, 0);
	buf_append_u32(&payload, row_count);
	buf_append_slice(&payload, buf_slice(&rows));
	history_add_entry(&history, history.entry_count + 1, buf_slice(&payload));
	buf_fini(&payload);
}

/* ---- what clients saw ---- */

static struct history_op *op(enum history_function function, const char *id, uint64_t from, uint64_t to,
			     int64_t key, int64_t value)
{
	return past_op(&history, function, id, from, to, key, value);
}

enum place { WRITE_A, WRITE_B, ADD_A, ADD_B, APPEND, READ, COUNT, LIST, UNKNOWN, SIZE };

/* Three entries: raft's own, a batch of three requests, a batch of two; an unknown one that nobody applied.
 */
static void good(void)
{
	static const int64_t seven[] = {7};
	const struct history_part append = {.append = true, .key = 1, .value = 7},
				  list = {.key = 1, .list = seven, .count = 1};
	past_forget(&history);
	history.cut = false;
	stamp_ms = 1000;
	history_add_entry(&history, 1, SLICE_NONE);
	begin();
	string_row("c0", "2");
	string_row("r5", "11");
	once_row("a", 2, 2, 0, ":2\r\n");
	once_row("b", 2, 0, 0, ":1\r\n");
	once_row("c", 2, 1, 0, "+OK\r\n");
	seal();
	stamp_ms = 2000;
	begin();
	string_row("l1", "7,");
	string_row("r5", "12");
	once_row("d", 3, 0, 0, "+OK\r\n");
	once_row("e", 3, 3, 0, ":2\r\n");
	seal();
	op(HISTORY_WRITE, "c", 10, 20, 5, 11);
	op(HISTORY_WRITE, "d", 30, 40, 5, 12);
	op(HISTORY_ADD, "a", 10, 22, 0, 2);
	op(HISTORY_ADD, "b", 11, 20, 0, 1);
	struct history_op *o = op(HISTORY_TXN, "e", 31, 41, 0, 0);
	o->parts = &append, o->part_count = 1;
	struct history_op txn = *o;
	history.count--;
	history_add(&history, &txn);
	op(HISTORY_READ, "", 25, 35, 5, 11);
	op(HISTORY_COUNT, "", 25, 35, 0, 2);
	txn = (struct history_op){.function = HISTORY_TXN,
				  .invoked_us = 36,
				  .returned_us = 45,
				  .parts = &list,
				  .part_count = 1,
				  .code = ""};
	history_add(&history, &txn);
	op(HISTORY_WRITE, "z", 30, HISTORY_NEVER, 5, 99);
	op(HISTORY_SIZE, "", 25, 28, 0, 2);
}

static void judge(const char *want, const char *sentence)
{
	struct err err = {0};
	int rc = replay_check(&history, &history, &err);
	past_judged(rc, &err, want, sentence);
	good();
}

/* The bytes of an entry, to be spoiled. */
static uint8_t *find(size_t entry, const char *text, size_t len)
{
	struct slice payload = history.entries[entry].payload;
	return memmem((void *)(uintptr_t)payload.data, payload.len, text, len);
}

static void answers(void)
{
	judge(NULL, "a true history with its log is accepted");
	history.ops[UNKNOWN].outcome = HISTORY_OK, history.ops[UNKNOWN].returned_us = 50;
	judge("is not in the log", "a lost acknowledgement is found");
	history.ops[UNKNOWN].outcome = HISTORY_OK, history.ops[UNKNOWN].returned_us = 50, history.cut = true;
	judge(NULL, "where the nodes were lost for good, the last one may have been applied by none");
	history.ops[UNKNOWN].outcome = HISTORY_OK, history.ops[UNKNOWN].returned_us = 50, history.cut = true;
	history.ops[READ].returned_us = 3000000;
	judge("is not in the log", "one long before the last is found there too");
	history.ops[WRITE_B].outcome = HISTORY_FAIL, history.ops[WRITE_B].code = "OVERLOADED";
	judge("failed for certain", "a definite failure that happened is found");
	history.ops[ADD_A].value = 1, history.ops[ADD_B].value = 2;
	judge("told another answer", "swapped replies are found");
	history.ops[WRITE_A].id = "y";
	judge("which nobody made", "a request that nobody made is found");
	history.ops[WRITE_B].invoked_us = 1, history.ops[WRITE_B].returned_us = 2;
	judge("comes before it in the log", "an order against time is found");
}

static void reads(void)
{
	history.ops[READ].value = 12, history.ops[READ].returned_us = 29;
	judge("at no place", "a read of the future is found");
	history.ops[READ].invoked_us = 42, history.ops[READ].returned_us = 43;
	judge("at no place", "a stale read is found");
	history.ops[READ].found = false;
	judge("at no place", "a read that finds nothing is found");
	history.ops[COUNT].value = 1;
	judge("at no place", "a counter read before the last addition is found");
	history.ops[SIZE].value = 1;
	judge("at no place", "a count of keys that misses one is found");
	history.ops[SIZE].value = 3;
	judge("at no place", "one that counts what was not there yet is found");
	history.ops[SIZE].value = 3, history.ops[SIZE].returned_us = 45;
	judge(NULL, "and accepted when it was under way");
	history.ops[LIST].invoked_us = 42,
	((struct history_part *)(uintptr_t)history.ops[LIST].parts)->count = 0;
	judge("at no place", "a list without its acknowledged value is found");
	history.ops[READ].value = 12, history.ops[READ].returned_us = 36, history.ops[COUNT].invoked_us = 37;
	history.ops[COUNT].returned_us = 38;
	judge(NULL, "a read that saw what was still under way is accepted");
	history.ops[READ].value = 12;
	history.ops[READ].returned_us = 36;
	op(HISTORY_READ, "", 37, 38, 5, 11);
	judge("at no place", "a read that goes back behind an earlier one is found");
}

static void logs(void)
{
	memcpy(find(2, "7,", 2), "8,", 2);
	judge("sets l1 to 8,", "a row that is not what was asked is found");
	history.entry_count = 2;
	begin();
	string_row("r5", "12");
	once_row("d", 3, 0, 0, "+OK\r\n");
	once_row("e", 3, 3, 0, ":2\r\n");
	seal();
	judge("does not make l1 what its requests say", "an effect that is left out is found");
	history.entry_count = 2;
	begin();
	string_row("c0", "2");
	string_row("l1", "7,");
	string_row("r5", "12");
	once_row("d", 3, 0, 0, "+OK\r\n");
	once_row("e", 3, 3, 0, ":2\r\n");
	seal();
	judge("changes c0, which no request asked for",
	      "a row that is written again without a request is found");
	memcpy(find(2, "l1", 2), "r9", 2);
	judge("which no request asked for", "a row that nobody asked for is found");
	memcpy(find(1, ":1\r\n", 4), ":2\r\n", 4);
	judge("the model says", "an answer in the log that the model does not give is found");
	find(2, "usere", 5)[4] = 'c';
	judge("took effect a second time", "a request that took effect twice is found");
	history_add_entry(&history, 4, history.entries[2].payload);
	judge("says index 3", "an entry repeated at another index is found");
	history.entries[2].index = 4;
	judge("where 3 is due", "a gap in the log is found");
	((uint8_t *)(uintptr_t)history.entries[2].payload.data)[9] = 0;
	judge("older than the one before", "a stamp that falls is found");
	history.entries[2].payload.len--;
	judge("damaged", "a damaged entry is found");
	((uint8_t *)(uintptr_t)history.entries[1].payload.data)[4]++;
	judge("damaged", "a wrong count of rows is found");
}

static void databases(void)
{
	struct ledger ledger;
	ledger_init(&ledger);
	for (size_t i = 1; i < 3; i++) {
		struct ledger_batch batch;
		struct ledger_row row;
		ledger_begin(history.entries[i].payload, &batch);
		while (ledger_next(&batch, &row) > 0) {
			ledger_put(&ledger, &row);
		}
	}
	struct history_hash hash = {.node = 1, .index = 3, .hash = ledger_hash(&ledger)};
	ledger_fini(&ledger);
	history_add_hash(&history, &hash);
	judge(NULL, "a node that holds what the log makes is accepted");
	hash.hash.low++;
	history_add_hash(&history, &hash);
	judge("is not what the log makes", "a node with another byte is found");
	hash.hash.low--;
	hash.index = 2;
	history_add_hash(&history, &hash);
	judge("is not what the log makes", "a node that is ahead of its index is found");
}

/* ---- a sale ---- */

static void sale(int64_t number, const char *reply)
{
	static int64_t terms[] = {2, 100, 50}, told[] = {1, 3};
	past_forget(&history);
	history.cut = false;
	stamp_ms = 1000;
	begin();
	once_row("allot", 1, 0, 0,
		 "%4\r\n$5\r\navail\r\n:4\r\n$4\r\nheld\r\n:0\r\n$9\r\ncommitted\r\n:0\r\n$8\r\nallotted\r\n:"
		 "4\r\n");
	once_row("o1", 1, 1, 0, reply);
	once_row("o2", 1, 2, 1, "-PURCHASE_LIMIT_EXCEEDED {\"outcome\":\"refused\"}\r\n");
	seal();
	struct history_op *o = op(HISTORY_ALLOT, "allot", 1, 2, 0, 4);
	o->list = terms, o->list_count = 3;
	o = op(HISTORY_BUY, "o1", 3, 5, 1, 1);
	o->list = told, o->list_count = 2;
	o->expected = 9;
	told[0] = number;
	o = op(HISTORY_BUY, "o2", 6, 7, 2, 2);
	o->expected = 9, o->outcome = HISTORY_FAIL, o->code = "PURCHASE_LIMIT_EXCEEDED";
}

#define SOLD(number, total, left)                                                                            \
	"%4\r\n$6\r\nnumber\r\n:" #number "\r\n$5\r\ntotal\r\n:" #total                                      \
	"\r\n$9\r\npay_by_ms\r\n:1050\r\n$4\r\nleft\r\n:" #left "\r\n"

static void sales(void)
{
	sale(1, SOLD(1, 100, 3));
	judge(NULL, "a sale with a kept refusal is accepted");
	sale(2, SOLD(2, 100, 3));
	judge("the model says", "an order number left out is found");
	sale(1, SOLD(1, 101, 3));
	judge("the model says", "a double charge is found");
	sale(1, SOLD(1, 100, 4));
	judge("the model says", "a unit sold that stays in stock is found");
	sale(7, SOLD(1, 100, 3));
	judge("told another answer", "a buyer who was told another number is found");
	sale(1, SOLD(1, 100, 3));
	history.ops[2].code = "SOLD_OUT";
	judge("was told SOLD_OUT", "another refusal than was told is found");
	sale(1, SOLD(1, 100, 3));
	history.ops[2].value = 1;
	judge("the model says yes", "a refusal without reason is found");
	sale(1, SOLD(1, 100, 3));
	history.ops[1].value = 3;
	judge("should have been refused with PURCHASE_LIMIT_EXCEEDED", "a sale above the limit is found");
	sale(1, SOLD(1, 100, 3));
	history.ops[0].value = 0;
	judge("the model says", "another allotment is found");
	static const int64_t row[] = {1}, sums[] = {4, 3, 1, 0, 0, 0, 4};
	sale(1, SOLD(1, 100, 3));
	struct history_op *o = op(HISTORY_ORDER, "", 8, 9, 1, 1);
	o->list = row, o->list_count = 1, o->expected = 9;
	o = op(HISTORY_STOCK, "", 8, 9, 0, 0);
	o->list = sums, o->list_count = 7;
	judge(NULL, "rows and sums as the model has them are accepted");
	sale(1, SOLD(1, 100, 3));
	o = op(HISTORY_ORDER, "", 8, 9, 1, 2);
	o->list = row, o->list_count = 1, o->expected = 9;
	judge("the row of order 1", "a row with other units is found");
	sale(1, SOLD(1, 100, 3));
	static const int64_t wrong[] = {4, 2, 2, 0, 0, 0, 4};
	o = op(HISTORY_STOCK, "", 8, 9, 0, 0);
	o->list = wrong, o->list_count = 7;
	judge("the sums of the sale", "sums that differ from the model's are found");
	static const int64_t early[] = {4, 4, 0, 0, 0, 0, 4};
	sale(1, SOLD(1, 100, 3));
	o = op(HISTORY_STOCK, "", 8, 9, 0, 0);
	o->list = early, o->list_count = 7;
	judge("the sums of the sale", "sums without an order that was acknowledged before are found");
	sale(1, SOLD(1, 100, 3));
	history.ops[1].outcome = HISTORY_INFO, history.ops[1].returned_us = HISTORY_NEVER;
	o = op(HISTORY_STOCK, "", 8, 9, 0, 0);
	o->list = early, o->list_count = 7;
	judge(NULL, "sums without one whose outcome is unknown are accepted, for it may have come later");
}

/* ---- asked again ---- */

enum story { ALLOT, FIRST, REFUSED, SECOND, AGAIN, LATER };

static void row_of_refusal(const char *reply)
{
	begin();
	once_row("o2", history.entry_count + 1, 0, 1, reply);
	seal();
}

/* build/sim, seed 1796000823: one unit is left, and who wants two is told so. It is sold to another. He asks
 * again under his id and stays in the dark; the log keeps that he is refused: sold out. Or, early, it keeps
 * what he was told at first. */
static void last_unit(bool early)
{
	static int64_t terms[] = {2, 100, 50}, one[] = {1, 1}, two[] = {2, 0};
	past_forget(&history);
	history.cut = false;
	stamp_ms = 1000;
	begin();
	once_row("allot", 1, 0, 0,
		 "%4\r\n$5\r\navail\r\n:2\r\n$4\r\nheld\r\n:0\r\n$9\r\ncommitted\r\n:0\r\n$8\r\nallotted\r\n:"
		 "2\r\n");
	once_row("o1", 1, 1, 0, SOLD(1, 100, 1));
	seal();
	if (early) {
		row_of_refusal("-INSUFFICIENT_STOCK {\"outcome\":\"conflict\"}\r\n");
	}
	begin();
	once_row("o3", history.entry_count + 1, 0, 0, SOLD(2, 100, 0));
	seal();
	if (!early) {
		row_of_refusal("-SOLD_OUT {\"outcome\":\"refused\"}\r\n");
	}
	begin();
	string_row("r5", "12");
	once_row("d", 4, 0, 0, "+OK\r\n");
	seal();
	struct history_op *o = op(HISTORY_ALLOT, "allot", 1, 2, 0, 2);
	o->list = terms, o->list_count = 3;
	o = op(HISTORY_BUY, "o1", 3, 5, 1, 1);
	o->list = one, o->list_count = 2, o->expected = 9;
	o = op(HISTORY_BUY, "o2", 6, 7, 2, 2);
	o->expected = 8, o->outcome = HISTORY_FAIL, o->code = "INSUFFICIENT_STOCK";
	o = op(HISTORY_BUY, "o3", 8, 10, 3, 1);
	o->list = two, o->list_count = 2, o->expected = 7;
	o = op(HISTORY_BUY, "o2", 11, HISTORY_NEVER, 2, 2);
	o->expected = 8, o->code = "OUTCOME_UNKNOWN";
	op(HISTORY_WRITE, "d", 20, 30, 5, 12);
}

static void told(enum story which, uint64_t from, uint64_t to, const char *code)
{
	struct history_op *o = &history.ops[which];
	o->invoked_us = from, o->returned_us = to, o->outcome = HISTORY_FAIL, o->code = code;
}

static void judge_attempts(bool early, const char *want, const char *sentence)
{
	struct history whole;
	struct err err = {0};
	history_init(&whole);
	int rc = once_merge(&history, &whole, &err);
	rc = rc == 0 ? replay_check(&history, &whole, &err) : rc;
	past_judged(rc, &err, want, sentence);
	history_fini(&whole);
	last_unit(early);
}

static void asked_again(void)
{
	last_unit(false);
	judge_attempts(false, NULL, "too few are left; asked again in the dark; kept as sold out: accepted");
	told(AGAIN, 11, 19, "SOLD_OUT");
	judge_attempts(false, NULL, "and so it is when he was told of it");
	told(AGAIN, 11, 12, "OVERLOADED");
	judge_attempts(false, "was told INSUFFICIENT_STOCK",
		       "a kept refusal that nobody's attempt can have left is found");
	told(REFUSED, 11, 12, "INSUFFICIENT_STOCK");
	judge_attempts(false, "at no place from 3 to 3", "too few where nothing is left is found");
	told(REFUSED, 6, 7, "SOLD_OUT");
	judge_attempts(false, "at no place from 2 to 2",
		       "sold out while a unit is left is found, though it is kept later");
	told(REFUSED, 6, 7, "SOLD_OUT"), history.cut = true;
	judge_attempts(false, NULL,
		       "but not where the nodes were lost for good, and with them what was sold");
	told(REFUSED, 6, 9, "SOLD_OUT");
	judge_attempts(false, NULL, "sold out while the last unit is being sold is accepted");
	last_unit(true);
	judge_attempts(true, NULL, "what the first attempt was told may be what is kept");
	told(AGAIN, 31, 32, "INSUFFICIENT_STOCK");
	judge_attempts(true, NULL, "it is told for ever, though nothing is left by then");
	history.ops[AGAIN].invoked_us = 7, told(REFUSED, 31, 32, "SOLD_OUT");
	judge_attempts(true, "at no place", "another refusal, right but not the one that is kept, is found");
}

int main(void)
{
	history_init(&history);
	buf_init(&rows, 1 << 16);
	good();
	answers();
	reads();
	logs();
	databases();
	sales();
	asked_again();
	history_fini(&history);
	buf_fini(&rows);
	return tap_done();
}

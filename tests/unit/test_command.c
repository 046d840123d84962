/* Commands on a real transaction. What a single command replies is compared with redis-server in tests/diff;
 * here is what needs a clock that is moved, a look into the store, or many keys. */
#include "command/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/prng.h"
#include "command/room.h"
#include "store/keys.h"
#include "tests/lib/solo.h"
#include "tests/lib/tap.h"
#include "wire/resp.h"

static struct solo solo;
static struct buf out;

static void says(const char *line, const char *wanted, const char *sentence)
{
	is_str(solo_line(&solo, &out, line), wanted, "%s", sentence);
}

static struct command_expiry expiry; /* as a leader remembers it */

static void begin(void)
{
	expiry.len = 0;
	solo_open(&solo);
	buf_init(&out, MIB(16));
}

static void end(void)
{
	buf_fini(&out);
	solo_close(&solo);
}

/* ---- the table ---- */

static void test_table(void)
{
	size_t count, unsorted = 0, lost = 0, bodyless = 0;
	const struct command *table = command_table(&count);

	for (size_t i = 0; i < count; i++) {
		char lower[32];
		size_t len = strlen(table[i].name);
		for (size_t c = 0; c <= len; c++) {
			lower[c] = (char)(table[i].name[c] | (table[i].name[c] >= 'A' && table[i].name[c] <= 'Z' ? 32 : 0));
		}
		unsorted += i > 0 && strcmp(table[i - 1].name, table[i].name) >= 0;
		lost += command_find(slice_str(table[i].name)) != &table[i] || command_find(slice_str(lower)) != &table[i];
		bodyless += table[i].run == NULL && (table[i].flags & (COMMAND_WRITE | COMMAND_READ)) &&
		            !(table[i].flags & COMMAND_SCRIPT);
	}
	is_int(unsorted, 0, "the table is in the order of its names");
	is_int(lost, 0, "every command is found, in both cases");
	is_int(bodyless, 0, "what reads or writes data has a body, or is a script's");
	ok(command_find(SLICE_LIT("GETX")) == NULL && command_find(SLICE_LIT("")) == NULL &&
		   command_find(SLICE_LIT("AVERYLONGNAMETHATISNOCOMMAND")) == NULL &&
		   command_find(slice_of("GET\0", 4)) == NULL,
	   "others are not");
}

/* ---- patterns ---- */

/* The obvious twin: tries every length for a star. */
static bool naive_match(const char *p, const char *t)
{
	if (*p == '\0') {
		return *t == '\0';
	}
	if (*p == '*') {
		return naive_match(p + 1, t) || (*t != '\0' && naive_match(p, t + 1));
	}
	return *t != '\0' && (*p == '?' || *p == *t) && naive_match(p + 1, t + 1);
}

static void test_patterns(void)
{
	static const char letters[] = "ab*?";
	size_t different = 0, matches = 0;
	struct prng prng;
	char big[2048];

	prng_init(&prng, 3);
	for (int i = 0; i < 20000; i++) {
		char pattern[9], text[9];
		size_t p = prng_below(&prng, 8), t = prng_below(&prng, 8);
		for (size_t c = 0; c < p; c++) {
			pattern[c] = letters[prng_below(&prng, 4)];
		}
		for (size_t c = 0; c < t; c++) {
			text[c] = letters[prng_below(&prng, 2)];
		}
		pattern[p] = text[t] = '\0';
		bool matched = glob_match(slice_str(pattern), slice_str(text));
		matches += matched;
		different += matched != naive_match(pattern, text);
	}
	is_int(different, 0, "patterns match as their naive twin does");
	ok(matches > 500, "and often enough (%zu)", matches);
	memset(big, 'a', sizeof(big));
	for (size_t i = 0; i < 64; i += 2) {
		big[i] = '*';
	}
	big[64] = 'b';
	ok(!glob_match(slice_of(big, 65), slice_of(big + 65, 1024)), "a pattern of many stars is refused in time");
}

/* ---- expiry ---- */

static void expire_due(size_t max, size_t deleted, bool more, const char *sentence)
{
	struct txn *txn = solo_begin(&solo);
	size_t count = 0;
	bool left = false;
	int rc = command_expire_due(txn, &expiry, max, &count, &left);

	solo_end(&solo, txn, true);
	ok(rc == 0 && count == deleted && left == more, "%s (%zu deleted)", sentence, count);
}

static void test_expiry(void)
{
	begin();
	says("SET stay 1", "+OK\r\n", "a key that stays");
	says("SET a 1 PX 100", "+OK\r\n", "a key for 100 ms");
	says("SET b 1 PX 100", "+OK\r\n", "another");
	says("SET c 1 PX 200", "+OK\r\n", "and one for 200 ms");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV_EXPIRY), 3, "the index has them");
	expire_due(10, 0, false, "before their time nothing is due");
	solo_advance(&solo, 99);
	says("PTTL a", ":1\r\n", "a millisecond before");
	says("GET a", "$1\r\n1\r\n", "the value is there");
	solo_advance(&solo, 1);
	says("GET a", "$-1\r\n", "at its time it is gone");
	says("EXISTS b", ":0\r\n", "so is the other");
	says("EXISTS c", ":1\r\n", "the third is not");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV_EXPIRY), 1, "who finds a key expired deletes it, with its entry");
	is_int(solo_count(&solo, TABLE_KV), 2, "and its row");

	says("SET c 2", "+OK\r\n", "a plain SET");
	says("TTL c", ":-1\r\n", "ends the expiry");
	says("SET d 1 PX 150", "+OK\r\n", "a key that is overwritten");
	says("SET d 2 PX 5000", "+OK\r\n", "with a later time");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV_EXPIRY), 2, "leaves one entry, beside the one that plain SET did not see");
	solo_advance(&solo, 1000);
	expire_due(10, 0, false, "an entry that was outlived deletes no key");
	says("MGET c d", "*2\r\n$1\r\n2\r\n$1\r\n2\r\n", "both are there");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV_EXPIRY), 1, "only the entry goes");
	end();
}

static void test_expiry_in_steps(void)
{
	char line[64];

	begin();
	for (int i = 0; i < 25; i++) {
		snprintf(line, sizeof(line), "SET key:%02d x PX %d", i, 10 + i / 2);
		solo_line(&solo, &out, line);
	}
	says("SET late x PX 1000", "+OK\r\n", "25 keys with times, and one with a later time");
	solo_advance(&solo, 100);
	expire_due(10, 10, true, "a step deletes its maximum and says that there is more");
	expire_due(10, 10, true, "the next goes on");
	expire_due(10, 5, false, "the last deletes the rest");
	expire_due(10, 0, false, "then nothing is due");
	says("KEYS *", "*1\r\n$4\r\nlate\r\n", "the key with the later time is left");
	says("SET again x PX 1", "+OK\r\n", "a key that comes later");
	solo_advance(&solo, 1);
	expire_due(10, 1, false, "is found although the index is worked off to here");
	end();
}

/* Stands where the first of some removed entries was: whoever walks over those finds it. */
static void put_entry_of_a(void)
{
	/* At 1,700,000,000,010, of the key a. */
	static const uint8_t entry[] = {TABLE_KV_EXPIRY, 0, 0, 1, 0x8b, 0xcf, 0xe5, 0x68, 10, TABLE_KV, 0, 0, 0, 0, 0, 'a'};
	struct txn *txn = solo_begin(&solo);

	ok(txn_put(txn, slice_of(entry, sizeof(entry)), SLICE_NONE) == 0, "(an entry among those that went)");
	solo_end(&solo, txn, true);
}

/* RocksDB walks over what is removed as over what is there: nothing is walked over twice. */
static void test_expiry_at_one_time(void)
{
	char line[32];

	begin();
	says("SET stay 1", "+OK\r\n", "a key that stays");
	for (char key = 'a'; key <= 'd'; key++) {
		snprintf(line, sizeof(line), "SET %c x PXAT 1700000000010", key);
		solo_line(&solo, &out, line);
	}
	solo_advance(&solo, 100);
	expire_due(2, 2, true, "two of four keys that expire in one millisecond go");
	put_entry_of_a();
	expire_due(1, 1, true, "the next step begins behind them");
	expire_due(2, 1, false, "so does the last");
	says("KEYS *", "*1\r\n$4\r\nstay\r\n", "and all are gone");
	end();
}

static void test_expiry_of_removed_keys(void)
{
	begin();
	says("SET a x PXAT 1700000000010", "+OK\r\n", "a key that will expire");
	says("DEL a", ":1\r\n", "and is removed before");
	solo_advance(&solo, 100);
	expire_due(10, 0, false, "leaves nothing that is due");
	put_entry_of_a();
	expire_due(10, 0, false, "where nothing was due");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV_EXPIRY), 1, "nobody looks again");
	struct txn *txn = solo_begin(&solo);
	ok(command_expire_note(txn, &expiry) == 0, "when that is written down");
	solo_end(&solo, txn, true);
	expiry.len = 0;
	expire_due(10, 0, false, "and another leads");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV_EXPIRY), 1, "he does not either");
	end();
}

/* ---- databases ---- */

static void sweep(size_t max, size_t deleted, bool more, const char *sentence)
{
	struct txn *txn = solo_begin(&solo);
	size_t count = 0;
	bool left = false;
	int rc = command_sweep(txn, max, &count, &left);

	solo_end(&solo, txn, true);
	ok(rc == 0 && count == deleted && left == more, "%s (%zu deleted)", sentence, count);
}

static void test_flush(void)
{
	char line[64];

	begin();
	for (int i = 0; i < 25; i++) {
		snprintf(line, sizeof(line), "SET key:%02d x", i);
		solo_line(&solo, &out, line);
	}
	solo.db = 3;
	says("SET other x", "+OK\r\n", "a key in another database");
	solo.db = 0;
	sweep(10, 0, false, "nothing is to be swept before a flush");
	says("FLUSHDB", "+OK\r\n", "a flush");
	says("DBSIZE", ":0\r\n", "leaves no key");
	says("SET key:07 new", "+OK\r\n", "a key of the same name");
	says("FLUSHDB", "+OK\r\n", "and a second flush");
	says("SET key:08 new", "+OK\r\n", "then another one");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV), 28, "the rows are still there");
	sweep(10, 10, true, "a step removes its maximum");
	sweep(10, 10, true, "the next goes on");
	sweep(10, 6, false, "the last removes the rest of both generations");
	sweep(10, 0, false, "then there is nothing to do");
	solo_apply(&solo);
	is_int(solo_count(&solo, TABLE_KV), 2, "two rows are left");
	says("GET key:08", "$3\r\nnew\r\n", "the living key");
	solo.db = 3;
	says("GET other", "$1\r\nx\r\n", "and that of the other database");
	end();
}

static void test_swap_while_swept(void)
{
	char line[64];

	begin();
	for (int i = 0; i < 9; i++) {
		snprintf(line, sizeof(line), "SET key:%d x", i);
		solo_line(&solo, &out, line);
	}
	solo_line(&solo, &out, "FLUSHDB");
	sweep(4, 4, true, "half of a flushed database is swept");
	says("SWAPDB 0 1", "+OK\r\n", "then it changes places");
	says("SET in-one 1", "+OK\r\n", "and the other one is written");
	sweep(100, 5, false, "the rest is found where it went");
	says("GET in-one", "$1\r\n1\r\n", "and nothing else is touched");
	end();
}

/* ---- WATCH ---- */

static uint64_t version_of(const char *key)
{
	struct txn *txn = solo_begin(&solo);
	uint64_t version = UINT64_MAX;
	int rc = command_key_version(txn, solo.db, slice_str(key), &version);

	solo_end(&solo, txn, true);
	return rc == 0 ? version : UINT64_MAX;
}

static void test_versions(void)
{
	uint64_t first, second;

	begin();
	is_int(version_of("k"), 0, "the version of an absent key is 0");
	solo_line(&solo, &out, "SET k 1");
	first = version_of("k");
	ok(first != 0 && first != UINT64_MAX, "a write gives one");
	is_int(version_of("k"), first, "a look does not change it");
	solo_line(&solo, &out, "GET k");
	is_int(version_of("k"), first, "nor does a read");
	solo_line(&solo, &out, "SET k 1");
	second = version_of("k");
	ok(second > first, "the same value again is another version");
	solo_line(&solo, &out, "EXPIRE k 10");
	ok(version_of("k") > second, "so is a new time");
	second = version_of("k");
	solo_apply(&solo);
	is_int(version_of("k"), second, "applied or not, it is the same");
	solo_advance(&solo, 10000);
	is_int(version_of("k"), 0, "that of an expired key is 0");
	solo_line(&solo, &out, "SET k 1");
	ok(version_of("k") > second, "a key that comes back has a newer one");
	solo_line(&solo, &out, "FLUSHALL");
	is_int(version_of("k"), 0, "that of a flushed key is 0");
	end();
}

/* ---- SCAN ---- */

/* Plays a scan to its end; every reply's keys are counted in seen (by the number in their name).
 * between is called after each step. Returns the steps. */
static unsigned scan_all(const char *options, unsigned *seen, size_t keys, void (*between)(unsigned step))
{
	char cursor[32] = "0", line[128];
	struct arena arena;
	unsigned step = 0;

	arena_init(&arena, KIB(16));
	do {
		struct resp_value reply;
		size_t used;
		snprintf(line, sizeof(line), "SCAN %s %s", cursor, options);
		solo_line(&solo, &out, line);
		arena_reset(&arena);
		if (resp_reply_parse(buf_slice(&out), &arena, &reply, &used) != 0 || reply.type != RESP_ARRAY) {
			return 0;
		}
		snprintf(cursor, sizeof(cursor), "%.*s", (int)reply.items[0].text.len, (const char *)reply.items[0].text.data);
		for (size_t i = 0; i < reply.items[1].count; i++) {
			struct slice key = reply.items[1].items[i].text;
			int64_t number = -1;
			if (slice_to_int64(slice_skip(key, 1), &number) && (size_t)number < keys) {
				seen[number]++;
			}
		}
		step++;
		if (between != NULL) {
			between(step);
		}
	} while (strcmp(cursor, "0") != 0 && step < 10000);
	arena_fini(&arena);
	return step;
}

static void put_keys(unsigned from, unsigned to, unsigned by)
{
	char line[64];

	for (unsigned i = from; i < to; i += by) {
		snprintf(line, sizeof(line), "SET k%u x", i);
		solo_line(&solo, &out, line);
	}
}

/* Keys with odd numbers come and go while the scan runs; the even ones stay. */
static void disturb(unsigned step)
{
	char line[64];

	for (unsigned i = 0; i < 20; i++) {
		snprintf(line, sizeof(line), step % 2 == 0 ? "SET k%u x" : "DEL k%u", (step * 37 + i * 14) % 1000 | 1);
		solo_line(&solo, &out, line);
	}
}

static void test_scan(void)
{
	static unsigned seen[1000];
	size_t missed = 0, twice = 0;

	begin();
	put_keys(0, 1000, 1);
	is_int(scan_all("COUNT 100", seen, 1000, NULL), 10, "a scan of 1,000 keys by 100 takes ten steps");
	for (size_t i = 0; i < 1000; i++) {
		missed += seen[i] == 0;
		twice += seen[i] > 1;
	}
	ok(missed == 0 && twice == 0, "and returns each key once");

	memset(seen, 0, sizeof(seen));
	missed = 0;
	ok(scan_all("", seen, 1000, disturb) > 50, "a scan while keys come and go");
	for (size_t i = 0; i < 1000; i += 2) {
		missed += seen[i] == 0;
	}
	is_int(missed, 0, "misses no key that stayed");

	memset(seen, 0, sizeof(seen));
	scan_all("COUNT 7 MATCH k5*", seen, 1000, NULL);
	missed = twice = 0;
	for (size_t i = 0; i < 1000; i++) {
		bool matches = i == 5 || i / 10 == 5 || i / 100 == 5;
		missed += matches && seen[i] != 1 && i % 2 == 0;
		twice += !matches && seen[i] > 0;
	}
	ok(missed == 0 && twice == 0, "a pattern narrows it");
	end();
}

static void test_long_patterns(void)
{
	char class[801] = "", line[900];

	begin();
	put_keys(0, 50, 1);
	memset(class, 'b', 800);
	snprintf(line, sizeof(line), "SCAN 0 COUNT 50 MATCH [%s]*", class);
	says(line, "*2\r\n$7\r\n1048577\r\n*0\r\n", "a step with a long pattern goes through fewer keys");
	says("SCAN 0 COUNT 50 MATCH [b]*", "*2\r\n$1\r\n0\r\n*0\r\n", "than one with a short one");
	end();
}

static void test_scan_cursors(void)
{
	char first[64], second[64], again[64], line[64];

	begin();
	put_keys(0, 50, 1);
	snprintf(first, sizeof(first), "%s", solo_line(&solo, &out, "SCAN 0 COUNT 1"));
	is_str(first, "*2\r\n$7\r\n1048577\r\n*1\r\n$2\r\nk0\r\n", "the first step gives a cursor");
	snprintf(second, sizeof(second), "%s", solo_line(&solo, &out, "SCAN 1048577 COUNT 1"));
	is_str(second, "*2\r\n$7\r\n1048578\r\n*1\r\n$2\r\nk1\r\n", "the second goes on");
	snprintf(again, sizeof(again), "%s", solo_line(&solo, &out, "SCAN 1048577 COUNT 1"));
	is_str(again, second, "a step can be asked again");
	says("SCAN 1048578 COUNT 1", "*2\r\n$7\r\n1048579\r\n*1\r\n$3\r\nk10\r\n", "and then the third");
	says("SCAN 1048577 COUNT 1", "-ERR invalid cursor: not one of the last 1024 scans, begin again with 0\r\n",
	     "a step before the last is forgotten");
	for (int i = 0; i < 1023; i++) {
		solo_line(&solo, &out, "SCAN 0 COUNT 1");
	}
	says("SCAN 1048579 COUNT 1", "*2\r\n$7\r\n1048580\r\n*1\r\n$3\r\nk11\r\n", "1,023 newer scans leave it alone");
	solo_line(&solo, &out, "SCAN 0 COUNT 1");
	says("SCAN 1048580 COUNT 1", "-ERR invalid cursor: not one of the last 1024 scans, begin again with 0\r\n",
	     "one more takes its place, and it says so");
	snprintf(line, sizeof(line), "SCAN %llu", (unsigned long long)UINT64_MAX);
	says(line, "-ERR invalid cursor: not one of the last 1024 scans, begin again with 0\r\n", "any number may be asked");
	end();
}

/* Many expired keys: the walk does not stop, and does not write without bound. */
static void test_scan_over_expired(void)
{
	static unsigned seen[1000];
	char line[64];

	begin();
	for (int i = 0; i < 600; i++) {
		snprintf(line, sizeof(line), "SET k%03d x PX 10", i);
		solo_line(&solo, &out, line);
	}
	solo_line(&solo, &out, "SET k999 x");
	solo_advance(&solo, 10);
	memset(seen, 0, sizeof(seen));
	scan_all("COUNT 50", seen, 1000, NULL);
	is_int(seen[999], 1, "a scan passes over expired keys");
	says("DBSIZE", ":1\r\n", "they are not counted");
	says("RANDOMKEY", "$4\r\nk999\r\n", "nor drawn");
	end();
}

/* More keys have expired than a walk on the loop passes over: where it ends is not the end. */
static void test_range_over_expired(void)
{
	enum { EXPIRED = COMMAND_WALK_MAX + 1000 }; /* each walk forgets some */
	static const char many[] = "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"100,000 keys that have expired lie before";
	char line[64];

	begin();
	solo.seal_every = 1000;
	for (int i = 0; i < EXPIRED; i++) {
		snprintf(line, sizeof(line), "SET k%06d x PX 10", i);
		solo_line(&solo, &out, line);
	}
	solo_line(&solo, &out, "SET live x");
	solo_advance(&solo, 10);
	ok(strncmp(solo_line(&solo, &out, "RANGE k \"\""), many, sizeof(many) - 1) == 0,
	   "a range of more expired keys than are passed over does not say that nothing is behind them");
	ok(strncmp(solo_line(&solo, &out, "RANDOMKEY"), many, sizeof(many) - 1) == 0, "nor does RANDOMKEY");
	says("RANGE k k050000", "*0\r\n", "an empty range is one when all of it was seen");
	says("RANGE k9 \"\"", "*2\r\n$4\r\nlive\r\n$1\r\nx\r\n", "and behind them it goes on");
	end();
}

static void test_range(void)
{
	begin();
	says("RANGE a z", "*0\r\n", "a range of nothing");
	says("MSET b 1 a 2 d 3 c 4", "+OK\r\n", "four keys");
	says("RANGE a c", "*4\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nb\r\n$1\r\n1\r\n", "a range is in order, without its end");
	says("RANGE b \"\" LIMIT 2", "*4\r\n$1\r\nb\r\n$1\r\n1\r\n$1\r\nc\r\n$1\r\n4\r\n", "an empty end is the end of all");
	solo.protocol = 3;
	says("RANGE c \"\"", "%2\r\n$1\r\nc\r\n$1\r\n4\r\n$1\r\nd\r\n$1\r\n3\r\n", "a map in RESP3");
	solo.protocol = 2;
	says("RANGE a b LIMIT 0", "-VALIDATION {\"outcome\":\"refused\",\"reason\":\"LIMIT is 1 to 10000\"}\r\n",
	     "a limit has its bounds, and is refused as that of ROWS");
	says("RANGE a b LIMIT x", "-VALIDATION {\"outcome\":\"refused\",\"reason\":\"LIMIT is 1 to 10000\"}\r\n", "so is one that is no number");
	says("RANGE a b LIMIT", "-ERR syntax error\r\n", "and a number");
	end();
}

/* ---- bounds ---- */

static void test_bounds(void)
{
	struct buf line;
	struct slice argv[3] = {SLICE_LIT("SET"), SLICE_LIT("k"), SLICE_NONE};

	begin();
	buf_init(&line, MIB(2));
	memset(buf_reserve(&line, MIB(1) + 1), 'v', MIB(1) + 1);
	argv[2] = slice_of(line.data, MIB(1));
	buf_reset(&out);
	ok(solo_run(&solo, argv, 3, &out) && slice_equal(buf_slice(&out), SLICE_LIT("+OK\r\n")), "a value of 1 MiB is written");
	says("STRLEN k", ":1048576\r\n", "whole");
	says("APPEND k x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n", "it does not grow");
	argv[2] = slice_of(line.data, MIB(1) + 1);
	buf_reset(&out);
	solo_run(&solo, argv, 3, &out);
	ok(slice_starts_with(buf_slice(&out), SLICE_LIT("-TOO_LARGE")), "a longer one is refused");
	argv[1] = slice_of(line.data, LIMIT_KEY);
	argv[2] = SLICE_LIT("x");
	buf_reset(&out);
	ok(solo_run(&solo, argv, 3, &out) && slice_equal(buf_slice(&out), SLICE_LIT("+OK\r\n")), "a key of 1 KiB is written");
	argv[1] = slice_of(line.data, LIMIT_KEY + 1);
	buf_reset(&out);
	solo_run(&solo, argv, 3, &out);
	ok(slice_starts_with(buf_slice(&out), SLICE_LIT("-TOO_LARGE")), "a longer one is refused");
	argv[0] = SLICE_LIT("GET");
	buf_reset(&out);
	solo_run(&solo, argv, 2, &out);
	ok(slice_equal(buf_slice(&out), SLICE_LIT("$-1\r\n")), "and not there");
	says("SETBIT k 8388608 1", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n",
	     "a bit behind the longest string is refused");
	buf_fini(&line);
	end();
}

/* Bytes that BITOP reads and writes: one request may name a long string some hundred thousand times. */
static void test_bitop_bound(void)
{
	char line[600];
	size_t len = (size_t)sprintf(line, "BITOP XOR d");

	begin();
	says("SETRANGE long 1048575 x", ":1048576\r\n", "a string of a megabyte");
	for (int i = 0; i < 64; i++) {
		len += (size_t)sprintf(line + len, " long");
	}
	says(line, ":1048576\r\n", "is combined with itself 64 times");
	sprintf(line + len, " k");
	buf_reset(&out);
	solo_line(&solo, &out, line);
	ok(slice_starts_with(buf_slice(&out), SLICE_LIT("-TOO_LARGE")), "but not with one more");
	says("BITCOUNT d", ":0\r\n", "and the result is the former one");
	end();
}

/* MEMORY USAGE against a count of the database's own rows. */
static void test_memory_usage(void)
{
	begin();
	says("SET k value", "+OK\r\n", "a key of one byte and a value of five");
	says("MEMORY USAGE k", ":22\r\n", "take their row: 6 + 1 of the key, 10 + 5 of the value");
	says("SET k value PX 1000", "+OK\r\n", "with an expiry");
	says("MEMORY USAGE k SAMPLES 0", ":46\r\n", "it is 8 more, and an entry of the index: 9 + 7");
	says("MEMORY USAGE none", "$-1\r\n", "what is not there takes nothing");
	end();
}

/* More keys than a transaction may write: nothing is. */
static void test_too_many(void)
{
	static struct slice argv[2 * LIMIT_TXN_WRITES + 3];
	static char names[LIMIT_TXN_WRITES + 1][8];
	size_t argc = 1;

	begin();
	argv[0] = SLICE_LIT("MSET");
	for (size_t i = 0; i <= LIMIT_TXN_WRITES; i++) {
		snprintf(names[i], sizeof(names[i]), "%zu", i);
		argv[argc++] = slice_str(names[i]);
		argv[argc++] = SLICE_LIT("x");
	}
	buf_reset(&out);
	solo_run(&solo, argv, argc, &out);
	ok(slice_starts_with(buf_slice(&out), SLICE_LIT("-TOO_LARGE")), "a transaction of too many keys is refused");
	says("DBSIZE", ":0\r\n", "whole");
	end();
}

/* A request takes a million of them, and none of its neighbours is served meanwhile. */
static void test_too_many_to_look_for(void)
{
	enum { MOST = LIMIT_QUEUE_STEPS / 200 };
	static struct slice argv[MOST + 2];
	static const char *const names[] = {"EXISTS", "MGET", "TOUCH", "DEL"};

	begin();
	for (size_t i = 1; i <= MOST + 1; i++) {
		argv[i] = SLICE_LIT("k");
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		argv[0] = slice_str(names[i]);
		buf_reset(&out);
		solo_run(&solo, argv, MOST + 2, &out);
		ok(slice_starts_with(buf_slice(&out), SLICE_LIT("-TOO_LARGE")), "%s of 100,001 keys is refused", names[i]);
	}
	argv[0] = SLICE_LIT("EXISTS");
	buf_reset(&out);
	solo_run(&solo, argv, MOST + 1, &out);
	ok(slice_equal(buf_slice(&out), SLICE_LIT(":0\r\n")), "of 100,000 it is answered");
	end();
}

int main(void)
{
	test_table();
	test_patterns();
	test_expiry();
	test_expiry_in_steps();
	test_expiry_at_one_time();
	test_expiry_of_removed_keys();
	test_flush();
	test_swap_while_swept();
	test_versions();
	test_scan();
	test_scan_cursors();
	test_long_patterns();
	test_scan_over_expired();
	test_range();
	test_range_over_expired();
	test_bounds();
	test_bitop_bound();
	test_memory_usage();
	test_too_many();
	test_too_many_to_look_for();
	return tap_done();
}

#include "base/arena.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/log.h"
#include "base/outcome.h"
#include "base/prng.h"
#include "base/slice.h"

#include "tests/lib/tap.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void slices(void)
{
	int64_t v = 77;
	ok(slice_to_int64(SLICE_LIT("9223372036854775807"), &v) && v == INT64_MAX, "the largest int64 is read");
	ok(slice_to_int64(SLICE_LIT("-9223372036854775808"), &v) && v == INT64_MIN, "the smallest int64 is read");
	v = 77;
	const char *bad[] = {"",   "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808", "-9223372036854775809",
	                     "1x", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ok(!slice_to_int64(slice_str(bad[i]), &v), "\"%s\" is no integer", bad[i]);
	}
	is_int(v, 77, "a refused text leaves the output untouched");
	ok(slice_is_word(SLICE_LIT("GeT"), "get"), "words are equal whatever their case");
	ok(!slice_is_word(SLICE_LIT("get"), "gets"), "a prefix is not the word");
	ok(!slice_is_word(SLICE_LIT("gets"), "get"), "a longer text is not the word");
	ok(slice_compare(SLICE_LIT("a"), SLICE_LIT("ab")) < 0, "a prefix sorts first");
	ok(slice_compare(SLICE_LIT("\xff"), SLICE_LIT("a")) > 0, "bytes compare unsigned");
}

static void bufs(void)
{
	struct buf b;
	buf_init(&b, 100);
	buf_append_u16(&b, 0x1234);
	buf_append_u32(&b, 0xdeadbeef);
	buf_append_u64(&b, 0x0123456789abcdef);
	buf_append_varint(&b, 300);
	buf_append_varint(&b, UINT64_MAX);
	struct slice s = buf_slice(&b);
	uint16_t u16;
	uint32_t u32;
	uint64_t u64, v1, v2;
	ok(slice_take_u16(&s, &u16) && slice_take_u32(&s, &u32) && slice_take_u64(&s, &u64) &&
	           slice_take_varint(&s, &v1) && slice_take_varint(&s, &v2) && s.len == 0,
	   "what was appended is taken again");
	ok(u16 == 0x1234 && u32 == 0xdeadbeef && u64 == 0x0123456789abcdef && v1 == 300 && v2 == UINT64_MAX,
	   "with the same values");
	struct slice overlong = SLICE_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
	ok(!slice_take_varint(&overlong, &v1), "a varint of more than 64 bits is refused");
	size_t before = b.len;
	uint8_t big[100] = {0};
	buf_append(&b, big, sizeof(big));
	ok(buf_failed(&b) && b.len == before, "an append over the maximum fails and appends nothing");
	buf_append_byte(&b, 1);
	is_int(b.len, before, "the failure sticks");
	buf_reset(&b);
	buf_append(&b, big, 100);
	ok(!buf_failed(&b), "the maximum itself fits");
	buf_reset(&b);
	buf_appendf(&b, "%s-%d", "x", 7);
	is_bytes(b.data, b.len, "x-7", 3, "text is formatted");
	buf_consume(&b, 2);
	is_bytes(b.data, b.len, "7", 1, "consuming keeps the rest");
	buf_fini(&b);
}

static void places(void)
{
	uint8_t at[8], next[8];
	bytes_put_u32(at, 0x01020304);
	is_bytes(at, 4, "\4\3\2\1", 4, "a number at a place has its low byte first");
	bytes_put_u32_big(at, 0x01020304);
	is_bytes(at, 4, "\1\2\3\4", 4, "in a key its high byte");
	ok(bytes_u32_big(at) == 0x01020304, "and is read as it was written");
	bytes_put_u64(at, 0x0102030405060708);
	is_bytes(at, 8, "\10\7\6\5\4\3\2\1", 8, "so it is with 64 bits");
	ok(bytes_u64(at) == 0x0102030405060708, "which come back");
	bytes_put_u64_big(at, 0xfeffffffff);
	bytes_put_u64_big(next, 0xff0000000000);
	ok(memcmp(at, next, 8) < 0, "keys are in the order of their numbers");
	ok(bytes_u64_big(at) == 0xfeffffffff, "which come back, too");
}

static void arenas(void)
{
	struct arena a;
	arena_init(&a, 128);
	void *first = arena_alloc(&a, 10);
	for (int i = 0; i < 1000; i++) {
		memset(arena_alloc(&a, 100), i, 100);
	}
	ok(((uintptr_t)arena_alloc(&a, 1) & 15) == 0, "memory is aligned to 16");
	arena_reset(&a);
	ok(arena_alloc(&a, 10) == first, "a reset arena starts again in its first chunk");
	is_str((const char *)arena_copy(&a, SLICE_LIT("abc")).data, "abc", "a copy is terminated");
	is_str(arena_printf(&a, "%d", 42), "42", "text is formatted into the arena");
	arena_fini(&a);
}

static void chains(void)
{
	struct chain zero = {0, 0};
	struct chain one = chain_next(zero, 1, 1, 1, SLICE_LIT("x"));
	ok(chain_equal(one, chain_next(zero, 1, 1, 1, SLICE_LIT("x"))), "the same entry gives the same chain");
	ok(!chain_equal(one, chain_next(zero, 2, 1, 1, SLICE_LIT("x"))), "another index gives another");
	ok(!chain_equal(one, chain_next(zero, 1, 2, 1, SLICE_LIT("x"))), "another term gives another");
	ok(!chain_equal(one, chain_next(zero, 1, 1, 2, SLICE_LIT("x"))), "another type gives another");
	ok(!chain_equal(one, chain_next(zero, 1, 1, 1, SLICE_LIT("y"))), "another payload gives another");
	ok(!chain_equal(one, chain_next(one, 1, 1, 1, SLICE_LIT("x"))), "another past gives another");
	ok(checksum64_at(SLICE_LIT("x"), 0) != checksum64_at(SLICE_LIT("x"), 4096),
	   "a checksum at a position does not verify elsewhere");
}

static void histograms(void)
{
	static struct histogram h;
	histogram_init(&h);
	is_int(histogram_quantile(&h, 500), 0, "an empty histogram has no median");
	for (uint64_t v = 1; v <= 100000; v++) {
		histogram_add(&h, v);
	}
	uint64_t median = histogram_quantile(&h, 500);
	ok(median >= 50000 && median <= 50000 + 50000 / 32, "the median is within a bucket's width");
	is_int(histogram_quantile(&h, 1000), 100000, "the last quantile is the maximum");
	histogram_add(&h, UINT64_MAX);
	ok(h.max == UINT64_MAX && h.count == 100001, "count and maximum are kept, whatever the value");
}

static void outcomes(void)
{
	is_str(code_name(CODE_OVERLOADED), "OVERLOADED", "a code has a name");
	ok(code_outcome(CODE_OVERLOADED) == OUTCOME_RETRY, "and an outcome");
	ok(code_find(SLICE_LIT("OUTCOME_UNKNOWN")) == CODE_OUTCOME_UNKNOWN, "a code is found by its name");
	ok(code_find(SLICE_LIT("SOLD_OUT")) == CODE_NONE, "a procedure's own code is none of the table");
	const char *repeated[] = {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"};
	for (size_t i = 0; i < 5; i++) {
		enum code code = code_find(slice_str(repeated[i]));
		ok(code == CODE_NONE || code_outcome(code) == OUTCOME_RETRY,
		   "a code that Redis clients repeat by themselves (%s) is a retry or not ours", repeated[i]);
	}
}

static void keep_line(void *owner, enum log_level level, const char *line)
{
	(void)level;
	snprintf(owner, 256, "%s", line);
}

static void logs(void)
{
	char line[256] = "", text[64];
	struct log log = {LOG_INFO, "n1", keep_line, line};
	log_event(&log, LOG_DEBUG, "quiet", "x=%d", 1);
	is_str(line, "", "a line below the level is dropped");
	log_event(&log, LOG_WARN, "loud", "x=%d y=%s", 1, "a\nb");
	is_str(line, "n1 warn loud x=1 y=a?b", "an event is one line, whatever its values hold");
	is_str(log_escape(SLICE_LIT("a\"\n\xff"), text, 40), "\"a\\x22\\x0a\\xff\"", "bytes are escaped");
	is_str(log_escape(SLICE_LIT("aaaaaaaaaaaaaaaaaaaa"), text, 10), "\"aaaaaa...\"", "and cut at the maximum");
}

static void errors(void)
{
	struct err err = {0};
	is_int(err_set(&err, ERR_IO, "disk %d", 7), ERR_IO, "setting an error returns its code");
	is_str(err.text, "disk 7", "and keeps the words");
	is_int(err_set(NULL, ERR_IO, "nobody reads"), ERR_IO, "nobody needs to listen");
}

static void lists(void)
{
	struct list head, other, a, b;
	list_init(&head), list_init(&other), list_init(&a), list_init(&b);
	ok(list_pop(&head) == NULL, "an empty list pops nothing");
	list_append(&head, &a);
	list_append(&other, &b);
	list_splice(&head, &other);
	ok(list_empty(&other), "a spliced list is empty");
	ok(list_pop(&head) == &a && list_pop(&head) == &b, "elements leave in the order they came");
	list_remove(&a);
	ok(list_empty(&a), "removing twice is harmless");
}

/* In a process of its own, whose standard error is a pipe that is full and that nobody reads. */
static void end_unheard(void)
{
	int ends[2];
	const struct rlimit none = {0, 0};
	if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) {
		_exit(1);
	}
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	while (write(ends[1], "full", 4) > 0) {
	}
	while (write(ends[1], "", 1) > 0) {
	}
	fcntl(ends[1], F_SETFL, 0);
	setrlimit(RLIMIT_CORE, &none);
	fatal("nobody hears this");
}

static void last_lines(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		end_unheard();
	}
	int status = 0;
	pid_t ended = 0;
	for (int i = 0; i < 3000 && (ended = waitpid(pid, &status, WNOHANG)) == 0; i++) {
		usleep(10000);
	}
	if (ended == 0) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	ok(ended == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
	   "fatal ends the process also when nobody reads what it says");
}

int main(void)
{
	slices();
	bufs();
	places();
	arenas();
	chains();
	histograms();
	outcomes();
	logs();
	errors();
	lists();
	last_lines();
	return tap_done();
}

/* The parts of libtally that need no world: ids, the wheel, the pool, request
 * texts, error details. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/doubts.h"
#include "client/details.h"
#include "client/id.h"
#include "client/request.h"
#include "client/wheel.h"
#include "tests/lib/tap.h"

/* ---- ids ---- */

static void test_ids(void)
{
	struct prng prng;
	struct id_maker maker;
	char last[ID_TEXT + 1] = "";
	char id[ID_TEXT + 1] = "";
	prng_init(&prng, 1);
	id_maker_init(&maker, &prng);

	id_make(&maker, 0x019234567890, id);
	ok(strncmp(id, "01923456-7890-7000-", 19) == 0,
	   "an id begins with its time, its version and a count of none");
	ok(strchr("89ab", id[19]) != NULL, "an id carries the variant of RFC 9562");
	ok(id[23] == '-' && strspn(id, "0123456789abcdef-") == ID_TEXT,
	   "an id is 36 characters in five groups");

	bool ascending = true;
	for (int i = 0; i < 10000; i++) {
		memcpy(last, id, sizeof(last));
		id_make(&maker, 0x019234567890, id);
		ascending = ascending && strcmp(last, id) < 0;
	}
	ok(ascending, "ten thousand ids of one millisecond ascend");
	memcpy(last, id, sizeof(last));
	id_make(&maker, 0x019234567890 - 500, id);
	ok(strcmp(last, id) < 0, "ids ascend while the clock is set back by half a second");
	id_make(&maker, 0x019234567890 - 60000, id);
	ok(strcmp(last, id) > 0, "an id follows a clock that was set back by a minute");
}

/* ---- the wheel, against a naive twin ---- */

#define TIMERS 300

static void test_wheel(void)
{
	static struct wheel wheel;
	static struct wheel_node nodes[TIMERS];
	bool armed[TIMERS] = {false};
	uint64_t due_us[TIMERS] = {0};
	struct prng prng;
	uint64_t now_us = 123456789;
	bool early = false;
	bool late = false;
	bool silent = false;
	prng_init(&prng, 2);
	wheel_init(&wheel, now_us);
	for (size_t i = 0; i < TIMERS; i++) {
		wheel_node_init(&nodes[i]);
	}
	for (int step = 0; step < 20000; step++) {
		size_t at = (size_t)prng_below(&prng, TIMERS);
		if (armed[at]) {
			wheel_remove(&nodes[at]);
			armed[at] = false;
		} else {
			/* near, far, over one turn of the ring, and past */
			nodes[at].at_us =
				now_us + prng_below(&prng, 1 + (UINT64_C(1) << prng_below(&prng, 25)));
			nodes[at].at_us -= prng_chance(&prng, 1, 20) ? 10000 : 0;
			due_us[at] = nodes[at].at_us > now_us ? nodes[at].at_us : now_us;
			wheel_add(&wheel, &nodes[at]);
			armed[at] = true;
		}
		now_us += prng_below(&prng, 3000) * (prng_chance(&prng, 1, 500) ? 3000 : 1);
		uint64_t next_us = wheel_next_us(&wheel);
		struct list due;
		list_init(&due);
		wheel_expire(&wheel, now_us, &due);
		silent = silent || (!list_empty(&due) && next_us > now_us);
		for (struct list *link = list_pop(&due); link != NULL; link = list_pop(&due)) {
			struct wheel_node *node = list_entry(link, struct wheel_node, link);
			early = early || node->at_us > now_us || !armed[node - nodes];
			armed[node - nodes] = false;
		}
		for (size_t i = 0; i < TIMERS; i++) {
			late = late || (armed[i] && due_us[i] + 2 * WHEEL_SLOT_US < now_us);
		}
	}
	ok(!early, "the wheel hands nothing out before it is due");
	ok(!late, "the wheel hands out what is due at most two slots late");
	ok(!silent, "the wheel knows the time before which nothing is due");
}

static void test_pool(void)
{
	struct pool pool;
	pool_init(&pool);
	void *small = pool_take(&pool, 100);
	memset(small, 1, 100);
	pool_give(&pool, small, 100);
	ok(pool_take(&pool, 256) == small,
	   "a block that was given back serves the next request of its class");
	void *large = pool_take(&pool, 100000);
	memset(large, 1, 100000);
	pool_give(&pool, large, 100000);
	pool_give(&pool, small, 256);
	pool_fini(&pool);
}

/* ---- request texts ---- */

static void test_request(void)
{
	static struct tally tally;
	struct call call = {.tally = &tally, .deadline_us = 2000500};
	struct buf out;
	buf_init(&out, MIB(1));
	pool_init(&tally.pool);
	struct tally_arg args[] = {tally_str("order_id", "o-1"), tally_int("qty", -12), tally_int("none", 0),
				   tally_bytes("", "", 0)};

	request_make_call(&call, SLICE_LIT("id7"), "order.buy", args, 4);
	request_write(&call, 0, &out);
	const char first[] =
		"*14\r\n$4\r\nONCE\r\n$3\r\nid7\r\n$8\r\nDEADLINE\r\n$4\r\n2001\r\n"
		"$4\r\nCALL\r\n$9\r\norder.buy\r\n$8\r\norder_id\r\n$3\r\no-1\r\n$3\r\nqty\r\n$3\r\n-12\r\n"
		"$4\r\nnone\r\n$1\r\n0\r\n$0\r\n\r\n$0\r\n\r\n";
	is_bytes(out.data, out.len, first, sizeof(first) - 1,
		 "a first attempt carries its id and its deadline");

	buf_reset(&out);
	call.was_unknown = true;
	request_write(&call, 2000499, &out);
	const char again[] = "*15\r\n$4\r\nONCE\r\n$3\r\nid7\r\n$8\r\nDEADLINE\r\n$1\r\n1\r\n$"
			     "6\r\nSETTLE\r\n$4\r\nCALL\r\n";
	is_bytes(out.data, sizeof(again) - 1, again, sizeof(again) - 1,
		 "an attempt after an unanswered one asks to settle and has what is left of the time");
	request_free(&call);

	buf_reset(&out);
	call.dryrun = true;
	const struct slice words[] = {SLICE_LIT("GET"), SLICE_LIT("a\0b")};
	request_make(&call, SLICE_NONE, words, 2);
	request_write(&call, 500, &out);
	const char read[] =
		"*5\r\n$8\r\nDEADLINE\r\n$4\r\n2000\r\n$6\r\nDRYRUN\r\n$3\r\nGET\r\n$3\r\na\0b\r\n";
	is_bytes(out.data, out.len, read, sizeof(read) - 1,
		 "without an id nothing is settled; bytes are bytes");
	request_free(&call);

	call.dryrun = false;
	struct tally_arg wide = tally_int("n", INT64_MIN);
	buf_reset(&out);
	request_make_call(&call, SLICE_NONE, "p", &wide, 1);
	request_write(&call, 500, &out);
	ok(memmem(out.data, out.len, "$20\r\n-9223372036854775808\r\n", 27) != NULL,
	   "the smallest integer is written whole");
	request_free(&call);
	pool_fini(&tally.pool);
	buf_fini(&out);
}

/* ---- errors ---- */

static void outcome_is(const char *line, enum outcome want, const char *want_code, const char *sentence)
{
	struct slice code;
	enum outcome got = details_outcome(slice_str(line), &code);
	ok(got == want && slice_equal(code, slice_str(want_code)), "%s", sentence);
}

static void test_outcomes(void)
{
	outcome_is("SOLD_OUT {\"outcome\":\"refused\"}", OUTCOME_REFUSED, "SOLD_OUT",
		   "a code says its outcome");
	outcome_is("INSUFFICIENT_STOCK {\"outcome\":\"conflict\",\"available\":3}", OUTCOME_CONFLICT,
		   "INSUFFICIENT_STOCK", "a procedure's own code may be a conflict");
	outcome_is("OVERLOADED", OUTCOME_RETRY, "OVERLOADED",
		   "a code of the table without details has the table's outcome");
	outcome_is("OUTCOME_UNKNOWN {\"outcome\":\"unknown\"}", OUTCOME_UNKNOWN, "OUTCOME_UNKNOWN",
		   "unknown is told");
	outcome_is("LOADING the database", OUTCOME_RETRY, "LOADING",
		   "a Redis error that clients repeat is repeated");
	outcome_is("WRONGTYPE Operation against a key", OUTCOME_REFUSED, "WRONGTYPE",
		   "another Redis error is a refusal");
	outcome_is("X {\"outcome\":\"done\"}", OUTCOME_REFUSED, "X", "an error never means done");
	outcome_is("X {\"outcome\":\"perhaps\"}", OUTCOME_REFUSED, "X",
		   "an outcome that nobody knows is a refusal");
	outcome_is("X {\"outcome\":\"ret", OUTCOME_REFUSED, "X", "a cut line is a refusal");
	outcome_is("", OUTCOME_REFUSED, "", "an empty error is a refusal");
}

static struct resp_value *details_of(const char *line, struct arena *arena)
{
	return details_parse(slice_str(line), arena);
}

static void test_details(void)
{
	struct arena arena;
	arena_init(&arena, 4096);
	struct resp_value *map = details_of(
		"PURCHASE_LIMIT_EXCEEDED {\"outcome\":\"refused\", \"bought\":1,\"max\" : -2,\"who\":"
		"\"a\\n\\\"\\u00e9\\ud83d\\ude00\",\"list\":[1,[],{}],\"half\":0.5,\"yes\":true,\"none\":"
		"null}",
		&arena);
	ok(map != NULL && map->type == RESP_MAP && map->count == 8, "details are a map");
	is_int(resp_map_get(map, "bought")->integer, 1, "with integers");
	is_int(resp_map_get(map, "max")->integer, -2, "and negative ones, with spaces around");
	is_str((const char *)resp_map_get(map, "who")->text.data, "a\n\"\xc3\xa9\xf0\x9f\x98\x80",
	       "and escaped texts");
	is_int(resp_map_get(map, "list")->count, 3, "and lists");
	ok(resp_map_get(map, "half")->number == 0.5, "and fractions");
	is_int(resp_map_get(map, "yes")->integer, 1, "and truths");
	ok(resp_map_get(map, "none")->type == RESP_NULL, "and nothing");
	ok(details_of("ERR wrong", &arena) == NULL, "a plain error has no details");
	ok(details_of("X {\"a\":1", &arena) == NULL, "a cut map is no map");
	ok(details_of("X {\"a\" 1}", &arena) == NULL, "a map without a colon is no map");
	ok(details_of("X {\"a\":\"\\ud800\"}", &arena) == NULL, "half a pair of surrogates is no text");
	ok(details_of("X {\"a\":1e}", &arena) == NULL, "half a number is no number");

	char deep[200] = "X {\"a\":";
	memset(deep + strlen(deep), '[', 100);
	ok(details_of(deep, &arena) == NULL, "nesting has an end");

	/* Every cut and every flipped byte of a good line is survived. */
	const char good[] = "X {\"outcome\":\"refused\",\"a\":[1,2.5,\"x\\u00e9\"],\"b\":{\"c\":null}}";
	size_t len = sizeof(good) - 1;
	char *line = malloc(len);
	for (size_t at = 0; at < len; at++) {
		details_parse(slice_of(memcpy(line, good, at), at), &arena);
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(line, good, len);
			line[at] ^= (char)(1 << bit);
			struct slice code;
			details_outcome(slice_of(line, len), &code);
			details_parse(slice_of(line, len), &arena);
			arena_reset(&arena);
		}
	}
	free(line);
	ok(true, "cut and damaged details are survived");
	arena_fini(&arena);
}

static uint64_t doubt_id(char room[16], unsigned i)
{
	return doubts_sum(slice_of(room, (size_t)snprintf(room, 16, "id-%u", i)), 0);
}

static void test_doubts(void)
{
	static struct doubts doubts;
	char room[16];
	unsigned held = 0, recent = 0;
	for (unsigned i = 0; i < 100000; i++) {
		doubts_add(&doubts, doubt_id(room, i));
		doubts_add(&doubts, doubt_id(room, i));
	}
	for (unsigned i = 0; i < 100000; i++) {
		bool is = doubts_hold(&doubts, doubt_id(room, i));
		held += is;
		recent += is && i >= 99000;
	}
	ok(held == doubts.count && held == DOUBTS_SETS * DOUBTS_WAYS,
	   "so many ids in doubt are held, and no more (%u)", held);
	ok(recent > 970, "of the newest thousand nearly all (%u)", recent);
	doubts_add(&doubts, doubt_id(room, 0));
	doubts_remove(&doubts, doubt_id(room, 0));
	doubts_remove(&doubts, doubt_id(room, 0));
	ok(!doubts_hold(&doubts, doubt_id(room, 0)) && doubts.count == DOUBTS_SETS * DOUBTS_WAYS - 1,
	   "one that is known is held no more");
}

int main(void)
{
	test_doubts();
	test_ids();
	test_wheel();
	test_pool();
	test_request();
	test_outcomes();
	test_details();
	return tap_done();
}

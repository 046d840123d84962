/* EXPLAIN: what a write would do, at one shard over the double of its replica. */
#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"
#include "wire/resp.h"

static bool says(const char *reply, const char *part)
{
	if (strstr(reply, part) != NULL) {
		return true;
	}
	tap_note("said %s", reply);
	return false;
}

static void test_explain(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET gone v");
	ok(says(world_ask(&w, "EXPLAIN INCR k"), "$5||reads||*1||*3||$3||key||:0||$1||k||$6||writes||*1||*4||"
						 "$3||put||$3||key||:0||$1||k||$4||more||#f||"
						 "$5||reply||:1||"),
	   "EXPLAIN lists the rows that are read and written, and the reply");
	is_str(world_ask(&w, "GET k"), "_||", "and nothing of it stays");
	ok(says(world_ask(&w, "EXPLAIN DEL gone"), "*4||$6||delete||$3||key||:0||$4||gone||"),
	   "a row that would go");
	ok(says(world_ask(&w, "EXPLAIN ONCE o-1 SET k v"), "*4||$3||put||$4||once||$7||default||$3||o-1||"),
	   "the record of a request id");
	ok(says(world_ask(&w, "EXPLAIN INCR gone"), "$6||writes||*0||"),
	   "what is refused would write nothing");
	world_bundle(&w, "PUSH", world_take_lua);
	world_ask(&w, "CALL pool.fill sku s-1 qty 5");
	const char *call = world_ask(&w, "EXPLAIN CALL pool.take take_id t1 sku s-1 qty 2");
	ok(says(call, "*3||$3||row||$4||pool||$3||s-1||") &&
		   says(call, "*4||$3||put||$3||row||$4||pool||$3||s-1||"),
	   "rows of tables with their names");
	ok(says(world_ask(&w, "EXPLAIN EVAL for\ti=100,299\tdo\tredis.call('SET',i,i)\tend 0"),
		"$6||writes||*100||"),
	   "a list has an end");
	struct ask twice;
	ask_init(&w, &twice);
	twice.request.kind = REQUEST_EXEC;
	ask_words(&twice, "EXPLAIN SET a 1 ; SET a 2");
	ask_send(&twice);
	ok(says(ask_wait(&twice), "$6||writes||*1||*4||$3||put||$3||key||:0||$1||a||"),
	   "a row that is written twice stands there once");
	ask_end(&twice);
	ask_init(&w, &twice);
	twice.request.kind = REQUEST_EXEC;
	ask_words(&twice, "EXPLAIN GET a ; GET a");
	ask_send(&twice);
	ok(says(ask_wait(&twice), "$5||reads||*1||*3||$3||key||:0||$1||a||$6||writes||"),
	   "one that is read twice too");
	ask_end(&twice);
	ok(says(world_ask(&w, "EXPLAIN SCAN 0"), "$3||key||:0||$4||gone||"),
	   "rows that a walk finds are read");
	ask_start(&w, &twice, "EXPLAIN EVAL for\ti=100,299\tdo\tredis.call('GET',i)\tend 0");
	ask_wait(&twice);
	ok(memmem(twice.request.reply.data, twice.request.reply.len, "$4\r\nmore\r\n#t\r\n", 14) != NULL,
	   "where a list ends it says so");
	ask_end(&twice);
	world_close(&w);
}

/* Keys that were asked for and are nobody's may be longer than any row's. */
static void test_explain_long(void)
{
	struct world w;
	struct ask ask;
	size_t used = 0;
	world_lead(&w, NULL, NULL);
	ask_init(&w, &ask);
	ask_words(&ask, "BUNDLE PUSH wide tables.lua t p.lua p");
	ask.argv[4] = SLICE_LIT("tables { wide = { key = { 'k' }, columns = { k = text, n = count } } }");
	ask.argv[6] =
		SLICE_LIT("procedure { name = 'p', args = { count = int(1, 100) }, result = { n = int } }\n"
			  "return function(call)\n"
			  "  for i = 1, call.count do db.wide:get(i .. ('x'):rep(60000)) end\n"
			  "  return { n = call.count }\n"
			  "end");
	ask_send(&ask);
	ask_wait(&ask);
	ask_end(&ask);
	ok(says(world_ask(&w, "EXPLAIN CALL p count 1"), "$5||reads||*1||*3||$3||row||$4||wide||$60001||1x"),
	   "a row with a long key is listed");
	ok(says(world_ask(&w, "EXPLAIN CALL p count 30"),
		"$5||reads||*18||*3||$3||row||$4||wide||$60001||1x"),
	   "a list of long keys ends earlier");
	ask_start(&w, &ask, "EXPLAIN CALL p count 30");
	ask_wait(&ask);
	struct slice reply = buf_slice(&ask.request.reply);
	ok(resp_reply_measure(reply, LIMIT_REPLY, &used) == 0 && used == reply.len, "its reply is whole");
	ok(memmem(reply.data, reply.len, "$4\r\nmore\r\n#t\r\n", 14) != NULL,
	   "and says that there were more");
	ask_end(&ask);
	ask_init(&w, &ask);
	ask_words(&ask, "BUNDLE PUSH wide tables.lua t p.lua p");
	ask.argv[4] = SLICE_LIT("tables { wide = { key = { 'k' }, columns = { k = text, n = count } } }");
	ask.argv[6] = SLICE_LIT("procedure { name = 'p', result = { n = int } }\n"
				"return function(call)\n"
				"  local s = ('x'):rep(1047000)\n"
				"  db.wide:get(s)\n"
				"  db.wide:get(s .. s .. s .. s .. s .. s .. s .. ('y'):rep(40000))\n"
				"  return { n = 1 }\n"
				"end");
	ask_send(&ask);
	ask_wait(&ask);
	ask_end(&ask);
	ask_start(&w, &ask, "EXPLAIN CALL p");
	ask_wait(&ask);
	reply = buf_slice(&ask.request.reply);
	ok(memmem(reply.data, reply.len, "$5\r\nreads\r\n*1\r\n*3\r\n", 19) != NULL &&
		   memmem(reply.data, reply.len, "$4\r\nmore\r\n#t\r\n", 14) != NULL,
	   "a key as long as a whole reply is not listed, but said to be there");
	ask_end(&ask);
	world_close(&w);
}

int main(void)
{
	test_explain();
	test_explain_long();
	return tap_done();
}

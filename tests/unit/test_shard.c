/* One shard over the double of its replica: commits, proofs and elections come when the test says so. */
#include <stdio.h>

#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"
#include "wire/resp.h"

/* ---- stories ---- */

static void test_set_and_get(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	is_str(world_ask(&w, "SET stock 57"), "+OK||", "a write is answered");
	is_str(world_ask(&w, "GET stock"), "$2||57||", "and can be read");
	is_int(replica_double_proposals(replica_double()), 1, "the read cost no entry");
	is_str(world_ask(&w, "INCRBY stock -7"), ":50||", "a counter counts");
	world_ask(&w, "SET text abc");
	is_str(world_ask(&w, "INCR text"), "-ERR value is not an integer or out of range||",
	       "a refusal is an error");
	struct shard_stats stats;
	shard_stats(w.shard, &stats);
	is_int(stats.writes, 3, "writes are counted");
	is_int(stats.refused, 1, "and refusals");
	is_int(stats.waiting, 0, "nobody is left waiting");
	is_int(stats.admitted_bytes, 0, "and nothing stays admitted");
	world_close(&w);
}

static void test_one_turn_is_one_entry(void)
{
	struct world w;
	struct ask a[50];
	bool in_order = true, right = true;
	char want[16];
	world_lead(&w, NULL, NULL);
	for (int i = 0; i < 50; i++) {
		ask_start(&w, &a[i], "INCR hot");
	}
	ok(!a[0].done, "done never comes from inside submit");
	for (int i = 0; i < 50; i++) {
		ask_wait(&a[i]);
		snprintf(want, sizeof want, ":%d||", i + 1);
		in_order = in_order && a[i].order == (unsigned)i + 1;
		right = right && strcmp(a[i].text, want) == 0;
		ask_end(&a[i]);
	}
	is_int(replica_double_proposals(replica_double()), 1, "what came in one turn went in one entry");
	ok(in_order, "and was released in the order of execution");
	ok(right, "each saw the one before it");
	world_close(&w);
}

static void test_reader_of_pending_write(void)
{
	struct world w;
	struct ask set, get;
	world_lead(&w, NULL, NULL);
	replica_double_hold(replica_double(), true);
	ask_start(&w, &set, "SET k v");
	world_turns(&w);
	ask_start(&w, &get, "GET k");
	world_turns(&w);
	ok(!set.done && !get.done, "a reader of a pending write waits for its index");
	replica_double_hold(replica_double(), false);
	is_str(ask_wait(&get), "$1||v||", "then it sees the write");
	ok(set.order == 1 && get.order == 2, "after the writer was told");
	ask_end(&set);
	ask_end(&get);
	world_close(&w);
}

static void test_reads_need_a_proof(void)
{
	struct world w;
	struct ask get;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET k v");
	replica_double_hold_reads(replica_double(), true);
	w.shard->stamp.shown_ms += 500; /* the clock went on since the write */
	ask_start(&w, &get, "GET k");
	world_turns(&w);
	ok(!get.done, "a read waits until leadership is proven");
	ok(replica_double_stamp_ms(replica_double()) >= w.shard->stamp.shown_ms,
	   "the probe carries the stamp the read was shown");
	replica_double_hold_reads(replica_double(), false);
	is_str(ask_wait(&get), "$1||v||", "and is answered then");
	ask_end(&get);
	replica_double_hold_reads(replica_double(), true);
	struct ask set, both;
	ask_start(&w, &both, "GET k");
	ask_start(&w, &set, "SET k w");
	is_str(ask_wait(&both), "$1||v||", "a read beside a write needs no round: the write's commit proves");
	ask_wait(&set);
	ask_end(&set);
	ask_end(&both);
	world_close(&w);
}

static void test_window(void)
{
	struct world w;
	struct ask a[LIMIT_ENTRIES_IN_FLIGHT + 2];
	world_lead(&w, NULL, NULL);
	replica_double_hold(replica_double(), true);
	for (int i = 0; i < LIMIT_ENTRIES_IN_FLIGHT; i++) {
		ask_start(&w, &a[i], "INCR k");
		world_turns(&w);
	}
	is_int(replica_double_proposals(replica_double()), LIMIT_ENTRIES_IN_FLIGHT,
	       "a free window takes a batch a turn");
	uint64_t begin_us = env_now_us(w.env);
	ask_start(&w, &a[LIMIT_ENTRIES_IN_FLIGHT], "INCR k");
	world_turns(&w);
	ask_start(&w, &a[LIMIT_ENTRIES_IN_FLIGHT + 1], "INCR k");
	world_turns(&w);
	bool old = env_now_us(w.env) - begin_us >=
		   LIMIT_BATCH_OPEN_MS * 1000; /* on a slow machine it may go by age */
	uint64_t proposals = replica_double_proposals(replica_double());
	ok(old || proposals == LIMIT_ENTRIES_IN_FLIGHT, "a full one lets the batch grow");
	replica_double_hold(replica_double(), false);
	is_str(ask_wait(&a[LIMIT_ENTRIES_IN_FLIGHT + 1]), ":5||", "and takes it when there is room");
	ok(old || replica_double_proposals(replica_double()) == LIMIT_ENTRIES_IN_FLIGHT + 1, "as one");
	for (int i = 0; i < LIMIT_ENTRIES_IN_FLIGHT + 2; i++) {
		ask_wait(&a[i]);
		ask_end(&a[i]);
	}
	world_close(&w);
}

static void test_leadership_lost(void)
{
	struct world w;
	struct ask sealed, reader, open, parked;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET k old");
	replica_double_hold(replica_double(), true);
	replica_double_hold_reads(replica_double(), true);
	ask_start(&w, &sealed, "SET k new");
	world_turns(&w);
	ask_start(&w, &reader, "GET k");
	world_turns(&w);
	ask_start(&w, &open, "SET other x");
	replica_double_lose(replica_double(), false);
	/* on_role comes before the turn of the shard seals: the double's hook was armed first? both orders
	 * are legal */
	ask_wait(&open);
	is_str(ask_wait(&sealed),
	       "-OUTCOME_UNKNOWN {\"outcome\":\"unknown\",\"reason\":\"it may have happened: ask again with "
	       "the same id, or without one read first\"}||",
	       "what was proposed is unknown");
	is_str(ask_wait(&reader),
	       "-LEADER_LOST {\"outcome\":\"retry\",\"reason\":\"leadership was lost before anything was "
	       "written: ask again\"}||",
	       "a read may be retried");
	ok(open.request.outcome == OUTCOME_RETRY || open.request.outcome == OUTCOME_UNKNOWN,
	   "the open batch has an answer");
	is_str(world_ask(&w, "GET k"),
	       "-NOT_LEADER {\"outcome\":\"retry\",\"reason\":\"this node does not lead and knows no leader "
	       "yet: ask again soon, or another node\"}||",
	       "who comes now is sent away");
	replica_double_hold(replica_double(), false);
	replica_double_hold_reads(replica_double(), false);
	replica_double_elect(replica_double());
	world_turns(&w);
	ask_start(&w, &parked, "GET k");
	is_str(ask_wait(&parked), "$3||old||", "elected again, only what was committed is there");
	ask_end(&sealed);
	ask_end(&reader);
	ask_end(&open);
	ask_end(&parked);
	world_close(&w);
}

static void test_open_batch_lost(void)
{
	struct world w;
	struct ask open;
	world_lead(&w, NULL, NULL);
	ask_start(&w, &open, "SET k v");
	shard_lose(w.shard); /* between execution and the end of the turn */
	is_str(ask_wait(&open),
	       "-LEADER_LOST {\"outcome\":\"retry\",\"reason\":\"leadership was lost before anything was "
	       "written: ask again\"}||",
	       "what was not proposed may be retried");
	is_int(replica_double_proposals(replica_double()), 0, "and really was not");
	ask_end(&open);
	world_close(&w);
}

static void test_waits_for_open(void)
{
	struct world w;
	struct ask a, b, c;
	world_open(&w, NULL, NULL);
	ask_start(&w, &c, "GET k");
	shard_move(w.shard, PHASE_OPENING); /* as on_role does in a moment */
	ask_start(&w, &a, "SET k v");
	ask_start(&w, &b, "GET k");
	ok(!a.done && w.shard->parked_count == 2, "while the term opens requests are parked");
	shard_move(w.shard, PHASE_FOLLOWING);
	is_str(ask_wait(&c),
	       "-NOT_LEADER {\"outcome\":\"retry\",\"reason\":\"this node does not lead and knows no leader "
	       "yet: ask again soon, or another node\"}||",
	       "before an election there is no leader");
	is_str(ask_wait(&b), "$1||v||", "and run in order when it is open");
	ok(a.order < b.order, "first come, first done");
	ask_end(&c);
	ask_end(&a);
	ask_end(&b);
	world_close(&w);
}

static void test_once(void)
{
	struct world w;
	struct ask a;
	world_lead(&w, NULL, NULL);
	is_str(world_ask(&w, "ONCE id1 INCR n"), ":1||", "a request with an id runs");
	ask_start(&w, &a, "ONCE id1 INCR n");
	is_str(ask_wait(&a), ":1||", "the same again gets the same reply");
	ok(a.request.replayed && !a.request.wrote, "marked as replayed");
	is_int(a.request.index, 2, "and tells where it was written first");
	ask_end(&a);
	is_str(world_ask(&w, "GET n"), "$1||1||", "and happened once");
	is_str(world_ask(&w, "once id1 incr n"), ":1||", "spelling does not matter");
	is_str(world_ask(&w, "ONCE id1 INCR m"),
	       "-IDEMPOTENCY_KEY_REUSED {\"outcome\":\"refused\",\"reason\":\"the id was used for another "
	       "request: make a new id for this "
	       "one\"}||",
	       "other content is an error");
	is_str(world_ask(&w, "SET s text"), "+OK||", "(a string)");
	is_str(world_ask(&w, "ONCE id2 INCR s"), "-ERR value is not an integer or out of range||",
	       "a refusal");
	is_str(world_ask(&w, "SET s 5"), "+OK||", "(a number)");
	is_str(world_ask(&w, "ONCE id2 INCR s"), ":6||", "leaves no record");
	is_str(world_ask(&w, "SET s text"), "+OK||", "(a string again)");
	is_str(world_ask(&w, "ONCE id3 SETTLE INCR s"), "-ERR value is not an integer or out of range||",
	       "unless asked to");
	is_str(world_ask(&w, "SET s 5"), "+OK||", "(a number again)");
	is_str(world_ask(&w, "ONCE id3 SETTLE INCR s"), "-ERR value is not an integer or out of range||",
	       "then it stands");
	replica_double_lose(replica_double(), false);
	world_turns(&w);
	replica_double_elect(replica_double());
	uv_env_run_until(w.env, world_leads, &w, WAIT_MS);
	is_str(world_ask(&w, "ONCE id1 INCR n"), ":1||", "a record outlives a change of leader");
	is_str(world_ask(&w, "ONCE 00000000-0001-7abc-8def-0123456789ab INCR n"),
	       "-ID_TOO_OLD {\"outcome\":\"refused\",\"reason\":\"the id is older than what is kept: read "
	       "whether it happened, then use a new id\"}||",
	       "an id from long ago does not run");
	is_str(world_ask(&w, "ONCE ffffffff-ff01-7abc-8def-0123456789ab INCR n"),
	       "-ID_IN_FUTURE {\"outcome\":\"refused\",\"reason\":\"the id carries a time in the future: set "
	       "the client's clock\"}||",
	       "nor one from the future");
	is_str(world_ask(&w, "ONCE id9 DRYRUN INCR n"), ":2||", "a dry run answers");
	is_str(world_ask(&w, "ONCE id9 INCR n"), ":2||", "and wrote nothing, not even its id");
	world_close(&w);
}

static void test_once_protocols(void)
{
	struct world w;
	struct ask a;
	world_lead(&w, NULL, NULL);
	is_str(world_ask(&w, "SET k v"), "+OK||", "(a key)");
	is_str(world_ask(&w, "ONCE id1 GETDEL none"), "_||", "null in RESP3");
	ask_init(&w, &a);
	ask_words(&a, "ONCE id1 GETDEL none");
	a.request.protocol = 2;
	ask_send(&a);
	is_str(ask_wait(&a), "$-1||", "is replayed as null in RESP2");
	ask_end(&a);
	world_close(&w);
}

static void test_exec(void)
{
	struct world w;
	struct ask a;
	world_lead(&w, NULL, NULL);
	ask_init(&w, &a);
	ask_words(&a, "ONCE e1 SET a 1 ; INCR a ; GET a ; INCR b ; INCR b");
	a.request.kind = REQUEST_EXEC;
	a.commands[3] = a.commands[4];
	a.request.command_count = 4;
	ask_send(&a);
	is_str(ask_wait(&a), "*4||+OK||:2||$1||2||:1||", "a queue is answered as one array");
	ask_end(&a);
	ask_init(&w, &a);
	ask_words(&a, "ONCE e1 SET a 1 ; INCR a ; GET a ; INCR b");
	a.request.kind = REQUEST_EXEC;
	ask_send(&a);
	is_str(ask_wait(&a), "*4||+OK||:2||$1||2||:1||", "and replayed as one");
	is_str(world_ask(&w, "GET b"), "$1||1||", "having run once");
	ask_end(&a);
	world_close(&w);
}

static void test_watch(void)
{
	struct world w;
	struct ask a;
	struct request_watch watch = {.key = SLICE_LIT("k")};
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET k v");
	ask_init(&w, &a);
	a.request.kind = REQUEST_WATCH;
	a.request.watches = &watch;
	a.request.watch_count = 1;
	ask_send(&a);
	ask_wait(&a);
	long long version = 0;
	is_int(sscanf(a.text, "*1||:%lld||", &version), 1, "WATCH answers versions");
	ok(version > 0, "of what is there");
	ask_end(&a);
	for (int changed = 0; changed < 2; changed++) {
		ask_init(&w, &a);
		ask_words(&a, "SET k mine");
		a.request.kind = REQUEST_EXEC;
		watch.version = (uint64_t)version;
		a.request.watches = &watch;
		a.request.watch_count = 1;
		ask_send(&a);
		is_str(ask_wait(&a), changed ? "_||" : "*1||+OK||",
		       changed ? "a changed key aborts EXEC" : "an unchanged one runs");
		ask_end(&a);
	}
	world_close(&w);
}

static void test_large_transactions_travel_alone(void)
{
	struct world w;
	struct ask a[2];
	static uint8_t big[700 * 1024];
	world_lead(&w, NULL, NULL);
	memset(big, 'x', sizeof big);
	for (int i = 0; i < 2; i++) {
		ask_init(&w, &a[i]);
		ask_words(&a[i], i == 0 ? "SET a v" : "SET b v");
		a[i].argv[2] = slice_of(big, sizeof big);
		ask_send(&a[i]);
	}
	is_str(ask_wait(&a[0]), "+OK||", "a large write is taken");
	is_str(ask_wait(&a[1]), "+OK||", "and another that does not fit beside it");
	is_int(replica_double_proposals(replica_double()), 2, "in an entry of its own");
	ask_end(&a[0]);
	ask_end(&a[1]);
	world_close(&w);
}

static void test_busy_log(void)
{
	struct world w;
	struct ask a, b;
	world_lead(&w, NULL, NULL);
	replica_double_busy(replica_double(), true);
	ask_start(&w, &a, "SET k v");
	world_turns(&w);
	ask_start(&w, &b, "GET k");
	world_turns(&w);
	ok(!a.done && !b.done, "a busy log lets all wait");
	replica_double_busy(replica_double(), false);
	is_str(ask_wait(&a), "+OK||", "and takes the same entry later");
	is_str(ask_wait(&b), "$1||v||", "and then the others");
	ask_end(&a);
	ask_end(&b);
	world_close(&w);
}

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

static void test_cancel(void)
{
	struct world w;
	struct ask a, b;
	world_lead(&w, NULL, NULL);
	replica_double_hold(replica_double(), true);
	ask_start(&w, &a, "SET k v");
	ask_start(&w, &b, "SET k w");
	world_turns(&w);
	shard_cancel(w.shard, &a.request);
	ask_end(&a);
	replica_double_hold(replica_double(), false);
	is_str(ask_wait(&b), "+OK||", "who waits behind a cancelled one is answered");
	ok(!a.done, "the cancelled one is not");
	ask_end(&b);
	struct shard_stats stats;
	shard_stats(w.shard, &stats);
	is_int(stats.admitted_bytes, 0, "and nothing stays admitted");
	world_close(&w);
}

static void test_deadlines(void)
{
	struct world w;
	struct ask a, b;
	world_lead(&w, NULL, NULL);
	ask_init(&w, &a);
	ask_words(&a, "DEADLINE 1 SET k v");
	a.request.arrived_us = env_now_us(w.env) - 2000;
	shard_submit(w.shard, &a.request);
	is_str(ask_wait(&a),
	       "-DEADLINE_PASSED {\"outcome\":\"retry\",\"reason\":\"the deadline passed before the request "
	       "ran: ask again, with more time\"}||",
	       "a request past its deadline does not run");
	ask_end(&a);
	replica_double_hold(replica_double(), true);
	ask_start(&w, &a, "DEADLINE 1 SET k v");
	world_turns(&w);
	ask_start(&w, &b, "DEADLINE 1 GET k");
	is_str(ask_wait(&a),
	       "-OUTCOME_UNKNOWN {\"outcome\":\"unknown\",\"reason\":\"it may have happened: ask again with "
	       "the same id, or without one read first\"}||",
	       "a write that cannot commit is unknown at its deadline");
	ask_wait(&b);
	is_int(b.request.outcome, OUTCOME_RETRY, "a read may be retried");
	replica_double_hold(replica_double(), false);
	ask_end(&a);
	ask_end(&b);
	is_str(world_ask(&w, "GET k"), "$1||v||", "and the write came through after all");
	world_close(&w);
}

/* A turn of so many requests and so long; whether it refuses one more. */
static bool turn_refuses(struct world *w, size_t requests, uint64_t us)
{
	struct ask a, b;
	ask_start(w, &a, "SET k v");
	w->shard->turn_requests = requests - 1;
	w->shard->turn_began_us = env_now_us(w->env) - us;
	ask_start(w, &b, "SET k w");
	ask_wait(&a);
	bool refused = strncmp(ask_wait(&b), "-OVERLOADED", 11) == 0;
	ask_end(&a);
	ask_end(&b);
	return refused;
}

static bool long_turn(struct world *w)
{
	return turn_refuses(w, LIMIT_TURN_REQUESTS, LIMIT_TURN_MS * 1000);
}

static void test_short_turns(struct world *w)
{
	struct overload *overload = &w->shard->overload;
	overload->long_us = env_now_us(w->env) - 1000000;
	ok(long_turn(w) && !overload->on, "one long turn is an accident");
	ok(long_turn(w) && overload->on, "two on end are overload");
	ok(turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "then a short one is full as well");
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS - 1, LIMIT_OVERLOAD_TURN_US),
	   "but takes some in any case");
	overload->refused = overload->taken = 1000;
	overload->since_us -= 250000;
	ok(turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "while much is refused turns stay short");
	overload->taken = 2000;
	overload->refused = 1000;
	overload->since_us -= 250000;
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "when little is, they may be longer again");
	ok(long_turn(w), "until one is too long");
	overload->long_us = env_now_us(w->env);
	long_turn(w);
	is_int(overload->stay_us, 4000000, "that it is back so soon is remembered");
	overload->taken = overload->refused = 1000;
	overload->since_us -= 250000;
	overload->began_us -= 3900000;
	ok(turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US), "it stays twice as long");
	overload->taken = overload->refused = 1000;
	overload->since_us -= 250000;
	overload->began_us -= 200000;
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US), "before its end is tried");
	overload->long_us = env_now_us(w->env);
	long_turn(w);
	overload->refused = 1000;
	overload->since_us -= 1000000;
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "nor does overload outlive a silence");
}

/* How many of so many requests the shard would take. */
static int taken_of(struct world *w, int count, bool follows)
{
	int taken = 0;
	for (int i = 0; i < count; i++) {
		taken += !shard_sheds(w->shard, follows, true);
	}
	return taken;
}

static void next_turn(struct world *w)
{
	w->shard->turn_requests++;
	overload_turn_end(w->shard);
	w->shard->turn_requests = 0;
}

static void test_sheds(struct world *w)
{
	struct overload *overload = &w->shard->overload;
	is_int(taken_of(w, 10000, false), 10000, "without overload all are taken");
	ok(!shard_defers(w->shard), "and at once");
	overload->long_us = env_now_us(w->env);
	ok(long_turn(w) && overload->on, "under overload");
	uint64_t before = w->shard->stats.retried;
	overload->capacity = 100;
	is_int(taken_of(w, 150, false), 100, "as many as a turn could take before");
	is_int(w->shard->stats.retried - before, 50, "the others are counted");
	is_int(taken_of(w, 50, true), 50,
	       "a client with requests under way is served until the turn is full");
	overload->turn_full = true;
	is_int(taken_of(w, 50, true), 0, "then nobody is");
	next_turn(w);
	ok(!overload->turn_full, "with a turn its fullness ends");
	is_int(overload->capacity, (3 * 100 + 150) / 4, "what a turn can take is learned");
	w->shard->apply.bytes += LIMIT_APPLY_LAG;
	is_int(taken_of(w, 10, true), 0, "no write is taken when the database lags behind");
	ok(!shard_sheds(w->shard, true, false), "a read is");
	w->shard->apply.bytes -= LIMIT_APPLY_LAG;
	next_turn(w);
	taken_of(w, 50, true);
	next_turn(w);
	overload->capacity = 112;
	is_int(taken_of(w, 150, false), 112 - 50, "and what such clients took is kept for them");
	next_turn(w);
	is_int(overload->capacity, 112 + 14 + 1, "a turn that had time left may take more");
	taken_of(w, 7, false);
	ok(shard_defers(w->shard), "a client may be kept for the end of the turn");
	next_turn(w);
	is_int(overload->fresh, 7, "which goes on then");
	next_turn(w);
	is_int(overload->fresh, 0, "once");
	overload->followed = overload->capacity;
	is_int(taken_of(w, 10, false), 0, "which may be all");
	world_turns(w);
	ok(taken_of(w, 10, false) > 0, "until they ask for less, though a turn took nobody");
	overload->since_us -= 1000000;
	is_str(world_ask(w, "SET k w"), "+OK||", "a while later");
	is_int(taken_of(w, 10000, false), 10000, "all are taken again");
}

/* A batch costs the same for one request as for all of them: the short turns share it. */
static void test_overload_batch(struct world *w)
{
	struct ask a[3];
	w->shard->overload.long_us = env_now_us(w->env);
	long_turn(w);
	size_t before = replica_double_proposals(replica_double());
	ask_start(w, &a[0], "INCR shared");
	uint64_t *opened_us = &propose_batch(w->shard, overlay_open_index(w->shard->overlay))->opened_us;
	*opened_us += 1000000; /* however slow the machine is */
	world_turns(w);
	ask_start(w, &a[1], "INCR shared");
	world_turns(w);
	is_int(replica_double_proposals(replica_double()) - before, 0,
	       "under overload a batch stays open though the way is free");
	*opened_us -= 1000000 + LIMIT_OVERLOAD_BATCH_MS * 1000;
	ask_start(w, &a[2], "INCR shared");
	is_str(ask_wait(&a[2]), ":3||", "until it is old");
	is_int(replica_double_proposals(replica_double()) - before, 1, "several turns make one");
	for (int i = 0; i < 3; i++) {
		ask_wait(&a[i]);
		ask_end(&a[i]);
	}
	w->shard->overload.since_us -= 1000000;
	is_str(world_ask(w, "SET k w"), "+OK||", "a while later");
	ok(!w->shard->overload.on, "overload is over");
}

/* Overload lasts while requests come: what was asked while the machine stood still is asked again. */
static bool overload_refuses(struct world *w, const char *line)
{
	bool refused = false;
	for (int i = 0; i < 100; i++) {
		uint64_t began_us = env_now_us(w->env);
		w->shard->overload.on = true;
		w->shard->overload.since_us = began_us;
		refused = strncmp(world_ask(w, line), "-OVERLOADED", 11) == 0;
		if (env_now_us(w->env) - began_us < 100000) {
			break;
		}
	}
	return refused;
}

/* A database that lags behind; and who does not lead refuses by himself. */
static void test_lag(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	struct overload *overload = &w.shard->overload;
	world_turns(&w);
	w.shard->apply.bytes += LIMIT_APPLY_LAG * 3 / 4;
	is_str(world_ask(&w, "SET k v"), "+OK||", "a database may lag");
	w.shard->apply.bytes += LIMIT_APPLY_LAG;
	ok(says(world_ask(&w, "SET k w"), "-OVERLOADED") && overload->on, "one that lags far is overload");
	w.shard->apply.bytes -= LIMIT_APPLY_LAG;
	ok(overload_refuses(&w, "SET k w"), "under which half as far is too far for a write");
	ok(overload_refuses(&w, "EVAL return\t1 0"), "and for a script, which might write");
	ok(!overload_refuses(&w, "GET k"), "reads run");
	w.shard->apply.bytes -= LIMIT_APPLY_LAG * 3 / 4;
	is_str(world_ask(&w, "SET k w"), "+OK||", "and all when it has caught up");
	replica_double_lose(replica_double(), false);
	world_turns(&w);
	overload->turn_full = overload->on = true;
	ok(!shard_sheds(w.shard, false, true) && !shard_defers(w.shard),
	   "a node that does not lead sheds nobody: it says that it does not lead");
	overload->turn_full = overload->on = false;
	world_close(&w);
}

static void test_overload(void)
{
	struct world w;
	struct ask a, b;
	world_lead(&w, NULL, NULL);
	ask_start(&w, &a, "SET k v");
	w.shard->turn_requests = LIMIT_TURN_REQUESTS;
	w.shard->turn_began_us -= LIMIT_TURN_MS * 1000;
	ask_start(&w, &b, "SET k w");
	is_str(ask_wait(&b),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	       "later\"}||",
	       "a turn that takes too long sends the rest away");
	is_str(ask_wait(&a), "+OK||", "and answers what it took");
	ask_end(&a);
	ask_end(&b);
	is_str(world_ask(&w, "SET k w"), "+OK||", "the next turn takes requests again");
	test_short_turns(&w);
	test_sheds(&w);
	test_overload_batch(&w);
	ask_start(&w, &a, "SET k v");
	w.shard->stats.waiting += LIMIT_WAIT_REQUESTS;
	uint64_t *opened_us = &w.shard->batches[w.shard->first_waiting % BATCH_RING].opened_us;
	ask_start(&w, &b, "SET k w");
	*opened_us -= LIMIT_WAIT_MS * 1000;
	struct ask c;
	ask_start(&w, &c, "SET k x");
	w.shard->stats.waiting -= LIMIT_WAIT_REQUESTS;
	ok(strncmp(ask_wait(&c), "-OVERLOADED", 11) == 0, "many that wait for long are overload");
	is_str(ask_wait(&b), "+OK||", "many that do not are none");
	ask_wait(&a);
	ask_end(&a);
	ask_end(&b);
	ask_end(&c);
	is_str(world_ask(&w, "SET k w"), "+OK||", "nor is it when they have gone");
	w.shard->stats.admitted_bytes += LIMIT_ADMISSION_BYTES;
	is_str(world_ask(&w, "GET k"),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	       "later\"}||",
	       "too many that wait are overload as well");
	w.shard->stats.admitted_bytes -= LIMIT_ADMISSION_BYTES;
	w.shard->apply.bytes += LIMIT_APPLY_LAG + 1;
	is_str(world_ask(&w, "SET k x"),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	       "later\"}||",
	       "so is a database that lags behind");
	is_str(world_ask(&w, "GET k"), "$1||w||", "for writes, not for reads");
	w.shard->apply.bytes -= LIMIT_APPLY_LAG + 1;
	world_close(&w);
}

static void test_no_space(void)
{
	struct world w;
	struct shard_config config = {.space_reserve_bytes = UINT64_MAX / 4};
	world_lead(&w, NULL, &config);
	is_str(world_ask(&w, "SET k v"),
	       "-NO_SPACE {\"outcome\":\"retry\",\"reason\":\"the disk is nearly full, reads go on: free "
	       "space, and writes are taken again\"}||",
	       "without room writes are refused");
	is_str(world_ask(&w, "GET k"), "_||", "reads go on");
	world_close(&w);
}

static bool has_expired(void *owner)
{
	struct world *w = owner;
	return w->shard->stats.expired > 0;
}

static void test_expiry(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	is_str(world_ask(&w, "SET k v PX 1"), "+OK||", "a key with an end");
	uv_env_run_until(w.env, has_expired, &w, WAIT_MS);
	ok(w.shard->stats.expired == 1, "is removed by the leader");
	is_str(world_ask(&w, "GET k"), "_||", "and is gone");
	world_close(&w);
}

static void test_stopping(void)
{
	struct world w;
	struct ask a, b;
	world_lead(&w, NULL, NULL);
	ask_start(&w, &a, "SET k v");
	world_stop(&w);
	ask_start(&w, &b, "SET k w");
	uv_env_run_until(w.env, world_is_closed, &w, WAIT_MS);
	ok(a.done && b.done, "a stop leaves nobody without an answer");
	is_str(b.text, "-STOPPING {\"outcome\":\"retry\",\"reason\":\"the node is stopping: ask another\"}||",
	       "who comes late is sent on");
	ask_end(&a);
	ask_end(&b);
	shard_free(w.shard);
	uv_env_free(w.env, NULL, NULL);
}

static void transferred_cb(void *owner, int status)
{
	*(int *)owner = status;
}

static void test_transfer(void)
{
	struct world w;
	struct ask open, parked;
	int status = 1;
	world_lead(&w, NULL, NULL);
	ask_start(&w, &open, "SET k v");
	shard_transfer(w.shard, 2, 1000, transferred_cb, &status);
	int second = 1;
	shard_transfer(w.shard, 2, 1000, transferred_cb, &second);
	ok(second == 1, "a second transfer is not answered from inside");
	ask_start(&w, &parked, "GET k");
	ok(status == 1 && w.shard->parked_count == 1, "while leadership moves requests are parked");
	is_str(ask_wait(&open), "+OK||", "what was open is committed first");
	is_str(ask_wait(&parked), "$1||v||", "when it stays here they go on");
	is_int(status, ERR_TIMEOUT, "and the asker is told");
	is_int(second, ERR_BUSY, "and the second that one was under way");
	ask_end(&open);
	ask_end(&parked);
	world_close(&w);
}

static bool is_set(void *owner)
{
	return *(uint64_t *)owner != 0;
}

static void hash_cb(void *owner, int status, struct chain hash, uint64_t index)
{
	(void)hash;
	*(uint64_t *)owner = status == 0 ? index : 999;
}

static bool is_applied(void *owner)
{
	struct world *w = owner;
	return w->shard->apply.index == 2;
}

static void test_hash(void)
{
	struct world w;
	uint64_t index = 0;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET k v");
	uv_env_run_until(w.env, is_applied, &w, WAIT_MS); /* the answer came at commit */
	shard_hash(w.shard, hash_cb, &index);
	is_int(index, 0, "a hash comes later");
	uv_env_run_until(w.env, is_set, &index, WAIT_MS);
	is_int(index, 2, "and says of which index it is");
	world_close(&w);
}

static void stopped_cb(void *owner, const char *line)
{
	(void)owner;
	tap_note("%s", line);
}

static bool has_failed(void *owner)
{
	return ((struct world *)owner)->shard->failed;
}

/* What is committed by others still comes until the process has ended. */
static void test_apply_failed(void)
{
	struct world w;
	struct ask set;
	world_lead(&w, NULL, NULL);
	w.shard->config.on_stopped = stopped_cb;
	world_ask(&w, "SET k v");
	uv_env_run_until(w.env, is_applied, &w, WAIT_MS);
	w.shard->apply.meta.chain.low ^= 1; /* the database is no longer that of this log */
	ask_start(&w, &set, "SET k w");
	uv_env_run_until(w.env, has_failed, &w, WAIT_MS);
	ok(w.shard->phase == PHASE_FAILED, "an entry of another chain is truth lost");
	is_int(w.shard->apply.items[0]->index, 3, "it stays the first that is not applied");
	struct entry *next = entry_new(ENTRY_BARRIER, SLICE_NONE);
	next->index = w.shard->apply.pushed_index + 1;
	next->term = w.shard->term;
	shard_events.on_committed(w.shard, &next, 1);
	world_turns(&w);
	ok(!w.shard->apply.running && w.shard->apply.item_count == 1 && w.shard->apply.items[0]->index == 3,
	   "also when more is committed: nothing is applied behind a gap");
	entry_unref(next);
	ask_end(&set);
	world_close(&w);
}

static void test_many_bytes_in_a_turn(void)
{
	struct world w;
	static struct ask a[64];
	static uint8_t value[16 * 1024];
	bool right = true;
	world_lead(&w, NULL, NULL);
	replica_double_hold(replica_double(), true);
	for (int i = 0; i < 64; i++) {
		ask_init(&w, &a[i]);
		ask_words(&a[i], "SET k v");
		memcpy(a[i].text, &i, sizeof i);
		a[i].request.envelope.once = slice_of(a[i].text, 8); /* any bytes are an id */
		a[i].argv[1] = slice_of(&value[i], 5 + (size_t)i);   /* other keys */
		a[i].argv[2] = slice_of(value, sizeof value);
		ask_send(&a[i]);
	}
	ok(replica_double_proposals(replica_double()) >= 3, "a batch that is full goes at once");
	replica_double_hold(replica_double(), false);
	for (int i = 0; i < 64; i++) {
		right = right && strcmp(ask_wait(&a[i]), "+OK||") == 0;
		ask_end(&a[i]);
	}
	ok(right, "and all are answered");
	world_close(&w);
}

/* ---- scripts ---- */

static void test_bundles(void)
{
	struct world w;
	struct ask a;
	world_lead(&w, NULL, NULL);
	is_int(strncmp(world_ask(&w, "CALL pool.take take_id t1 sku s qty 1"), "-NO_SUCH_PROCEDURE ", 19), 0,
	       "without a bundle there is no procedure");
	is_int(strncmp(world_bundle(&w, "CHECK", world_take_lua), "%2||$4||name||$4||shop||$4||hash||", 34),
	       0, "CHECK compiles");
	is_int(replica_double_proposals(replica_double()), 0, "and writes nothing");
	const char *broken = world_bundle(&w, "PUSH", "procedure { name = ");
	is_int(strncmp(broken, "-SCRIPT_INVALID ", 16), 0, "what does not compile is refused");
	ok(strstr(broken, "pool/take.lua:1") != NULL, "with file and line");
	ok(world_bundle(&w, "PUSH", world_take_lua)[0] == '%', "what does is pushed");
	is_int(strncmp(world_ask(&w, "BUNDLE LIST"), "*2||%", 5), 0, "and listed");
	is_str(world_ask(&w, "CALL pool.fill sku s qty 3"), "%1||$4||left||:3||", "a procedure runs");
	is_str(world_ask(&w, "CALL pool.take take_id t1 sku s qty 2"), "%1||$4||left||:1||",
	       "with a declared request id");
	is_str(world_ask(&w, "CALL pool.take qty 2 take_id t1 sku s"), "%2||$4||left||:1||$8||replayed||#t||",
	       "the same again is a marked replay, in any order of arguments");
	is_int(strncmp(world_ask(&w, "CALL pool.take take_id t1 sku s qty 1"), "-IDEMPOTENCY_KEY_REUSED ",
		       24),
	       0, "other arguments are an error");
	is_int(strncmp(world_ask(&w, "CALL pool.take take_id t2 sku s qty 2"), "-SOLD_OUT ", 10), 0,
	       "a refusal");
	is_str(world_ask(&w, "CALL pool.fill sku s qty 1"), "%1||$4||left||:2||",
	       "took nothing back with it");
	is_str(world_ask(&w, "CALL pool.take take_id t2 sku s qty 2"), "%1||$4||left||:0||",
	       "and left no record");
	ask_init(&w, &a);
	ask_words(&a, "CALL pool.take take_id t1 sku s qty 2");
	a.request.protocol = 2;
	ask_send(&a);
	is_str(ask_wait(&a), "$26||{\"left\":1,\"replayed\":true}||", "the other protocol gets it as JSON");
	ask_end(&a);
	ask_init(&w, &a);
	ask_words(&a, "CALL pool.fill sku z qty 2 ; SET plain 1 ; CALL pool.take take_id t3 sku z qty 5");
	a.request.kind = REQUEST_EXEC;
	ask_send(&a);
	is_int(strncmp(ask_wait(&a), "*3||%1||$4||left||:2||+OK||-SOLD_OUT ", 37), 0,
	       "calls may stand in a queue");
	ask_end(&a);
	is_str(world_ask(&w, "CALL pool.fill sku z qty 1"), "%1||$4||left||:3||",
	       "where a refusal undoes only itself");
	world_close(&w);
}

static void test_push_after_the_client_left(void)
{
	struct world w;
	struct ask a;
	world_lead(&w, NULL, NULL);
	world_push_start(&w, &a, "PUSH", world_take_lua);
	shard_cancel(w.shard, &a.request);
	ask_end(&a);
	is_str(world_ask(&w, "SET k v"), "+OK||", "who leaves while its bundle compiles disturbs nobody");
	world_push_start(&w, &a, "PUSH", world_take_lua);
	world_stop(&w);
	uv_env_run_until(w.env, world_is_closed, &w, WAIT_MS);
	ok(a.done, "who pushes while the node stops is answered");
	ask_end(&a);
	shard_free(w.shard);
	uv_env_free(w.env, NULL, NULL);
}

static void test_whose_database(void)
{
	struct world w;
	struct err err = {0};
	struct shard *other = NULL;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET k v");
	struct shard_config config = w.shard->config;
	char log_dir[600], store_dir[600];
	snprintf(log_dir, sizeof log_dir, "%s", config.log_dir);
	snprintf(store_dir, sizeof store_dir, "%s", config.store_dir);
	config.log_dir = log_dir;
	config.store_dir = store_dir;
	config.members = NULL;
	config.member_count = 0;
	config.node_id = 2;
	world_stop(&w);
	uv_env_run_until(w.env, world_is_closed, &w, WAIT_MS);
	shard_free(w.shard);
	is_int(shard_open(&config, &other, &err), ERR_INVALID, "another node's database is not opened");
	ok(strstr(err.text, "belongs to node 1") != NULL, "and the reason is said");
	uv_env_free(w.env, NULL, NULL);
}

int main(void)
{
	test_bundles();
	test_push_after_the_client_left();
	test_whose_database();
	test_transfer();
	test_hash();
	test_apply_failed();
	test_many_bytes_in_a_turn();
	test_set_and_get();
	test_one_turn_is_one_entry();
	test_reader_of_pending_write();
	test_reads_need_a_proof();
	test_window();
	test_leadership_lost();
	test_open_batch_lost();
	test_waits_for_open();
	test_once();
	test_once_protocols();
	test_exec();
	test_watch();
	test_large_transactions_travel_alone();
	test_busy_log();
	test_explain();
	test_explain_long();
	test_cancel();
	test_deadlines();
	test_overload();
	test_lag();
	test_no_space();
	test_expiry();
	test_stopping();
	return tap_done();
}

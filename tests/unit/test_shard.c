/* One shard over the double of its replica: commits, proofs and elections come when the test says so. */
#include <stdio.h>

#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

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

static void test_lost_while_it_opens(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	shard_move(w.shard, PHASE_FOLLOWING);
	shard_move(w.shard, PHASE_OPENING); /* it applies what its term begins behind */
	replica_double_lose(replica_double(), false);
	shard_try_lead(w.shard); /* all is applied, and the loss is told at the end of the turn */
	ok(w.shard->phase == PHASE_OPENING, "who has lost its lead does not take it up, though nobody has told it");
	world_turns(&w);
	ok(w.shard->phase == PHASE_FOLLOWING, "and is told");
	replica_double_elect(replica_double());
	world_turns(&w);
	is_str(world_ask(&w, "SET k v"), "+OK||", "elected again it leads");
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

static void test_no_space(void)
{
	struct world w;
	struct shard_config config = {.space_reserve_bytes = UINT64_MAX / 4};
	char refusal[320];
	world_lead(&w, NULL, &config);
	env_timer_stop(&w.shard->tick); /* which asks for free space */
	snprintf(refusal, sizeof refusal,
		 "-NO_SPACE {\"outcome\":\"retry\",\"reason\":\"the disk is nearly full, reads go on: free "
		 "space, and writes are taken again\",\"node\":1,\"free_bytes\":%llu,\"needed_bytes\":"
		 "6917529027641081854}||",
		 (unsigned long long)w.shard->space.free_bytes);
	is_str(world_ask(&w, "SET k v"), refusal,
	       "without room writes are refused, and it is told where and how much must be free again");
	is_str(world_ask(&w, "GET k"), "_||", "reads go on");
	world_close(&w);
}

static bool has_expired(void *owner)
{
	struct world *w = owner;
	return w->shard->stats.expired > 0;
}

/* The last time is long ago: the index that was proposed last. */
static uint64_t note_expired(struct world *w)
{
	w->shard->expiry_noted_ms = 0;
	shard_tick_cb(&w->shard->tick);
	world_turns(w);
	return w->shard->proposed_index;
}

static void test_expiry(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	is_str(world_ask(&w, "SET k v PX 1"), "+OK||", "a key with an end");
	uv_env_run_until(w.env, has_expired, &w, WAIT_MS);
	ok(w.shard->stats.expired == 1, "is removed by the leader");
	is_str(world_ask(&w, "GET k"), "_||", "and is gone");
	uint64_t index = note_expired(&w);
	is_int(note_expired(&w), index, "how far keys have expired is not written down while nobody writes");
	world_ask(&w, "SET k v");
	is_int(note_expired(&w), index + 2, "it is when somebody has");
	is_int(note_expired(&w), index + 2, "once");
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

int main(void)
{
	test_transfer();
	test_hash();
	test_apply_failed();
	test_set_and_get();
	test_one_turn_is_one_entry();
	test_reader_of_pending_write();
	test_reads_need_a_proof();
	test_window();
	test_leadership_lost();
	test_open_batch_lost();
	test_waits_for_open();
	test_lost_while_it_opens();
	test_once();
	test_once_protocols();
	test_exec();
	test_watch();
	test_large_transactions_travel_alone();
	test_busy_log();
	test_cancel();
	test_deadlines();
	test_no_space();
	test_expiry();
	test_stopping();
	return tap_done();
}

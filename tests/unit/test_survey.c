/* KEYS and DBSIZE off the loop: what they see, when they are answered, and who stops them. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/shard_private.h"
#include "store/keys.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

/* An item in front of all that comes behind it: holds a lane until it is let go. */
struct plug {
	struct env_work work;
	sem_t gone;
};

static void plug_run(struct env_work *work)
{
	sem_wait(&list_entry(work, struct plug, work)->gone);
}

static void plug_done(struct env_work *work)
{
	sem_destroy(&list_entry(work, struct plug, work)->gone);
}

static void plug_in(struct env_lane *lane, struct plug *plug)
{
	*plug = (struct plug){.work = {.run = plug_run, .done = plug_done}};
	sem_init(&plug->gone, 0, 0);
	env_lane_submit(lane, &plug->work);
}

static void plug_pull(struct plug *plug)
{
	sem_post(&plug->gone);
}

static bool no_walks(void *owner)
{
	return ((struct world *)owner)->shard->surveys.count == 0;
}

static bool has_applied(void *owner)
{
	return ((struct world *)owner)->shard->apply.bytes == 0;
}

static void walks_end(struct world *w)
{
	uv_env_run_until(w->env, no_walks, w, WAIT_MS);
	is_int(w->shard->surveys.count, 0, "and no walk is left");
}

/* ---- what it answers ---- */

#define THOUSANDS 103

static void fill(struct world *w)
{
	char line[128];
	for (int i = 0; i < THOUSANDS; i++) {
		snprintf(line, sizeof line,
			 "EVAL for\ti=1,1000\tdo\tredis.call('SET',ARGV[1]..i,'v')\tend 0 key:%03d:", i);
		world_ask(w, line);
	}
}

static void test_many(void)
{
	struct world w;
	char wanted[64];
	world_lead(&w, NULL, NULL);
	fill(&w);
	snprintf(wanted, sizeof wanted, ":%d||", THOUSANDS * 1000);
	is_str(world_ask(&w, "DBSIZE"), wanted, "DBSIZE counts more keys than a walk on the loop may see");
	struct ask all;
	ask_start(&w, &all, "KEYS *");
	ask_wait(&all);
	snprintf(wanted, sizeof wanted, "*%d||$9||key:000:1||$10||key:000:10||", THOUSANDS * 1000);
	ok(slice_starts_with(slice_str(all.text), slice_str(wanted)), "and answers all that fit a reply");
	ask_end(&all);
	is_str(world_ask(&w, "KEYS key:05?:1000"),
	       "*10||$12||key:050:1000||$12||key:051:1000||$12||key:052:1000||$12||key:053:1000||$12||key:"
	       "054:1000||"
	       "$12||key:055:1000||$12||key:056:1000||$12||key:057:1000||$12||key:058:1000||$12||key:059:"
	       "1000||",
	       "in the order of the keys");
	struct ask queue;
	ask_init(&w, &queue);
	queue.request.kind = REQUEST_EXEC;
	ask_words(&queue, "DBSIZE ; PING");
	ask_send(&queue);
	ok(slice_starts_with(slice_str(ask_wait(&queue)), SLICE_LIT("*2||-TOO_LARGE")),
	   "in a queue it is still bounded");
	ask_end(&queue);
	is_str(world_ask(&w, "FLUSHDB"), "+OK||", "a flush is one write");
	is_str(world_ask(&w, "DBSIZE"), ":0||", "and nothing is left to count");
	walks_end(&w);
	is_int(w.shard->stats.admitted_bytes, 0, "nothing stays admitted");
	world_close(&w);
}

/* A thousand keys of nearly 1 KiB: about 1 MiB of them. */
static void fill_long(struct world *w, char first)
{
	char line[128];
	snprintf(line, sizeof line,
		 "EVAL for\ti=1,1000\tdo\tredis.call('SET',ARGV[1]..i..string.rep('x',980),'v')\tend 0 %c",
		 first);
	world_ask(w, line);
}

static void test_long(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	for (char first = 'a'; first < 'j'; first++) {
		fill_long(&w, first);
	}
	is_str(world_ask(&w, "KEYS *"),
	       "-TOO_LARGE {\"outcome\":\"refused\",\"reason\":\"the keys that match do not fit one reply of "
	       "8 "
	       "MiB; use SCAN, or a narrower pattern\"}||",
	       "more than fits a reply is refused");
	is_str(world_ask(&w, "DBSIZE"), ":9000||", "but counted");
	struct ask narrow;
	ask_start(&w, &narrow, "KEYS c*");
	ok(slice_starts_with(slice_str(ask_wait(&narrow)), SLICE_LIT("*1000||")), "a narrower pattern fits");
	ask_end(&narrow);
	walks_end(&w);
	world_close(&w);
}

static void test_order(void)
{
	struct world w;
	struct plug plug;
	struct ask before, size, keys, after, gone;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET a 1");
	plug_in(w.shard->surveys.lane, &plug);
	ask_start(&w, &before, "SET b 1");
	ask_start(&w, &size, "DBSIZE");
	ask_start(&w, &gone, "DEL a");
	ask_start(&w, &keys, "KEYS *");
	ask_start(&w, &after, "SET c 1");
	ask_wait(&after);
	world_turns(&w);
	ok(!size.done && !keys.done, "writes do not wait for a walk");
	plug_pull(&plug);
	is_str(ask_wait(&size), ":2||",
	       "a walk sees what was sent before it and nothing that was sent after");
	is_str(ask_wait(&keys), "*1||$1||b||", "each as of its own place");
	is_str(world_ask(&w, "DBSIZE"), ":2||", "the next one sees it all");
	struct ask *all[] = {&before, &size, &gone, &keys, &after};
	for (size_t i = 0; i < 5; i++) {
		ask_end(all[i]);
	}
	world_close(&w);
}

static void test_expired(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	env_timer_stop(&w.shard->tick); /* nobody else looks for expired keys */
	world_ask(&w, "SET a 1 PX 1");
	world_ask(&w, "SET b 1");
	uint64_t until_us = env_now_us(w.env) + 5000;
	while (env_now_us(w.env) < until_us) {
		world_turns(&w);
	}
	uint64_t proposals = replica_double_proposals(replica_double());
	is_str(world_ask(&w, "DBSIZE"), ":1||", "a key that has expired is not counted");
	is_int(replica_double_proposals(replica_double()), proposals + 1,
	       "and that its time has come is in the log");
	is_str(world_ask(&w, "KEYS *"), "*1||$1||b||", "so it is for KEYS");
	is_int(replica_double_proposals(replica_double()), proposals + 1, "once");
	world_close(&w);
}

/* ---- when ---- */

static void test_waits(void)
{
	struct world w;
	struct ask set, size;
	world_lead(&w, NULL, NULL);
	replica_double_hold(replica_double(), true);
	ask_start(&w, &set, "SET k v");
	world_turns(&w);
	ask_start(&w, &size, "DBSIZE");
	walks_end(&w);
	world_turns(&w);
	ok(!size.done, "a walk that saw a pending write waits for its index");
	replica_double_hold(replica_double(), false);
	is_str(ask_wait(&size), ":1||", "and is answered then");
	ok(set.order == 1 && size.order == 2, "after the writer");
	ask_end(&set);
	ask_end(&size);
	replica_double_hold_reads(replica_double(), true);
	ask_start(&w, &size, "DBSIZE");
	walks_end(&w);
	world_turns(&w);
	ok(!size.done, "a walk needs a proof of leadership");
	replica_double_hold_reads(replica_double(), false);
	is_str(ask_wait(&size), ":1||", "and leaves with it");
	ask_end(&size);
	world_close(&w);
}

static void test_deadline(void)
{
	struct world w;
	struct plug plug;
	world_lead(&w, NULL, NULL);
	plug_in(w.shard->surveys.lane, &plug);
	is_str(world_ask(&w, "DEADLINE 1 DBSIZE"),
	       "-DEADLINE_PASSED {\"outcome\":\"retry\",\"reason\":\"the walk over all keys takes longer: "
	       "put "
	       "DEADLINE ms in front, or use SCAN\"}||",
	       "a walk that takes too long says what to do");
	plug_pull(&plug);
	walks_end(&w);
	world_close(&w);
}

static void test_too_many(void)
{
	struct world w;
	struct plug plug;
	struct ask walks[LIMIT_SURVEYS];
	world_lead(&w, NULL, NULL);
	plug_in(w.shard->surveys.lane, &plug);
	for (int i = 0; i < LIMIT_SURVEYS; i++) {
		ask_start(&w, &walks[i], "KEYS *");
	}
	is_str(world_ask(&w, "DBSIZE"),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too many KEYS and DBSIZE at once: come back "
	       "later, or "
	       "use SCAN\"}||",
	       "one too many is sent away at once");
	plug_pull(&plug);
	bool answered = true;
	for (int i = 0; i < LIMIT_SURVEYS; i++) {
		answered = strcmp(ask_wait(&walks[i]), "*0||") == 0 && answered;
		ask_end(&walks[i]);
	}
	ok(answered, "the others have their turn");
	is_str(world_ask(&w, "DBSIZE"), ":0||", "and so has who comes later");
	world_close(&w);
}

/* What is not applied yet is copied for a walk, up to a bound. */
static void test_pending(void)
{
	struct world w;
	struct plug plug;
	struct census_count counts[CENSUS_DATABASES];
	uint64_t age_ms;
	world_lead(&w, NULL, NULL);
	plug_in(w.shard->apply.lane, &plug);
	for (char first = 'a'; first < 's'; first++) {
		size_t bytes = w.shard->apply.bytes;
		w.shard->apply.bytes = 0; /* the door that closes before */
		fill_long(&w, first);
		w.shard->apply.bytes += bytes;
	}
	is_str(world_ask(&w, "DBSIZE"),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	       "later\"}||",
	       "no walk begins while too much waits to be applied");
	is_int(w.shard->surveys.count, 0, "none is left behind");
	ok(!shard_keyspace(w.shard, counts, &age_ms), "nor is anything counted for INFO");
	plug_pull(&plug);
	uv_env_run_until(w.env, has_applied, &w, WAIT_MS);
	is_str(world_ask(&w, "DBSIZE"), ":18000||", "when it is applied, walks begin again");
	world_close(&w);
}

/* ---- who stops it ---- */

static int damage(struct shard *shard, struct txn *txn)
{
	static const uint8_t key[] = {TABLE_KV, 0, 0, 0, 0, 0, 'b'};
	(void)shard;
	return txn_put(txn, slice_of(key, sizeof key), SLICE_LIT("short"));
}

static void stopped_cb(void *owner, const char *line)
{
	(void)owner;
	tap_note("%s", line);
}

static void test_unreadable(void)
{
	struct world w;
	struct census_count counts[CENSUS_DATABASES];
	uint64_t age_ms;
	world_lead(&w, NULL, NULL);
	w.shard->config.on_stopped = stopped_cb;
	world_ask(&w, "SET a 1");
	ok(execute_background(w.shard, damage), "(a row without a head)");
	ok(!shard_keyspace(w.shard, counts, &age_ms), "a row that is none is not counted for INFO");
	is_str(world_ask(&w, "DBSIZE"),
	       "-LEADER_LOST {\"outcome\":\"retry\",\"reason\":\"leadership was lost before anything was "
	       "written: ask again\"}||",
	       "a walk that finds it does not answer");
	ok(w.shard->phase == PHASE_FAILED, "and ends this node, as every read does");
	world_close(&w);
}

static void test_cancelled(void)
{
	struct world w;
	struct plug plug;
	struct ask gone;
	world_lead(&w, NULL, NULL);
	fill(&w);
	plug_in(w.shard->surveys.lane, &plug);
	ask_start(&w, &gone, "DBSIZE");
	world_turns(&w);
	shard_cancel(w.shard, &gone.request);
	is_int(gone.request.state, REQUEST_IDLE, "a client that goes takes its request along");
	plug_pull(&plug);
	walks_end(&w);
	ok(!gone.done, "nobody is told");
	ask_end(&gone);
	is_int(w.shard->stats.waiting, 0, "nobody waits");
	world_close(&w);
}

static void test_lost(void)
{
	struct world w;
	struct plug plug;
	struct ask set, size, through;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET a 1");
	replica_double_hold(replica_double(), true);
	ask_start(&w, &set, "SET b 1");
	world_turns(&w);
	ask_start(&w, &through, "DBSIZE");
	walks_end(&w);
	plug_in(w.shard->surveys.lane, &plug);
	ask_start(&w, &size, "DBSIZE");
	world_turns(&w);
	replica_double_lose(replica_double(), false);
	is_str(ask_wait(&size),
	       "-LEADER_LOST {\"outcome\":\"retry\",\"reason\":\"leadership was lost before anything was "
	       "written: ask again\"}||",
	       "leadership that is lost takes the answer along");
	is_str(ask_wait(&through),
	       "-LEADER_LOST {\"outcome\":\"retry\",\"reason\":\"leadership was lost before anything was "
	       "written: ask again\"}||",
	       "also that of a walk that is through");
	ask_wait(&set);
	replica_double_hold(replica_double(), false);
	replica_double_elect(replica_double());
	uv_env_run_until(w.env, world_leads, &w, WAIT_MS);
	plug_pull(&plug);
	is_str(world_ask(&w, "DBSIZE"), ":1||", "in the next term it counts what there is then");
	walks_end(&w);
	ask_end(&set);
	ask_end(&size);
	ask_end(&through);
	world_close(&w);
}

static void test_stopped(void)
{
	struct world w;
	struct plug plug;
	struct ask size;
	world_lead(&w, NULL, NULL);
	fill(&w);
	plug_in(w.shard->surveys.lane, &plug);
	ask_start(&w, &size, "DBSIZE");
	world_turns(&w);
	plug_pull(&plug);
	world_stop(&w);
	uv_env_run_until(w.env, world_is_closed, &w, WAIT_MS);
	is_str(size.text,
	       "-STOPPING {\"outcome\":\"retry\",\"reason\":\"the node is stopping: ask another\"}||",
	       "a stop does not wait for a walk, and answers it");
	ask_end(&size);
	shard_free(w.shard);
	uv_env_free(w.env, NULL, NULL);
}

/* ---- counts for INFO ---- */

static bool counted(struct world *w, uint64_t keys, uint64_t expires)
{
	struct census_count counts[CENSUS_DATABASES];
	uint64_t age_ms;
	return shard_keyspace(w->shard, counts, &age_ms) && counts[0].keys == keys &&
	       counts[0].expires == expires && counts[1].keys == 0;
}

static bool is_counted(void *owner)
{
	return counted(owner, THOUSANDS * 1000, 0);
}

static bool has_one(void *owner)
{
	return counted(owner, 1, 0);
}

/* RocksDB walks over them as over those that are there. */
static void test_removed(struct world *w)
{
	char line[32];
	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof line, "SET gone%03d 1", i);
		world_ask(w, line);
		snprintf(line, sizeof line, "DEL gone%03d", i);
		world_ask(w, line);
	}
	world_ask(w, "SET one 1");
	uv_env_run_until(w->env, has_applied, w, WAIT_MS);
	ok(!counted(w, 1, 0), "nor is a small one where many keys were removed");
	uv_env_run_until(w->env, has_one, w, WAIT_MS);
	ok(counted(w, 1, 0), "it is soon after");
	world_ask(w, "FLUSHDB");
}

static void test_counts(void)
{
	struct world w;
	struct census_count counts[CENSUS_DATABASES];
	uint64_t age_ms;
	world_lead(&w, NULL, NULL);
	ok(counted(&w, 0, 0), "an empty database is counted at once");
	bool of_now = true;
	for (int i = 0; i < 10000; i++) { /* the clock moves in between, now and then */
		of_now = of_now && shard_keyspace(w.shard, counts, &age_ms) && age_ms < WAIT_MS;
	}
	ok(of_now, "and its count is of now, never of later");
	world_ask(&w, "MSET a 1 b 2 c 3");
	world_ask(&w, "SET d 4 PX 1000000");
	ok(counted(&w, 4, 1), "so is a small one, with what expires");
	world_ask(&w, "FLUSHDB");
	ok(counted(&w, 0, 0), "what was flushed does not count");
	test_removed(&w);
	fill(&w);
	ok(!counted(&w, THOUSANDS * 1000, 0), "a large one is not counted while somebody waits");
	uv_env_run_until(w.env, is_counted, &w, WAIT_MS);
	ok(counted(&w, THOUSANDS * 1000, 0), "but soon after he asked");
	world_ask(&w, "SET e 1");
	ok(counted(&w, THOUSANDS * 1000, 0) && shard_keyspace(w.shard, counts, &age_ms),
	   "the last count is told");
	world_close(&w);
}

int main(void)
{
	test_many();
	test_long();
	test_order();
	test_expired();
	test_waits();
	test_deadline();
	test_too_many();
	test_pending();
	test_unreadable();
	test_cancelled();
	test_lost();
	test_stopped();
	test_counts();
	return tap_done();
}

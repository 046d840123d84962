/* One shard over the double of its replica: what a repeat is told when something has changed in between, and
 * what a read is told when nothing may be written. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

/* Waits, and shows the reply as world_ask does. */
static const char *finish(struct ask *ask)
{
	static char text[512];
	snprintf(text, sizeof text, "%s", ask_wait(ask));
	ask_end(ask);
	return text;
}

/* In another database; lines with a semicolon are a queue. */
static const char *ask_in(struct world *w, unsigned db, const char *line)
{
	struct ask ask;
	ask_init(w, &ask);
	ask_words(&ask, line);
	ask.request.db = db;
	for (size_t i = 0; i < ask.request.command_count; i++) {
		ask.commands[i].db = db;
	}
	ask.request.kind = strchr(line, ';') == NULL ? REQUEST_ONE : REQUEST_EXEC;
	ask_send(&ask);
	return finish(&ask);
}

static bool starts_with(const char *text, const char *begin)
{
	return strncmp(text, begin, strlen(begin)) == 0;
}

/* The shard's time goes on by so much, and that is all it knows of it. */
static void pass(struct world *w, uint64_t ms)
{
	struct stamp *stamp = &w->shard->stamp;
	stamp_observe(stamp, stamp->last_ms + ms, env_now_us(w->env));
}

static void test_databases(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	ask_in(&w, 1, "SET k v");
	is_str(ask_in(&w, 0, "ONCE f FLUSHDB"), "+OK||", "database 0 is emptied, once");
	is_str(ask_in(&w, 0, "ONCE f FLUSHDB"), "+OK||", "which may be asked again");
	ok(starts_with(ask_in(&w, 1, "ONCE f FLUSHDB"), "-IDEMPOTENCY_KEY_REUSED"),
	   "to empty database 1 is another request, though it has the same words");
	is_str(ask_in(&w, 1, "GET k"), "$1||v||", "and did not happen");
	is_str(ask_in(&w, 1, "ONCE g FLUSHDB ; FLUSHDB"), "*2||+OK||+OK||",
	       "in a queue database 1 is emptied");
	ok(starts_with(ask_in(&w, 2, "ONCE g FLUSHDB ; FLUSHDB"), "-IDEMPOTENCY_KEY_REUSED"),
	   "where the same holds");
	world_close(&w);
}

static bool has_swept(void *owner)
{
	return ((struct world *)owner)->shard->stats.once_expired > 0;
}

static void test_raised_retention(void)
{
	struct world w;
	struct shard_config config = {.once_retention_ms = 1000};
	char line[80], young[80];
	world_lead(&w, NULL, &config);
	world_ask(&w, "SET n 0");
	uint64_t made_ms = w.shard->stamp.last_ms;
	snprintf(line, sizeof line, "ONCE %08" PRIx64 "-%04x-7abc-8def-0123456789ab INCR n", made_ms >> 16,
		 (unsigned)(made_ms & 0xffff));
	is_str(world_ask(&w, line), ":1||", "an id that carries its time is used");
	pass(&w, 2000 + ONCE_FUTURE_MS);
	uv_env_run_until(w.env, has_swept, &w, WAIT_MS);
	ok(has_swept(&w), "a second is what records are kept for: its record goes");
	ok(starts_with(world_ask(&w, line), "-ID_TOO_OLD"), "and the id is too old");
	w.shard->config.once_retention_ms =
		7ull * 24 * 3600 * 1000; /* as a start with other settings sets it */
	replica_double_lose(replica_double(), true);
	world_turns(&w);
	replica_double_elect(replica_double());
	world_turns(&w);
	ok(starts_with(world_ask(&w, line), "-ID_TOO_OLD"),
	   "also for a leader that keeps records for a week: it did not keep this one");
	is_str(world_ask(&w, "GET n"), "$1||1||", "so it happened once");
	made_ms = w.shard->stamp.last_ms;
	snprintf(young, sizeof young, "ONCE %08" PRIx64 "-%04x-7abc-8def-0123456789ab INCR n", made_ms >> 16,
		 (unsigned)(made_ms & 0xffff));
	is_str(world_ask(&w, young), ":2||", "what is younger than all that went may run");
	world_close(&w);
}

/* A quiet shop has one id a batch, and more batches a second than the background has turns. */
static void test_many_small_batches(void)
{
	struct world w;
	struct shard_config config = {.once_retention_ms = 1000};
	char line[40];
	world_lead(&w, NULL, &config);
	for (int i = 0; i < 30; i++) {
		snprintf(line, sizeof line, "ONCE s%d INCR n", i);
		world_ask(&w, line);
	}
	pass(&w, 2000 + ONCE_FUTURE_MS);
	uv_env_run_until(w.env, has_swept, &w, WAIT_MS);
	is_int(w.shard->stats.once_expired, 30, "records of thirty batches are removed in one go");
	is_str(world_ask(&w, "ONCE s29 INCR n"), ":31||", "all of them");
	world_close(&w);
}

/* With the bounds of today each removal fits, whatever is in the open batch: here its ids alone fill an
 * entry. */
static void test_removal_that_does_not_fit(void)
{
	struct world w;
	struct shard_config config = {.once_retention_ms = 1000};
	uint8_t long_id[ONCE_KEY_MAX] = {TABLE_ONCE};
	world_lead(&w, NULL, &config);
	world_ask(&w, "ONCE first INCR n");
	world_ask(&w, "ONCE second INCR n");
	world_ask(&w, "SET short v PX 1000");
	env_timer_stop(&w.shard->tick); /* here it comes by hand */
	pass(&w, 2000 + ONCE_FUTURE_MS);
	world_ask(&w, "SET k v");
	txn_abort(propose_begin(w.shard)); /* a batch is open */
	while (w.shard->once_block.len <= LIMIT_ENTRY) {
		once_block_add(&w.shard->once_block, slice_of(long_id, sizeof long_id));
	}
	w.shard->once_next_us = 0;
	expiry_tick(w.shard, env_now_us(w.env));
	is_int(w.shard->stats.once_expired, 0, "a removal that does not fit the open batch is not counted");
	is_int(w.shard->stats.expired, 0, "nor is that of a key");
	once_block_reset(&w.shard->once_block);
	w.shard->once_next_us = 0;
	expiry_tick(w.shard, env_now_us(w.env));
	is_int(w.shard->stats.once_expired, 2, "it comes again, from where it began");
	is_int(w.shard->stats.expired, 1, "and is counted once");
	is_str(world_ask(&w, "ONCE first INCR n"), ":3||", "and then the records are gone");
	world_close(&w);
}

static const char sale_id_lua[] =
	"procedure { name = 'pool.take', writes = true, once = 'sale_id', keep = 'success',\n"
	"  args = { sale_id = id, sku = id, qty = int(1, 100) }, result = { left = int } }\n"
	"return function(call) return { left = 0 } end";
static const char text_qty_lua[] =
	"procedure { name = 'pool.take', writes = true, once = 'take_id', keep = 'success',\n"
	"  args = { take_id = id, sku = id, qty = text }, result = { left = int } }\n"
	"return function(call) return { left = 0 } end";
static const char look_lua[] = "procedure { name = 'pool.look', args = {}, result = { n = int } }\n"
			       "return function(call) return { n = 1 } end";

static const char tables_lua[] =
	"tables { pool = { key = { 'sku' }, columns = { sku = id, avail = count } } }";

static void push_look(struct world *w)
{
	struct ask ask;
	ask_init(w, &ask);
	ask_words(&ask, "BUNDLE PUSH shop tables.lua t pool/look.lua s");
	ask.argv[4] = slice_str(tables_lua);
	ask.argv[6] = slice_str(look_lua);
	ask_send(&ask);
	const char *text = finish(&ask);
	ok(text[0] == '%', "a bundle is pushed that has none of these procedures: %s", text);
}

static void test_changed_procedures(void)
{
	static const char take[] = "CALL pool.take take_id t1 sku a qty 2";
	static const char fill[] = "ONCE f1 CALL pool.fill sku a qty 10";
	static const char took[] = "%2||$4||left||:8||$8||replayed||#t||";
	struct world w;
	world_lead(&w, NULL, NULL);
	world_bundle(&w, "PUSH", world_take_lua);
	is_str(world_ask(&w, fill), "%1||$4||left||:10||", "a pool is filled");
	is_str(world_ask(&w, take), "%1||$4||left||:8||", "and two of it are taken");
	ok(world_bundle(&w, "PUSH", text_qty_lua)[0] == '%', "an argument becomes one of another type");
	is_str(world_ask(&w, take), took, "the same words are the same request, whatever they mean by now");
	ok(starts_with(world_ask(&w, "CALL pool.take take_id t1 sku a qty 3"), "-IDEMPOTENCY_KEY_REUSED"),
	   "others are not");
	ok(world_bundle(&w, "PUSH", sale_id_lua)[0] == '%', "the argument that is the id gets another name");
	is_str(world_ask(&w, take), took, "who asks again is told what happened, not that it cannot");
	ok(starts_with(world_ask(&w, "CALL pool.take take_id t1 sku a qty 3"), "-VALIDATION"),
	   "whose words are others is told that it cannot");
	is_str(world_ask(&w, "ONCE z CALL pool.fill sku z qty 1"), "%1||$4||left||:1||",
	       "another pool is filled under an id that is its name");
	push_look(&w);
	is_str(world_ask(&w, take), took, "that holds when the procedure is gone");
	is_str(world_ask(&w, fill), "%2||$4||left||:10||$8||replayed||#t||",
	       "also for an id that stood in front");
	ok(starts_with(world_ask(&w, "ONCE f1 CALL pool.fill sku a qty 11"), "-NO_SUCH_PROCEDURE"),
	   "what never happened is refused");
	ok(starts_with(world_ask(&w, "ONCE y CALL pool.fill sku z qty 1"), "-NO_SUCH_PROCEDURE"),
	   "under another id that stands in front as well");
	is_str(ask_in(&w, 0, "CALL pool.take take_id t1 sku a qty 2 ; GET none"),
	       "*2||%2||$4||left||:8||$8||replayed||#t||_||", "a call in a queue is known as well");
	world_close(&w);
}

static void test_reads_without_space(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	env_timer_stop(&w.shard->tick); /* which removes what is expired, and asks for free space */
	world_ask(&w, "SET k v PX 1000");
	world_ask(&w, "SET l v");
	world_ask(&w, "SET m v");
	world_ask(&w, "SET n v PX 1000");
	pass(&w, 2000);
	w.shard->space.low = true;
	uint64_t proposals = replica_double_proposals(replica_double());
	is_str(world_ask(&w, "GET k"), "_||", "on a full disk an expired key reads as absent");
	is_str(world_ask(&w, "MGET k l"), "*2||_||$1||v||", "beside others too");
	is_str(world_ask(&w, "KEYS *"), "*2||$1||l||$1||m||", "in a walk over all keys");
	is_str(ask_in(&w, 0, "EXISTS k ; TTL k"), "*2||:0||:-2||", "in a queue");
	is_str(world_ask(&w, "ONCE r GET k"), "_||", "behind a request id");
	struct ask ask;
	ask_init(&w, &ask);
	ask_words(&ask, "EVAL script 1 k");
	ask.argv[1] = SLICE_LIT("return redis.call('EXISTS', KEYS[1])");
	ask_send(&ask);
	is_str(finish(&ask), ":0||", "and in a script that only reads");
	ok(starts_with(world_ask(&w, "SET k w"), "-NO_SPACE"), "what would write is refused as ever");
	ok(starts_with(world_ask(&w, "GETDEL l"), "-NO_SPACE"), "every such command");
	ok(starts_with(world_ask(&w, "SCAN 0 COUNT 1"), "-NO_SPACE"), "a SCAN too, which keeps its cursor");
	expiry_tick(w.shard, env_now_us(w.env));
	is_int(w.shard->stats.expired, 0, "nothing expired is removed behind the requests either");
	is_int(replica_double_proposals(replica_double()) - proposals, 0, "and nothing was written");
	w.shard->space.low = false;
	is_str(world_ask(&w, "GET k"), "_||", "when there is space again, it reads the same");
	is_int(replica_double_proposals(replica_double()) - proposals, 1, "and is deleted");
	expiry_tick(w.shard, env_now_us(w.env));
	is_int(w.shard->stats.expired, 1, "so is, without a reading, the other one");
	is_str(world_ask(&w, "EXISTS n"), ":0||", "which reads as before");
	is_int(replica_double_proposals(replica_double()) - proposals, 2, "by a write of its own");
	world_close(&w);
}

static void count_ahead(void *owner, enum log_level level, const char *line)
{
	*(unsigned *)owner += strstr(line, " time_ahead ahead_ms=") != NULL;
}

static void test_clock_behind(void)
{
	struct world w;
	unsigned told = 0;
	struct log log = {.sink = count_ahead, .owner = &told};
	world_lead(&w, NULL, NULL);
	env_timer_stop(&w.shard->tick);
	w.shard->log = &log;
	world_ask(&w, "SET k v PX 1");
	expiry_tick(w.shard, env_now_us(w.env));
	is_int(told, 0, "a clock that fits is no news");
	pass(&w, 3600000);
	expiry_tick(w.shard, env_now_us(w.env));
	expiry_tick(w.shard, env_now_us(w.env));
	is_int(told, 1, "a leader whose clock is an hour behind the log says, once, that time stands still");
	world_close(&w);
}

int main(void)
{
	test_databases();
	test_raised_retention();
	test_many_small_batches();
	test_removal_that_does_not_fit();
	test_changed_procedures();
	test_reads_without_space();
	test_clock_behind();
	return tap_done();
}

/* One shard over the double of its replica: what it owes when time is up, and when it leads again. */
#include <unistd.h>

#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

/* Requests wait for their turn, and the loop stands still until the deadline of one is over. */
static void test_deadline_while_parked(void)
{
	struct world w;
	struct ask first, late, other;
	world_lead(&w, NULL, NULL);
	env_timer_stop(
		&w.shard->tick); /* which refuses what is late every now and then: it may come after us */
	replica_double_busy(replica_double(), true);
	ask_start(&w, &first, "SET k v");
	world_turns(&w);
	ask_start(&w, &late, "DEADLINE 1 INCR late");
	ask_start(&w, &other, "INCR other");
	ok(w.shard->parked_count == 2, "while the log is busy requests are parked");
	usleep(2000);
	replica_double_busy(replica_double(), false);
	is_str(ask_wait(&first), "+OK||", "it is busy no longer");
	is_str(ask_wait(&other), ":1||", "who has time runs then");
	ok(strncmp(ask_wait(&late), "-DEADLINE_PASSED", 16) == 0,
	   "a request whose deadline is over does not: %s", late.text);
	is_str(world_ask(&w, "GET late"), "_||", "it was not begun");
	ask_end(&first);
	ask_end(&late);
	ask_end(&other);
	world_close(&w);
}

static bool has_swept(void *owner)
{
	struct world *w = owner;
	return w->shard->stats.once_expired >= 2;
}

static int put_old_block(struct shard *shard, struct txn *txn)
{
	static const uint8_t key[ONCE_AGE_KEY] = {TABLE_ONCE_AGE, 0, 0, 0, 0, 0, 0, 0, 1};
	static const uint8_t block[] = {3, 0, TABLE_ONCE, 0, 'x'};
	(void)shard;
	return txn_put(txn, slice_of(key, sizeof key), slice_of(block, sizeof block));
}

/* Records of two batches go, but the batch that says so is lost with the leadership. */
static void test_sweep_is_lost(void)
{
	struct world w;
	struct shard_config config = {.once_retention_ms = 1000};
	world_lead(&w, NULL, &config);
	is_str(world_ask(&w, "ONCE first INCR n"), ":1||", "a request id is used");
	is_str(world_ask(&w, "ONCE second INCR n"), ":2||", "and another one");
	is_str(world_ask(&w, "ONCE first INCR n"), ":1||", "what happened under the first is kept");
	struct stamp *stamp = &w.shard->stamp;
	stamp_observe(stamp, stamp->last_ms + 2000 + ONCE_FUTURE_MS, env_now_us(w.env));
	replica_double_hold(replica_double(), true);
	uv_env_run_until(w.env, has_swept, &w, WAIT_MS);
	ok(has_swept(&w), "when they are old both are removed");
	replica_double_lose(replica_double(), false);
	world_turns(&w);
	w.shard->stats.once_expired = 0;
	replica_double_hold(replica_double(), false);
	replica_double_elect(replica_double());
	uv_env_run_until(w.env, has_swept, &w, WAIT_MS);
	ok(has_swept(&w), "when that is lost with the leadership, both are removed by the next one");
	is_str(world_ask(&w, "ONCE first INCR n"), ":3||", "and the first may be used again");
	ok(execute_background(w.shard, put_old_block), "(a block stands among those that went)");
	world_turns(&w);
	w.shard->stats.once_expired = w.shard->once_next_us = 0;
	expiry_begin(w.shard);
	shard_tick_cb(&w.shard->tick);
	is_int(w.shard->stats.once_expired, 0, "a leader that begins does not walk over what others removed");
	world_close(&w);
}

/* The same, and whoever takes may say what for. */
static const char take_for_lua[] =
	"procedure { name = 'pool.take', writes = true, once = 'take_id', keep = 'success',\n"
	"  args = { purpose = optional(id), qty = int(1, 100), sku = id, take_id = id }, result = { left = "
	"int },\n"
	"  fails = { SOLD_OUT = 'refused' } }\n"
	"return function(call)\n"
	"  local pool = db.pool:need(call.sku)\n"
	"  if pool.avail < call.qty then fail('SOLD_OUT') end\n"
	"  db.pool:add(call.sku, { avail = -call.qty })\n"
	"  return { left = pool.avail - call.qty }\n"
	"end";

/* Somebody asks again after a push that gave the procedure one more argument, in front of the others. */
static void test_repeat_after_a_push(void)
{
	static const char take[] = "CALL pool.take take_id t1 sku a qty 2";
	struct world w;
	world_lead(&w, NULL, NULL);
	world_bundle(&w, "PUSH", world_take_lua);
	world_ask(&w, "CALL pool.fill sku a qty 10");
	is_str(world_ask(&w, take), "%1||$4||left||:8||", "two of ten are taken");
	ok(strncmp(world_bundle(&w, "PUSH", take_for_lua), "-", 1) != 0, "the procedure gains an argument");
	is_str(world_ask(&w, take), "%2||$4||left||:8||$8||replayed||#t||",
	       "whoever asks again is told what happened, not that the id was used for something else");
	is_str(world_ask(&w, "CALL pool.take take_id t1 sku a qty 2 purpose p"),
	       "-IDEMPOTENCY_KEY_REUSED {\"outcome\":\"refused\",\"reason\":\"the id was used for another "
	       "request: make a new id for this one\"}||",
	       "that is told to who asks for more");
	world_close(&w);
}

struct told {
	unsigned count;
	int status;
	uint64_t least; /* index */
};

static void told_cb(void *owner, int status, struct chain hash, uint64_t index)
{
	struct told *told = owner;
	(void)hash;
	told->least = told->count == 0 || index < told->least ? index : told->least;
	told->status = status != 0 ? status : told->status;
	told->count++;
}

static bool are_told(void *owner)
{
	return ((struct told *)owner)->count == 20;
}

static bool has_applied_two(void *owner)
{
	return ((struct world *)owner)->shard->apply.index == 2;
}

/* A walk over a large database takes minutes, and any client may ask for one. */
static void test_many_hashes(void)
{
	struct world w;
	struct told told = {0};
	size_t walks = 0;
	world_lead(&w, NULL, NULL);
	world_ask(&w, "SET k v");
	uv_env_run_until(w.env, has_applied_two, &w, WAIT_MS);
	for (int i = 0; i < 20; i++) {
		shard_hash(w.shard, told_cb, &told);
	}
	list_for_each (link, &w.shard->hashes) {
		walks++;
	}
	ok(walks == 2, "who asks for a hash while one is made shares the next one: %zu", walks);
	uv_env_run_until(w.env, are_told, &told, WAIT_MS);
	ok(are_told(&told) && told.status == 0 && told.least == 2, "and all are told");
	shard_hash(w.shard, told_cb, &told);
	shard_hash(w.shard, told_cb, &told);
	world_close(&w);
	is_int(told.count, 22, "who still waits at the end is told so");
}

int main(void)
{
	test_deadline_while_parked();
	test_sweep_is_lost();
	test_repeat_after_a_push();
	test_many_hashes();
	return tap_done();
}

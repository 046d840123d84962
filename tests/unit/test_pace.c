/* A database that merges too slowly: nodes wait in time, nobody is refused, and no memory fills. */
#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

static void test_pauses(void)
{
	is_int(pace_pause_us(0, 1000), 0, "without young files nothing waits");
	is_int(pace_pause_us(48, 1000), 0, "nor with as many as a merge that is under way leaves");
	is_int(pace_pause_us(49, 1000), 250, "one more costs a quarter of the work");
	is_int(pace_pause_us(64, 1000), 4000, "the pause grows with the files");
	is_int(pace_pause_us(64, 500), 2000, "and is a multiple of the work");
	is_int(pace_pause_us(127, 10000), 100000, "but has an end");
	is_int(pace_pause_us(UINT64_MAX, UINT64_MAX), 100000, "whatever the machine did meanwhile");
	ok(pace_item_bytes(48) == MIB(1) && pace_item_bytes(49) == KIB(128),
	   "items are short where pauses are made");
}

static uint64_t paced_us(struct world *w)
{
	struct shard_stats stats;
	shard_stats(w->shard, &stats);
	return stats.paced_us;
}

static bool was_paced(void *world)
{
	return paced_us(world) > 0;
}

static uint64_t young_files(struct world *w)
{
	struct store_backlog backlog;
	shard_store_backlog(w->shard, &backlog);
	return backlog.young_files;
}

static bool has_files(struct world *w, uint64_t count)
{
	while (young_files(w) < count) {
		uint64_t index;
		world_ask(w, "INCR k");
		if (store_flush(w->shard->store, &index, NULL) != 0) {
			return false;
		}
	}
	return true;
}

static bool all_applied(void *world)
{
	struct world *w = world;
	return w->shard->apply.index == w->shard->apply.pushed_index;
}

static void test_paced(void)
{
	struct world w;
	struct store_disk *disk = store_disk_new();
	struct shard_config late = {.disk = disk};
	store_disk_merge_at(disk, 1000);
	world_lead(&w, NULL, &late);
	ok(has_files(&w, 48), "a disk that merges late has young files");
	is_int(paced_us(&w), 0, "so many do not matter");
	ok(has_files(&w, 80), "more");
	world_ask(&w, "INCR k");
	uv_env_run_until(w.env, was_paced, &w, WAIT_MS);
	ok(was_paced(&w), "make a node wait");
	world_ask(&w, "INCR k");
	uv_env_run_until(w.env, all_applied, &w, WAIT_MS);
	ok(all_applied(&w), "and everything is applied all the same");
	replica_double_lose(replica_double(), false);
	world_turns(&w);
	uint64_t before = paced_us(&w);
	replica_double_elect(replica_double());
	uv_env_run_until(w.env, world_leads, &w, WAIT_MS);
	ok(world_leads(&w), "another one leads for a while");
	is_int(paced_us(&w), before, "who is about to lead applies as fast as it can");
	world_close(&w);
	store_disk_free(disk);
}

static void test_held(void)
{
	struct world w;
	struct ask a, b;
	world_lead(&w, NULL, NULL);
	world_turns(&w);
	size_t before = replica_double_proposals(replica_double());
	w.shard->apply.bytes += LIMIT_APPLY_AHEAD + 1;
	ask_start(&w, &a, "INCR k");
	world_turns(&w);
	ask_start(&w, &b, "INCR k");
	world_turns(&w);
	is_int(replica_double_proposals(replica_double()) - before, 0,
	       "what is committed does not run ahead of what is applied");
	w.shard->apply.bytes -= LIMIT_APPLY_AHEAD + 1;
	env_turn_arm(&w.shard->turn);
	is_str(ask_wait(&a), ":1||", "when it has caught up, who waited is answered");
	is_str(ask_wait(&b), ":2||", "all of them");
	is_int(replica_double_proposals(replica_double()) - before, 1, "in one batch");
	ask_end(&a);
	ask_end(&b);
	world_close(&w);
}

/* A leader that has applied all and begins a pause, longer than anybody makes one. */
static void lead_pausing(struct world *w)
{
	world_lead(w, NULL, NULL);
	world_ask(w, "SET k v");
	uv_env_run_until(w->env, all_applied, w, WAIT_MS);
	w->shard->apply.next_us = env_now_us(w->env) + 10 * WAIT_MS * 1000ULL;
	world_ask(w, "SET k w");
}

static void test_opens(void)
{
	struct world w;
	lead_pausing(&w);
	world_turns(&w);
	ok(!all_applied(&w), "while a pause lasts nothing is applied");
	replica_double_lose(replica_double(), true);
	world_turns(&w);
	replica_double_elect(replica_double());
	uv_env_run_until(w.env, world_leads, &w, 5000);
	ok(world_leads(&w) && all_applied(&w), "but who is about to lead waits no more");
	world_close(&w);
}

/* A disk that is full, and the batch that waited for what is applied. */
static void test_no_space(void)
{
	struct world w;
	struct ask a;
	lead_pausing(&w);
	w.shard->apply.bytes += LIMIT_APPLY_AHEAD;
	ask_start(&w, &a, "INCR n");
	world_turns(&w);
	ok(!a.done, "a batch waits for what is applied");
	/* As the lane would have found it. */
	struct apply *apply = &w.shard->apply;
	apply->next_us = 0;
	apply->running = true;
	apply->status = ERR_NO_SPACE;
	apply->work.done(&apply->work);
	world_turns(&w);
	ok(a.done, "not for a database that finds no space");
	w.shard->apply.bytes -= LIMIT_APPLY_AHEAD;
	ask_end(&a);
	world_close(&w);
}

/* What a follower does with it is in tests/unit/test_replica_disk. */
static void test_behind(void)
{
	struct world w;
	struct shard_config small = {.behind_bytes = 100};
	world_lead(&w, NULL, &small);
	world_ask(&w, "SET k v");
	uv_env_run_until(w.env, all_applied, &w, WAIT_MS);
	ok(!replica_double_behind(replica_double()), "a node that has applied all is not behind");
	w.shard->apply.bytes += 100;
	world_ask(&w, "SET k v");
	uv_env_run_until(w.env, all_applied, &w, WAIT_MS);
	ok(!replica_double_behind(replica_double()), "nor one with little before it");
	w.shard->apply.bytes += 1;
	world_ask(&w, "SET k v");
	uv_env_run_until(w.env, all_applied, &w, WAIT_MS);
	ok(replica_double_behind(replica_double()), "its log is told when it is more");
	w.shard->apply.bytes -= 101;
	world_ask(&w, "SET k v");
	uv_env_run_until(w.env, all_applied, &w, WAIT_MS);
	ok(!replica_double_behind(replica_double()), "and when it is not any more");
	world_close(&w);
}

int main(void)
{
	test_pauses();
	test_paced();
	test_held();
	test_opens();
	test_no_space();
	test_behind();
	return tap_done();
}

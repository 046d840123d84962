/* Bundles and scripts at one shard over the double of its replica. */
#include <stdio.h>

#include "engine/shard_private.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

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

static void test_script_by_its_hash(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	is_str(world_ask(&w, "ONCE i EVAL return\tredis.call('INCR',KEYS[1]) 1 k"), ":1||", "a script under an id");
	is_str(world_ask(&w, "ONCE i EVALSHA f69399fc64ef6862cfba357027e9d89dcc18a934 1 k"), ":1||",
	       "by its hash it is the same request");
	world_ask(&w, "SCRIPT FLUSH");
	is_str(world_ask(&w, "ONCE i EVALSHA F69399FC64EF6862CFBA357027E9D89DCC18A934 1 k"), ":1||",
	       "also where the script is not known");
	is_int(strncmp(world_ask(&w, "ONCE i EVALSHA f69399fc64ef6862cfba357027e9d89dcc18a935 1 k"),
		       "-IDEMPOTENCY_KEY_REUSED ", 24),
	       0, "another script is not");
	is_int(strncmp(world_ask(&w, "ONCE j EVALSHA f69399fc64ef6862cfba357027e9d89dcc18a934 1 k"), "-NOSCRIPT ",
		       10),
	       0, "one that is not known is told so");
	is_str(world_ask(&w, "ONCE j EVAL return\tredis.call('INCR',KEYS[1]) 1 k"), ":2||",
	       "and runs, once, when its text is sent under the same id");
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

#define LOOP "EVAL for\ti=1,2000000\tdo\tlocal\tx=i\tend\treturn\t1 0"

/* Each has its own budget, and a queue may hold thousands. */
static void test_long_queue(void)
{
	struct world w;
	struct ask a;
	world_lead(&w, NULL, NULL);
	is_str(world_ask(&w, LOOP), ":1||", "a script within its budget");
	ask_init(&w, &a);
	ask_words(&a, "SET k v ; " LOOP " ; " LOOP);
	a.request.kind = REQUEST_EXEC;
	ask_send(&a);
	is_str(ask_wait(&a), "*3||+OK||:1||:1||", "runs in a queue, and a second one");
	ask_end(&a);
	ask_init(&w, &a);
	ask_words(&a, "SET k w ; " LOOP " ; " LOOP " ; " LOOP " ; " LOOP " ; " LOOP " ; " LOOP " ; " LOOP);
	a.request.kind = REQUEST_EXEC;
	ask_send(&a);
	is_int(strncmp(ask_wait(&a), "-TOO_LARGE ", 11), 0, "so many would take the loop for too long");
	ask_end(&a);
	is_str(world_ask(&w, "GET k"), "$1||v||", "and nothing of that queue happened");
	world_close(&w);
}

int main(void)
{
	test_bundles();
	test_long_queue();
	test_script_by_its_hash();
	test_push_after_the_client_left();
	test_whose_database();
	return tap_done();
}

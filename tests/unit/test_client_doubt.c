/* libtally when an answer does not come: what is asked again, under what id, and as what a call ends. */
#include <string.h>

#include "env/uv_env.h"
#include "tests/lib/tap.h"
#include "tests/unit/client_world.h"

/* Cuts the first command, then is fine. */
static const char *answer_cut_first(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)words, (void)count;
	return node->commands == 1 ? FAKE_CLOSE : "+OK\r\n";
}

static void test_lost(void)
{
	struct world world;
	struct shop_call shop = {0};
	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_cut_first;
	shop_call(&world, &shop, "id-7", 0, PATIENCE_MS);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_DONE && shop.attempts == 2 && shop.was_unknown,
	   "a call whose connection was cut is asked again");
	ok(strncmp(world.nodes[0].last, "ONCE id-7 DEADLINE ", 19) == 0 &&
		   strstr(world.nodes[0].last, " SETTLE SET k v"),
	   "under the same id, and to be settled");
	world_close(&world);

	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_cut_first;
	shop_call(&world, &shop, NULL, 0, PATIENCE_MS);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_UNKNOWN && shop.attempts == 1 && world.nodes[0].commands == 1,
	   "a write without an id is never sent twice");
	is_str(shop.code, "OUTCOME_UNKNOWN", "and is unknown");
	world_close(&world);

	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_cut_first;
	shop_call(&world, &shop, NULL, TALLY_READ, PATIENCE_MS);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_DONE && shop.attempts == 2, "a read is asked again without an id");
	ok(strncmp(world.nodes[0].last, "DEADLINE ", 9) == 0 && strstr(world.nodes[0].last, "SETTLE") == NULL,
	   "and there is nothing to settle");
	world_close(&world);
}

static void test_deadlines(void)
{
	struct world world;
	struct shop_call shop = {0};
	world_open(&world, 1, 1, 0);
	fake_node_kill(&world.nodes[0]);
	shop_call(&world, &shop, "id", 0, 100);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_RETRY && shop.attempts == 0, "a call that was never sent did not happen");
	ok(strstr(shop.message, "no node was reached") != NULL, "and says that no node was reached");
	fake_node_revive(&world.nodes[0]);
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 2);
	ok(shop.outcome == TALLY_DONE, "the client goes on when a node is back");

	world.nodes[0].answer = answer_nothing;
	shop_call(&world, &shop, "id", 0, 1000);
	world_wait(&world, 3);
	ok(shop.outcome == TALLY_UNKNOWN && shop.attempts == 1, "a call without an answer is unknown");
	shop_call(&world, &shop, NULL, TALLY_READ, 100);
	world_wait(&world, 4);
	ok(shop.outcome == TALLY_RETRY, "a read without an answer did not happen");

	shop_call(&world, &shop, "id", 0, 1000);
	world_wait(&world, 5);
	ok(shop.outcome == TALLY_UNKNOWN && strstr(world.nodes[0].last, "SETTLE") != NULL,
	   "the next call under an id that ended unknown settles it, too");
	fake_node_kill(&world.nodes[0]);
	struct tally_stats stats = {.connected = 1};
	world.wanted = 100;
	for (int i = 0; i < 1000 && stats.connected > 0; i++) {
		uv_env_run_until(world.env, world_ended, &world, 10);
		tally_stats(world.tally, &stats);
	}
	shop_call(&world, &shop, "id", 0, 100);
	world_wait(&world, 6);
	ok(shop.outcome == TALLY_UNKNOWN && shop.attempts == 0, "and stays unknown where it cannot be sent");
	shop_call(&world, &shop, "id", 0, 0);
	world_wait(&world, 7);
	ok(shop.outcome == TALLY_UNKNOWN && strcmp(shop.code, "VALIDATION") == 0,
	   "nor is it refused for what the next one does wrong");
	shop_call(&world, &shop, "id", TALLY_READ, 0);
	world_wait(&world, 8);
	ok(shop.outcome == TALLY_REFUSED, "a read leaves no doubt under any id");
	fake_node_revive(&world.nodes[0]);
	world.nodes[0].answer = answer_ok;
	shop_call(&world, &shop, "another", 0, PATIENCE_MS);
	world_wait(&world, 9);
	ok(strstr(world.nodes[0].last, "SETTLE") == NULL, "one under another id does not");
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 10);
	ok(shop.outcome == TALLY_DONE && shop.was_unknown && strstr(world.nodes[0].last, "SETTLE") != NULL,
	   "until an answer comes");
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 11);
	ok(shop.outcome == TALLY_DONE && !shop.was_unknown && strstr(world.nodes[0].last, "SETTLE") == NULL,
	   "after that nothing is left to settle");
	world_close(&world);
}

/* Order o-1 or another, whose id is among the arguments. */
static void shop_buy(struct world *world, struct shop_call *shop, const char *order, unsigned timeout_ms)
{
	const struct tally_arg args[] = {tally_str("order_id", order), tally_int("qty", 1)};
	shop->world = world;
	shop->call.data = shop;
	world->inside = true;
	tally_call_start(world->tally, &shop->call, "order.flash_buy", args, 2, timeout_ms, shop_cb);
	world->inside = false;
}

static void test_same_words(void)
{
	struct world world;
	struct shop_call shop = {0};
	struct tally_stats stats = {.connected = 1};
	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_nothing;
	shop_buy(&world, &shop, "o-1", 1000);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_UNKNOWN, "an order without an answer is unknown");
	fake_node_kill(&world.nodes[0]);
	world.wanted = 100;
	for (int i = 0; i < 1000 && stats.connected > 0; i++) {
		uv_env_run_until(world.env, world_ended, &world, 10);
		tally_stats(world.tally, &stats);
	}
	shop_buy(&world, &shop, "o-1", 100);
	world_wait(&world, 2);
	ok(shop.outcome == TALLY_UNKNOWN && shop.attempts == 0,
	   "asked for again it does not end RETRY, as if it had not happened");
	shop_buy(&world, &shop, "o-2", 100);
	world_wait(&world, 3);
	ok(shop.outcome == TALLY_RETRY, "another one does");
	fake_node_revive(&world.nodes[0]);
	world.nodes[0].answer = answer_ok;
	shop_buy(&world, &shop, "o-1", PATIENCE_MS);
	world_wait(&world, 4);
	ok(shop.outcome == TALLY_DONE && shop.was_unknown && strstr(world.nodes[0].last, "SETTLE") != NULL,
	   "until an answer comes");
	shop_buy(&world, &shop, "o-1", PATIENCE_MS);
	world_wait(&world, 5);
	ok(shop.outcome == TALLY_DONE && !shop.was_unknown, "and settles it");
	world_close(&world);
}

/* Answers the first command late, behind the second. */
static const char *answer_both(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)words, (void)count;
	return node->commands == 1 ? NULL : ":1\r\n:2\r\n";
}

static void test_late_answer(void)
{
	struct world world;
	struct shop_call first = {0};
	struct shop_call second = {0};
	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_both;
	shop_call(&world, &first, "a", 0, 1000);
	world_wait(&world, 1);
	ok(first.outcome == TALLY_UNKNOWN, "the first call ran out of time");
	shop_call(&world, &second, "b", 0, PATIENCE_MS);
	world_wait(&world, 2);
	ok(second.integer == 2, "an answer that comes too late is not taken for the next call's");
	ok(first.callbacks == 1, "nor told twice");
	world_close(&world);
}

int main(void)
{
	test_lost();
	test_deadlines();
	test_same_words();
	test_late_answer();
	return tap_done();
}

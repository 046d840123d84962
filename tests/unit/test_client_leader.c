/* libtally looks for the leader: one that moves, dies, stands still or takes no more connections, or none. */
#include <string.h>

#include "env/uv_env.h"
#include "tests/lib/tap.h"
#include "tests/unit/client_world.h"

static void test_nobody_leads(void)
{
	struct world world;
	struct shop_call shop = {0};
	world_open(&world, 1, 1, 0);
	world.nodes[0].role = "candidate";
	world.nodes[0].leader[0] = '\0';
	shop_call(&world, &shop, "id", 0, 1000);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_RETRY && strstr(shop.message, "none of them knows a leader") != NULL,
	   "when nodes answer and nobody leads, that is what it says");
	world_close(&world);
}

static const char *answer_moved(struct fake_node *node, const struct slice *words, size_t count)
{
	struct world *world = node->owner;
	(void)words, (void)count;
	world->nodes[0].role = "follower";
	world->nodes[1].role = "leader";
	for (size_t i = 0; i < NODES; i++) {
		memcpy(world->nodes[i].leader, world->nodes[1].address, sizeof(world->nodes[i].leader));
	}
	return "-NOT_LEADER {\"outcome\":\"retry\"}\r\n";
}

static void test_moves(void)
{
	struct world world;
	struct shop_call shop = {0};
	world_open(&world, 3, 1, 0);
	world.nodes[0].answer = answer_moved;
	world.nodes[0].owner = &world;
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_DONE && world.nodes[1].commands == 1,
	   "a node that does not lead any more is left for the one that does");
	ok(strstr(world.nodes[1].last, "SETTLE") == NULL && !shop.was_unknown,
	   "a refusal to lead is not an unknown outcome");

	/* a killed leader */
	world.nodes[1].answer = answer_nothing;
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world.wanted = 100;
	for (int i = 0; i < 1000 && world.nodes[1].commands < 2; i++) {
		uv_env_run_until(world.env, world_ended, &world, 10);
	}
	fake_node_kill(&world.nodes[1]);
	world.nodes[2].role = "leader";
	world.nodes[2].term = 2;
	memcpy(world.nodes[0].leader, world.nodes[2].address, sizeof(world.nodes[0].leader));
	memcpy(world.nodes[2].leader, world.nodes[2].address, sizeof(world.nodes[2].leader));
	world_wait(&world, 2);
	ok(shop.outcome == TALLY_DONE && world.nodes[2].commands == 1 && shop.was_unknown,
	   "when the leader dies its calls go to the next one");
	world_close(&world);
}

static void test_paused(void)
{
	struct world world;
	struct shop_call shop = {0};
	world_open(&world, 3, 1, 0);
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 1);
	world.nodes[0].deaf = true;
	world.nodes[1].role = "leader";
	world.nodes[1].term = 2;
	memcpy(world.nodes[1].leader, world.nodes[1].address, sizeof(world.nodes[1].leader));
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 2);
	ok(shop.outcome == TALLY_DONE && world.nodes[1].commands == 1 && shop.attempts == 2,
	   "a paused leader is left for the one elected meanwhile");

	/* it wakes and still believes that it leads */
	world.nodes[0].deaf = false;
	fake_node_kill(&world.nodes[1]);
	fake_node_revive(&world.nodes[1]);
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 3);
	ok(shop.outcome == TALLY_DONE, "and the client survives that it wakes");
	world_close(&world);

	/* slow, not gone: the status is answered, the call is not */
	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_nothing;
	shop_call(&world, &shop, "id", 0, 1500);
	world_wait(&world, 1);
	ok(shop.attempts == 1 && world.nodes[0].asked > 2,
	   "a leader that is slow but answers its status is waited for");
	world_close(&world);
}

/* Is deaf to the first command for good. */
static const char *answer_all_but_first(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)words, (void)count;
	return node->commands == 1 ? NULL : "+OK\r\n";
}

static void test_stuck(void)
{
	struct world world;
	struct shop_call first = {0};
	struct shop_call shop = {0};
	world_open(&world, 1, 8, 1);
	world.nodes[0].answer = answer_all_but_first;
	shop_call(&world, &first, "stuck", 0, PATIENCE_MS);
	for (unsigned i = 1; i < 6000 && first.callbacks == 0; i++) {
		shop_call(&world, &shop, "id", 0, PATIENCE_MS);
		while (shop.callbacks == 0) {
			world_wait(&world, world.ended + 1);
		}
		world.wanted = world.ended + 1;
		uv_env_run_until(world.env, world_ended, &world, 10);
	}
	ok(first.outcome == TALLY_DONE && first.attempts == 2,
	   "a connection that is silent while others are answered is given up, and its call repeated");
	world_close(&world);
}

static void test_follower(void)
{
	struct world world;
	struct shop_call shop = {0};
	world_open(&world, 3, 2, 0);
	fake_node_kill(&world.nodes[0]); /* for us: the others still see it */
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_DONE && world.nodes[1].commands + world.nodes[2].commands == 1,
	   "when only followers are reachable one of them serves");
	fake_node_revive(&world.nodes[0]);
	for (unsigned i = 2; i < 1000 && world.nodes[0].commands == 0; i++) {
		shop_call(&world, &shop, "id", 0, PATIENCE_MS);
		world_wait(&world, i);
		world.wanted = i + 1;
		uv_env_run_until(world.env, world_ended, &world, 20);
	}
	ok(world.nodes[0].commands > 0, "and the leader is found again when it can be reached");
	world_close(&world);
}

static void test_refused_hello(void)
{
	struct world world;
	struct shop_call shop = {0};
	world_open(&world, 2, 1, 0);
	world.nodes[0].hello = "-ERR max number of clients reached\r\n";
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_DONE && world.nodes[1].commands == 1,
	   "a leader that takes no more connections is reached through a follower");
	world_close(&world);

	world_open(&world, 2, 1, 0);
	world.nodes[1].status = "%1\r\n+role\r\n*0\r\n";
	shop_call(&world, &shop, "id", 0, 100);
	world_wait(&world, 1);
	ok(shop.outcome == TALLY_RETRY, "a status that makes no sense is none");
	world.nodes[1].status = NULL;
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 2);
	ok(shop.outcome == TALLY_DONE, "and the node is asked again");
	world_close(&world);
}

int main(void)
{
	test_nobody_leads();
	test_moves();
	test_paused();
	test_stuck();
	test_follower();
	test_refused_hello();
	return tap_done();
}

/* libtally against scripted nodes on loopback: answers, many calls at once, callbacks, opening and closing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "env/uv_env.h"
#include "tests/lib/tap.h"
#include "tests/unit/client_world.h"

static const char *answer_fixed(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)words, (void)count;
	return node->owner;
}

/* One call against one node that answers with a fixed reply. */
static void one_reply(const char *reply, struct shop_call *shop)
{
	struct world world;
	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_fixed;
	world.nodes[0].owner = (void *)(uintptr_t)reply;
	shop->then = NULL;
	shop_call(&world, shop, "id-1", 0, 1000);
	world_wait(&world, 1);
	world_close(&world);
}

static void test_answers(void)
{
	struct shop_call shop;
	one_reply("+OK\r\n", &shop);
	ok(shop.outcome == TALLY_DONE && strcmp(shop.text, "OK") == 0, "an answer is done and has its text");
	is_str(shop.code, "", "done has no code");
	is_int(shop.attempts, 1, "and was asked once");
	one_reply("$5\r\nhe\rlo\r\n", &shop);
	is_str(shop.text, "he\rlo", "a bulk text ends in NUL");
	one_reply("%2\r\n+left\r\n:57\r\n+x\r\n_\r\n", &shop);
	is_int(shop.integer, 57, "a map is asked by key");
	one_reply("|2\r\n+replayed\r\n#t\r\n+index\r\n:8\r\n:5\r\n", &shop);
	ok(shop.replayed && shop.integer == 5, "an attribute tells that an earlier attempt had done it");
	one_reply(">2\r\n+news\r\n:1\r\n:6\r\n", &shop);
	ok(shop.integer == 6, "a push is not an answer");
	one_reply("-SOLD_OUT {\"outcome\":\"refused\",\"left\":0}\r\n", &shop);
	ok(shop.outcome == TALLY_REFUSED && shop.integer == 0, "a refusal has its details");
	is_str(shop.code, "SOLD_OUT", "and its code");
	is_str(shop.message, "SOLD_OUT {\"outcome\":\"refused\",\"left\":0}", "and its line");
	one_reply("-INSUFFICIENT_STOCK {\"outcome\":\"conflict\"}\r\n", &shop);
	ok(shop.outcome == TALLY_CONFLICT, "a conflict is told at once");
	one_reply("-ERR syntax error\r\n", &shop);
	ok(shop.outcome == TALLY_REFUSED && strcmp(shop.code, "ERR") == 0, "a Redis error is a refusal");
	one_reply("-OVERLOADED {\"outcome\":\"retry\"}\r\n", &shop);
	ok(shop.outcome == TALLY_RETRY && shop.attempts > 2, "overload is asked again until the deadline");
	is_str(shop.code, "OVERLOADED", "and then says why it did not happen");
	one_reply("-OUTCOME_UNKNOWN {\"outcome\":\"unknown\"}\r\n", &shop);
	ok(shop.outcome == TALLY_UNKNOWN && shop.attempts > 1,
	   "an unknown outcome is asked again until the deadline");
	one_reply("?what\r\n", &shop);
	ok(shop.outcome == TALLY_UNKNOWN && shop.was_unknown, "garbage is no answer");
	one_reply("+OK\r\n+OK\r\n", &shop);
	ok(shop.outcome == TALLY_DONE, "an answer to nothing harms nobody");
}

static void test_pipeline(void)
{
	struct world world;
	struct shop_call *shops = calloc(500, sizeof(*shops));
	world_open(&world, 3, 1, 0);
	for (size_t i = 0; i < 500; i++) {
		shop_call(&world, &shops[i], "x", 0, PATIENCE_MS);
	}
	world_wait(&world, 500);
	is_int(world.nodes[0].commands, 500, "the leader is found from a follower and gets every call");
	ok(world.nodes[0].reads < 50, "calls of one turn travel together");
	bool once = true;
	for (size_t i = 0; i < 500; i++) {
		once = once && shops[i].callbacks == 1 && shops[i].outcome == TALLY_DONE;
	}
	ok(once, "each callback came once");
	ok(!world.early, "and none from inside a start");
	is_int(world.nodes[1].commands + world.nodes[2].commands, 0, "followers get none");
	world_close(&world);

	world_open(&world, 1, 4, 8);
	for (size_t i = 0; i < 500; i++) {
		shop_call(&world, &shops[i], "x", 0, PATIENCE_MS);
	}
	world_wait(&world, 500);
	struct tally_stats stats;
	tally_stats(world.tally, &stats);
	is_int(stats.connected, 4, "as many connections as asked for");
	ok(stats.done == 500 && stats.sent == 500, "a bounded pipeline sends everything in the end, once");
	is_str(stats.leader, world.nodes[0].address, "the leader is told");
	world_close(&world);
	free(shops);
}

static void test_window(void)
{
	struct world world;
	struct shop_call *shops = calloc(500, sizeof(*shops));
	world_open(&world, 1, 1, 0);
	world.nodes[0].answer = answer_nothing;
	for (size_t i = 0; i < 500; i++) {
		shop_call(&world, &shops[i], "x", 0, PATIENCE_MS);
	}
	world.wanted = 1;
	for (int i = 0; i < 1000 && world.nodes[0].commands == 0; i++) {
		uv_env_run_until(world.env, world_ended, &world, 10);
	}
	uv_env_run_until(world.env, world_ended, &world, 50);
	is_int(world.nodes[0].commands, 32, "a new connection is not given the whole backlog");
	world_close(&world);

	world_open(&world, 1, 1, 0);
	memset(shops, 0, 500 * sizeof(*shops));
	for (size_t i = 0; i < 500; i++) {
		shop_call(&world, &shops[i], "x", 0, PATIENCE_MS);
	}
	world_wait(&world, 500);
	ok(world.nodes[0].commands == 500 && world.nodes[0].reads < 12,
	   "and its share doubles with each round of answers");
	world_close(&world);
	free(shops);
}

static void again(struct shop_call *shop)
{
	struct world *world = shop->world;
	if (world->ended < 50) {
		shop_call(world, shop, "id", 0, PATIENCE_MS);
	}
}

static void test_callback(void)
{
	struct world world;
	struct shop_call shop = {.then = again};
	world_open(&world, 1, 1, 0);
	shop_call(&world, &shop, "id", 0, PATIENCE_MS);
	world_wait(&world, 50);
	ok(world.nodes[0].commands == 50 && !world.early,
	   "a callback may start the next call with the same struct");
	world_close(&world);
}

static void close_inside(struct shop_call *shop)
{
	tally_close(shop->world->tally, world_closed_cb, shop->world);
}

static void test_close(void)
{
	struct world world;
	struct shop_call shops[3] = {0};
	world_open(&world, 1, 1, 0);
	shop_call(&world, &shops[0], "id", 0, PATIENCE_MS);
	world_wait(&world, 1);
	world.nodes[0].answer = answer_nothing;
	shop_call(&world, &shops[0], "id", 0, PATIENCE_MS);
	world.wanted = 100;
	for (int i = 0; i < 1000 && world.nodes[0].commands < 2; i++) {
		uv_env_run_until(world.env, world_ended, &world, 10);
	}
	shop_call(&world, &shops[1], "id", 0, PATIENCE_MS);
	world_close(&world);
	ok(shops[0].outcome == TALLY_UNKNOWN && shops[0].callbacks == 1,
	   "closing ends what was sent as unknown");
	ok(shops[1].outcome == TALLY_RETRY && shops[1].callbacks == 1, "and what was not as retry");

	world_open(&world, 1, 1, 0);
	memset(shops, 0, sizeof(shops));
	shops[0].then = close_inside;
	for (size_t i = 0; i < 3; i++) {
		shop_call(&world, &shops[i], "id", 0, PATIENCE_MS);
	}
	uv_env_run_until(world.env, world_is_closed, &world, PATIENCE_MS);
	ok(world.closed && world.ended == 3, "a callback may close the client; the others still end");
	world_end(&world);
}

#define AGAIN_MAX 100000 /* so many in one turn are endless */

struct tireless {
	struct env_timer timer;
	bool rests;
	unsigned started;
};
static struct tireless *tireless_of(struct shop_call *shop);

static void start_again(struct shop_call *shop)
{
	struct tireless *tireless = tireless_of(shop);
	if (!tireless->rests && tireless->started < AGAIN_MAX) {
		tireless->started++;
		shop_call(shop->world, shop, "id", 0, PATIENCE_MS);
	}
}

struct tireless_shop {
	struct shop_call shop;
	struct tireless tireless;
};

static struct tireless *tireless_of(struct shop_call *shop)
{
	return &((struct tireless_shop *)shop)->tireless;
}

static void rest_cb(struct env_timer *timer)
{
	list_entry(timer, struct tireless, timer)->rests = true;
}

/* A shop sells on until its own timer says that it is enough, also while the client closes. */
static void test_close_tireless(void)
{
	struct world world;
	struct tireless_shop tireless = {.shop.then = start_again};
	world_open(&world, 1, 1, 0);
	env_timer_init(world.env, &tireless.tireless.timer, rest_cb);
	env_timer_start(&tireless.tireless.timer, 20);
	world.nodes[0].answer = answer_nothing;
	shop_call(&world, &tireless.shop, "id", 0, PATIENCE_MS);
	tally_close(world.tally, world_closed_cb, &world);
	uv_env_run_until(world.env, world_is_closed, &world, PATIENCE_MS);
	ok(tireless.tireless.rests && tireless.tireless.started < AGAIN_MAX,
	   "who starts calls in callbacks while the client closes lets the loop go on");
	ok(world.closed && world.ended == tireless.tireless.started + 1, "and each of them ends");
	world_end(&world);
}

static void test_open(void)
{
	char error[256] = "";
	struct tally_options options = {.servers = "nonsense"};
	ok(tally_sync_open(&options, error, sizeof(error)) == NULL, "servers without a port are refused");
	ok(strstr(error, "host:port") != NULL, "and the error says what is wanted");
	options.servers = "";
	ok(tally_sync_open(&options, error, sizeof(error)) == NULL, "no servers are refused");
	options.servers = "127.0.0.1:99999";
	ok(tally_sync_open(&options, error, sizeof(error)) == NULL, "a port out of range is refused");
	options.servers = "127.0.0.1:7401 127.0.0.1:7402";
	ok(tally_sync_open(&options, error, sizeof(error)) == NULL, "servers without a comma between them are refused");
	options.servers = "redis://127.0.0.1:7401";
	ok(tally_sync_open(&options, error, sizeof(error)) == NULL, "so is what stands in front of an address elsewhere");
	char many[1024] = "";
	for (size_t i = 0, at = 0; i < 33; i++) {
		at += (size_t)snprintf(many + at, sizeof(many) - at, "127.0.0.1:%zu,", i + 1);
	}
	options.servers = many;
	ok(tally_sync_open(&options, error, sizeof(error)) == NULL && strstr(error, "at most 32") != NULL,
	   "more servers than are tried are refused");
	options.servers = "127.0.0.1:1";
	options.connections = 100000;
	ok(tally_sync_open(&options, error, sizeof(error)) == NULL, "too many connections are refused");

	/* the blocking façade, with nobody there */
	options.connections = 0;
	struct tally_sync *sync = tally_sync_open(&options, error, sizeof(error));
	const char *const words[] = {"GET", "k"};
	const struct tally_call *call = tally_sync_command(sync, NULL, words, NULL, 2, TALLY_READ, 50);
	ok(tally_call_outcome(call) == TALLY_RETRY, "the façade waits until the deadline and says retry");
	ok(tally_call_value(call) == NULL && tally_call_message(call)[0] != '\0',
	   "without a value, with a message");
	char id[TALLY_ID_SIZE];
	tally_id_make(tally_sync_client(sync), id);
	is_int(strlen(id), 36, "ids come from the client behind it");
	tally_sync_close(sync);
}

int main(void)
{
	test_answers();
	test_pipeline();
	test_window();
	test_callback();
	test_close();
	test_open();
	test_close_tireless();
	return tap_done();
}

/* libtally against scripted nodes on loopback. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "client/client.h"
#include "env/uv_env.h"
#include "tests/lib/tap.h"
#include "tests/unit/fake_node.h"

/* Longer than anything here takes on a loaded machine. */
#define PATIENCE_MS 60000

#define NODES 3
struct world {
	struct env *env;
	struct fake_node nodes[NODES];
	struct tally *tally;
	unsigned ended; /* callbacks */
	unsigned wanted;
	bool closed;
	bool inside; /* a start function runs */
	bool early;  /* a callback came from inside one */
};

struct shop_call {
	struct tally_call call;
	struct world *world;
	unsigned callbacks;
	enum tally_outcome outcome;
	char code[64], message[256], text[256];
	int64_t integer;
	bool replayed, was_unknown;
	unsigned attempts;
	void (*then)(struct shop_call *shop);
};

static void shop_cb(struct tally_call *call)
{
	struct shop_call *shop = call->data;
	struct world *world = shop->world;
	shop->callbacks++;
	world->early = world->early || world->inside;
	shop->outcome = tally_call_outcome(call);
	snprintf(shop->code, sizeof(shop->code), "%s", tally_call_code(call));
	shop->replayed = tally_call_replayed(call);
	shop->was_unknown = tally_call_was_unknown(call);
	shop->attempts = tally_call_attempts(call);
	const struct tally_value *value = tally_call_value(call);
	shop->integer = tally_value_int(value, -1);
	size_t len = 0;
	const char *text = tally_value_text(value, &len);
	snprintf(shop->text, sizeof(shop->text), "%s", text != NULL && strlen(text) == len ? text : "");
	if (tally_value_type(value) == TALLY_MAP) {
		shop->integer = tally_value_int(tally_value_get(value, "left"), -1);
	}
	snprintf(shop->message, sizeof(shop->message), "%s", tally_call_message(call));
	world->ended++;
	if (shop->then != NULL) {
		shop->then(shop);
	}
}

static bool world_ended(void *owner)
{
	struct world *world = owner;
	return world->ended >= world->wanted;
}

/* Ends the test when they do not: the client still has the structs of calls that the next step would use anew. */
static void world_wait(struct world *world, unsigned wanted)
{
	world->wanted = wanted;
	uv_env_run_until(world->env, world_ended, world, PATIENCE_MS);
	if (!world_ended(world)) {
		fprintf(stderr, "%u calls of %u have ended\n", world->ended, wanted);
		abort();
	}
}

static const char *answer_ok(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)node, (void)words, (void)count;
	return "+OK\r\n";
}

static const char *answer_nothing(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)node, (void)words, (void)count;
	return NULL;
}

/* Cuts the first command, then is fine. */
static const char *answer_cut_first(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)words, (void)count;
	return node->commands == 1 ? FAKE_CLOSE : "+OK\r\n";
}

static const char *answer_fixed(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)words, (void)count;
	return node->owner;
}

/* Nodes 0 to count - 1; node 0 leads. The client knows the last one. */
static void world_open(struct world *world, size_t count, unsigned connections, unsigned pipeline_max)
{
	memset(world, 0, sizeof(*world));
	world->env = uv_env_new(NULL);
	for (size_t i = 0; i < count; i++) {
		fake_node_open(&world->nodes[i], world->env);
		world->nodes[i].role = i == 0 ? "leader" : "follower";
		world->nodes[i].answer = answer_ok;
	}
	for (size_t i = 0; i < count; i++) {
		memcpy(world->nodes[i].leader, world->nodes[0].address, sizeof(world->nodes[i].leader));
		for (size_t j = 0; j < count; j++) {
			world->nodes[i].members[j] = &world->nodes[j];
		}
	}
	struct tally_options options = {.servers = world->nodes[count - 1].address,
					.connections = connections,
					.pipeline_max = pipeline_max};
	struct err err = {0};
	world->tally = client_open(world->env, &options, &err);
	if (world->tally == NULL) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
}

static void world_closed_cb(void *data)
{
	((struct world *)data)->closed = true;
}
static bool world_is_closed(void *owner)
{
	return ((struct world *)owner)->closed;
}

static bool world_is_quiet(void *owner)
{
	struct world *world = owner;
	for (size_t i = 0; i < NODES; i++) {
		if (world->nodes[i].env != NULL && !list_empty(&world->nodes[i].conns)) {
			return false;
		}
	}
	return true;
}

static void world_end(struct world *world)
{
	for (size_t i = 0; i < NODES; i++) {
		if (world->nodes[i].env != NULL) {
			fake_node_kill(&world->nodes[i]);
		}
	}
	uv_env_run_until(world->env, world_is_quiet, world, PATIENCE_MS);
	uv_env_free(world->env, NULL, NULL);
}

static void world_close(struct world *world)
{
	tally_close(world->tally, world_closed_cb, world);
	uv_env_run_until(world->env, world_is_closed, world, PATIENCE_MS);
	if (!world->closed) {
		fprintf(stderr, "the client does not close\n");
		abort();
	}
	world_end(world);
}

static void shop_call(struct world *world, struct shop_call *shop, const char *id, unsigned flags,
		      unsigned timeout_ms)
{
	const char *const words[] = {"SET", "k", "v"};
	void (*then)(struct shop_call *) = shop->then;
	memset(shop, 0xA5, sizeof(*shop)); /* the struct may hold anything */
	shop->world = world;
	shop->callbacks = 0;
	shop->then = then;
	shop->call.data = shop;
	bool inside = world->inside;
	world->inside = true;
	tally_command_start(world->tally, &shop->call, id, words, NULL, 3, flags, timeout_ms, shop_cb);
	world->inside = inside;
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

/* ---- the tests ---- */

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
	test_lost();
	test_deadlines();
	test_same_words();
	test_nobody_leads();
	test_late_answer();
	test_moves();
	test_paused();
	test_stuck();
	test_follower();
	test_refused_hello();
	test_callback();
	test_close();
	test_open();
	test_close_tireless();
	return tap_done();
}

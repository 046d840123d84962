/* libtally in a simulated world: how long it takes to find a cluster that was away, and what only time shows. */
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "tests/lib/tap.h"
#include "tests/sim/sim.h"
#include "tests/unit/fake_node.h"

#define SECOND 1000000ull

struct world {
	struct sim *sim;
	struct sim_host *node_host, *client_host;
	struct fake_node node;
	struct tally *tally;
	struct tally_call call;
	bool answered, closed;
	unsigned others; /* calls beside it that have ended */
};

static const char *answer_ok(struct fake_node *node, const struct slice *words, size_t count)
{
	return "+OK\r\n";
}

static const char *answer_nothing(struct fake_node *node, const struct slice *words, size_t count)
{
	return NULL;
}

static void answered_cb(struct tally_call *call)
{
	((struct world *)call->data)->answered = tally_call_outcome(call) == TALLY_DONE;
}

static void other_cb(struct tally_call *call)
{
	((struct world *)call->data)->others++;
}

static bool is_answered(void *owner)
{
	return ((struct world *)owner)->answered;
}

static void closed_cb(void *owner)
{
	((struct world *)owner)->closed = true;
}

static bool is_closed(void *owner)
{
	return ((struct world *)owner)->closed;
}

/* Nobody listens on the port at first. */
static void world_open(struct world *world, uint64_t seed)
{
	struct tally_options options = {.servers = "n1:7400"};
	struct err err = {0};
	memset(world, 0, sizeof(*world));
	world->sim = sim_new(seed);
	world->node_host = sim_host_new(world->sim, "n1");
	world->client_host = sim_host_new(world->sim, "c1");
	world->node.env = sim_host_start(world->node_host);
	world->node.role = "leader";
	world->node.term = 1;
	world->node.answer = answer_ok;
	list_init(&world->node.conns);
	snprintf(world->node.address, sizeof(world->node.address), "n1:7400");
	snprintf(world->node.leader, sizeof(world->node.leader), "n1:7400");
	world->tally = client_open(sim_host_start(world->client_host), &options, &err);
	world->call.data = world;
}

/* other: a further host, or NULL. */
static void world_close_with(struct world *world, struct sim_host *other)
{
	tally_close(world->tally, closed_cb, world);
	fake_node_kill(&world->node);
	sim_run_until(world->sim, is_closed, world, 10 * SECOND);
	sim_run(world->sim, SECOND);
	sim_env_free(other != NULL ? sim_host_env(other) : NULL);
	sim_env_free(sim_host_env(world->client_host));
	sim_env_free(sim_host_env(world->node_host));
	sim_free(world->sim);
}

static void world_close(struct world *world)
{
	world_close_with(world, NULL);
}

/* From the node's return to the answer, when it was away for so long. */
static uint64_t lag_us(uint64_t seed, uint64_t away_us)
{
	struct world world;
	world_open(&world, seed);
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 60000, answered_cb);
	sim_run(world.sim, away_us);
	fake_node_revive(&world.node);
	uint64_t from_us = sim_now_us(world.sim);
	bool found = sim_run_until(world.sim, is_answered, &world, 30 * SECOND);
	uint64_t lag = sim_now_us(world.sim) - from_us;
	world_close(&world);
	return found ? lag : UINT64_MAX;
}

static void test_return(void)
{
	uint64_t worst = 0, worst_long = 0;
	for (uint64_t i = 0; i < 40; i++) {
		uint64_t lag = lag_us(i, SECOND / 2 + i * 25000);
		worst = lag > worst ? lag : worst;
	}
	for (uint64_t i = 0; i < 10; i++) {
		uint64_t lag = lag_us(i, 20 * SECOND + i * 77777);
		worst_long = lag > worst_long ? lag : worst_long;
	}
	ok(worst < 250000,
	   "a cluster that was away for half a second to a second and a half is found at once: %llu us",
	   (unsigned long long)worst);
	ok(worst_long < SECOND, "and one that was away for long soon: %llu us",
	   (unsigned long long)worst_long);
}

#define HASTY 400

/* One call runs out of time in each millisecond, so the first that waits has, whenever the node is found. */
static void test_overdue(void)
{
	static struct tally_call hasty[HASTY];
	struct world world;
	world_open(&world, 1);
	for (unsigned i = 0; i < HASTY; i++) {
		hasty[i].data = &world;
		tally_get_start(world.tally, &hasty[i], "k", 1, i + 1, other_cb);
	}
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 60000, answered_cb);
	sim_run(world.sim, SECOND / 5);
	fake_node_revive(&world.node);
	sim_run_until(world.sim, is_answered, &world, 5 * SECOND);
	ok(world.answered && world.others == HASTY,
	   "a call is sent when those before it were over just as the node was found");
	world_close(&world);
}

/* The client's process is stopped, and all deadlines pass at once. */
static void test_stopped(void)
{
	static struct tally_call hasty[HASTY];
	struct world world;
	world_open(&world, 2);
	fake_node_revive(&world.node);
	sim_run(world.sim, SECOND);
	world.node.answer = answer_nothing;
	for (unsigned i = 0; i < HASTY; i++) {
		hasty[i].data = &world;
		tally_get_start(world.tally, &hasty[i], "k", 1, 100 + i * 100, other_cb);
	}
	sim_run(world.sim, SECOND / 100);
	sim_host_pause(world.client_host);
	sim_run(world.sim, 300 * SECOND);
	sim_host_resume(world.client_host);
	uint64_t turns = sim_stats(world.sim)->turns;
	sim_run(world.sim, SECOND / 100);
	turns = sim_stats(world.sim)->turns - turns;
	ok(world.others == HASTY && turns < 50,
	   "a client that was stopped for five minutes ends what is over, and goes on (%llu turns)",
	   (unsigned long long)turns);
	world.node.answer = answer_ok;
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 1000, answered_cb);
	sim_run(world.sim, 2 * SECOND);
	ok(world.answered, "and asks again");
	world_close(&world);
}

/* An answer that waited for the client itself tells nothing of the node. */
static void test_stopped_once(void)
{
	struct world world;
	world_open(&world, 6);
	fake_node_revive(&world.node);
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 1000, other_cb);
	sim_run(world.sim, SECOND);
	world.node.pace_us = SECOND / 100;
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 600000, other_cb);
	sim_run(world.sim, SECOND / 200);
	sim_host_pause(world.client_host);
	sim_run(world.sim, 300 * SECOND);
	sim_host_resume(world.client_host);
	sim_run(world.sim, SECOND / 10);
	unsigned before = world.others;
	fake_node_kill(&world.node);
	sim_run(world.sim, SECOND / 10);
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 5000, answered_cb);
	sim_run(world.sim, 3 * SECOND);
	fake_node_revive(&world.node);
	sim_run(world.sim, 3 * SECOND);
	ok(before == 2 && world.answered,
	   "nor is a call then told that too many wait before it, when it is alone (%s)", tally_call_code(&world.call));
	world_close(&world);
}

/* Its calls end there, or at their deadline; who comes later does not wait with them. */
static void test_dead_connection(void)
{
	struct tally_call later;
	struct world world;
	unsigned done = 0;
	world_open(&world, 3);
	fake_node_revive(&world.node);
	sim_run(world.sim, SECOND);
	world.node.forgotten = world.node.accepted;
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 60000, other_cb);
	sim_run(world.sim, 5 * SECOND);
	for (unsigned i = 0; i < 40; i++) {
		unsigned before = world.others;
		later.data = &world;
		tally_set_start(world.tally, &later, "k", 1, "v", 1, 1000, other_cb);
		sim_run(world.sim, SECOND * 11 / 10);
		done += world.others == before + 1 && tally_call_outcome(&later) == TALLY_DONE;
	}
	is_int(done, 40, "a connection that was forgotten on its way is left, though its node answers on others");
	sim_run(world.sim, 20 * SECOND);
	ok(world.others == 41 && tally_call_outcome(&world.call) == TALLY_UNKNOWN &&
		   tally_call_attempts(&world.call) == 1,
	   "what waits there is not asked twice: it may be a long command");
	unsigned conns = 0;
	list_for_each (link, &world.node.conns) {
		conns++;
	}
	is_int(conns, 1, "and then it is closed");
	world_close(&world);
}

/* It says who it is at once, and answers nothing else. */
static void test_mute_node(void)
{
	static struct tally_call calls[600];
	struct world world;
	world_open(&world, 3);
	fake_node_revive(&world.node);
	world.node.answer = answer_nothing;
	unsigned most = 0;
	for (unsigned i = 0; i < 600; i++) {
		calls[i].data = &world;
		tally_set_start(world.tally, &calls[i], "k", 1, "v", 1, 600000, other_cb);
		sim_run(world.sim, SECOND);
		unsigned conns = 0;
		list_for_each (link, &world.node.conns) {
			conns++;
		}
		most = conns > most ? conns : most;
	}
	ok(most > 1 && most < 12, "a node that answers nothing for ten minutes has few connections of a client: %u", most);
	world_close(&world);
}

static const char *answer_all_but_poison(struct fake_node *node, const struct slice *words, size_t count)
{
	return slice_is_word(words[count - 1], "poison") ? FAKE_CLOSE : "+OK\r\n";
}

/* Something on the way ends each connection that it comes over. */
static void test_poison(void)
{
	static struct tally_call calls[1000];
	struct world world;
	world_open(&world, 7);
	fake_node_revive(&world.node);
	world.node.answer = answer_all_but_poison;
	sim_run(world.sim, SECOND);
	tally_set_start(world.tally, &world.call, "k", 1, "poison", 6, 10000, answered_cb);
	for (unsigned i = 0; i < 1000; i++) {
		calls[i].data = &world;
		tally_set_start(world.tally, &calls[i], "k", 1, "v", 1, 5000, other_cb);
		sim_run(world.sim, SECOND / 100);
	}
	sim_run(world.sim, SECOND);
	ok(tally_call_outcome(&world.call) == TALLY_UNKNOWN && tally_call_attempts(&world.call) < 40,
	   "a call that ends its connection each time rests in between: %u times in ten seconds, %u connections",
	   tally_call_attempts(&world.call), world.node.accepted);
	world_close(&world);
}

static const char *answer_follows(struct fake_node *node, const struct slice *words, size_t count)
{
	return "-NOT_LEADER {\"outcome\":\"retry\"}\r\n";
}

/* Over the years, members come and go. */
static void test_many_members(void)
{
	struct world world;
	struct fake_node next = {.role = "leader", .term = 2, .answer = answer_ok};
	char status[4096];
	int len = snprintf(status, sizeof(status), "%%2\r\n+role\r\n+leader\r\n+members\r\n*40\r\n");
	world_open(&world, 4);
	for (int i = 10; i < 50; i++) {
		len += snprintf(status + len, sizeof(status) - (size_t)len, "%%1\r\n+client\r\n$8\r\no%d:7400\r\n", i);
	}
	struct sim_host *host = sim_host_new(world.sim, "n2");
	next.env = sim_host_start(host);
	list_init(&next.conns);
	snprintf(next.address, sizeof(next.address), "n2:7400");
	snprintf(next.leader, sizeof(next.leader), "n2:7400");
	fake_node_revive(&next);
	world.node.status = status;
	fake_node_revive(&world.node);
	sim_run(world.sim, SECOND);

	world.node.status = NULL;
	world.node.role = "follower";
	world.node.answer = answer_follows;
	snprintf(world.node.leader, sizeof(world.node.leader), "n2:7400");
	tally_set_start(world.tally, &world.call, "k", 1, "v", 1, 10000, answered_cb);
	sim_run_until(world.sim, is_answered, &world, 11 * SECOND);
	ok(world.answered && next.commands == 1, "a client that has met many members still learns of a new one");
	fake_node_kill(&next);
	world_close_with(&world, host);
}

int main(void)
{
	test_return();
	test_overdue();
	test_stopped();
	test_stopped_once();
	test_dead_connection();
	test_mute_node();
	test_poison();
	test_many_members();
	return tap_done();
}

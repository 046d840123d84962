/* What a node does when time passes, under simulated time: slow clients, silent
 * clients, deadlines. */
#include "server/config.h"
#include "server/forward.h"
#include "server/node.h"
#include "server/node_private.h"
#include "tests/lib/straw.h"
#include "tests/lib/tap.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND ((uint64_t)1000000)

struct world {
	struct sim *sim;
	struct sim_host *server, *shop;
	struct env *env;
	struct node *node;
	struct log log;
};

struct client {
	struct env_stream *stream;
	struct env_write write;
	bool open, closed;
	char text[4096];
	size_t len;
	struct buf heard;
};

static void opened(void *owner, int status)
{
	((struct client *)owner)->open = status == 0;
}
static void data(void *owner, struct slice bytes)
{
	buf_append_slice(&((struct client *)owner)->heard, bytes);
}
static void closed(void *owner, int status)
{
	((struct client *)owner)->closed = true;
}
static const struct env_stream_events client_events = {.opened = opened, .data = data, .closed = closed};

static void quiet(void *owner, enum log_level level, const char *line) {}

static void world_open(struct world *world, uint64_t deadline_ms)
{
	struct node_config config;
	struct err err = {0};
	memset(world, 0, sizeof *world);
	world->sim = sim_new(7);
	world->server = sim_host_new(world->sim, "n1");
	world->shop = sim_host_new(world->sim, "shop");
	world->env = sim_host_start(world->server);
	sim_host_start(world->shop);
	config_defaults(&config);
	config.id = 1;
	config.default_deadline_ms = deadline_ms;
	strcpy(config.dir, "data");
	strcpy(config.listen, "n1:7401");
	strcpy(config.peer_listen, "n1:7501");
	world->log = (struct log){LOG_ERROR, "n1", quiet, NULL};
	straw.role = SHARD_LEADS;
	straw.leader_id = 1;
	if (config_finish(&config, &err) != 0 ||
	    node_open(world->env, &config, &world->log, &world->node, &err) != 0 ||
	    node_start(world->node, &err) != 0) {
		tap_note("%s", err.text);
		abort();
	}
}

static void world_close(struct world *world)
{
	sim_host_kill(world->server, SIM_KILL_PROCESS);
	node_free(world->node);
	sim_env_free(world->env);
	sim_env_free(sim_host_env(world->shop));
	sim_free(world->sim);
}

static void client_open(struct world *world, struct client *client)
{
	memset(client, 0, sizeof *client);
	buf_init(&client->heard, MIB(64));
	client->stream = env_connect(sim_host_env(world->shop), "n1:7401", &client_events, client);
	sim_run(world->sim, SECOND / 10);
}

static void wrote(struct env_write *write, int status) {}

static void say(struct world *world, struct client *client, const char *text)
{
	struct slice bytes;
	client->len = strlen(text);
	memcpy(client->text, text, client->len);
	bytes = slice_of(client->text, client->len);
	client->write.cb = wrote;
	env_stream_write(client->stream, &client->write, &bytes, 1);
	sim_run(world->sim, SECOND / 10);
}

static bool heard(const struct client *client, const char *text)
{
	return slice_equal(buf_slice(&client->heard), slice_str(text));
}

static void test_half_request(void)
{
	struct world world;
	struct client slow, idle;
	world_open(&world, 5000);
	client_open(&world, &slow);
	client_open(&world, &idle);
	say(&world, &slow, "*2\r\n$3\r\nGET\r\n$100\r\n");
	for (int i = 0; i < 50; i++) {
		sim_run(world.sim, SECOND);
		say(&world, &slow, "k");
	}
	ok(slow.open && !slow.closed, "a request may take its time");
	for (int i = 0; i < 15 && !slow.closed; i++) {
		sim_run(world.sim, SECOND);
	}
	ok(slow.closed, "but not for ever, however busy it looks");
	is_int(world.node->counters.timed_out, 1, "and that is counted");
	sim_run(world.sim, 3600 * SECOND);
	ok(!idle.closed, "a connection that says nothing is kept");
	say(&world, &idle, "PING\r\n");
	ok(heard(&idle, "+PONG\r\n"), "and works after an hour");
	buf_fini(&slow.heard);
	buf_fini(&idle.heard);
	world_close(&world);
}

static void test_deaf_client(void)
{
	struct world world;
	struct client deaf;
	world_open(&world, 5000);
	client_open(&world, &deaf);
	char *big = malloc(600001);
	memset(big, 'x', 600000);
	big[0] = '+';
	memcpy(big + 599998, "\r\n", 3);
	env_stream_pause(deaf.stream);
	size_t answered = 0;
	for (int i = 0; i < 40; i++) {
		say(&world, &deaf, "GET a\r\n");
		while (answered < straw.count) {
			straw_answer(answered++, big);
		}
	}
	ok(answered < 40, "a client that takes nothing is not read on (%zu)", answered);
	ok(!deaf.closed && world.node->listener.count == 1, "it has some time");
	sim_run(world.sim, 70 * SECOND);
	is_int(world.node->listener.count, 0, "then it is closed");
	is_int(world.node->counters.timed_out, 1, "and that is counted");
	free(big);
	buf_fini(&deaf.heard);
	world_close(&world);
}

static void test_slow_client(void)
{
	struct world world;
	struct client slow;
	world_open(&world, 5000);
	client_open(&world, &slow);
	sim_link(world.sim, world.server, world.shop)->bytes_per_ms = 10;
	char *big = malloc(1200001);
	memset(big, 'x', 1200000);
	big[0] = '+';
	memcpy(big + 1199998, "\r\n", 3);
	say(&world, &slow, "GET a\r\n");
	straw_answer(0, big);
	sim_run(world.sim, 80 * SECOND);
	ok(world.node->listener.count == 1 && slow.heard.len > 700000, "a client that takes its answer slowly is left to it");
	sim_run(world.sim, 50 * SECOND);
	ok(heard(&slow, big), "and gets all of it");
	is_int(world.node->counters.timed_out, 0, "it was never silent");
	free(big);
	buf_fini(&slow.heard);
	world_close(&world);
}

static void test_deadline(void)
{
	struct world world;
	struct client client;
	world_open(&world, 5000);
	straw.role = SHARD_UNKNOWN;
	client_open(&world, &client);
	say(&world, &client, "SET a 1\r\nDEADLINE 60000 SET b 2\r\n");
	sim_run(world.sim, 4 * SECOND);
	ok(heard(&client, ""), "without a leader a request waits");
	sim_run(world.sim, 2 * SECOND);
	ok(slice_starts_with(buf_slice(&client.heard),
			     SLICE_LIT("-NOT_LEADER {\"outcome\":\"retry\",\"leaderless_ms\":50")),
	   "until its deadline");
	is_int(world.node->dispatch.parked_count, 1, "one with more time waits on");
	say(&world, &client, "GET a\r\nDEADLINE 100 GET b\r\n");
	is_int(world.node->dispatch.parked_count, 2,
	       "who names no time waits no longer: nobody leads for so long");
	sim_run(world.sim, SECOND);
	is_int(world.node->dispatch.parked_count, 1, "who names one waits for it");
	straw.role = SHARD_LEADS;
	sim_run(world.sim, SECOND);
	is_int(straw.count, 1, "and runs when somebody leads");
	straw.config.on_role(straw.config.owner, REPLICA_LEADER, 1);
	straw.role = SHARD_UNKNOWN;
	straw.config.on_role(straw.config.owner, REPLICA_FOLLOWER, 0);
	say(&world, &client, "GET a\r\n");
	sim_run(world.sim, SECOND);
	is_int(world.node->dispatch.parked_count, 1, "when it leads no longer, requests wait again");
	ok(straw.requests[0]->envelope.deadline_ms < 54000, "with what is left (%llu ms)",
	   (unsigned long long)straw.requests[0]->envelope.deadline_ms);
	buf_fini(&client.heard);
	world_close(&world);
}

static void test_after_a_flood(void)
{
	struct world world;
	struct client client;
	world_open(&world, 5000);
	client_open(&world, &client);
	for (int i = 0; i < 6; i++) {
		char text[3501] = "";
		for (int k = 0; k < 500; k++) {
			memcpy(text + 7 * k, "GET a\r\n", 8);
		}
		say(&world, &client, text);
	}
	ok(world.node->calls.taken == 3000 && world.node->calls.made >= 3000, "a flood takes calls (%zu)",
	   world.node->calls.made);
	for (size_t i = 0; i < 3000; i++) {
		straw_answer(i, "+OK\r\n");
	}
	sim_run(world.sim, 3 * SECOND);
	is_int(client.heard.len, 15000, "all is answered");
	ok(world.node->calls.taken == 0 && world.node->calls.made <= 1024,
	   "and most are given back (%zu kept)", world.node->calls.made);
	buf_fini(&client.heard);
	world_close(&world);
}

/* Answers on the spot gather in one call behind a request under way: long while it lasts. */
static void test_run_of_answers(void)
{
	struct world world;
	struct client client;
	world_open(&world, 5000);
	client_open(&world, &client);
	say(&world, &client, "GET a\r\n");
	for (int i = 0; i < 100; i++) {
		say(&world, &client, "ECHO abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz\r\n");
	}
	is_int(world.node->calls.taken, 2, "a hundred answers share a call");
	straw_answer(0, "+OK\r\n");
	sim_run(world.sim, SECOND / 10);
	is_int(client.heard.len, 5 + 100 * 59, "all are sent in order");
	struct call *calls[2] = {call_take(world.node), call_take(world.node)};
	ok(calls[0]->request.reply.cap <= KIB(1) && calls[1]->request.reply.cap <= KIB(1),
	   "and a call that waits for the next request keeps no more than a short answer takes (%zu, %zu)",
	   calls[0]->request.reply.cap, calls[1]->request.reply.cap);
	call_release(calls[0]);
	call_release(calls[1]);
	buf_fini(&client.heard);
	world_close(&world);
}

static bool tells(const struct client *client, const char *line)
{
	return memmem(client->heard.data, client->heard.len, line, strlen(line)) != NULL;
}

static void test_slowlog(void)
{
	struct world world;
	struct client client;
	world_open(&world, 5000);
	client_open(&world, &client);
	straw.took_us = 9999;
	say(&world, &client, "GET quick\r\n");
	straw.took_us = 10000;
	say(&world, &client, "GET slow\r\n");
	straw_answer(0, "+A\r\n");
	straw_answer(1, "+B\r\n");
	sim_run(world.sim, SECOND / 10);
	say(&world, &client, "SLOWLOG GET\r\nINFO commandstats\r\n");
	ok(tells(&client, ":10000\r\n*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n") && !tells(&client, "quick"),
	   "what the shard ran for long is kept");
	ok(tells(&client, "cmdstat_get:calls=2,usec=19999,"), "its time is counted, short or long");
	buf_fini(&client.heard);
	world_close(&world);
}

/* The newest but so many, as "GET a"; "" when there is none. */
static const char *slow(const struct world *world, size_t skip, const char **peer)
{
	static char text[64];
	text[0] = '\0';
	list_for_each (link, &world->node->slowlog.entries) {
		const struct slowlog_entry *entry = list_entry(link, struct slowlog_entry, link);
		if (skip-- > 0) {
			continue;
		}
		size_t len = 0;
		for (size_t i = 0; i < entry->argc && len < sizeof text; i++) {
			len += (size_t)snprintf(text + len, sizeof text - len, "%s%.*s", i > 0 ? " " : "",
						(int)entry->argv[i].len, (const char *)entry->argv[i].data);
		}
		*peer = entry->peer;
		break;
	}
	return text;
}

/* Everything is slow here: what runs on this node is told, however it came. */
static void test_slow_here(void)
{
	struct world world;
	struct client client;
	struct request request;
	struct request_command command = {command_find(SLICE_LIT("GET")),
					  (const struct slice[]){SLICE_LIT("GET"), SLICE_LIT("c")}, 2, 0};
	struct buf frame;
	const char *peer = "";
	world_open(&world, 5000);
	client_open(&world, &client);
	straw.took_us = world.node->config.slowlog_us;
	say(&world, &client, "MULTI\r\nGET a\r\nEXEC\r\nGET b\r\n");
	is_str(slow(&world, 0, &peer), "GET b", "a request that ran is in the slow log");
	is_str(slow(&world, 1, &peer), "EXEC", "and so is an EXEC, which the request behind it is not blamed for");
	world.node->config.members[1] = (struct node_member){.id = 2, .client = "n2:7401"};
	world.node->config.member_count = 2;
	request_init(&request);
	request.kind = REQUEST_ONE;
	request.protocol = 3;
	request.user = SLICE_LIT("default");
	request.commands = &command;
	request.command_count = 1;
	buf_init(&frame, KIB(1));
	ok(forward_encode(&frame, &request, 1000), "another node passes a request on");
	straw.config.on_forwarded(straw.config.owner, 2, 7, buf_slice(&frame));
	is_str(slow(&world, 0, &peer), "GET c", "it is told where it ran");
	is_str(peer, "n2:7401", "and who passed it on");
	world.node->config.member_count = 1;
	request_fini(&request);
	buf_fini(&frame);
	buf_fini(&client.heard);
	world_close(&world);
}

static void test_usage(void)
{
	struct world world;
	struct client client;
	world_open(&world, 5000);
	client_open(&world, &client);
	say(&world, &client, "INFO commandstats\r\n");
	ok(tells(&client, "# Commandstats\r\n") && !tells(&client, "cmdstat"),
	   "nothing asked is nothing counted");
	say(&world, &client, "GET a\r\nget a b\r\nGET b\r\nNOSUCH\r\nCONFIG SET a b\r\nONCE o SET a 1\r\n");
	say(&world, &client, "MULTI\r\nPING\r\nINCR a\r\nDISCARD\r\nMULTI\r\nINCR a\r\nECHO b\r\nEXEC\r\n");
	straw_answer(0, "$1\r\n1\r\n");
	straw_answer(1, "-LEADER_LOST {}\r\n");
	straw_answer(2, "+OK\r\n");
	straw_answer(3, "*1\r\n:1\r\n");
	sim_run(world.sim, SECOND / 10);
	buf_reset(&client.heard);
	say(&world, &client, "INFO commandstats\r\n");
	ok(tells(&client,
		 "cmdstat_get:calls=2,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=1\r\n"),
	   "calls, wrong numbers of words and error replies of a command are counted");
	ok(tells(&client, "cmdstat_set:calls=1,") && !tells(&client, "cmdstat_once"), "a prefix is none");
	ok(tells(&client,
		 "cmdstat_config:calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1\r\n"),
	   "so are those that the node answers itself");
	ok(tells(&client, "cmdstat_incr:calls=1,") && tells(&client, "cmdstat_echo:calls=1,") &&
		   !tells(&client, "cmdstat_ping"),
	   "what is queued counts when it runs");
	ok(tells(&client, "cmdstat_multi:calls=2,") && tells(&client, "cmdstat_discard:calls=1,") &&
		   tells(&client, "cmdstat_exec:calls=1,"),
	   "and the words around it");
	ok(!tells(&client, "nosuch"), "an unknown command has no line");
	say(&world, &client, "CONFIG RESETSTAT\r\n");
	buf_reset(&client.heard);
	say(&world, &client, "INFO commandstats\r\n");
	ok(tells(&client, "cmdstat_config:calls=1,") && !tells(&client, "cmdstat_get"),
	   "CONFIG RESETSTAT zeroes them");
	buf_reset(&client.heard);
	say(&world, &client, "INFO\r\n");
	ok(!tells(&client, "cmdstat"), "INFO alone does not list them, as in Redis");
	ok(tells(&client, "\r\nyoung_files:7\r\n"), "and tells how far merges are behind");
	buf_fini(&client.heard);
	world_close(&world);
}

static void test_wait(void)
{
	struct world world;
	struct client client;
	world_open(&world, 5000);
	client_open(&world, &client);
	say(&world, &client, "WAIT 0 0\r\n");
	ok(heard(&client, ":0\r\n"), "a write to a node of its own is on no other");
	buf_reset(&client.heard);
	world.node->config.member_count = 3;
	say(&world, &client, "SET a 1\r\nWAIT 2 0\r\n");
	sim_run(world.sim, SECOND);
	ok(heard(&client, ""), "WAIT answers behind the writes before it");
	straw_answer(straw.count - 1, "+OK\r\n");
	sim_run(world.sim, SECOND / 10);
	ok(heard(&client, "+OK\r\n:1\r\n"), "and then at once, with how many others a majority of three has");
	world.node->config.member_count = 5;
	buf_reset(&client.heard);
	say(&world, &client, "WAIT 4 100\r\n");
	ok(heard(&client, ":2\r\n"), "or of five, also when more are asked for");
	world.node->config.member_count = 1;
	buf_fini(&client.heard);
	world_close(&world);
}

int main(void)
{
	test_half_request();
	test_deaf_client();
	test_slow_client();
	test_deadline();
	test_after_a_flood();
	test_run_of_answers();
	test_slowlog();
	test_slow_here();
	test_usage();
	test_wait();
	return tap_done();
}

#include "tests/unit/client_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "env/uv_env.h"

void shop_cb(struct tally_call *call)
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

bool world_ended(void *owner)
{
	struct world *world = owner;
	return world->ended >= world->wanted;
}

void world_wait(struct world *world, unsigned wanted)
{
	world->wanted = wanted;
	uv_env_run_until(world->env, world_ended, world, PATIENCE_MS);
	if (!world_ended(world)) {
		fprintf(stderr, "%u calls of %u have ended\n", world->ended, wanted);
		abort();
	}
}

const char *answer_ok(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)node, (void)words, (void)count;
	return "+OK\r\n";
}

const char *answer_nothing(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)node, (void)words, (void)count;
	return NULL;
}

void world_open(struct world *world, size_t count, unsigned connections, unsigned pipeline_max)
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

void world_closed_cb(void *data)
{
	((struct world *)data)->closed = true;
}

bool world_is_closed(void *owner)
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

void world_end(struct world *world)
{
	for (size_t i = 0; i < NODES; i++) {
		if (world->nodes[i].env != NULL) {
			fake_node_kill(&world->nodes[i]);
		}
	}
	uv_env_run_until(world->env, world_is_quiet, world, PATIENCE_MS);
	uv_env_free(world->env, NULL, NULL);
}

void world_close(struct world *world)
{
	tally_close(world->tally, world_closed_cb, world);
	uv_env_run_until(world->env, world_is_closed, world, PATIENCE_MS);
	if (!world->closed) {
		fprintf(stderr, "the client does not close\n");
		abort();
	}
	world_end(world);
}

void shop_call(struct world *world, struct shop_call *shop, const char *id, unsigned flags,
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

/* The whole client library before a server that says anything, in the simulated world. Byte 0: bit 0 gives
 * the bytes as the answer to TALLY STATUS, else they answer the request (behind good answers to all else);
 * bit 1 ends the connection behind them. Whatever they are, the call ends once, in time, and what it tells
 * can be read to its last byte. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "client/client.h"
#include "tests/sim/sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TIMEOUT_MS 25
#define PATIENCE_US 2000000

static const char hello[] = "%1\r\n+proto\r\n:3\r\n";
static const char meta[] = "+OK\r\n";
static const char status[] = "%3\r\n+role\r\n+leader\r\n+term\r\n:1\r\n+leader_client\r\n$7\r\nn1:7400\r\n";

struct world {
	struct sim *sim;
	struct sim_host *server, *client;
	struct slice bytes; /* what the server says */
	bool to_status, hangs_up;
	struct tally *tally;
	struct tally_call call;
	unsigned ended;
	bool closed;
};

/* ---- the server ---- */

struct guest {
	struct world *world;
	struct env_stream *stream;
	struct env_write write;
	struct buf heard, said;
};

static void guest_said(struct env_write *write, int result)
{
	struct guest *guest = list_entry(write, struct guest, write);
	if (result == 0 && guest->world->hangs_up) {
		env_stream_close(guest->stream);
	}
}

/* Once a connection: to the first request of either kind. */
static void guest_data(void *owner, struct slice bytes)
{
	struct guest *guest = owner;
	struct world *world = guest->world;
	buf_append_slice(&guest->heard, bytes);
	bool asks = memmem(guest->heard.data, guest->heard.len, "STATUS", 6) != NULL;
	bool writes = memmem(guest->heard.data, guest->heard.len, "SET", 3) != NULL;
	if (guest->said.len > 0 || (!asks && !writes)) {
		return;
	}
	buf_append(&guest->said, hello, sizeof(hello) - 1);
	if (asks && !world->to_status) {
		buf_append(&guest->said, status, sizeof(status) - 1);
	} else {
		buf_append(&guest->said, meta, asks ? 0 : sizeof(meta) - 1);
		buf_append_slice(&guest->said, world->bytes);
	}
	struct slice said = buf_slice(&guest->said);
	guest->write.cb = guest_said;
	env_stream_write(guest->stream, &guest->write, &said, 1);
}

static void guest_closed(void *owner, int result)
{
	struct guest *guest = owner;
	buf_fini(&guest->heard);
	buf_fini(&guest->said);
	free(guest);
}

static const struct env_stream_events guest_events = {.data = guest_data, .closed = guest_closed};

static void accepted(void *owner, struct env_stream *stream)
{
	struct guest *guest = calloc(1, sizeof(*guest));
	guest->world = owner;
	guest->stream = stream;
	buf_init(&guest->heard, MIB(1));
	buf_init(&guest->said, MIB(1));
	env_stream_set(stream, &guest_events, guest);
}

/* ---- what was told ---- */

static void read_value(const struct tally_value *value)
{
	size_t len = 0;
	enum tally_type type = tally_value_type(value);
	const char *text = tally_value_text(value, &len);
	assert(text == NULL || text[len] == '\0');
	tally_value_int(value, 0);
	tally_value_float(value, 0);
	size_t count = type == TALLY_LIST || type == TALLY_MAP ? tally_value_count(value) : 0;
	for (size_t i = 0; i < count; i++) {
		if (type == TALLY_MAP) {
			const char *key = tally_value_key_at(value, i, &len);
			assert(key == NULL || key[len] == '\0');
		}
		read_value(tally_value_at(value, i));
	}
}

static void ended(struct tally_call *call)
{
	struct world *world = call->data;
	enum tally_outcome outcome = tally_call_outcome(call);
	world->ended++;
	assert(outcome <= TALLY_UNKNOWN);
	read_value(tally_call_value(call));
	read_value(tally_call_meta(call));
	tally_call_replayed(call);
	assert(outcome != TALLY_DONE ||
	       (tally_call_code(call)[0] == '\0' && tally_call_message(call)[0] == '\0'));
	assert(strlen(tally_call_code(call)) <= world->bytes.len + 64);
	assert(strlen(tally_call_message(call)) <= world->bytes.len + 64);
}

/* ---- the world ---- */

static bool is_ended(void *owner)
{
	return ((struct world *)owner)->ended > 0;
}

static void closed(void *owner)
{
	((struct world *)owner)->closed = true;
}

static bool is_closed(void *owner)
{
	return ((struct world *)owner)->closed;
}

static void live(struct world *world)
{
	const struct tally_options options = {.servers = "n1:7400", .meta = true};
	struct err err = {0};
	world->sim = sim_new(1);
	world->server = sim_host_new(world->sim, "n1");
	world->client = sim_host_new(world->sim, "c1");
	struct env *env = sim_host_start(world->server);
	struct env_listener *listener = env_listen(env, "n1:7400", accepted, world, &err);
	world->tally = client_open(sim_host_start(world->client), &options, &err);
	assert(listener != NULL && world->tally != NULL);
	world->call.data = world;
	tally_set_start(world->tally, &world->call, "k", 1, "v", 1, TIMEOUT_MS, ended);
	sim_run_until(world->sim, is_ended, world, PATIENCE_US);
	tally_close(world->tally, closed, world);
	env_listener_close(listener);
	sim_run_until(world->sim, is_closed, world, PATIENCE_US);
	assert(world->ended == 1 && world->closed);
	sim_run(world->sim, PATIENCE_US);
	sim_env_free(sim_host_env(world->client));
	sim_env_free(sim_host_env(world->server));
	sim_free(world->sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0) {
		return 0;
	}
	struct world world = {
		.bytes = slice_of(data + 1, size - 1),
		.to_status = (data[0] & 1) != 0,
		.hangs_up = (data[0] & 2) != 0,
	};
	live(&world);
	return 0;
}

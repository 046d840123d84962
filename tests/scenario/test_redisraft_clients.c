/* RedisRaft #49 once more, on the port of the clients: a connection ends at every moment of its life,
 * politely or by a reset, at the leader and at a follower. docs/lineage.md names the line that brings the bug
 * back. */
#include "server/node_private.h"
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"
#include "tests/scenario/stage.h"

#include <stdio.h>
#include <string.h>

struct visit {
	const char *what;
	const char *says;
	unsigned times;
	bool deaf; /* reads no answer */
};
static const struct visit visits[] = {
	{"says nothing", NULL, 0, false},
	{"half a request", "*3\r\n$3\r\nSET\r\n$1\r\nk", 1, false},
	{"a write", "SET visit 1\r\n", 1, false},
	{"a read", "GET visit\r\n", 1, false},
	{"a pipeline", "INCR visits\r\nGET visits\r\n", 50, false},
	{"a transaction", "WATCH visit\r\nMULTI\r\nSET visit 2\r\nGET visit\r\nEXEC\r\n", 1, false},
	{"a queue without EXEC", "MULTI\r\nSET visit 2\r\n", 1, false},
	{"answers that it does not read", "GET large\r\n", 60, true},
	{"nonsense", "*9999999999\r\n", 1, false},
	{"goodbye", "GET visit\r\nQUIT\r\n", 1, false},
};
static const uint64_t delays_us[] = {0, 60, 130, 300, 700, 2000};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct guest {
	struct env_stream *stream;
	struct env_write write;
	bool opened;
};

static void opened_cb(void *owner, int status)
{
	((struct guest *)owner)->opened = status == 0;
}
static void data_cb(void *owner, struct slice bytes) {}
static void closed_cb(void *owner, int status)
{
	((struct guest *)owner)->stream = NULL;
}
static void written_cb(struct env_write *write, int status) {}
static const struct env_stream_events events = {.opened = opened_cb, .data = data_cb, .closed = closed_cb};

static bool is_open(void *owner)
{
	return ((struct guest *)owner)->opened;
}

/* One client, from its first byte to its end. */
static void come_and_go(struct stage *stage, const struct visit *visit, unsigned member, uint64_t delay_us,
			bool reset)
{
	char text[4096];
	size_t len = 0;
	char address[32];
	struct guest guest = {.write.cb = written_cb};
	struct env *env = sim_host_env(stage->host);
	for (unsigned i = 0; i < visit->times; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", visit->says);
	}
	struct slice bytes = slice_of(text, len);
	snprintf(address, sizeof(address), "n%u:7401", member + 1);
	guest.stream = env_connect(env, address, &events, &guest);
	sim_run_until(stage->sim, is_open, &guest, 1000000);
	if (visit->deaf) {
		env_stream_pause(guest.stream);
	}
	if (len > 0) {
		env_stream_write(guest.stream, &guest.write, &bytes, 1);
	}
	sim_run(stage->sim, delay_us);
	if (reset) {
		sim_links_break(stage->sim, stage->host, stage->fleet.members[member].host);
	}
	if (guest.stream != NULL) {
		env_stream_close(guest.stream);
	}
	sim_run(stage->sim, 3000);
}

static bool nothing_is_left(struct stage *stage)
{
	bool none = true;
	for (unsigned i = 0; i < 3; i++) {
		const struct node *node = stage->fleet.members[i].node;
		none = none && stage->fleet.members[i].state == MEMBER_UP && node->calls.taken == 0 &&
		       node->listener.input_bytes == 0 &&
		       node->listener.count <= 2; /* the stage's own client */
	}
	return none;
}

static bool clients_end_in_every_state(void *owner)
{
	struct stage s;
	char large[1000];
	stage_open(&s, 49, 3);
	unsigned leader = (unsigned)stage_leader(&s);
	snprintf(large, sizeof(large), "%0900d", 7);
	stage_set(&s, "large", large);
	for (size_t v = 0; v < COUNT(visits); v++) {
		for (size_t d = 0; d < COUNT(delays_us); d++) {
			for (unsigned way = 0; way < 4; way++) {
				come_and_go(&s, &visits[v], (leader + way % 2) % 3, delays_us[d],
					    way / 2 == 1);
			}
		}
		stage_run(&s, 500);
		if (!nothing_is_left(&s)) {
			tap_note("something is left of a client that ended after: %s", visits[v].what);
			fflush(NULL);
			return false;
		}
	}
	bool serves = stage_set(&s, "k", "v") == TALLY_DONE && stage_converges(&s) && !s.judge.failed;
	stage_close(&s);
	return serves;
}

int main(void)
{
	ok(survives(clients_end_in_every_state, NULL),
	   "RedisRaft 49: a client that ends at any moment of %zu visits leaves nothing behind",
	   4 * COUNT(visits) * COUNT(delays_us));
	return tap_done();
}

/* What went wrong in RedisRaft with connections: a handle stopped while it closes, a node freed while somebody
 * walks over all of them, requests that nobody answers any more, clients' traffic in front of heartbeats: rows
 * 16, 17 and two without a number in docs/lineage.md, which names the lines that bring them back. */
#include "env/uv_env.h"
#include "raft/peer/transport.h"
#include "tests/lib/tap.h"
#include "tests/scenario/small_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- 49: a stream of libuv, closed in every state, and then used as if it were not ---- */

enum moment { AT_ONCE, OPENED, PAUSED, UNSENT, PEER_ENDED, MOMENTS };
static const char *const moments[MOMENTS] = {"at once", "when it opened", "while paused", "with unsent bytes",
					     "after the peer's end"};

struct wire {
	struct env *env;
	struct env_stream *near, *far;
	struct env_write write, late;
	unsigned opened, closed, written, late_written;
	bool peer_ended;
};

static void opened_cb(void *owner, int status)
{
	((struct wire *)owner)->opened += status == 0;
}
static void data_cb(void *owner, struct slice bytes) {}
static void closed_cb(void *owner, int status)
{
	((struct wire *)owner)->closed++;
}
static void ended_cb(void *owner)
{
	((struct wire *)owner)->peer_ended = true;
}
static void far_closed_cb(void *owner, int status)
{
	((struct wire *)owner)->far = NULL;
}
static void written_cb(struct env_write *write, int status)
{
	list_entry(write, struct wire, write)->written++;
}
static void late_cb(struct env_write *write, int status)
{
	list_entry(write, struct wire, late)->late_written++;
}
static const struct env_stream_events near_events = {
	.opened = opened_cb, .data = data_cb, .closed = closed_cb, .ended = ended_cb};
static const struct env_stream_events far_events = {.data = data_cb, .closed = far_closed_cb};

static void accepted_cb(void *owner, struct env_stream *stream)
{
	struct wire *wire = owner;
	wire->far = stream;
	env_stream_set(stream, &far_events, wire);
	env_stream_pause(stream); /* it does not read */
}

static bool is_open(void *owner)
{
	return ((struct wire *)owner)->opened > 0 && ((struct wire *)owner)->far != NULL;
}
static bool peer_has_ended(void *owner)
{
	return ((struct wire *)owner)->peer_ended;
}
static bool is_over(void *owner)
{
	struct wire *wire = owner;
	return wire->closed > 0 && wire->late_written > 0;
}

static void reach(struct wire *wire, enum moment moment)
{
	static uint8_t much[MIB(8)];
	struct slice bytes = slice_of(much, sizeof(much));
	if (moment == AT_ONCE) {
		return;
	}
	uv_env_run_until(wire->env, is_open, wire, 10000);
	if (moment == PAUSED) {
		env_stream_pause(wire->near);
	} else if (moment == UNSENT) {
		wire->write.cb = written_cb;
		env_stream_write(wire->near, &wire->write, &bytes, 1);
	} else if (moment == PEER_ENDED) {
		env_stream_close(wire->far);
		uv_env_run_until(wire->env, peer_has_ended, wire, 10000);
	}
}

/* Closes, and does with the stream what an owner may still do until it is told. */
static bool closed_in(void *owner)
{
	enum moment moment = *(enum moment *)owner;
	struct wire wire = {.env = uv_env_new(NULL)};
	struct slice bytes = SLICE_LIT("too late");
	char address[32];
	struct env_listener *listener = env_listen(wire.env, "127.0.0.1:0", accepted_cb, &wire, NULL);
	snprintf(address, sizeof(address), "127.0.0.1:%u", env_listener_port(listener));
	wire.near = env_connect(wire.env, address, &near_events, &wire);
	reach(&wire, moment);
	env_stream_close(wire.near);
	env_stream_pause(wire.near);
	env_stream_resume(wire.near);
	wire.late.cb = late_cb;
	env_stream_write(wire.near, &wire.late, &bytes, 1);
	env_stream_close(wire.near);
	bool later = wire.closed == 0 && wire.late_written == 0;
	uv_env_run_until(wire.env, is_over, &wire, 10000);
	bool once = wire.closed == 1 && wire.late_written == 1 && wire.written == (moment == UNSENT);
	env_listener_close(listener);
	uv_env_free(wire.env, NULL, NULL);
	return later && once;
}

static void test_closing_handle(void)
{
	for (enum moment moment = AT_ONCE; moment < MOMENTS; moment++) {
		ok(survives(closed_in, &moment),
		   "RedisRaft 49: a connection closed %s is told once, whatever is asked of it meanwhile",
		   moments[moment]);
	}
}

/* ---- 50: links freed while somebody walks over them ---- */

#define CLUSTER 77
#define CALLERS 6

struct hall {
	struct sim *sim;
	struct sim_host *hosts[2];
	struct env *envs[2];
	struct transport *transport; /* of member 1 */
	struct lives *lives;
	struct link callers[CALLERS];
	uint64_t stamp_ms;
	unsigned ended, disconnected;
	bool closed;
};

static enum link_verdict greeted_cb(struct link *link, const struct hello *hello)
{
	bool asked = !life_equal(hello->seen, link->hello.life);
	link->hello.seen = hello->seen;
	return asked ? LINK_ASKS : LINK_WELCOME;
}
static void ready_cb(struct link *link) {}
static void frame_cb(struct link *link, const struct frame *frame) {}
static void link_ended_cb(struct link *link, bool was_ready)
{
	((struct hall *)link->owner)->ended++;
	link->closing = true; /* each calls once */
}
static void refused_cb(struct link *link) {}
static void bad_frame_cb(struct link *link, int status) {}
static const struct link_events caller_events = {.greeted = greeted_cb,
						 .ready = ready_cb,
						 .frame = frame_cb,
						 .ended = link_ended_cb,
						 .refused = refused_cb,
						 .bad_frame = bad_frame_cb};
static void hall_frame_cb(void *owner, struct link *from, const struct frame *frame) {}
static void connected_cb(void *owner, uint64_t id, enum frame_connection kind) {}
static void disconnected_cb(void *owner, uint64_t id, enum frame_connection kind)
{
	((struct hall *)owner)->disconnected++;
}
static void member_refused_cb(void *owner, uint64_t id) {}
static void stamp_cb(void *owner, uint64_t stamp_ms) {}
static const struct transport_events hall_events = {.frame = hall_frame_cb,
						    .connected = connected_cb,
						    .disconnected = disconnected_cb,
						    .refused = member_refused_cb,
						    .stamp = stamp_cb};
static void hall_closed_cb(void *owner)
{
	((struct hall *)owner)->closed = true;
}

static void hall_open(struct hall *hall, uint64_t seed)
{
	memset(hall, 0, sizeof(*hall));
	hall->sim = sim_new(seed);
	for (unsigned i = 0; i < 2; i++) {
		hall->hosts[i] = sim_host_new(hall->sim, i == 0 ? "n1" : "n2");
		hall->envs[i] = sim_host_start(hall->hosts[i]);
	}
	struct transport_config config = {.env = hall->envs[0],
					  .cluster_id = CLUSTER,
					  .id = 1,
					  .listen = "n1:1",
					  .events = &hall_events,
					  .owner = hall};
	hall->transport = transport_new(&config);
	env_mkdir(hall->envs[0], "d");
	int status = lives_open(hall->envs[0], "d", &hall->lives, NULL);
	assert(status == 0);
	lives_start(hall->lives, env_lane_open(hall->envs[0], "log", ENV_LANE_NORMAL), transport_remembered,
		    hall->transport);
	transport_set_lives(hall->transport, hall->lives);
	transport_add(hall->transport, 2, "n2:1");
	transport_start(hall->transport, NULL);
}

/* Member 2 comes in, each time as another process of it. */
static void hall_call(struct hall *hall, unsigned i, uint8_t kind)
{
	struct hello hello = {CLUSTER, 2, 1, {1 + i, 100 + i}, {0, 0}, kind, 0};
	link_init_dialed(&hall->callers[i], hall->envs[1], &caller_events, hall, "n1:1", &hello,
			 &hall->stamp_ms);
	link_dial(&hall->callers[i]);
	sim_run(hall->sim, 20000);
}

static void hall_close(struct hall *hall)
{
	for (unsigned i = 0; i < 2; i++) {
		sim_host_kill(hall->hosts[i], SIM_KILL_PROCESS);
	}
	transport_free(hall->transport);
	lives_free(hall->lives);
	for (unsigned i = 0; i < CALLERS; i++) {
		if (hall->callers[i].env != NULL) {
			link_fini(&hall->callers[i]);
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		sim_env_free(hall->envs[i]);
	}
	sim_free(hall->sim);
}

static bool links_go_while_walked_over(void *owner)
{
	struct hall hall;
	struct wire nobody = {0};
	hall_open(&hall, 50);
	hall_call(&hall, 0, FRAME_RAFT);
	hall_call(&hall, 1, FRAME_REQUESTS); /* the first is of an older process: dropped in the walk */
	hall_call(&hall, 2, FRAME_RAFT);
	hall_call(&hall, 3, FRAME_REQUESTS);
	bool older_dropped = hall.ended == 3;
	hall_call(&hall, 4, FRAME_REQUESTS);
	/* One that says nothing yet is in the walk too. */
	env_connect(hall.envs[1], "n1:1", &near_events, &nobody);
	sim_run(hall.sim, 20000);
	transport_close(hall.transport, hall_closed_cb);
	bool later = !hall.closed;
	sim_run(hall.sim, 200000);
	bool all = hall.closed && hall.ended == 5;
	hall_close(&hall);
	return older_dropped && later && all;
}

/* ---- requests of clients between members ---- */

struct errand {
	struct replica_forward forward;
	unsigned called;
	int status;
};

static void errand_cb(struct replica_forward *forward, int status, struct slice reply)
{
	struct errand *errand = list_entry(forward, struct errand, forward);
	errand->called++;
	errand->status = status;
}

static void errand_start(struct errand *errand, struct group_member *from, uint64_t to_id,
			 struct slice request)
{
	*errand = (struct errand){.forward = {.cb = errand_cb}};
	replica_forward_start(from->replica, &errand->forward, to_id, request, 60000);
}

static unsigned ended_with(const struct errand *errands, unsigned count, int status)
{
	unsigned ended = 0;
	for (unsigned i = 0; i < count; i++) {
		ended += errands[i].called == 1 && errands[i].status == status;
	}
	return ended;
}

static struct small_world *three(uint64_t seed)
{
	struct small_world *world = small_world_new(seed, 3);
	for (size_t i = 0; i < 3; i++) {
		small_world_start(world, i);
	}
	return world;
}

static size_t number(const struct small_world *world, const struct group_member *member)
{
	return (size_t)(member - world->group.members);
}

/* PR 32, 33, 34: requests in a proxy that were never answered and never freed. */
static void test_forwards_end(void)
{
	struct small_world *world = three(60);
	struct group_member *leader = small_world_leader(world);
	struct group_member *asks = &world->group.members[(number(world, leader) + 1) % 3];
	struct errand errands[4];
	leader->answers = false;
	small_world_run(world, 500);
	for (unsigned i = 0; i < 4; i++) {
		errand_start(&errands[i], asks, leader->id, SLICE_LIT("sell"));
	}
	small_world_run(world, 100);
	is_int(leader->requests, 4, "four requests are with the leader");
	link_drop(transport_link(asks->replica->transport, leader->id, FRAME_REQUESTS));
	small_world_run(world, 100);
	is_int(ended_with(errands, 4, ERR_CLOSED), 4,
	       "RedisRaft proxy leak: each that waits is told when its connection ends");
	ok(list_empty(&asks->replica->forwards), "and none is kept");
	errand_start(&errands[0], asks, leader->id, SLICE_LIT("sell"));
	errand_start(&errands[1], asks, leader->id, SLICE_LIT("sell"));
	small_world_run(world, 100);
	struct link *link = transport_link(asks->replica->transport, leader->id, FRAME_REQUESTS);
	link_drop(link);
	link_drop(link);
	small_world_run(world, 100);
	is_int(ended_with(errands, 2, ERR_CLOSED), 2,
	       "RedisRaft 49: a connection dropped twice in a turn tells so too");
	small_world_free(world);
}

/* Old segments come again with every new one. A request that ran a second time may have been refused for good
 * before: a definite answer, and then it happens. */
static void test_old_requests(void)
{
	static struct errand errands[45];
	struct small_world *world = three(62);
	struct group_member *leader = small_world_leader(world);
	size_t l = number(world, leader), a = (l + 1) % 3;
	struct group_member *asks = &world->group.members[a];
	sim_links_remember(world->sim);
	for (unsigned i = 0; i < 40; i++) {
		errand_start(&errands[i], asks, leader->id, SLICE_LIT("sell"));
		small_world_run(world, 20);
		sim_link(world->sim, world->hosts[a], world->hosts[l])->replay_per_million =
			i < 20 ? 0 : 500000;
	}
	small_world_run(world, 2000);
	is_int(ended_with(errands, 40, 0), 40, "each request has its answer");
	is_int(leader->requests, 40, "none runs again when the network delivers it again");
	small_world_end(world, l, SIM_KILL_PROCESS);
	small_world_run(world, 50);
	small_world_start(world, l);
	leader = &world->group.members[l];
	leader->answers = true;
	leader->requests = 0;
	small_world_run(world, 30000); /* pings, and what comes again with them */
	is_int(leader->requests, 0, "nor in a later life of who was asked");
	for (unsigned i = 40; i < 45; i++) {
		errand_start(&errands[i], asks, leader->id, SLICE_LIT("sell"));
		small_world_run(world, 20);
	}
	small_world_run(world, 2000);
	is_int(leader->requests, 5, "which runs what is new");
	small_world_free(world);
}

static void stopped_cb(void *owner)
{
	((struct group_member *)owner)->closed = true;
}

static void handed_over_cb(void *owner, int status)
{
	*(int *)owner = status;
}

/* Who hands leadership over and stops has answered all that came; what it has not sent yet must not be lost with
 * its connections, or each of them is unknown to a client. */
static void test_last_answers(void)
{
	struct errand errand;
	struct small_world *world = three(64);
	struct group_member *leader = small_world_leader(world);
	size_t l = number(world, leader);
	struct group_member *heir = &world->group.members[(l + 1) % 3];
	struct group_member *asks = &world->group.members[(l + 2) % 3];
	int status = 1;
	small_world_run(world, 500);
	leader->answers = false;
	errand_start(&errand, asks, leader->id, SLICE_LIT("sell"));
	small_world_run(world, 100);
	replica_reply(leader->replica, asks->id, errand.forward.token, SLICE_LIT("sold"));
	replica_close(leader->replica, stopped_cb);
	small_world_run(world, 500);
	ok(leader->closed && ended_with(&errand, 1, 0) == 1, "an answer of the turn in which a member stops arrives");
	small_world_end(world, l, SIM_KILL_PROCESS);

	small_world_start(world, l);
	leader = small_world_leader(world);
	l = number(world, leader);
	heir = &world->group.members[(l + 1) % 3];
	asks = &world->group.members[(l + 2) % 3];
	small_world_run(world, 500);
	sim_host_threads_slow(world->hosts[l], 100000);
	replica_transfer(leader->replica, heir->id, 5000, handed_over_cb, &status);
	for (unsigned ms = 0; ms < 1000 && !leader->replica->vote_held; ms++) {
		small_world_run(world, 1);
	}
	errand_start(&errand, asks, leader->id, SLICE_LIT("sell"));
	small_world_run(world, 10);
	ok(leader->replica->vote_held && errand.called == 0, "one that is held until a term is durable does not yet");
	replica_close(leader->replica, stopped_cb);
	small_world_run(world, 1000);
	ok(leader->closed && ended_with(&errand, 1, 0) == 1, "but before the connections go");
	small_world_free(world);
}

static void test_longest_request(void)
{
	struct errand longest, longer;
	struct small_world *world = three(63);
	struct group_member *leader = small_world_leader(world);
	struct group_member *asks = &world->group.members[(number(world, leader) + 1) % 3];
	size_t most = LIMIT_FRAME - MESSAGE_REQUEST_HEAD;
	uint8_t *much = calloc(1, most + 1);
	errand_start(&longer, asks, leader->id, slice_of(much, most + 1));
	errand_start(&longest, asks, leader->id, slice_of(much, most));
	small_world_run(world, 5000);
	is_int(ended_with(&longer, 1, ERR_NOT_FOUND), 1, "a request that no frame holds is not sent");
	is_int(ended_with(&longest, 1, 0), 1, "one byte less is, and is answered");
	free(much);
	small_world_free(world);
}

/* The port of requests is full for seconds, in both directions; a third member is away, so each commit needs
 * the member behind it. One request alone is longer on its way than a leader may be silent. */
static void test_traffic_and_heartbeats(void)
{
	static uint8_t much[KIB(64)];
	static struct errand errands[20];
	struct small_world *world = three(61);
	struct group_member *leader = small_world_leader(world);
	size_t l = number(world, leader);
	struct group_member *asks = &world->group.members[(l + 1) % 3];
	small_world_end(world, (l + 2) % 3, SIM_KILL_PROCESS);
	small_world_run(world, 500);
	sim_link(world->sim, world->hosts[(l + 1) % 3], world->hosts[l])->bytes_per_ms = 50;
	sim_link(world->sim, world->hosts[l], world->hosts[(l + 1) % 3])->bytes_per_ms = 50;
	uint64_t term = leader->term;
	for (unsigned i = 0; i < 20; i++) {
		errand_start(&errands[i], asks, leader->id, slice_of(much, sizeof(much)));
	}
	uint64_t last = small_world_write(world, leader, 200, 50);
	struct link *link = transport_link(asks->replica->transport, leader->id, FRAME_REQUESTS);
	ok(link != NULL && ended_with(errands, 20, 0) < 10,
	   "a second later most of the clients' traffic still waits");
	ok(leader->open && leader->term == term && asks->losses == 0,
	   "RedisRaft heartbeats: clients' traffic between two members costs the leader nothing");
	ok(last > 200 && leader->commit_index + 20 >= last, "and no commit waits behind it");
	small_world_run(world, 40000);
	is_int(ended_with(errands, 20, 0), 20, "in the end all of it is answered");
	small_world_free(world);
}

int main(void)
{
	test_closing_handle();
	ok(survives(links_go_while_walked_over, NULL),
	   "RedisRaft 50: connections that end while all are walked over are freed afterwards");
	test_forwards_end();
	test_old_requests();
	test_last_answers();
	test_longest_request();
	test_traffic_and_heartbeats();
	return tap_done();
}

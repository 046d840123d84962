/* The network of the simulated body: links that are cut, slow or broken, hosts that end or stand still, segments
 * that are lost or come again. */
#include <string.h>

#include "tests/lib/tap.h"
#include "tests/sim/sim.h"

struct talker {
	struct env *env;
	struct env_listener *listener;
	struct env_stream *stream;
	bool opened, closed;
	int status, opened_status;
	size_t got;
	uint64_t got_at_us;
	struct env_write write;
	struct sim *sim;
};
static void talker_opened(void *owner, int status)
{
	struct talker *t = owner;
	t->opened = true;
	t->opened_status = status;
}
static void talker_data(void *owner, struct slice bytes)
{
	struct talker *t = owner;
	t->got += bytes.len;
	t->got_at_us = sim_now_us(t->sim);
}
static void talker_closed(void *owner, int status)
{
	struct talker *t = owner;
	t->closed = true;
	t->status = status;
}
static const struct env_stream_events talker_events = {talker_opened, talker_data, talker_closed, NULL};
static void talker_accepted(void *owner, struct env_stream *stream)
{
	struct talker *t = owner;
	t->stream = stream;
	env_stream_set(stream, &talker_events, t);
}
static void nothing(struct env_write *write, int status) {}
static void say(struct talker *t)
{
	t->write.cb = nothing;
	env_stream_write(t->stream, &t->write, &SLICE_LIT("hello"), 1);
}

struct talk {
	struct sim *sim;
	struct sim_host *a, *b;
	struct talker near, far;
};

static void talk_open(struct talk *talk)
{
	memset(talk, 0, sizeof(*talk));
	talk->sim = talk->near.sim = talk->far.sim = sim_new(3);
	talk->a = sim_host_new(talk->sim, "a");
	talk->b = sim_host_new(talk->sim, "b");
	talk->near.env = sim_host_start(talk->a);
	talk->far.env = sim_host_start(talk->b);
	struct err err = {0};
	talk->far.listener = env_listen(talk->far.env, "b:7", talker_accepted, &talk->far, &err);
	talk->near.stream = env_connect(talk->near.env, "b:7", &talker_events, &talk->near);
	sim_run(talk->sim, 10000);
}

static void talk_close(struct talk *talk)
{
	sim_env_free(talk->near.env);
	sim_env_free(talk->far.env);
	sim_free(talk->sim);
}

static void test_links(void)
{
	struct talk talk;
	talk_open(&talk);
	ok(talk.near.opened && talk.far.stream != NULL, "two hosts connect");
	sim_link(talk.sim, talk.a, talk.b)->cut = true;
	say(&talk.near);
	say(&talk.far);
	sim_run(talk.sim, 5000000);
	ok(talk.far.got == 0 && talk.near.got == 5, "a link cut one way lets only the other through");
	sim_link(talk.sim, talk.a, talk.b)->cut = false;
	sim_links_healed(talk.sim);
	sim_run(talk.sim, 1000000);
	is_int(talk.far.got, 5, "healed, what waited arrives");
	sim_link(talk.sim, talk.a, talk.b)->delay_us = 300000;
	uint64_t from = sim_now_us(talk.sim);
	say(&talk.near);
	sim_run(talk.sim, 1000000);
	ok(talk.far.got == 10 && talk.far.got_at_us >= from + 300000, "a slow link is slow");
	sim_links_break(talk.sim, talk.a, talk.b);
	sim_run(talk.sim, 1000000);
	ok(talk.near.closed && talk.far.closed && talk.near.status == ERR_CLOSED, "a broken connection closes on both sides");
	talk_close(&talk);
}

static void test_death(void)
{
	struct talk talk;
	talk_open(&talk);
	sim_host_kill(talk.b, SIM_KILL_PROCESS);
	sim_run(talk.sim, 1000000);
	ok(talk.near.closed && !talk.far.closed, "a dead process' peer is told; the dead are told nothing");
	talk.near.closed = talk.near.opened = false;
	talk.near.stream = env_connect(talk.near.env, "b:7", &talker_events, &talk.near);
	sim_run(talk.sim, 1000000);
	ok(talk.near.closed && talk.near.opened_status == ERR_CLOSED, "who calls it is refused");
	talk_close(&talk);

	talk_open(&talk);
	sim_host_kill(talk.b, SIM_KILL_POWER);
	sim_run(talk.sim, 10000000);
	ok(!talk.near.closed, "the peer of a host without power hears nothing");
	say(&talk.near);
	sim_run(talk.sim, 10000000);
	ok(!talk.near.closed, "also when it speaks");
	sim_env_free(talk.far.env);
	talk.far.env = sim_host_start(talk.b);
	sim_run(talk.sim, 10000000);
	ok(talk.near.closed && talk.near.status == ERR_CLOSED, "until the host is back and knows nothing of it");
	talk_close(&talk);

	talk_open(&talk);
	sim_host_pause(talk.b);
	say(&talk.near);
	sim_run(talk.sim, 10000000);
	ok(talk.far.got == 0 && !talk.near.closed, "a paused host reads nothing and stays connected");
	sim_host_resume(talk.b);
	sim_run(talk.sim, 1000);
	is_int(talk.far.got, 5, "resumed, it reads at once");
	uint64_t before = env_wall_ms(talk.far.env);
	sim_host_wall_jump(talk.b, -3600000);
	ok(env_wall_ms(talk.far.env) == before - 3600000 && env_wall_ms(talk.near.env) == before,
	   "a wall clock jumps alone");
	talk_close(&talk);
}

/* ---- lost and old segments ---- */

static void test_loss(void)
{
	struct talk talk;
	talk_open(&talk);
	sim_link(talk.sim, talk.a, talk.b)->loss_per_million = 1000000;
	uint64_t from = sim_now_us(talk.sim);
	say(&talk.near);
	sim_run(talk.sim, 20000000);
	ok(talk.far.got == 5 && talk.far.got_at_us > from + 200000, "what is lost comes when TCP repeats it, once");
	ok(!talk.near.closed && sim_stats(talk.sim)->losses > 0, "and nobody is told");
	talk_close(&talk);
}

static void test_replay(void)
{
	struct talk talk;
	talk_open(&talk);
	for (int i = 0; i < 200; i++) {
		say(&talk.near);
		sim_run(talk.sim, 1000);
	}
	sim_link(talk.sim, talk.a, talk.b)->replay_per_million = 1000000;
	say(&talk.near);
	sim_run(talk.sim, 1000);
	ok(talk.far.got == 201 * 5 && sim_stats(talk.sim)->replays == 0, "nothing is replayed that was not kept");
	sim_link(talk.sim, talk.a, talk.b)->replay_per_million = 0;
	sim_links_remember(talk.sim);
	for (int i = 0; i < 200; i++) {
		say(&talk.near);
		sim_run(talk.sim, 1000);
	}
	sim_links_break(talk.sim, talk.a, talk.b);
	sim_run(talk.sim, 1000000);
	talk.near.stream = env_connect(talk.near.env, "b:7", &talker_events, &talk.near);
	sim_run(talk.sim, 1000000);
	talk.far.got = 0;
	sim_link(talk.sim, talk.a, talk.b)->replay_per_million = 1000000;
	say(&talk.near);
	sim_run(talk.sim, 1000000);
	ok(talk.far.got == 10 && sim_stats(talk.sim)->replays == 1,
	   "an old segment comes again on a new connection of the same two");
	say(&talk.far);
	sim_run(talk.sim, 1000000);
	is_int(talk.near.got, 5, "the other way is left alone");
	talk_close(&talk);
}

int main(void)
{
	test_links();
	test_death();
	test_loss();
	test_replay();
	return tap_done();
}

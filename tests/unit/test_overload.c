/* What a shard refuses when too much waits, and what it takes all the same. */
#include <stdio.h>

#include "engine/shard_private.h"
#include "env/env_ops.h"
#include "tests/lib/replica_double.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

/* A clock that goes five times slower: overload is judged in tenths of a second, and a busy machine stands still for
 * as long between two lines of a test. */
static struct env_ops slow_ops;
static uint64_t (*real_now_us)(struct env *env);
static uint64_t slow_from_us;

static uint64_t slow_now_us(struct env *env)
{
	return slow_from_us + (real_now_us(env) - slow_from_us) / 5;
}

static bool lanes_rest(void *owner)
{
	const struct shard *shard = ((struct world *)owner)->shard;
	return !shard->apply.running && !shard->space.running;
}

/* What runs beside the loop looks at the clock, too. It never falls: the slow one begins where the other is. */
static void slow_down(struct world *w)
{
	uv_env_run_until(w->env, lanes_rest, w, WAIT_MS);
	slow_ops = *w->env->ops;
	real_now_us = slow_ops.now_us;
	slow_from_us = real_now_us(w->env);
	slow_ops.now_us = slow_now_us;
	w->env->ops = &slow_ops;
}

static void speed_up(struct world *w, const struct env_ops *ops)
{
	uv_env_run_until(w->env, lanes_rest, w, WAIT_MS);
	w->env->ops = ops;
}

/* A turn of so many requests and so long; whether it refuses one more. */
static bool turn_refuses(struct world *w, size_t requests, uint64_t us)
{
	struct ask a, b;
	ask_start(w, &a, "SET k v");
	w->shard->turn_requests = requests - 1;
	w->shard->turn_began_us = env_now_us(w->env) - us;
	ask_start(w, &b, "SET k w");
	ask_wait(&a);
	bool refused = strncmp(ask_wait(&b), "-OVERLOADED", 11) == 0;
	ask_end(&a);
	ask_end(&b);
	return refused;
}

static bool long_turn(struct world *w)
{
	return turn_refuses(w, LIMIT_TURN_REQUESTS, LIMIT_TURN_MS * 1000);
}

static void test_short_turns(struct world *w)
{
	struct overload *overload = &w->shard->overload;
	overload->long_us = env_now_us(w->env) - 1000000;
	ok(long_turn(w) && !overload->on, "one long turn is an accident");
	ok(long_turn(w) && overload->on, "two on end are overload");
	ok(turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "then a short one is full as well");
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS - 1, LIMIT_OVERLOAD_TURN_US),
	   "but takes some in any case");
	overload->refused = overload->taken = 1000;
	overload->since_us -= 250000;
	ok(turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "while much is refused turns stay short");
	overload->taken = 2000;
	overload->refused = 1000;
	overload->since_us -= 250000;
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "when little is, they may be longer again");
	ok(long_turn(w), "until one is too long");
	overload->long_us = env_now_us(w->env);
	long_turn(w);
	is_int(overload->stay_us, 4000000, "that it is back so soon is remembered");
	overload->taken = overload->refused = 1000;
	overload->since_us -= 250000;
	overload->began_us -= 3900000;
	ok(turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US), "it stays twice as long");
	overload->taken = overload->refused = 1000;
	overload->since_us -= 250000;
	overload->began_us -= 200000;
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US), "before its end is tried");
	overload->long_us = env_now_us(w->env);
	long_turn(w);
	overload->refused = 1000;
	overload->since_us -= 1000000;
	ok(!turn_refuses(w, LIMIT_OVERLOAD_REQUESTS, LIMIT_OVERLOAD_TURN_US),
	   "nor does overload outlive a silence");
}

/* How many of so many requests the shard would take. */
static int taken_of(struct world *w, int count, bool follows)
{
	int taken = 0;
	for (int i = 0; i < count; i++) {
		taken += !shard_sheds(w->shard, follows, true);
	}
	return taken;
}

static void next_turn(struct world *w)
{
	w->shard->turn_requests++;
	overload_turn_end(w->shard);
	w->shard->turn_requests = 0;
}

static void test_sheds(struct world *w)
{
	struct overload *overload = &w->shard->overload;
	is_int(taken_of(w, 10000, false), 10000, "without overload all are taken");
	ok(!shard_defers(w->shard), "and at once");
	overload->long_us = env_now_us(w->env);
	ok(long_turn(w) && overload->on, "under overload");
	uint64_t before = w->shard->stats.retried;
	overload->capacity = 100;
	is_int(taken_of(w, 150, false), 100, "as many as a turn could take before");
	is_int(w->shard->stats.retried - before, 50, "the others are counted");
	is_int(taken_of(w, 50, true), 50,
	       "a client with requests under way is served until the turn is full");
	overload->turn_full = true;
	is_int(taken_of(w, 50, true), 0, "then nobody is");
	next_turn(w);
	ok(!overload->turn_full, "with a turn its fullness ends");
	is_int(overload->capacity, (3 * 100 + 150) / 4, "what a turn can take is learned");
	w->shard->apply.bytes += LIMIT_APPLY_LAG;
	is_int(taken_of(w, 10, true), 0, "no write is taken when the database lags behind");
	ok(!shard_sheds(w->shard, true, false), "a read is");
	w->shard->apply.bytes -= LIMIT_APPLY_LAG;
	next_turn(w);
	taken_of(w, 50, true);
	next_turn(w);
	overload->capacity = 112;
	is_int(taken_of(w, 150, false), 112 - 50, "and what such clients took is kept for them");
	next_turn(w);
	is_int(overload->capacity, 112 + 14 + 1, "a turn that had time left may take more");
	taken_of(w, 7, false);
	ok(shard_defers(w->shard), "a client may be kept for the end of the turn");
	next_turn(w);
	is_int(overload->fresh, 7, "which goes on then");
	next_turn(w);
	is_int(overload->fresh, 0, "once");
	overload->followed = overload->capacity;
	is_int(taken_of(w, 10, false), 0, "which may be all");
	world_turns(w);
	ok(taken_of(w, 10, false) > 0, "until they ask for less, though a turn took nobody");
	overload->since_us -= 1000000;
	is_str(world_ask(w, "SET k w"), "+OK||", "a while later");
	is_int(taken_of(w, 10000, false), 10000, "all are taken again");
}

/* A batch costs the same for one request as for all of them: the short turns share it. */
static void test_overload_batch(struct world *w)
{
	struct ask a[3];
	w->shard->overload.long_us = env_now_us(w->env);
	long_turn(w);
	size_t before = replica_double_proposals(replica_double());
	ask_start(w, &a[0], "INCR shared");
	uint64_t *opened_us = &propose_batch(w->shard, overlay_open_index(w->shard->overlay))->opened_us;
	*opened_us += 1000000; /* however slow the machine is */
	world_turns(w);
	ask_start(w, &a[1], "INCR shared");
	world_turns(w);
	is_int(replica_double_proposals(replica_double()) - before, 0,
	       "under overload a batch stays open though the way is free");
	*opened_us -= 1000000 + LIMIT_OVERLOAD_BATCH_MS * 1000;
	ask_start(w, &a[2], "INCR shared");
	is_str(ask_wait(&a[2]), ":3||", "until it is old");
	is_int(replica_double_proposals(replica_double()) - before, 1, "several turns make one");
	for (int i = 0; i < 3; i++) {
		ask_wait(&a[i]);
		ask_end(&a[i]);
	}
	w->shard->overload.since_us -= 1000000;
	is_str(world_ask(w, "SET k w"), "+OK||", "a while later");
	ok(!w->shard->overload.on, "overload is over");
}

/* Overload lasts while requests come: what was asked while the machine stood still is asked again. */
static bool overload_refuses(struct world *w, const char *line)
{
	bool refused = false;
	for (int i = 0; i < 100; i++) {
		uint64_t began_us = env_now_us(w->env);
		w->shard->overload.on = true;
		w->shard->overload.since_us = began_us;
		refused = strncmp(world_ask(w, line), "-OVERLOADED", 11) == 0;
		if (env_now_us(w->env) - began_us < 100000) {
			break;
		}
	}
	return refused;
}

/* A database that lags behind; and who does not lead refuses by himself. */
static void test_lag(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	struct overload *overload = &w.shard->overload;
	world_turns(&w);
	w.shard->apply.bytes += LIMIT_APPLY_AHEAD;
	is_str(world_ask(&w, "SET k v"), "+OK||", "a database may lag");
	w.shard->apply.bytes += LIMIT_APPLY_LAG * 3 / 4 - LIMIT_APPLY_AHEAD;
	w.shard->apply.bytes += LIMIT_APPLY_LAG;
	ok(strstr(world_ask(&w, "SET k w"), "-OVERLOADED") != NULL && overload->on,
	   "one that lags far is overload");
	w.shard->apply.bytes -= LIMIT_APPLY_LAG;
	ok(overload_refuses(&w, "SET k w"), "under which half as far is too far for a write");
	ok(overload_refuses(&w, "EVAL return\t1 0"), "and for a script, which might write");
	ok(!overload_refuses(&w, "GET k"), "reads run");
	w.shard->apply.bytes -= LIMIT_APPLY_LAG * 3 / 4;
	is_str(world_ask(&w, "SET k w"), "+OK||", "and all when it has caught up");
	replica_double_lose(replica_double(), false);
	world_turns(&w);
	overload->turn_full = overload->on = true;
	ok(!shard_sheds(w.shard, false, true) && !shard_defers(w.shard),
	   "a node that does not lead sheds nobody: it says that it does not lead");
	overload->turn_full = overload->on = false;
	world_close(&w);
}

static void test_overload(void)
{
	struct world w;
	struct ask a, b;
	world_lead(&w, NULL, NULL);
	ask_start(&w, &a, "SET k v");
	w.shard->turn_requests = LIMIT_TURN_REQUESTS;
	w.shard->turn_began_us -= LIMIT_TURN_MS * 1000;
	ask_start(&w, &b, "SET k w");
	is_str(ask_wait(&b),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	       "later\"}||",
	       "a turn that takes too long sends the rest away");
	is_str(ask_wait(&a), "+OK||", "and answers what it took");
	ask_end(&a);
	ask_end(&b);
	is_str(world_ask(&w, "SET k w"), "+OK||", "the next turn takes requests again");
	const struct env_ops *ops = w.env->ops;
	slow_down(&w);
	test_short_turns(&w);
	speed_up(&w, ops);
	test_sheds(&w);
	test_overload_batch(&w);
	ask_start(&w, &a, "SET k v");
	w.shard->stats.waiting += LIMIT_WAIT_REQUESTS;
	uint64_t *opened_us = &w.shard->batches[w.shard->first_waiting % BATCH_RING].opened_us;
	ask_start(&w, &b, "SET k w");
	*opened_us -= LIMIT_WAIT_MS * 1000;
	struct ask c;
	ask_start(&w, &c, "SET k x");
	w.shard->stats.waiting -= LIMIT_WAIT_REQUESTS;
	ok(strncmp(ask_wait(&c), "-OVERLOADED", 11) == 0, "many that wait for long are overload");
	is_str(ask_wait(&b), "+OK||", "many that do not are none");
	ask_wait(&a);
	ask_end(&a);
	ask_end(&b);
	ask_end(&c);
	is_str(world_ask(&w, "SET k w"), "+OK||", "nor is it when they have gone");
	w.shard->stats.admitted_bytes += LIMIT_ADMISSION_BYTES;
	is_str(world_ask(&w, "GET k"),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	       "later\"}||",
	       "too many that wait are overload as well");
	w.shard->stats.admitted_bytes -= LIMIT_ADMISSION_BYTES;
	w.shard->apply.bytes += LIMIT_APPLY_LAG + 1;
	is_str(world_ask(&w, "SET k x"),
	       "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"too much waits already: ask again a little "
	       "later\"}||",
	       "so is a database that lags behind");
	is_str(world_ask(&w, "GET k"), "$1||w||", "for writes, not for reads");
	w.shard->apply.bytes -= LIMIT_APPLY_LAG + 1;
	world_close(&w);
}

/* ---- turns that take long with few requests ---- */

/* How many of the asks have run, each time that timers fire. */
struct pace {
	struct env_timer timer;
	struct ask *asks;
	size_t count, run, most; /* most: between two times */
};

static size_t run_count(const struct pace *pace)
{
	size_t run = 0;
	for (size_t i = 0; i < pace->count; i++) {
		run += pace->asks[i].request.state != REQUEST_PARKED;
	}
	return run;
}

static void pace_cb(struct env_timer *timer)
{
	struct pace *pace = list_entry(timer, struct pace, timer);
	size_t run = run_count(pace);
	pace->most = run - pace->run > pace->most ? run - pace->run : pace->most;
	pace->run = run;
	env_timer_start(timer, 0);
}

/* Long on any machine, of few instructions (tests/scenario/watchdog.pl). Words are split at spaces. */
#define SLOW_SCRIPT                                                                                          \
	"EVAL local\tkeys={}\tfor\ti=1,131073\tdo\tkeys[-i]=i\tend\t"                                         \
	"for\ti=1,15000\tdo\tkeys[i*262143]=i\tend\treturn\tredis.call('INCR','slow') 0"

static void test_slow_scripts(struct world *w)
{
	struct ask asks[4];
	struct pace pace = {.asks = asks, .count = 4};
	for (size_t i = 0; i < 4; i++) {
		ask_init(w, &asks[i]);
		ask_words(&asks[i], SLOW_SCRIPT);
	}
	world_turns(w);
	env_timer_init(w->env, &pace.timer, pace_cb);
	env_timer_start(&pace.timer, 0);
	for (size_t i = 0; i < 4; i++) {
		ask_send(&asks[i]);
	}
	is_int(run_count(&pace), 1, "of scripts that take long one runs, however many came at once");
	is_str(ask_wait(&asks[3]), ":4||", "the others run in their order");
	env_timer_stop(&pace.timer);
	is_int(pace.most, 1, "and timers fire between any two of them");
	for (size_t i = 0; i < 4; i++) {
		ask_wait(&asks[i]);
		ask_end(&asks[i]);
	}
}

/* Whether one waits when it is so long ago that the turn began, and that the last came; then it is answered in its
 * turn. */
static bool turn_defers(struct world *w, uint64_t began_us, uint64_t asked_us)
{
	struct ask a, b;
	world_turns(w);
	ask_start(w, &a, "SET k v");
	w->shard->turn_began_us -= began_us;
	w->shard->turn_asked_us -= asked_us;
	ask_start(w, &b, "SET k w");
	bool deferred = b.request.state == REQUEST_PARKED;
	ask_wait(&a);
	bool answered = strcmp(ask_wait(&b), "+OK||") == 0 && a.order < b.order;
	ask_end(&a);
	ask_end(&b);
	return deferred && answered;
}

static void test_spent_turns(void)
{
	struct world w;
	world_lead(&w, NULL, NULL);
	test_slow_scripts(&w);
	ok(turn_defers(&w, LIMIT_TURN_MS * 1000, 0),
	   "what comes when few requests have taken a turn's time waits for the next turn");
	ok(turn_defers(&w, LIMIT_REQUEST_LONG_MS * 1000, LIMIT_REQUEST_LONG_MS * 1000),
	   "so does what comes behind one that took long");
	ok(!w.shard->overload.on && w.shard->overload.long_us == 0, "neither is overload");
	is_int(w.shard->spent_us, 0, "nor remembered when all have run");

	struct ask a, b, c;
	world_turns(&w);
	ask_start(&w, &a, "SET k v");
	w.shard->turn_began_us -= LIMIT_TURN_MS * 1000;
	ask_start(&w, &b, "SET k w");
	w.shard->parked_count += LIMIT_TURN_REQUESTS;
	w.shard->spent_us -= LIMIT_WAIT_MS * 1000;
	ask_start(&w, &c, "SET k x");
	w.shard->parked_count -= LIMIT_TURN_REQUESTS;
	ok(strncmp(ask_wait(&c), "-OVERLOADED", 11) == 0, "many that wait so for long are overload");
	is_str(ask_wait(&b), "+OK||", "and run all the same");
	ask_wait(&a);
	ask_end(&a);
	ask_end(&b);
	ask_end(&c);
	world_close(&w);
}

/* The last word of the last request that ran. */
static char ran[16];

static void ran_cb(void *owner, const struct request *request, uint64_t took_us)
{
	const struct request_command *c = &request->commands[0];
	struct slice last = c->argv[c->argc - 1];
	(void)owner;
	(void)took_us;
	snprintf(ran, sizeof ran, "%.*s", (int)last.len, (const char *)last.data);
}

/* Who counts and keeps what took long is told of those that waited as of all others. */
static void test_told(void)
{
	struct world w;
	struct ask a, b;
	struct shard_config config = {.on_ran = ran_cb};
	world_lead(&w, NULL, &config);
	ask_start(&w, &a, "SET k at-once");
	is_str(ran, "at-once", "a request that ran is told");
	w.shard->turn_began_us -= LIMIT_TURN_MS * 1000;
	ask_start(&w, &b, "SET k later");
	is_str(ran, "at-once", "one that is parked is not");
	b.argv[2] = SLICE_LIT("gone"); /* its words were borrowed */
	ask_wait(&b);
	is_str(ran, "later", "until it runs, with its words");
	ask_wait(&a);
	ask_end(&a);
	ask_end(&b);
	is_int(world_ask(&w, "MSET k 1 l")[0], '-', "a request that is refused");
	is_str(ran, "l", "ran as well");
	world_close(&w);
}

static void test_many_bytes_in_a_turn(void)
{
	struct world w;
	static struct ask a[64];
	static uint8_t value[16 * 1024];
	bool right = true;
	world_lead(&w, NULL, NULL);
	replica_double_hold(replica_double(), true);
	for (int i = 0; i < 64; i++) {
		ask_init(&w, &a[i]);
		ask_words(&a[i], "SET k v");
		memcpy(a[i].text, &i, sizeof i);
		a[i].request.envelope.once = slice_of(a[i].text, 8); /* any bytes are an id */
		a[i].argv[1] = slice_of(&value[i], 5 + (size_t)i);   /* other keys */
		a[i].argv[2] = slice_of(value, sizeof value);
		/* However slow the machine is: no request took long, and so did not all. */
		w.shard->turn_began_us = w.shard->turn_asked_us = env_now_us(w.env);
		ask_send(&a[i]);
	}
	ok(replica_double_proposals(replica_double()) >= 3, "a batch that is full goes at once");
	replica_double_hold(replica_double(), false);
	for (int i = 0; i < 64; i++) {
		right = right && strcmp(ask_wait(&a[i]), "+OK||") == 0;
		ask_end(&a[i]);
	}
	ok(right, "and all are answered");
	world_close(&w);
}

int main(void)
{
	test_many_bytes_in_a_turn();
	test_overload();
	test_spent_turns();
	test_told();
	test_lag();
	return tap_done();
}

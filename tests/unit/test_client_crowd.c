/* libtally when more is asked than the cluster answers: a node that answers a thousand commands a second, in
 * a simulated world. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"
#include "tests/lib/tap.h"
#include "tests/sim/sim.h"
#include "tests/unit/fake_node.h"

#define SECOND 1000000ull
#define PACE_US 1000
#define PIPELINE 16

struct crowd {
	struct sim *sim;
	struct sim_host *node_host, *client_host;
	struct fake_node node;
	struct tally *tally;
	struct env_timer timer;
	unsigned per_ms, timeout_ms; /* calls that begin, and how long they have */
	uint64_t started, ended, outcomes[5], crowded;
	uint64_t at_once; /* of the crowded: within two milliseconds */
	char code[32];    /* of the last that ended */
	bool closed;
	unsigned all_started, all_ended, again; /* again: so many callbacks start another call */
};

struct crowd_call {
	struct tally_call call;
	struct crowd *crowd;
};

static const char *answer_ok(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)node, (void)words, (void)count;
	return "+OK\r\n";
}

static const char *answer_later(struct fake_node *node, const struct slice *words, size_t count)
{
	(void)node, (void)words, (void)count;
	return "-NO_QUORUM {\"outcome\":\"retry\"}\r\n";
}

static void crowd_start(struct crowd *crowd);

static void crowd_cb(struct tally_call *call)
{
	struct crowd_call *one = call->data;
	struct crowd *crowd = one->crowd;
	enum tally_outcome outcome = tally_call_outcome(call);
	crowd->ended++;
	crowd->all_ended++;
	crowd->outcomes[outcome]++;
	snprintf(crowd->code, sizeof(crowd->code), "%s", tally_call_code(call));
	if (outcome == TALLY_RETRY && strcmp(tally_call_code(call), "OVERLOADED") == 0) {
		crowd->crowded++;
		crowd->at_once += tally_call_latency_us(call) <= 2000;
	}
	free(one);
	if (crowd->again > 0) {
		crowd->again--;
		crowd_start(crowd);
	}
}

static void crowd_start(struct crowd *crowd)
{
	struct crowd_call *one = calloc(1, sizeof(*one));
	one->crowd = crowd;
	one->call.data = one;
	crowd->started++;
	crowd->all_started++;
	tally_set_start(crowd->tally, &one->call, "k", 1, "v", 1, crowd->timeout_ms, crowd_cb);
}

static void crowd_tick(struct env_timer *timer)
{
	struct crowd *crowd = list_entry(timer, struct crowd, timer);
	for (unsigned i = 0; i < crowd->per_ms; i++) {
		crowd_start(crowd);
	}
	env_timer_start(timer, 1);
}

static void crowd_closed(void *owner)
{
	((struct crowd *)owner)->closed = true;
}

static bool crowd_is_closed(void *owner)
{
	return ((struct crowd *)owner)->closed;
}

static void crowd_open(struct crowd *crowd, unsigned timeout_ms)
{
	struct tally_options options = {.servers = "n1:7400", .pipeline_max = PIPELINE};
	struct err err = {0};
	memset(crowd, 0, sizeof(*crowd));
	crowd->sim = sim_new(7);
	crowd->node_host = sim_host_new(crowd->sim, "n1");
	crowd->client_host = sim_host_new(crowd->sim, "c1");
	crowd->node.env = sim_host_start(crowd->node_host);
	crowd->node.role = "leader";
	crowd->node.term = 1;
	crowd->node.answer = answer_ok;
	crowd->node.pace_us = PACE_US;
	list_init(&crowd->node.conns);
	snprintf(crowd->node.address, sizeof(crowd->node.address), "n1:7400");
	snprintf(crowd->node.leader, sizeof(crowd->node.leader), "n1:7400");
	fake_node_revive(&crowd->node);
	struct env *env = sim_host_start(crowd->client_host);
	crowd->tally = client_open(env, &options, &err);
	crowd->timeout_ms = timeout_ms;
	env_timer_init(env, &crowd->timer, crowd_tick);
}

/* What ended within so long. */
static void crowd_run(struct crowd *crowd, unsigned per_ms, uint64_t us)
{
	crowd->per_ms = per_ms;
	crowd->ended = crowd->crowded = crowd->at_once = 0;
	memset(crowd->outcomes, 0, sizeof(crowd->outcomes));
	env_timer_start(&crowd->timer, 1);
	sim_run(crowd->sim, us);
	env_timer_stop(&crowd->timer);
}

static void crowd_close(struct crowd *crowd)
{
	tally_close(crowd->tally, crowd_closed, crowd);
	sim_run_until(crowd->sim, crowd_is_closed, crowd, 10 * SECOND);
	fake_node_kill(&crowd->node);
	sim_run(crowd->sim, SECOND);
	sim_env_free(sim_host_env(crowd->client_host));
	sim_env_free(sim_host_env(crowd->node_host));
	sim_free(crowd->sim);
}

static void test_crowd(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 200);
	crowd_run(&crowd, 10, SECOND);
	crowd_run(&crowd, 10, 3 * SECOND);
	uint64_t done = crowd.outcomes[TALLY_DONE], unknown = crowd.outcomes[TALLY_UNKNOWN];
	ok(done > 2700,
	   "ten times too many calls: the node works for those who still wait (%llu of 3,000 done)",
	   (unsigned long long)done);
	ok(unknown < 100, "few are cut off under way (%llu)", (unsigned long long)unknown);
	ok(crowd.crowded * 10 > crowd.ended * 8, "the others are told OVERLOADED, RETRY (%llu of %llu)",
	   (unsigned long long)crowd.crowded, (unsigned long long)crowd.ended);
	ok(crowd.at_once * 100 > crowd.crowded * 98,
	   "nearly all of them within two milliseconds (%llu of %llu)", (unsigned long long)crowd.at_once,
	   (unsigned long long)crowd.crowded);
	crowd_run(&crowd, 0, SECOND);
	crowd_run(&crowd, 0, SECOND);
	crowd.per_ms = 1;
	crowd_start(&crowd);
	sim_run(crowd.sim, SECOND);
	ok(crowd.outcomes[TALLY_DONE] == 1 && crowd.ended == 1, "and when they are gone all is as before");
	crowd_close(&crowd);
}

/* Those that wait were let in for a node that was faster. */
static void test_slower(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 400);
	crowd_run(&crowd, 10, 2 * SECOND);
	crowd.node.pace_us = 8 * PACE_US;
	crowd_run(&crowd, 10, SECOND);
	uint64_t done = crowd.outcomes[TALLY_DONE];
	ok(done > 90,
	   "a node that becomes eight times slower does not work in vain meanwhile (%llu of 125 done)",
	   (unsigned long long)done);
	crowd_close(&crowd);
}

/* At half of what the node can do, a pause longer than the calls have. */
static void test_pause(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 200);
	crowd.node.pace_us = PACE_US / 2;
	crowd_run(&crowd, 1, SECOND);
	crowd.node.busy_us = sim_now_us(crowd.sim) + 400000;
	crowd_run(&crowd, 1, SECOND);
	ok(crowd.outcomes[TALLY_DONE] > 400 && crowd.outcomes[TALLY_DONE] < 800,
	   "a pause of the node costs those calls whose time it takes (%llu of 1,000 done)",
	   (unsigned long long)crowd.outcomes[TALLY_DONE]);
	crowd_run(&crowd, 1, SECOND);
	ok(crowd.outcomes[TALLY_DONE] == crowd.ended && crowd.ended >= 990,
	   "and a moment later nobody feels it (%llu of %llu)",
	   (unsigned long long)crowd.outcomes[TALLY_DONE], (unsigned long long)crowd.ended);
	crowd_close(&crowd);
}

/* Nor one slow moment for a slow node. */
static void test_moment(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 1000);
	crowd.node.pace_us = PACE_US / 2;
	crowd_run(&crowd, 3, SECOND);
	crowd_run(&crowd, 1, 2 * SECOND);
	crowd.node.busy_us = sim_now_us(crowd.sim) + 250000;
	crowd_run(&crowd, 1, 2 * SECOND);
	ok(crowd.outcomes[TALLY_DONE] == crowd.ended && crowd.ended > 1900,
	   "a pause shorter than the calls have costs none (%llu of %llu done)",
	   (unsigned long long)crowd.outcomes[TALLY_DONE], (unsigned long long)crowd.ended);
	crowd_close(&crowd);
}

/* Who gives them long enough may start as many as he likes at once. */
static void test_patience(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 60000);
	sim_run(crowd.sim, SECOND);
	for (unsigned i = 0; i < 20000; i++) {
		crowd_start(&crowd);
	}
	sim_run(crowd.sim, 30 * SECOND);
	ok(crowd.outcomes[TALLY_DONE] == 20000, "twenty thousand calls of a patient caller are done (%llu)",
	   (unsigned long long)crowd.outcomes[TALLY_DONE]);
	crowd_close(&crowd);
}

/* It says nothing about how fast the others would be answered. */
static void test_short(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 5);
	crowd.node.pace_us = 20000;
	crowd_run(&crowd, 1, SECOND);
	crowd.node.pace_us = 100;
	crowd_run(&crowd, 1, SECOND);
	crowd_run(&crowd, 1, SECOND);
	ok(crowd.outcomes[TALLY_DONE] >= 990,
	   "calls too short for a slow node are done when it is fast again (%llu)",
	   (unsigned long long)crowd.outcomes[TALLY_DONE]);
	crowd_close(&crowd);
}

/* It is fast again, and no crowd stays long enough to be measured. */
static void test_bursts(unsigned per_ms, unsigned ms, unsigned timeout_ms, unsigned bursts, const char *how)
{
	struct crowd crowd;
	crowd_open(&crowd, timeout_ms);
	crowd.node.pace_us = 20000;
	crowd_run(&crowd, 1, 3 * SECOND);
	crowd.node.pace_us = 50;
	crowd_run(&crowd, 0, 2 * SECOND);
	uint64_t done = 0, refused = 0;
	for (unsigned i = 0; i < bursts; i++) {
		for (unsigned k = 0; k < per_ms; k++) {
			crowd_start(&crowd);
		}
		crowd_run(&crowd, per_ms, (ms - 1) * 1000);
		done = crowd.outcomes[TALLY_DONE];
		refused = crowd.crowded;
		crowd_run(&crowd, 0, SECOND / 10);
		done += crowd.outcomes[TALLY_DONE];
		refused += crowd.crowded;
	}
	ok(done >= per_ms && refused == 0,
	   "a node that was slow once costs no later calls that begin together%s (%llu done, %llu refused)",
	   how, (unsigned long long)done, (unsigned long long)refused);
	crowd_close(&crowd);
}

/* The first thing that a client sees of a crowd. */
static void test_first_moment(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 1000);
	crowd.node.pace_us = PACE_US / 2;
	crowd_run(&crowd, 1, SECOND);
	crowd.node.busy_us = sim_now_us(crowd.sim) + 250000;
	crowd_run(&crowd, 1, 2 * SECOND);
	ok(crowd.outcomes[TALLY_DONE] == crowd.ended && crowd.ended > 1900,
	   "nor when it is the first that a client sees of a crowd (%llu of %llu done)",
	   (unsigned long long)crowd.outcomes[TALLY_DONE], (unsigned long long)crowd.ended);
	crowd_close(&crowd);
}

/* It is no crowd, and would hide what the node said. */
static void test_alone(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 1000);
	sim_run(crowd.sim, SECOND);
	crowd.node.answer = answer_later;
	crowd.node.pace_us = 600000;
	crowd_start(&crowd);
	sim_run(crowd.sim, 2 * SECOND);
	ok(crowd.outcomes[TALLY_RETRY] == 1 && strcmp(crowd.code, "NO_QUORUM") == 0,
	   "a call alone that was slowly told \"later\" ends with the node's reason (%s)", crowd.code);
	crowd_close(&crowd);
}

static void test_close(void)
{
	struct crowd crowd;
	crowd_open(&crowd, 200);
	crowd_run(&crowd, 10, SECOND / 2);
	crowd.again = 5000;
	crowd_run(&crowd, 10, SECOND / 2);
	for (unsigned i = 0; i < 100; i++) {
		crowd_start(&crowd);
	}
	crowd.again = 500;
	unsigned under_way = crowd.all_started - crowd.all_ended;
	crowd_close(&crowd);
	ok(under_way > 100 && crowd.closed && crowd.again == 0 && crowd.all_started == crowd.all_ended,
	   "a client that closes in a crowd ends each call once, also those that callbacks start (%u of %u)",
	   crowd.all_ended, crowd.all_started);
}

#define FATES_MAX 20000

/* What became of each call by its id: what the node did, and what its caller heard. */
struct fates {
	struct crowd crowd; /* first: the node's owner is both */
	bool happened[FATES_MAX];
	uint8_t heard[FATES_MAX], times[FATES_MAX];
	unsigned count, lies, twice, unknown, refused;
};

struct fate_call {
	struct tally_call call;
	struct fates *fates;
	unsigned number;
};

static const char *fate_answer(struct fake_node *node, const struct slice *words, size_t count)
{
	struct fates *fates = node->owner;
	int64_t number;
	if (count > 1 && slice_is_word(words[0], "ONCE") && slice_to_int64(words[1], &number)) {
		fates->happened[number] = true;
	}
	return "+OK\r\n";
}

static void fate_cb(struct tally_call *call)
{
	struct fate_call *one = call->data;
	struct fates *fates = one->fates;
	fates->heard[one->number] = (uint8_t)tally_call_outcome(call);
	fates->times[one->number]++;
	free(one);
}

static void fate_start(struct fates *fates)
{
	const char *words[] = {"SET", "k", "v"};
	struct fate_call *one = calloc(1, sizeof(*one));
	char id[16];
	one->call.data = one;
	one->fates = fates;
	one->number = fates->count++;
	snprintf(id, sizeof(id), "%u", one->number);
	tally_command_start(fates->crowd.tally, &one->call, id, words, NULL, 3, 0, 40 + one->number * 7 % 400,
			    fate_cb);
}

/* Connections are cut, the node pauses and is dead for a while: what was sent may have happened. */
static void test_fates(void)
{
	struct fates *fates = calloc(1, sizeof(*fates));
	crowd_open(&fates->crowd, 0);
	fates->crowd.node.owner = fates;
	fates->crowd.node.answer = fate_answer;
	for (unsigned ms = 0; fates->count < FATES_MAX - 10; ms++) {
		for (unsigned i = 0; i < 2; i++) {
			fate_start(fates);
		}
		sim_run(fates->crowd.sim, 1000);
		if (ms % 130 == 129) {
			fake_node_cut(&fates->crowd.node);
		}
		if (ms % 900 == 500) {
			fates->crowd.node.busy_us = sim_now_us(fates->crowd.sim) + 150000;
		}
		if (ms % 1000 == 899) {
			fake_node_kill(&fates->crowd.node);
		}
		if (ms % 1000 == 999) {
			fake_node_revive(&fates->crowd.node);
		}
	}
	crowd_close(&fates->crowd);
	for (unsigned i = 0; i < fates->count; i++) {
		bool claims_not = fates->heard[i] == TALLY_RETRY || fates->heard[i] == TALLY_REFUSED;
		fates->lies += claims_not && fates->happened[i];
		fates->twice += fates->times[i] != 1;
		fates->unknown += fates->heard[i] == TALLY_UNKNOWN;
		fates->refused += fates->heard[i] == TALLY_RETRY;
	}
	ok(fates->unknown > 100 && fates->refused > 1000 && fates->lies == 0,
	   "no call of a crowd that was sent and lost is told that it did not happen (%u of %u, %u unknown)",
	   fates->lies, fates->count, fates->unknown);
	is_int(fates->twice, 0, "and each hears once");
	free(fates);
}

int main(void)
{
	test_crowd();
	test_slower();
	test_pause();
	test_moment();
	test_patience();
	test_short();
	test_bursts(60, 1, 1000, 20, "");
	test_bursts(30, 6, 300, 20, ", nor shortly after each other");
	test_first_moment();
	test_alone();
	test_close();
	test_fates();
	return tap_done();
}

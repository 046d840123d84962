/* bench failover: writers write all the time while the leader is taken away again
 * and again; at the end every acknowledged write is read back (writers.h).
 *
 *     ┌────────┐ strike: kill, stop  ┌──────┐ a write acknowledged by another ┌──────┐
 *  ┌─►│ STEADY ├────────────────────►│ DOWN ├────────────────────────────────►│ BACK ├─┐
 *  │  └───┬────┘                     └──────┘                                 └──────┘ │
 *  │      │ strike: transfer, restart ┌─────────┐ the process has ended                │
 *  │      └──────────────────────────►│ WATCHED ├───────────────────┐                  │
 *  │                                  └────┬────┘                   ▼                  │
 *  │           leadership was handed over  │                ┌───────────┐    revived   │
 *  │                                       │                │ RETURNING │◄─────────────┘
 *  │      a while later ┌──────────┐       │                └─────┬─────┘
 *  └────────────────────┤ SETTLING │◄──────┴──────────────────────┘ its port answers
 *                       └──────────┘
 * kill and stop measure from the strike to the first write that somebody else
 * acknowledged; transfer and restart the longest silence between two
 * acknowledgements until the node is back, because nothing need fall silent at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tool/bench.h"
#include "client/tool/commands.h"
#include "client/tool/distribution.h"
#include "client/tool/json_out.h"
#include "client/tool/nodes.h"
#include "client/tool/print.h"
#include "client/tool/writers.h"

#define SETTLE_MS 1500 /* between a return and the next strike */
#define REVIVE_MS 500  /* between an answer and the return */
#define WATCH_MS 1000  /* a transfer, or a polite stop, is over by then */
#define AGAIN_MS 50
#define TRANSFER_MS 5000

enum failover_mode { MODE_KILL, MODE_STOP, MODE_TRANSFER, MODE_RESTART, MODE_COUNT };
static const struct {
	const char *name, *plural;
} modes[MODE_COUNT] = {{"kill", "times kill -9 of the leader"},
		       {"stop", "times SIGSTOP of the leader"},
		       {"transfer", "times leadership handed over"},
		       {"restart", "times a node restarted, one after the other"}};

enum failover_state {
	FAILOVER_STEADY,
	FAILOVER_DOWN,
	FAILOVER_BACK,
	FAILOVER_WATCHED,
	FAILOVER_RETURNING,
	FAILOVER_SETTLING
};

struct failover {
	struct bench bench;
	enum failover_mode mode;
	uint64_t times;
	enum failover_state state;
	size_t node;
	uint64_t struck_us;
	uint64_t last_ack_us, silence_us; /* since the strike */
	struct distribution gaps;
	struct writers writers;
	struct tally_call transfer;
	uint64_t transfers_failed;
	struct env_timer timer;
	struct env_stream *probe; /* of the node that returns */
	bool answers;
};

static void failover_ack_cb(void *owner, uint64_t started_us, unsigned attempts)
{
	struct failover *failover = owner;
	uint64_t now_us = env_now_us(failover->bench.env);
	uint64_t silence_us = now_us - failover->last_ack_us;
	failover->silence_us = silence_us > failover->silence_us ? silence_us : failover->silence_us;
	failover->last_ack_us = now_us;
	/* An answer of the dead node may still have been on its way to us. */
	bool of_another = started_us > failover->struck_us || attempts > 1;
	if (failover->state == FAILOVER_DOWN && of_another) {
		distribution_add(&failover->gaps, now_us - failover->struck_us);
		failover->state = FAILOVER_BACK;
		env_timer_start(&failover->timer, REVIVE_MS);
	}
}

/* ---- the strike ---- */

static void transfer_cb(struct tally_call *call)
{
	struct failover *failover = call->data;
	failover->transfers_failed += tally_call_outcome(call) != TALLY_DONE;
	failover->state = FAILOVER_SETTLING;
	env_timer_start(&failover->timer, SETTLE_MS);
}

static void failover_hit(struct failover *failover)
{
	static const char *const words[] = {"TALLY", "TRANSFER"};
	struct bench *bench = &failover->bench;
	switch (failover->mode) {
	case MODE_KILL:
		local_kill(&bench->local, failover->node);
		return;
	case MODE_STOP:
		local_pause(&bench->local, failover->node, true);
		return;
	case MODE_TRANSFER:
		failover->transfer.data = failover;
		tally_command_start(bench->tally, &failover->transfer, NULL, words, NULL, 2, 0, TRANSFER_MS,
				    transfer_cb);
		return;
	case MODE_RESTART:
		local_term(&bench->local, failover->node);
		return;
	case MODE_COUNT:
		return;
	}
}

static void failover_strike(struct failover *failover)
{
	struct bench *bench = &failover->bench;
	struct tally_stats stats;
	tally_stats(bench->tally, &stats);
	failover->node = failover->mode == MODE_RESTART ? failover->gaps.count % bench->local.count
							: local_find(&bench->local, stats.leader);
	if (failover->node == bench->local.count) {
		env_timer_start(&failover->timer, AGAIN_MS); /* nobody is known to lead yet */
		return;
	}
	failover_hit(failover);
	failover->struck_us = failover->last_ack_us = env_now_us(bench->env);
	failover->silence_us = 0;
	if (failover->mode == MODE_KILL || failover->mode == MODE_STOP) {
		failover->state = FAILOVER_DOWN;
	} else {
		failover->state = FAILOVER_WATCHED;
		env_timer_start(&failover->timer, WATCH_MS);
	}
}

/* ---- and what follows ---- */

static void failover_settle(struct failover *failover)
{
	failover->state = FAILOVER_SETTLING;
	env_timer_start(&failover->timer, SETTLE_MS);
}

static void probe_opened_cb(void *owner, int status)
{
	struct failover *failover = owner;
	failover->answers = status == 0;
	if (failover->answers) {
		env_stream_close(failover->probe);
	}
}

static void probe_data_cb(void *owner, struct slice bytes) {}

static void probe_closed_cb(void *owner, int status)
{
	struct failover *failover = owner;
	failover->probe = NULL;
	if (failover->state == FAILOVER_RETURNING && failover->answers) {
		failover_settle(failover);
	} else if (failover->state == FAILOVER_RETURNING) {
		env_timer_start(&failover->timer, AGAIN_MS);
	}
}

/* A node that starts slowly must not be missing already when the next is struck. */
static void failover_probe(struct failover *failover)
{
	static const struct env_stream_events events = {
		.opened = probe_opened_cb, .data = probe_data_cb, .closed = probe_closed_cb};
	const struct bench *bench = &failover->bench;
	failover->probe =
		env_connect(bench->env, bench->local.nodes[failover->node].client, &events, failover);
}

static void failover_revive(struct failover *failover)
{
	if (failover->mode == MODE_STOP) {
		local_pause(&failover->bench.local, failover->node, false);
	} else if (failover->mode != MODE_TRANSFER) {
		local_revive(&failover->bench.local, failover->node);
	}
	failover->state = FAILOVER_RETURNING;
	failover_probe(failover);
}

static void failover_settled(struct failover *failover)
{
	char last[32];
	struct distribution *gaps = &failover->gaps;
	if (failover->mode == MODE_TRANSFER || failover->mode == MODE_RESTART) {
		distribution_add(gaps, failover->silence_us);
	}
	uint64_t shown_us = failover->mode == MODE_KILL || failover->mode == MODE_STOP
				    ? distribution_quantile(gaps, 1000)
				    : failover->silence_us;
	bench_progress(&failover->bench, "failover: %zu of %llu, %s %s", gaps->count,
		       (unsigned long long)failover->times,
		       failover->mode == MODE_KILL || failover->mode == MODE_STOP ? "the longest took"
										  : "the last silence was",
		       print_us(shown_us, last, sizeof(last)));
	failover->state = FAILOVER_STEADY;
	failover->writers.over = gaps->count == failover->times;
	if (!failover->writers.over) {
		failover_strike(failover);
	}
}

static void failover_timer_cb(struct env_timer *timer)
{
	struct failover *failover = list_entry(timer, struct failover, timer);
	switch (failover->state) {
	case FAILOVER_STEADY:
		failover_strike(failover);
		return;
	case FAILOVER_WATCHED:
		if (failover->mode == MODE_RESTART && local_ended(&failover->bench.local, failover->node)) {
			failover_revive(failover);
		} else {
			env_timer_start(timer, AGAIN_MS); /* transfer_cb, or the end of the process, comes */
		}
		return;
	case FAILOVER_BACK:
		failover_revive(failover);
		return;
	case FAILOVER_RETURNING:
		failover_probe(failover);
		return;
	case FAILOVER_SETTLING:
		failover_settled(failover);
		return;
	case FAILOVER_DOWN:
		return;
	}
}

static void failover_write(struct failover *failover)
{
	struct bench *bench = &failover->bench;
	env_timer_init(bench->env, &failover->timer, failover_timer_cb);
	env_timer_start(&failover->timer, SETTLE_MS);
	failover->writers.bench = bench;
	failover->writers.answered = failover_ack_cb;
	failover->writers.owner = failover;
	writers_start(&failover->writers);
	bench_wait(bench, writers_are_over, &failover->writers);
	env_timer_stop(&failover->timer);
	bench_progress_end(bench);
}

/* ---- the report ---- */

static int failover_report(struct failover *failover)
{
	struct node_list nodes;
	struct node_hash hashes[NODES_MAX];
	struct writers *writers = &failover->writers;
	bool equal = nodes_find(failover->bench.tool, &nodes) && nodes_hash(&nodes, NODES_HASH_MS, hashes);
	if (failover->bench.tool->json) {
		struct buf out;
		buf_init(&out, MIB(1));
		buf_append_byte(&out, '{');
		json_out_text(&out, "mode", modes[failover->mode].name);
		distribution_json(&failover->gaps, &out);
		json_out_int(&out, "acknowledged", (int64_t)writers->acknowledged);
		json_out_int(&out, "lost", (int64_t)writers->lost);
		json_out_int(&out, "unanswered", (int64_t)writers->unanswered);
		json_out_int(&out, "transfers_failed", (int64_t)failover->transfers_failed);
		json_out_bool(&out, "same_bytes", equal);
		buf_append_byte(&out, '}');
		json_out_print(&out);
	} else {
		char room[32];
		printf("%zu %s: %s\n", failover->gaps.count, modes[failover->mode].plural,
		       failover->mode == MODE_KILL || failover->mode == MODE_STOP
			       ? "the time to the next write that another acknowledged"
			       : "the longest time without an acknowledged write");
		distribution_print(&failover->gaps);
		if (failover->transfers_failed > 0) {
			printf("%llu transfers were refused or timed out\n",
			       (unsigned long long)failover->transfers_failed);
		}
		printf("acknowledged writes %s, lost %llu · %s\n",
		       print_count(writers->acknowledged, room, sizeof(room)),
		       (unsigned long long)writers->lost,
		       equal ? "the same bytes on every node" : "NOT THE SAME BYTES ON EVERY NODE");
	}
	return writers->lost == 0 && equal && failover->transfers_failed == 0 ? TOOL_DONE : TOOL_FAILED;
}

static bool mode_parse(const char *text, enum failover_mode *mode)
{
	for (unsigned i = 0; i < MODE_COUNT; i++) {
		if (strcmp(text, modes[i].name) == 0) {
			*mode = i;
			return true;
		}
	}
	return false;
}

int cmd_bench_failover(struct tool *tool, int argc, char **argv)
{
	struct failover *failover = calloc(1, sizeof(*failover));
	struct option options[BENCH_OPTIONS + 2];
	const char *mode = "kill";
	if (failover == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	bench_init(&failover->bench, tool, options);
	failover->bench.local_options.nodes = 3;
	failover->bench.connections = 1;
	failover->times = 10;
	options[BENCH_OPTIONS] =
		(struct option){"kills", OPTION_COUNT, &failover->times, "N", "how often (10)"};
	options[BENCH_OPTIONS + 1] =
		(struct option){"mode", OPTION_TEXT, &mode, "MODE",
				"kill, stop (SIGSTOP), transfer, restart (each node in turn) (kill)"};
	int code = options_only(tool, options, BENCH_OPTIONS + 2, argc, argv);
	bool sane = failover->times >= 1 && failover->times <= DISTRIBUTION_MAX &&
		    failover->bench.local_options.nodes >= 3 && mode_parse(mode, &failover->mode);
	if (code == 0 && !sane) {
		code = tool_fail(
			tool, TOOL_USAGE,
			"--mode kill, stop, transfer or restart, 1 to %d times, three local nodes or more",
			DISTRIBUTION_MAX);
	}
	if (code != 0) {
		free(failover);
		return code;
	}
	code = bench_open(&failover->bench);
	if (code == 0) {
		failover_write(failover);
		if (!failover->bench.interrupted) {
			writers_read_back(&failover->writers);
		}
		code = failover->bench.interrupted ? TOOL_FAILED : failover_report(failover);
	}
	bench_close(&failover->bench);
	free(failover);
	return code;
}

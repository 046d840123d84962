/* bench failover: writers write all the time; the leader is killed again and
 * again. From each kill to the next write that is acknowledged by somebody
 * else, and at the end every acknowledged write is read back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tool/bench.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/nodes.h"
#include "client/tool/print.h"

#define WRITERS 32
#define PAUSE_MS 1500 /* between a return and the next kill */
#define REVIVE_MS 500 /* between an answer and the return */
#define WRITE_MS 20000
#define KILLS_MAX 1000
#define READERS 256
/* One write a writer every so often: the disk must not fill during a long run. */
#define WRITE_EVERY_MS 2

struct writer {
	struct tally_call call;
	struct failover *failover;
	struct env_timer timer;
	uint64_t at;    /* which writer */
	uint64_t seq;   /* the write under way */
	uint64_t acked; /* all below are acknowledged, but for those in holes */
	uint64_t started_us;
};

enum failover_state { FAILOVER_STEADY, FAILOVER_DOWN, FAILOVER_BACK, FAILOVER_OVER };

struct failover {
	struct bench bench;
	uint64_t kills, killed;
	bool pause; /* SIGSTOP and SIGCONT instead of kill -9 */
	enum failover_state state;
	size_t node;
	uint64_t killed_us;
	uint64_t gap_us[KILLS_MAX];
	struct writer writers[WRITERS];
	size_t running;
	uint64_t acknowledged, unanswered;
	struct env_timer timer;

	/* reading back */
	struct load_slot readers[READERS];
	uint64_t read_writer, read_seq, reading, found, lost;
};

static int compare_us(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;
	return left < right ? -1 : left > right;
}

/* ---- writers ---- */

static size_t writer_key(uint64_t writer, uint64_t seq, char key[64])
{
	return (size_t)snprintf(key, 64, "failover:%02llu:%010llu", (unsigned long long)writer,
				(unsigned long long)seq);
}

static void writer_cb(struct tally_call *call);

static void writer_next(struct env_timer *timer)
{
	struct writer *writer = list_entry(timer, struct writer, timer);
	struct failover *failover = writer->failover;
	char key[64];
	if (failover->state == FAILOVER_OVER || failover->bench.stop) {
		failover->running--;
		return;
	}
	size_t len = writer_key(writer->at, writer->seq, key);
	writer->started_us = env_now_us(failover->bench.env);
	tally_set_start(failover->bench.tally, &writer->call, key, len, key, len, WRITE_MS, writer_cb);
}

static void failover_answered(struct failover *failover)
{
	failover->gap_us[failover->killed++] = env_now_us(failover->bench.env) - failover->killed_us;
	failover->state = FAILOVER_BACK;
	env_timer_start(&failover->timer, REVIVE_MS);
}

static void writer_cb(struct tally_call *call)
{
	struct writer *writer = call->data;
	struct failover *failover = writer->failover;
	if (tally_call_outcome(call) != TALLY_DONE) {
		/* The same key again: what is not acknowledged may be there or not. */
		failover->unanswered++;
	} else {
		failover->acknowledged++;
		writer->seq++;
		/* An answer of the dead node may still have been on its way to us. */
		bool of_another = writer->started_us > failover->killed_us || tally_call_attempts(call) > 1;
		if (failover->state == FAILOVER_DOWN && of_another) {
			failover_answered(failover);
		}
	}
	env_timer_start(&writer->timer, WRITE_EVERY_MS);
}

/* ---- the killer ---- */

static void failover_kill(struct failover *failover)
{
	struct bench *bench = &failover->bench;
	struct tally_stats stats;
	tally_stats(bench->tally, &stats);
	failover->node = local_find(&bench->local, stats.leader);
	if (failover->node == bench->local.count) {
		env_timer_start(&failover->timer, 100);
		return;
	}
	if (failover->pause) {
		local_pause(&bench->local, failover->node, true);
	} else {
		local_kill(&bench->local, failover->node);
	}
	failover->killed_us = env_now_us(bench->env);
	failover->state = FAILOVER_DOWN;
}

static void failover_timer_cb(struct env_timer *timer)
{
	struct failover *failover = list_entry(timer, struct failover, timer);
	char last[32];
	switch (failover->state) {
	case FAILOVER_STEADY:
		failover_kill(failover);
		return;
	case FAILOVER_BACK:
		if (failover->pause) {
			local_pause(&failover->bench.local, failover->node, false);
		} else {
			local_revive(&failover->bench.local, failover->node);
		}
		bench_progress(&failover->bench, "failover: %llu of %llu kills, the last took %s",
			       (unsigned long long)failover->killed, (unsigned long long)failover->kills,
			       print_us(failover->gap_us[failover->killed - 1], last, sizeof(last)));
		failover->state = failover->killed == failover->kills ? FAILOVER_OVER : FAILOVER_STEADY;
		env_timer_start(timer, PAUSE_MS);
		return;
	case FAILOVER_DOWN:
	case FAILOVER_OVER:
		return;
	}
}

static bool failover_is_over(void *owner)
{
	return ((struct failover *)owner)->running == 0;
}

static void failover_write(struct failover *failover)
{
	struct bench *bench = &failover->bench;
	env_timer_init(bench->env, &failover->timer, failover_timer_cb);
	env_timer_start(&failover->timer, PAUSE_MS);
	for (size_t i = 0; i < WRITERS; i++) {
		struct writer *writer = &failover->writers[i];
		*writer = (struct writer){.failover = failover, .at = i, .call = {.data = writer}};
		env_timer_init(bench->env, &writer->timer, writer_next);
		failover->running++;
		env_timer_start(&writer->timer, 0);
	}
	bench_wait(bench, failover_is_over, failover);
	env_timer_stop(&failover->timer);
	bench_progress_end(bench);
}

/* ---- reading back ---- */

static void reader_cb(struct tally_call *call);

static void reader_next(struct failover *failover, struct load_slot *slot)
{
	while (failover->read_writer < WRITERS &&
	       failover->read_seq == failover->writers[failover->read_writer].seq) {
		failover->read_writer++;
		failover->read_seq = 0;
	}
	if (failover->read_writer == WRITERS || failover->bench.stop) {
		failover->reading--;
		return;
	}
	size_t len = writer_key(failover->read_writer, failover->read_seq++, slot->text[0]);
	tally_get_start(failover->bench.tally, &slot->call, slot->text[0], len, WRITE_MS, reader_cb);
}

static void reader_cb(struct tally_call *call)
{
	struct load_slot *slot = call->data;
	struct failover *failover = slot->owner;
	size_t len = 0;
	const char *text = tally_value_text(tally_call_value(call), &len);
	if (tally_call_outcome(call) == TALLY_DONE && text != NULL && strcmp(text, slot->text[0]) == 0) {
		failover->found++;
	} else {
		failover->lost++;
	}
	reader_next(failover, slot);
}

static bool failover_is_read(void *owner)
{
	return ((struct failover *)owner)->reading == 0;
}

static void failover_read(struct failover *failover)
{
	for (size_t i = 0; i < READERS; i++) {
		failover->readers[i].owner = failover;
		failover->readers[i].call.data = &failover->readers[i];
		failover->reading++;
		reader_next(failover, &failover->readers[i]);
	}
	bench_progress(&failover->bench, "reading back %llu writes",
		       (unsigned long long)failover->acknowledged);
	bench_wait(&failover->bench, failover_is_read, failover);
	bench_progress_end(&failover->bench);
}

/* ---- the report ---- */

static int failover_report(struct failover *failover)
{
	struct node_list nodes;
	struct node_hash hashes[NODES_MAX];
	bool equal =
		nodes_find(failover->bench.tool, &nodes) && nodes_hash(failover->bench.tool, &nodes, hashes);
	uint64_t *gaps = failover->gap_us;
	qsort(gaps, failover->killed, sizeof(gaps[0]), compare_us);
	uint64_t median = gaps[failover->killed / 2];
	uint64_t least = gaps[0];
	uint64_t most = gaps[failover->killed - 1];
	if (failover->bench.tool->json) {
		struct buf out;
		buf_init(&out, MIB(1));
		buf_append_byte(&out, '{');
		json_out_int(&out, "kills", (int64_t)failover->killed);
		json_out_int(&out, "min_ms", (int64_t)least / 1000);
		json_out_int(&out, "median_ms", (int64_t)median / 1000);
		json_out_int(&out, "max_ms", (int64_t)most / 1000);
		json_out_int(&out, "acknowledged", (int64_t)failover->acknowledged);
		json_out_int(&out, "lost", (int64_t)failover->lost);
		json_out_int(&out, "unanswered", (int64_t)failover->unanswered);
		json_out_bool(&out, "same_bytes", equal);
		json_out_name(&out, "gaps_ms");
		for (uint64_t i = 0; i < failover->killed; i++) {
			buf_appendf(&out, "%s%llu", i == 0 ? "[" : ",", (unsigned long long)gaps[i] / 1000);
		}
		buf_append_text(&out, "]}");
		json_out_print(&out);
	} else {
		char rooms[4][32];
		printf("%llu %s of the leader: the next write was acknowledged after %s to %s, median %s\n",
		       (unsigned long long)failover->killed, failover->pause ? "pauses" : "kills",
		       print_us(least, rooms[0], 32), print_us(most, rooms[1], 32),
		       print_us(median, rooms[2], 32));
		for (uint64_t i = 0; i < failover->killed; i++) {
			printf("%s%llu", i == 0 ? "ms: " : " ", (unsigned long long)gaps[i] / 1000);
		}
		printf("\n%s acknowledged writes read back, lost: %llu · %s\n",
		       print_count(failover->acknowledged, rooms[3], 32), (unsigned long long)failover->lost,
		       equal ? "the same bytes on every node" : "NOT THE SAME BYTES ON EVERY NODE");
	}
	return failover->lost == 0 && equal ? TOOL_DONE : TOOL_FAILED;
}

int cmd_bench_failover(struct tool *tool, int argc, char **argv)
{
	struct failover *failover = calloc(1, sizeof(*failover));
	struct option options[BENCH_OPTIONS + 2];
	if (failover == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	bench_init(&failover->bench, tool, options);
	failover->bench.local_options.nodes = 3;
	failover->bench.connections = 1;
	failover->kills = 10;
	options[BENCH_OPTIONS] =
		(struct option){"kills", OPTION_COUNT, &failover->kills, "N", "of the leader (10)"};
	options[BENCH_OPTIONS + 1] =
		(struct option){"pause", OPTION_FLAG, &failover->pause, NULL, "stop it for a while instead"};
	int code = options_parse(tool, options, BENCH_OPTIONS + 2, &argc, argv);
	if (code != 0) {
		free(failover);
		return code;
	}
	if (failover->kills < 1 || failover->kills > KILLS_MAX || failover->bench.local_options.nodes < 3) {
		free(failover);
		return tool_fail(tool, TOOL_USAGE, "1 to %d kills, of at least three local nodes", KILLS_MAX);
	}
	code = bench_open(&failover->bench);
	if (code == 0) {
		failover_write(failover);
		if (!failover->bench.interrupted) {
			failover_read(failover);
		}
		code = failover->bench.interrupted ? TOOL_FAILED : failover_report(failover);
	}
	bench_close(&failover->bench);
	free(failover);
	return code;
}

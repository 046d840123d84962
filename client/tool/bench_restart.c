/* bench restart: fill the cluster, kill -9 every node at once (or stop them
 * politely, or first the one and then the other), start them all: how long until
 * a write is acknowledged again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tool/bench.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/nodes.h"
#include "client/tool/print.h"

#define FILL_SLOTS 64
#define TIMES_MAX 100
#define WRITE_MS 60000

/* Until the next write, each time. */
struct waits {
	uint64_t us[TIMES_MAX];
	uint64_t count;
};

struct restart {
	struct bench bench;
	uint64_t mib, times, bytes;
	bool clean; /* SIGTERM instead of kill -9 */
	bool both;  /* SIGTERM after kill -9, of the same data */
	struct waits killed, stopped;

	struct load_slot slots[FILL_SLOTS];
	uint64_t next, count, running, failed;
	char *value;
	struct tally_call first;
	bool first_ended, first_done;
};

/* ---- filling ---- */

static void fill_cb(struct tally_call *call);

static void fill_next(struct restart *restart, struct load_slot *slot)
{
	if (restart->next == restart->count || restart->bench.stop) {
		restart->running--;
		return;
	}
	size_t len = (size_t)snprintf(slot->text[0], sizeof(slot->text[0]), "fill:%010llu",
				      (unsigned long long)restart->next);
	/* Noise, or compression would make a small database of it. */
	prng_fill(&restart->bench.prng, restart->value, restart->bytes);
	restart->next++;
	const char *const words[] = {"SET", slot->text[0], restart->value};
	const size_t lens[] = {3, len, restart->bytes};
	tally_command_start(restart->bench.tally, &slot->call, NULL, words, lens, 3, 0, WRITE_MS, fill_cb);
}

static void fill_cb(struct tally_call *call)
{
	struct load_slot *slot = call->data;
	struct restart *restart = slot->owner;
	restart->failed += tally_call_outcome(call) != TALLY_DONE;
	if (restart->next % 1024 == 0) {
		bench_progress(&restart->bench, "filling: %llu of %llu MiB",
			       (unsigned long long)(restart->next * restart->bytes >> 20),
			       (unsigned long long)restart->mib);
	}
	fill_next(restart, slot);
}

static bool fill_is_over(void *owner)
{
	return ((struct restart *)owner)->running == 0;
}

static int restart_fill(struct restart *restart)
{
	restart->count = (restart->mib << 20) / restart->bytes;
	for (size_t i = 0; i < FILL_SLOTS; i++) {
		restart->slots[i].owner = restart;
		restart->slots[i].call.data = &restart->slots[i];
		restart->running++;
		fill_next(restart, &restart->slots[i]);
	}
	bench_wait(&restart->bench, fill_is_over, restart);
	bench_progress_end(&restart->bench);
	if (restart->failed > 0) {
		return tool_fail(restart->bench.tool, TOOL_FAILED, "%llu writes were not acknowledged",
				 (unsigned long long)restart->failed);
	}
	return restart->bench.interrupted ? TOOL_FAILED : 0;
}

/* ---- killing all ---- */

static void first_cb(struct tally_call *call)
{
	struct restart *restart = call->data;
	restart->first_ended = true;
	restart->first_done = tally_call_outcome(call) == TALLY_DONE;
}

static bool first_is_over(void *owner)
{
	return ((struct restart *)owner)->first_ended;
}

static int restart_once(struct restart *restart, bool clean)
{
	struct bench *bench = &restart->bench;
	for (size_t i = 0; i < bench->local.count; i++) {
		(clean ? local_term : local_kill)(&bench->local, i);
	}
	for (size_t i = 0; i < bench->local.count && clean; i++) {
		local_reap(&bench->local, i);
	}
	int code = 0;
	/* The clock starts when the first process is started: kill -9 of all is over by then. */
	uint64_t started_us = 0;
	for (size_t i = 0; i < bench->local.count && code == 0; i++) {
		code = local_revive(&bench->local, i);
		started_us = started_us == 0 ? env_now_us(bench->env) : started_us;
	}
	if (code != 0) {
		return code;
	}
	restart->first_ended = restart->first_done = false;
	restart->first.data = restart;
	tally_set_start(bench->tally, &restart->first, "restart", 7, "x", 1, WRITE_MS, first_cb);
	bench_wait(bench, first_is_over, restart);
	if (!restart->first_done) {
		return bench->interrupted ? TOOL_FAILED
					  : tool_fail(bench->tool, TOOL_FAILED,
						      "no write in %d s after the restart", WRITE_MS / 1000);
	}
	struct waits *waits = clean ? &restart->stopped : &restart->killed;
	waits->us[waits->count++] = env_now_us(bench->env) - started_us;
	return 0;
}

static int restart_times(struct restart *restart, bool clean)
{
	int code = 0;
	for (uint64_t i = 0; i < restart->times && code == 0; i++) {
		code = restart_once(restart, clean);
		bench_progress(&restart->bench, "%s %llu of %llu", clean ? "polite restart" : "restart",
			       (unsigned long long)i + 1, (unsigned long long)restart->times);
	}
	bench_progress_end(&restart->bench);
	return code;
}

static void json_waits(struct buf *out, const char *most_name, const char *name, const struct waits *waits)
{
	uint64_t most_us = 0;
	for (uint64_t i = 0; i < waits->count; i++) {
		most_us = waits->us[i] > most_us ? waits->us[i] : most_us;
	}
	json_out_int(out, most_name, (int64_t)most_us / 1000);
	json_out_name(out, name);
	for (uint64_t i = 0; i < waits->count; i++) {
		buf_appendf(out, "%s%llu", i == 0 ? "[" : ",", (unsigned long long)waits->us[i] / 1000);
	}
	buf_append_byte(out, ']');
}

static void print_waits(uint64_t mib, const char *what, const struct waits *waits)
{
	char room[32];
	if (waits->count == 0) {
		return;
	}
	printf("%llu MiB, all nodes %s and started at once; the next write was acknowledged after",
	       (unsigned long long)mib, what);
	for (uint64_t i = 0; i < waits->count; i++) {
		printf("%s %s", i == 0 ? "" : ",", print_us(waits->us[i], room, sizeof(room)));
	}
	printf("\n");
}

static int restart_report(struct restart *restart)
{
	struct node_list nodes;
	struct node_hash hashes[NODES_MAX];
	bool equal = nodes_find(restart->bench.tool, &nodes) && nodes_hash(&nodes, NODES_HASH_MS, hashes);
	if (restart->bench.tool->json) {
		struct buf out;
		buf_init(&out, MIB(1));
		buf_append_byte(&out, '{');
		json_out_int(&out, "mib", (int64_t)restart->mib);
		json_out_bool(&out, "clean", restart->clean);
		json_waits(&out, "max_ms", "ms", restart->clean ? &restart->stopped : &restart->killed);
		if (restart->both) {
			json_waits(&out, "clean_max_ms", "clean_ms", &restart->stopped);
		}
		json_out_bool(&out, "same_bytes", equal);
		buf_append_byte(&out, '}');
		json_out_print(&out);
	} else {
		print_waits(restart->mib, "killed", &restart->killed);
		print_waits(restart->mib, "stopped", &restart->stopped);
		printf("%s\n", equal ? "the same bytes on every node" : "NOT THE SAME BYTES ON EVERY NODE");
	}
	return equal ? TOOL_DONE : TOOL_FAILED;
}

int cmd_bench_restart(struct tool *tool, int argc, char **argv)
{
	struct restart *restart = calloc(1, sizeof(*restart));
	struct option options[BENCH_OPTIONS + 5];
	if (restart == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	bench_init(&restart->bench, tool, options);
	restart->bench.local_options.nodes = 3;
	restart->bench.connections = 1;
	restart->mib = 64;
	restart->times = 3;
	restart->bytes = 4096;
	options[BENCH_OPTIONS] = (struct option){"mib", OPTION_COUNT, &restart->mib, "N",
						 "of values before the first kill (64)"};
	options[BENCH_OPTIONS + 1] =
		(struct option){"times", OPTION_COUNT, &restart->times, "N", "how often (3)"};
	options[BENCH_OPTIONS + 2] =
		(struct option){"bytes", OPTION_COUNT, &restart->bytes, "N", "of a value (4096)"};
	options[BENCH_OPTIONS + 3] =
		(struct option){"clean", OPTION_FLAG, &restart->clean, NULL, "stop them politely instead"};
	options[BENCH_OPTIONS + 4] = (struct option){"both", OPTION_FLAG, &restart->both, NULL,
						     "kill them, then stop them politely"};
	int code = options_only(tool, options, BENCH_OPTIONS + 5, argc, argv);
	bool sane = restart->times >= 1 && restart->times <= TIMES_MAX && restart->bytes >= 1 &&
		    restart->bytes <= LIMIT_VALUE && restart->bench.local_options.nodes >= 1 &&
		    restart->mib <= 1048576 && !(restart->clean && restart->both);
	if (code == 0 && !sane) {
		code = tool_fail(tool, TOOL_USAGE,
				 "1 to %d times, values up to 1 MiB, local nodes only, --clean or --both",
				 TIMES_MAX);
	}
	if (code != 0) {
		free(restart);
		return code;
	}
	restart->value = malloc(restart->bytes);
	code = bench_open(&restart->bench);
	code = code == 0 ? restart_fill(restart) : code;
	code = code == 0 && !restart->clean ? restart_times(restart, false) : code;
	code = code == 0 && (restart->clean || restart->both) ? restart_times(restart, true) : code;
	code = code == 0 ? restart_report(restart) : code;
	bench_close(&restart->bench);
	free(restart->value);
	free(restart);
	return code;
}

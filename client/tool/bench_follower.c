/* bench follower: SET in a closed loop with all nodes, then the same while a
 * follower is killed a second after the start and does not come back: whoever writes
 * should not notice. */
#include <stdio.h>
#include <stdlib.h>

#include "client/tool/bench.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/print.h"

#define KEYS 100000
#define KILL_MS 2000 /* the load's own start takes one second of it */

struct follower {
	struct bench bench;
	struct load whole, less; /* without and with the kill */
	struct env_timer timer;
	size_t node;
};

static void follower_next(struct load_slot *slot)
{
	struct follower *follower = slot->load->owner;
	static const char value[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789012345"
		"678901234567890123456789";
	size_t len = (size_t)snprintf(slot->text[0], sizeof(slot->text[0]), "key:%010llu",
				      (unsigned long long)prng_below(&follower->bench.prng, KEYS));
	const char *const words[] = {"SET", slot->text[0], value};
	const size_t lens[] = {3, len, sizeof(value) - 1};
	tally_command_start(follower->bench.tally, &slot->call, NULL, words, lens, 3, 0,
			    (unsigned)follower->bench.tool->timeout_ms, load_cb);
}

static void follower_kill_cb(struct env_timer *timer)
{
	struct follower *follower = list_entry(timer, struct follower, timer);
	struct local *local = &follower->bench.local;
	struct tally_stats stats;
	tally_stats(follower->bench.tally, &stats);
	size_t leader = local_find(local, stats.leader);
	if (leader == local->count) {
		env_timer_start(timer, 100);
		return;
	}
	follower->node = (leader + 1) % local->count;
	local_kill(local, follower->node);
}

static int follower_report(struct follower *follower)
{
	const struct load *whole = &follower->whole;
	const struct load *less = &follower->less;
	uint64_t rate = load_rate(whole, TALLY_DONE);
	uint64_t rate_less = load_rate(less, TALLY_DONE);
	uint64_t p99_us = histogram_quantile(&whole->done, 990);
	uint64_t p99_less_us = histogram_quantile(&less->done, 990);
	uint64_t rate_percent = rate == 0 ? 0 : rate_less * 100 / rate;
	uint64_t p99_percent = p99_us == 0 ? 0 : p99_less_us * 100 / p99_us;
	if (follower->bench.tool->json) {
		struct buf out;
		buf_init(&out, MIB(1));
		buf_append_byte(&out, '{');
		json_out_int(&out, "before_per_s", (int64_t)rate);
		json_out_int(&out, "after_per_s", (int64_t)rate_less);
		json_out_int(&out, "rate_percent", (int64_t)rate_percent);
		json_out_int(&out, "before_p99_us", (int64_t)p99_us);
		json_out_int(&out, "after_p99_us", (int64_t)p99_less_us);
		json_out_int(&out, "after_max_us", (int64_t)less->done.max);
		json_out_int(&out, "p99_percent", (int64_t)p99_percent);
		buf_append_byte(&out, '}');
		json_out_print(&out);
	} else {
		char rooms[2][32];
		printf("SET %s/s with all nodes, %s/s while n%zu was killed: %llu %%, p99 %llu %%\n",
		       print_count(rate, rooms[0], 32), print_count(rate_less, rooms[1], 32),
		       follower->node + 1, (unsigned long long)rate_percent, (unsigned long long)p99_percent);
		bench_table_head();
		bench_table_row("all nodes", &whole->done);
		bench_table_row("one less", &less->done);
	}
	return rate > 0 && rate_less > 0 ? TOOL_DONE : TOOL_FAILED;
}

int cmd_bench_follower(struct tool *tool, int argc, char **argv)
{
	struct follower *follower = calloc(1, sizeof(*follower));
	struct option options[BENCH_OPTIONS];
	if (follower == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	bench_init(&follower->bench, tool, options);
	follower->bench.local_options.nodes = 3;
	follower->bench.depth = 16;
	int code = options_only(tool, options, BENCH_OPTIONS, argc, argv);
	if (code == 0 && (follower->bench.local_options.nodes < 3 || follower->bench.seconds < 2)) {
		code = tool_fail(tool, TOOL_USAGE, "three local nodes or more, two seconds or more");
	}
	if (code != 0) {
		free(follower);
		return code;
	}
	struct bench *bench = &follower->bench;
	follower->whole =
		(struct load){.bench = bench, .name = "all nodes", .next = follower_next, .owner = follower};
	follower->less =
		(struct load){.bench = bench, .name = "one less", .next = follower_next, .owner = follower};
	code = bench_open(bench);
	if (code == 0) {
		load_run(&follower->whole);
		env_timer_init(bench->env, &follower->timer, follower_kill_cb);
		env_timer_start(&follower->timer, KILL_MS);
		if (!bench->interrupted) {
			load_run(&follower->less);
		}
		env_timer_stop(&follower->timer);
		code = bench->interrupted ? TOOL_FAILED : follower_report(follower);
	}
	bench_close(bench);
	free(follower);
	return code;
}

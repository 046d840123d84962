/* bench flash: how many sales (or refusals) a second one hot item bears, in a
 * closed loop. bench sale: a whole sale, see sale.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/tool/bench.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/print.h"
#include "client/tool/sale.h"

/* More than any run sells. */
#define FLASH_UNITS UINT64_C(1000000000)
/* A run of so long or longer measures what the cluster can bear, and has to include what flushes cost. */
#define CAPACITY_S 10

struct flash {
	struct bench bench;
	bool refusals;
	char run[24], campaign[40];
	struct load load;
	/* The log must not grow under refusals; an election adds an entry of its own. */
	uint64_t index_before, index_after, term_before, term_after;
	/* Judged at the end: sales that were acknowledged, start included, against what the stock says. */
	uint64_t acknowledged, taken;
};

static uint64_t flash_units(const struct flash *flash)
{
	return flash->refusals ? 1 : FLASH_UNITS;
}
static uint64_t flash_oversold(const struct flash *flash)
{
	uint64_t units = flash_units(flash);
	return flash->acknowledged > units ? flash->acknowledged - units : 0;
}
static uint64_t flash_lost(const struct flash *flash)
{
	return flash->acknowledged > flash->taken ? flash->acknowledged - flash->taken : 0;
}
/* Nodes that somebody else started are not looked at. */
static bool flash_flushed(const struct flash *flash)
{
	return flash->refusals || flash->bench.seconds < CAPACITY_S || flash->bench.local.count == 0 ||
	       footprint_flushes(&flash->load.footprint) > 0;
}

static void flash_answered(struct load_slot *slot)
{
	struct flash *flash = slot->load->owner;
	flash->acknowledged += tally_call_outcome(&slot->call) == TALLY_DONE;
}

static void flash_next(struct load_slot *slot)
{
	struct flash *flash = slot->load->owner;
	char *order_id = slot->text[0];
	char *customer = slot->text[1];
	snprintf(order_id, sizeof(slot->text[0]), "%s-%010llu", flash->run, (unsigned long long)slot->seq);
	snprintf(customer, sizeof(slot->text[1]), "c%010llu", (unsigned long long)slot->seq);
	const struct tally_arg args[] = {tally_str("order_id", order_id),
					 tally_str("campaign", flash->campaign), tally_str("sku", "phone-x"),
					 tally_str("customer", customer), tally_int("qty", 1)};
	tally_call_start_once(flash->bench.tally, &slot->call, order_id, "order.flash_buy", args, 5,
			      (unsigned)flash->bench.tool->timeout_ms, load_cb);
}

static uint64_t flash_last_index(struct flash *flash, uint64_t *term)
{
	static const char *const words[] = {"TALLY", "STATUS"};
	const struct tally_call *call = tool_ask(flash->bench.tool, NULL, words, NULL, 2, TALLY_READ);
	bool fine = call != NULL && tally_call_outcome(call) == TALLY_DONE;
	*term = fine ? (uint64_t)tally_value_int(tally_value_get(tally_call_value(call), "term"), 0) : 0;
	return fine ? (uint64_t)tally_value_int(tally_value_get(tally_call_value(call), "last_index"), 0) : 0;
}

static int flash_prepare(struct flash *flash)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(flash->run, sizeof(flash->run), "b%012llx",
		 (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000);
	snprintf(flash->campaign, sizeof(flash->campaign), "bench-%s", flash->run);
	int code = bench_push(&flash->bench);
	code = code == 0 ? sale_allot(&flash->bench, flash->campaign, flash_units(flash), 1) : code;
	if (code == 0 && flash->refusals) {
		const struct tally_call *call;
		const struct tally_arg args[] = {
			tally_str("order_id", flash->run), tally_str("campaign", flash->campaign),
			tally_str("sku", "phone-x"), tally_str("customer", "first"), tally_int("qty", 1)};
		code = bench_call(&flash->bench, "order.flash_buy", args, 5, &call);
		flash->acknowledged = 1;
	}
	return code;
}

static int flash_read_back(struct flash *flash)
{
	const struct tally_call *call;
	const struct tally_arg args[] = {tally_str("campaign", flash->campaign)};
	int code = bench_call(&flash->bench, "campaign.status", args, 1, &call);
	if (code == 0) {
		int64_t avail = tally_value_int(tally_value_get(tally_call_value(call), "avail"), -1);
		flash->taken = avail < 0 ? 0 : flash_units(flash) - (uint64_t)avail;
	}
	return code;
}

static int flash_report(struct flash *flash)
{
	struct load *load = &flash->load;
	const struct histogram *latency = flash->refusals ? &load->refused : &load->done;
	uint64_t unanswered =
		load->outcomes[TALLY_RETRY] + load->outcomes[TALLY_UNKNOWN] + load->outcomes[TALLY_CONFLICT];
	bool elected = flash->term_before != flash->term_after;
	bool quiet = !flash->refusals || elected || flash->index_before == flash->index_after;
	if (flash->bench.tool->json) {
		struct buf out;
		buf_init(&out, MIB(1));
		buf_append_byte(&out, '{');
		json_out_int(&out, "sales_per_s", (int64_t)load_rate(load, TALLY_DONE));
		json_out_int(&out, "refused_per_s", (int64_t)load_rate(load, TALLY_REFUSED));
		json_out_int(&out, "p50_us", (int64_t)histogram_quantile(latency, 500));
		json_out_int(&out, "p99_us", (int64_t)histogram_quantile(latency, 990));
		json_out_ms(&out, "p50_ms", histogram_quantile(latency, 500));
		json_out_ms(&out, "p99_ms", histogram_quantile(latency, 990));
		json_out_int(&out, "oversold", (int64_t)flash_oversold(flash));
		json_out_int(&out, "lost", (int64_t)flash_lost(flash));
		json_out_int(&out, "acknowledged", (int64_t)flash->acknowledged);
		json_out_int(&out, "unanswered", (int64_t)unanswered);
		json_out_int(&out, "connections", (int64_t)flash->bench.connections);
		json_out_int(&out, "depth", (int64_t)flash->bench.depth);
		json_out_int(&out, "seconds", (int64_t)flash->bench.seconds);
		load_json_cost(load, &out);
		json_out_int(&out, "index_before", (int64_t)flash->index_before);
		json_out_int(&out, "index_after", (int64_t)flash->index_after);
		buf_append_byte(&out, '}');
		json_out_print(&out);
	} else {
		char rate[32];
		printf("%s %s/s · %llu connections x %llu · %llu s\n", flash->refusals ? "refusals" : "sales",
		       print_count(load_rate(load, flash->refusals ? TALLY_REFUSED : TALLY_DONE), rate,
				   sizeof(rate)),
		       (unsigned long long)flash->bench.connections, (unsigned long long)flash->bench.depth,
		       (unsigned long long)flash->bench.seconds);
		bench_table_head();
		bench_table_row("sold", &load->done);
		bench_table_row("refused", &load->refused);
		load_print_cost(load, "");
		if (flash->refusals) {
			printf("last index %llu before, %llu after: %s\n",
			       (unsigned long long)flash->index_before,
			       (unsigned long long)flash->index_after,
			       elected ? "an election came in between, which adds an entry"
			       : quiet ? "a refusal costs nothing in the log"
				       : "A REFUSAL WAS WRITTEN TO THE LOG");
		}
		char acknowledged[32];
		printf("oversold: %llu · lost: %llu, of %s acknowledged sales against the stock\n",
		       (unsigned long long)flash_oversold(flash), (unsigned long long)flash_lost(flash),
		       print_count(flash->acknowledged, acknowledged, sizeof(acknowledged)));
		if (!flash_flushed(flash)) {
			printf("NO CAPACITY RUN: a node flushed no memtable\n");
		}
		if (unanswered > 0) {
			printf("%llu requests without a result\n", (unsigned long long)unanswered);
		}
	}
	bool wrong = flash->refusals ? load->outcomes[TALLY_DONE] > 0 : load->outcomes[TALLY_REFUSED] > 0;
	wrong = wrong || flash_oversold(flash) > 0 || flash_lost(flash) > 0;
	return wrong || !quiet || !flash_flushed(flash) || latency->count == 0 ? TOOL_FAILED : TOOL_DONE;
}

static int flash_run(struct flash *flash)
{
	int code = bench_open(&flash->bench);
	code = code == 0 ? flash_prepare(flash) : code;
	if (code == 0) {
		flash->load = (struct load){.bench = &flash->bench,
					    .name = flash->refusals ? "refusals" : "sales",
					    .next = flash_next,
					    .answered = flash_answered,
					    .owner = flash};
		flash->index_before = flash_last_index(flash, &flash->term_before);
		load_run(&flash->load);
		flash->index_after = flash_last_index(flash, &flash->term_after);
		code = flash->bench.interrupted ? TOOL_FAILED : flash_read_back(flash);
		code = code == 0 ? flash_report(flash) : code;
	}
	bench_close(&flash->bench);
	return code;
}

/* ---- a whole sale ---- */

/* With --keep: what to do with the cluster that stays. */
static void sale_try_next(const struct bench *bench, const char *campaign)
{
	const struct local *local = &bench->local;
	const char *colon = strrchr(local->nodes[0].client, ':');
	char program[512];
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[len > 0 ? len : 0] = '\0';
	char *slash = strrchr(program, '/');
	printf("\nThe cluster goes on, in %s. Try next:\n\n"
	       "  redis-cli -p %s SET hello world\n"
	       "  %s --servers %s call campaign.status campaign=%s\n",
	       local->dir, colon != NULL ? colon + 1 : "", program, local->servers, campaign);
	if (slash != NULL) {
		*slash = '\0';
	}
	char example[600];
	snprintf(example, sizeof(example), "%s/client/examples/hello", program);
	if (access(example, X_OK) == 0) { /* it is beside what was built, not beside what is installed */
		printf("  %s %s\n", example, local->servers);
	}
	printf("\nStop it with: kill");
	for (size_t i = 0; i < local->count; i++) {
		printf(" %d", (int)local->nodes[i].pid);
	}
	printf("\nThen %llu MiB stay behind%s %s\n", (unsigned long long)(local_disk_bytes(local) >> 20),
	       local->dir_is_ours ? ": rm -r" : " in", local->dir);
}

/* A sale waits in queues when it is too large; a buyer does not mind which connection he is on. */
static int sale_whole(struct bench *bench, uint64_t units, uint64_t buyers, bool kill_leader)
{
	if (units < 1 || buyers < 1 || units > UINT32_MAX || buyers > 10000000) {
		return tool_fail(bench->tool, TOOL_USAGE,
				 "at least one unit and one buyer, at most ten million buyers");
	}
	if (kill_leader && (bench->local_options.nodes < 3 || buyers <= units)) {
		return tool_fail(bench->tool, TOOL_USAGE,
				 "--kill-leader needs --local 3 or more, and more buyers than units");
	}
	struct sale *sale = calloc(1, sizeof(*sale));
	if (sale == NULL) {
		return tool_fail(bench->tool, TOOL_FAILED, "out of memory");
	}
	*sale = (struct sale){.bench = bench, .units = units, .buyers = buyers, .kill_leader = kill_leader};
	int code = bench_open(bench);
	code = code == 0 ? bench_push(bench) : code;
	code = code == 0 ? sale_run(sale) : code;
	code = code == 0 ? sale_judge(sale) : code;
	if (code == 0) {
		if (bench->tool->json) {
			sale_report_json(sale);
		} else {
			sale_report(sale);
		}
		code = sale_holds(sale) ? TOOL_DONE : TOOL_FAILED;
		if (bench->local_options.keep && !bench->tool->json) {
			sale_try_next(bench, sale->campaign);
		}
	}
	bench_close(bench);
	sale_free(sale);
	free(sale);
	return code;
}

int cmd_bench_flash(struct tool *tool, int argc, char **argv)
{
	struct flash *flash = calloc(1, sizeof(*flash));
	struct option options[BENCH_OPTIONS + 4];
	uint64_t units = 0;
	uint64_t buyers = 0;
	bool kill_leader = false;
	if (flash == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	bench_init(&flash->bench, tool, options);
	flash->bench.depth = 48;
	options[BENCH_OPTIONS] = (struct option){"refusals", OPTION_FLAG, &flash->refusals, NULL,
						 "of a sale that is sold out"};
	options[BENCH_OPTIONS + 1] =
		(struct option){"units", OPTION_COUNT, &units, "N", "a whole sale of so many units"};
	options[BENCH_OPTIONS + 2] =
		(struct option){"buyers", OPTION_COUNT, &buyers, "N", "to so many buyers"};
	options[BENCH_OPTIONS + 3] =
		(struct option){"kill-leader", OPTION_FLAG, &kill_leader, NULL, "kill -9 it in the middle"};
	int code = options_only(tool, options, BENCH_OPTIONS + 4, argc, argv);
	bool whole = units > 0 || buyers > 0;
	if (code == 0 && (whole ? flash->refusals : kill_leader)) {
		code = tool_fail(
			tool, TOOL_USAGE,
			"--kill-leader belongs to a whole sale (--units, --buyers), --refusals does not");
	} else if (code == 0 && whole) {
		code = sale_whole(&flash->bench, units, buyers, kill_leader);
	} else if (code == 0) {
		code = flash_run(flash);
	}
	free(flash);
	return code;
}

int cmd_bench_sale(struct tool *tool, int argc, char **argv)
{
	struct bench bench;
	struct option options[BENCH_OPTIONS + 3];
	uint64_t units = 10000;
	uint64_t buyers = 40000;
	bool kill_leader = false;
	bench_init(&bench, tool, options);
	bench.depth = 1024;
	options[BENCH_OPTIONS] = (struct option){"units", OPTION_COUNT, &units, "N", "to sell (10000)"};
	options[BENCH_OPTIONS + 1] =
		(struct option){"buyers", OPTION_COUNT, &buyers, "N", "who each want one (40000)"};
	options[BENCH_OPTIONS + 2] = (struct option){"kill-leader", OPTION_FLAG, &kill_leader, NULL,
						     "kill -9 between 30 % and 70 % of the stock"};
	int code = options_only(tool, options, BENCH_OPTIONS + 3, argc, argv);
	return code == 0 ? sale_whole(&bench, units, buyers, kill_leader) : code;
}

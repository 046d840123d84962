/* bench overload: ten times what the cluster can sell, in an open loop: over plain connections, whose clients
 * hold nothing back (flood.h), or with --shops through libtally (shops.h).
 * First a closed loop finds the peak, for a quarter as long: one of five seconds differs by a third from run
 * to run. Then half the peak for a while, ten times the peak, and half of it again: how much is still sold,
 * how soon the rest is refused, how long until all is as before, and whether leadership held. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/tool/bench.h"
#include "client/tool/commands.h"
#include "client/tool/flood.h"
#include "client/tool/json_out.h"
#include "client/tool/print.h"
#include "client/tool/sale.h"
#include "client/tool/shops.h"

#define TIMES 10
#define PEAK_S 5 /* at least */
#define NORMAL_S 5
#define AFTER_S 15
#define UNITS UINT64_C(1000000000)
#define DIGITS 10
/* Back to normal: in so many windows on end, so much of what was sold before. */
#define WINDOW_US 100000
#define WINDOWS (AFTER_S * 10)
#define WINDOWS_ON_END 5
#define BACK_PERCENT 95

enum overload_phase { PHASE_NORMAL, PHASE_OVERLOAD, PHASE_AFTER, PHASE_COUNT };

struct overload_figures {
	struct histogram done, refused;
	uint64_t other, us;
};

struct overload {
	struct bench bench;
	uint64_t times;
	char run[24], campaign[40], order[48]; /* order: an id, of which a letter and digits are written anew */
	struct load peak;
	uint64_t peak_rate;

	bool with_shops;
	struct openloop *loop; /* of one of these */
	struct flood flood;
	struct shops shops;
	struct buf template;          /* of a request */
	size_t order_at, customer_at; /* where its numbers are */
	enum overload_phase phase;
	uint64_t phase_us; /* when it began */
	struct overload_figures figures[PHASE_COUNT];
	uint64_t windows[WINDOWS];
	uint64_t offered, held; /* while overloaded */
	struct histogram late;  /* of the generator itself, meanwhile */
	struct footprint footprint;
	struct env_timer timer;
	bool phase_over;
	unsigned seconds;
};

/* ---- the request: one unit for a customer of his own ---- */

static uint64_t peak_s(uint64_t seconds)
{
	return seconds / 4 > PEAK_S ? seconds / 4 : PEAK_S;
}

static void put_digits(uint8_t *at, uint64_t number)
{
	for (size_t i = DIGITS; i > 0; i--, number /= 10) {
		at[i - 1] = (uint8_t)('0' + number % 10);
	}
}

/* kind: a letter, of the buyer, so that none comes twice. The customer is what the order's id ends with: only
 * its digits are written. By snprintf that took a quarter of what shops of ten times too many calls need. */
static void overload_buy(struct overload *overload, struct tally_call *call, char kind, uint64_t seq,
			 unsigned timeout_ms, tally_call_cb cb)
{
	char *order = overload->order;
	char *customer = order + strlen(order) - DIGITS - 1;
	customer[0] = kind;
	put_digits((uint8_t *)customer + 1, seq);
	const struct tally_arg args[] = {
		tally_str("order_id", order), tally_str("campaign", overload->campaign),
		tally_str("sku", "phone-x"), tally_str("customer", customer), tally_int("qty", 1)};
	tally_call_start_once(overload->bench.tally, call, order, "order.flash_buy", args, 5, timeout_ms, cb);
}

static void overload_peak_next(struct load_slot *slot)
{
	struct overload *overload = slot->load->owner;
	overload_buy(overload, &slot->call, 'c', slot->seq, (unsigned)overload->bench.tool->timeout_ms, load_cb);
}

static void overload_shop_next(struct shops_slot *slot, uint64_t seq)
{
	struct overload *overload = slot->shops->loop.owner;
	overload_buy(overload, &slot->call, 'f', seq, SHOPS_TIMEOUT_MS, shops_cb);
}

/* One request is written in full; the others differ in two numbers. */
static void overload_template(struct overload *overload)
{
	struct buf *out = &overload->template;
	char order_id[64];
	snprintf(order_id, sizeof(order_id), "%s-f%0*d", overload->run, DIGITS, 0);
	const char *const words[] = {"CALL",     "order.flash_buy",  "order_id", order_id,
				     "campaign", overload->campaign, "sku",      "phone-x",
				     "customer", "f0000000000",      "qty",      "1"};
	size_t count = sizeof(words) / sizeof(words[0]);
	buf_init(out, KIB(4));
	buf_appendf(out, "*%zu\r\n", count);
	for (size_t i = 0; i < count; i++) {
		buf_appendf(out, "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
		size_t behind = out->len - 2 - DIGITS;
		overload->order_at = words[i] == order_id ? behind : overload->order_at;
		overload->customer_at = words[i][0] == 'f' ? behind : overload->customer_at;
	}
}

static void overload_make(void *owner, uint64_t seq, struct buf *out)
{
	struct overload *overload = owner;
	size_t start = out->len;
	buf_append_slice(out, buf_slice(&overload->template));
	put_digits(out->data + start + overload->order_at, seq);
	put_digits(out->data + start + overload->customer_at, seq);
}

static void overload_answered(void *owner, enum openloop_answer answer, uint64_t latency_us)
{
	struct overload *overload = owner;
	struct overload_figures *figures = &overload->figures[overload->phase];
	/* What the overload has left behind is not what is sold afterwards. While it lasts nobody asks for the
	 * time: a million times a second that would cost a node's share. */
	bool loaded = overload->phase == PHASE_OVERLOAD;
	uint64_t since_us = loaded ? 0 : env_now_us(overload->bench.env) - overload->phase_us;
	bool of_phase = loaded || latency_us <= since_us;
	if (answer == OPENLOOP_RETRY && of_phase) {
		histogram_add(&figures->refused, latency_us);
	} else if (answer == OPENLOOP_OTHER) {
		figures->other++;
	} else if (answer == OPENLOOP_DONE && of_phase) {
		histogram_add(&figures->done, latency_us);
		if (overload->phase == PHASE_AFTER && since_us / WINDOW_US < WINDOWS) {
			overload->windows[since_us / WINDOW_US]++;
		}
	}
}

/* ---- phases ---- */

static void overload_timer_cb(struct env_timer *timer)
{
	struct overload *overload = list_entry(timer, struct overload, timer);
	footprint_sample(&overload->footprint);
	overload->phase_over = --overload->seconds == 0;
	if (!overload->phase_over) {
		env_timer_start(timer, 1000);
	}
}

static bool overload_phase_is_over(void *owner)
{
	return ((struct overload *)owner)->phase_over;
}

static void overload_phase(struct overload *overload, enum overload_phase phase, uint64_t rate,
			   uint64_t seconds)
{
	static const char *const names[PHASE_COUNT] = {"half the peak", "overload", "half the peak again"};
	struct bench *bench = &overload->bench;
	char room[32];
	bench->shown_us = 0;
	bench_progress(bench, "%s: %s requests a second for %llu s", names[phase],
		       print_count(rate, room, sizeof(room)), (unsigned long long)seconds);
	overload->phase = phase;
	overload->phase_us = env_now_us(bench->env);
	overload->phase_over = false;
	overload->seconds = (unsigned)seconds;
	uint64_t seq = overload->loop->seq;
	uint64_t held = overload->loop->held;
	openloop_set_rate(overload->loop, rate);
	env_timer_start(&overload->timer, 1000);
	bench_wait(bench, overload_phase_is_over, overload);
	env_timer_stop(&overload->timer);
	overload->figures[phase].us = env_now_us(bench->env) - overload->phase_us;
	if (phase == PHASE_OVERLOAD) {
		overload->offered = overload->loop->seq - seq;
		overload->held = overload->loop->held - held;
		overload->late = overload->loop->late;
	}
}

/* ---- who asks ---- */

static int overload_ask_with_flood(struct overload *overload)
{
	struct bench *bench = &overload->bench;
	struct tally_stats stats;
	tally_stats(bench->tally, &stats);
	if (stats.leader[0] == '\0') {
		return tool_fail(bench->tool, TOOL_FAILED, "nobody leads");
	}
	overload->flood =
		(struct flood){.loop = {.env = bench->env, .answered = overload_answered, .owner = overload},
			       .make = overload_make};
	overload->loop = &overload->flood.loop;
	overload_template(overload);
	flood_open(&overload->flood, stats.leader, bench->connections);
	bench_wait(bench, flood_is_open, &overload->flood);
	return 0;
}

static void overload_ask_with_shops(struct overload *overload)
{
	struct bench *bench = &overload->bench;
	overload->shops =
		(struct shops){.loop = {.env = bench->env, .answered = overload_answered, .owner = overload},
			       .start = overload_shop_next};
	overload->loop = &overload->shops.loop;
	shops_open(&overload->shops);
}

static void overload_ask_end(struct overload *overload)
{
	struct bench *bench = &overload->bench;
	if (overload->with_shops) {
		shops_close(&overload->shops);
		bench_wait(bench, shops_is_closed, &overload->shops);
		shops_fini(&overload->shops);
		return;
	}
	flood_close(&overload->flood);
	bench_wait(bench, flood_is_closed, &overload->flood);
	flood_fini(&overload->flood);
	buf_fini(&overload->template);
}

static int overload_phases(struct overload *overload)
{
	struct bench *bench = &overload->bench;
	int code = 0;
	footprint_begin(&overload->footprint, bench->tool, &bench->local);
	env_timer_init(bench->env, &overload->timer, overload_timer_cb);
	if (overload->with_shops) {
		overload_ask_with_shops(overload);
	} else {
		code = overload_ask_with_flood(overload);
	}
	if (code != 0) {
		return code;
	}
	overload_phase(overload, PHASE_NORMAL, overload->peak_rate / 2, NORMAL_S);
	overload_phase(overload, PHASE_OVERLOAD, overload->peak_rate * overload->times, bench->seconds);
	overload_phase(overload, PHASE_AFTER, overload->peak_rate / 2, AFTER_S);
	bool interrupted = bench->stop;
	bench->stop = false;
	overload_ask_end(overload);
	bench->stop = interrupted;
	footprint_end(&overload->footprint, bench->tool);
	bench_progress_end(bench);
	return interrupted ? TOOL_FAILED : 0;
}

/* ---- the report ---- */

static uint64_t per_s(const struct overload_figures *figures, uint64_t count)
{
	return figures->us == 0 ? 0 : count * 1000000 / figures->us;
}

/* From the end of the overload; UINT64_MAX when it was not seen. */
static uint64_t overload_back_us(const struct overload *overload)
{
	const struct overload_figures *normal = &overload->figures[PHASE_NORMAL];
	uint64_t wanted = normal->done.count * WINDOW_US / (normal->us + 1) * BACK_PERCENT / 100;
	for (size_t from = 0; from + WINDOWS_ON_END <= WINDOWS; from++) {
		uint64_t sum = 0;
		for (size_t i = 0; i < WINDOWS_ON_END; i++) {
			sum += overload->windows[from + i];
		}
		if (sum >= wanted * WINDOWS_ON_END && overload->windows[from] >= wanted) {
			return from * WINDOW_US;
		}
	}
	return UINT64_MAX;
}

static void overload_json(const struct overload *overload)
{
	const struct overload_figures *loaded = &overload->figures[PHASE_OVERLOAD];
	uint64_t goodput = per_s(loaded, loaded->done.count);
	uint64_t back_us = overload_back_us(overload);
	struct buf out;
	buf_init(&out, MIB(1));
	buf_append_byte(&out, '{');
	json_out_int(&out, "times", (int64_t)overload->times);
	json_out_int(&out, "seconds", (int64_t)overload->bench.seconds);
	json_out_int(&out, "peak_per_s", (int64_t)overload->peak_rate);
	json_out_int(&out, "offered_per_s", (int64_t)per_s(loaded, overload->offered + overload->held));
	json_out_int(&out, "sent_per_s", (int64_t)per_s(loaded, overload->offered));
	json_out_int(&out, "goodput_per_s", (int64_t)goodput);
	json_out_int(&out, "goodput_percent",
		     (int64_t)(overload->peak_rate == 0 ? 0 : goodput * 100 / overload->peak_rate));
	json_out_int(&out, "refused_per_s", (int64_t)per_s(loaded, loaded->refused.count));
	json_out_int(&out, "accepted_p99_us", (int64_t)histogram_quantile(&loaded->done, 990));
	json_out_int(&out, "refused_p50_us", (int64_t)histogram_quantile(&loaded->refused, 500));
	json_out_int(&out, "refused_p99_us", (int64_t)histogram_quantile(&loaded->refused, 990));
	json_out_int(&out, "generator_late_p50_us", (int64_t)histogram_quantile(&overload->late, 500));
	json_out_int(&out, "generator_late_p99_us", (int64_t)histogram_quantile(&overload->late, 990));
	json_out_int(&out, "back_ms", back_us == UINT64_MAX ? -1 : (int64_t)back_us / 1000);
	json_out_int(&out, "other", (int64_t)loaded->other);
	json_out_int(&out, "broken", (int64_t)overload->flood.broken);
	footprint_json(&overload->footprint, &out);
	buf_append_byte(&out, '}');
	json_out_print(&out);
}

static void overload_print(const struct overload *overload)
{
	const struct overload_figures *loaded = &overload->figures[PHASE_OVERLOAD];
	uint64_t goodput = per_s(loaded, loaded->done.count);
	uint64_t back_us = overload_back_us(overload);
	char rooms[5][32];
	printf("peak %s sales/s · offered %s/s, sent %s/s for %llu s: sold %s/s, %llu %% of the peak; "
	       "refused "
	       "%s/s\n",
	       print_count(overload->peak_rate, rooms[0], 32),
	       print_count(per_s(loaded, overload->offered + overload->held), rooms[1], 32),
	       print_count(per_s(loaded, overload->offered), rooms[2], 32),
	       (unsigned long long)overload->bench.seconds, print_count(goodput, rooms[3], 32),
	       (unsigned long long)(overload->peak_rate == 0 ? 0 : goodput * 100 / overload->peak_rate),
	       print_count(per_s(loaded, loaded->refused.count), rooms[4], 32));
	bench_table_head();
	bench_table_row("before", &overload->figures[PHASE_NORMAL].done);
	bench_table_row("sold", &loaded->done);
	bench_table_row("refused", &loaded->refused);
	bench_table_row("after", &overload->figures[PHASE_AFTER].done);
	printf("the generator itself came late by %s (p50) and %s (p99): its latencies hold that, too\n",
	       print_us(histogram_quantile(&overload->late, 500), rooms[0], 32),
	       print_us(histogram_quantile(&overload->late, 990), rooms[1], 32));
	if (back_us == UINT64_MAX) {
		printf("NOT back at %d %% of normal within %d s\n", BACK_PERCENT, AFTER_S);
	} else {
		printf("back at %d %% of normal after %s\n", BACK_PERCENT,
		       back_us == 0 ? "less than 100 ms" : print_us(back_us, rooms[0], 32));
	}
	if (loaded->other > 0) {
		printf("%llu ended neither sold nor to be asked again%s\n", (unsigned long long)loaded->other,
		       overload->with_shops ? ": most were cut off by their deadline under way" : "");
	}
	if (overload->flood.broken > 0) {
		printf("%llu CONNECTIONS WERE BROKEN\n", (unsigned long long)overload->flood.broken);
	}
	footprint_print(&overload->footprint);
}

static int overload_run(struct overload *overload)
{
	struct bench *bench = &overload->bench;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(overload->run, sizeof(overload->run), "o%012llx",
		 (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000);
	snprintf(overload->campaign, sizeof(overload->campaign), "over-%s", overload->run);
	snprintf(overload->order, sizeof(overload->order), "%s-c%0*d", overload->run, DIGITS, 0);
	int code = bench_open(bench);
	code = code == 0 ? bench_push(bench) : code;
	code = code == 0 ? sale_allot(bench, overload->campaign, UNITS, 1) : code;
	if (code != 0) {
		return code;
	}
	uint64_t seconds = bench->seconds;
	bench->seconds = peak_s(seconds);
	overload->peak =
		(struct load){.bench = bench, .name = "peak", .next = overload_peak_next, .owner = overload};
	load_run(&overload->peak);
	overload->peak_rate = load_rate(&overload->peak, TALLY_DONE);
	bench->seconds = seconds;
	if (bench->interrupted || overload->peak_rate == 0) {
		return TOOL_FAILED;
	}
	for (size_t i = 0; i < PHASE_COUNT; i++) {
		histogram_init(&overload->figures[i].done);
		histogram_init(&overload->figures[i].refused);
	}
	code = overload_phases(overload);
	if (code == 0) {
		(bench->tool->json ? overload_json : overload_print)(overload);
		/* How well it went is judged by who set the goals; that anything went is judged here. */
		code = overload->figures[PHASE_OVERLOAD].done.count > 0 && overload->flood.broken == 0
			       ? TOOL_DONE
			       : TOOL_FAILED;
	}
	return code;
}

int cmd_bench_overload(struct tool *tool, int argc, char **argv)
{
	struct overload *overload = calloc(1, sizeof(*overload));
	struct option options[BENCH_OPTIONS + 2];
	if (overload == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	bench_init(&overload->bench, tool, options);
	overload->bench.connections = 64;
	overload->bench.depth = 8;
	overload->times = TIMES;
	options[BENCH_OPTIONS] =
		(struct option){"times", OPTION_COUNT, &overload->times, "N", "the peak is offered (10)"};
	options[BENCH_OPTIONS + 1] = (struct option){"shops", OPTION_FLAG, &overload->with_shops, NULL,
						     "ask through libtally, not over plain connections"};
	int code = options_only(tool, options, BENCH_OPTIONS + 2, argc, argv);
	if (code == 0 && (overload->times < 1 || overload->times > 100)) {
		code = tool_fail(tool, TOOL_USAGE, "1 to 100 times the peak");
	}
	if (code == 0) {
		code = overload_run(overload);
		bench_close(&overload->bench);
	}
	free(overload);
	return code;
}

/* bench kv: SET, then GET, or both mixed, in a closed loop. Without request ids: what is
 * measured is the command, as redis-benchmark does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/tool/bench.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/print.h"

struct kv {
	struct bench bench;
	uint64_t keys, bytes;
	bool once;
	char *value;
	struct load set, get;
	/* --reads: one load of both; what was answered is counted in set and get. */
	uint64_t reads;
	struct load mix;
};

#define READS_NOT_MIXED UINT64_MAX
static bool kv_mixed(const struct kv *kv)
{
	return kv->reads != READS_NOT_MIXED;
}

static size_t kv_key(struct load_slot *slot, char key[64])
{
	struct kv *kv = slot->load->owner;
	return (size_t)snprintf(key, 64, "key:%010llu",
				(unsigned long long)prng_below(&kv->bench.prng, kv->keys));
}

static void kv_set_next(struct load_slot *slot)
{
	struct kv *kv = slot->load->owner;
	size_t len = kv_key(slot, slot->text[0]);
	const char *const words[] = {"SET", slot->text[0], kv->value};
	const size_t lens[] = {3, len, kv->bytes};
	unsigned timeout_ms = (unsigned)kv->bench.tool->timeout_ms;
	if (kv->once) {
		tally_set_start(kv->bench.tally, &slot->call, words[1], len, kv->value, kv->bytes, timeout_ms,
				load_cb);
	} else {
		tally_command_start(kv->bench.tally, &slot->call, NULL, words, lens, 3, 0, timeout_ms,
				    load_cb);
	}
}

static void kv_get_next(struct load_slot *slot)
{
	struct kv *kv = slot->load->owner;
	size_t len = kv_key(slot, slot->text[0]);
	tally_get_start(kv->bench.tally, &slot->call, slot->text[0], len,
			(unsigned)kv->bench.tool->timeout_ms, load_cb);
}

/* The second text of a slot says which of the two it asks. */
static void kv_mix_next(struct load_slot *slot)
{
	struct kv *kv = slot->load->owner;
	bool read = prng_below(&kv->bench.prng, 100) < kv->reads;
	snprintf(slot->text[1], sizeof(slot->text[1]), "%s", read ? "GET" : "SET");
	if (read) {
		kv_get_next(slot);
	} else {
		kv_set_next(slot);
	}
}

static void kv_mix_answered(struct load_slot *slot)
{
	struct kv *kv = slot->load->owner;
	struct load *load = strcmp(slot->text[1], "GET") == 0 ? &kv->get : &kv->set;
	uint64_t now_us = env_now_us(kv->bench.env);
	enum tally_outcome outcome = tally_call_outcome(&slot->call);
	if (now_us < kv->mix.measure_from_us || now_us >= kv->mix.until_us) {
		return;
	}
	load->outcomes[outcome]++;
	if (outcome == TALLY_DONE) {
		histogram_add(&load->done, tally_call_latency_us(&slot->call));
	}
}

static void kv_json_load(struct buf *out, const char *name, const struct load *load)
{
	char key[64];
	static const struct {
		const char *name;
		unsigned permille;
	} quantiles[] = {{"p50", 500}, {"p99", 990}, {"p999", 999}};
	snprintf(key, sizeof(key), "%s_per_s", name);
	json_out_int(out, key, (int64_t)load_rate(load, TALLY_DONE));
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		snprintf(key, sizeof(key), "%s_%s_us", name, quantiles[i].name);
		json_out_int(out, key, (int64_t)histogram_quantile(&load->done, quantiles[i].permille));
	}
	snprintf(key, sizeof(key), "%s_failed", name);
	json_out_int(out, key,
		     (int64_t)(load->outcomes[TALLY_REFUSED] + load->outcomes[TALLY_RETRY] +
			       load->outcomes[TALLY_UNKNOWN]));
}

static int kv_report(struct kv *kv)
{
	if (kv->bench.tool->json) {
		struct buf out;
		buf_init(&out, MIB(1));
		buf_append_byte(&out, '{');
		kv_json_load(&out, "set", &kv->set);
		kv_json_load(&out, "get", &kv->get);
		load_json_cost(kv_mixed(kv) ? &kv->mix : &kv->set, &out);
		if (kv_mixed(kv)) {
			json_out_int(&out, "reads_percent", (int64_t)kv->reads);
		}
		json_out_int(&out, "connections", (int64_t)kv->bench.connections);
		json_out_int(&out, "depth", (int64_t)kv->bench.depth);
		buf_append_byte(&out, '}');
		json_out_print(&out);
	} else {
		char set[32];
		char get[32];
		printf("SET %s/s · GET %s/s · %llu connections x %llu · %llu bytes\n",
		       print_count(load_rate(&kv->set, TALLY_DONE), set, sizeof(set)),
		       print_count(load_rate(&kv->get, TALLY_DONE), get, sizeof(get)),
		       (unsigned long long)kv->bench.connections, (unsigned long long)kv->bench.depth,
		       (unsigned long long)kv->bytes);
		bench_table_head();
		bench_table_row("SET", &kv->set.done);
		bench_table_row("GET", &kv->get.done);
		if (kv_mixed(kv)) {
			char of[32];
			snprintf(of, sizeof(of), "%llu %% GET: ", (unsigned long long)kv->reads);
			load_print_cost(&kv->mix, of);
		} else {
			load_print_cost(&kv->set, "SET: ");
			load_print_cost(&kv->get, "GET: ");
		}
		uint64_t failed = kv->set.outcomes[TALLY_RETRY] + kv->set.outcomes[TALLY_UNKNOWN] +
				  kv->get.outcomes[TALLY_RETRY];
		if (failed > 0) {
			printf("%llu requests found no answer in time\n", (unsigned long long)failed);
		}
	}
	uint64_t set = kv->set.outcomes[TALLY_DONE], get = kv->get.outcomes[TALLY_DONE];
	bool refused = kv->set.outcomes[TALLY_REFUSED] + kv->get.outcomes[TALLY_REFUSED] > 0;
	bool nothing = kv_mixed(kv) ? set + get == 0 : set == 0 || get == 0;
	return refused || nothing ? TOOL_FAILED : TOOL_DONE;
}

static int kv_run(struct kv *kv)
{
	struct bench *bench = &kv->bench;
	/* A cluster that is not there is found now, not by a load that waits for it. */
	const char *const words[] = {"GET", "kv"};
	const struct tally_call *call = tool_ask(bench->tool, NULL, words, NULL, 2, TALLY_READ);
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		return call == NULL ? TOOL_USAGE : tool_refused(bench->tool, call);
	}
	kv->set = (struct load){.bench = bench, .name = "SET", .next = kv_set_next, .owner = kv};
	kv->get = (struct load){.bench = bench, .name = "GET", .next = kv_get_next, .owner = kv};
	if (kv_mixed(kv)) {
		kv->mix = (struct load){.bench = bench,
					.name = "SET and GET",
					.next = kv_mix_next,
					.answered = kv_mix_answered,
					.owner = kv};
		histogram_init(&kv->set.done);
		histogram_init(&kv->get.done);
		load_run(&kv->mix);
	} else {
		load_run(&kv->set);
		if (!bench->interrupted) {
			load_run(&kv->get);
		}
	}
	return bench->interrupted ? TOOL_FAILED : kv_report(kv);
}

int cmd_bench_kv(struct tool *tool, int argc, char **argv)
{
	struct kv *kv = calloc(1, sizeof(*kv));
	if (kv == NULL) {
		return tool_fail(tool, TOOL_FAILED, "out of memory");
	}
	struct option options[BENCH_OPTIONS + 4];
	kv->keys = 100000;
	kv->bytes = 100;
	kv->reads = READS_NOT_MIXED;
	bench_init(&kv->bench, tool, options);
	options[BENCH_OPTIONS] =
		(struct option){"keys", OPTION_COUNT, &kv->keys, "N", "different keys (100000)"};
	options[BENCH_OPTIONS + 1] =
		(struct option){"bytes", OPTION_COUNT, &kv->bytes, "N", "of a value (100)"};
	options[BENCH_OPTIONS + 2] =
		(struct option){"once", OPTION_FLAG, &kv->once, NULL, "a request id with each SET"};
	options[BENCH_OPTIONS + 3] =
		(struct option){"reads", OPTION_COUNT, &kv->reads, "PERCENT",
				"mixed: so many of a hundred are GET (else SET first, then GET)"};
	int code = options_only(tool, options, BENCH_OPTIONS + 4, argc, argv);
	if (code != 0) {
		free(kv);
		return code;
	}
	if (kv->keys < 1 || kv->bytes > LIMIT_VALUE || (kv_mixed(kv) && kv->reads > 100)) {
		free(kv);
		return tool_fail(tool, TOOL_USAGE,
				 "at least one key, at most 1 MiB a value, and 0 to 100 percent reads");
	}
	kv->value = malloc(kv->bytes + 1);
	memset(kv->value, 'x', kv->bytes);
	code = bench_open(&kv->bench);
	code = code == 0 ? kv_run(kv) : code;
	bench_close(&kv->bench);
	free(kv->value);
	free(kv);
	return code;
}

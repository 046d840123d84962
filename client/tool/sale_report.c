/* What a shop owner would want to know after the sale. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/tool/json_out.h"
#include "client/tool/nodes.h"
#include "client/tool/print.h"
#include "client/tool/sale.h"

#define CURVE_COLUMNS 60
#define CURVE_ROWS 8

/* ---- figures ---- */

static uint64_t sale_selling_us(const struct sale *sale)
{
	uint64_t end_us = sale->sold_out_us != 0 ? sale->sold_out_us : sale->last_sold_us;
	return end_us > sale->started_us ? end_us - sale->started_us : 1;
}

static uint64_t sale_per_s(const struct sale *sale)
{
	return sale->counts[SALE_SOLD] * 1000000 / sale_selling_us(sale);
}

/* ---- the curve: sold units over time, cumulative ---- */

static void sale_curve(const struct sale *sale)
{
	static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	uint64_t span_us = sale->ended_us - sale->started_us;
	uint64_t selling_us = sale_selling_us(sale) * 5 / 4;
	span_us = span_us < selling_us ? span_us : selling_us;
	uint64_t level[CURVE_COLUMNS]; /* in eighths of a row */
	uint64_t sold = 0;
	size_t step = 0;
	for (size_t column = 0; column < CURVE_COLUMNS; column++) {
		uint64_t until_us = span_us * (column + 1) / CURVE_COLUMNS;
		for (; step < SALE_STEPS && (uint64_t)step * SALE_STEP_US < until_us; step++) {
			sold += sale->curve[step];
		}
		level[column] = sale->units == 0 ? 0 : sold * CURVE_ROWS * 8 / sale->units;
	}
	for (size_t row = CURVE_ROWS; row > 0; row--) {
		printf("  %3zu %% │", row * 100 / CURVE_ROWS);
		for (size_t column = 0; column < CURVE_COLUMNS; column++) {
			uint64_t base = (row - 1) * 8;
			uint64_t eighths = level[column] <= base ? 0 : level[column] - base;
			fputs(blocks[eighths > 8 ? 8 : eighths], stdout);
		}
		printf("\n");
	}
	printf("        └");
	size_t kill_column = CURVE_COLUMNS;
	if (sale->killed_us > sale->started_us && span_us > 0) {
		kill_column = (size_t)((sale->killed_us - sale->started_us) * CURVE_COLUMNS / span_us);
	}
	for (size_t column = 0; column < CURVE_COLUMNS; column++) {
		fputs(column == kill_column ? "╳" : "─", stdout);
	}
	printf(" %.1f s%s\n", (double)span_us / 1e6,
	       kill_column < CURVE_COLUMNS ? "   ╳ kill -9 of the leader" : "");
}

/* ---- lines ---- */

static void line(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void line(const char *name, const char *format, ...)
{
	va_list args;
	printf("  %-18s", name);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

static void sale_report_kill(const struct sale *sale)
{
	char at[32];
	char under_way[32];
	char gap[32];
	char unknown[32];
	char resolved[32];
	if (sale->killed_us == 0) {
		line("leader killed", "no: the sale ended before");
		return;
	}
	if (!sale_kill_in_time(sale)) {
		line("VOID",
		     "the kill was to come between 30 %% and 70 %% of the units, with requests under way");
	}
	line("leader killed", "kill -9 of n%zu at sale %s, with %s requests under way", sale->killed_node + 1,
	     print_count(sale->killed_at_sale, at, sizeof(at)),
	     print_count(sale->under_way_at_kill, under_way, sizeof(under_way)));
	line("unavailable", "%s", print_us(sale->gap_us, gap, sizeof(gap)));
	line("unknown outcomes", "%s, of which asking again resolved %s",
	     print_count(sale->were_unknown, unknown, sizeof(unknown)),
	     print_count(sale->resolved, resolved, sizeof(resolved)));
}

static void sale_report_disk_visit(void *owner, const char *address, const struct tally_call *call)
{
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		return;
	}
	const struct tally_value *status = tally_call_value(call);
	const char *name = tally_value_text(tally_value_get(status, "name"), NULL);
	char p50[32];
	char syncs[32];
	char what[64];
	snprintf(what, sizeof(what), "disk of %s", name != NULL ? name : address);
	line(what, "%s log syncs, p50 %s",
	     print_count((uint64_t)tally_value_int(tally_value_get(status, "log_syncs"), 0), syncs,
			 sizeof(syncs)),
	     print_us((uint64_t)tally_value_int(tally_value_get(status, "log_sync_us_p50"), 0), p50,
		      sizeof(p50)));
}

static void sale_report_disk(const struct sale *sale)
{
	const struct local *local = &sale->bench->local;
	if (local->count > 0) {
		bool memory;
		char p50[32];
		const char *name = local_file_system(local->dir, &memory);
		line("file system", "%s%s, fdatasync p50 %s", name,
		     memory ? " (no disk: figures mean nothing)" : "",
		     print_us(local_sync_us(local->dir), p50, sizeof(p50)));
	}
	struct node_list nodes;
	static const char *const words[] = {"TALLY", "STATUS"};
	if (nodes_find(sale->bench->tool, &nodes)) {
		nodes_ask(sale->bench->tool, &nodes, words, 2, sale_report_disk_visit, NULL);
	}
}

static void sale_report_verdict(const struct sale *sale)
{
	const struct sale_verdict *verdict = &sale->verdict;
	char rows[32];
	char left[32];
	char units[32];
	line("oversold", "%llu", (unsigned long long)verdict->oversold);
	line("lost", "%llu", (unsigned long long)verdict->lost);
	line("doubled", "%llu", (unsigned long long)verdict->doubled);
	line("balance", "%s orders read back + %s left %s %s units",
	     print_count(verdict->rows, rows, sizeof(rows)), print_count(verdict->left, left, sizeof(left)),
	     verdict->balanced ? "=" : "IS NOT", print_count(sale->units, units, sizeof(units)));
	if (verdict->ghosts > 0 || verdict->numbers > 0) {
		line("WRONG", "%llu orders of buyers who were refused, %llu wrong order numbers",
		     (unsigned long long)verdict->ghosts, (unsigned long long)verdict->numbers);
	}
	if (verdict->audit == UINT64_MAX) {
		line("audit", "DID NOT ANSWER");
	} else {
		line("audit", "%llu findings", (unsigned long long)verdict->audit);
	}
	line("same bytes",
	     verdict->same_bytes ? "on every node at index %llu: %s" : "NOT EVERYWHERE (index %llu: %s)",
	     (unsigned long long)verdict->hash_index, verdict->hash);
}

void sale_report(struct sale *sale)
{
	char rooms[8][32];
	uint64_t other = sale->counts[SALE_CONFLICT] + sale->counts[SALE_RETRY] + sale->counts[SALE_UNKNOWN];
	printf("\nflash sale: %s units, %s buyers, %zu nodes\n\n", print_count(sale->units, rooms[0], 32),
	       print_count(sale->buyers, rooms[1], 32), sale->bench->local.count);
	sale_curve(sale);
	printf("\n");
	line("sold", "%s in %s", print_count(sale->counts[SALE_SOLD], rooms[0], 32),
	     print_us(sale_selling_us(sale), rooms[1], 32));
	line("refused", "%s (sold out: %s)", print_count(sale->counts[SALE_REFUSED], rooms[0], 32),
	     print_count(sale->sold_out_answers, rooms[1], 32));
	if (other > 0) {
		line("without a result", "%s conflict, %s retry, %s unknown",
		     print_count(sale->counts[SALE_CONFLICT], rooms[0], 32),
		     print_count(sale->counts[SALE_RETRY], rooms[1], 32),
		     print_count(sale->counts[SALE_UNKNOWN], rooms[2], 32));
	}
	sale_report_verdict(sale);
	if (sale->kill_leader) {
		sale_report_kill(sale);
	}
	line("sales/s", "%s while there was stock", print_count(sale_per_s(sale), rooms[0], 32));
	line("answer time", "sold p50 %s, p99 %s, max %s · refused p50 %s, p99 %s",
	     print_us(histogram_quantile(&sale->sold, 500), rooms[0], 32),
	     print_us(histogram_quantile(&sale->sold, 990), rooms[1], 32),
	     print_us(sale->sold.max, rooms[2], 32),
	     print_us(histogram_quantile(&sale->refused, 500), rooms[3], 32),
	     print_us(histogram_quantile(&sale->refused, 990), rooms[4], 32));
	line("asked again",
	     "%s requests, %s buyers who gave up, %s answers replayed (double clicks among them)",
	     print_count(sale->repeats, rooms[0], 32), print_count(sale->gave_up, rooms[1], 32),
	     print_count(sale->replayed, rooms[2], 32));
	sale_report_disk(sale);
	printf("\n%s\n", sale_holds(sale) ? "Every invariant holds." : "NOT EVERY INVARIANT HOLDS.");
}

void sale_report_json(const struct sale *sale)
{
	const struct sale_verdict *verdict = &sale->verdict;
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {
		{"units", sale->units},
		{"buyers", sale->buyers},
		{"sold", sale->counts[SALE_SOLD]},
		{"refused", sale->counts[SALE_REFUSED]},
		{"conflict", sale->counts[SALE_CONFLICT]},
		{"retry", sale->counts[SALE_RETRY]},
		{"unknown", sale->counts[SALE_UNKNOWN]},
		{"oversold", verdict->oversold},
		{"lost", verdict->lost},
		{"doubled", verdict->doubled},
		{"ghosts", verdict->ghosts},
		{"rows", verdict->rows},
		{"left", verdict->left},
		{"audit", verdict->audit == UINT64_MAX ? 1 : verdict->audit},
		{"sales_per_s", sale_per_s(sale)},
		{"selling_ms", sale_selling_us(sale) / 1000},
		{"unavailable_ms", sale->gap_us / 1000},
		{"killed_at_sale", sale->killed_at_sale},
		{"under_way_at_kill", sale->under_way_at_kill},
		{"were_unknown", sale->were_unknown},
		{"resolved", sale->resolved},
		{"gave_up", sale->gave_up},
		{"index", verdict->hash_index},
	};
	struct buf out;
	buf_init(&out, MIB(1));
	buf_append_byte(&out, '{');
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		json_out_int(&out, figures[i].name, (int64_t)figures[i].value);
	}
	json_out_ms(&out, "p50_ms", histogram_quantile(&sale->sold, 500));
	json_out_ms(&out, "p99_ms", histogram_quantile(&sale->sold, 990));
	json_out_ms(&out, "refused_p99_ms", histogram_quantile(&sale->refused, 990));
	json_out_bool(&out, "same_bytes", verdict->same_bytes);
	json_out_text(&out, "hash", verdict->hash);
	json_out_bool(&out, "holds", sale_holds(sale));
	buf_append_byte(&out, '}');
	json_out_print(&out);
}

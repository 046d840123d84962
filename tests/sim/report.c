#include "tests/sim/report.h"

#include <inttypes.h>
#include <string.h>

void totals_add(struct totals *t, const struct run_result *r)
{
	t->seeds++;
	t->failed += r->failed;
	t->halted += r->halted;
	t->voids += strncmp(r->failure, "void:", 5) == 0;
	t->events += r->events;
	t->sim_us += r->sim_us;
	t->loaded_us += r->loaded_us;
	t->acknowledged += r->acknowledged;
	t->refused += r->refused;
	t->retried += r->retried;
	t->unknown += r->unknown;
	t->started += r->started;
	t->leader_changes += r->leader_changes;
	t->restarts += r->restarts;
	t->truth_lost += r->truth_lost;
	t->lost += r->lost;
	t->sold += r->sold;
	t->sale_refused += r->sale_refused;
	t->sale_unknown += r->sale_unknown;
	t->replayed += r->replayed;
	for (unsigned i = 0; nemesis_kind_name(i) != NULL; i++) {
		t->fired[i] += r->fired[i];
	}
}

static double per(double value, double of) { return of > 0 ? value / of : 0; }
/* Simulated seconds, a seed that ran twice counted twice: so is its CPU time. */
static double all_runs_s(const struct totals *t, uint64_t us)
{
	return (double)us / 1e6 * per((double)t->runs, (double)t->seeds);
}
static double simulated_s(const struct totals *t) { return all_runs_s(t, t->sim_us); }
/* What counts for the speed: while clients asked. */
static double loaded_s(const struct totals *t) { return all_runs_s(t, t->loaded_us); }
static double unknown_percent(const struct totals *t) { return 100 * per((double)t->unknown, (double)t->started); }

void totals_print(const struct totals *t, FILE *out)
{
	fprintf(out, "# %" PRIu64 " seeds: %" PRIu64 " failed (%" PRIu64 " void), %" PRIu64 " diverged, %" PRIu64 " halted\n",
		t->seeds, t->failed, t->voids, t->diverged, t->halted);
	fprintf(out, "# %.2f simulated hours, %.2f of them with clients, in %.1f s, %.1f s of CPU: %.0f times real time, %.0f events/s and %.2f s a seed per "
		"CPU second\n", simulated_s(t) / 3600, loaded_s(t) / 3600, t->wall_s, t->cpu_s, per(loaded_s(t), t->cpu_s),
		per((double)t->events * per((double)t->runs, (double)t->seeds), t->cpu_s), per(t->cpu_s, (double)t->runs));
	fprintf(out, "# operations %" PRIu64 ": acknowledged %" PRIu64 ", refused %" PRIu64 ", retry %" PRIu64 ", unknown %" PRIu64
		" (%.2f %%)\n", t->started, t->acknowledged, t->refused, t->retried, t->unknown, unknown_percent(t));
	fprintf(out, "# sales: sold %" PRIu64 ", refused %" PRIu64 ", unknown %" PRIu64 ", replayed %" PRIu64 "\n", t->sold,
		t->sale_refused, t->sale_unknown, t->replayed);
	fprintf(out, "# leader changes %" PRIu64 ", restarts from disk %" PRIu64 ", fail-stops %" PRIu64
		", members lost to damage %" PRIu64 "\n# faults:", t->leader_changes, t->restarts, t->truth_lost, t->lost);
	for (unsigned i = 0; nemesis_kind_name(i) != NULL; i++) {
		if (t->fired[i] > 0) {
			fprintf(out, " %s %" PRIu64, nemesis_kind_name(i), t->fired[i]);
		}
	}
	fprintf(out, "\n");
}

static void number(FILE *out, const char *name, uint64_t value) { fprintf(out, "\"%s\":%" PRIu64 ",", name, value); }
static void fraction(FILE *out, const char *name, double value) { fprintf(out, "\"%s\":%.6f,", name, value); }

void totals_json(const struct totals *t, FILE *out)
{
	fprintf(out, "{");
	number(out, "seeds", t->seeds);
	number(out, "failed", t->failed);
	number(out, "void", t->voids);
	number(out, "diverged", t->diverged);
	number(out, "halted", t->halted);
	fraction(out, "simulated_hours", simulated_s(t) / 3600);
	fraction(out, "loaded_hours", loaded_s(t) / 3600);
	fraction(out, "wall_s", t->wall_s);
	fraction(out, "cpu_s", t->cpu_s);
	fraction(out, "times_real_time", per(loaded_s(t), t->cpu_s));
	fraction(out, "cpu_s_a_seed", per(t->cpu_s, (double)t->runs));
	fraction(out, "events_a_cpu_s", per((double)t->events * per((double)t->runs, (double)t->seeds), t->cpu_s));
	number(out, "operations", t->started);
	number(out, "acknowledged", t->acknowledged);
	number(out, "refused", t->refused);
	number(out, "retry", t->retried);
	number(out, "unknown", t->unknown);
	fraction(out, "unknown_percent", unknown_percent(t));
	number(out, "sold", t->sold);
	number(out, "sale_refused", t->sale_refused);
	number(out, "sale_unknown", t->sale_unknown);
	number(out, "replayed", t->replayed);
	number(out, "leader_changes", t->leader_changes);
	number(out, "restarts", t->restarts);
	number(out, "fail_stops", t->truth_lost);
	number(out, "lost_to_damage", t->lost);
	fprintf(out, "\"faults\":{");
	for (unsigned i = 0; nemesis_kind_name(i) != NULL; i++) {
		fprintf(out, "%s\"%s\":%" PRIu64, i == 0 ? "" : ",", nemesis_kind_name(i), t->fired[i]);
	}
	fprintf(out, "}}\n");
}

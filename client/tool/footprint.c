#include "client/tool/footprint.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "client/tool/json_out.h"
#include "client/tool/nodes.h"

/* A budget is kept when no sample lies further above it. */
#define OVER_PERCENT 10

/* ---- what a process takes ---- */

static uint64_t rss_of(int pid)
{
	char path[64];
	char line[256];
	unsigned long long kib = 0;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *in = fopen(path, "re");
	while (in != NULL && fgets(line, sizeof(line), in) != NULL &&
	       sscanf(line, "VmRSS: %llu", &kib) != 1) {
	}
	if (in != NULL) {
		fclose(in);
	}
	return kib * 1024;
}

/* Table files of the database apart: there are as many as there is data. */
static uint64_t files_of(int pid)
{
	char path[64];
	char target[512];
	uint64_t count = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (len > 0) {
			target[len] = '\0';
			const char *dot = strrchr(target, '.');
			count += dot == NULL || strcmp(dot, ".sst") != 0;
		}
	}
	if (dir != NULL) {
		closedir(dir);
	}
	return count;
}

/* ---- what a node tells ---- */

struct footprint_asked {
	const struct local *local;
	uint64_t *terms, *flushes;
};

static void status_visit(void *owner, const char *address, const struct tally_call *call)
{
	struct footprint_asked *asked = owner;
	size_t node = local_find(asked->local, address);
	if (node < asked->local->count && call != NULL && tally_call_outcome(call) == TALLY_DONE) {
		const struct tally_value *status = tally_call_value(call);
		asked->terms[node] = (uint64_t)tally_value_int(tally_value_get(status, "term"), 0);
		asked->flushes[node] = (uint64_t)tally_value_int(tally_value_get(status, "flushes"), 0);
	}
}

static void ask_status(struct tool *tool, const struct local *local, uint64_t terms[LOCAL_MAX],
		       uint64_t flushes[LOCAL_MAX])
{
	static const char *const words[] = {"TALLY", "STATUS"};
	struct node_list nodes;
	struct footprint_asked asked = {local, terms, flushes};
	if (nodes_find(tool, &nodes)) {
		nodes_ask(tool, &nodes, words, 2, status_visit, &asked);
	}
}

static uint64_t ask_budget(struct tool *tool)
{
	static const char *const words[] = {"CONFIG", "GET", "maxmemory"};
	const struct tally_call *call = tool_ask(tool, NULL, words, NULL, 3, TALLY_READ);
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		return 0;
	}
	/* A map, or a flat list of names and values. */
	const struct tally_value *value = tally_call_value(call);
	const struct tally_value *bytes = tally_value_type(value) == TALLY_MAP
						  ? tally_value_get(value, "maxmemory")
						  : tally_value_at(value, 1);
	const char *text = tally_value_text(bytes, NULL);
	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

/* ---- */

void footprint_begin(struct footprint *footprint, struct tool *tool, struct local *local)
{
	*footprint = (struct footprint){.local = local};
	if (local->count > 0) {
		footprint->budget_bytes = ask_budget(tool);
		ask_status(tool, local, footprint->term_before, footprint->flushes_before);
	}
}

void footprint_sample(struct footprint *footprint)
{
	for (size_t i = 0; i < footprint->local->count; i++) {
		int pid = (int)footprint->local->nodes[i].pid;
		uint64_t rss = rss_of(pid);
		uint64_t files = files_of(pid);
		footprint->rss_bytes[i] = rss > footprint->rss_bytes[i] ? rss : footprint->rss_bytes[i];
		footprint->files[i] = files > footprint->files[i] ? files : footprint->files[i];
	}
	footprint->samples++;
}

void footprint_end(struct footprint *footprint, struct tool *tool)
{
	if (footprint->local->count > 0) {
		ask_status(tool, footprint->local, footprint->term_after, footprint->flushes_after);
	}
	if (footprint_elections(footprint) > 0) {
		local_keep_logs(footprint->local);
	}
}

static uint64_t most(const uint64_t *values, size_t count)
{
	uint64_t largest = 0;
	for (size_t i = 0; i < count; i++) {
		largest = values[i] > largest ? values[i] : largest;
	}
	return largest;
}

uint64_t footprint_elections(const struct footprint *footprint)
{
	uint64_t before = most(footprint->term_before, footprint->local->count);
	uint64_t after = most(footprint->term_after, footprint->local->count);
	return after > before ? after - before : 0;
}

static uint64_t flushes_of(const struct footprint *footprint, size_t node)
{
	uint64_t before = footprint->flushes_before[node];
	uint64_t after = footprint->flushes_after[node];
	return after > before ? after - before : 0;
}

uint64_t footprint_flushes(const struct footprint *footprint)
{
	uint64_t fewest = UINT64_MAX;
	for (size_t i = 0; i < footprint->local->count; i++) {
		uint64_t flushes = flushes_of(footprint, i);
		fewest = flushes < fewest ? flushes : fewest;
	}
	return fewest == UINT64_MAX ? 0 : fewest;
}

uint64_t footprint_rss_bytes(const struct footprint *footprint)
{
	return most(footprint->rss_bytes, footprint->local->count);
}

void footprint_print(const struct footprint *footprint)
{
	size_t count = footprint->local->count;
	if (count == 0) {
		return;
	}
	printf("memory: ");
	for (size_t i = 0; i < count; i++) {
		printf("%sn%zu %llu MiB", i > 0 ? " · " : "", i + 1,
		       (unsigned long long)footprint->rss_bytes[i] >> 20);
	}
	uint64_t budget = footprint->budget_bytes;
	bool kept = footprint_rss_bytes(footprint) <= budget + budget * OVER_PERCENT / 100;
	printf(" at most (%u samples), of a budget of %llu MiB%s\n", footprint->samples,
	       (unsigned long long)budget >> 20, budget == 0 || kept ? "" : ": MORE THAN 10 % OVER IT");
	printf("files: at most %llu of a node, table files apart\n",
	       (unsigned long long)most(footprint->files, count));
	printf("flushes: ");
	for (size_t i = 0; i < count; i++) {
		printf("%sn%zu %llu", i > 0 ? " · " : "", i + 1,
		       (unsigned long long)flushes_of(footprint, i));
	}
	printf("\nterms: ");
	for (size_t i = 0; i < count; i++) {
		printf("%sn%zu %llu to %llu", i > 0 ? " · " : "", i + 1,
		       (unsigned long long)footprint->term_before[i],
		       (unsigned long long)footprint->term_after[i]);
	}
	uint64_t elections = footprint_elections(footprint);
	if (elections == 0) {
		printf(": no election\n");
	} else {
		printf(": %llu ELECTION%s WITHOUT A FAULT; the logs stay in %s\n",
		       (unsigned long long)elections, elections == 1 ? "" : "S", footprint->local->dir);
	}
}

void footprint_json(const struct footprint *footprint, struct buf *out)
{
	size_t count = footprint->local->count;
	const struct {
		const char *name;
		const uint64_t *values;
		unsigned shift;
	} lists[] = {{"rss_mib", footprint->rss_bytes, 20},
		     {"files", footprint->files, 0},
		     {"term_before", footprint->term_before, 0},
		     {"term_after", footprint->term_after, 0}};
	json_out_int(out, "nodes", (int64_t)count);
	json_out_int(out, "elections", (int64_t)footprint_elections(footprint));
	if (footprint_elections(footprint) > 0) {
		json_out_text(out, "logs", footprint->local->dir);
	}
	json_out_int(out, "budget_mib", (int64_t)(footprint->budget_bytes >> 20));
	json_out_int(out, "rss_max_mib", (int64_t)(footprint_rss_bytes(footprint) >> 20));
	json_out_int(out, "flushes_min", (int64_t)footprint_flushes(footprint));
	json_out_int(out, "files_max", (int64_t)most(footprint->files, count));
	for (size_t at = 0; at < sizeof(lists) / sizeof(lists[0]); at++) {
		json_out_name(out, lists[at].name);
		for (size_t i = 0; i < count; i++) {
			buf_appendf(out, "%s%llu", i == 0 ? "[" : ",",
				    (unsigned long long)(lists[at].values[i] >> lists[at].shift));
		}
		buf_append_text(out, count == 0 ? "[]" : "]");
	}
}

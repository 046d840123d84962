/* status, hash, transfer, version: the cluster as an operator sees it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "client/tool/commands.h"
#include "client/tool/json_out.h"
#include "client/tool/nodes.h"
#include "client/tool/options.h"
#include "client/tool/print.h"

struct status_report {
	struct tool *tool;
	struct buf json;
	bool refuses; /* some node has scripts that it does not run */
};

static void status_visit(void *owner, const char *address, const struct tally_call *call)
{
	struct status_report *report = owner;
	bool fine = call != NULL && tally_call_outcome(call) == TALLY_DONE;
	const struct tally_value *status = fine ? tally_call_value(call) : NULL;
	if (report->tool->json) {
		if (report->json.len > 1) {
			buf_append_byte(&report->json, ',');
		}
		buf_append_byte(&report->json, '{');
		json_out_text(&report->json, "address", address);
		json_out_name(&report->json, "status");
		json_out_value(&report->json, status);
		buf_append_byte(&report->json, '}');
		return;
	}
	if (!fine) {
		printf("%-6s %-22s does not answer\n", "?", address);
		return;
	}
	char uptime[64];
	char requests[32];
	printf("%-6s %-22s %-10s term %-4lld applied %-10lld log %lld-%lld  requests %s  up %s",
	       tool_text(status, "name"), address, tool_text(status, "role"), tool_int(status, "term"),
	       tool_int(status, "applied_index"), tool_int(status, "first_index"), tool_int(status, "last_index"),
	       print_count((uint64_t)tool_int(status, "requests"), requests, sizeof(requests)),
	       print_duration((uint64_t)tool_int(status, "uptime_ms"), uptime, sizeof(uptime)));
	if (tool_int(status, "space_low") != 0) {
		printf("  disk nearly full: %lld MiB free, writes need %lld",
		       tool_int(status, "space_free_bytes") >> 20, tool_int(status, "space_needed_bytes") >> 20);
	}
	long long refused = tool_int(status, "scripts_refused");
	if (refused > 0) {
		printf("  scripts refused %lld", refused);
		report->refuses = true;
	}
	printf("\n");
}

/* An exit code. For programs there are nodes also when none of them answers. */
static int find_nodes(struct tool *tool, struct node_list *nodes)
{
	nodes->count = 0;
	if (tool_client(tool) == NULL) {
		return TOOL_USAGE; /* what is wrong with the addresses was told */
	}
	if (nodes_find(tool, nodes)) {
		return TOOL_DONE;
	}
	int code = tool_fail(tool, TOOL_RETRY, "no node answers at %s", tool->servers);
	nodes_explain(tool->servers);
	return code;
}

/* ---- what they should all say alike ---- */

static const char *view_members(const struct node_view *view)
{
	return view->members;
}
static const char *view_cluster(const struct node_view *view)
{
	return view->cluster;
}
static const char *view_leader(const struct node_view *view)
{
	return view->leader;
}

/* Who says it first: a group is told there. */
static size_t first_to_say(const struct node_list *nodes, const char *(*said)(const struct node_view *view),
			   size_t at)
{
	size_t first = 0;
	while (!nodes->nodes[first].answers ||
	       strcmp(said(&nodes->nodes[first]), said(&nodes->nodes[at])) != 0) {
		first++;
	}
	return first;
}

/* When not all say the same: a line of what it is about, and one for each thing that is said. For programs
 * there is room on standard error only. */
static bool tell_differences(const struct tool *tool, const struct node_list *nodes,
			     const char *(*said)(const struct node_view *view), const char *about)
{
	FILE *out = tool->json ? stderr : stdout;
	size_t groups = 0;
	for (size_t i = 0; i < nodes->count; i++) {
		groups += nodes->nodes[i].answers && first_to_say(nodes, said, i) == i;
	}
	if (groups < 2) {
		return false;
	}
	fprintf(out, "%s%s\n", tool->json ? "tally status: " : "", about);
	for (size_t i = 0; i < nodes->count; i++) {
		const char *before = "  ";
		if (!nodes->nodes[i].answers || first_to_say(nodes, said, i) != i) {
			continue;
		}
		for (size_t k = i; k < nodes->count; k++) {
			if (nodes->nodes[k].answers && first_to_say(nodes, said, k) == i) {
				fprintf(out, "%s%s", before, nodes->nodes[k].address);
				before = ", ";
			}
		}
		fprintf(out, ": %s\n", said(&nodes->nodes[i]));
	}
	return true;
}

/* An exit code. */
static int status_judge(const struct tool *tool, const struct node_list *nodes)
{
	size_t answer = 0;
	size_t lead = 0;
	for (size_t i = 0; i < nodes->count; i++) {
		answer += nodes->nodes[i].answers;
		lead += nodes->nodes[i].answers && nodes->nodes[i].leads;
	}
	if (!tool->json) {
		printf("%zu of %zu nodes answer; ", answer, nodes->count);
		if (lead > 1) {
			printf("%zu lead\n", lead);
		} else {
			printf(lead == 1 ? "one leads\n" : "none leads\n");
		}
	}
	bool strangers =
		tell_differences(tool, nodes, view_cluster, "which cluster it is: they do not agree");
	strangers |= tell_differences(tool, nodes, view_members,
				      "who the members are: they do not agree, so they are no one cluster "
				      "(the member lines must be the same on every node)");
	tell_differences(tool, nodes, view_leader,
			 strangers
				 ? "who leads: they do not agree"
				 : "who leads: they do not agree; leadership is moving, or some do not reach "
				   "each other (peer_unreached in their logs)");
	return strangers ? TOOL_FAILED : lead == 1 ? TOOL_DONE : TOOL_RETRY;
}

int cmd_status(struct tool *tool, int argc, char **argv)
{
	int status = options_only(tool, NULL, 0, argc, argv);
	if (status != 0) {
		return status;
	}
	struct node_list nodes;
	struct status_report report = {.tool = tool};
	status = find_nodes(tool, &nodes);
	if (status != TOOL_DONE && !(tool->json && nodes.count > 0)) {
		return status;
	}
	buf_init(&report.json, SIZE_MAX / 4);
	buf_append_byte(&report.json, '[');
	const char *const words[] = {"TALLY", "STATUS"};
	nodes_ask(tool, &nodes, words, 2, status_visit, &report);
	buf_append_byte(&report.json, ']');
	if (tool->json) {
		json_out_print(&report.json);
	} else {
		buf_fini(&report.json);
	}
	status = status_judge(tool, &nodes);
	if (report.refuses) {
		printf("scripts that did not come back are refused: which is in those nodes' logs "
		       "(script_refused), how to allow them in tallyd(8), FILES\n");
	}
	return status;
}

static void print_hash(const char *address, const struct node_hash *hash)
{
	if (hash->text[0] == '\0') {
		printf("%-22s does not answer\n", address);
		return;
	}
	printf("%-22s index %-10llu %s\n", address, (unsigned long long)hash->index, hash->text);
}

/* A node that is away says nothing about the others' bytes. */
static void print_hashes_judged(const struct node_hash *hashes, size_t count, bool equal)
{
	size_t answer = 0, first = 0;
	bool alike = true;
	for (size_t i = 0; i < count; i++) {
		if (hashes[i].text[0] != '\0') {
			first = answer++ == 0 ? i : first;
			alike = alike && strcmp(hashes[i].text, hashes[first].text) == 0;
		}
	}
	if (equal) {
		printf("the same bytes on every node\n");
	} else if (answer > 1 && alike) {
		printf("the same bytes on the %zu nodes that answer; %zu %s not\n", answer, count - answer,
		       count - answer == 1 ? "does" : "do");
	} else if (answer < 2) {
		printf("nothing to compare: %zu of %zu nodes answer\n", answer, count);
	} else {
		printf("not the same index or not the same bytes everywhere\n");
	}
}

int cmd_hash(struct tool *tool, int argc, char **argv)
{
	tool->timeout_ms = NODES_HASH_MS;
	int status = options_only(tool, NULL, 0, argc, argv);
	if (status != 0) {
		return status;
	}
	struct node_list nodes;
	struct node_hash hashes[NODES_MAX];
	status = find_nodes(tool, &nodes);
	if (status != TOOL_DONE && !(tool->json && nodes.count > 0)) {
		return status;
	}
	bool equal = nodes_hash(&nodes, (unsigned)tool->timeout_ms, hashes);
	struct buf json;
	buf_init(&json, SIZE_MAX / 4);
	buf_append_byte(&json, '[');
	for (size_t i = 0; i < nodes.count; i++) {
		if (!tool->json) {
			print_hash(nodes.nodes[i].address, &hashes[i]);
			continue;
		}
		buf_append_text(&json, i > 0 ? ",{" : "{");
		json_out_text(&json, "address", nodes.nodes[i].address);
		json_out_int(&json, "index", (int64_t)hashes[i].index);
		json_out_text(&json, "hash", hashes[i].text);
		buf_append_byte(&json, '}');
	}
	buf_append_byte(&json, ']');
	if (tool->json) {
		json_out_print(&json);
	} else {
		buf_fini(&json);
		print_hashes_judged(hashes, nodes.count, equal);
	}
	return status != TOOL_DONE ? status : equal ? TOOL_DONE : TOOL_FAILED;
}

int cmd_transfer(struct tool *tool, int argc, char **argv)
{
	int status = options_parse(tool, NULL, 0, &argc, argv);
	if (status != 0) {
		return status;
	}
	if (argc > 1) {
		return tool_fail(tool, TOOL_USAGE, "at most one node id");
	}
	const char *const words[] = {"TALLY", "TRANSFER", argc > 0 ? argv[0] : ""};
	const struct tally_call *call = tool_ask(tool, NULL, words, NULL, argc > 0 ? 3 : 2, 0);
	if (call == NULL) {
		return TOOL_USAGE;
	}
	if (tally_call_outcome(call) != TALLY_DONE) {
		return tool_refused(tool, call);
	}
	if (tool->json) {
		json_out_print_value(tally_call_value(call));
	} else {
		printf("another node leads\n");
	}
	return TOOL_DONE;
}

int cmd_version(struct tool *tool, int argc, char **argv)
{
	int status = options_only(tool, NULL, 0, argc, argv);
	if (status != 0) {
		return status;
	}
	printf(tool->json ? "{\"version\":\"%s\"}\n" : "tally %s\n", TALLY_VERSION);
	return TOOL_DONE;
}

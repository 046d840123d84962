#include "client/tool/nodes.h"

#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "env/env.h"

/* One node that does not answer must not make the tool wait for its whole timeout. */
#define NODE_MS_MAX 2000
#define HASH_ROUNDS 40
#define HASH_PAUSE_MS 100

/* One command to one node, on a connection of its own. */
static void node_ask(const char *address, const char *const *words, size_t count, unsigned timeout_ms,
		     void (*visit)(void *owner, const char *address, const struct tally_call *call),
		     void *owner)
{
	struct tally_options options = {.servers = address, .direct = true};
	struct tally_sync *sync = tally_sync_open(&options, NULL, 0);
	visit(owner, address,
	      sync != NULL ? tally_sync_command(sync, NULL, words, NULL, count, TALLY_READ, timeout_ms)
			   : NULL);
	tally_sync_close(sync);
}

static unsigned node_timeout_ms(const struct tool *tool)
{
	return tool->timeout_ms < NODE_MS_MAX ? (unsigned)tool->timeout_ms : NODE_MS_MAX;
}

/* ---- whom there is ---- */

/* The next of "host:port, host:port"; false behind the last. */
static bool next_server(const char **servers, char *address, size_t size)
{
	*servers += strspn(*servers, " ");
	size_t len = strcspn(*servers, ",");
	snprintf(address, size, "%.*s", (int)len, *servers);
	*servers += len + ((*servers)[len] == ',');
	return len > 0;
}

static struct node_view *list_find(struct node_list *nodes, const char *address)
{
	for (size_t i = 0; i < nodes->count; i++) {
		if (strcmp(nodes->nodes[i].address, address) == 0) {
			return &nodes->nodes[i];
		}
	}
	return NULL;
}

static void list_add(struct node_list *nodes, const char *address)
{
	if (list_find(nodes, address) == NULL && nodes->count < NODES_MAX && *address != '\0' &&
	    strlen(address) < sizeof(nodes->nodes[0].address)) {
		struct node_view *view = &nodes->nodes[nodes->count++];
		*view = (struct node_view){0};
		strcpy(view->address, address);
	}
}

static void view_fill(struct node_view *view, const struct tally_value *status)
{
	view->answers = true;
	view->leads = strcmp(tool_text(status, "role"), "leader") == 0;
	snprintf(view->incarnation, sizeof(view->incarnation), "%s", tool_text(status, "incarnation"));
	snprintf(view->cluster, sizeof(view->cluster), "%s (%s)", tool_text(status, "cluster"),
		 tool_text(status, "cluster_id"));
	if (tool_int(status, "leader") == 0) {
		snprintf(view->leader, sizeof(view->leader), "nobody in term %lld", tool_int(status, "term"));
	} else {
		snprintf(view->leader, sizeof(view->leader), "node %lld in term %lld",
			 tool_int(status, "leader"), tool_int(status, "term"));
	}
}

static const struct tally_value *member_after(const struct tally_value *members,
					      const struct tally_value *last)
{
	const struct tally_value *next = NULL;
	long long last_id = last != NULL ? tool_int(last, "id") : 0;
	for (size_t i = 0; i < tally_value_count(members); i++) {
		const struct tally_value *member = tally_value_at(members, i);
		if (tool_int(member, "id") > last_id &&
		    (next == NULL || tool_int(member, "id") < tool_int(next, "id"))) {
			next = member;
		}
	}
	return next;
}

static void find_visit(void *owner, const char *address, const struct tally_call *call)
{
	struct node_list *nodes = owner;
	struct node_view *view = list_find(nodes, address);
	assert(view != NULL);
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		return;
	}
	const struct tally_value *status = tally_call_value(call);
	const struct tally_value *members = tally_value_get(status, "members");
	size_t len = 0;
	view_fill(view, status);
	/* By their ids: the order of the member lines may differ. */
	for (const struct tally_value *member = NULL; (member = member_after(members, member)) != NULL;) {
		if (len < sizeof(view->members)) {
			len += (size_t)snprintf(view->members + len, sizeof(view->members) - len,
						"%s%lld=%s,%s", len > 0 ? " " : "", tool_int(member, "id"),
						tool_text(member, "peer"), tool_text(member, "client"));
		}
		/* Itself it is here, though another may be where it believes to be: those who know tell. */
		if (tool_int(member, "id") != tool_int(status, "node")) {
			list_add(nodes, tool_text(member, "client"));
		}
	}
}

/* Asks the one there; takes it away again when an earlier one is the same node. True when it stays. */
static bool find_at(struct tool *tool, struct node_list *nodes, size_t at)
{
	static const char *const words[] = {"TALLY", "STATUS"};
	struct node_view *view = &nodes->nodes[at];
	node_ask(view->address, words, 2, node_timeout_ms(tool), find_visit, nodes);
	for (size_t i = 0; i < at; i++) {
		if (*view->incarnation != '\0' &&
		    strcmp(nodes->nodes[i].incarnation, view->incarnation) == 0) {
			nodes->count--;
			memmove(view, view + 1, (nodes->count - at) * sizeof(*view));
			return false;
		}
	}
	return true;
}

bool nodes_find(struct tool *tool, struct node_list *nodes)
{
	const char *rest = tool->servers;
	char address[sizeof(nodes->nodes[0].address)];
	bool guessed = rest == tool_servers_default;
	bool any = false;
	size_t at = 0;
	nodes->count = 0;
	while (!any && next_server(&rest, address, sizeof(address))) {
		nodes->count = guessed ? 0 : nodes->count;
		list_add(nodes, address);
		if (guessed) {
			find_at(tool, nodes, 0);
			any = nodes->nodes[0].answers;
			at = 1;
		}
	}
	while (at < nodes->count) {
		if (find_at(tool, nodes, at)) {
			any = any || nodes->nodes[at].answers;
			at++;
		}
	}
	return any;
}

void nodes_explain(const char *servers)
{
	char address[256], host[256];
	while (next_server(&servers, address, sizeof(address))) {
		unsigned port;
		struct addrinfo *found = NULL;
		int status = env_address_split(address, host, sizeof(host), &port)
				     ? getaddrinfo(host, NULL, NULL, &found)
				     : 0;
		if (status != 0) {
			fprintf(stderr, "the name \"%s\" leads nowhere: %s\n", host, gai_strerror(status));
		} else if (found != NULL) {
			freeaddrinfo(found);
		}
	}
}

void nodes_ask(struct tool *tool, const struct node_list *nodes, const char *const *words, size_t count,
	       void (*visit)(void *owner, const char *address, const struct tally_call *call), void *owner)
{
	for (size_t i = 0; i < nodes->count; i++) {
		const struct node_view *view = &nodes->nodes[i];
		if (view->answers) {
			node_ask(view->address, words, count, node_timeout_ms(tool), visit, owner);
		} else {
			visit(owner, view->address, NULL);
		}
	}
}

static void answers_visit(void *owner, const char *address, const struct tally_call *call)
{
	*(bool *)owner = call != NULL && tally_call_outcome(call) == TALLY_DONE;
}

static void hash_visit(void *owner, const char *address, const struct tally_call *call)
{
	struct node_hash *hash = owner;
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		return;
	}
	const char *text = tally_value_text(tally_value_get(tally_call_value(call), "hash"), NULL);
	hash->index = (uint64_t)tally_value_int(tally_value_get(tally_call_value(call), "index"), 0);
	snprintf(hash->text, sizeof(hash->text), "%s", text != NULL ? text : "");
}

/* A scan takes its time; a node that is away is known sooner. */
static void hash_ask(const char *address, unsigned timeout_ms, struct node_hash *hash)
{
	const char *const status[] = {"TALLY", "STATUS"};
	const char *const words[] = {"TALLY", "HASH"};
	bool answers = false;
	node_ask(address, status, 2, timeout_ms < NODE_MS_MAX ? timeout_ms : NODE_MS_MAX, answers_visit,
		 &answers);
	if (answers) {
		node_ask(address, words, 2, timeout_ms, hash_visit, hash);
	}
}

bool nodes_hash(const struct node_list *nodes, unsigned timeout_ms, struct node_hash hashes[NODES_MAX])
{
	for (unsigned round = 0; round < HASH_ROUNDS; round++) {
		bool equal = true;
		bool same_index = true;
		bool all_answer = true;
		for (size_t i = 0; i < nodes->count; i++) {
			hashes[i] = (struct node_hash){0};
			hash_ask(nodes->nodes[i].address, timeout_ms, &hashes[i]);
			all_answer = all_answer && hashes[i].text[0] != '\0';
			same_index = same_index && hashes[i].index == hashes[0].index;
			equal = equal && strcmp(hashes[i].text, hashes[0].text) == 0;
		}
		if (!all_answer || same_index) {
			return all_answer && equal;
		}
		/* Somebody still applies, or something is written in between. */
		struct timespec pause = {0, HASH_PAUSE_MS * 1000000L};
		nanosleep(&pause, NULL);
	}
	return false;
}

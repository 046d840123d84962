#include "client/tool/nodes.h"

#include <assert.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "client/client.h"
#include "env/uv_env.h"

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

/* ---- all at once: those that are away are waited for together ---- */

struct inquiry;
struct question {
	struct inquiry *inquiry;
	struct tally *tally;
	struct tally_call call;
	const char *address;
};
struct inquiry {
	struct node_list *nodes;
	struct question questions[NODES_MAX];
	size_t asked, answered, closed;
};

static void question_cb(struct tally_call *call)
{
	struct question *question = call->data;
	question->inquiry->answered++;
	find_visit(question->inquiry->nodes, question->address, call);
}

static void question_closed_cb(void *data)
{
	((struct inquiry *)data)->closed++;
}

static bool inquiry_answered(void *owner)
{
	const struct inquiry *inquiry = owner;
	return inquiry->answered == inquiry->asked;
}

static bool inquiry_closed(void *owner)
{
	const struct inquiry *inquiry = owner;
	return inquiry->closed == inquiry->asked;
}

static void inquiry_wait(struct inquiry *inquiry, struct env *env, bool (*over)(void *owner))
{
	while (!over(inquiry)) {
		uv_env_run_until(env, over, inquiry, NODE_MS_MAX);
	}
}

static void question_start(struct inquiry *inquiry, struct env *env, const char *address, unsigned timeout_ms)
{
	static const char *const words[] = {"TALLY", "STATUS"};
	struct tally_options options = {.servers = address, .direct = true};
	struct question *question = &inquiry->questions[inquiry->asked];
	struct err err = {0};
	*question = (struct question){.inquiry = inquiry, .address = address, .call.data = question};
	question->tally = client_open(env, &options, &err);
	if (question->tally != NULL) {
		inquiry->asked++;
		tally_command_start(question->tally, &question->call, NULL, words, NULL, 2, TALLY_READ,
				    timeout_ms, question_cb);
	}
}

/* Asks the one there and all behind it; whom they name stands behind those afterwards. */
static void find_from(struct tool *tool, struct node_list *nodes, size_t at)
{
	struct inquiry inquiry = {.nodes = nodes};
	struct env *env = uv_env_new(NULL);
	for (size_t end = nodes->count; at < end; at++) {
		question_start(&inquiry, env, nodes->nodes[at].address, node_timeout_ms(tool));
	}
	inquiry_wait(&inquiry, env, inquiry_answered);
	for (size_t i = 0; i < inquiry.asked; i++) {
		tally_close(inquiry.questions[i].tally, question_closed_cb, &inquiry);
	}
	inquiry_wait(&inquiry, env, inquiry_closed);
	uv_env_free(env, NULL, NULL);
}

/* An earlier one is the same node. */
static bool is_double(const struct node_list *nodes, size_t at)
{
	const struct node_view *view = &nodes->nodes[at];
	for (size_t i = 0; i < at && *view->incarnation != '\0'; i++) {
		if (strcmp(nodes->nodes[i].incarnation, view->incarnation) == 0) {
			return true;
		}
	}
	return false;
}

/* How many were taken away. */
static size_t forget_doubles(struct node_list *nodes)
{
	size_t before = nodes->count;
	for (size_t at = nodes->count; at-- > 0;) {
		if (is_double(nodes, at)) {
			nodes->count--;
			memmove(&nodes->nodes[at], &nodes->nodes[at + 1],
				(nodes->count - at) * sizeof(nodes->nodes[0]));
		}
	}
	return before - nodes->count;
}

static const struct node_view *first_to_answer(const struct node_list *nodes)
{
	for (size_t i = 0; i < nodes->count; i++) {
		if (nodes->nodes[i].answers) {
			return &nodes->nodes[i];
		}
	}
	return NULL;
}

/* Of servers that are guessed the first that answers is left, and not yet asked whom it knows. */
static void guess(struct tool *tool, struct node_list *nodes)
{
	char address[sizeof(nodes->nodes[0].address)];
	find_from(tool, nodes, 0);
	const struct node_view *first = first_to_answer(nodes);
	if (first != NULL) {
		strcpy(address, first->address);
		nodes->count = 0;
		list_add(nodes, address);
	}
}

bool nodes_find(struct tool *tool, struct node_list *nodes)
{
	const char *rest = tool->servers;
	char address[sizeof(nodes->nodes[0].address)];
	nodes->count = 0;
	while (next_server(&rest, address, sizeof(address))) {
		list_add(nodes, address);
	}
	if (tool->servers == tool_servers_default) {
		guess(tool, nodes);
	}
	for (size_t at = 0, end; at < nodes->count; at = end) {
		end = nodes->count;
		find_from(tool, nodes, at);
		end -= forget_doubles(nodes);
	}
	return first_to_answer(nodes) != NULL;
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
			if (nodes->nodes[i].answers) {
				hash_ask(nodes->nodes[i].address, timeout_ms, &hashes[i]);
			}
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

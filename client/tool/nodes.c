#include "client/tool/nodes.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "env/env_ops.h"

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

static void find_visit(void *owner, const char *address, const struct tally_call *call)
{
	struct node_list *nodes = owner;
	if (call == NULL || tally_call_outcome(call) != TALLY_DONE) {
		return;
	}
	const struct tally_value *members = tally_value_get(tally_call_value(call), "members");
	nodes->leader_id = (uint64_t)tally_value_int(tally_value_get(tally_call_value(call), "leader"), 0);
	for (size_t i = 0; i < tally_value_count(members) && nodes->count < NODES_MAX; i++) {
		const struct tally_value *member = tally_value_at(members, i);
		const char *client = tally_value_text(tally_value_get(member, "client"), NULL);
		if (client != NULL && strlen(client) < sizeof(nodes->addresses[0])) {
			nodes->ids[nodes->count] =
				(uint64_t)tally_value_int(tally_value_get(member, "id"), 0);
			snprintf(nodes->addresses[nodes->count++], sizeof(nodes->addresses[0]), "%s", client);
		}
	}
}

static unsigned node_timeout_ms(const struct tool *tool)
{
	return tool->timeout_ms < NODE_MS_MAX ? (unsigned)tool->timeout_ms : NODE_MS_MAX;
}

bool nodes_find(struct tool *tool, struct node_list *nodes)
{
	const char *const words[] = {"TALLY", "STATUS"};
	const char *rest = tool->servers;
	memset(nodes, 0, sizeof(*nodes));
	while (*rest != '\0' && nodes->count == 0) {
		char address[128];
		size_t len = strcspn(rest, ",");
		snprintf(address, sizeof(address), "%.*s", (int)len, rest);
		rest += len + (rest[len] == ',');
		node_ask(address, words, 2, node_timeout_ms(tool), find_visit, nodes);
	}
	return nodes->count > 0;
}

void nodes_explain(const char *servers)
{
	while (*servers != '\0') {
		char address[256], host[256];
		unsigned port;
		struct addrinfo *found = NULL;
		servers += strspn(servers, " ");
		size_t len = strcspn(servers, ",");
		snprintf(address, sizeof(address), "%.*s", (int)len, servers);
		servers += len + (servers[len] == ',');
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
		node_ask(nodes->addresses[i], words, count, node_timeout_ms(tool), visit, owner);
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
			hash_ask(nodes->addresses[i], timeout_ms, &hashes[i]);
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

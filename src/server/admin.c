#include "server/admin.h"

#include "server/node_private.h"
#include "server/version.h"

#include <inttypes.h>
#include <stdio.h>

/* Shorter than what a client waits unless it is told otherwise: else it would never hear that nobody took
 * over. */
#define TRANSFER_MS 4000

/* ---- TALLY STATUS ---- */

static void put_int(struct reply *reply, const char *name, uint64_t value)
{
	reply_bulk_text(reply, name);
	reply_integer(reply, (int64_t)value);
}

static void put_str(struct reply *reply, const char *name, const char *value)
{
	reply_bulk_text(reply, name);
	reply_bulk_text(reply, value);
}

static const char *role_word(enum replica_role role)
{
	return role == REPLICA_LEADER ? "leader" : role == REPLICA_FOLLOWER ? "follower" : "candidate";
}

static const struct replica_peer_stats *peer_find(const struct replica_stats *replica, uint64_t id)
{
	for (size_t i = 0; i < replica->peer_count; i++) {
		if (replica->peers[i].id == id) {
			return &replica->peers[i];
		}
	}
	return NULL;
}

static void put_members(struct reply *reply, const struct node *node, const struct replica_stats *replica)
{
	reply_bulk_text(reply, "members");
	reply_array(reply, node->config.member_count);
	for (size_t i = 0; i < node->config.member_count; i++) {
		const struct node_member *member = &node->config.members[i];
		const struct replica_peer_stats *peer = peer_find(replica, member->id);
		bool self = member->id == node->config.id;
		reply_map(reply, 6);
		put_int(reply, "id", member->id);
		put_str(reply, "peer", member->peer);
		put_str(reply, "client", member->client);
		put_int(reply, "connected", self || (peer != NULL && peer->connected));
		put_int(reply, "match_index",
			self           ? replica->durable_index
			: peer != NULL ? peer->match_index
				       : 0);
		put_int(reply, "needs_snapshot", peer != NULL && peer->needs_snapshot);
	}
}

static void put_who(struct reply *reply, const struct node *node, const struct shard_stats *stats)
{
	char id[24];
	uint64_t leader_id = 0;
	enum shard_role role = shard_role(node->shard, &leader_id);
	leader_id = role == SHARD_LEADS ? node->config.id : role == SHARD_FOLLOWS ? leader_id : 0;
	const struct node_member *leader = node_member_find(node, leader_id);
	char incarnation[24];
	snprintf(id, sizeof id, "%016" PRIx64, node->config.cluster_id);
	snprintf(incarnation, sizeof incarnation, "%016" PRIx64, node->identity.incarnation);
	put_int(reply, "node", node->config.id);
	put_str(reply, "name", node->config.name);
	put_str(reply, "version", VERSION_TALLY);
	put_str(reply, "cluster", node->config.cluster);
	put_str(reply, "cluster_id", id);
	put_str(reply, "incarnation", incarnation);
	put_str(reply, "role", role == SHARD_LEADS ? "leader" : role_word(stats->replica.role));
	put_int(reply, "open", role != SHARD_UNKNOWN);
	put_int(reply, "term", stats->replica.term);
	put_int(reply, "leader", leader_id);
	put_str(reply, "leader_client", leader == NULL ? "" : leader->client);
}

static void put_log(struct reply *reply, const struct shard_stats *stats)
{
	const struct replica_stats *replica = &stats->replica;
	char chain[40];
	snprintf(chain, sizeof chain, "%016" PRIx64 "%016" PRIx64, replica->chain.high, replica->chain.low);
	put_int(reply, "first_index", replica->first_index);
	put_int(reply, "last_index", replica->last_index);
	put_int(reply, "durable_index", replica->durable_index);
	put_int(reply, "commit_index", replica->commit_index);
	put_int(reply, "applied_index", stats->applied_index);
	put_str(reply, "chain", chain);
	put_int(reply, "stamp_ms", stats->stamp_ms);
	put_int(reply, "log_bytes", replica->log_bytes);
	put_int(reply, "log_syncs", replica->log_syncs);
	put_int(reply, "log_sync_us_p50", replica->log_sync_us_p50);
	put_int(reply, "log_sync_us_p99", replica->log_sync_us_p99);
	put_int(reply, "flushes", stats->store.flushes);
	put_int(reply, "space_low", stats->space_low);
	put_int(reply, "space_free_bytes", stats->space_free_bytes);
	put_int(reply, "space_needed_bytes", stats->space_needed_bytes);
}

static void put_work(struct reply *reply, const struct node *node, const struct shard_stats *stats)
{
	put_int(reply, "uptime_ms", (env_now_us(node->env) - node->started_us) / 1000);
	put_int(reply, "clients", node->listener.count);
	put_int(reply, "requests", stats->requests);
	put_int(reply, "writes", stats->writes);
	put_int(reply, "reads", stats->reads);
	put_int(reply, "refused", stats->refused);
	put_int(reply, "retried", stats->retried);
	put_int(reply, "unknown", stats->unknown);
	put_int(reply, "replayed", stats->replayed);
	put_int(reply, "batches", stats->batches);
	put_int(reply, "forwarded", node->counters.forwarded);
	put_int(reply, "parked", node->dispatch.parked_count);
	put_int(reply, "scripts_refused", stats->script.refused);
}

#define WHO_PAIRS 11
#define LOG_PAIRS 15
#define WORK_PAIRS 13

void admin_status(struct local_call *call)
{
	struct node *node = call->conn->node;
	struct shard_stats stats;
	memset(&stats, 0, sizeof stats);
	shard_stats(node->shard, &stats);
	reply_map(call->reply, WHO_PAIRS + 1 + LOG_PAIRS + WORK_PAIRS);
	put_who(call->reply, node, &stats);
	put_members(call->reply, node, &stats.replica);
	put_log(call->reply, &stats);
	put_work(call->reply, node, &stats);
}

/* ---- TALLY HASH, TRANSFER: answered later ---- */

static void hash_cb(void *owner, int status, struct chain hash, uint64_t index)
{
	struct call *call = owner;
	struct reply reply = call_reply(call);
	char text[40];
	if (status != 0) {
		reply_error(&reply, "ERR the database could not be scanned: %s", err_name(status));
		call_answer(call);
		return;
	}
	snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
	reply_map(&reply, 2);
	put_int(&reply, "index", index);
	put_str(&reply, "hash", text);
	call_answer(call);
}

void admin_hash(struct local_call *call)
{
	call->call->state = CALL_AWAY; /* cannot be called back */
	shard_hash(call->conn->node->shard, hash_cb, call->call);
}

static void transfer_cb(void *owner, int status)
{
	struct call *call = owner;
	struct reply reply = call_reply(call);
	switch (status) {
	case 0:
		reply_simple(&reply, "OK");
		break;
	case ERR_NOT_LEADER:
		reply_code(&reply, CODE_NOT_LEADER,
			   "\"reason\":\"this node does not lead; ask the one that does\"");
		break;
	case ERR_BUSY:
		reply_code(&reply, CODE_OVERLOADED, "\"reason\":\"a transfer is under way\"");
		break;
	default:
		reply_code(&reply, CODE_NO_QUORUM,
			   "\"reason\":\"nobody took over in time; this node leads on\"");
	}
	call_answer(call);
}

/* Whether somebody is there to take over: nothing is written while a transfer waits, and for a member that is
 * away it would wait its whole time. */
static bool transfer_has_taker(struct node *node, uint64_t id, struct reply *reply)
{
	struct shard_stats stats = {0};
	shard_stats(node->shard, &stats);
	for (size_t i = 0; i < stats.replica.peer_count; i++) {
		if (stats.replica.peers[i].connected && (id == 0 || stats.replica.peers[i].id == id)) {
			return true;
		}
	}
	if (id == 0) {
		reply_error(reply, "ERR no other member is connected: this node leads on");
	} else {
		reply_error(reply, "ERR member %" PRIu64 " is not connected: node %" PRIu64 " leads on", id,
			    node->config.id);
	}
	return false;
}

static bool transfer_target(const struct local_call *call, int64_t *id, struct reply *reply)
{
	if (call->argc == 2) {
		*id = 0;
		if (call->conn->node->config.member_count < 2) {
			reply_error(reply, "ERR there is no other member");
			return false;
		}
		return true;
	}
	if (call->argc > 3) {
		reply_error(reply, "ERR wrong number of arguments for 'tally|transfer' command");
		return false;
	}
	if (!local_integer(call->argv[2], id, reply)) {
		return false;
	}
	if (*id < 1 || node_member_find(call->conn->node, (uint64_t)*id) == NULL) {
		reply_error(reply, "ERR no member has this id");
		return false;
	}
	return true;
}

void admin_transfer(struct local_call *call)
{
	struct reply reply = call_reply(call->call);
	struct node *node = call->conn->node;
	int64_t id = 0;
	if (!transfer_target(call, &id, &reply)) {
		call_answer(call->call);
		return;
	}
	if ((uint64_t)id == node->config.id && node->role == REPLICA_LEADER) {
		reply_simple(&reply, "OK");
		call_answer(call->call);
		return;
	}
	if (node->role == REPLICA_LEADER && !transfer_has_taker(node, (uint64_t)id, &reply)) {
		call_answer(call->call);
		return;
	}
	call->call->state = CALL_AWAY;
	shard_transfer(node->shard, (uint64_t)id, TRANSFER_MS, transfer_cb, call->call);
}

void admin_meta(struct local_call *call)
{
	bool on = slice_is_word(call->argv[2], "on");
	if (!on && !slice_is_word(call->argv[2], "off")) {
		reply_error(call->reply, "ERR TALLY META is ON or OFF");
		return;
	}
	call->conn->session.meta = on;
	reply_simple(call->reply, "OK");
}

void admin_help(struct local_call *call)
{
	static const char *const lines[] = {
		"STATUS",
		"    Return this node's view: role, leader, members, indices, counters.",
		"HASH",
		"    Return a hash over the whole database and the index it is of.",
		"META (ON|OFF)",
		"    In RESP3, put index and node of an answer in front of it.",
		"TRANSFER [<id>]",
		"    Hand leadership to a member, or to the most caught-up one.",
		"BUNDLE (PUSH|CHECK) <name> <file> <source> [<file> <source> ...]",
		"    Deploy a bundle of procedures, or only compile it.",
		"BUNDLE LIST",
		"    Return the procedures of the active bundle.",
	};
	local_help(call->reply, "TALLY", lines, sizeof lines / sizeof lines[0]);
}

#include "server/info.h"

#include "server/node_private.h"
#include "server/version.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct facts {
	const struct node *node;
	struct shard_stats stats;
	uint64_t now_us;
	struct buf *out;
};

static void put(struct facts *facts, const char *name, uint64_t value)
{
	buf_appendf(facts->out, "%s:%" PRIu64 "\r\n", name, value);
}

static void put_text(struct facts *facts, const char *name, const char *text)
{
	buf_appendf(facts->out, "%s:%s\r\n", name, text);
}

static void put_human(struct facts *facts, const char *name, uint64_t bytes)
{
	buf_appendf(facts->out, "%s:%.2fM\r\n", name, (double)bytes / (double)MIB(1));
}

static void put_server(struct facts *facts)
{
	const struct node *node = facts->node;
	uint64_t up_s = (facts->now_us - node->started_us) / 1000000;
	put_text(facts, "redis_version", VERSION_REDIS);
	put_text(facts, "redis_mode", "standalone");
	put_text(facts, "tally_version", VERSION_TALLY);
	put_text(facts, "multiplexing_api", "libuv");
	put(facts, "arch_bits", 64);
	put(facts, "process_id", node->config.process_id);
	buf_appendf(facts->out, "run_id:%016" PRIx64 "%016" PRIx64 "00000000\r\n", node->identity.cluster_id,
		    node->identity.incarnation);
	put(facts, "tcp_port", node->listener.port);
	put(facts, "server_time_usec", env_wall_ms(node->env) * 1000);
	put(facts, "uptime_in_seconds", up_s);
	put(facts, "uptime_in_days", up_s / 86400);
}

static void put_clients(struct facts *facts)
{
	const struct node *node = facts->node;
	put(facts, "connected_clients", node->listener.count);
	put(facts, "maxclients", node->config.max_clients);
	put(facts, "blocked_clients", 0);
	put(facts, "requests_under_way", node->calls.taken);
	put(facts, "requests_parked", node->dispatch.parked_count);
}

static void put_memory(struct facts *facts)
{
	const struct node *node = facts->node;
	struct store_sizes sizes;
	shard_store_sizes(node->shard, &sizes);
	uint64_t resident = node->config.resident_bytes == NULL ? 0 : node->config.resident_bytes();
	uint64_t used = facts->stats.overlay_bytes + facts->stats.admitted_bytes +
			node->listener.input_bytes + node->listener.output_bytes +
			node->listener.queued_bytes;
	put(facts, "used_memory", resident != 0 ? resident : used);
	put_human(facts, "used_memory_human", resident != 0 ? resident : used);
	put(facts, "used_memory_rss", resident);
	put(facts, "maxmemory", node->config.memory_bytes);
	put_human(facts, "maxmemory_human", node->config.memory_bytes);
	put_text(facts, "maxmemory_policy", "noeviction");
	put(facts, "overlay_bytes", facts->stats.overlay_bytes);
	put(facts, "memtable_bytes", sizes.memtable_bytes);
	put(facts, "memtable_all_bytes", sizes.memtable_all_bytes);
	put(facts, "cache_bytes", sizes.cache_bytes);
	put(facts, "row_cache_bytes", facts->stats.row_cache_bytes);
	put(facts, "reader_bytes", sizes.reader_bytes);
	put(facts, "admitted_bytes", facts->stats.admitted_bytes);
	put(facts, "input_bytes", node->listener.input_bytes);
	put(facts, "output_bytes", node->listener.output_bytes);
	put(facts, "queued_bytes", node->listener.queued_bytes);
	put(facts, "parked_bytes", node->dispatch.parked_bytes);
}

static void put_persistence(struct facts *facts)
{
	struct store_backlog backlog;
	shard_store_backlog(facts->node->shard, &backlog);
	put(facts, "loading", 0);
	put(facts, "aof_enabled", 1);
	put_text(facts, "aof_last_write_status", facts->stats.space_low ? "err" : "ok");
	put_text(facts, "rdb_last_bgsave_status", "ok");
	put(facts, "log_bytes", facts->stats.replica.log_bytes);
	put(facts, "log_syncs", facts->stats.replica.log_syncs);
	put(facts, "log_sync_us_p50", facts->stats.replica.log_sync_us_p50);
	put(facts, "log_sync_us_p99", facts->stats.replica.log_sync_us_p99);
	put(facts, "young_files", backlog.young_files);
	put(facts, "unmerged_bytes", backlog.unmerged_bytes);
	put(facts, "apply_stopped", backlog.stopped);
	put(facts, "apply_paced_us", facts->stats.paced_us);
	put(facts, "space_low", facts->stats.space_low);
	put(facts, "space_free_bytes", facts->stats.space_free_bytes);
	put(facts, "space_needed_bytes", facts->stats.space_needed_bytes);
}

static void put_stats(struct facts *facts)
{
	const struct node_counters *counters = &facts->node->counters;
	put(facts, "total_connections_received", counters->connections);
	put(facts, "total_commands_processed", counters->commands);
	put(facts, "total_net_input_bytes", counters->bytes_in);
	put(facts, "total_net_output_bytes", counters->bytes_out);
	put(facts, "rejected_connections", counters->refused_connections);
	put(facts, "expired_keys", facts->stats.expired);
	put(facts, "evicted_keys", 0);
	put(facts, "total_error_replies", counters->errors);
	put(facts, "protocol_errors", counters->protocol_errors);
	put(facts, "clients_closed_output_limit", counters->output_closed);
	put(facts, "clients_timed_out", counters->timed_out);
	put(facts, "requests_forwarded", counters->forwarded);
	put(facts, "requests_foreign", counters->foreign);
	put(facts, "requests_foreign_bad", counters->foreign_bad);
	put(facts, "requests_parked_total", counters->parked);
	put(facts, "requests_parked_expired", counters->parked_expired);
}

static const char *role_word(enum replica_role role)
{
	return role == REPLICA_LEADER ? "leader" : role == REPLICA_FOLLOWER ? "follower" : "candidate";
}

/* Every node takes writes (it passes them on), so tools are told "master". */
static void put_replication(struct facts *facts)
{
	const struct node *node = facts->node;
	const struct replica_stats *replica = &facts->stats.replica;
	put_text(facts, "role", "master");
	put(facts, "connected_slaves", 0);
	buf_appendf(facts->out, "master_replid:%016" PRIx64 "%016" PRIx64 "00000000\r\n",
		    node->identity.cluster_id, node->identity.cluster_id);
	put(facts, "master_repl_offset", replica->commit_index);
	put_text(facts, "tally_role", role_word(replica->role));
	put(facts, "tally_term", replica->term);
	put(facts, "tally_leader", replica->leader_id);
	put(facts, "commit_index", replica->commit_index);
	put(facts, "applied_index", facts->stats.applied_index);
	for (size_t i = 0; i < replica->peer_count; i++) {
		const struct replica_peer_stats *peer = &replica->peers[i];
		buf_appendf(facts->out,
			    "peer%zu:id=%" PRIu64 ",connected=%d,match_index=%" PRIu64 ",unsent=%" PRIu64
			    "\r\n",
			    i, peer->id, peer->connected, peer->match_index, peer->unsent_bytes);
	}
}

static void put_tally(struct facts *facts)
{
	const struct shard_stats *stats = &facts->stats;
	struct census_count counts[CENSUS_DATABASES];
	uint64_t age_ms;
	put(facts, "node", facts->node->config.id);
	put_text(facts, "cluster", facts->node->config.cluster);
	put(facts, "requests", stats->requests);
	put(facts, "writes", stats->writes);
	put(facts, "reads", stats->reads);
	put(facts, "refused", stats->refused);
	put(facts, "retried", stats->retried);
	put(facts, "unknown", stats->unknown);
	put(facts, "replayed", stats->replayed);
	put(facts, "waiting", stats->waiting);
	put(facts, "batches", stats->batches);
	put(facts, "batch_writes", stats->batch_writes);
	put(facts, "batch_bytes", stats->batch_bytes);
	put(facts, "stamp_ms", stats->stamp_ms);
	if (shard_keyspace(facts->node->shard, counts, &age_ms)) {
		put(facts, "keyspace_age_ms", age_ms);
	}
	put(facts, "elections", stats->replica.elections);
	put(facts, "loop_late_ms_max", stats->replica.late_ms_max);
	put(facts, "proposals", stats->replica.proposals);
	put(facts, "read_rounds", stats->replica.read_rounds);
	put(facts, "script_calls", stats->script.calls);
	put(facts, "script_failures", stats->script.failures);
	put(facts, "script_budget_exceeded", stats->script.budget_exceeded);
	put(facts, "scripts_refused", stats->script.refused);
	put(facts, "script_refused_calls", stats->script.refused_calls);
}

/* As Redis: databases without keys are left out. */
static void put_keyspace(struct facts *facts)
{
	struct census_count counts[CENSUS_DATABASES];
	uint64_t age_ms;
	if (!shard_keyspace(facts->node->shard, counts, &age_ms)) {
		return;
	}
	for (unsigned db = 0; db < CENSUS_DATABASES; db++) {
		if (counts[db].keys > 0) {
			buf_appendf(facts->out, "db%u:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0\r\n", db,
				    counts[db].keys, counts[db].expires);
		}
	}
}

static void put_commandstats(struct facts *facts)
{
	usage_write(&facts->node->usage, facts->out);
}

static void put_cluster(struct facts *facts)
{
	put(facts, "cluster_enabled", 0);
}

static const struct section {
	const char *name, *title;
	bool ordinary;
	void (*put)(struct facts *facts);
} sections[] = {
	{"server", "Server", true, put_server},
	{"clients", "Clients", true, put_clients},
	{"memory", "Memory", true, put_memory},
	{"persistence", "Persistence", true, put_persistence},
	{"stats", "Stats", true, put_stats},
	{"replication", "Replication", true, put_replication},
	{"cluster", "Cluster", true, put_cluster},
	{"tally", "Tally", true, put_tally},
	{"keyspace", "Keyspace", true, put_keyspace},
	{"commandstats", "Commandstats", false, put_commandstats},
};

static bool wanted(const struct local_call *call, const struct section *section)
{
	if (call->argc == 1) {
		return section->ordinary;
	}
	for (size_t i = 1; i < call->argc; i++) {
		if (slice_is_word(call->argv[i], section->name) || slice_is_word(call->argv[i], "all") ||
		    slice_is_word(call->argv[i], "everything") ||
		    (slice_is_word(call->argv[i], "default") && section->ordinary)) {
			return true;
		}
	}
	return false;
}

void info_command(struct local_call *call)
{
	struct node *node = call->conn->node;
	struct buf out;
	struct facts facts = {.node = node, .now_us = env_now_us(node->env), .out = &out};
	buf_init(&out, KIB(64));
	shard_stats(node->shard, &facts.stats);
	for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++) {
		if (wanted(call, &sections[i])) {
			buf_appendf(&out, "%s# %s\r\n", out.len > 0 ? "\r\n" : "", sections[i].title);
			sections[i].put(&facts);
		}
	}
	reply_verbatim(call->reply, "txt", buf_slice(&out));
	buf_fini(&out);
}

/* A line of INFO is `name:number`; other lines are for people. */
static bool read_fact(struct slice *lines, struct slice *name, int64_t *number)
{
	const uint8_t *end = memchr(lines->data, '\r', lines->len);
	const uint8_t *colon = memchr(lines->data, ':', lines->len);
	assert(end != NULL && colon != NULL && colon < end);
	struct slice value = slice_of(colon + 1, (size_t)(end - colon - 1));
	*name = slice_of(lines->data, (size_t)(colon - lines->data));
	*lines = slice_skip(*lines, (size_t)(end - lines->data) + 2);
	return slice_to_int64(value, number);
}

void info_memory_stats(struct local_call *call)
{
	struct node *node = call->conn->node;
	struct buf out;
	struct facts facts = {.node = node, .now_us = env_now_us(node->env), .out = &out};
	struct slice name;
	size_t count = 0;
	int64_t number;
	buf_init(&out, KIB(64));
	shard_stats(node->shard, &facts.stats);
	put_memory(&facts);
	for (struct slice lines = buf_slice(&out); lines.len > 0;) {
		count += read_fact(&lines, &name, &number);
	}
	reply_map(call->reply, count);
	for (struct slice lines = buf_slice(&out); lines.len > 0;) {
		if (read_fact(&lines, &name, &number)) {
			reply_bulk(call->reply, name);
			reply_integer(call->reply, number);
		}
	}
	buf_fini(&out);
}

/* ---- ROLE ---- */

/* "host:port" without the brackets of IPv6; port points behind the last colon. */
static struct slice host_of(const char *address, const char **port)
{
	const char *colon = strrchr(address, ':');
	assert(colon != NULL); /* config.c has looked */
	*port = colon + 1;
	struct slice host = slice_of((const uint8_t *)address, (size_t)(colon - address));
	bool bracketed = host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
	return bracketed ? slice_of(host.data + 1, host.len - 2) : host;
}

static void tell_master(struct reply *reply, const struct node *node, const struct replica_stats *replica)
{
	size_t connected = 0;
	for (size_t i = 0; i < replica->peer_count; i++) {
		connected +=
			replica->peers[i].connected && node_member_find(node, replica->peers[i].id) != NULL;
	}
	reply_array(reply, 3);
	reply_bulk_text(reply, "master");
	reply_integer(reply, (int64_t)replica->commit_index);
	reply_array(reply, connected);
	for (size_t i = 0; i < replica->peer_count; i++) {
		const struct replica_peer_stats *peer = &replica->peers[i];
		const struct node_member *member = node_member_find(node, peer->id);
		if (!peer->connected || member == NULL) {
			continue;
		}
		const char *port;
		char offset[24];
		snprintf(offset, sizeof offset, "%" PRIu64, peer->match_index);
		reply_array(reply, 3);
		reply_bulk(reply, host_of(member->client, &port));
		reply_bulk_text(reply, port);
		reply_bulk_text(reply, offset);
	}
}

/* leader: NULL when none is known, as Redis tells of a master that it cannot reach. */
static void tell_slave(struct reply *reply, const struct node_member *leader, uint64_t applied_index)
{
	const char *port = "0";
	struct slice host = leader == NULL ? SLICE_NONE : host_of(leader->client, &port);
	reply_array(reply, 5);
	reply_bulk_text(reply, "slave");
	reply_bulk(reply, host);
	reply_integer(reply, strtol(port, NULL, 10));
	reply_bulk_text(reply, leader == NULL ? "connect" : "connected");
	reply_integer(reply, (int64_t)applied_index);
}

void info_role(struct local_call *call)
{
	const struct node *node = call->conn->node;
	struct shard_stats stats = {0};
	uint64_t leader_id = 0;
	enum shard_role role = shard_role(node->shard, &leader_id);
	shard_stats(node->shard, &stats);
	if (role == SHARD_LEADS) {
		tell_master(call->reply, node, &stats.replica);
	} else {
		tell_slave(call->reply, role == SHARD_FOLLOWS ? node_member_find(node, leader_id) : NULL,
			   stats.applied_index);
	}
}

/* A whole Tally server: takes an env and a config and is the product.
 * tallyd is this on uv_env; the simulator runs several in one process. */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "base/limits.h"
#include "base/log.h"
#include "engine/shard.h"
#include "env/env.h"

struct node;

struct node_member {
	uint64_t id;
	char peer[128];   /* "host:port" of the peer port */
	char client[128]; /* "host:port" of the client port: what TALLY STATUS tells clients */
};

/* Filled by config_defaults and then a file and flags (server/config.h).
 * node_open takes it after config_finish. */
struct node_config {
	char dir[512]; /* data directory: lock, identity, refused, log/, db/ */
	uint64_t id;
	char name[64];       /* "n1": in log lines and replies */
	uint64_t cluster_id; /* derived from cluster name when 0 */
	char cluster[64];    /* "tally" */
	char listen[128];    /* client port, "127.0.0.1:7401" */
	char peer_listen[128];
	struct node_member members[LIMIT_MEMBERS];
	size_t member_count;
	uint64_t election_ms, heartbeat_ms;
	uint64_t memory_bytes; /* budget: split over memtable, caches, log cache */
	uint64_t memtable_bytes, cache_bytes, row_cache_bytes, log_cache_bytes; /* 0: from memory_bytes */
	uint64_t segment_bytes, keep_bytes, flush_bytes, flush_entries;
	uint64_t behind_bytes; /* of the shard; 0 but in the simulator */
	uint64_t max_clients;
	uint64_t default_deadline_ms, once_retention_ms;
	uint64_t space_reserve_bytes;
	uint64_t script_limit_ms; /* processor time of one script's call; 0: without a bound */
	uint64_t slowlog_us, slowlog_max;
	enum log_level log_level;
	bool bootstrap;          /* default true: an empty directory may be a new node's */
	struct store_disk *disk; /* NULL: the real one */
	bool core_dumps;         /* main's affair */
	uint64_t process_id;     /* for INFO; 0 in the simulator */
	uint64_t (*resident_bytes)(void); /* for INFO; NULL in the simulator */
};

int node_open(struct env *env, const struct node_config *config, struct log *log, struct node **node,
	      struct err *err);
int node_start(struct node *node, struct err *err);
/* Hands leadership over, finishes what is under way (at most 2 s), closes. stopped comes later. */
void node_stop(struct node *node, void (*stopped)(void *owner), void *owner);
/* The stop ran out of its time: something still waits for a disk, and only _exit ends this. */
bool node_stop_timed_out(const struct node *node);
/* After stopped (in time), or when the env was killed. NULL ok. */
void node_free(struct node *node);
struct shard *node_shard(struct node *node);
unsigned node_client_port(const struct node *node);
/* Truth lost: the simulator wants to know instead of dying. NULL (default): fatal(). Before node_start. */
void node_on_stopped(struct node *node, void (*stopped)(void *owner, const char *line), void *owner);

#endif /* SERVER_NODE_H */

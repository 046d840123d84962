/* What the files of this room share of a node. Nobody outside includes this. */
#ifndef SERVER_NODE_PRIVATE_H
#define SERVER_NODE_PRIVATE_H

#include "base/arena.h"
#include "server/call.h"
#include "server/dispatch.h"
#include "server/identity.h"
#include "server/listener.h"
#include "server/node.h"
#include "server/slowlog.h"
#include "server/usage.h"

enum node_state { NODE_OPEN, NODE_SERVING, NODE_STOPPING, NODE_STOPPED };

/* Clients go before the shard is closed: it takes its time in one piece, and nobody would be served
 * meanwhile.
 *
 *   HANDOVER ──the shard has left──> LAST_WORDS ──all clients gone, or time is up──> CLOSING ──closed──> GONE
 *       └────────────────────────────── STOP_MS are over: the stop ends ─────────────────┘
 *
 * Who led has LAST_WORDS for other nodes too, until they have heard who leads now: what they pass on meanwhile is
 * answered, where a connection that ends would leave it unknown. */
enum stop_stage { STOP_HANDOVER, STOP_LAST_WORDS, STOP_CLOSING, STOP_GONE };

/* What INFO and TALLY STATUS count. CONFIG RESETSTAT zeroes it. */
struct node_counters {
	uint64_t connections, refused_connections, commands, errors;
	uint64_t protocol_errors, output_closed, timed_out, killed;
	uint64_t bytes_in, bytes_out;
	uint64_t forwarded, foreign, foreign_bad, parked, parked_expired;
};

struct node {
	struct env *env;
	struct log *log;
	struct node_config config;
	enum node_state state;
	struct identity identity;
	struct shard *shard;
	struct call_pool calls;
	struct listener listener;
	struct dispatch dispatch;
	struct slowlog slowlog;
	struct node_counters counters;
	struct usage usage;
	struct arena arena; /* of the request that is being read; reset behind it */
	struct buf nowhere; /* muted answers */
	struct buf refusal; /* -OVERLOADED, as it is sent */
	uint64_t started_us;
	enum replica_role role;
	uint64_t leader_id;
	uint64_t leaderless_us; /* since when nobody is known to lead; 0: somebody is */

	struct env_timer tick, stop_timer;
	void (*stopped)(void *owner);
	void *stopped_owner;
	void (*on_stopped)(void *owner, const char *line);
	void *on_stopped_owner;
	enum stop_stage stop_stage;
	uint64_t stop_until_us;
	uint64_t stop_linger_ms, stop_linger_us; /* LAST_WORDS for other nodes: how long, and until then */
	bool stop_timed_out;
};

/* The member with this id, or NULL. */
const struct node_member *node_member_find(const struct node *node, uint64_t id);
/* A client is gone: the stop may go on. */
void node_stop_step(struct node *node);

#endif /* SERVER_NODE_PRIVATE_H */

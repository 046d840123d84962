/* TALLY, CONFIG, SLOWLOG and DEBUG: what an operator asks a node.
 *
 * TALLY STATUS answers a map (a flat array of pairs in RESP2), at once, from
 * this node's own knowledge, also while no leader is known:
 *
 *   node            integer: this node's id
 *   name            "n1"
 *   version         "0.1.0"
 *   cluster         "tally"
 *   cluster_id      sixteen hexadecimal digits
 *   role            "leader", "follower" or "candidate"
 *   open            integer 1: requests are taken: this node leads, or passes them on to a leader it knows;
 * else 0 term            integer leader          integer: id of the leader, 0 when unknown leader_client
 * "host:port" of its client port, "" when unknown members         array of maps: id, peer, client
 * ("host:port"), and as this node sees it: connected (0/1), match_index, needs_snapshot (0/1) first_index
 * last_index durable_index commit_index applied_index   integers chain           32 hexadecimal digits: the
 * chain at last_index stamp_ms        integer: the last stamp uptime_ms clients requests writes reads refused
 * retried unknown replayed batches log_bytes log_syncs log_sync_us_p50 log_sync_us_p99 store_bytes   integers
 *
 * TALLY HASH answers a map: index, hash (32 hexadecimal digits over a full scan
 * of the database at that index). It comes later; other nodes at the same
 * index give the same.
 * TALLY META ON|OFF: in RESP3, from now on an attribute stands in front of each answer that
 * the cluster gave: index ("88213.4": of the write, or what was read), node (its leader), replayed,
 * and of a replayed one first_ms (0 when another node answered).
 * TALLY TRANSFER [id] hands leadership to a member: +OK when another leads. */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include "server/local.h"

void admin_status(struct local_call *call);
void admin_hash(struct local_call *call);
void admin_transfer(struct local_call *call);
void admin_meta(struct local_call *call);
void admin_help(struct local_call *call);
void admin_config_get(struct local_call *call);
void admin_config_set(struct local_call *call);
void admin_config_resetstat(struct local_call *call);
void admin_config_rewrite(struct local_call *call);
void admin_config_help(struct local_call *call);
void admin_slowlog_get(struct local_call *call);
void admin_slowlog_len(struct local_call *call);
void admin_slowlog_reset(struct local_call *call);
void admin_slowlog_help(struct local_call *call);
void admin_debug(struct local_call *call);

#endif /* SERVER_ADMIN_H */

/* TALLY: what an operator asks a node.
 *
 * TALLY STATUS answers a map (a flat array of pairs in RESP2), at once, from
 * this node's own knowledge, also while no leader is known:
 *
 * Who it is:
 *   - node: its id; name: "n1"; version: "0.1.0"
 *   - cluster: "tally"; cluster_id: sixteen hexadecimal digits, which follow from the name
 *   - incarnation: sixteen hexadecimal digits of this directory: who has the same is the same node
 *   - role: "leader", "follower" or "candidate"; term
 *   - open: 1 when requests are taken (it leads, or passes them on to a leader it knows), else 0
 *   - leader: its id, 0 when unknown; leader_client: "host:port" of its client port, "" when unknown
 *
 * Whom it knows:
 *   - members: an array of maps: id, peer, client ("host:port"), and as this node sees it: connected
 *     (0 or 1), match_index, needs_snapshot (0 or 1)
 *
 * How far it is, all integers but chain (32 hexadecimal digits, of last_index):
 *   - first_index last_index durable_index commit_index applied_index chain
 *   - stamp_ms: the last stamp
 *   - log_bytes log_syncs log_sync_us_p50 log_sync_us_p99
 *   - flushes: memtables that were written out and waited for since the node started
 *   - space_low: 1 while writes are NO_SPACE for want of disk here; space_free_bytes, space_needed_bytes
 *
 * What it does, integers since the start:
 *   - uptime_ms clients requests writes reads refused retried unknown replayed batches forwarded parked
 *   - scripts_refused: on this node's list of scripts that did not come back (script/refused.h)
 *
 * TALLY HASH answers a map: index, hash (32 hexadecimal digits over a full scan
 * of the database at that index). It comes later; other nodes at the same
 * index give the same.
 * TALLY META ON|OFF: in RESP3, from now on an attribute stands in front of each answer that
 * the cluster gave: index ("88213.4": of the write, or what was read), node (its leader), replayed,
 * and of a replayed one first_ms (0 when another node answered).
 * TALLY TRANSFER [id] hands leadership to a member that is connected: +OK when another leads. */
#ifndef SERVER_ADMIN_H
#define SERVER_ADMIN_H

#include "server/local.h"

void admin_status(struct local_call *call);
void admin_hash(struct local_call *call);
void admin_transfer(struct local_call *call);
void admin_meta(struct local_call *call);
void admin_help(struct local_call *call);

#endif /* SERVER_ADMIN_H */

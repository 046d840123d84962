/* What a replica says about itself to who looks at it. */
#include <string.h>

#include "raft/replica_private.h"

static void peer_stats(const struct replica *r, struct replica_peer *peer, struct replica_peer_stats *stats)
{
	struct link *link = transport_link(r->transport, peer->id, FRAME_RAFT);
	raft_index match = 0;
	if (r->core.state == RAFT_LEADER && raft_match_index(&r->core, peer->id, &match) != 0) {
		match = 0;
	}
	*stats = (struct replica_peer_stats){
		.id = peer->id,
		.connected = link != NULL,
		.needs_snapshot = peer->needs_snapshot,
		.match_index = match,
		.unsent_bytes = link == NULL ? 0 : link_unsent(link),
	};
}

struct replica_position replica_position(const struct replica *r)
{
	return (struct replica_position){r->role, r->core.current_term, r->commit_index};
}

void replica_stats(const struct replica *r, struct replica_stats *stats)
{
	struct wal_stats wal;
	struct transport_stats transport;
	wal_stats(r->wal, &wal);
	transport_stats(r->transport, &transport);
	memset(stats, 0, sizeof(*stats));
	stats->role = r->role;
	stats->term = r->core.current_term;
	stats->leader_id = r->leader_id;
	stats->first_index = wal_first_index(r->wal);
	stats->last_index = wal_last_index(r->wal);
	stats->durable_index = wal_durable_index(r->wal);
	stats->commit_index = r->commit_index;
	stats->applied_index = r->applied;
	stats->chain = wal_chain(r->wal);
	stats->elections = r->count.elections;
	stats->proposals = r->count.proposals;
	stats->reads = r->count.reads;
	stats->read_rounds = r->count.read_rounds;
	stats->late_ms_max = r->count.late_ms_max;
	stats->log_bytes = wal.bytes;
	stats->log_writes = wal.writes;
	stats->log_syncs = wal.syncs;
	stats->log_sync_us_p50 = wal.sync_us_p50;
	stats->log_sync_us_p99 = wal.sync_us_p99;
	stats->frames_in = transport.frames_in;
	stats->frames_out = transport.frames_out;
	stats->frames_bad = transport.frames_bad + r->count.frames_bad;
	stats->messages_dropped = r->count.dropped;
	stats->reconnects = transport.reconnects;
	stats->peer_count = r->peer_count;
	for (size_t i = 0; i < r->peer_count; i++) {
		peer_stats(r, r->peers[i], &stats->peers[i]);
	}
}

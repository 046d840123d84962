/* One member of one Raft group: the door to consensus.
 *
 * Drives libraft's bare core through raft_step() (what it asks of us: docs/musts.md), keeps the
 * segmented log (raft/wal), term and vote (raft/wal/hardstate) and the peers'
 * connections (raft/peer). It knows nothing of keys or RocksDB: its owner gets
 * committed entries, applies them, and says how far it is.
 *
 * Everything happens on the loop thread; log writes, reads of old entries and
 * trimming are work items on lanes of the replica's own. Truth lost (a failed
 * log write or sync, a checksum that lies, a diverged chain) ends in fatal(),
 * or in cfg.stopped when the owner wants to handle it (the simulator does). */
#ifndef RAFT_REPLICA_H
#define RAFT_REPLICA_H

#include "base/limits.h"
#include "base/log.h"
#include "env/env.h"
#include "wire/entry.h"

struct replica;

struct replica_member {
	uint64_t id;         /* 1 … ; never reused */
	const char *address; /* peer address "host:port", borrowed by replica_open, copied inside */
};

enum replica_role { REPLICA_FOLLOWER, REPLICA_CANDIDATE, REPLICA_LEADER };

/* What the database says about itself at open: the meta record. All zero when it is empty. */
struct replica_applied_state {
	uint64_t index, term;
	struct chain chain;
	uint64_t configuration_index;
	struct slice configuration; /* encoded by the replica earlier, from on_apply; borrowed during open */
};

/* Callbacks, all on the loop thread, never from inside a call of the owner except where said. */
struct replica_events {
	/* Role or term or known leader changed. leader_id 0: unknown. REPLICA_LEADER is
	 * reported at election; the owner may propose only after on_open. */
	void (*on_role)(void *owner, enum replica_role role, uint64_t term, uint64_t leader_id);
	/* The leader may add its OPEN entry now: fill payload (entry_begin/entry_end, kind
	 * ENTRY_OPEN). Called once per election won, before anything can be proposed. */
	void (*on_open_payload)(void *owner, struct buf *payload);
	/* This term's OPEN entry is committed and has been handed to on_committed: reads and writes may
	 * start. */
	void (*on_open)(void *owner, uint64_t term, uint64_t open_index);
	/* Entries up to index are committed AND durable in our own log: to be applied in
	 * order. entries[i] are borrowed (entry_ref to keep). Every type comes, barriers and changes too. */
	void (*on_committed)(void *owner, struct entry *const *entries, size_t count);
	/* The commit index as the core reports it (a maximum, may run ahead of on_committed): replies may go out. */
	void (*on_commit_index)(void *owner, uint64_t commit_index);
	/* Highest stamp seen in any peer frame rose. May be NULL. */
	void (*on_stamp)(void *owner, uint64_t stamp_ms);
	/* A request frame of another node arrived on the requests connection (forwarding):
	 * answer with replica_reply and this token, once. request is borrowed. */
	void (*on_request)(void *owner, uint64_t from_id, uint64_t token, struct slice request);
	/* Truth lost: the replica has stopped and must be closed. NULL: fatal(line) instead. */
	void (*on_stopped)(void *owner, const char *line);
};

struct replica_config {
	struct env *env;
	struct log *log;     /* borrowed */
	const char *dir;     /* log directory, made if absent */
	uint64_t cluster_id; /* peers of another cluster are refused */
	uint64_t id;
	const struct replica_member *members; /* the bootstrap configuration, sorted by id */
	size_t member_count;
	bool bootstrap;         /* an empty directory gets the bootstrap entry; otherwise it is refused */
	const char *listen;     /* peer listen address; NULL: no listener (single member) */
	uint64_t election_ms;   /* 300; the core draws one to two times this */
	uint64_t heartbeat_ms;  /* 50 */
	uint64_t segment_bytes; /* size of a log segment, 64 MiB; the simulator uses KiB */
	uint64_t keep_bytes;  /* log kept for a lagging member behind what is durable in the database, 512 MiB
			       */
	uint64_t cache_bytes; /* entries kept in memory for sending, 64 MiB */
	const struct replica_events *events;
	void *owner;
};

/* Recovers log and vote (blocking; this is start-up) and checks them against
 * applied: a log that ends before the applied index, a gap, bit rot or a vote
 * older than the log is truth lost and refused with ERR_CORRUPT. ERR_LOCKED,
 * ERR_IO, ERR_INVALID otherwise. Nothing is sent before replica_start. */
int replica_open(const struct replica_config *config, const struct replica_applied_state *applied,
		 struct replica **replica, struct err *err);
/* Begins to listen, connect, vote. What the log holds above applied comes through on_committed once it is
 * committed. */
int replica_start(struct replica *replica, struct err *err);
/* Stops everything and waits for lane items; closed comes later, then the owner calls replica_free. */
void replica_close(struct replica *replica, void (*closed)(void *owner));
/* Frees memory; the replica is closed, or was never started, or its env was killed. NULL ok. */
void replica_free(struct replica *replica);

/* ---- leader ---- */

/* The index the next proposal will get; 0: this member does not lead, or not yet, or no longer: what on_role tells at
 * the end of a turn is so before. */
uint64_t replica_next_index(const struct replica *replica);
/* Proposes one entry of ours. On 0 the entry (from entry_new, consumed) has
 * index, term and chain set, and index was replica_next_index(). ERR_NOT_LEADER,
 * ERR_BUSY (the log is too far ahead of the disk): entry stays the caller's.
 * stamp_ms goes into every frame from now on. on_commit_index says when it is safe. */
int replica_propose(struct replica *replica, struct entry *entry, uint64_t stamp_ms);
/* A read was shown this stamp: every frame carries at least it from now on, the probes of a
 * replica_read_start that follows included, so the next leader has met it. */
void replica_stamp(struct replica *replica, uint64_t stamp_ms);
/* The time that the clocks of a majority have reached, as their pongs told it; 0: too few are known. */
uint64_t replica_clock_ms(const struct replica *replica);
/* Entries proposed by us in this term and not yet committed. */
size_t replica_in_flight(const struct replica *replica);

/* A linearizable read point (ReadIndex): cb once, later, with 0 when a
 * majority confirmed after this call that we lead (reads of state as of now, with
 * the commit index then, are linearizable); ERR_NOT_LEADER, ERR_TIMEOUT. All that
 * wait share one probe round. */
struct replica_read {
	struct list link;                                      /* private */
	uint64_t round, started_us, deadline_us, commit_index; /* private */
	bool lost;                                             /* private */
	void (*cb)(struct replica_read *read, int status);
};
void replica_read_start(struct replica *replica, struct replica_read *read, uint64_t timeout_ms);
/* The read's owner gives up; cb is not called. */
void replica_read_cancel(struct replica *replica, struct replica_read *read);

/* Hands leadership over: to the given member, or to the most caught-up when 0.
 * The owner must stop proposing first. cb once, later: 0 when another leads,
 * ERR_TIMEOUT, ERR_NOT_LEADER. */
void replica_transfer(struct replica *replica, uint64_t target_id, uint64_t timeout_ms,
		      void (*cb)(void *owner, int status), void *owner);

/* ---- every member ---- */

/* Whether the owner has room to take writes; true at first. Without it, or when the log itself finds no
 * space, a leader hands over to the most caught-up member that has room, if there is one, and a follower
 * lets others stand first. */
void replica_set_room(struct replica *replica, bool room);
/* Whether the owner has more committed entries than it wants and has not applied them; false at first. While
 * it is, a follower writes nothing more into its log and acknowledges nothing, unless its leader falls silent
 * or has only come to lead: what was not applied is bounded by what it was then and the leader's window (8
 * entries), and a leader whose majority is behind commits no faster than one of them applies. A leader writes
 * all the same. */
void replica_set_behind(struct replica *replica, bool behind);

/* The owner's database holds everything up to index (in memory). Changes are reported to the core here. */
void replica_applied(struct replica *replica, uint64_t index);
/* The database is durable up to index: the log may be trimmed behind it. */
void replica_database_durable(struct replica *replica, uint64_t index);
/* The configuration in force at the applied index, for the meta record; borrowed until the next applied
 * change. */
void replica_configuration(const struct replica *replica, uint64_t *index, struct slice *encoded);

/* Forwarding over the requests connection to another member. Never repeated:
 * cb once, later, with 0 and the reply (borrowed), ERR_NOT_FOUND when it was never sent (no
 * connection: nothing happened), or ERR_CLOSED / ERR_TIMEOUT when it was sent and is unanswered. */
struct replica_forward {
	struct list link;                  /* private */
	uint64_t token, sent, deadline_us; /* private */
	void (*cb)(struct replica_forward *forward, int status, struct slice reply);
};
void replica_forward_start(struct replica *replica, struct replica_forward *forward, uint64_t to_id,
			   struct slice request, uint64_t timeout_ms);
void replica_reply(struct replica *replica, uint64_t to_id, uint64_t token, struct slice reply);
/* Bytes that a reply to it may have now; a longer one, or one without a connection, is never sent, and all that is
 * unanswered on the connection stays so. */
size_t replica_reply_room(const struct replica *replica, uint64_t to_id);

struct replica_stats {
	enum replica_role role;
	uint64_t term, leader_id;
	uint64_t first_index, last_index, durable_index, commit_index, applied_index;
	struct chain chain; /* at last_index */
	uint64_t elections, proposals, reads, read_rounds;
	uint64_t late_ms_max; /* so late our own timer has fired: the loop stood still */
	uint64_t log_bytes, log_writes, log_syncs, log_sync_us_p50, log_sync_us_p99;
	uint64_t frames_in, frames_out, frames_bad, messages_dropped, reconnects;
	struct replica_peer_stats {
		uint64_t id;
		bool connected, needs_snapshot;
		uint64_t match_index; /* leader only */
		uint64_t unsent_bytes;
	} peers[LIMIT_MEMBERS];
	size_t peer_count;
};
void replica_stats(const struct replica *replica, struct replica_stats *stats);
/* The little of it that may be asked all the time. */
struct replica_position {
	enum replica_role role;
	uint64_t term, commit_index;
};
struct replica_position replica_position(const struct replica *replica);

#endif /* RAFT_REPLICA_H */

/* All of one Raft group on one node: log, database, overlay, scripts, waiting
 * requests. The life of a request is in engine/request.h, the life of a sale
 * in docs/architecture.md. A node holds an array of shards, today of length one. */
#ifndef ENGINE_SHARD_H
#define ENGINE_SHARD_H

#include "command/census.h"
#include "engine/request.h"
#include "raft/replica.h"
#include "script/script.h"
#include "store/store.h"

struct shard;

struct shard_config {
	struct env *env;
	struct log *log;
	const char *log_dir, *store_dir; /* made if absent */
	struct store_disk *disk;         /* NULL: the real one */
	uint64_t memtable_bytes, cache_bytes;
	uint64_t row_cache_bytes; /* copies of rows that are read often, on the leader; 32 MiB */
	uint64_t flush_bytes;   /* applied bytes after which the store is flushed and the log trimmed; 0: with
				   the memtable (half its size) */
	uint64_t flush_entries; /* the same in entries; 0: none. The simulator uses small ones */
	uint64_t behind_bytes;  /* committed and not applied, beyond which a follower takes nothing into its log;
				   0: LIMIT_APPLY_LAG */
	uint64_t cluster_id, node_id;
	const struct replica_member *members; /* peer addresses, sorted by id */
	size_t member_count;
	const char *peer_listen;
	bool bootstrap;
	uint64_t election_ms, heartbeat_ms, segment_bytes, keep_bytes, log_cache_bytes;
	uint64_t default_deadline_ms; /* 5000 */
	uint64_t once_retention_ms;   /* 7 days */
	uint64_t event_retention;     /* event blocks kept, in entries; 0: for ever */
	uint64_t space_reserve_bytes; /* free space below which writes answer NO_SPACE, until there is half as much
				       again; 256 MiB */
	uint64_t script_limit_ms; /* processor time of one script's call, then the process ends
				     (engine/watchdog.h); 0: nothing is watched or refused */
	const char *dir;          /* of the file of refused scripts, there already */

	/* A node that leads or is led changed: parked requests may be sent on. */
	void (*on_role)(void *owner, enum replica_role role, uint64_t leader_id);
	/* A request has run, here or when it was parked no more, and took so much of the loop's time; what it waits for
	 * yet is not counted. Its words are still there. Only looks. NULL ok. */
	void (*on_ran)(void *owner, const struct request *request, uint64_t took_us);
	/* A forwarded request frame from another node; answer with shard_forward_reply, once. */
	void (*on_forwarded)(void *owner, uint64_t from_id, uint64_t token, struct slice frame);
	/* Truth lost. NULL: fatal(). */
	void (*on_stopped)(void *owner, const char *line);
	void *owner;
};

int shard_open(const struct shard_config *config, struct shard **shard, struct err *err);
int shard_start(struct shard *shard, struct err *err);
/* Polite stop: seals and commits what is open, hands leadership over (bounded time), answers everybody. left
 * may come at once; until it is closed the shard refuses what comes, so that clients can hear their answers
 * first. */
void shard_leave(struct shard *shard, void (*left)(void *owner));
/* Behind left. The database is flushed and closed in one piece: nothing else of this process moves meanwhile.
 */
void shard_close(struct shard *shard, void (*closed)(void *owner));
void shard_free(struct shard *shard); /* after closed, or when its env was killed */

enum shard_role { SHARD_LEADS, SHARD_FOLLOWS, SHARD_UNKNOWN };
/* SHARD_LEADS: submit here (also while the OPEN entry is under way: requests wait).
 * SHARD_FOLLOWS: *leader_id leads. SHARD_UNKNOWN: nobody known. */
enum shard_role shard_role(const struct shard *shard, uint64_t *leader_id);

/* Takes the request over until done, which comes later, never from inside. */
void shard_submit(struct shard *shard, struct request *request);
/* Under overload, input of a client with answers under way is better kept until the end of the turn (in a
 * hook): first all others are read and refused, then there is time to execute. */
bool shard_defers(struct shard *shard);
/* Under overload, before a request is made: true when the caller shall answer it OVERLOADED itself, which is
 * cheaper than submitting it, and is counted here. follows: answers are under way that its refusal would have
 * to wait for; such a request is taken rather than others. writes: it may. */
bool shard_sheds(struct shard *shard, bool follows, bool writes);
/* The client is gone: done will not be called; the request struct is free when this returns. What was written
 * stays. */
void shard_cancel(struct shard *shard, struct request *request);

/* To the leader's node, over the requests connection; see replica_forward_start. */
void shard_forward(struct shard *shard, struct replica_forward *forward, uint64_t to_id, struct slice frame,
		   uint64_t timeout_ms);
void shard_forward_reply(struct shard *shard, uint64_t to_id, uint64_t token, struct slice frame);
/* What may be sent back now: replica_reply_room. */
size_t shard_forward_room(const struct shard *shard, uint64_t to_id);
/* Hands leadership to a member (0: the most caught-up): seals what is open, lets requests wait meanwhile. cb
 * once, later: 0 when another leads, ERR_TIMEOUT (we lead on), ERR_NOT_LEADER, ERR_BUSY (one is under way).
 */
void shard_transfer(struct shard *shard, uint64_t target_id, uint64_t timeout_ms,
		    void (*cb)(void *owner, int status), void *owner);

struct shard_stats {
	struct replica_stats replica;
	struct store_stats store;
	struct script_stats script;
	uint64_t requests, writes, reads, refused, retried, unknown, replayed;
	uint64_t batches, batch_writes, batch_bytes, waiting, parked;
	uint64_t applied_index, applied_chain_low, stamp_ms;
	uint64_t overlay_bytes, row_cache_bytes, admitted_bytes;
	uint64_t expired, once_expired;
	uint64_t paced_us; /* that applying waited for merges to keep up */
	uint64_t space_free_bytes, space_needed_bytes; /* of the disk; below this one writes are NO_SPACE */
	bool space_low;                                /* they are */
};
void shard_stats(const struct shard *shard, struct shard_stats *stats);
/* The database's; zeros before it is open. Dearer than all of shard_stats. */
void shard_store_sizes(const struct shard *shard, struct store_sizes *sizes);
void shard_store_backlog(const struct shard *shard, struct store_backlog *backlog);
/* The little of it that may be asked all the time. */
struct shard_position {
	struct replica_position replica;
	uint64_t applied_index;
};
struct shard_position shard_position(const struct shard *shard);
/* Hash over a full scan of the database at the applied index: on a lane; cb once, later. */
void shard_hash(struct shard *shard, void (*cb)(void *owner, int status, struct chain hash, uint64_t index),
		void *owner);
/* The databases' counts of keys on this node, of age_ms ago; false when they are not known yet. Asking is
 * what keeps them young. */
bool shard_keyspace(struct shard *shard, struct census_count counts[CENSUS_DATABASES], uint64_t *age_ms);
/* For checkers and the simulator: every applied entry, on the loop, in order. */
void shard_watch_applied(struct shard *shard, void (*applied)(void *owner, const struct entry *entry),
			 void *owner);

#endif /* ENGINE_SHARD_H */

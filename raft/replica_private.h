/* What the files of the replica share: one struct, and who does what with it.
 *
 * The core is a pure function of events; everything it wants comes back as an
 * update. A turn of the loop:
 *
 *   frames, finished writes --> step_* --> raft_step --> update
 *        terms and votes -> vote file, and everything after it is held until that is durable
 *        entries         -> the log (not written yet)
 *        messages        -> encoded into links (not sent yet)
 *        role, commit    -> notices
 *   end of the turn: a due timeout is stepped, notices are told, committed entries
 *   handed over, then the log's write starts and the links are flushed.
 *
 * So the owner is never called from inside a call of its own, a log write and
 * its messages leave together, and all that arrived together goes out together. */
#ifndef RAFT_REPLICA_PRIVATE_H
#define RAFT_REPLICA_PRIVATE_H

#include <raft.h>

#include "base/buf.h"
#include "raft/message.h"
#include "raft/peer/transport.h"
#include "raft/replica.h"
#include "raft/wal/hardstate.h"
#include "raft/wal/wal.h"

#define REPLICA_WINDOW 8            /* entries in flight to a member */
#define REPLICA_PENDING_MAX MIB(32) /* bytes that wait for the log; beyond: ERR_BUSY */
#define REPLICA_IDLE_UNSENT KIB(64) /* unsent bytes to a member above which empty appends are dropped */
#define REPLICA_JOBS 16             /* appends that wait for old entries, per member; beyond: dropped */
#define REPLICA_ROUNDS 8            /* probe rounds under way; then the next waits for an echo */
#define REPLICA_DELIVER 64          /* committed entries handed over in one call */

/* An append to a member whose entries must be read from the disk first. */
struct append_job {
	uint64_t term, previous_term, commit_index;
	uint64_t next, last; /* entries still to be sent; last < next: none, a heartbeat */
};

struct replica_peer {
	struct replica *replica;
	uint64_t id;
	char address[128];      /* stable: the core gets it with each message */
	uint64_t requests_seen; /* the highest token of its requests (forward.c) */
	uint64_t sent_to;       /* highest index put on this connection */
	uint64_t coming_ms;     /* when it said last that an append of ours comes; 0: it answered one since */
	uint64_t echo_round;    /* highest round it echoed in this term */
	bool needs_snapshot;
	bool heard;           /* in this life: it remembers us, and we lived what it did */
	bool has_room;        /* as it said last, on this connection */
	bool lacks;           /* some of what it acknowledged in this term (refill.c) */
	struct life holds_as; /* its life when it acknowledged last */
	uint64_t refilled_behind, refilled_us;
	struct append_job jobs[REPLICA_JOBS]; /* in order */
	size_t job_count;
	bool reading;
	uint64_t read_term; /* of the job it is for */
	struct wal_read read;
};

/* Why a leader wants another by itself. */
enum yield_reason { YIELDS_NOT, YIELDS_STALLED, YIELDS_FULL };

enum notice_kind { NOTICE_ROLE, NOTICE_COMMIT };
struct notice {
	enum notice_kind kind;
	enum replica_role role;
	uint64_t term, leader_id, commit_index;
};

struct replica {
	struct replica_config config; /* strings and members copied */
	char dir[1024], listen[128];
	const struct replica_events *events;
	struct env *env;
	struct log *log;
	bool started, stopped, stop_told, closing, close_begun;
	char stop_line[ERR_TEXT_MAX];

	/* the core */
	struct raft core;
	bool core_open;
	struct raft_entry *start_entries; /* between open and start */
	size_t start_count;
	struct entry **start_changes; /* payloads of CHANGE entries among them */
	size_t start_change_count;
	struct {
		bool sooner;       /* nobody leads, or its port refuses: a shorter timeout */
		uint64_t since_ms; /* where the core's election timer began when we looked last */
		uint64_t away_ms;  /* a leader's loop was late since then, at most an election timeout */
		uint64_t held_ms, until_ms; /* a follower's: how long its timeout is held, and until when */
		uint64_t coming_ms;         /* when its leader was told last that an append comes */
		uint64_t late_ms;           /* when it was said last that our own loop was late */
	} patience;
	/* What the step under way brought with it. */
	struct entry *submitted;
	struct entry *const *received;
	uint64_t received_first;
	bool received_old; /* the message that is stepped has a term below ours */

	/* what is durable */
	struct wal *wal;
	struct env_file *vote_file;
	struct hardstate vote, vote_writing; /* wanted, and being written */
	enum copies_slot vote_slot;
	struct env_work vote_work;
	bool vote_busy, vote_held;
	uint64_t vote_started_us;
	int vote_status;
	uint64_t reported; /* persisted, as told to the core */
	bool owner_full, owner_behind, log_held; /* the last: for our owner, not for a vote */
	uint64_t leaderless_ms; /* since then */

	/* as last noted */
	enum replica_role role;
	uint64_t term, leader_id;
	uint64_t commit_index; /* the maximum */
	uint64_t delivered, applied, durable_in_database;
	struct replica_applied_state applied_state; /* at open */
	struct notice *notices;
	size_t notice_count, notice_cap;

	/* this term, if we lead it */
	bool open_due, is_open;
	uint64_t open_index;

	/* configuration */
	struct entry *changes[8]; /* handed over and not applied: one, and the bootstrap's */
	size_t change_count;
	struct buf configuration; /* at the applied index, encoded */
	uint64_t configuration_index;
	uint64_t configuration_seen; /* of the core, when probes were last sent */
	uint64_t kept;               /* every member has this much, as far as we know */

	struct lives *lives;
	struct transport *transport;
	bool admitted;  /* a majority with us was heard: we take part */
	bool seat_said; /* that it takes long */
	struct replica_peer *peers[LIMIT_MEMBERS];
	size_t peer_count;

	struct env_timer timer;
	bool timeout_due;
	struct env_turn turn;

	/* read_index.c */
	struct list reads;
	uint64_t round, round_confirmed;
	bool reads_lost; /* some of them can never be confirmed */
	struct env_timer read_timer;

	/* handover.c */
	struct {
		bool active;
		enum yield_reason yields; /* our own wish: the owner knows nothing of it */
		uint64_t again_us;        /* not before, after one that came to nothing */
		uint64_t target, deadline_us;
		void (*cb)(void *owner, int status);
		void *owner;
	} handover;
	struct env_timer handover_timer;

	/* forward.c */
	struct list forwards, failed_forwards;
	uint64_t next_token;
	struct env_timer forward_timer;

	void (*closed)(void *owner);
	bool wal_closed, transport_closed;
	struct env_turn closed_turn;
	struct {
		uint64_t elections, proposals, reads, read_rounds, dropped, frames_bad, late_ms_max;
	} count;
};

/* replica.c */
struct replica *replica_new(const struct replica_config *config);
/* Truth lost, or nothing can be believed any more: says so once and does nothing afterwards. */
void replica_fail(struct replica *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void replica_wal_config(struct replica *r, struct wal_config *config);
void replica_core_init(struct replica *r);
static inline bool replica_leads(const struct replica *r)
{
	return r->core.state == RAFT_LEADER;
}
static inline void replica_wake(struct replica *r)
{
	env_turn_arm(&r->turn);
}

/* core_heap.c: before the core allocates anything; again is harmless. */
void core_heap_set(void);

/* peers.c: the other members; NULL: none has that id. */
struct replica_peer *peers_find(struct replica *r, uint64_t id);
/* Members of the newest configuration, committed or not, are dialed. */
void peers_follow(struct replica *r);
/* Those of the settings, and the connections to them. fini: after the log, which may be reading for one. */
void peers_init(struct replica *r);
void peers_fini(struct replica *r);

/* turn.c */
void turn_init(struct replica *r);
/* The log writes, unless a vote must be durable first or our owner is behind. */
void turn_hold_log(struct replica *r);

/* step.c: all entry ownership of the core is here. */
int step_start(struct replica *r);
void step_timeout(struct replica *r);
void step_persisted(struct replica *r, uint64_t index);
/* Consumes entry on 0. */
int step_submit(struct replica *r, struct entry *entry);
void step_receive(struct replica *r, struct raft_message *message);
void step_append(struct replica *r, struct raft_message *message, const struct append_entry *heads,
		 struct entry *const *entries, size_t count);
void step_configuration(struct replica *r, uint64_t index, struct slice encoded);
void step_snapshot(struct replica *r, uint64_t index, uint64_t first_kept);
/* Says once that the member needs more of the log than is kept. */
void step_fell_behind(struct replica *r, struct replica_peer *peer);
int step_transfer(struct replica *r, uint64_t target);

/* seat.c: whether we take part; refused: somebody knows better than our directory */
void seat_turn(struct replica *r);
void seat_heard(struct replica *r, struct replica_peer *peer);
void seat_refused_cb(void *owner, uint64_t id, struct life remembered);

/* vote.c */
void vote_save(struct replica *r);

/* append.c: filling and sending, receiving and verifying APPEND_ENTRIES. */
void append_send(struct replica *r, struct replica_peer *peer, const struct raft_message *message);
void append_receive(struct replica *r, struct link *from, struct replica_peer *peer,
		    const struct frame *frame);
/* Sends entries of our log that the core does not send, in front of what it sends next. */
void append_again(struct replica *r, struct replica_peer *peer, uint64_t first, uint64_t last);
void append_forget(struct replica *r);
/* Tells the leader what an empty append would be answered, without one. */
void append_coming(struct replica *r, const struct replica_peer *peer);
static inline bool append_says_coming(const struct raft_append_entries_result *result)
{
	return result->rejected == 0 && result->last_log_index == 0;
}

/* refill.c: a member that lost what it had acknowledged. The result is made fit for the core. */
void refill_result(struct replica *r, struct replica_peer *peer, const struct link *from,
		   struct raft_append_entries_result *result);

/* patience.c: when silence counts */
void patience_turn(struct replica *r);
/* Our own timer fired so late. */
void patience_late(struct replica *r, uint64_t late_ms);
uint64_t patience_ends_ms(const struct replica *r);
/* An append of that member's is on its way, and takes long. */
void patience_coming(struct replica *r, const struct replica_peer *peer);
/* So long a leader that spoke a short while ago is followed without a doubt. 0: there is none. */
uint64_t patience_hears_until_ms(const struct replica *r);
/* Steps the timeout if it is due, and says so when somebody was silent for too long. */
void patience_step(struct replica *r);
/* Our vote is durable, after so long. */
void patience_voted(struct replica *r, uint64_t took_ms);
/* A start, before the core's; the leader's port refuses; a leader is known. */
void patience_start(struct replica *r);
void patience_refused(struct replica *r, uint64_t leader_id);
void patience_known(struct replica *r);

/* notice.c: what the owner is told at the end of a turn */
void notice_role(struct replica *r);
void notice_commit(struct replica *r);
void notice_tell(struct replica *r);
void notice_deliver(struct replica *r);

/* read_index.c */
void read_index_turn(struct replica *r);
void read_index_probe(struct replica *r, struct replica_peer *peer, const struct frame *frame);
void read_index_echo(struct replica *r, struct replica_peer *peer, const struct frame *frame);
/* Leadership or configuration changed: what waits is failed, or asks again. */
void read_index_lost(struct replica *r);
void read_index_restart(struct replica *r);
void read_index_timer_cb(struct env_timer *timer);

/* handover.c */
void handover_step(struct replica *r);
/* A leader whose disk has stalled or is full proposes nothing while it hands over. */
static inline bool handover_yields(const struct replica *r)
{
	return r->handover.active && r->handover.yields != YIELDS_NOT;
}
/* Whether we can take writes, and whether we leave it to others to stand because we cannot. */
bool handover_has_room(const struct replica *r);
bool handover_stands_back(const struct replica *r);
void handover_timer_cb(struct env_timer *timer);

/* forward.c */
void forward_turn(struct replica *r);
void forward_request(struct replica *r, struct replica_peer *peer, const struct frame *frame);
/* The first token of this life, once its start is known. */
void forward_open(struct replica *r);
void forward_answer(struct replica *r, const struct frame *frame);
void forward_disconnected(struct replica *r, uint64_t id);
void forward_fail_all(struct replica *r);
void forward_timer_cb(struct env_timer *timer);

/* trim.c */
/* What every member has, as a leader knows it; with its heartbeats it tells the others. */
void trim_learn_kept(struct replica *r);

#endif /* RAFT_REPLICA_PRIVATE_H */

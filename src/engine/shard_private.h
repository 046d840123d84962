/* What the files of the engine share: the shard itself, and which file moves what.
 *
 *   CREATED ── shard_start ──> FOLLOWING <─────────────────────────────┐
 *                                 │ elected                            │ another leads, or another term
 *                                 ▼                                    │
 *                              OPENING   OPEN entry under way; apply   │
 *                                 │      and bundle catch up; requests │
 *                                 │      are parked                    │
 *                                 ▼                                    │
 *                              LEADING ────────────────────────────────┘
 *   any ── shard_leave ──> STOPPING, has left ── shard_close, replica closed ──> CLOSED
 *   any ── truth lost ──> FAILED
 *
 * done() is called in one place only: deliver(), in the turn hook. Everything else
 * moves requests onto the finished list. So no caller of ours is ever re-entered, and
 * the requests of one commit leave in the order in which they were executed. */
#ifndef ENGINE_SHARD_PRIVATE_H
#define ENGINE_SHARD_PRIVATE_H

#include "base/arena.h"
#include "base/prng.h"
#include "engine/once.h"
#include "engine/shard.h"
#include "engine/stamp.h"
#include "engine/watchdog.h"
#include "store/keys.h"
#include "env/env.h"
#include "txn/overlay.h"

enum phase {
	PHASE_CREATED,
	PHASE_FOLLOWING,
	PHASE_OPENING,
	PHASE_LEADING,
	PHASE_STOPPING,
	PHASE_CLOSED,
	PHASE_FAILED
};

/* Where a request stands (request->state). */
enum request_state {
	REQUEST_IDLE,
	REQUEST_PARKED,    /* on shard->parked, its words copied */
	REQUEST_COMPILING, /* a compile job holds it */
	REQUEST_SURVEYING, /* on surveys.requests, its words copied, while its walk is on the lane */
	REQUEST_EXECUTED,  /* on the list of a batch or of a read round */
	REQUEST_FINISHED   /* on shard->finished, or on its way to done */
};

/* One index of ours that is not yet known to be committed, and who waits for it. */
struct batch {
	uint64_t index;
	uint64_t opened_us;  /* or when its first turn with requests began */
	struct list waiters; /* requests, in order of execution */
};
struct once_new {
	struct once_new *next;
	struct slice key;
};
/* A power of two; more than the hard window plus the open one. */
#define BATCH_RING 64
/* Beyond the window a full or old batch is still sealed, up to here; then requests are parked. */
#define BATCH_IN_FLIGHT_MAX 16
/* A hot key takes no room, however many write it: batches are bounded in transactions too. */
#define BATCH_TXNS KIB(64)
/* Keys and heads of the blocks of ids that a batch may get when it seals. */
#define ONCE_BLOCK_SLACK 512

/* Reads of one turn in which nothing was written wait here for a proof of leadership. */
struct read_round {
	struct replica_read read;
	struct shard *shard;
	struct list link;    /* on reads.running or reads.free */
	struct list waiters; /* requests */
};

#define APPLY_ITEM_ENTRIES 64
#define APPLY_ITEM_BYTES MIB(1)

struct apply {
	struct env_lane *lane;
	struct env_work work;
	struct env_timer again; /* an item that found no space, or a pause (pace.c) that ends */
	bool running, closing;
	bool waits;   /* the database found no space: the item is tried again, by again */
	bool telling; /* what was applied is being told: nothing is proposed from inside */
	/* Committed and not yet given to the lane: a ring. */
	struct entry **queue;
	size_t head, count, cap;
	size_t bytes; /* of all committed and not yet applied */
	bool behind;  /* the replica was told that they are too many (pace.c) */
	uint64_t pushed_index;
	/* The item under way: the lane's while running. */
	struct entry *items[APPLY_ITEM_ENTRIES];
	size_t item_count, item_done;
	struct store_meta meta;
	struct entry *configuration; /* the CHANGE entry that meta.configuration points into, or NULL */
	int status;
	struct err err;
	bool bundle_written;
	uint64_t young_files; /* of the database, behind it */
	/* When it began, and when the next one may. */
	uint64_t began_us, next_us;
	/* The loop's view of meta. */
	uint64_t index;
	struct chain chain;
	/* Since the last flush. */
	uint64_t flush_bytes, flush_entries;
	/* Flushing. */
	struct env_lane *flush_lane;
	struct env_work flush_work;
	bool flushing;
	int flush_status;
	uint64_t flush_index;
	struct err flush_err;
};

struct yield {
	enum { YIELD_IDLE, YIELD_DRAINING, YIELD_MOVING } phase;
	uint64_t target_id, timeout_ms;
	struct env_timer timer;
	void (*done)(struct shard *shard, int status);
	void (*cb)(void *owner, int status); /* an operator's */
	void *owner;
	struct list refused; /* of struct refusal: told in the next turn */
};

struct space {
	struct env_work work;
	bool running, low;
	int asked_status; /* these two are the lane's while running */
	uint64_t asked_bytes;
	int status;          /* of the last time that was asked: 0, or not known */
	uint64_t free_bytes; /* then */
	uint64_t checked_us;
};

struct keyspace {
	struct env_work work;
	struct command_census *census; /* under way, or NULL */
	bool more, known;
	uint64_t begun_us, as_of_us, next_us;
	struct census_count counts[CENSUS_DATABASES];
};

/* More load than can be executed (overload.c). */
struct overload {
	bool on;
	bool turn_full;   /* what else comes in this turn is refused */
	uint64_t long_us; /* the last turn that was too long */
	uint64_t began_us, stay_us, left_us;
	uint64_t since_us;       /* a window, while on */
	uint64_t taken, refused; /* in the window */
	/* Requests of this turn: of clients with others under way, and of clients without. */
	size_t following, fresh;
	bool shed;       /* some was refused */
	bool deferred;   /* some are taken at the end of the turn */
	size_t followed; /* following, in the turn before */
	size_t capacity; /* of a turn, as the last ones were */
};

struct shard {
	struct shard_config config;
	char *strings; /* the copied texts of config */
	struct replica_member *members;
	struct env *env;
	struct log *log;

	struct store *store;
	struct replica *replica;
	struct overlay *overlay;
	struct script_host *host;
	struct watchdog *watchdog; /* NULL: none */

	enum phase phase;
	bool failed; /* truth is lost: nothing more is written */
	enum replica_role role;
	uint64_t term, leader_id, open_index;
	bool opened;       /* on_open came for this term */
	bool handing_over; /* a transfer is under way: nothing is proposed */
	struct stamp stamp;
	struct prng prng;
	uint64_t hash_seed; /* of the overlay */

	/* execution */
	struct arena arena;        /* of the request that runs */
	struct buf once_reply[2];  /* RESP3 replies on their way into a record: of the request, of a CALL
				      inside it */
	struct once_new *once_new; /* keys of records that the running transaction made, in its arena */
	const struct command *bundle, *call, *row, *rows;

	/* proposing */
	struct env_turn turn;
	struct env_timer batch_timer;
	struct batch batches[BATCH_RING];
	uint64_t first_waiting;  /* lowest index whose waiters were not released */
	uint64_t proposed_index; /* highest index we proposed in this term */
	size_t batch_txns;       /* transactions that joined the open batch */
	bool stamped;            /* the open batch has this turn's stamp */
	bool in_turn;
	size_t turn_requests; /* submitted since the last turn hook, the first of them at turn_began_us */
	uint64_t turn_began_us;
	uint64_t turn_asked_us;      /* the last of them: what took the time since then has run */
	struct env_timer turn_timer; /* armed: the turn's time is spent, what comes waits for the loop's next */
	uint64_t spent_us;           /* since when requests are parked for that; 0: none are */
	struct overload overload;
	struct once_block once_block; /* ids of the open batch */
	struct buf payload;
	struct entry *unproposed; /* sealed, but the log was too busy */
	uint64_t unproposed_stamp, unproposed_index;

	/* releasing */
	uint64_t commit_index;
	struct list finished;
	struct {
		struct list running, free;
		size_t waiting;
	} reads;
	struct list parked;
	size_t parked_count;

	struct apply apply;
	struct space space;

	/* bundles */
	struct env_lane *compile_lane;
	struct list compiles;
	bool compile_wanted;         /* the active bundle is being compiled: executions stall */
	struct chain compile_failed; /* an active bundle that does not compile here */

	/* KEYS and DBSIZE */
	struct {
		struct env_lane *lane;
		struct list all;      /* of struct survey */
		struct list requests; /* of those that walk */
		size_t count;         /* that walk */
	} surveys;
	struct keyspace keyspace;

	/* background */
	struct env_timer tick;
	struct list hashes;
	struct command_expiry expiry;              /* of this term */
	uint64_t expiry_noted_ms, expiry_noted_at; /* what was written of it, and the index */
	uint8_t once_from[ONCE_AGE_KEY];
	uint64_t once_next_us;
	uint64_t event_from;
	bool background_more, lag_told, ahead_told;

	/* stopping and handing over */
	struct yield yield;
	bool has_left; /* nobody waits for an answer of ours */
	void (*left)(void *owner);
	void (*closed)(void *owner);

	void (*watch_applied)(void *owner, const struct entry *entry);
	void *watch_owner;

	struct shard_stats stats;
};

/* shard.c */
extern const struct replica_events shard_events;
void shard_tick_cb(struct env_timer *timer);
void shard_move(struct shard *shard, enum phase phase);
void shard_fail(struct shard *shard, const char *line);
/* Opening becomes leading when everything it waits for is there. */
void shard_try_lead(struct shard *shard);
void shard_lose(struct shard *shard);

/* request.c */
void request_park(struct request *request);
void request_unpark(struct request *request);
/* Replaces whatever reply there is by this code. */
void request_answer(struct request *request, enum code code, const char *details);
size_t request_bytes(const struct request *request);
/* The code an error reply begins with, and its outcome: a reply that is no error is done. */
void request_judge(struct slice reply, enum outcome *outcome, enum code *code);

/* admission.c */
enum code admission_check(struct shard *shard, const struct request *request, uint64_t now_us);
/* What a transaction that wrote still has to pass: CODE_NONE, NO_SPACE or OVERLOADED. */
enum code admission_write(struct shard *shard);
/* release_refuse with what there is to say about the code. */
void admission_refuse(struct shard *shard, struct request *request, enum code code);
/* It would not be CODE_NONE: what nobody asked for is left undone, so that reads go on. */
bool admission_tight(const struct shard *shard);
void admission_space(struct shard *shard);
void admission_space_stats(const struct shard *shard, struct shard_stats *stats);
/* Something found no space, or has found it again: asked at once. */
void admission_space_gone(struct shard *shard);
void admission_space_open(struct shard *shard);

/* overload.c */
void overload_init(struct shard *shard);
void overload_fini(struct shard *shard);
/* A turn gets its first request; a turn is over. */
void overload_turn(struct shard *shard, uint64_t now_us);
void overload_turn_end(struct shard *shard);
void overload_begin(struct shard *shard, uint64_t now_us);
/* The database is so far behind that what may write is refused. */
bool overload_lags(const struct shard *shard);
/* What else comes in this turn is too much. */
bool overload_fills(struct shard *shard, uint64_t now_us);
/* The turn's time is over, or what ran last took long: what is ready to run waits for the loop's next turn. */
bool overload_spends(struct shard *shard, uint64_t now_us);

/* execute.c */
/* Runs the request in the open batch; afterwards it waits, is finished, or is parked in front. now_us: it begins. */
void execute(struct shard *shard, struct request *request, uint64_t now_us);
/* A transaction of our own: run fills it and returns 0 or an error, then it is thrown away. False when
 * nothing could run now. */
bool execute_background(struct shard *shard, int (*run)(struct shard *shard, struct txn *txn));

/* propose.c */
void propose_init(struct shard *shard);
void propose_fini(struct shard *shard);
/* Leader, open, and the open batch takes requests. */
bool propose_ready(const struct shard *shard);
/* Opens a batch if none is, gives it this turn's stamp, and begins a transaction in the empty arena. */
struct txn *propose_begin(struct shard *shard);
struct batch *propose_batch(struct shard *shard, uint64_t index);
void propose_seal(struct shard *shard);
/* The open batch is large enough to go whatever the window says. */
bool propose_full(const struct shard *shard);
/* Seals whatever is open, window or not; reads of an empty batch get their round. */
void propose_flush(struct shard *shard);
/* An entry with nothing but a stamp, with this turn's batch. */
void propose_tick(struct shard *shard);
void propose_turn(struct shard *shard);
/* Forgets the open batch and what was not proposed, and drops the overlay. */
void propose_drop(struct shard *shard);
bool propose_idle(const struct shard *shard);

/* release.c */
void release_finish(struct shard *shard, struct request *request);
void release_refuse(struct shard *shard, struct request *request, enum code code, const char *details);
void release_committed(struct shard *shard);
void release_deliver(struct shard *shard);
void release_lost(struct shard *shard, enum code code);
void release_deadlines(struct shard *shard, uint64_t now_us);
void release_parked(struct shard *shard);
void release_park(struct shard *shard, struct request *request, bool in_front);

/* read.c */
void read_init(struct shard *shard);
void read_fini(struct shard *shard);
/* One proof for all on waiters, which is emptied. */
void read_start(struct shard *shard, struct list *waiters);
void read_lost(struct shard *shard, enum code code);

/* apply.c */
void apply_init(struct shard *shard);
void apply_open(struct shard *shard, const struct store_meta *meta);
void apply_push(struct shard *shard, struct entry *const *entries, size_t count);
/* A pause that is being made ends: this node is to lead. */
void apply_hurry(struct shard *shard);
void apply_close(struct shard *shard);
void apply_fini(struct shard *shard);

/* pace.c */
/* What a node waits behind an item that took work_us. */
uint64_t pace_pause_us(uint64_t young_files, uint64_t work_us);
/* Entries go into an item until it has so many: where pauses are made, many short ones. */
size_t pace_item_bytes(uint64_t young_files);
/* So much is not applied yet that a batch waits to be sealed until it is full. Without space nobody waits: what
 * is new is refused. */
bool pace_holds(const struct shard *shard);
/* There is more, or less, that is not applied. */
void pace_step(struct shard *shard);

/* survey.c */
/* Keys that a walk sees before the next one's turn: some ten milliseconds. */
#define SURVEY_SLICE_ROWS 10000
void survey_init(struct shard *shard);
void survey_open(struct shard *shard);
/* The lane; then whatever is left. The store is still open. */
void survey_close(struct shard *shard);
void survey_fini(struct shard *shard);
/* Its walk is to leave the loop. */
bool survey_wanted(const struct request *request);
/* Takes the request; 0, ERR_BUSY (too many, or too much is not applied), ERR_IO, ERR_CORRUPT. */
int survey_begin(struct shard *shard, struct request *request, struct txn *txn);
/* The answer was written: what it waits for, and where it was read. */
void survey_note(struct request *request);
/* The request needs its walk no longer, if it has one. */
void survey_forget(struct request *request);

/* keyspace.c */
void keyspace_fini(struct shard *shard);

/* bundle.c */
/* TALLY BUNDLE PUSH and CHECK: true when the request was taken (copied, compiling). */
bool bundle_take(struct shard *shard, struct request *request);
/* The rest of TALLY BUNDLE, in a transaction. */
int bundle_run(struct shard *shard, struct request *request, struct txn *txn, struct reply *reply);
/* Compiles the active bundle if this host has not; at once when blocking. */
void bundle_refresh(struct shard *shard, bool blocking);
void bundle_cancel(struct shard *shard, struct request *request);
/* Whoever waits for a compilation does so no longer. */
void bundle_refuse(struct shard *shard, enum code code);
void bundle_close(struct shard *shard);

/* yield.c */
void yield_init(struct shard *shard);
void yield_fini(struct shard *shard);
void yield_start(struct shard *shard, uint64_t target_id, uint64_t timeout_ms,
		 void (*done)(struct shard *shard, int status));
void yield_turn(struct shard *shard);
void yield_lost(struct shard *shard);

/* expiry.c */
/* A term begins. How far the last one came is not known: what it removed at its end may have been lost. */
void expiry_begin(struct shard *shard);
void expiry_tick(struct shard *shard, uint64_t now_us);

/* event.c */
int event_trim(struct shard *shard, struct txn *txn);

/* hash.c */
/* The lanes are closed. tell: whoever still waits gets its callback, cancelled. */
void hash_close(struct shard *shard, bool tell);

#endif /* ENGINE_SHARD_PRIVATE_H */

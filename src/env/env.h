/* The one door to the world: clocks, timers, sockets, files, background work
 * and random numbers. uv_env is production; the simulator
 * has another body. Code above this door cannot tell which it runs on.
 *
 * Threads. An env belongs to one loop thread; every function here is called
 * there, except the file functions, which a work item's run callback may also
 * call on its lane's thread, and an alarm's on its own. Callbacks come on the loop thread and never from
 * inside the call that started them.
 *
 * A turn of the loop: socket input and finished work first, then expired
 * timers, then the armed turn hooks, then sleep. So an expired timer always
 * finds the input of its turn already read (after a stall the election timer
 * does not fire before the heartbeat that waits in the socket), and a turn
 * hook sees everything that arrived together: that is where batches are sealed
 * and output is flushed.
 *
 * Death. The simulator may kill an env at any event. From then on no callback
 * fires, starts do nothing, and the owner frees its memory without waiting. */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include "base/err.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/slice.h"

/* Private to env: the part all bodies share (schedule.c has timers and turn hooks). */
struct env {
	const struct env_ops *ops; /* env_ops.h */
	struct heap timers;
	struct list hooks;
	struct list hooks_mark; /* the end of the round that runs */
	uint64_t order;  /* of arming, breaks ties */
	uint64_t due_us; /* timers up to here have fired or are firing */
	bool dead;       /* killed: nothing starts any more */
};

/* ---- clocks and chance ---- */

/* Monotonic, microseconds since some start; never falls. */
uint64_t env_now_us(struct env *env);
static inline uint64_t env_now_ms(struct env *env) { return env_now_us(env) / 1000; }
/* The wall clock, milliseconds since 1970; may jump. */
uint64_t env_wall_ms(struct env *env);
/* Unpredictable bytes in production, the seed's in the simulator. */
void env_random(struct env *env, void *bytes, size_t len);

/* ---- timers: embedded by the owner, no memory, stopping is immediate ---- */

struct env_timer {
	struct heap_node node; /* at: microseconds; private to env */
	struct env *env;
	void (*cb)(struct env_timer *timer);
};

void env_timer_init(struct env *env, struct env_timer *timer, void (*cb)(struct env_timer *));
/* Arms or re-arms for a time of env_now_us(); a time in the past fires in the next turn. One shot. */
void env_timer_start_at(struct env_timer *timer, uint64_t at_us);
void env_timer_start(struct env_timer *timer, uint64_t after_ms);
/* Afterwards cb is not called. Harmless when not armed. */
void env_timer_stop(struct env_timer *timer);
static inline bool env_timer_armed(const struct env_timer *timer) { return heap_holds(&timer->node); }

/* ---- turn hooks: once, at the end of this turn ---- */

struct env_turn {
	struct list link; /* private to env */
	struct env *env;
	void (*cb)(struct env_turn *turn);
};

void env_turn_init(struct env *env, struct env_turn *turn, void (*cb)(struct env_turn *));
/* Asks for one call at the end of this turn, in order of arming; armed again
 * inside a hook it runs in a further round of the same turn. Idempotent. */
void env_turn_arm(struct env_turn *turn);
void env_turn_cancel(struct env_turn *turn);

/* ---- streams ---- */

/* Addresses are "host:port": IPv4, [IPv6] or a name. Its parts; host gets no brackets. False when it is neither or does
 * not fit. */
bool env_address_split(const char *address, char *host, size_t host_size, unsigned *port);

struct env_stream; /* owned by env from connect/accept until its closed event */

/* All events of one stream; owner is what env_stream_set gave. */
struct env_stream_events {
	/* The outcome of env_connect: 0 or an error (then closed follows). Never for accepted streams,
	 * nor after env_stream_close. */
	void (*opened)(void *owner, int status);
	/* Bytes arrived; borrowed until the return. */
	void (*data)(void *owner, struct slice bytes);
	/* Exactly once, the last event: ERR_CLOSED after the peer's end of stream or
	 * a reset, ERR_CANCELLED after env_stream_close, else why opening failed. The
	 * stream is gone when this returns. An end of stream closes both halves, but
	 * only after writes already queued were sent or failed. */
	void (*closed)(void *owner, int status);
	/* Optional. The peer ended its half (it may still read): no more data comes,
	 * writes go on, and the owner calls env_stream_close when it has said all (a write that fails closes it with ERR_CLOSED).
	 * NULL: an end of stream closes both halves, as closed tells. A body that
	 * cannot tell the halves apart need not call it. */
	void (*ended)(void *owner);
};

/* Starts connecting. TCP_NODELAY is always on, and who is silent for long is asked by the kernel whether he is there
 * (LIMIT_SILENT_S), of accepted streams too. Never fails at once: see opened. Of a name with several
 * addresses each is tried, in the resolver's order, until one connects; the failure told is the last one's. What the
 * resolver said may be used again for a few seconds.
 * An address that stays silent holds up those behind it until the kernel gives it up. */
struct env_stream *env_connect(struct env *env, const char *address, const struct env_stream_events *events, void *owner);
/* Changes who gets the events, e.g. once a hello told what a stream is. */
void env_stream_set(struct env_stream *stream, const struct env_stream_events *events, void *owner);

/* A write in progress, embedded by the caller, who keeps the bytes until cb. */
struct env_write {
	struct list link;                                     /* private to env */
	struct env_stream *stream;                            /* private to env */
	void (*cb)(struct env_write *write, int status);      /* exactly once, later: 0, ERR_CLOSED or ERR_CANCELLED */
	uint64_t impl[24];                                    /* private to env */
};
#define ENV_WRITE_SLICES_MAX 64
/* Sends the slices in order (1 to ENV_WRITE_SLICES_MAX of them); the array is copied, the bytes are not. */
void env_stream_write(struct env_stream *stream, struct env_write *write, const struct slice *slices, size_t count);
/* Bytes given to env_stream_write and not yet taken by the kernel. */
size_t env_stream_unsent(const struct env_stream *stream);
/* Stops and starts the data events (backpressure). Streams start reading. */
void env_stream_pause(struct env_stream *stream);
void env_stream_resume(struct env_stream *stream);
/* Ends our half, when every write has been called back: the peer reads an end of stream, and what it still sends arrives
 * until it ends or breaks. False when this body has no halves: then close. */
bool env_stream_finish(struct env_stream *stream);
/* Closes, dropping what is unsent; writes end with ERR_CANCELLED, then closed comes. Idempotent. */
void env_stream_close(struct env_stream *stream);
/* "host:port" of the far side, valid while the stream is. */
const char *env_stream_peer(const struct env_stream *stream);

struct env_listener;
/* Binds and listens; of a name, on every address that it has and this machine
 * has, one at least, with one port. accepted is called with a new stream that has
 * no events yet: the callee must call env_stream_set or env_stream_close before it
 * returns. Errors (one of them in use, no such address) fill err and return NULL. */
struct env_listener *env_listen(struct env *env, const char *address,
                                void (*accepted)(void *owner, struct env_stream *stream), void *owner,
                                struct err *err);
/* The port that was bound, useful after ":0". */
unsigned env_listener_port(const struct env_listener *listener);
/* Accepts no more; the memory goes when env is ready. No callback. */
void env_listener_close(struct env_listener *listener);

/* ---- files: blocking; only in a work item's run, or while a node opens ---- */

struct env_file;
enum env_file_flags {
	ENV_FILE_READ = 1,
	ENV_FILE_WRITE = 2,
	ENV_FILE_CREATE = 4,    /* made if absent, mode 0600 */
	ENV_FILE_EXCLUSIVE = 8, /* with CREATE: ERR_EXISTS if present */
};

/* Errors of all: ERR_NOT_FOUND, ERR_EXISTS, ERR_NO_SPACE, ERR_DENIED, ERR_IO. */
int env_file_open(struct env *env, const char *path, unsigned flags, struct env_file **file);
void env_file_close(struct env_file *file);
/* Reads up to len bytes; *got < len only at the end of the file. */
int env_file_read(struct env_file *file, uint64_t offset, void *bytes, size_t len, size_t *got);
/* Writes all of it, or fails; after a failure any part may have been written. */
int env_file_write(struct env_file *file, uint64_t offset, const void *bytes, size_t len);
/* Data and size are durable on 0. After a failure nothing may be assumed: the caller stops. */
int env_file_sync(struct env_file *file);
int env_file_truncate(struct env_file *file, uint64_t size);
/* Real zeroes up to size, so that later writes need no metadata (not fallocate alone; see the WAL's decision). */
int env_file_allocate(struct env_file *file, uint64_t size);
int env_file_size(struct env_file *file, uint64_t *size);

int env_mkdir(struct env *env, const char *path); /* mode 0700; ERR_EXISTS */
int env_rename(struct env *env, const char *from, const char *to);
int env_unlink(struct env *env, const char *path);
/* Creations, renames and removals inside path are durable on 0. */
int env_dir_sync(struct env *env, const char *path);
/* Names in path (no "." and ".."), in byte order, one call each; stops when visit returns non-zero and returns that. */
int env_dir_list(struct env *env, const char *path, int (*visit)(void *owner, const char *name), void *owner);
int env_free_space(struct env *env, const char *path, uint64_t *bytes);
/* An exclusive lock on a file (made if absent), held until released or the process ends. ERR_LOCKED when another has it. */
struct env_lock;
int env_lock_take(struct env *env, const char *path, struct env_lock **lock);
void env_lock_release(struct env_lock *lock);

/* ---- background work: lanes ---- */

/* A lane runs its work items one after the other, in order, on a thread of its
 * own: one lane a kind of work. */
struct env_lane;
enum env_lane_priority { ENV_LANE_NORMAL, ENV_LANE_LOW };
struct env_work {
	struct list link;      /* private to env */
	struct env_lane *lane; /* private to env */
	/* On the lane's thread: touches only what the work owns, and files. Failures go into fields of the owner. */
	void (*run)(struct env_work *work);
	/* On the loop, later, in order of submission within a lane. */
	void (*done)(struct env_work *work);
};
struct env_lane *env_lane_open(struct env *env, const char *name, enum env_lane_priority priority);
void env_lane_submit(struct env_lane *lane, struct env_work *work);
/* Items given to the lane whose done was not called yet. */
size_t env_lane_pending(const struct env_lane *lane);
/* Waits for the item that runs; drops the others without done (their owner is
 * closing and knows them). The lane is gone afterwards. */
void env_lane_close(struct env_lane *lane);

/* ---- an alarm over the loop's thread ---- */

/* For a piece of work on the loop that must not take longer: asked to end when the loop's thread has used an eighth
 * of limit_us of processor time since the alarm was set, and it rings when it has used all of that. Time in which the
 * process is stopped, waits for a disk or gets no processor is not used. Where processor time is not real (the
 * simulator) nobody is asked, and an alarm never rings.
 *
 *   CLEAR ── set ──> SET ────────────────────────> ASKED ── clear ──> CLEAR
 *                     │ an eighth was used           └── all was used: rang() on the alarm's thread ──> RINGING:
 *                     └── clear ──> CLEAR                                          clear does not return
 *
 * So whoever rings finds what was written before the set as it was, and nothing of that work gets out; and no
 * work is asked for the sake of another.
 *
 * Work of several parts may be eased between those that it rings for: what is used then counts and is asked to end
 * as ever, but nothing rings until it is pressed again. To ease is an end like clear. */
struct env_alarm {
	struct env *env;
	uint64_t limit_us;
	/* On the alarm's own thread, once: may use files, and must end the process. */
	void (*rang)(struct env_alarm *alarm);
	/* 0, or which set this is (odd) with ENV_ALARM_ASKED and ENV_ALARM_EASED in it, or ENV_ALARM_RINGING. Private
	 * to env, but the work may look at ENV_ALARM_ASKED by itself, with a relaxed load. */
	uint64_t word;
	uint64_t count; /* private to env, the loop's */
};
enum { ENV_ALARM_ASKED = 2, ENV_ALARM_RINGING = 2, ENV_ALARM_EASED = 4 };
/* env, limit_us (at least a millisecond) and rang are filled, the rest is zero. */
void env_alarm_open(struct env_alarm *alarm);
/* Not while it is set. */
void env_alarm_close(struct env_alarm *alarm);
void env_alarm_hold(struct env_alarm *alarm); /* private to env; does not return */

static inline void env_alarm_set(struct env_alarm *alarm)
{
	alarm->count += 8;
	__atomic_store_n(&alarm->word, alarm->count | 1, __ATOMIC_RELEASE);
}

/* Whether the work is asked to end: it had better. */
static inline bool env_alarm_asks(const struct env_alarm *alarm)
{
	return (__atomic_load_n(&alarm->word, __ATOMIC_RELAXED) & ENV_ALARM_ASKED) != 0;
}

static inline void env_alarm_clear(struct env_alarm *alarm)
{
	if (__atomic_exchange_n(&alarm->word, 0, __ATOMIC_ACQ_REL) == ENV_ALARM_RINGING) {
		env_alarm_hold(alarm);
	}
}

/* While it is set. */
static inline void env_alarm_ease(struct env_alarm *alarm)
{
	if (__atomic_fetch_or(&alarm->word, ENV_ALARM_EASED, __ATOMIC_ACQ_REL) == ENV_ALARM_RINGING) {
		env_alarm_hold(alarm);
	}
}

static inline void env_alarm_press(struct env_alarm *alarm)
{
	__atomic_fetch_and(&alarm->word, ~(uint64_t)ENV_ALARM_EASED, __ATOMIC_RELEASE);
}

#endif /* ENV_ENV_H */

/* libtally: the C client of Tally.
 *
 * A client is connected to one cluster, learns who leads, pipelines requests,
 * reconnects with back-off and jitter, and repeats what may be repeated under
 * the same request id until the deadline. Everything is asynchronous on the
 * caller's libuv loop; tally_sync_* is a blocking façade with a loop of its own.
 *
 * Outcomes. Every call ends in exactly one of five; each has one action:
 *   TALLY_DONE      it happened, once
 *   TALLY_REFUSED   it did not and never will as asked
 *   TALLY_CONFLICT  it did not; read again and ask under a new id
 *   TALLY_RETRY     it did not (the deadline came first); ask again, same id
 *   TALLY_UNKNOWN   it may have; ask again under the same id
 * They speak of all attempts of the call, and of an earlier call of this client under the same id (given by
 * the caller, or among the arguments of tally_call_start, when all of them are the same) that ended UNKNOWN: of
 * nearly all of the newest thousand. Of calls of other programs, perhaps one that is no more, the client knows
 * nothing, and a copy may still come: with SETTLE as the first of the words (tally_command_start with the id) a
 * refusal is kept and stands.
 *
 * Threads: a client belongs to its loop's thread, a tally_sync to the thread that calls it: to one at a time. Others
 * open their own; clients know nothing of each other, and nothing here survives a fork(). Requests are structs of the
 * caller, embedded where he likes, untouched by him until the callback, which comes exactly once and never before the
 * starting function has returned, also when the client closes: who starts a call with a struct that is under way
 * breaks the client. A callback may start calls, also with the same struct, may free it, and may close the client.
 * Text given to a start function is copied, and kept until the call ends: a client has no bound of its own on how many
 * wait, and while no node is reached each does for its deadline. Memory that is not there ends the process.
 *
 * Time is a monotonic clock's (CLOCK_MONOTONIC): what it does while the machine sleeps is the system's matter. A
 * process that was stopped, or whose virtual machine was, ends the calls whose deadline passed meanwhile as soon as
 * it runs, after it has read the answers that had come.
 *
 * More than the cluster answers. Calls wait in the client while its connections are full (pipeline_max). When so
 * many wait that one would not be answered before its deadline, it ends in a millisecond: TALLY_RETRY,
 * OVERLOADED, attempts 0. So timeout_ms also says how long a call may wait for its turn: 250 for a buyer who
 * watches, 60,000 for an import; and who asks again by himself after RETRY rests in between.
 *
 * What cannot be sent is not: the callback tells TALLY_REFUSED, with attempts 0. The code is TOO_LARGE for more
 * than 1,310,720 bytes of text (158 of which may go to the id and what is put in front) or for a million words;
 * VALIDATION for a NULL where a text or a list is wanted (bytes may be NULL when their length is 0), an id that
 * is empty or longer than 128 bytes, no words, a limit or a timeout out of its range. Where an earlier call under
 * the id ended UNKNOWN this one does, too, with that code. Only tally, call and cb must not be NULL: there would
 * be nobody to tell.
 *
 * To build: cc shop.c $(pkg-config --cflags --libs tally), and libuv behind tally for a program with a loop of
 * its own. */
#ifndef TALLY_H
#define TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TALLY_VERSION "0.1.0"

struct uv_loop_s;
struct tally;

enum tally_outcome { TALLY_DONE, TALLY_REFUSED, TALLY_CONFLICT, TALLY_RETRY, TALLY_UNKNOWN };

struct tally_options {
	const char *servers;       /* "host:port,host:port": client ports, any of the cluster, 32 at most; IPv6 as [address]:port */
	unsigned connections;      /* to the leader, up to 1024; 0 means 1. Requests are spread over them */
	unsigned pipeline_max;     /* requests under way a connection before starts queue, up to 8192; 0 means 1024 */
	bool meta;                 /* ask the server to tell index and node with each answer: tally_call_meta */
	bool direct;               /* for tools that ask one node: the first of servers that answers, whoever leads */
};

/* NULL when servers cannot be parsed, a number is out of its range, or loop or options is NULL; nothing is waited
 * for. Why goes to error (size bytes), if not NULL. options and its text are copied. The client keeps the loop
 * running until it is closed: uv_run(loop, UV_RUN_DEFAULT) does not return before. */
struct tally *tally_open(struct uv_loop_s *loop, const struct tally_options *options, char *error, size_t size);
/* Once, neither tally nor closed being NULL. Ends every request under way (RETRY or UNKNOWN), then calls closed, from
 * the loop, after which the memory is gone. What is started in between ends at once, unsent. closed waits for the
 * resolver when it was asked for a name and has not answered yet. */
void tally_close(struct tally *tally, void (*closed)(void *data), void *data);

/* A UUIDv7 as 36 characters and a NUL. */
#define TALLY_ID_SIZE 37
void tally_id_make(struct tally *tally, char id[TALLY_ID_SIZE]);

/* ---- arguments ---- */

/* An argument that the procedure declares as bool is the text "true" or "false", a list or record its JSON. One
 * that is optional is left out. */

struct tally_arg {
	const char *name;
	int type; /* private */
	const char *text;
	size_t len;
	int64_t integer;
};
static inline struct tally_arg tally_int(const char *name, int64_t value)
{
	struct tally_arg arg = {name, 1, NULL, 0, value};
	return arg;
}
struct tally_arg tally_str(const char *name, const char *value); /* NUL-terminated */
struct tally_arg tally_bytes(const char *name, const void *value,
			     size_t len); /* borrowed until the call has started */

/* ---- values ---- */

enum tally_type { TALLY_NIL, TALLY_INT, TALLY_TEXT, TALLY_LIST, TALLY_MAP, TALLY_BOOL, TALLY_FLOAT };
struct tally_value; /* borrowed from a finished call, valid until its callback returns */
enum tally_type tally_value_type(const struct tally_value *value);
int64_t tally_value_int(const struct tally_value *value, int64_t otherwise);
double tally_value_float(const struct tally_value *value, double otherwise);
const char *tally_value_text(const struct tally_value *value, size_t *len); /* NUL-terminated; NULL when no text */
size_t tally_value_count(const struct tally_value *value);
const struct tally_value *tally_value_at(const struct tally_value *value, size_t at);             /* LIST, or a MAP's values */
const char *tally_value_key_at(const struct tally_value *value, size_t at, size_t *len);          /* MAP */
const struct tally_value *tally_value_get(const struct tally_value *value, const char *key);      /* MAP; NULL if absent */

/* ---- calls ---- */

struct tally_call;
typedef void (*tally_call_cb)(struct tally_call *call);

/* data is yours; the rest is not. */
struct tally_call {
	void *data;
	void *private_[48];
};

/* Calls a procedure. timeout_ms: 1 to 600,000. A procedure that declares a request id gets it from its argument; others
 * run under a fresh id, so a repeat happens once. A call that outlives the program's memory of it (an order) should
 * declare its id or be given one: then a restarted program asks again and learns what happened. */
void tally_call_start(struct tally *tally, struct tally_call *call, const char *procedure, const struct tally_arg *args,
                      size_t arg_count, unsigned timeout_ms, tally_call_cb cb);
/* The same under a request id of the caller's (may be NULL: none; then nothing is repeated after it was sent). */
void tally_call_start_once(struct tally *tally, struct tally_call *call, const char *id, const char *procedure,
                           const struct tally_arg *args, size_t arg_count, unsigned timeout_ms, tally_call_cb cb);
/* Any Redis command: words[0] is its name. id as above; reads may pass NULL and are repeated (TALLY_READ). */
enum tally_flags { TALLY_READ = 1, TALLY_DRYRUN = 2 };
void tally_command_start(struct tally *tally, struct tally_call *call, const char *id, const char *const *words,
                         const size_t *lens, size_t count, unsigned flags, unsigned timeout_ms, tally_call_cb cb);
/* The key's value, or NIL. */
void tally_get_start(struct tally *tally, struct tally_call *call, const char *key, size_t key_len, unsigned timeout_ms, tally_call_cb cb);
/* Under a fresh id, so that a repeat happens once; so is tally_del_start. */
void tally_set_start(struct tally *tally, struct tally_call *call, const char *key, size_t key_len, const void *value,
                     size_t value_len, unsigned timeout_ms, tally_call_cb cb);
/* An INT: 1, or 0 when there was no such key. */
void tally_del_start(struct tally *tally, struct tally_call *call, const char *key, size_t key_len, unsigned timeout_ms, tally_call_cb cb);
/* Keys in [from, to), at most limit (1 to 10,000): a MAP of key to value, in the order of keys. */
void tally_range_start(struct tally *tally, struct tally_call *call, const char *from, const char *to, unsigned limit,
                       unsigned timeout_ms, tally_call_cb cb);

/* In the callback; texts and values are borrowed until it returns: */
enum tally_outcome tally_call_outcome(const struct tally_call *call);
const struct tally_value *tally_call_value(const struct tally_call *call); /* DONE; otherwise the error's details (a MAP) or NULL */
const char *tally_call_code(const struct tally_call *call);    /* "SOLD_OUT"; "" when DONE */
const char *tally_call_message(const struct tally_call *call); /* the error line; "" when DONE */
bool tally_call_replayed(const struct tally_call *call);       /* an earlier attempt had done it */
/* What the server told beside the value, a MAP, or NULL: replayed, index, node; needs options.meta. */
const struct tally_value *tally_call_meta(const struct tally_call *call);
unsigned tally_call_attempts(const struct tally_call *call);   /* how often it was sent */
bool tally_call_was_unknown(const struct tally_call *call);    /* some attempt (or an earlier call under its id) ended without an answer */
uint64_t tally_call_latency_us(const struct tally_call *call); /* from start to callback */

const char *tally_outcome_name(enum tally_outcome outcome);

struct tally_stats {
	/* sent counts attempts, repeats those after a call's first; done to unknown are calls that ended so */
	uint64_t sent, done, refused, conflict, retry, unknown, repeats, reconnects, leader_changes;
	unsigned connected; /* connections up */
	char leader[128];   /* client address, "" when unknown */
};
void tally_stats(const struct tally *tally, struct tally_stats *stats);

/* ---- blocking façade: one call at a time, for tools and tests ---- */

struct tally_sync;
/* NULL as tally_open. A client without a server to reach opens too: calls then end in RETRY. */
struct tally_sync *tally_sync_open(const struct tally_options *options, char *error, size_t size);
void tally_sync_close(struct tally_sync *sync); /* NULL ok */
/* The call's results stay valid until the next call or close. */
/* id NULL: as tally_call_start; else as tally_call_start_once. */
const struct tally_call *tally_sync_call(struct tally_sync *sync, const char *id, const char *procedure,
                                         const struct tally_arg *args, size_t arg_count, unsigned timeout_ms);
const struct tally_call *tally_sync_command(struct tally_sync *sync, const char *id, const char *const *words,
                                            const size_t *lens, size_t count, unsigned flags, unsigned timeout_ms);
/* The client behind it, for ids and figures; owned by sync, not to be closed. Its loop runs only inside of these calls. */
struct tally *tally_sync_client(struct tally_sync *sync);

#ifdef __cplusplus
}
#endif

#endif /* TALLY_H */

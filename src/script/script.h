/* Scripts: bundles of procedures with declared tables, and Redis' EVAL and
 * FUNCTION. Lua 5.4 is a guest: it reads and writes through one transaction,
 * receives its time, returns a value, and reaches nothing else.
 *
 * A host belongs to one shard's loop. Compiling a bundle makes a machine of its
 * own and may run on a lane (script_compile); everything else is the loop's.
 * Whatever a script does ends within its budgets.
 *
 * Every run function writes exactly one reply. It returns 0 when the request is
 * done, or ERR_DENIED when it was refused or failed: then an error reply was
 * written and the caller must roll the transaction back to its mark. ERR_IO,
 * ERR_CORRUPT: the store failed; ERR_FULL: the request does not fit a transaction. */
#ifndef SCRIPT_SCRIPT_H
#define SCRIPT_SCRIPT_H

#include "base/arena.h"
#include "base/checksum.h"
#include "base/err.h"
#include "base/log.h"
#include "base/outcome.h"
#include "script/refused.h"
#include "txn/txn.h"
#include "wire/reply.h"

struct script_host;
struct script_host *script_host_new(struct log *log);
void script_host_free(struct script_host *host);

/* Who watches over the calls: is told of each, what is refused aside, right before its script runs and right
 * behind. What `running` points to stays as it is in between. Another thread
 * sets one of these bits when the call is late; it ends at the next look, with BUDGET_EXCEEDED. */
struct script_watch {
	const struct refused *refused; /* answered with SCRIPT_REFUSED. Borrowed, as owner, by the host */
	const uint64_t *late;          /* borrowed as well */
	uint64_t late_bits;
	void (*begin)(void *owner, const struct script_identity *running);
	void (*end)(void *owner);
	void *owner;
};
/* Before the first call; without one nothing is refused. */
void script_host_watch(struct script_host *host, const struct script_watch *watch);

/* ---- bundles ---- */

struct script_file {
	struct slice name;   /* "order/flash_buy.lua", "tables.lua", "lib/money.lua" */
	struct slice source; /* <= LIMIT_SCRIPT_SOURCE */
};
/* A compiled bundle: a machine of its own with every procedure, schema and table in it. */
struct script_bundle;
/* Compiles and checks everything that can be checked without data. Touches nothing shared:
 * for any thread. On ERR_INVALID err says `file:line: reason`. */
int script_compile(struct slice bundle_name, const struct script_file *files, size_t count,
		   struct script_bundle **bundle, struct err *err);
void script_bundle_free(struct script_bundle *bundle);               /* one that was never installed */
struct chain script_bundle_hash(const struct script_bundle *bundle); /* of names and sources */
/* Gives a compiled bundle to the host's cache (consumed); a few are kept by hash. */
void script_install(struct script_host *host, struct script_bundle *bundle);
bool script_installed(const struct script_host *host, struct chain hash);

/* Writes sources and the active version into the transaction; the bundle is installed. Reply: map of name,
 * version, procedures. Refused when tables changed in a way old rows cannot follow; OVERLOADED (retry) when others
 * took its place in the host's cache meanwhile. */
int script_push(struct script_host *host, struct txn *txn, struct arena *arena, struct slice bundle_name,
		const struct script_file *files, size_t count, struct reply *reply);
/* Reads the active bundle's name, version, hash and files through the txn; ERR_NOT_FOUND when none. For
 * compiling at apply and at start. */
struct script_active {
	struct slice name;
	uint64_t version;
	struct chain hash;
	struct script_file *files;
	size_t count;
};
int script_active(struct txn *txn, struct arena *arena, struct script_active *active);
/* The key of the active-version row: whoever applies a write to it compiles. */
struct slice script_active_key(void);
/* Reply: array of maps, one a procedure: bundle ("commerce@7"), name, writes, once, keep, args, result,
 * fails. */
int script_list(struct script_host *host, struct txn *txn, struct arena *arena, struct reply *reply);

/* ---- calls ---- */

struct script_call; /* one call, in the arena */

/* Finds the procedure in the active bundle and parses the arguments (name, value, name,
 * value …) against its declaration. On refusal the reply is written (NO_SUCH_PROCEDURE,
 * VALIDATION, …) and ERR_DENIED returned. ERR_BUSY: the active bundle is not compiled
 * here yet; the caller compiles and tries again. */
int script_prepare(struct script_host *host, struct txn *txn, struct arena *arena, struct slice procedure,
		   const struct slice *args, size_t arg_count, struct script_call **call,
		   struct reply *reply);
bool script_call_writes(const struct script_call *call);
/* The argument declared as request id, or SLICE_NONE. */
struct slice script_call_once(const struct script_call *call);
/* keep = "all": refusals leave a record too; "success": they do not. */
bool script_call_keeps_refusals(const struct script_call *call);
/* Procedure and parsed arguments, independent of order and spelling. */
struct chain script_call_fingerprint(const struct script_call *call);
/* Runs it. On 0 the reply is the result: a map in RESP3, one bulk string of JSON in RESP2. *code tells how it
 * ended (a declared code of the procedure counts as CODE_NONE; outcome is right in any case). */
int script_run(struct script_call *call, struct reply *reply, enum outcome *outcome);

/* ROW table key… and ROWS table from… [TO key…] [LIMIT n]: argv after the word. */
int script_row(struct script_host *host, struct txn *txn, struct arena *arena, const struct slice *argv,
	       size_t argc, struct reply *reply);
int script_rows(struct script_host *host, struct txn *txn, struct arena *arena, const struct slice *argv,
		size_t argc, struct reply *reply);

/* ---- EVAL, EVALSHA, SCRIPT, FUNCTION, FCALL and their _RO forms, as Redis 7 ---- */

struct script_redis {
	struct script_host *host;
	struct txn *txn;
	struct arena *arena;
	unsigned db;
	const struct slice *argv; /* the whole command */
	size_t argc;
	struct reply *reply;
	uint64_t random; /* seed drawn by the engine */
};
int script_redis_run(struct script_redis *call);

struct script_stats {
	uint64_t calls, failures, steps, budget_exceeded, memory_exceeded, compiled, scripts_cached;
	uint64_t refused, refused_calls; /* scripts on the list; calls of them */
};
void script_stats(const struct script_host *host, struct script_stats *stats);

#endif /* SCRIPT_SCRIPT_H */

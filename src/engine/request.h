/* One request to a shard: what it asks, and how it stands.
 *
 *   made by server/dispatch or a forwarded frame
 *     │ shard_submit
 *     ├── refused at the door (overload, deadline, no space) ───────────────┐
 *     ▼                                                                     │
 *   EXECUTED in the open batch, reply written but held                      │
 *     ├── the batch is proposed: waits for its commit ──────────────┐       │
 *     └── nobody wrote in it: a ReadIndex round, then the commit ───┤       │
 *         of what it read, if that is still under way               │       │
 *                        leadership lost: retry or unknown ─────────┤       │
 *                                                                   ▼       ▼
 *                                                                  FINISHED: done() once
 *   In front of that it may be PARKED (nothing can run now), COMPILING or SURVEYING (shard_private.h).
 *
 * The caller embeds and owns the struct; it stays until done. argv and all it points to
 * are borrowed only until shard_submit returns (a request that must wait is
 * copied). The reply's bytes are the request's until the caller is through. */
#ifndef ENGINE_REQUEST_H
#define ENGINE_REQUEST_H

#include "base/buf.h"
#include "base/list.h"
#include "base/outcome.h"
#include "command/command.h"

enum request_kind {
	REQUEST_ONE,  /* one command */
	REQUEST_EXEC, /* queued commands, all in one transaction, and watched versions */
	REQUEST_WATCH /* keys: the reply is an array of versions, for the session only */
};

struct request_command {
	const struct command *command;
	const struct slice *argv; /* argv[0] is the name */
	size_t argc;
	unsigned db; /* this command's: SELECT may stand between queued ones. Equal to request.db for
			REQUEST_ONE */
};
struct request_watch {
	struct slice key;
	unsigned db;
	uint64_t version; /* of command_key_version */
};

/* Prefixes of a command: ONCE id, DEADLINE ms, SETTLE, DRYRUN, EXPLAIN, in any order. */
struct request_envelope {
	struct slice once;    /* request id, or SLICE_NONE */
	uint64_t deadline_ms; /* from arrival; 0: the node's default */
	bool settle;          /* a refusal is kept under the request id as well */
	bool dryrun, explain; /* run, answer, write nothing; explain tells reads and writes instead */
};

struct request {
	/* set by the caller */
	enum request_kind kind;
	int protocol; /* 2 or 3: how the reply is written */
	unsigned db;
	struct slice user; /* scope of request ids; "default" */
	struct request_envelope envelope;
	const struct request_command *commands;
	size_t command_count;
	const struct request_watch *watches; /* EXEC: compared; WATCH: keys and db are set */
	size_t watch_count;
	uint64_t arrived_us;
	void (*done)(struct request *request);

	/* the answer, valid in done: exactly one reply in the asked protocol */
	struct buf reply; /* request_init sets it up; keeps its memory over uses */
	enum outcome outcome;
	enum code code; /* of ours, CODE_NONE otherwise */
	uint64_t index; /* where it was written (replayed: the first time), or the read point: it saw all
			   before (index, ordinal) */
	uint32_t ordinal;
	bool wrote, replayed;
	uint64_t first_ms; /* replayed: the stamp of the first time; 0 when not known */

	/* the shard's */
	struct list link;
	uint64_t wait_index, deadline_us;
	uint32_t admitted_bytes;
	uint8_t state;
	void *parked;
	struct survey *survey; /* KEYS, DBSIZE: their walk */
};

void request_init(struct request *request); /* once */
void request_fini(struct request *request);
/* Ready for the next use; keeps the reply's memory. */
void request_reset(struct request *request);

/* A command of it is one that writes, or a script: so an answer that does not come is unknown. (Reads delete
 * what they find expired, which nobody asked for.) */
bool request_may_write(const struct request *request);

/* Reads the prefixes in front of argv; *skip says how many words they took. On a bad one writes an
 * error reply and returns ERR_INVALID. */
int request_envelope_parse(const struct slice *argv, size_t argc, struct request_envelope *envelope,
			   size_t *skip, struct reply *reply);

#endif /* ENGINE_REQUEST_H */

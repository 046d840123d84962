/* What runs one request: private to run, guard and execute. */
#ifndef ENGINE_EXECUTION_H
#define ENGINE_EXECUTION_H

#include "engine/shard_private.h"

/* How one command, or all of a request, came out. */
struct verdict {
	enum outcome outcome;
	enum code code;
	bool replayed;
	uint64_t index; /* of the first time, when replayed */
	uint32_t ordinal;
	uint64_t first_ms;
};

struct execution {
	struct shard *shard;
	struct request *request;
	struct txn *txn;
	unsigned depth;  /* of request ids: 0 the request's own, 1 a CALL's inside it */
	const char *why; /* details of ERR_TOO_LARGE, or NULL */
	uint64_t began_us;
};

/* A request id around something that runs. */
struct guard {
	struct slice id;
	struct chain fingerprint;
	bool keeps_refusals, may_write;
	/* What runs when it is the first time: writes one reply. */
	int (*run)(struct execution *x, void *arg, struct reply *reply, struct verdict *verdict);
	void *arg;
	/* What is answered, for the kept reply. */
	const struct request_command *commands;
	size_t command_count;
	bool exec;
};

/* guard.c: the kept reply, a refusal of the id, or run for the first time. Writes one reply. 0, or the
 * request fails whole. */
int guard_run(struct execution *x, const struct guard *guard, struct reply *reply, struct verdict *verdict);

/* The record under guard->id, when what was asked then had the same words (the high half of the fingerprint).
 * 0, ERR_NOT_FOUND, ERR_IO or ERR_CORRUPT. */
int guard_recall(struct execution *x, const struct guard *guard, struct slice *value);
/* A record is there: writes the same answer, or that the id was used for something else. */
int guard_replay(struct execution *x, const struct guard *guard, struct slice value, struct reply *reply,
		 struct verdict *verdict);

/* run.c: all of x->request. Writes one reply. 0, or it fails whole: ERR_FULL, ERR_TOO_LARGE, ERR_BUSY (the
 * bundle is not compiled), ERR_IO, ERR_CORRUPT. */
int run_request(struct execution *x, struct reply *reply, struct verdict *verdict);
/* explain.c: the same, and what it would do, around its reply. */
int run_explained(struct execution *x, struct reply *reply, struct verdict *verdict);
/* survey.c: the answer of a walk that is through, instead of run_request. */
int survey_answer(struct execution *x, struct reply *reply, struct verdict *verdict);
/* How the reply that begins at begin came out. */
void verdict_judge(const struct reply *reply, size_t begin, struct verdict *verdict);
void verdict_answer(struct reply *reply, enum code code, struct verdict *verdict);

#endif /* ENGINE_EXECUTION_H */

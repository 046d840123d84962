/* Bundles of scripts: compiled on a lane before they are pushed, and again by every
 * member that applies the write of a new active version (docs/scripts.md).
 *
 *   PUSH   copied ── lane: compile ──> installed ──> executed as a transaction (script_push)
 *   CHECK  copied ── lane: compile ──> answered
 *   active version applied, or found at start: read ── lane: compile ──> installed
 */
#include "engine/shard_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BUNDLE_WORDS 3 /* BUNDLE PUSH name: the session has taken TALLY away */

struct compile {
	struct env_work work;
	struct list link; /* on shard->compiles */
	struct shard *shard;
	struct request *request; /* NULL: the active bundle, or the client has gone */
	void *orphaned;          /* the copied words of a request that has gone */
	bool push, active;
	struct chain hash; /* of the active bundle */
	struct arena arena;
	struct slice name;
	struct script_file *files;
	size_t count;
	struct script_bundle *bundle;
	int status;
	struct err err;
};

static void compile_run(struct env_work *work)
{
	struct compile *c = list_entry(work, struct compile, work);
	assert(c->bundle == NULL);
	c->status = script_compile(c->name, c->files, c->count, &c->bundle, &c->err);
}

static void compile_free(struct compile *c)
{
	list_remove(&c->link);
	free(c->orphaned);
	arena_fini(&c->arena);
	free(c);
}

static void compile_done(struct env_work *work);

static struct compile *compile_new(struct shard *shard)
{
	struct compile *c = calloc(1, sizeof *c);
	if (c == NULL) {
		fatal("out of memory: a bundle to compile");
	}
	c->shard = shard;
	c->work.run = compile_run;
	c->work.done = compile_done;
	arena_init(&c->arena, KIB(4));
	list_append(&shard->compiles, &c->link);
	return c;
}

/* ---- TALLY BUNDLE ---- */

static bool is_bundle(const struct request *request, const char *verb)
{
	if (request->kind != REQUEST_ONE) {
		return false;
	}
	const struct request_command *c = &request->commands[0];
	return c->argc >= 2 && slice_is_word(c->argv[0], "BUNDLE") && slice_is_word(c->argv[1], verb);
}

static void refuse_source(struct shard *shard, struct request *request, const char *reason)
{
	struct buf details;
	buf_init(&details, KIB(4));
	buf_append_text(&details, "\"reason\":\"");
	for (const char *p = reason; *p != 0; p++) {
		if (*p == '"' || *p == '\\') {
			buf_append_byte(&details, '\\');
		}
		buf_append_byte(&details, (uint8_t)*p < 0x20 ? ' ' : (uint8_t)*p);
	}
	buf_append(&details, "\"", 2); /* with its NUL */
	release_refuse(shard, request, CODE_SCRIPT_INVALID, (const char *)details.data);
	buf_fini(&details);
}

static struct script_file *files_of(const struct request *request, struct arena *arena, size_t *count)
{
	const struct request_command *c = &request->commands[0];
	assert(c->argc >= BUNDLE_WORDS);
	*count = (c->argc - BUNDLE_WORDS) / 2;
	struct script_file *files = arena_alloc(arena, (*count + 1) * sizeof *files);
	for (size_t i = 0; i < *count; i++) {
		files[i].name = c->argv[BUNDLE_WORDS + 2 * i];
		files[i].source = c->argv[BUNDLE_WORDS + 2 * i + 1];
	}
	return files;
}

bool bundle_take(struct shard *shard, struct request *request)
{
	bool push = is_bundle(request, "PUSH");
	if (!push && !is_bundle(request, "CHECK")) {
		return false;
	}
	size_t argc = request->commands[0].argc, bytes = request_bytes(request);
	if (argc < BUNDLE_WORDS + 2 || (argc - BUNDLE_WORDS) % 2 != 0) {
		release_refuse(shard, request, CODE_VALIDATION,
			       "\"reason\":\"TALLY BUNDLE PUSH name file source ...\"");
		return true;
	}
	if ((argc - BUNDLE_WORDS) / 2 > LIMIT_BUNDLE_FILES || bytes > LIMIT_BUNDLE_BYTES + KIB(64)) {
		release_refuse(shard, request, CODE_TOO_LARGE, NULL);
		return true;
	}
	struct compile *c = compile_new(shard);
	assert(request->state == REQUEST_IDLE);
	request_park(request);
	assert(request->parked != NULL); /* the lane reads the copy */
	request->state = REQUEST_COMPILING;
	c->request = request;
	c->push = push;
	c->name = request->commands[0].argv[2];
	c->files = files_of(request, &c->arena, &c->count);
	env_lane_submit(shard->compile_lane, &c->work);
	return true;
}

static void answer_check(struct shard *shard, struct request *request, const struct script_bundle *bundle)
{
	struct chain hash = script_bundle_hash(bundle);
	struct reply reply = {&request->reply, request->protocol};
	char text[33];
	snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)hash.high,
		 (unsigned long long)hash.low);
	buf_reset(&request->reply);
	reply_map(&reply, 2);
	reply_bulk_text(&reply, "name");
	reply_bulk(&reply, request->commands[0].argv[2]);
	reply_bulk_text(&reply, "hash");
	reply_bulk_text(&reply, text);
	request->outcome = OUTCOME_DONE;
	release_finish(shard, request);
}

/* The request's words are its own copy, which outlives the job. */
static void compiled_for_request(struct compile *c)
{
	struct shard *shard = c->shard;
	struct request *request = c->request;
	assert(request->state == REQUEST_COMPILING);
	assert(request->parked != NULL);
	assert(c->status != 0 || c->bundle != NULL);
	if (c->status != 0) {
		refuse_source(shard, request, c->err.text);
	} else if (!c->push) {
		answer_check(shard, request, c->bundle);
	} else if (shard->phase != PHASE_LEADING && shard->phase != PHASE_OPENING) {
		release_refuse(shard, request, CODE_LEADER_LOST, NULL);
	} else {
		script_install(shard->host, c->bundle);
		c->bundle = NULL;
		release_park(shard, request, false);
		env_turn_arm(&shard->turn);
	}
}

int bundle_run(struct shard *shard, struct request *request, struct txn *txn, struct reply *reply)
{
	if (is_bundle(request, "LIST")) {
		return script_list(shard->host, txn, &shard->arena, reply);
	}
	if (!is_bundle(request, "PUSH") || request->parked == NULL) {
		reply_code(reply, CODE_VALIDATION,
			   "\"reason\":\"TALLY BUNDLE PUSH, CHECK or LIST, not in a transaction\"");
		return ERR_DENIED;
	}
	size_t count;
	struct script_file *files = files_of(request, &shard->arena, &count);
	return script_push(shard->host, txn, &shard->arena, request->commands[0].argv[2], files, count,
			   reply);
}

/* ---- the active bundle ---- */

static void compiled_active(struct compile *c)
{
	struct shard *shard = c->shard;
	assert(shard->compile_wanted);
	assert(c->request == NULL);
	assert(c->status != 0 || c->bundle != NULL);
	shard->compile_wanted = false;
	if (c->status == 0) {
		script_install(shard->host, c->bundle);
		c->bundle = NULL;
	} else {
		shard->compile_failed = c->hash;
		log_event(shard->log, LOG_ERROR, "bundle_failed", "reason=\"%s\"", c->err.text);
	}
	bundle_refresh(shard, false); /* another may have become active meanwhile */
	shard_try_lead(shard);
	env_turn_arm(&shard->turn);
}

static void compile_finish(struct compile *c)
{
	if (c->active) {
		compiled_active(c);
	} else if (c->request != NULL) {
		compiled_for_request(c);
	}
	if (c->bundle != NULL) {
		script_bundle_free(c->bundle);
	}
	compile_free(c);
}

static void compile_done(struct env_work *work)
{
	compile_finish(list_entry(work, struct compile, work));
}

/* Through a transaction of its own, which reads the database alone when this node does not lead. */
static int read_active(struct shard *shard, struct compile *c)
{
	struct script_active active;
	struct txn *txn = txn_begin(shard->overlay, &c->arena);
	int rc = script_active(txn, &c->arena, &active);
	if (rc == 0) {
		c->hash = active.hash;
		c->name = arena_copy(&c->arena, active.name);
		c->count = active.count;
		c->files = arena_alloc(&c->arena, (active.count + 1) * sizeof *c->files);
		for (size_t i = 0; i < active.count; i++) {
			c->files[i].name = arena_copy(&c->arena, active.files[i].name);
			c->files[i].source = arena_copy(&c->arena, active.files[i].source);
		}
	}
	txn_abort(txn);
	return rc;
}

void bundle_refresh(struct shard *shard, bool blocking)
{
	if (shard->compile_wanted) {
		return; /* looks again when it is through */
	}
	struct compile *c = compile_new(shard);
	c->active = true;
	int rc = read_active(shard, c);
	if (rc != 0 || script_installed(shard->host, c->hash) ||
	    chain_equal(c->hash, shard->compile_failed)) {
		if (rc == ERR_IO || rc == ERR_CORRUPT) {
			log_event(shard->log, LOG_ERROR, "bundle_unreadable", "reason=\"%s\"", err_name(rc));
		}
		compile_free(c);
		return;
	}
	shard->compile_wanted = true;
	if (blocking) {
		compile_run(&c->work);
		compile_finish(c);
	} else {
		env_lane_submit(shard->compile_lane, &c->work);
	}
}

/* The job goes on without its request, whose copied words the lane still reads: they stay with the job. */
static struct request *orphan(struct compile *c)
{
	struct request *request = c->request;
	assert(request != NULL);
	assert(request->state == REQUEST_COMPILING);
	assert(c->orphaned == NULL);
	c->orphaned = request->parked;
	c->request = NULL;
	request->parked = NULL;
	return request;
}

void bundle_cancel(struct shard *shard, struct request *request)
{
	list_for_each (link, &shard->compiles) {
		struct compile *c = list_entry(link, struct compile, link);
		if (c->request == request) {
			orphan(c);
		}
	}
}

void bundle_refuse(struct shard *shard, enum code code)
{
	list_for_each (link, &shard->compiles) {
		struct compile *c = list_entry(link, struct compile, link);
		if (c->request != NULL) {
			release_refuse(shard, orphan(c), code, NULL);
		}
	}
}

void bundle_close(struct shard *shard)
{
	if (shard->compile_lane != NULL) {
		env_lane_close(shard->compile_lane);
		shard->compile_lane = NULL;
	}
	while (!list_empty(&shard->compiles)) {
		struct compile *c = list_entry(shard->compiles.next, struct compile, link);
		if (c->bundle != NULL) {
			script_bundle_free(c->bundle);
		}
		compile_free(c);
	}
}

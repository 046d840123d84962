#include "engine/request.h"

#include <assert.h>
#include <stdlib.h>

#include "base/limits.h"
#include "engine/shard_private.h"

void request_init(struct request *request)
{
	memset(request, 0, sizeof *request);
	list_init(&request->link);
	buf_init(&request->reply, LIMIT_REPLY);
}

void request_fini(struct request *request)
{
	request_unpark(request); /* its env may have been killed while it waited */
	buf_fini(&request->reply);
}

void request_reset(struct request *request)
{
	assert(request->state == REQUEST_IDLE);
	struct buf reply = request->reply;
	memset(request, 0, sizeof *request);
	request->reply = reply;
	list_init(&request->link);
	buf_reset(&request->reply);
}

bool request_may_write(const struct request *request)
{
	for (size_t i = 0; i < request->command_count; i++) {
		if ((request->commands[i].command->flags & (COMMAND_WRITE | COMMAND_SCRIPT)) != 0) {
			return true;
		}
	}
	return false;
}

size_t request_bytes(const struct request *request)
{
	size_t bytes = sizeof *request;
	for (size_t i = 0; i < request->command_count; i++) {
		const struct request_command *c = &request->commands[i];
		bytes += c->argc * sizeof(struct slice);
		for (size_t a = 0; a < c->argc; a++) {
			bytes += c->argv[a].len;
		}
	}
	for (size_t i = 0; i < request->watch_count; i++) {
		bytes += sizeof(struct request_watch) + request->watches[i].key.len;
	}
	return bytes;
}

/* Takes bytes from the front of a block that was measured before. */
static void *carve(uint8_t **at, size_t bytes)
{
	void *p = *at;
	*at += (bytes + 15) & ~(size_t)15;
	return p;
}

static struct slice carve_copy(uint8_t **at, struct slice s)
{
	if (s.len == 0) {
		return s;
	}
	void *p = *at;
	memcpy(p, s.data, s.len);
	*at += s.len;
	return slice_of(p, s.len);
}

static size_t rounded(size_t bytes)
{
	return (bytes + 15) & ~(size_t)15;
}

/* One block: the arrays first, aligned, then the bytes. */
void request_park(struct request *request)
{
	if (request->parked != NULL) {
		return;
	}
	size_t arrays = rounded(request->command_count * sizeof(struct request_command)) +
			rounded(request->watch_count * sizeof(struct request_watch));
	size_t texts = request->user.len + request->envelope.once.len;
	for (size_t i = 0; i < request->command_count; i++) {
		const struct request_command *c = &request->commands[i];
		arrays += rounded(c->argc * sizeof(struct slice));
		for (size_t a = 0; a < c->argc; a++) {
			texts += c->argv[a].len;
		}
	}
	for (size_t i = 0; i < request->watch_count; i++) {
		texts += request->watches[i].key.len;
	}
	uint8_t *block = malloc(arrays + texts + 1);
	if (block == NULL) {
		fatal("out of memory: %zu bytes to park a request", arrays + texts);
	}
	uint8_t *at = block, *text = block + arrays;
	struct request_command *commands = carve(&at, request->command_count * sizeof *commands);
	struct request_watch *watches = carve(&at, request->watch_count * sizeof *watches);
	for (size_t i = 0; i < request->command_count; i++) {
		const struct request_command *c = &request->commands[i];
		struct slice *argv = carve(&at, c->argc * sizeof *argv);
		for (size_t a = 0; a < c->argc; a++) {
			argv[a] = carve_copy(&text, c->argv[a]);
		}
		commands[i] = (struct request_command){c->command, argv, c->argc, c->db};
	}
	for (size_t i = 0; i < request->watch_count; i++) {
		watches[i] = request->watches[i];
		watches[i].key = carve_copy(&text, watches[i].key);
	}
	request->user = carve_copy(&text, request->user);
	request->envelope.once = carve_copy(&text, request->envelope.once);
	assert(at == block + arrays);
	assert(text == at + texts);
	request->commands = commands;
	request->watches = watches;
	request->parked = block;
}

void request_unpark(struct request *request)
{
	free(request->parked);
	request->parked = NULL;
}

void request_answer(struct request *request, enum code code, const char *details)
{
	struct reply reply = {&request->reply, request->protocol};
	buf_reset(&request->reply);
	assert(code != CODE_NONE);
	reply_code(&reply, code, details);
	assert(request->reply.len > 0);
	request->code = code;
	request->outcome = code_outcome(code);
	request->wrote = request->replayed = false;
}

void request_judge(struct slice reply, enum outcome *outcome, enum code *code)
{
	*outcome = OUTCOME_DONE;
	*code = CODE_NONE;
	if (reply.len == 0 || reply.data[0] != '-') {
		return;
	}
	size_t end = 1;
	while (end < reply.len && reply.data[end] != ' ' && reply.data[end] != '\r') {
		end++;
	}
	*code = code_find(slice_of(reply.data + 1, end - 1));
	*outcome = *code == CODE_NONE ? OUTCOME_REFUSED : code_outcome(*code);
}

/* ---- envelope ---- */

static int bad_envelope(struct reply *reply, const char *details)
{
	reply_code(reply, CODE_VALIDATION, details);
	return ERR_INVALID;
}

static int take_once(struct slice id, struct request_envelope *envelope, struct reply *reply)
{
	if (id.len == 0 || id.len > LIMIT_REQUEST_ID) {
		return bad_envelope(reply,
				    "\"argument\":\"ONCE\",\"reason\":\"a request id has 1 to 128 bytes\"");
	}
	if (envelope->once.len != 0) {
		return bad_envelope(reply, "\"argument\":\"ONCE\",\"reason\":\"given twice\"");
	}
	envelope->once = id;
	return 0;
}

static int take_deadline(struct slice text, struct request_envelope *envelope, struct reply *reply)
{
	int64_t ms;
	if (!slice_to_int64(text, &ms) || ms < 1 || ms > LIMIT_DEADLINE_MS) {
		return bad_envelope(
			reply, "\"argument\":\"DEADLINE\",\"reason\":\"milliseconds from 1 to 3600000\"");
	}
	if (envelope->deadline_ms != 0) {
		return bad_envelope(reply, "\"argument\":\"DEADLINE\",\"reason\":\"given twice\"");
	}
	envelope->deadline_ms = (uint64_t)ms;
	return 0;
}

int request_envelope_parse(const struct slice *argv, size_t argc, struct request_envelope *envelope,
			   size_t *skip, struct reply *reply)
{
	size_t at = 0;
	int rc = 0;
	memset(envelope, 0, sizeof *envelope);
	while (at < argc && rc == 0) {
		bool has_next = at + 1 < argc;
		if (slice_is_word(argv[at], "ONCE") && has_next) {
			rc = take_once(argv[at + 1], envelope, reply);
			at += 2;
		} else if (slice_is_word(argv[at], "DEADLINE") && has_next) {
			rc = take_deadline(argv[at + 1], envelope, reply);
			at += 2;
		} else if (slice_is_word(argv[at], "SETTLE")) {
			envelope->settle = true;
			at++;
		} else if (slice_is_word(argv[at], "DRYRUN")) {
			envelope->dryrun = true;
			at++;
		} else if (slice_is_word(argv[at], "EXPLAIN")) {
			envelope->explain = true;
			at++;
		} else {
			break;
		}
	}
	if (rc != 0) {
		return rc;
	}
	if (at == argc && at > 0) {
		return bad_envelope(reply, "\"reason\":\"a prefix needs a command behind it\"");
	}
	if (envelope->settle && envelope->once.len == 0) {
		return bad_envelope(reply, "\"argument\":\"SETTLE\",\"reason\":\"needs ONCE id\"");
	}
	assert(at <= argc);
	*skip = at;
	return 0;
}

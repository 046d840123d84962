#include "server/forward.h"

#include "base/bytes.h"
#include "base/limits.h"

#include <assert.h>

#define VERSION 1
#define HEAD 12
#define DEADLINE_AT 8
#define ANSWER_HEAD 16
#define USER_MAX 64
#define DATABASES 16

enum { FLAG_SETTLE = 1, FLAG_DRYRUN = 2, FLAG_EXPLAIN = 4, FLAG_ONCE = 8, FLAG_ALL = 15 };
enum { ANSWER_WROTE = 1, ANSWER_REPLAYED = 2 };

/* ---- requests out ---- */

static void put_word(struct buf *out, struct slice word)
{
	buf_append_varint(out, word.len);
	buf_append_slice(out, word);
}

static void put_command(struct buf *out, const struct request_command *command)
{
	buf_append_byte(out, (uint8_t)command->db);
	buf_append_varint(out, command->argc);
	for (size_t i = 0; i < command->argc; i++) {
		put_word(out, command->argv[i]);
	}
}

static uint8_t flags_of(const struct request_envelope *envelope)
{
	return (uint8_t)((envelope->settle ? FLAG_SETTLE : 0) | (envelope->dryrun ? FLAG_DRYRUN : 0) |
			 (envelope->explain ? FLAG_EXPLAIN : 0) |
			 (envelope->once.data != NULL ? FLAG_ONCE : 0));
}

static uint32_t deadline_field(uint64_t left_ms)
{
	return left_ms == 0 ? 1 : left_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)left_ms;
}

bool forward_encode(struct buf *out, const struct request *request, uint64_t left_ms)
{
	uint8_t head[8] = {VERSION, (uint8_t)request->kind, (uint8_t)request->protocol, (uint8_t)request->db,
			   flags_of(&request->envelope)};
	assert(request->db < DATABASES);
	buf_append(out, head, sizeof head);
	buf_append_u32(out, deadline_field(left_ms));
	put_word(out, request->user);
	if (request->envelope.once.data != NULL) {
		put_word(out, request->envelope.once);
	}
	buf_append_varint(out, request->command_count);
	for (size_t i = 0; i < request->command_count; i++) {
		put_command(out, &request->commands[i]);
	}
	buf_append_varint(out, request->watch_count);
	for (size_t i = 0; i < request->watch_count; i++) {
		buf_append_byte(out, (uint8_t)request->watches[i].db);
		buf_append_u64(out, request->watches[i].version);
		put_word(out, request->watches[i].key);
	}
	return !buf_failed(out);
}

void forward_set_deadline(struct buf *frame, uint64_t left_ms)
{
	uint32_t left = deadline_field(left_ms);
	assert(frame->len > HEAD);
	bytes_put_u32(frame->data + DEADLINE_AT, left);
}

/* ---- requests in ---- */

static bool take_word(struct slice *in, size_t max, struct slice *word)
{
	uint64_t len = 0;
	return slice_take_varint(in, &len) && len <= max && slice_take(in, (size_t)len, word);
}

static bool take_database(struct slice *in, unsigned *db)
{
	uint8_t byte = 0;
	if (!slice_take_u8(in, &byte) || byte >= DATABASES) {
		return false;
	}
	*db = byte;
	return true;
}

static bool take_head(struct slice *in, struct request *request, bool *once)
{
	struct slice head;
	uint32_t left_ms = 0;
	if (!slice_take(in, 8, &head) || !slice_take_u32(in, &left_ms) || left_ms == 0) {
		return false;
	}
	const uint8_t *byte = head.data;
	if (byte[1] > REQUEST_WATCH || byte[2] < 2 || byte[2] > 3 || byte[3] >= DATABASES ||
	    byte[4] > FLAG_ALL || byte[5] != 0 || byte[6] != 0 || byte[7] != 0) {
		return false;
	}
	request->kind = (enum request_kind)byte[1];
	request->protocol = byte[2];
	request->db = byte[3];
	request->envelope = (struct request_envelope){.once = SLICE_NONE,
						      .deadline_ms = left_ms,
						      .settle = (byte[4] & FLAG_SETTLE) != 0,
						      .dryrun = (byte[4] & FLAG_DRYRUN) != 0,
						      .explain = (byte[4] & FLAG_EXPLAIN) != 0};
	*once = (byte[4] & FLAG_ONCE) != 0;
	return true;
}

static bool take_command(struct slice *in, struct arena *arena, struct request_command *command,
			 bool *unknown)
{
	uint64_t argc = 0;
	/* Every word takes a byte at least, so a lie about their number is found before memory is asked for.
	 */
	if (!take_database(in, &command->db) || !slice_take_varint(in, &argc) || argc == 0 ||
	    argc > LIMIT_RESP_ARGS || argc > in->len) {
		return false;
	}
	struct slice *argv = arena_alloc(arena, (size_t)argc * sizeof *argv);
	for (size_t i = 0; i < argc; i++) {
		if (!take_word(in, LIMIT_REQUEST_BYTES, &argv[i])) {
			return false;
		}
	}
	command->argv = argv;
	command->argc = (size_t)argc;
	command->command = command_find(argv[0]);
	if (command->command == NULL) {
		*unknown = true;
		return true;
	}
	return (command->command->flags & COMMAND_LOCAL) == 0 &&
	       arity_fits(command->command->arity, command->argc);
}

static bool take_commands(struct slice *in, struct arena *arena, struct request *request, bool *unknown)
{
	uint64_t count = 0;
	if (!slice_take_varint(in, &count) || count > LIMIT_QUEUED_COMMANDS || count > in->len) {
		return false;
	}
	struct request_command *commands = arena_alloc(arena, ((size_t)count + 1) * sizeof *commands);
	for (size_t i = 0; i < count; i++) {
		if (!take_command(in, arena, &commands[i], unknown)) {
			return false;
		}
	}
	request->commands = commands;
	request->command_count = (size_t)count;
	return true;
}

static bool take_watches(struct slice *in, struct arena *arena, struct request *request)
{
	uint64_t count = 0;
	if (!slice_take_varint(in, &count) || count > LIMIT_QUEUED_COMMANDS || count > in->len) {
		return false;
	}
	struct request_watch *watches = arena_alloc(arena, ((size_t)count + 1) * sizeof *watches);
	for (size_t i = 0; i < count; i++) {
		if (!take_database(in, &watches[i].db) || !slice_take_u64(in, &watches[i].version) ||
		    !take_word(in, LIMIT_REQUEST_BYTES, &watches[i].key)) {
			return false;
		}
	}
	request->watches = watches;
	request->watch_count = (size_t)count;
	return true;
}

static bool kind_fits(const struct request *request)
{
	switch (request->kind) {
	case REQUEST_ONE:
		return request->command_count == 1 && request->watch_count == 0 &&
		       request->commands[0].db == request->db;
	case REQUEST_WATCH:
		return request->command_count == 0 && request->watch_count > 0;
	case REQUEST_EXEC:
		return true;
	}
	return false;
}

int forward_decode(struct slice frame, struct arena *arena, struct request *request, bool *unknown)
{
	bool once = false;
	*unknown = false;
	if (frame.len == 0) {
		return ERR_INVALID;
	}
	if (frame.data[0] != VERSION) {
		return ERR_VERSION;
	}
	if (!take_head(&frame, request, &once) || !take_word(&frame, USER_MAX, &request->user)) {
		return ERR_INVALID;
	}
	if (once && !take_word(&frame, LIMIT_REQUEST_ID, &request->envelope.once)) {
		return ERR_INVALID;
	}
	if (!take_commands(&frame, arena, request, unknown) || !take_watches(&frame, arena, request)) {
		return ERR_INVALID;
	}
	return frame.len == 0 && kind_fits(request) ? 0 : ERR_INVALID;
}

/* ---- answers ---- */

void forward_encode_answer(struct buf *out, const struct request *request)
{
	uint8_t head[4] = {
		VERSION, (uint8_t)request->outcome, (uint8_t)request->code,
		(uint8_t)((request->wrote ? ANSWER_WROTE : 0) | (request->replayed ? ANSWER_REPLAYED : 0))};
	buf_append(out, head, sizeof head);
	buf_append_u32(out, request->ordinal);
	buf_append_u64(out, request->index);
	buf_append_slice(out, buf_slice(&request->reply));
}

int forward_decode_answer(struct slice frame, struct request *request)
{
	struct slice head;
	uint32_t ordinal = 0;
	uint64_t index = 0;
	if (frame.len <= ANSWER_HEAD || frame.data[0] != VERSION || frame.data[1] > OUTCOME_UNKNOWN ||
	    frame.data[3] > (ANSWER_WROTE | ANSWER_REPLAYED)) {
		return ERR_INVALID;
	}
	if (!slice_take(&frame, 4, &head) || !slice_take_u32(&frame, &ordinal) ||
	    !slice_take_u64(&frame, &index)) {
		return ERR_INVALID;
	}
	request->outcome = (enum outcome)head.data[1];
	/* A code of a later version stands in the reply's bytes, for the client to read. */
	request->code = head.data[2] <= CODE_LAST ? (enum code)head.data[2] : CODE_NONE;
	request->wrote = (head.data[3] & ANSWER_WROTE) != 0;
	request->replayed = (head.data[3] & ANSWER_REPLAYED) != 0;
	request->ordinal = ordinal;
	request->index = index;
	buf_reset(&request->reply);
	buf_append_slice(&request->reply, frame);
	return buf_failed(&request->reply) ? ERR_TOO_LARGE : 0;
}

/* Frames between nodes: what goes in comes out; everything else is refused. */
#include "server/forward.h"

#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

#include <string.h>

static const struct slice set_words[] = {
	{(const uint8_t *)"SET", 3}, {(const uint8_t *)"k", 1}, {(const uint8_t *)"v\0w", 3}};
static const struct slice get_words[] = {{(const uint8_t *)"get", 3}, {(const uint8_t *)"k", 1}};

static void fill(struct request *request, struct request_command commands[2], struct request_watch watches[1])
{
	request_init(request);
	commands[0] = (struct request_command){command_find(set_words[0]), set_words, 3, 4};
	commands[1] = (struct request_command){command_find(get_words[0]), get_words, 2, 0};
	watches[0] = (struct request_watch){SLICE_LIT("watched"), 3, (uint64_t)77 << 20 | 5};
	request->kind = REQUEST_EXEC;
	request->protocol = 3;
	request->db = 4;
	request->user = SLICE_LIT("default");
	request->envelope.once = SLICE_LIT("order-1");
	request->envelope.settle = true;
	request->commands = commands;
	request->command_count = 2;
	request->watches = watches;
	request->watch_count = 1;
}

static void test_round_trip(void)
{
	struct request in, out;
	struct request_command commands[2];
	struct request_watch watches[1];
	struct arena arena;
	struct buf frame;
	bool unknown = true;
	fill(&in, commands, watches);
	request_init(&out);
	arena_init(&arena, KIB(4));
	buf_init(&frame, LIMIT_FRAME);
	ok(forward_encode(&frame, &in, 1234), "a request is encoded");
	is_int(forward_decode(buf_slice(&frame), &arena, &out, &unknown), 0, "and decoded");
	ok(!unknown, "its commands are known");
	is_int(out.kind, REQUEST_EXEC, "kind");
	is_int(out.protocol, 3, "protocol");
	is_int(out.db, 4, "database");
	is_int(out.envelope.deadline_ms, 1234, "what is left of the deadline");
	ok(out.envelope.settle && !out.envelope.dryrun && !out.envelope.explain, "flags");
	ok(slice_equal(out.envelope.once, in.envelope.once), "request id");
	ok(slice_equal(out.user, in.user), "user");
	is_int(out.command_count, 2, "commands");
	ok(slice_equal(out.commands[0].argv[2], set_words[2]), "words keep their bytes");
	is_int(out.commands[0].db, 4, "each command its database");
	is_int(out.commands[1].db, 0, "also when it differs");
	ok(out.commands[1].command == command_find(SLICE_LIT("GET")), "commands are looked up");
	is_int(out.watches[0].version, in.watches[0].version, "watched version");
	forward_set_deadline(&frame, 9);
	forward_decode(buf_slice(&frame), &arena, &out, &unknown);
	is_int(out.envelope.deadline_ms, 9, "the deadline can be set again in the frame");
	request_fini(&in);
	request_fini(&out);
	arena_fini(&arena);
	buf_fini(&frame);
}

static void test_every_cut_and_flip(void)
{
	struct request in;
	struct request_command commands[2];
	struct request_watch watches[1];
	struct arena arena;
	struct buf frame;
	bool unknown;
	size_t cut_taken = 0, flips = 0;
	fill(&in, commands, watches);
	arena_init(&arena, KIB(4));
	buf_init(&frame, LIMIT_FRAME);
	forward_encode(&frame, &in, 1000);
	for (size_t len = 0; len < frame.len; len++) {
		/* Bytes of its own, so that a read past the end is seen by ASan. */
		uint8_t *copy = len == 0 ? NULL : memcpy(arena_alloc(&arena, len), frame.data, len);
		struct request out;
		request_init(&out);
		cut_taken += forward_decode(slice_of(copy, len), &arena, &out, &unknown) == 0;
		request_fini(&out);
		arena_reset(&arena);
	}
	is_int(cut_taken, 0, "no cut of a frame is taken");
	for (size_t bit = 0; bit < frame.len * 8; bit++) {
		struct request out;
		request_init(&out);
		frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		flips += forward_decode(buf_slice(&frame), &arena, &out, &unknown) == 0;
		frame.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		request_fini(&out);
		arena_reset(&arena);
	}
	ok(flips < frame.len * 8, "flipped bits are refused or mean another request (%zu)", flips);
	buf_append_byte(&frame, 0);
	struct request out;
	request_init(&out);
	is_int(forward_decode(buf_slice(&frame), &arena, &out, &unknown), ERR_INVALID,
	       "a byte too many is refused");
	frame.data[0] = 2;
	is_int(forward_decode(buf_slice(&frame), &arena, &out, &unknown), ERR_VERSION,
	       "another version is told apart");
	request_fini(&out);
	request_fini(&in);
	arena_fini(&arena);
	buf_fini(&frame);
}

static void test_lies(void)
{
	struct arena arena;
	struct buf frame;
	bool unknown;
	uint8_t head[12] = {1, REQUEST_ONE, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0};
	arena_init(&arena, KIB(4));
	buf_init(&frame, LIMIT_FRAME);
	struct request out;
	request_init(&out);
	buf_append(&frame, head, sizeof head);
	buf_append_varint(&frame, 0);               /* user */
	buf_append_varint(&frame, 1);               /* commands */
	buf_append_byte(&frame, 0);                 /* database */
	buf_append_varint(&frame, LIMIT_RESP_ARGS); /* words that are not there */
	is_int(forward_decode(buf_slice(&frame), &arena, &out, &unknown), ERR_INVALID,
	       "a million words of nothing");
	ok(arena.used < KIB(4), "cost no memory");
	buf_reset(&frame);
	buf_append(&frame, head, sizeof head);
	buf_append_varint(&frame, UINT64_MAX);
	is_int(forward_decode(buf_slice(&frame), &arena, &out, &unknown), ERR_INVALID,
	       "a length of 2^64 - 1");
	buf_reset(&frame);
	buf_append(&frame, head, sizeof head);
	buf_append_varint(&frame, 0);
	buf_append_varint(&frame, 1);
	buf_append_byte(&frame, 0);
	buf_append_varint(&frame, 1);
	buf_append_varint(&frame, 4);
	buf_append_text(&frame, "EXEC");
	buf_append_varint(&frame, 0);
	is_int(forward_decode(buf_slice(&frame), &arena, &out, &unknown), ERR_INVALID,
	       "a command that no node forwards is refused");
	frame.data[frame.len - 5] = 'x';
	is_int(forward_decode(buf_slice(&frame), &arena, &out, &unknown), 0,
	       "one that this node does not know");
	ok(unknown, "is told apart");
	request_fini(&out);
	arena_fini(&arena);
	buf_fini(&frame);
}

static void test_noise(void)
{
	struct prng prng;
	struct arena arena;
	struct request out;
	uint8_t bytes[256];
	size_t taken = 0;
	bool unknown;
	prng_init(&prng, 20261127);
	arena_init(&arena, KIB(4));
	request_init(&out);
	for (int i = 0; i < 200000; i++) {
		size_t len = (size_t)prng_below(&prng, sizeof bytes);
		prng_fill(&prng, bytes, len);
		if (len > 8) {
			memcpy(bytes, (uint8_t[]){1, (uint8_t)(i % 3), 2, 0, 0, 0, 0, 0}, 8);
		}
		taken += forward_decode(slice_of(bytes, len), &arena, &out, &unknown) == 0;
		forward_decode_answer(slice_of(bytes, len), &out);
		arena_reset(&arena);
	}
	ok(taken < 1000, "noise is refused (%zu taken)", taken);
	request_fini(&out);
	arena_fini(&arena);
}

static void test_answers(void)
{
	struct request in, out;
	struct buf frame;
	request_init(&in);
	request_init(&out);
	buf_init(&frame, LIMIT_FRAME);
	in.outcome = OUTCOME_CONFLICT;
	in.code = CODE_VERSION_CONFLICT;
	in.index = (uint64_t)1 << 40;
	in.ordinal = 9;
	in.replayed = true;
	buf_append_text(&in.reply, "+OK\r\n");
	forward_encode_answer(&frame, &in);
	is_int(forward_decode_answer(buf_slice(&frame), &out), 0, "an answer comes back");
	ok(out.outcome == in.outcome && out.code == in.code && out.index == in.index && out.ordinal == 9 &&
		   out.replayed && !out.wrote,
	   "with everything about it");
	ok(slice_equal(buf_slice(&out.reply), SLICE_LIT("+OK\r\n")), "and its bytes");
	is_int(forward_decode_answer(slice_of(frame.data, 16), &out), ERR_INVALID,
	       "an answer without a reply is refused");
	size_t taken = 0;
	for (unsigned code = 0; code < 256; code++) {
		frame.data[2] = (uint8_t)code;
		taken += forward_decode_answer(buf_slice(&frame), &out) == 0 && out.code == (enum code)code;
	}
	is_int(taken, CODE_LAST + 1, "every code passes, and is none of ours behind the last");
	frame.data[2] = CODE_LAST + 1;
	buf_reset(&out.reply);
	ok(forward_decode_answer(buf_slice(&frame), &out) == 0 && out.outcome == OUTCOME_CONFLICT &&
		   out.code == CODE_NONE && slice_equal(buf_slice(&out.reply), SLICE_LIT("+OK\r\n")),
	   "a code of a later version passes with its outcome and its bytes");
	frame.data[2] = CODE_NONE;
	frame.data[1] = OUTCOME_UNKNOWN + 1;
	is_int(forward_decode_answer(buf_slice(&frame), &out), ERR_INVALID, "so is an outcome that is none");
	request_fini(&in);
	request_fini(&out);
	buf_fini(&frame);
}

int main(void)
{
	test_round_trip();
	test_every_cut_and_flip();
	test_lies();
	test_noise();
	test_answers();
	return tap_done();
}

/* A request frame that is taken encodes to the same bytes; an answer frame that
 * is taken holds what it says. The decoder is compiled in, with a table of commands of its own. */
#include "server/forward.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct command commands[] = {
	{"SET", -3, COMMAND_WRITE, 1, 1, 1, "string", "write", NULL},
	{"GET", 2, COMMAND_READ, 1, 1, 1, "string", "readonly", NULL},
	{"EXEC", 1, COMMAND_LOCAL, 0, 0, 0, "transactions", "", NULL},
};

const struct command *command_find(struct slice name)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (slice_is_word(name, commands[i].name)) {
			return &commands[i];
		}
	}
	return NULL;
}

static void fuzz_request(struct slice frame, struct arena *arena)
{
	struct request request;
	struct buf again;
	bool unknown = false;
	memset(&request, 0, sizeof request);
	buf_init(&again, LIMIT_FRAME);
	if (forward_decode(frame, arena, &request, &unknown) == 0 && !unknown) {
		assert(request.envelope.deadline_ms > 0);
		for (size_t i = 0; i < request.command_count; i++) {
			assert((request.commands[i].command->flags & COMMAND_LOCAL) == 0);
		}
		bool fits = forward_encode(&again, &request, request.envelope.deadline_ms);
		/* Numbers may be written longer than needed; then the frames differ, never in what they mean. */
		assert(fits && again.len <= frame.len);
		struct request twin;
		memset(&twin, 0, sizeof twin);
		int status = forward_decode(buf_slice(&again), arena, &twin, &unknown);
		assert(status == 0 && twin.command_count == request.command_count &&
		       twin.watch_count == request.watch_count && twin.kind == request.kind);
	}
	buf_fini(&again);
}

static void fuzz_answer(struct slice frame)
{
	struct request request;
	memset(&request, 0, sizeof request);
	buf_init(&request.reply, LIMIT_FRAME);
	if (forward_decode_answer(frame, &request) == 0) {
		assert(request.reply.len + ANSWER_HEAD == frame.len);
		assert(request.outcome <= OUTCOME_UNKNOWN && request.code <= CODE_LAST);
	}
	buf_fini(&request.reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena;
	arena_init(&arena, 4096);
	fuzz_request(slice_of(data, size), &arena);
	fuzz_answer(slice_of(data, size));
	arena_fini(&arena);
	return 0;
}

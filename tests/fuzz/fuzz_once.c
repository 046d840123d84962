/* Once records and the ids of requests: a record that is taken encodes to the same bytes; a kept reply is
 * told to whoever asks now as one whole reply, or is none; an id that carries a time may run at that time and
 * not after its retention. */
#include <assert.h>

#include "command/command.h"
#include "engine/once.h"
#include "engine/replay.h"
#include "wire/resp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_record(struct slice value)
{
	struct once_record record;
	struct arena arena;
	if (once_decode(value, &record) != 0) {
		return;
	}
	assert(record.outcome <= OUTCOME_CONFLICT);
	assert(record.reply.len > 0 && record.reply.data + record.reply.len == value.data + value.len);
	arena_init(&arena, 4096);
	assert(slice_equal(once_encode(&record, &arena), value));
	arena_fini(&arena);
}

/* To an asker of RESP2, of whom the answer is never copied as it stands; and marked, as CALL's is. */
static void fuzz_replay(struct slice kept)
{
	const struct command *call = command_find(SLICE_LIT("CALL"));
	const struct request_command one = {.command = call},
				     plain = {.command = command_find(SLICE_LIT("GET"))};
	for (unsigned way = 0; way < 8 && kept.len > 0; way++) {
		const struct replay replay = {.kept = kept,
					      .commands = (way & 1) != 0 ? &one : &plain,
					      .command_count = 1,
					      .exec = (way & 2) != 0,
					      .call = call,
					      .mark = (way & 1) != 0};
		struct arena arena;
		struct buf out;
		size_t used = 0;
		arena_init(&arena, 4096);
		buf_init(&out, MIB(16));
		struct reply reply = {.out = &out, .protocol = (way & 4) != 0 && replay.mark ? 3 : 2};
		int status = replay_write(&replay, &arena, &reply);
		assert(status == 0 || (status == ERR_CORRUPT && out.len == 0));
		if (status == 0) {
			status = resp_reply_measure(buf_slice(&out), MIB(16), &used);
			assert(status == 0 && used == out.len);
		}
		buf_fini(&out);
		arena_fini(&arena);
	}
}

static void fuzz_id(struct slice id)
{
	const uint64_t day_ms = UINT64_C(24) * 3600 * 1000;
	uint64_t made_ms = 0;
	if (id.len == 0 || id.len > LIMIT_REQUEST_ID) {
		return;
	}
	if (!once_id_time(id, &made_ms)) {
		assert(once_id_check(id, day_ms, day_ms) == CODE_NONE);
		return;
	}
	assert(made_ms < UINT64_C(1) << 48);
	assert(once_id_check(id, made_ms, day_ms) == CODE_NONE);
	assert(once_id_check(id, made_ms + day_ms + 1, day_ms) == CODE_ID_TOO_OLD);
	if (made_ms > ONCE_FUTURE_MS) {
		assert(once_id_check(id, made_ms - ONCE_FUTURE_MS - 1, day_ms) == CODE_ID_IN_FUTURE);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t key[ONCE_KEY_MAX];
	fuzz_record(slice_of(data, size));
	fuzz_replay(slice_of(data, size));
	fuzz_id(slice_of(data, size));
	if (size > 1 && size - 1 <= LIMIT_REQUEST_ID) {
		struct slice user = slice_of(data + 1, data[0] % size), id = slice_of(data + 1, size - 1);
		struct slice made = once_key(key, user, id);
		assert(made.len == 2 + user.len + id.len && made.len <= ONCE_KEY_MAX);
	}
	return 0;
}

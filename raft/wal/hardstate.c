#include "raft/wal/hardstate.h"

#include "base/bytes.h"

static void encode(const void *record, enum copies_slot slot, struct buf *out)
{
	uint8_t bytes[HARDSTATE_BYTES];
	hardstate_encode(bytes, slot, record);
	buf_append(out, bytes, sizeof(bytes));
}

static int decode(struct slice bytes, enum copies_slot slot, void *record)
{
	return hardstate_decode(bytes, slot, record);
}

static const struct copies_format format = {
	.name = "vote",
	.what = "term and vote",
	.without = "may have voted and must not take part again",
	.magic = "TALLYVOT",
	.version = 1,
	.stride = 4096,
	.bytes_max = HARDSTATE_BYTES,
	.encode = encode,
	.decode = decode,
};

int hardstate_open(struct env *env, const char *dir, struct hardstate *state, struct env_file **file,
		   struct err *err)
{
	struct hardstate found;
	enum copies_slot first;
	struct env_file *opened;
	int status = copies_open(env, dir, &format, &found, &first, &opened, err);
	if (status != 0) {
		return status;
	}
	status = copies_store_both(opened, &format, first, &found);
	if (status != 0) {
		env_file_close(opened);
		return err_set(err, status, "cannot write %s/vote: %s", dir, err_name(status));
	}
	*state = found;
	*file = opened;
	return 0;
}

int hardstate_create(struct env *env, const char *dir, const struct hardstate *state, struct err *err)
{
	struct env_file *file;
	int status = copies_make(env, dir, &format, state, &file, err);
	if (status == 0) {
		env_file_close(file);
	}
	return status;
}

int hardstate_store(struct env_file *file, enum copies_slot slot, const struct hardstate *state)
{
	return copies_store(file, &format, slot, state);
}

void hardstate_encode(uint8_t out[HARDSTATE_BYTES], enum copies_slot slot, const struct hardstate *state)
{
	memset(out, 0, HARDSTATE_BYTES);
	bytes_put_u64(out + 32, state->term);
	bytes_put_u64(out + 40, state->voted_for);
	bytes_put_u64(out + 48, state->log_id);
	copies_seal(&format, slot, state->sequence, out, HARDSTATE_BYTES);
}

int hardstate_decode(struct slice bytes, enum copies_slot slot, struct hardstate *state)
{
	if (bytes.len < HARDSTATE_BYTES) {
		return ERR_CORRUPT;
	}
	const uint8_t *at = bytes.data;
	uint64_t sequence;
	int status = copies_verify(&format, slot, slice_of(at, HARDSTATE_BYTES), &sequence);
	if (status == 0) {
		*state = (struct hardstate){
			.sequence = sequence,
			.term = bytes_u64(at + 32),
			.voted_for = bytes_u64(at + 40),
			.log_id = bytes_u64(at + 48),
		};
	}
	return status;
}

#include "raft/wal/hardstate.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/checksum.h"

#define SLOT_STRIDE 4096
#define HARDSTATE_VERSION 1
#define PATH_BYTES 1024
static const char magic[] = "TALLYVOT";
#define MAGIC_BYTES 8

static uint64_t slot_offset(enum hardstate_slot slot)
{
	return slot == HARDSTATE_A ? 0 : SLOT_STRIDE;
}

void hardstate_encode(uint8_t out[HARDSTATE_BYTES], enum hardstate_slot slot, const struct hardstate *state)
{
	memset(out, 0, HARDSTATE_BYTES);
	memcpy(out + 8, magic, MAGIC_BYTES);
	bytes_put_u32(out + 16, HARDSTATE_VERSION);
	bytes_put_u64(out + 24, state->sequence);
	bytes_put_u64(out + 32, state->term);
	bytes_put_u64(out + 40, state->voted_for);
	bytes_put_u64(out + 48, state->log_id);
	bytes_put_u64(out, checksum64_at(slice_of(out + 8, HARDSTATE_BYTES - 8), slot_offset(slot)));
}

int hardstate_decode(struct slice bytes, enum hardstate_slot slot, struct hardstate *state)
{
	if (bytes.len < HARDSTATE_BYTES) {
		return ERR_CORRUPT;
	}
	const uint8_t *at = bytes.data;
	uint64_t sum = checksum64_at(slice_of(at + 8, HARDSTATE_BYTES - 8), slot_offset(slot));
	if (bytes_u64(at) != sum || memcmp(at + 8, magic, MAGIC_BYTES) != 0) {
		return ERR_CORRUPT;
	}
	if (bytes_u32(at + 16) != HARDSTATE_VERSION) {
		return ERR_VERSION;
	}
	*state = (struct hardstate){
		.sequence = bytes_u64(at + 24),
		.term = bytes_u64(at + 32),
		.voted_for = bytes_u64(at + 40),
		.log_id = bytes_u64(at + 48),
	};
	return 0;
}

int hardstate_store(struct env_file *file, enum hardstate_slot slot, const struct hardstate *state)
{
	uint8_t bytes[HARDSTATE_BYTES];
	hardstate_encode(bytes, slot, state);
	int status = env_file_write(file, slot_offset(slot), bytes, sizeof(bytes));
	return status != 0 ? status : env_file_sync(file);
}

/* The later of the slots that verify. */
static int load(struct env_file *file, struct hardstate *state)
{
	struct hardstate found[2];
	int status[2];
	for (int slot = HARDSTATE_A; slot <= HARDSTATE_B; slot++) {
		uint8_t bytes[HARDSTATE_BYTES];
		size_t got = 0;
		int read = env_file_read(file, slot_offset((enum hardstate_slot)slot), bytes, sizeof(bytes),
					 &got);
		if (read != 0) {
			return read;
		}
		status[slot] =
			hardstate_decode(slice_of(bytes, got), (enum hardstate_slot)slot, &found[slot]);
	}
	if (status[HARDSTATE_A] != 0 && status[HARDSTATE_B] != 0) {
		return status[HARDSTATE_A] == ERR_VERSION ? ERR_VERSION : ERR_CORRUPT;
	}
	bool second = status[HARDSTATE_A] != 0 ||
		      (status[HARDSTATE_B] == 0 && found[HARDSTATE_B].sequence > found[HARDSTATE_A].sequence);
	*state = found[second ? HARDSTATE_B : HARDSTATE_A];
	return 0;
}

/* The slot that is written first is the one that does not hold the state: a
 * crash meanwhile leaves the other. */
static int store_again(struct env_file *file, const struct hardstate *state)
{
	uint8_t bytes[HARDSTATE_BYTES];
	size_t got = 0;
	struct hardstate first;
	int status = env_file_read(file, slot_offset(HARDSTATE_A), bytes, sizeof(bytes), &got);
	if (status != 0) {
		return status;
	}
	bool in_first = hardstate_decode(slice_of(bytes, got), HARDSTATE_A, &first) == 0 &&
			first.sequence == state->sequence;
	enum hardstate_slot order[2] = {in_first ? HARDSTATE_B : HARDSTATE_A,
					in_first ? HARDSTATE_A : HARDSTATE_B};
	status = hardstate_store(file, order[0], state);
	return status != 0 ? status : hardstate_store(file, order[1], state);
}

int hardstate_open(struct env *env, const char *dir, struct hardstate *state, struct env_file **file,
		   struct err *err)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof(path), "%s/vote", dir);
	struct env_file *opened;
	int status = env_file_open(env, path, ENV_FILE_READ | ENV_FILE_WRITE, &opened);
	if (status == ERR_NOT_FOUND) {
		return status;
	}
	if (status != 0) {
		return err_set(err, status, "cannot open %s: %s", path, err_name(status));
	}
	struct hardstate found;
	status = load(opened, &found);
	if (status != 0) {
		env_file_close(opened);
		return err_set(
			err, status,
			"%s: no copy of term and vote can be read (%s); this member may have voted and must "
			"not take part again (docs/operations.md: a member that lost its memory)",
			path, err_name(status));
	}
	status = store_again(opened, &found);
	if (status != 0) {
		env_file_close(opened);
		return err_set(err, status, "cannot write %s: %s", path, err_name(status));
	}
	*state = found;
	*file = opened;
	return 0;
}

static int write_new(struct env_file *file, const struct hardstate *state)
{
	int status = env_file_allocate(file, 2 * SLOT_STRIDE);
	if (status == 0) {
		status = hardstate_store(file, HARDSTATE_A, state);
	}
	return status != 0 ? status : hardstate_store(file, HARDSTATE_B, state);
}

int hardstate_create(struct env *env, const char *dir, const struct hardstate *state, struct err *err)
{
	char made[PATH_BYTES], path[PATH_BYTES];
	snprintf(made, sizeof(made), "%s/vote.new", dir);
	snprintf(path, sizeof(path), "%s/vote", dir);
	struct env_file *file;
	int status = env_file_open(env, made, ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	if (status != 0) {
		return err_set(err, status, "cannot make %s: %s", made, err_name(status));
	}
	status = write_new(file, state);
	env_file_close(file);
	if (status == 0) {
		status = env_rename(env, made, path);
	}
	if (status == 0) {
		status = env_dir_sync(env, dir);
	}
	return status == 0 ? 0 : err_set(err, status, "cannot make %s: %s", path, err_name(status));
}

/* A file of term and vote. Byte 0: which of the two slots get a right checksum (bits 0 and 1) and how
 * long the file is (bit 2: one slot only); then 64 bytes of each slot. Opening gives a state or says why not;
 * what was opened opens again as the same, also after the other slot has been spoilt. */
#include <assert.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "raft/wal/hardstate.h"
#include "tests/lib/disk_env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STRIDE 4096

static void make_file(struct disk *disk, const uint8_t *slots, size_t count)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	int status = env_file_open(env, "d/vote", ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	assert(status == 0);
	for (size_t i = 0; i < count; i++) {
		env_file_write(file, i * STRIDE, slots + i * HARDSTATE_BYTES, HARDSTATE_BYTES);
	}
	env_file_sync(file);
	env_file_close(file);
	env_dir_sync(env, "d");
	disk_env_free(env);
}

static int open_file(struct disk *disk, struct hardstate *state)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	struct err err = {0};
	int status = hardstate_open(env, "d", state, &file, &err);
	if (status == 0) {
		env_file_close(file);
	} else {
		assert(err.code == status && err.text[0] != '\0');
	}
	disk_env_free(env);
	return status;
}

static bool same(const struct hardstate *a, const struct hardstate *b)
{
	return a->sequence == b->sequence && a->term == b->term && a->voted_for == b->voted_for &&
	       a->log_id == b->log_id;
}

/* A slot that verifies holds what encodes to a slot that holds the same. */
static void check_slot(const uint8_t *bytes, enum copies_slot slot)
{
	struct hardstate state, again;
	uint8_t twin[HARDSTATE_BYTES];
	if (hardstate_decode(slice_of(bytes, HARDSTATE_BYTES), slot, &state) == 0) {
		hardstate_encode(twin, slot, &state);
		int status = hardstate_decode(slice_of(twin, HARDSTATE_BYTES), slot, &again);
		assert(status == 0 && same(&state, &again));
		status = hardstate_decode(slice_of(twin, HARDSTATE_BYTES), !slot, &again);
		assert(status != 0); /* the checksum knows its place */
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t slots[2 * HARDSTATE_BYTES] = {0};
	if (size == 0) {
		return 0;
	}
	size_t len = size - 1 < sizeof slots ? size - 1 : sizeof slots;
	memcpy(slots, data + 1, len);
	for (int slot = COPIES_A; slot <= COPIES_B; slot++) {
		uint8_t *bytes = slots + slot * HARDSTATE_BYTES;
		if ((data[0] >> slot & 1) != 0) {
			bytes_put_u64(bytes, checksum64_at(slice_of(bytes + 8, HARDSTATE_BYTES - 8),
							   (uint64_t)slot * STRIDE));
		}
		check_slot(bytes, (enum copies_slot)slot);
	}
	struct disk *disk = disk_new(1);
	make_file(disk, slots, (data[0] & 4) != 0 ? 1 : 2);
	struct hardstate state, again;
	if (open_file(disk, &state) == 0) {
		for (size_t spoilt = 0; spoilt < 2; spoilt++) {
			struct disk *copy = disk_copy(disk);
			size_t bytes;
			disk_bytes(copy, "d/vote", &bytes)[spoilt * STRIDE + 40] ^= 1;
			int status = open_file(copy, &again);
			assert(status == 0 && same(&state, &again));
			disk_free(copy);
		}
	}
	disk_free(disk);
	return 0;
}

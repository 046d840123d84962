#include "raft/copies.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "raft/flip.h"

#define MAGIC_BYTES 8
#define PATH_BYTES 1024
#define PAGE_BYTES 4096

static uint64_t slot_offset(const struct copies_format *format, enum copies_slot slot)
{
	assert(format->stride % PAGE_BYTES == 0);
	assert(format->bytes_max <= format->stride); /* the other slot is not touched */
	return slot == COPIES_A ? 0 : format->stride;
}

static uint64_t checksum(const struct copies_format *format, enum copies_slot slot, const uint8_t *bytes,
			 size_t len)
{
	return checksum64_at(slice_of(bytes + 8, len - 8), slot_offset(format, slot));
}

void copies_seal(const struct copies_format *format, enum copies_slot slot, uint64_t sequence, uint8_t *bytes,
		 size_t len)
{
	assert(len >= COPIES_HEAD_BYTES);
	assert(len <= format->bytes_max);
	memcpy(bytes + 8, format->magic, MAGIC_BYTES);
	bytes_put_u32(bytes + 16, format->version);
	bytes_put_u32(bytes + 20, 0);
	bytes_put_u64(bytes + 24, sequence);
	bytes_put_u64(bytes, checksum(format, slot, bytes, len));
}

int copies_verify(const struct copies_format *format, enum copies_slot slot, struct slice bytes,
		  uint64_t *sequence)
{
	const uint8_t *at = bytes.data;
	if (bytes.len < COPIES_HEAD_BYTES || memcmp(at + 8, format->magic, MAGIC_BYTES) != 0 ||
	    bytes_u64(at) != checksum(format, slot, at, bytes.len)) {
		return ERR_CORRUPT;
	}
	if (bytes_u32(at + 16) != format->version) {
		return ERR_VERSION;
	}
	*sequence = bytes_u64(at + 24);
	return 0;
}

/* ---- open ---- */

/* What a slot holds: decoded is 0 when it verifies, and then sequence is set. */
struct found {
	struct slice bytes;
	int decoded;
	uint64_t sequence;
};

/* A slot that does not verify as it is. */
struct suspect {
	const struct copies_format *format;
	enum copies_slot slot;
	struct slice bytes;
	void *record;
};

static bool verifies(void *owner)
{
	const struct suspect *suspect = owner;
	return suspect->format->decode(suspect->bytes, suspect->slot, suspect->record) == 0;
}

static int look(struct env_file *file, const struct copies_format *format, enum copies_slot slot,
		uint8_t *bytes, void *record, struct found *found)
{
	size_t got = 0;
	int status = env_file_read(file, slot_offset(format, slot), bytes, format->bytes_max, &got);
	if (status != 0) {
		return status;
	}
	found->bytes = slice_of(bytes, got);
	found->decoded = format->decode(found->bytes, slot, record);
	struct suspect suspect = {format, slot, found->bytes, record};
	struct flip flip;
	if (found->decoded == ERR_CORRUPT && flip_mend(bytes, 0, got, verifies, &suspect, &flip)) {
		found->decoded = 0;
	}
	found->sequence = found->decoded == 0 ? bytes_u64(bytes + 24) : 0;
	return 0;
}

static int unreadable(const struct copies_format *format, const char *path, int status, struct err *err)
{
	return err_set(err, status,
		       "%s: one copy of %s cannot be read (%s), and may hold what the other does not: check "
		       "the disk, then start again",
		       path, format->what, err_name(status));
}

static int lost(const struct copies_format *format, const char *path, int status, struct err *err)
{
	return err_set(err, status,
		       "%s: no copy of %s can be read (%s); this member %s (docs/operations.md: a member "
		       "that lost its memory)",
		       path, format->what, err_name(status), format->without);
}

static int load(struct env_file *file, const struct copies_format *format, const char *path, void *record,
		enum copies_slot *first, struct err *err)
{
	struct found found[2];
	uint8_t *bytes = malloc(2 * format->bytes_max);
	if (bytes == NULL) {
		fatal("out of memory: two copies of %s", format->what);
	}
	int status = look(file, format, COPIES_A, bytes, record, &found[COPIES_A]);
	if (status == 0) {
		status = look(file, format, COPIES_B, bytes + format->bytes_max, record, &found[COPIES_B]);
	}
	if (status != 0) {
		unreadable(format, path, status, err);
	} else if (found[COPIES_A].decoded != 0 && found[COPIES_B].decoded != 0) {
		status = lost(format, path, found[COPIES_A].decoded, err);
	} else {
		bool second =
			found[COPIES_A].decoded != 0 ||
			(found[COPIES_B].decoded == 0 && found[COPIES_B].sequence > found[COPIES_A].sequence);
		enum copies_slot newest = second ? COPIES_B : COPIES_A;
		*first = copies_other(newest);
		status = format->decode(found[newest].bytes, newest, record);
		assert(status == 0);
	}
	free(bytes);
	return status;
}

int copies_open(struct env *env, const char *dir, const struct copies_format *format, void *record,
		enum copies_slot *first, struct env_file **file, struct err *err)
{
	char path[PATH_BYTES];
	struct env_file *opened;
	snprintf(path, sizeof(path), "%s/%s", dir, format->name);
	int status = env_file_open(env, path, ENV_FILE_READ | ENV_FILE_WRITE, &opened);
	if (status == ERR_NOT_FOUND) {
		return status;
	}
	if (status != 0) {
		return err_set(err, status, "cannot open %s: %s", path, err_name(status));
	}
	status = load(opened, format, path, record, first, err);
	if (status != 0) {
		env_file_close(opened);
		return status;
	}
	*file = opened;
	return 0;
}

/* ---- make and store ---- */

int copies_store(struct env_file *file, const struct copies_format *format, enum copies_slot slot,
		 const void *record)
{
	struct buf bytes;
	buf_init(&bytes, format->bytes_max);
	format->encode(record, slot, &bytes);
	assert(!buf_failed(&bytes));
	assert(bytes.len >= COPIES_HEAD_BYTES);
	int status = env_file_write(file, slot_offset(format, slot), bytes.data, bytes.len);
	buf_fini(&bytes);
	return status != 0 ? status : env_file_sync(file);
}

int copies_store_both(struct env_file *file, const struct copies_format *format, enum copies_slot first,
		      const void *record)
{
	int status = copies_store(file, format, first, record);
	return status != 0 ? status : copies_store(file, format, copies_other(first), record);
}

int copies_make(struct env *env, const char *dir, const struct copies_format *format, const void *record,
		struct env_file **file, struct err *err)
{
	char made[PATH_BYTES], path[PATH_BYTES];
	snprintf(made, sizeof(made), "%s/%s.new", dir, format->name);
	snprintf(path, sizeof(path), "%s/%s", dir, format->name);
	struct env_file *opened;
	int status = env_file_open(env, made, ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE, &opened);
	if (status != 0) {
		return err_set(err, status, "cannot make %s: %s", made, err_name(status));
	}
	status = env_file_allocate(opened, 2 * format->stride);
	if (status == 0) {
		status = copies_store_both(opened, format, COPIES_A, record);
	}
	if (status == 0) {
		status = env_rename(env, made, path);
	}
	if (status == 0) {
		status = env_dir_sync(env, dir);
	}
	if (status != 0) {
		env_file_close(opened);
		return err_set(err, status, "cannot make %s: %s", path, err_name(status));
	}
	*file = opened;
	return 0;
}

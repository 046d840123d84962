#include "raft/peer/lives.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/checksum.h"

#define LIVES_VERSION 1
#define HEAD_BYTES 48
#define MEMBER_BYTES 24
#define PATH_BYTES 1024
static const char magic[] = "TALLYLIV";
#define MAGIC_BYTES 8
_Static_assert(LIVES_BYTES_MAX <= LIVES_STRIDE, "a slot holds all");
_Static_assert(LIVES_STRIDE % 4096 == 0, "no page is in both slots");

struct lives {
	struct env_file *file;
	struct lives_image durable; /* in at least one slot */
	struct lives_image wanted;  /* differs in members only, and in sequence */
	struct lives_image writing;
	enum lives_slot first; /* the slot that may be touched: the other one holds what is durable */
	struct buf bytes;
	bool busy;
	int status;
	enum lives_slot failed; /* where status is from */
	struct env_lane *lane;
	struct env_work work;
	void (*remembered)(void *owner, int status);
	void *owner;
};

/* ---- a slot ---- */

static uint64_t slot_offset(enum lives_slot slot)
{
	return slot == LIVES_A ? 0 : LIVES_STRIDE;
}

static enum lives_slot other(enum lives_slot slot)
{
	return slot == LIVES_A ? LIVES_B : LIVES_A;
}

void lives_encode(struct buf *out, enum lives_slot slot, const struct lives_image *image)
{
	size_t begin = out->len;
	assert(image->own_count > 0 && image->own_count <= LIVES_OWN_MAX);
	assert(image->member_count <= LIMIT_MEMBERS);
	buf_append_u64(out, 0);
	buf_append(out, magic, MAGIC_BYTES);
	buf_append_u32(out, LIVES_VERSION);
	buf_append_u32(out, 0);
	buf_append_u64(out, image->sequence);
	buf_append_u64(out, image->start);
	buf_append_u32(out, image->own_count);
	buf_append_u32(out, image->member_count);
	for (uint32_t i = 0; i < image->own_count; i++) {
		buf_append_u64(out, image->own[i]);
	}
	for (uint32_t i = 0; i < image->member_count; i++) {
		buf_append_u64(out, image->members[i].id);
		buf_append_u64(out, image->members[i].life.start);
		buf_append_u64(out, image->members[i].life.id);
	}
	assert(!buf_failed(out));
	struct slice covered = slice_of(out->data + begin + 8, out->len - begin - 8);
	bytes_put_u64(out->data + begin, checksum64_at(covered, slot_offset(slot)));
}

static bool makes_sense(const struct lives_image *image)
{
	for (uint32_t i = 0; i < image->member_count; i++) {
		if (image->members[i].id == 0 || image->members[i].life.start == 0) {
			return false;
		}
		for (uint32_t j = 0; j < i; j++) {
			if (image->members[j].id == image->members[i].id) {
				return false;
			}
		}
	}
	return image->own_count <= image->start;
}

int lives_decode(struct slice bytes, enum lives_slot slot, struct lives_image *image)
{
	if (bytes.len < HEAD_BYTES || memcmp(bytes.data + 8, magic, MAGIC_BYTES) != 0) {
		return ERR_CORRUPT;
	}
	const uint8_t *at = bytes.data;
	uint32_t own_count = bytes_u32(at + 40), member_count = bytes_u32(at + 44);
	if (own_count == 0 || own_count > LIVES_OWN_MAX || member_count > LIMIT_MEMBERS) {
		return ERR_CORRUPT;
	}
	size_t len = HEAD_BYTES + (size_t)own_count * 8 + (size_t)member_count * MEMBER_BYTES;
	if (bytes.len < len || bytes_u64(at) != checksum64_at(slice_of(at + 8, len - 8), slot_offset(slot))) {
		return ERR_CORRUPT;
	}
	if (bytes_u32(at + 16) != LIVES_VERSION) {
		return ERR_VERSION;
	}
	image->sequence = bytes_u64(at + 24);
	image->start = bytes_u64(at + 32);
	image->own_count = own_count;
	image->member_count = member_count;
	at += HEAD_BYTES;
	for (uint32_t i = 0; i < own_count; i++, at += 8) {
		image->own[i] = bytes_u64(at);
	}
	for (uint32_t i = 0; i < member_count; i++, at += MEMBER_BYTES) {
		image->members[i] =
			(struct lives_member){bytes_u64(at), {bytes_u64(at + 8), bytes_u64(at + 16)}};
	}
	return makes_sense(image) ? 0 : ERR_CORRUPT;
}

/* ---- the file ---- */

static int store(struct lives *lives, struct env_file *file, enum lives_slot slot,
		 const struct lives_image *image)
{
	buf_reset(&lives->bytes);
	lives_encode(&lives->bytes, slot, image);
	assert(lives->bytes.len <= LIVES_STRIDE); /* the other slot is not touched */
	int status = env_file_write(file, slot_offset(slot), lives->bytes.data, lives->bytes.len);
	return status != 0 ? status : env_file_sync(file);
}

/* The later of the slots that verify; first becomes the other one. */
static int load(struct lives *lives)
{
	struct lives_image *image = &lives->writing;
	uint8_t *bytes = malloc(LIVES_STRIDE);
	if (bytes == NULL) {
		fatal("out of memory: the starts of members");
	}
	int status = 0, failed = 0;
	bool found = false;
	for (int slot = LIVES_A; slot <= LIVES_B && status == 0; slot++) {
		size_t got = 0;
		status = env_file_read(lives->file, slot_offset((enum lives_slot)slot), bytes, LIVES_STRIDE,
				       &got);
		int decoded = status != 0 ? status
					  : lives_decode(slice_of(bytes, got), (enum lives_slot)slot, image);
		failed = failed != 0 ? failed : decoded;
		if (decoded == 0 && (!found || image->sequence > lives->durable.sequence)) {
			found = true;
			lives->durable = *image;
			lives->first = other((enum lives_slot)slot);
		}
	}
	free(bytes);
	return status != 0 || found ? status : failed;
}

/* One more start of ours. */
static void begin_life(struct env *env, struct lives_image *image)
{
	if (image->own_count == LIVES_OWN_MAX) {
		memmove(image->own, image->own + 1, (LIVES_OWN_MAX - 1) * sizeof(image->own[0]));
		image->own_count--;
	}
	env_random(env, &image->own[image->own_count], sizeof(image->own[0]));
	image->own_count++;
	image->start++;
	image->sequence++;
	assert(image->own_count <= image->start);
}

static int store_both(struct lives *lives, struct env_file *file, const struct lives_image *image)
{
	int status = store(lives, file, lives->first, image);
	return status != 0 ? status : store(lives, file, other(lives->first), image);
}

static int open_again(struct lives *lives, struct env *env, const char *path, struct err *err)
{
	int status = load(lives);
	if (status != 0) {
		return err_set(
			err, status,
			"%s: no copy of who has lived can be read (%s); this member cannot prove who it is "
			"(docs/operations.md: a member that lost its memory)",
			path, err_name(status));
	}
	begin_life(env, &lives->durable);
	status = store_both(lives, lives->file, &lives->durable);
	return status == 0 ? 0 : err_set(err, status, "cannot write %s: %s", path, err_name(status));
}

static int make_file(struct lives *lives, struct env *env, const char *dir, const char *path, struct err *err)
{
	char made[PATH_BYTES];
	snprintf(made, sizeof(made), "%s/lives.new", dir);
	begin_life(env, &lives->durable);
	int status = env_file_open(env, made, ENV_FILE_READ | ENV_FILE_WRITE | ENV_FILE_CREATE, &lives->file);
	if (status == 0) {
		status = env_file_allocate(lives->file, 2 * LIVES_STRIDE);
	}
	if (status == 0) {
		status = store_both(lives, lives->file, &lives->durable);
	}
	if (status == 0) {
		status = env_rename(env, made, path);
	}
	if (status == 0) {
		status = env_dir_sync(env, dir);
	}
	return status == 0 ? 0 : err_set(err, status, "cannot make %s: %s", path, err_name(status));
}

int lives_open(struct env *env, const char *dir, struct lives **out, struct err *err)
{
	char path[PATH_BYTES];
	snprintf(path, sizeof(path), "%s/lives", dir);
	struct lives *lives = calloc(1, sizeof(*lives));
	if (lives == NULL) {
		fatal("out of memory: the starts of members");
	}
	buf_init(&lives->bytes, LIVES_BYTES_MAX);
	int status = env_file_open(env, path, ENV_FILE_READ | ENV_FILE_WRITE, &lives->file);
	if (status == 0) {
		/* The name may have come without its durability, before a crash. */
		status = env_dir_sync(env, dir);
		status = status == 0 ? open_again(lives, env, path, err)
				     : err_set(err, status, "cannot sync %s: %s", dir, err_name(status));
	} else if (status == ERR_NOT_FOUND) {
		status = make_file(lives, env, dir, path, err);
	} else {
		err_set(err, status, "cannot open %s: %s", path, err_name(status));
	}
	if (status != 0) {
		lives_free(lives);
		return status;
	}
	lives->wanted = lives->durable;
	assert(lives_lived(lives, lives_own(lives)) == LIVES_LIVED);
	*out = lives;
	return 0;
}

void lives_free(struct lives *lives)
{
	if (lives == NULL) {
		return;
	}
	if (lives->file != NULL) {
		env_file_close(lives->file);
	}
	buf_fini(&lives->bytes);
	free(lives);
}

/* ---- questions ---- */

struct life lives_own(const struct lives *lives)
{
	const struct lives_image *image = &lives->durable;
	return (struct life){image->start, image->own[image->own_count - 1]};
}

enum lives_answer lives_lived(const struct lives *lives, struct life life)
{
	const struct lives_image *image = &lives->durable;
	assert(life.start > 0);
	if (life.start > image->start) {
		return LIVES_NEVER;
	}
	uint64_t ago = image->start - life.start;
	if (ago >= image->own_count) {
		return LIVES_UNKNOWN;
	}
	return image->own[image->own_count - 1 - ago] == life.id ? LIVES_LIVED : LIVES_NEVER;
}

static struct lives_member *find(struct lives_image *image, uint64_t id)
{
	for (uint32_t i = 0; i < image->member_count; i++) {
		if (image->members[i].id == id) {
			return &image->members[i];
		}
	}
	return NULL;
}

struct life lives_of(const struct lives *lives, uint64_t id)
{
	for (uint32_t i = 0; i < lives->durable.member_count; i++) {
		if (lives->durable.members[i].id == id) {
			return lives->durable.members[i].life;
		}
	}
	return (struct life){0, 0};
}

/* ---- remembering ---- */

static void lives_run(struct env_work *work)
{
	struct lives *lives = list_entry(work, struct lives, work);
	enum lives_slot order[2] = {lives->first, other(lives->first)};
	lives->status = 0;
	for (size_t i = 0; i < 2 && lives->status == 0; i++) {
		lives->failed = order[i];
		lives->status = store(lives, lives->file, order[i], &lives->writing);
	}
}

static void lives_write(struct lives *lives)
{
	assert(!lives->busy);
	assert(lives->lane != NULL);
	assert(lives->wanted.start == lives->durable.start);
	lives->writing = lives->wanted;
	lives->busy = true;
	env_lane_submit(lives->lane, &lives->work);
}

static void lives_done(struct env_work *work)
{
	struct lives *lives = list_entry(work, struct lives, work);
	int status = lives->status;
	assert(lives->busy);
	assert(lives->writing.sequence > lives->durable.sequence);
	lives->busy = false;
	if (status == 0) {
		lives->durable = lives->writing;
	} else {
		/* That slot may hold anything; the other one verifies. A later write has a later number. */
		lives->first = lives->failed;
		uint64_t sequence = lives->wanted.sequence;
		lives->wanted = lives->durable;
		lives->wanted.sequence = sequence;
	}
	if (status == 0 && lives->wanted.sequence > lives->durable.sequence) {
		lives_write(lives);
	}
	lives->remembered(lives->owner, status);
}

void lives_start(struct lives *lives, struct env_lane *lane, void (*remembered)(void *owner, int status),
		 void *owner)
{
	assert(lives->lane == NULL);
	assert(lane != NULL);
	lives->lane = lane;
	lives->remembered = remembered;
	lives->owner = owner;
	lives->work.run = lives_run;
	lives->work.done = lives_done;
}

bool lives_remember(struct lives *lives, uint64_t id, struct life life)
{
	struct lives_member *member = find(&lives->wanted, id);
	assert(id != 0);
	assert(life.start > 0);
	if (member != NULL && life_equal(member->life, life)) {
		return true; /* under way, or known */
	}
	if (member != NULL && !life_equal(member->life, lives_of(lives, id))) {
		return false; /* another is under way, and it has not proved to have lived that one */
	}
	if (member != NULL && member->life.start >= life.start) {
		return false;
	}
	if (member == NULL) {
		if (lives->wanted.member_count == LIMIT_MEMBERS) {
			return false;
		}
		member = &lives->wanted.members[lives->wanted.member_count++];
		member->id = id;
	}
	member->life = life;
	lives->wanted.sequence++;
	if (!lives->busy) {
		lives_write(lives);
	}
	assert(lives->wanted.sequence > lives->durable.sequence); /* it is told when this is durable */
	return true;
}

#include "raft/peer/lives.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "raft/copies.h"

#define HEAD_BYTES (COPIES_HEAD_BYTES + 16)
#define MEMBER_BYTES 24
_Static_assert(LIVES_BYTES_MAX <= LIVES_STRIDE, "a slot holds all");

struct lives {
	struct env *env;
	const char *dir;
	struct env_file *file;      /* NULL: there is none yet */
	struct lives_image durable; /* in at least one slot */
	/* Differs in members only, and in sequence; empty until our life has begun. */
	struct lives_image wanted;
	struct lives_image writing;
	enum copies_slot first; /* the slot that may be touched: the other one holds what is durable */
	bool busy;
	int status;
	enum copies_slot failed; /* where status is from */
	struct env_lane *lane;
	struct env_work work;
	void (*remembered)(void *owner, int status);
	void *owner;
};

/* ---- a slot ---- */

static void encode(const void *record, enum copies_slot slot, struct buf *out)
{
	lives_encode(out, slot, record);
}

static int decode(struct slice bytes, enum copies_slot slot, void *record)
{
	return lives_decode(bytes, slot, record);
}

static const struct copies_format format = {
	.name = "lives",
	.what = "who has lived",
	.without = "cannot prove who it is",
	.magic = "TALLYLIV",
	.version = 1,
	.stride = LIVES_STRIDE,
	.bytes_max = LIVES_BYTES_MAX,
	.encode = encode,
	.decode = decode,
};

void lives_encode(struct buf *out, enum copies_slot slot, const struct lives_image *image)
{
	static const uint8_t head[COPIES_HEAD_BYTES];
	size_t begin = out->len;
	assert(image->own_count > 0 && image->own_count <= LIVES_OWN_MAX);
	assert(image->member_count <= LIMIT_MEMBERS);
	buf_append(out, head, sizeof(head));
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
	copies_seal(&format, slot, image->sequence, out->data + begin, out->len - begin);
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

int lives_decode(struct slice bytes, enum copies_slot slot, struct lives_image *image)
{
	if (bytes.len < HEAD_BYTES) {
		return ERR_CORRUPT;
	}
	const uint8_t *at = bytes.data;
	uint32_t own_count = bytes_u32(at + 40), member_count = bytes_u32(at + 44);
	if (own_count == 0 || own_count > LIVES_OWN_MAX || member_count > LIMIT_MEMBERS) {
		return ERR_CORRUPT;
	}
	size_t len = HEAD_BYTES + (size_t)own_count * 8 + (size_t)member_count * MEMBER_BYTES;
	if (bytes.len < len) {
		return ERR_CORRUPT;
	}
	int status = copies_verify(&format, slot, slice_of(at, len), &image->sequence);
	if (status != 0) {
		return status;
	}
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

int lives_open(struct env *env, const char *dir, struct lives **out, struct err *err)
{
	struct lives *lives = calloc(1, sizeof(*lives));
	if (lives == NULL) {
		fatal("out of memory: the starts of members");
	}
	lives->env = env;
	lives->dir = dir;
	int status = copies_open(env, dir, &format, &lives->durable, &lives->first, &lives->file, err);
	if (status == ERR_NOT_FOUND) {
		assert(lives->file == NULL);
		lives->durable = (struct lives_image){0};
	} else if (status != 0) {
		lives_free(lives);
		return status;
	}
	*out = lives;
	return 0;
}

static void add_life(struct env *env, struct lives_image *image)
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

static int store(struct lives *lives, struct err *err)
{
	const char *dir = lives->dir;
	if (lives->file == NULL) {
		return copies_make(lives->env, dir, &format, &lives->durable, &lives->file, err);
	}
	/* The name may have come without its durability, before a crash. */
	int status = env_dir_sync(lives->env, dir);
	if (status != 0) {
		return err_set(err, status, "cannot sync %s: %s", dir, err_name(status));
	}
	status = copies_store_both(lives->file, &format, lives->first, &lives->durable);
	return status == 0 ? 0 : err_set(err, status, "cannot write %s/lives: %s", dir, err_name(status));
}

int lives_begin(struct lives *lives, struct err *err)
{
	assert(lives->wanted.start == 0); /* once */
	add_life(lives->env, &lives->durable);
	int status = store(lives, err);
	if (status != 0) {
		return status;
	}
	lives->wanted = lives->durable;
	assert(lives_lived(lives, lives_own(lives)) == LIVES_LIVED);
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
	free(lives);
}

/* ---- questions ---- */

struct life lives_own(const struct lives *lives)
{
	const struct lives_image *image = &lives->durable;
	assert(lives->wanted.start > 0);
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
	enum copies_slot order[2] = {lives->first, copies_other(lives->first)};
	lives->status = 0;
	for (size_t i = 0; i < 2 && lives->status == 0; i++) {
		lives->failed = order[i];
		lives->status = copies_store(lives->file, &format, order[i], &lives->writing);
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

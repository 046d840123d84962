/* A small record in two copies: which one counts, and when neither may. */
#include "raft/copies.h"

#include <assert.h>

#include "base/bytes.h"
#include "tests/lib/disk_env.h"
#include "tests/lib/tap.h"

/* The naive twin of what is kept: a number. */
struct record {
	uint64_t sequence, number;
};
#define RECORD_BYTES (COPIES_HEAD_BYTES + 8)
#define STRIDE 4096

static const struct copies_format format;

static void encode(const void *record, enum copies_slot slot, struct buf *out)
{
	const struct record *from = record;
	uint8_t bytes[RECORD_BYTES];
	bytes_put_u64(bytes + COPIES_HEAD_BYTES, from->number);
	copies_seal(&format, slot, from->sequence, bytes, sizeof(bytes));
	buf_append(out, bytes, sizeof(bytes));
}

static int decode(struct slice bytes, enum copies_slot slot, void *record)
{
	struct record *to = record;
	int status = copies_verify(&format, slot, bytes, &to->sequence);
	if (status == 0) {
		to->number = bytes_u64(bytes.data + COPIES_HEAD_BYTES);
	}
	return status;
}

static const struct copies_format format = {
	.name = "number",
	.what = "the number",
	.without = "has forgotten it",
	.magic = "TALLYNUM",
	.version = 1,
	.stride = STRIDE,
	.bytes_max = RECORD_BYTES,
	.encode = encode,
	.decode = decode,
};

/* What a process on this disk finds, and which slot it would touch first. */
static int find(struct disk *disk, struct record *record, enum copies_slot *first, struct err *err)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	int status = copies_open(env, "d", &format, record, first, &file, err);
	if (status == 0) {
		env_file_close(file);
	}
	disk_env_free(env);
	return status;
}

static int make(struct disk *disk, struct record record)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	env_mkdir(env, "d");
	env_dir_sync(env, ".");
	int status = copies_make(env, "d", &format, &record, &file, NULL);
	if (status == 0) {
		env_file_close(file);
	}
	disk_env_free(env);
	return status;
}

static void store(struct disk *disk, enum copies_slot slot, struct record record)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file;
	int status = env_file_open(env, "d/number", ENV_FILE_READ | ENV_FILE_WRITE, &file);
	assert(status == 0);
	status = copies_store(file, &format, slot, &record);
	assert(status == 0);
	env_file_close(file);
	disk_env_free(env);
}

static void test_which_counts(void)
{
	struct disk *disk = disk_new(1);
	struct record record = {0, 0};
	enum copies_slot first = COPIES_A;
	struct err err = {0};
	is_int(find(disk, &record, &first, &err), ERR_NOT_FOUND, "where nothing was made, nothing is found");
	is_int(err.code, 0, "and nothing is said");
	make(disk, (struct record){1, 10});
	ok(find(disk, &record, &first, NULL) == 0 && record.number == 10, "what was made is found");
	is_int(first, COPIES_B,
	       "of two that are the same the first holds it, so the second is touched first");
	store(disk, COPIES_B, (struct record){2, 20});
	ok(find(disk, &record, &first, NULL) == 0 && record.number == 20 && first == COPIES_A,
	   "of two that verify the later one counts, and the earlier one is touched first");
	store(disk, COPIES_A, (struct record){3, 30});
	ok(find(disk, &record, &first, NULL) == 0 && record.number == 30 && first == COPIES_B,
	   "wherever it is");
	disk_free(disk);
}

static void damage(struct disk *disk, enum copies_slot slot)
{
	size_t len;
	disk_bytes(disk, "d/number", &len)[(slot == COPIES_A ? 0 : STRIDE) + COPIES_HEAD_BYTES] ^= 3;
}

static void test_damage(void)
{
	struct disk *disk = disk_new(2);
	struct record record = {0, 0};
	enum copies_slot first = COPIES_A;
	struct err err = {0};
	make(disk, (struct record){1, 10});
	damage(disk, COPIES_A);
	ok(find(disk, &record, &first, NULL) == 0 && record.number == 10 && first == COPIES_A,
	   "a copy that does not verify is stood for by the other, and written first");
	damage(disk, COPIES_B);
	is_int(find(disk, &record, &first, &err), ERR_CORRUPT, "when both do not, that is told: %s",
	       err.text);
	ok(strstr(err.text, "no copy of the number can be read") != NULL &&
		   strstr(err.text, "this member has forgotten it") != NULL,
	   "with what it means");
	disk_free(disk);
}

/* What was promised is in one slot only until the other is written, too (seed 1802005257: a member voted, its power
 * failed, a bit flipped, and it led a second time in one term). */
static void test_flipped(void)
{
	static const struct {
		enum copies_slot slot;
		const char *which;
	} cases[] = {{COPIES_A, "first"}, {COPIES_B, "second"}};
	for (size_t i = 0; i < 2; i++) {
		struct disk *disk = disk_new(4);
		make(disk, (struct record){1, 10});
		store(disk, cases[i].slot, (struct record){2, 20});
		unsigned older = 0;
		for (size_t bit = 0; bit < RECORD_BYTES * 8; bit++) {
			size_t len, at = (cases[i].slot == COPIES_A ? 0 : STRIDE) + bit / 8;
			struct record record = {0, 0};
			enum copies_slot first = COPIES_A;
			disk_bytes(disk, "d/number", &len)[at] ^= (uint8_t)(1 << bit % 8);
			older += find(disk, &record, &first, NULL) != 0 || record.number != 20 ||
				 first == cases[i].slot;
			disk_bytes(disk, "d/number", &len)[at] ^= (uint8_t)(1 << bit % 8);
		}
		is_int(older, 0, "no bit that flips in the %s copy brings the older record back", cases[i].which);
		disk_free(disk);
	}
	struct disk *disk = disk_new(5);
	struct record record = {0, 0};
	enum copies_slot first = COPIES_A;
	make(disk, (struct record){1, 10});
	store(disk, COPIES_A, (struct record){2, 20});
	damage(disk, COPIES_A);
	ok(find(disk, &record, &first, NULL) == 0 && record.number == 10 && first == COPIES_A,
	   "what is damaged by more is taken for torn: that was never promised");
	disk_free(disk);
}

/* The other copy is whole, and older or not: nobody knows. */
static void test_unreadable(void)
{
	for (uint64_t nth = 1; nth <= 2; nth++) {
		const char *which = nth == 1 ? "first" : "second";
		struct disk *disk = disk_new(3);
		struct record record = {0, 0};
		enum copies_slot first = COPIES_A;
		struct err err = {0};
		make(disk, (struct record){1, 10});
		store(disk, nth == 1 ? COPIES_A : COPIES_B, (struct record){2, 20});
		disk_fail_read(disk, nth);
		is_int(find(disk, &record, &first, &err), ERR_IO,
		       "when the %s copy cannot be read, the other does not stand for it", which);
		ok(strstr(err.text, "one copy of the number cannot be read") != NULL, "and that is told: %s",
		   err.text);
		ok(find(disk, &record, &first, NULL) == 0 && record.number == 20,
		   "for the next start reads it, and it was the later one");
		disk_free(disk);
	}
}

/* Power fails in front of each change of the making, with luck or without: the file is absent, or whole. */
static void test_made_whole(void)
{
	unsigned wrong = 0, absent = 0, runs = 0;
	for (uint64_t seed = 0; seed < 80; seed++, runs++) {
		struct disk *disk = disk_new(seed + 1);
		struct record record = {0, 0};
		enum copies_slot first;
		disk_cut_at(disk, 1 + seed / 8);
		int made = make(disk, (struct record){1, 10});
		disk_recover(disk, DISK_LOSE_SOME);
		int found = find(disk, &record, &first, NULL);
		absent += found == ERR_NOT_FOUND;
		wrong += found != 0 ? found != ERR_NOT_FOUND || made == 0 : record.number != 10;
		disk_free(disk);
	}
	is_int(wrong, 0, "over %u power cuts while it is made the file is absent or whole", runs);
	ok(absent > 0 && absent < runs - 8, "and both are seen (%u absent)", absent);
}

static void test_seal(void)
{
	struct record record = {7, 70}, back;
	struct buf out;
	uint64_t sequence;
	buf_init(&out, RECORD_BYTES);
	encode(&record, COPIES_B, &out);
	ok(decode(buf_slice(&out), COPIES_B, &back) == 0 && back.sequence == 7 && back.number == 70,
	   "a record comes back as it went");
	is_int(decode(buf_slice(&out), COPIES_A, &back), ERR_CORRUPT, "in the other's place it is nothing");
	struct copies_format newer = format;
	newer.version = 2;
	is_int(copies_verify(&newer, COPIES_B, buf_slice(&out), &sequence), ERR_VERSION,
	       "one of another version is told from a broken one");
	unsigned taken = 0;
	for (size_t len = 0; len < out.len; len++) {
		taken += copies_verify(&format, COPIES_B, slice_of(out.data, len), &sequence) == 0;
	}
	is_int(taken, 0, "cut anywhere it is nothing");
	for (size_t at = 0; at < out.len; at++) {
		out.data[at] ^= 0x10;
		taken += copies_verify(&format, COPIES_B, buf_slice(&out), &sequence) == 0;
		out.data[at] ^= 0x10;
	}
	is_int(taken, 0, "nor with a flipped bit anywhere");
	buf_fini(&out);
}

int main(void)
{
	test_which_counts();
	test_damage();
	test_flipped();
	test_unreadable();
	test_made_whole();
	test_seal();
	return tap_done();
}

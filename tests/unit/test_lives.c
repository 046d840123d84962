/* Who has lived: the file, its two copies, power cuts and refusing disks. */
#include "raft/peer/lives.h"

#include <assert.h>
#include <stdlib.h>

#include "tests/lib/disk_env.h"
#include "tests/lib/tap.h"

/* One process of a member whose disk is given. */
struct process {
	struct env *env;
	struct lives *lives;
	struct err err;
	unsigned told;
	int status;
};

static void remembered_cb(void *owner, int status)
{
	struct process *process = owner;
	process->told++;
	process->status = status;
}

static int begin(struct process *process, struct disk *disk)
{
	*process = (struct process){.env = disk_env_new(disk)};
	env_mkdir(process->env, "d");
	env_dir_sync(process->env, ".");
	int status = lives_open(process->env, "d", &process->lives, &process->err);
	if (status == 0) {
		status = lives_begin(process->lives, &process->err);
	}
	if (status == 0) {
		lives_start(process->lives, env_lane_open(process->env, "log", ENV_LANE_NORMAL),
			    remembered_cb, process);
	}
	return status;
}

static void end(struct process *process)
{
	disk_env_kill(process->env);
	lives_free(process->lives);
	disk_env_free(process->env);
}

/* The life of one more start, and what it has of another member. */
static struct life live(struct disk *disk, uint64_t member, struct life life)
{
	struct process process;
	int status = begin(&process, disk);
	assert(status == 0);
	struct life own = lives_own(process.lives);
	if (member != 0) {
		bool begun = lives_remember(process.lives, member, life);
		assert(begun);
		disk_env_run(process.env);
		assert(process.told == 1 && process.status == 0);
	}
	end(&process);
	return own;
}

static void test_starts(void)
{
	struct disk *disk = disk_new(1), *copy;
	struct process process;
	struct life none = {0, 0}, first = live(disk, 0, none);
	copy = disk_copy(disk);
	struct life second = live(disk, 0, none), twin = live(copy, 0, none);
	begin(&process, disk);
	struct life third = lives_own(process.lives);
	ok(first.start == 1 && second.start == 2 && third.start == 3, "each start is counted");
	ok(lives_lived(process.lives, first) == LIVES_LIVED &&
		   lives_lived(process.lives, second) == LIVES_LIVED &&
		   lives_lived(process.lives, third) == LIVES_LIVED,
	   "a directory knows the lives it had");
	ok(twin.start == second.start && lives_lived(process.lives, twin) == LIVES_NEVER,
	   "a copy's life with the same number is another");
	ok(lives_lived(process.lives, (struct life){4, third.id}) == LIVES_NEVER,
	   "a start that did not come yet was none");
	end(&process);
	begin(&process, copy);
	ok(lives_lived(process.lives, first) == LIVES_LIVED &&
		   lives_lived(process.lives, second) == LIVES_NEVER &&
		   lives_lived(process.lives, third) == LIVES_NEVER,
	   "the copy does not know what came after it was made, however often it starts");
	end(&process);
	disk_free(copy);
	disk_free(disk);
}

static void test_many_starts(void)
{
	struct disk *disk = disk_new(2);
	struct process process;
	struct life second = {0, 0}, third = {0, 0};
	for (unsigned i = 1; i <= LIVES_OWN_MAX + 1; i++) {
		struct life life = live(disk, 0, second);
		second = i == 2 ? life : second;
		third = i == 3 ? life : third;
	}
	begin(&process, disk);
	is_int((long long)lives_own(process.lives).start, LIVES_OWN_MAX + 2,
	       "starts are counted beyond what is kept of them");
	is_int(lives_lived(process.lives, second), LIVES_UNKNOWN, "what is longer ago is not known");
	is_int(lives_lived(process.lives, third), LIVES_LIVED, "what is not, is");
	end(&process);
	disk_free(disk);
}

static void test_members(void)
{
	struct disk *disk = disk_new(3);
	struct process process;
	struct life a = {7, 70}, b = {8, 80}, c = {9, 90};
	begin(&process, disk);
	ok(lives_of(process.lives, 2).start == 0, "nobody is known at first");
	lives_remember(process.lives, 2, a);
	lives_remember(process.lives, 3, b);
	ok(lives_of(process.lives, 2).start == 0, "nor before it is durable");
	disk_env_run(process.env);
	ok(life_equal(lives_of(process.lives, 2), a) && life_equal(lives_of(process.lives, 3), b),
	   "then both are");
	ok(!lives_remember(process.lives, 2, (struct life){6, 60}) &&
		   !lives_remember(process.lives, 2, (struct life){7, 71}) &&
		   lives_remember(process.lives, 2, a),
	   "an earlier life does not take a later one's place, nor another of the same number");
	lives_remember(process.lives, 2, b);
	ok(!lives_remember(process.lives, 2, c), "nor a later one that of one which is being written");
	disk_env_run(process.env);
	lives_remember(process.lives, 2, c);
	disk_env_run(process.env);
	ok(life_equal(lives_of(process.lives, 2), c), "a later one does");
	end(&process);
	begin(&process, disk);
	ok(life_equal(lives_of(process.lives, 2), c) && life_equal(lives_of(process.lives, 3), b),
	   "the next process knows them");
	for (uint64_t id = 4; id < 2 + LIMIT_MEMBERS; id++) {
		lives_remember(process.lives, id, a);
	}
	disk_env_run(process.env);
	ok(!lives_remember(process.lives, 99, a), "there is room for as many as there may be members");
	end(&process);
	disk_free(disk);
}

/* A story with the power failing in front of each change: what was said before is known afterwards. */
static unsigned cut_everywhere(enum disk_loss loss)
{
	unsigned wrong = 0;
	for (uint64_t at = 1;; at++) {
		struct disk *disk = disk_new(at);
		struct process process;
		struct life told = {0, 0}, known = {0, 0};
		disk_cut_at(disk, at);
		for (uint64_t start = 1; start <= 3 && !disk_is_cut(disk); start++) {
			if (begin(&process, disk) == 0) {
				told = lives_own(process.lives);
				lives_remember(process.lives, 2, (struct life){start, start * 10});
				disk_env_run(process.env);
				known = lives_of(process.lives, 2);
			}
			end(&process);
		}
		bool cut = disk_is_cut(disk);
		disk_recover(disk, loss);
		wrong += begin(&process, disk) != 0;
		if (process.lives != NULL) {
			wrong += told.start != 0 && lives_lived(process.lives, told) != LIVES_LIVED;
			wrong += lives_own(process.lives).start <= told.start;
			wrong += lives_of(process.lives, 2).start < known.start;
		}
		end(&process);
		disk_free(disk);
		if (!cut) {
			return wrong;
		}
	}
}

/* The disk refuses the nth write or sync: nothing is half known, and it goes on later, whenever the power
 * fails then. */
static unsigned refuse_everywhere(bool sync)
{
	unsigned wrong = 0;
	for (uint64_t nth = 1; nth <= 2; nth++) {
		for (uint64_t cut = 0; cut <= 5; cut++) {
			struct disk *disk = disk_new(nth * 100 + cut);
			struct process process;
			struct life a = {1, 10}, b = {2, 20};
			live(disk, 2, a);
			begin(&process, disk);
			struct life own = lives_own(process.lives);
			(sync ? disk_fail_sync : disk_fail_write)(disk, nth);
			lives_remember(process.lives, 2, b);
			disk_env_run(process.env);
			wrong += process.told != 1 || process.status != ERR_IO;
			wrong += !life_equal(lives_of(process.lives, 2), a);
			disk_cut_at(disk, cut == 0 ? 0 : disk_changes(disk) + cut);
			wrong += !lives_remember(process.lives, 2, b);
			disk_env_run(process.env);
			bool known = life_equal(lives_of(process.lives, 2), b);
			wrong += cut == 0 && !known;
			end(&process);
			disk_recover(disk, DISK_LOSE_SOME);
			wrong += begin(&process, disk) != 0;
			if (process.lives != NULL) {
				wrong += lives_lived(process.lives, own) != LIVES_LIVED;
				wrong += lives_of(process.lives, 2).start < (known ? 2 : 1);
			}
			end(&process);
			disk_free(disk);
		}
	}
	return wrong;
}

static void test_disks(void)
{
	is_int(cut_everywhere(DISK_LOSE_ALL) + cut_everywhere(DISK_KEEP_ALL) + cut_everywhere(DISK_LOSE_SOME),
	       0, "no power cut takes back what was told");
	is_int(refuse_everywhere(false), 0, "a write that fails is told, and costs nothing that was known");
	is_int(refuse_everywhere(true), 0, "a sync that fails too");
	struct disk *disk = disk_new(5);
	struct process process;
	begin(&process, disk);
	disk_fill(disk, true);
	lives_remember(process.lives, 2, (struct life){1, 10});
	disk_env_run(process.env);
	ok(process.status == 0 && lives_of(process.lives, 2).start == 1,
	   "a full disk keeps nobody from being remembered");
	end(&process);
	is_int(begin(&process, disk), 0, "nor from another start");
	end(&process);
	disk_free(disk);
}

static void test_damage(void)
{
	struct disk *disk = disk_new(6);
	struct process process;
	struct life own = live(disk, 2, (struct life){4, 40});
	unsigned wrong = 0, seen = 0;
	for (size_t at = 0; at < 2 * LIVES_STRIDE;
	     at = at % LIVES_STRIDE == 100 ? at - 100 + LIVES_STRIDE : at + 1) {
		struct disk *damaged = disk_copy(disk);
		size_t len = 0;
		uint8_t *bytes = disk_bytes(damaged, "d/lives", &len);
		bytes[at] ^= (uint8_t)(1u << at % 8);
		bytes[(at + LIVES_STRIDE / 2) % LIVES_STRIDE + 200] ^= 1; /* behind the end: nobody looks */
		wrong += begin(&process, damaged) != 0;
		if (process.lives != NULL) {
			wrong += lives_lived(process.lives, own) != LIVES_LIVED;
			wrong += lives_of(process.lives, 2).start != 4;
		}
		end(&process);
		bytes = disk_bytes(damaged, "d/lives", &len);
		struct lives_image *image = malloc(sizeof(*image));
		seen += lives_decode(slice_of(bytes, LIVES_STRIDE), COPIES_A, image) == 0 &&
			lives_decode(slice_of(bytes + LIVES_STRIDE, LIVES_STRIDE), COPIES_B, image) == 0;
		free(image);
		disk_free(damaged);
	}
	is_int(wrong, 0, "one flipped bit in either copy costs nothing");
	is_int(seen, 202, "and the next start writes both again");
	size_t len = 0;
	disk_bytes(disk, "d/lives", &len)[30] ^= 3;
	disk_bytes(disk, "d/lives", &len)[LIVES_STRIDE + 60] ^= 3;
	is_int(begin(&process, disk), ERR_CORRUPT, "in both, the start is refused: %s", process.err.text);
	end(&process);
	disk_free(disk);
}

static void test_bytes(void)
{
	struct lives_image *image = calloc(1, sizeof(*image)), *back = calloc(1, sizeof(*back));
	struct buf out;
	buf_init(&out, LIVES_BYTES_MAX);
	*image = (struct lives_image){.sequence = 3, .start = LIVES_OWN_MAX + 9, .own_count = LIVES_OWN_MAX};
	for (uint32_t i = 0; i < LIVES_OWN_MAX; i++) {
		image->own[i] = i * 3;
	}
	for (uint32_t i = 0; i < LIMIT_MEMBERS; i++) {
		image->members[image->member_count++] = (struct lives_member){i + 1, {i + 5, i + 6}};
	}
	lives_encode(&out, COPIES_B, image);
	is_int((long long)out.len, LIVES_BYTES_MAX, "the most there can be fits");
	ok(lives_decode(buf_slice(&out), COPIES_B, back) == 0 && memcmp(image, back, sizeof(*image)) == 0,
	   "and comes back as it went");
	is_int(lives_decode(buf_slice(&out), COPIES_A, back), ERR_CORRUPT,
	       "in the other's place it is nothing");
	is_int(lives_decode(slice_of(out.data, out.len - 1), COPIES_B, back), ERR_CORRUPT,
	       "nor when it is short");
	buf_reset(&out);
	image->members[3].id = 1;
	lives_encode(&out, COPIES_B, image);
	is_int(lives_decode(buf_slice(&out), COPIES_B, back), ERR_CORRUPT, "nor with a member twice");
	buf_fini(&out);
	free(image);
	free(back);
}

int main(void)
{
	test_starts();
	test_many_starts();
	test_members();
	test_disks();
	test_damage();
	test_bytes();
	return tap_done();
}

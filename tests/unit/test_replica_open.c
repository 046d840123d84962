/* What a start refuses: directory and database that do not fit, votes that cannot be read. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"
#include "raft/member.h"
#include "raft/wal/hardstate.h"
#include "raft/wal/segment.h"
#include "tests/lib/disk_env.h"
#include "tests/lib/group.h"
#include "tests/lib/tap.h"

/* ---- term and vote ---- */

static void test_slots(void)
{
	struct hardstate state = {7, 12, 3, 99}, back;
	uint8_t bytes[HARDSTATE_BYTES];
	hardstate_encode(bytes, COPIES_A, &state);
	ok(hardstate_decode(slice_of(bytes, sizeof(bytes)), COPIES_A, &back) == 0 && back.term == 12 &&
		   back.voted_for == 3 && back.sequence == 7 && back.log_id == 99,
	   "a slot comes back as it was written");
	ok(hardstate_decode(slice_of(bytes, sizeof(bytes)), COPIES_B, &back) == ERR_CORRUPT,
	   "but not from the place of the other");
	unsigned taken = 0;
	for (size_t at = 0; at < sizeof(bytes); at++) {
		bytes[at] ^= 0x10;
		taken += hardstate_decode(slice_of(bytes, sizeof(bytes)), COPIES_A, &back) == 0;
		bytes[at] ^= 0x10;
	}
	is_int(taken, 0, "nor with a flipped bit");
}

static int read_vote(struct disk *disk, struct hardstate *state)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file = NULL;
	int status = hardstate_open(env, "d", state, &file, NULL);
	if (status == 0) {
		env_file_close(file);
	}
	disk_env_free(env);
	return status;
}

/* Writes the changes of a life; returns the last one that was durable. */
static uint64_t live(struct disk *disk, uint64_t from, unsigned changes)
{
	struct env *env = disk_env_new(disk);
	struct env_file *file = NULL;
	struct hardstate state;
	uint64_t durable = 0;
	if (hardstate_open(env, "d", &state, &file, NULL) == 0) {
		durable = state.sequence;
		for (uint64_t i = 1; i <= changes; i++) {
			struct hardstate next = {from + i, from + i, 1 + i % 3, 5};
			if (hardstate_store(file, COPIES_A, &next) != 0) {
				break;
			}
			durable = next.sequence; /* promised from here on */
			if (hardstate_store(file, COPIES_B, &next) != 0) {
				break;
			}
		}
		env_file_close(file);
	}
	disk_env_free(env);
	return durable;
}

static void test_vote_power(void)
{
	unsigned lost = 0, refused = 0, runs = 0;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct disk *disk = disk_new(seed);
		struct env *env = disk_env_new(disk);
		struct hardstate first = {1, 1, 0, 5}, back = {0, 0, 0, 0};
		hardstate_create(env, "d", &first, NULL);
		disk_env_free(env);
		uint64_t durable = 1;
		for (unsigned round = 0; round < 3; round++) {
			disk_cut_at(disk, disk_changes(disk) + 1 + (seed + round * 5) % 23);
			uint64_t now = live(disk, durable + 10, 4);
			durable = now > durable ? now : durable;
			disk_recover(disk, DISK_LOSE_SOME);
			runs++;
			if (read_vote(disk, &back) != 0) {
				refused++;
			} else {
				lost += back.sequence < durable;
				durable = back.sequence;
			}
		}
		disk_free(disk);
	}
	ok(lost == 0 && refused == 0, "over %u power cuts no vote that was durable is forgotten", runs);
}

static void test_vote_flips(void)
{
	struct disk *disk = disk_new(2);
	struct env *env = disk_env_new(disk);
	struct hardstate first = {1, 1, 0, 5}, back;
	hardstate_create(env, "d", &first, NULL);
	disk_env_free(env);
	live(disk, 20, 3);
	size_t len;
	unsigned older = 0;
	disk_bytes(disk, "d/vote", &len);
	for (size_t at = 0; at < len; at++) {
		struct disk *damaged = disk_copy(disk);
		disk_bytes(damaged, "d/vote", &len)[at] ^= (uint8_t)(1u << at % 8);
		older += read_vote(damaged, &back) != 0 || back.sequence != 23;
		disk_free(damaged);
	}
	is_int(older, 0, "one flipped bit anywhere brings no older vote back");
	disk_bytes(disk, "d/vote", &len)[20] ^= 3;
	disk_bytes(disk, "d/vote", &len)[4096 + 30] ^= 3;
	is_int(read_vote(disk, &back), ERR_CORRUPT, "with both copies damaged there is no vote to believe");
	disk_free(disk);
}

static void test_vote_failed_sync(void)
{
	struct disk *disk = disk_new(3);
	struct env *env = disk_env_new(disk);
	struct hardstate first = {1, 1, 0, 5}, back;
	hardstate_create(env, "d", &first, NULL);
	disk_env_free(env);
	env = disk_env_new(disk);
	struct env_file *file;
	hardstate_open(env, "d", &back, &file, NULL);
	disk_fail_sync(disk, 1);
	struct hardstate next = {51, 51, 1, 5};
	ok(hardstate_store(file, COPIES_A, &next) != 0, "a failed sync is told");
	env_file_close(file);
	disk_env_free(env);
	ok(read_vote(disk, &back) == 0, "after a failed sync the next start reads a vote");
	uint64_t believed = back.sequence;
	disk_recover(disk, DISK_LOSE_ALL);
	ok(read_vote(disk, &back) == 0 && back.sequence >= believed,
	   "what it believed survives a power cut: it was written again, not only synced again");
	disk_free(disk);
}

/* ---- a member alone, on a disk in memory ---- */

static struct group *group_new(struct disk *disk)
{
	struct group *group = calloc(1, sizeof(*group));
	assert(group != NULL);
	group->count = 1;
	group->segment_bytes = KIB(8);
	group->keep_bytes = 0;
	group->cache_bytes = KIB(4);
	group->members[0].id = 1;
	group->members[0].env = disk_env_new(disk);
	snprintf(group->members[0].dir, sizeof(group->members[0].dir), "d");
	snprintf(group->members[0].address, sizeof(group->members[0].address), "n1:1");
	return group;
}

static void kill(struct group *group)
{
	disk_env_kill(group->members[0].env);
	replica_free(group->members[0].replica);
	group->members[0].replica = NULL;
	disk_env_free(group->members[0].env);
}

/* Some work; the member is killed afterwards. */
static struct group *history(struct disk *disk, unsigned count)
{
	struct group *group = group_new(disk);
	struct group_member *member = &group->members[0];
	int status = group_open(group, 0, NULL);
	assert(status == 0);
	disk_env_advance(member->env, 10);
	assert(member->open);
	for (unsigned i = 0; i < count; i++) {
		group_propose(member, 100);
		disk_env_run(member->env);
	}
	disk_env_advance(member->env, 400);
	kill(group);
	return group;
}

/* Opens on a damaged copy; says what was answered. */
static int try_open(struct group *group, struct disk *disk, char text[ERR_TEXT_MAX])
{
	struct err err = {0};
	struct group_member *member = &group->members[0];
	member->env = disk_env_new(disk);
	int status = group_open(group, 0, &err);
	snprintf(text, ERR_TEXT_MAX, "%s", err.text);
	kill(group);
	return status;
}

static void remove_file(struct disk *disk, const char *path)
{
	struct env *env = disk_env_new(disk);
	env_unlink(env, path);
	env_dir_sync(env, "d");
	disk_env_free(env);
}

static void test_refusals(void)
{
	struct disk *disk = disk_new(4);
	struct group *group = history(disk, 30);
	struct group_member *member = &group->members[0];
	char text[ERR_TEXT_MAX];
	uint64_t applied = member->applied;
	ok(applied > 30, "a member has a history");

	struct disk *copy = disk_copy(disk);
	ok(try_open(group, copy, text) == 0, "with its own database it starts");
	disk_free(copy);

	member->applied += 5;
	copy = disk_copy(disk);
	ok(try_open(group, copy, text) == ERR_CORRUPT &&
		   strstr(text, "before what the database holds") != NULL,
	   "a log that ends before the database is refused");
	disk_free(copy);
	member->applied = applied;

	member->chain[applied].low ^= 1;
	copy = disk_copy(disk);
	ok(try_open(group, copy, text) == ERR_CORRUPT && strstr(text, "differ") != NULL,
	   "a database of another history is refused");
	disk_free(copy);
	member->chain[applied].low ^= 1;

	copy = disk_copy(disk);
	remove_file(copy, "d/vote");
	ok(try_open(group, copy, text) == ERR_CORRUPT && strstr(text, "holds no log") != NULL,
	   "a database without term and vote is refused");
	group_wipe(group, 0);
	ok(try_open(group, copy, text) == ERR_CORRUPT && strstr(text, "another log") != NULL,
	   "a log without term and vote is refused, also without a database");
	disk_free(copy);

	copy = disk_copy(disk);
	const char *name;
	for (size_t i = 0; (name = disk_name(copy, i)) != NULL;) {
		if (strstr(name, ".log") != NULL) {
			remove_file(copy, name);
		} else {
			i++;
		}
	}
	ok(try_open(group, copy, text) == ERR_CORRUPT && strstr(text, "the log is gone") != NULL,
	   "a member that has voted and lost its log does not begin again");
	disk_free(copy);

	copy = disk_copy(disk);
	struct env *env = disk_env_new(copy);
	struct env_file *file;
	struct hardstate state;
	hardstate_open(env, "d", &state, &file, NULL);
	state.term = 1;
	hardstate_store(file, COPIES_A, &state);
	hardstate_store(file, COPIES_B, &state);
	env_file_close(file);
	disk_env_free(env);
	ok(try_open(group, copy, text) == ERR_CORRUPT && strstr(text, "term and vote are of") != NULL,
	   "a log with a higher term than the vote is truth lost");
	disk_free(copy);
	free(group);
	disk_free(disk);
}

static uint64_t first_index_of(struct disk *disk, uint64_t number)
{
	char path[64];
	size_t len;
	struct segment_head head = {0};
	snprintf(path, sizeof(path), "d/%016llx.log", (unsigned long long)number);
	const uint8_t *bytes = disk_bytes(disk, path, &len);
	int status = segment_head_decode(slice_of(bytes, len), number, &head);
	assert(status == 0);
	return head.first_index;
}

/* Segments are gone that the database needs no more, or does. */
static int open_without(struct group *group, struct disk *disk, const char *path, uint64_t applied,
			char text[ERR_TEXT_MAX])
{
	struct disk *copy = disk_copy(disk);
	remove_file(copy, path);
	group->members[0].applied = applied;
	int status = try_open(group, copy, text);
	disk_free(copy);
	return status;
}

static void test_seam(void)
{
	struct disk *disk = disk_new(6);
	struct group *group = history(disk, 150);
	struct group_member *member = &group->members[0];
	char text[ERR_TEXT_MAX];
	const char *first = "d/0000000000000001.log", *second = "d/0000000000000002.log";
	uint64_t base = first_index_of(disk, 2) - 1;
	ok(open_without(group, disk, first, base, text) == 0,
	   "a log may begin right behind what the database holds: %s", text);
	ok(open_without(group, disk, first, base - 1, text) == ERR_CORRUPT &&
		   strstr(text, "begins at") != NULL,
	   "but not one entry later");
	member->chain[base].low ^= 1;
	ok(open_without(group, disk, first, base, text) == ERR_CORRUPT && strstr(text, "differ") != NULL,
	   "and its head must say what the database holds there");
	member->chain[base].low ^= 1;
	base = first_index_of(disk, 3) - 1;
	ok(open_without(group, disk, second, base, text) == 0,
	   "nor is a segment missed whose entries the database holds: %s", text);
	ok(open_without(group, disk, second, base - 1, text) == ERR_CORRUPT &&
		   strstr(text, "missing") != NULL,
	   "one that holds an entry more is");
	free(group);
	disk_free(disk);
}

/* Power is cut at every change of the first start: the next one starts. */
static void test_first_start(void)
{
	unsigned refused = 0, runs = 0;
	for (uint64_t at = 1; at < 60; at++) {
		for (uint64_t luck = 0; luck < 6; luck++) {
			struct disk *disk = disk_new(at * 10 + luck);
			struct group *group = group_new(disk);
			char text[ERR_TEXT_MAX] = "";
			disk_cut_at(disk, at);
			if (group_open(group, 0, NULL) == 0) {
				disk_env_advance(group->members[0].env, 10);
			}
			kill(group);
			disk_recover(disk, DISK_LOSE_SOME);
			group_wipe(group, 0);
			runs++;
			if (try_open(group, disk, text) != 0) {
				refused++;
				tap_note("at %llu: %s", (unsigned long long)at, text);
			}
			free(group);
			disk_free(disk);
		}
	}
	is_int(refused, 0, "a first start that is cut anywhere can be made again (%u runs)", runs);
}

/* A member that is the whole cluster opens on an empty disk. */
static int open_alone(struct env *env, bool bootstrap, struct replica **replica)
{
	static const struct replica_events events = {0};
	const struct replica_member alone = {1, "n1:1"};
	const struct replica_applied_state nothing = {0};
	struct err err = {0};
	struct replica_config config = {.env = env,
					.dir = "d",
					.id = 1,
					.members = &alone,
					.member_count = 1,
					.bootstrap = bootstrap,
					.election_ms = 300,
					.heartbeat_ms = 50,
					.segment_bytes = KIB(8),
					.events = &events};
	return replica_open(&config, &nothing, replica, &err);
}

static void test_no_bootstrap(void)
{
	struct disk *disk = disk_new(5);
	struct env *env = disk_env_new(disk);
	struct replica *replica;
	is_int(open_alone(env, false, &replica), ERR_INVALID,
	       "an empty directory is refused when no cluster is to begin");
	disk_env_free(env);
	disk_free(disk);
}

/* A member that never started is freed without more. */
static void test_never_started(void)
{
	struct disk *disk = disk_new(6);
	struct env *env = disk_env_new(disk);
	struct replica *replica = NULL;
	ok(open_alone(env, true, &replica) == 0, "a member opens");
	replica_free(replica);
	ok(true, "and is freed without having started");
	disk_env_free(env);
	disk_free(disk);
}

/* ---- configurations from outside ---- */

static void test_member_check(void)
{
	struct replica_member members[3] = {{1, "a:1"}, {2, "b:1"}, {7, "c:12345"}};
	struct buf out;
	buf_init(&out, CONFIGURATION_BYTES_MAX);
	member_encode(members, 3, &out);
	ok(member_check(buf_slice(&out)) == 0, "a configuration as the core encodes it is one");
	struct raft_configuration configuration;
	member_decode(buf_slice(&out), &configuration);
	ok(configuration.n == 3 && configuration.servers[2].id == 7 && member_voters(&configuration) == 3,
	   "it comes back with its members");
	raft_configuration_close(&configuration);
	ok(!member_is_only_voter(buf_slice(&out), 1), "none of three is the only voter");
	for (size_t cut = 0; cut < out.len; cut++) {
		if (member_check(slice_of(out.data, cut)) == 0) {
			ok(false, "a configuration cut at %zu is none", cut);
		}
	}
	struct prng prng;
	prng_init(&prng, 1);
	unsigned taken = 0;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t *copy = malloc(out.len);
		memcpy(copy, out.data, out.len);
		for (unsigned j = 0; j < 1 + i % 4; j++) {
			copy[prng_below(&prng, out.len)] = (uint8_t)prng_next(&prng);
		}
		if (member_check(slice_of(copy, out.len)) == 0) {
			member_decode(slice_of(copy, out.len),
				      &configuration); /* must not read past the end */
			raft_configuration_close(&configuration);
			taken++;
		}
		free(copy);
	}
	ok(true, "what is checked can be decoded (%u of 20000)", taken);
	struct replica_member twice[2] = {{1, "same:1"}, {2, "same:2"}};
	buf_reset(&out);
	member_encode(twice, 2, &out);
	uint8_t *second = memchr(out.data + 20, '2', out.len - 20);
	*second = '1';
	ok(member_check(buf_slice(&out)) == ERR_INVALID, "two members at one address are refused");
	buf_fini(&out);
}

int main(void)
{
	test_slots();
	test_vote_power();
	test_vote_flips();
	test_vote_failed_sync();
	test_refusals();
	test_seam();
	test_first_start();
	test_no_bootstrap();
	test_never_started();
	test_member_check();
	return tap_done();
}

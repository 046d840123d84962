/* Members that remember each other's lives: who lost its memory, or has an older one, does not come in. */
#include <assert.h>
#include <stdlib.h>

#include "tests/lib/tap.h"
#include "tests/unit/peer_world.h"

static void test_lost_memory(void)
{
	struct pair *pair = pair_new(7);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	struct life first = lives_own(b->lives);
	ok(met(pair) && life_equal(lives_of(a->lives, 2), first), "who has met a member remembers its life");
	stop(pair, 1, SIM_KILL_PROCESS);
	sim_disk_copy(b->host, pair->ends[2].host);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	struct life second = lives_own(b->lives);
	ok(met(pair) && b->forgotten_by == 0 && life_equal(lives_of(a->lives, 2), second),
	   "its next one is taken: it has lived the one before");
	stop(pair, 1, SIM_KILL_PROCESS);
	sim_disk_copy(pair->ends[2].host, b->host);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(b->forgotten_by == 1 && life_equal(b->forgotten, second) && b->connected == 0,
	   "an older copy of its directory is told what it does not know, and never comes in");
	ok(life_equal(lives_of(a->lives, 2), second), "nor is it remembered in the other's place");
	stop(pair, 1, SIM_KILL_PROCESS);
	sim_disk_wipe(b->host);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(b->forgotten_by == 1 && b->connected == 0 && life_equal(lives_of(a->lives, 2), second),
	   "nor does an empty one");
	ok(a->forgotten_by == 0, "the one that remembers is not to blame");
	pair_free(pair);
}

static void test_after_a_power_cut(void)
{
	struct pair *pair = pair_new(10);
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	stop(pair, 1, SIM_KILL_POWER);
	run_ms(pair, 100);
	start(pair, 1, CLUSTER);
	run_ms(pair, 30);
	ok(met(pair) && life_equal(transport_link(pair->ends[0].transport, 2, FRAME_RAFT)->peer_life,
				   lives_own(pair->ends[1].lives)),
	   "one that comes back without a word to its old connections is dialed at once");
	pair_free(pair);
}

/* A supervisor starts a member again and again whose port another process has. */
static void test_port_taken(void)
{
	struct pair *pair = pair_new(11);
	start(pair, 0, CLUSTER);
	struct end *end = &pair->ends[0];
	struct lives *lives = NULL;
	env_mkdir(end->env, "other");
	for (int i = 0; i < 3; i++) {
		struct transport_config config = {.env = end->env,
						  .log = pair->log,
						  .cluster_id = CLUSTER,
						  .id = 2,
						  .listen = "n1:1",
						  .events = &end_events,
						  .owner = end};
		struct transport *transport = transport_new(&config);
		struct err err = {0};
		lives_open(end->env, "other", &lives, &err);
		transport_set_lives(transport, lives);
		int status = transport_start(transport, &err);
		ok(status != 0 && strstr(err.text, "n1:1") != NULL, "a port that is taken is refused: %s",
		   err.text);
		transport_free(transport);
		lives_free(lives);
	}
	lives_open(end->env, "other", &lives, NULL);
	lives_begin(lives, NULL);
	is_int((long long)lives_own(lives).start, 1, "and none of these starts was a life");
	lives_free(lives);
	pair_free(pair);
}

/* As many starts later as a directory keeps, without having met. */
static void live_long(struct pair *pair, size_t i)
{
	struct env *env = sim_host_start(pair->ends[i].host);
	struct lives_image *image = calloc(1, sizeof(*image));
	struct env_file *file;
	struct buf out;
	assert(image != NULL);
	*image = (struct lives_image){
		.sequence = 9000, .start = LIVES_OWN_MAX + 9, .own_count = LIVES_OWN_MAX};
	buf_init(&out, LIVES_BYTES_MAX);
	int status = env_file_open(env, "d/lives", ENV_FILE_WRITE, &file);
	for (int slot = COPIES_A; slot <= COPIES_B && status == 0; slot++) {
		buf_reset(&out);
		lives_encode(&out, (enum copies_slot)slot, image);
		status = env_file_write(file, slot == COPIES_A ? 0 : LIVES_STRIDE, out.data, out.len);
	}
	assert(status == 0);
	env_file_close(file);
	buf_fini(&out);
	free(image);
	sim_host_kill(pair->ends[i].host, SIM_KILL_PROCESS);
	sim_env_free(env);
}

static void test_too_old(void)
{
	struct pair *pair = pair_new(12);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	struct lines lines = {0};
	struct log log = {.sink = count_lines, .owner = &lines};
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 100);
	stop(pair, 1, SIM_KILL_PROCESS);
	live_long(pair, 1);
	pair->log = &log;
	start(pair, 1, CLUSTER);
	run_ms(pair, 10000);
	ok(b->connected == 0 && b->forgotten_by == 0 && lives_of(a->lives, 2).start == 1,
	   "who is remembered from longer ago than its directory knows proves nothing, and is not to blame");
	ok(lines.too_old == 1 && lines.all == 1, "it says so once, however often it dials (%u of %u lines)",
	   lines.too_old, lines.all);
	pair_free(pair);
}

/* Who cannot write down whom it meets does not talk to it, and tries again. */
static void test_not_remembered(void)
{
	struct pair *pair = pair_new(8);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	start(pair, 0, CLUSTER);
	sim_disk_faults(a->host)->sync_error_per_million = 1000000;
	start(pair, 1, CLUSTER);
	run_ms(pair, 2000);
	ok(b->connected == 0 && a->connected == 2, "a disk that refuses lets nobody in");
	sim_disk_faults(a->host)->sync_error_per_million = 0;
	run_ms(pair, 1000);
	ok(b->connected == 2 && life_equal(lives_of(a->lives, 2), lives_own(b->lives)),
	   "when it is well again it does");
	stop(pair, 0, SIM_KILL_POWER);
	start(pair, 0, CLUSTER);
	ok(life_equal(lives_of(a->lives, 2), lives_own(b->lives)), "and that survives a power cut");
	pair_free(pair);
}

/* Two that were set different members, and a third start with the right ones. */
static void test_other_members(void)
{
	struct pair *pair = pair_new(10);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	struct lines lines = {0};
	struct log log = {.sink = count_lines, .owner = &lines};
	pair->log = &log;
	pair->members[0] = 7;
	pair->members[1] = 8;
	start(pair, 0, CLUSTER);
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(a->connected == 0 && b->connected == 0, "members that were set differently do not meet");
	ok(lives_of(a->lives, 2).start == 0 && lives_of(b->lives, 1).start == 0,
	   "and remember nothing of each other, so that one may begin again");
	run_ms(pair, 500000);
	ok(bad_frames(a) > 100 && lines.all == 2,
	   "both say so once, however often they dial (%u lines for %llu)", lines.all,
	   (unsigned long long)bad_frames(a));
	run_ms(pair, 100000);
	is_int(lines.all, 4, "and again after ten minutes");
	stop(pair, 1, SIM_KILL_PROCESS);
	pair->members[1] = 7;
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	ok(met(pair), "with the same members they do");
	stop(pair, 1, SIM_KILL_PROCESS);
	pair->members[1] = 8;
	start(pair, 1, CLUSTER);
	run_ms(pair, 1000);
	is_int(lines.all, 6, "and when they are set differently again, that is news");
	pair_free(pair);
}

static void raw_hello(struct raw *raw, struct life life, struct life seen)
{
	struct hello hello = {CLUSTER, 2, 1, life, seen, FRAME_RAFT, 0};
	struct buf out;
	buf_init(&out, 4096);
	hello_encode(&out, &hello, 1);
	raw_send(raw, buf_slice(&out));
	buf_fini(&out);
}

/* What a network delivers again proves nothing against anybody. */
static void test_old_hellos(void)
{
	struct pair *pair = pair_new(9);
	struct end *a = &pair->ends[0], *b = &pair->ends[1];
	struct life none = {0, 0}, lives[3];
	start(pair, 0, CLUSTER);
	for (unsigned i = 0; i < 3; i++) {
		stop(pair, 1, SIM_KILL_PROCESS);
		start(pair, 1, CLUSTER);
		run_ms(pair, 100);
		lives[i] = lives_own(b->lives);
	}
	struct env *env = stranger(pair);
	struct raw old, proof, twice;
	raw_dial(&old, pair, env);
	raw_dial(&proof, pair, env);
	raw_dial(&twice, pair, env);
	run_ms(pair, 50);
	raw_hello(&old, lives[1], none);
	raw_hello(&proof, lives[1], none);
	raw_hello(&twice, lives[1], lives[2]);
	run_ms(pair, 50);
	raw_hello(&proof, lives[1], lives[0]);
	run_ms(pair, 50);
	ok(met(pair) && b->disconnected == 0 && b->forgotten_by == 0 && a->disconnected == 4,
	   "hellos of an earlier life drop no connection of this one");
	ok(life_equal(lives_of(a->lives, 2), lives[2]),
	   "nor do they take its place, with or without their proof");
	ok(twice.closed, "an earlier life that would have lived this one is closed");
	run_ms(pair, 6000);
	ok(old.closed && proof.closed && met(pair), "in the end all of them are");
	pair_free(pair);
}

int main(void)
{
	test_lost_memory();
	test_after_a_power_cut();
	test_too_old();
	test_port_taken();
	test_not_remembered();
	test_other_members();
	test_old_hellos();
	return tap_done();
}

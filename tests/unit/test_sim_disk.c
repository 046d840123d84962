/* The disk of the simulated body: what a power cut, a sync that fails or takes its time, and a crash between two
 * calls leave of what was written. */
#include <string.h>

#include "tests/lib/tap.h"
#include "tests/unit/sim_world.h"

static struct env *cycle(struct sim_host *host, struct env *env, enum sim_kill kill)
{
	sim_host_kill(host, kill);
	sim_env_free(env);
	return sim_host_start(host);
}

struct tally_of {
	int whole, none, mixed, torn, names_lost, seeds;
};

/* One file synced as 'a', then written as 'b' without a sync, and the power goes. */
static void cut_once(uint64_t seed, struct tally_of *seen)
{
	struct sim *sim = sim_new(seed);
	struct sim_host *host = sim_host_new(sim, "n1");
	struct env *env = sim_host_start(host);
	put(env, "kept", 'a', true);
	env_dir_sync(env, ".");
	put(env, "kept", 'b', false);
	put(env, "young", 'c', true);
	env = cycle(host, env, SIM_KILL_POWER);
	int b = sectors_of(env, "kept", 'b');
	int a = sectors_of(env, "kept", 'a');
	seen->seeds++;
	seen->whole += b == 8;
	seen->none += a == 8;
	seen->mixed += a > 0 && b > 0;
	seen->torn += a + b < 8;
	int young = sectors_of(env, "young", 'c');
	seen->names_lost += young == -1;
	if (young != -1 && young != 8) {
		seen->seeds = -1000000;
	}
	sim_env_free(env);
	sim_free(sim);
}

static void test_power(void)
{
	struct tally_of seen = {0};
	for (uint64_t seed = 1; seed <= 200; seed++) {
		cut_once(seed, &seen);
	}
	ok(seen.whole > 10 && seen.none > 10 && seen.mixed > 10 && seen.torn > 10,
	   "a power cut keeps, loses, mixes and tears what was not synced (%d %d %d %d of 200)", seen.whole, seen.none,
	   seen.mixed, seen.torn);
	ok(seen.names_lost > 20 && seen.names_lost < 180, "a name is kept or lost until its directory is synced (%d of 200)",
	   seen.names_lost);
	is_int(seen.seeds, 200, "a synced file that kept its name is whole");
}

static void test_synced(void)
{
	bool process = true, synced = true, renamed = true, both = false;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct sim *sim = sim_new(seed);
		struct sim_host *host = sim_host_new(sim, "n1");
		struct env *env = sim_host_start(host);
		put(env, "x", 'a', false);
		env = cycle(host, env, SIM_KILL_PROCESS);
		process = process && sectors_of(env, "x", 'a') == 8;
		put(env, "x", 'b', true);
		env_dir_sync(env, ".");
		env = cycle(host, env, SIM_KILL_POWER);
		synced = synced && sectors_of(env, "x", 'b') == 8;
		put(env, "new", 'c', true);
		env_dir_sync(env, ".");
		env_rename(env, "new", "x");
		env = cycle(host, env, SIM_KILL_POWER);
		int b = sectors_of(env, "x", 'b');
		int c = sectors_of(env, "x", 'c');
		renamed = renamed && (b == 8 || c == 8) && (sectors_of(env, "new", 'c') == -1) == (c == 8);
		both = both || sectors_of(env, "new", 'c') == 8;
		sim_env_free(env);
		sim_free(sim);
	}
	ok(process, "the end of a process loses nothing that was written");
	ok(synced, "the power cut loses nothing that was synced, name and all");
	ok(renamed && both, "a rename happens whole or not at all");
}

static void test_bad_sync(void)
{
	bool deceived = true, some_lost = false;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim *sim = sim_new(seed);
		struct sim_host *host = sim_host_new(sim, "n1");
		struct env *env = sim_host_start(host);
		put(env, "x", 'a', true);
		env_dir_sync(env, ".");
		struct env_file *file;
		env_file_open(env, "x", ENV_FILE_READ | ENV_FILE_WRITE, &file);
		uint8_t bytes[FILE_BYTES];
		memset(bytes, 'b', sizeof(bytes));
		env_file_write(file, 0, bytes, sizeof(bytes));
		sim_disk_faults(host)->sync_error_per_million = 1000000;
		int failed = env_file_sync(file);
		sim_disk_faults(host)->sync_error_per_million = 0;
		int again = env_file_sync(file);
		deceived = deceived && failed == ERR_IO && again == 0 && sectors_of(env, "x", 'b') == 8;
		env_file_close(file);
		env = cycle(host, env, SIM_KILL_POWER);
		some_lost = some_lost || sectors_of(env, "x", 'a') > 0;
		sim_env_free(env);
		sim_free(sim);
	}
	ok(deceived && some_lost, "after a failed sync the kernel shows the new bytes, a second sync says 0, and they may be lost");
}

/* The sync of a directory fails, the next one does not: whether that one carries what the first should have. */
static unsigned names_lost(bool forgets, bool *failed_once)
{
	unsigned lost = 0;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim *sim = sim_new(seed);
		struct sim_host *host = sim_host_new(sim, "n1");
		struct env *env = sim_host_start(host);
		sim_disk_faults(host)->dir_forgets = forgets;
		put(env, "x", 'a', true);
		sim_disk_fail_nth(host, SIM_NTH_DIR, 1);
		int failed = env_dir_sync(env, ".");
		int again = env_dir_sync(env, ".");
		*failed_once = *failed_once && failed == ERR_IO && again == 0 && sectors_of(env, "x", 'a') == 8;
		env = cycle(host, env, SIM_KILL_POWER);
		lost += sectors_of(env, "x", 'a') == -1;
		sim_env_free(env);
		sim_free(sim);
	}
	return lost;
}

static void test_bad_dir_sync(void)
{
	bool failed_once = true;
	is_int(names_lost(false, &failed_once), 0, "the sync after a failed one of a directory carries its names too");
	unsigned lost = names_lost(true, &failed_once);
	ok(failed_once && lost > 5 && lost < 35, "unless the disk forgets: then some are never on it, whatever it says");
}

/* Only what was written last to c may differ, though d is the older and e the newer file. */
static bool bit_of_last_write(struct sim_host *host, struct env *env)
{
	struct env_file *c, *d, *e;
	char was[200], is[200];
	size_t got = 0;
	memset(was, 'c', sizeof(was));
	*sim_disk_faults(host) = (struct sim_disk_faults){0};
	env_file_open(env, "d", ENV_FILE_WRITE | ENV_FILE_CREATE, &d);
	env_file_open(env, "c", ENV_FILE_WRITE | ENV_FILE_READ | ENV_FILE_CREATE, &c);
	env_file_open(env, "e", ENV_FILE_WRITE | ENV_FILE_CREATE, &e);
	env_file_write(d, 0, was, sizeof(was));
	env_file_write(e, 0, was, sizeof(was));
	env_file_write(c, 0, was, 100);
	env_file_write(c, 100, was, 100);
	bool flipped = sim_disk_flip_last(host, "", 1);
	env_file_read(c, 0, is, sizeof(is), &got);
	unsigned differ = 0;
	for (size_t i = 0; i < got; i++) {
		differ += is[i] != was[i] && i >= 100;
	}
	bool same = memcmp(is, was, 100) == 0;
	env_file_close(c);
	env_file_close(d);
	env_file_close(e);
	return flipped && same && differ == 1 && !sim_disk_flip_last(host, "nowhere", 1);
}

static void test_full(void)
{
	struct sim *sim = sim_new(1);
	struct sim_host *host = sim_host_new(sim, "n1");
	struct env *env = sim_host_start(host);
	sim_disk_faults(host)->capacity = 2 * FILE_BYTES;
	put(env, "a", 'a', true);
	struct env_file *file;
	env_file_open(env, "b", ENV_FILE_WRITE | ENV_FILE_CREATE, &file);
	is_int(env_file_allocate(file, FILE_BYTES + 1), ERR_NO_SPACE, "a full disk says so");
	is_int(env_file_allocate(file, FILE_BYTES), 0, "to its last byte it gives");
	uint64_t left = 1;
	ok(env_free_space(env, ".", &left) == 0 && left == 0, "and then nothing is left");
	env_unlink(env, "a");
	ok(env_free_space(env, ".", &left) == 0 && left == FILE_BYTES, "until something is removed");
	env_file_close(file);
	sim_disk_faults(host)->write_error_per_million = 1000000;
	env_file_open(env, "b", ENV_FILE_WRITE | ENV_FILE_READ, &file);
	is_int(env_file_write(file, 0, "x", 1), ERR_IO, "a write error is told");
	sim_disk_faults(host)->read_error_per_million = 1000000;
	char byte;
	size_t got;
	is_int(env_file_read(file, 0, &byte, 1, &got), ERR_IO, "a read error is told");
	env_file_close(file);
	ok(sim_disk_flip(host, "b") && !sim_disk_flip(host, "nowhere"), "a bit at rest is flipped where there is a file");
	ok(bit_of_last_write(host, env), "or in what was written last, wherever that is");
	sim_env_free(env);
	sim_free(sim);
}

/* ---- a crash between two calls of one work item ---- */

struct crash {
	int count;
};
static void crashed(void *owner, struct sim_host *host)
{
	((struct crash *)owner)->count++;
	sim_host_kill(host, SIM_KILL_POWER);
}

static void test_crash_inside(void)
{
	int some = 0, all = 0, none = 0, done = 0, crashes = 0;
	for (uint64_t calls = 1; calls <= 4; calls++) {
		for (uint64_t seed = 1; seed <= 20; seed++) {
			struct sim *sim = sim_new(seed);
			struct crash crash = {0};
			sim_on_crash(sim, crashed, &crash);
			struct sim_host *host = sim_host_new(sim, "n1");
			struct env *env = sim_host_start(host);
			put(env, "log", 'o', true);
			env_dir_sync(env, ".");
			struct env_lane *lane = env_lane_open(env, "log", ENV_LANE_NORMAL);
			struct log_job job = {.work = {.run = log_run, .done = log_done}, .env = env};
			sim_disk_crash_after(host, calls);
			env_lane_submit(lane, &job.work);
			sim_run(sim, 1000000);
			crashes += crash.count;
			done += job.done;
			if (!env->dead) {
				sim_host_kill(host, SIM_KILL_POWER);
			}
			env_lane_close(lane);
			sim_env_free(env);
			env = sim_host_start(host);
			int n = sectors_of(env, "log", 'n');
			all += n == 8;
			none += n == 0;
			some += n > 0 && n < 8;
			sim_env_free(env);
			sim_free(sim);
		}
	}
	is_int(crashes, 60, "open, write and sync are three calls a crash can come in");
	is_int(done, 20, "a work item that crashed is never done");
	ok(some > 2 && all > 20 && none > 20, "its writes are there, partly there or not (%d %d %d)", all, some, none);
}

/* ---- a sync takes its time ---- */

struct slow_sync {
	int lost, kept, names_lost, undone;
};

/* A host with a log whose disk takes a second for a sync, and a lane that has begun its work. */
struct slow_disk {
	struct sim *sim;
	struct sim_host *host;
	struct env *env;
	struct log_job job;
};

static void slow_begin(struct slow_disk *slow, uint64_t seed, void (*run)(struct env_work *work))
{
	slow->sim = sim_new(seed);
	slow->host = sim_host_new(slow->sim, "n1");
	slow->env = sim_host_start(slow->host);
	put(slow->env, "log", 'o', true);
	env_dir_sync(slow->env, ".");
	slow->job = (struct log_job){.work = {.run = run, .done = log_done}, .env = slow->env};
	sim_disk_faults(slow->host)->sync_us = 1000000;
	env_lane_submit(env_lane_open(slow->env, "log", ENV_LANE_NORMAL), &slow->job.work);
}

static void slow_cut(struct slow_disk *slow)
{
	slow->env = cycle(slow->host, slow->env, SIM_KILL_POWER);
}

static void slow_end(struct slow_disk *slow)
{
	sim_env_free(slow->env);
	sim_free(slow->sim);
}

/* A lane writes and syncs for a second; the power goes after some of it. */
static void sync_and_cut(uint64_t seed, uint64_t after_us, struct slow_sync *seen)
{
	struct slow_disk slow;
	slow_begin(&slow, seed, log_run);
	sim_run(slow.sim, after_us);
	seen->undone += !slow.job.done;
	slow_cut(&slow);
	int n = sectors_of(slow.env, "log", 'n');
	seen->kept += n == 8;
	seen->lost += n == 0;
	slow_end(&slow);
}

static void dir_run(struct env_work *work)
{
	struct log_job *job = list_entry(work, struct log_job, work);
	put(job->env, "young", 'n', false);
	env_dir_sync(job->env, ".");
}

static void name_and_cut(uint64_t seed, uint64_t after_us, struct slow_sync *seen)
{
	struct slow_disk slow;
	slow_begin(&slow, seed, dir_run);
	sim_run(slow.sim, after_us);
	slow_cut(&slow);
	seen->names_lost += sectors_of(slow.env, "young", 'n') == -1;
	slow_end(&slow);
}

static void test_slow_sync(void)
{
	struct slow_sync within = {0}, after = {0};
	for (uint64_t seed = 1; seed <= 60; seed++) {
		sync_and_cut(seed, 500000, &within);
		sync_and_cut(seed, 1100000, &after);
		name_and_cut(seed, 500000, &within);
		name_and_cut(seed, 1100000, &after);
	}
	ok(within.undone == 60 && within.lost > 5 && within.kept > 5,
	   "in the middle of a long sync a power cut keeps or loses what it was to save (%d %d of 60)", within.kept,
	   within.lost);
	ok(after.undone == 0 && after.kept == 60, "after it nothing is lost");
	ok(within.names_lost > 5 && within.names_lost < 55 && after.names_lost == 0,
	   "a name is not safe before its directory's sync ends (%d of 60)", within.names_lost);
}

/* What is written while a sync is under way is not part of it. */
static void test_write_behind_sync(void)
{
	int first = 0, second = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct slow_disk slow;
		struct env_file *file;
		uint8_t bytes[1024];
		slow_begin(&slow, seed, log_run);
		sim_run(slow.sim, 500000);
		memset(bytes, 'z', sizeof(bytes));
		env_file_open(slow.env, "log", ENV_FILE_WRITE, &file);
		env_file_write(file, 2048, bytes, sizeof(bytes));
		env_file_close(file);
		sim_run(slow.sim, 600000);
		slow_cut(&slow);
		first += sectors_of(slow.env, "log", 'n') >= 6;
		second += sectors_of(slow.env, "log", 'z') == 2;
		slow_end(&slow);
	}
	is_int(first, 60, "a sync saves what was written before it began");
	ok(second > 5 && second < 55, "not what was written while it was under way (%d of 60)", second);
}

static void test_killed_in_sync(void)
{
	struct sim *sim = sim_new(1);
	struct sim_host *host = sim_host_new(sim, "n1");
	struct env *env = sim_host_start(host);
	struct env_lane *lane = env_lane_open(env, "log", ENV_LANE_NORMAL);
	struct log_job job = {.work = {.run = log_run, .done = log_done}, .env = env};
	sim_disk_faults(host)->sync_us = 1000000;
	env_lane_submit(lane, &job.work);
	sim_run(sim, 500000);
	sim_host_kill(host, SIM_KILL_PROCESS);
	env_lane_close(lane);
	sim_env_free(env);
	sim_run(sim, 10000000);
	ok(!job.done, "an item whose process ends in its middle is never done");
	job.env = env = sim_host_start(host);
	lane = env_lane_open(env, "log", ENV_LANE_NORMAL);
	env_lane_submit(lane, &job.work);
	sim_run(sim, 500000);
	env_lane_close(lane);
	is_int(sectors_of(env, "log", 'n'), 8, "closing a lane waits for the item in its middle");
	sim_env_free(env);
	sim_free(sim);
}

int main(void)
{
	test_power();
	test_synced();
	test_bad_sync();
	test_bad_dir_sync();
	test_full();
	test_crash_inside();
	test_slow_sync();
	test_write_behind_sync();
	test_killed_in_sync();
	return tap_done();
}

/* One shard over the real replica: what was answered outlives the process, however it ended. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/shard_private.h"
#include "tests/lib/shard_world.h"
#include "tests/lib/tap.h"

/* Runs story in a process of its own that ends without a word. True when it came to its end. */
static bool dies_after(const char *dir, bool (*story)(struct world *w))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		struct world w;
		world_lead(&w, dir, NULL);
		if (story(&w)) {
			kill(getpid(), SIGKILL);
		}
		_exit(1);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool sells(struct world *w)
{
	bool right = strcmp(world_ask(w, "SET k v"), "+OK||") == 0;
	right = right && strcmp(world_ask(w, "ONCE id1 INCRBY n 5"), ":5||") == 0;
	right = right && world_bundle(w, "PUSH", world_take_lua)[0] == '%';
	right = right && strcmp(world_ask(w, "CALL pool.fill sku s qty 9"), "%1||$4||left||:9||") == 0;
	return right &&
	       strcmp(world_ask(w, "CALL pool.take take_id t1 sku s qty 2"), "%1||$4||left||:7||") == 0;
}

/* Many small entries: the database is flushed and the log trimmed on the way. */
static bool counts(struct world *w)
{
	char want[32];
	for (int i = 1; i <= 400; i++) {
		snprintf(want, sizeof want, ":%d||", i);
		if (strcmp(world_ask(w, "INCR counter"), want) != 0) {
			return false;
		}
	}
	return true;
}

static void test_what_a_kill_leaves(const char *dir)
{
	struct world w;
	struct shard_stats stats;
	world_lead(&w, dir, NULL);
	shard_stats(w.shard, &stats);
	is_int(stats.script.compiled, 1, "the active bundle is compiled before the first request");
	is_str(world_ask(&w, "GET k"), "$1||v||", "what was answered is there when it comes back");
	is_str(world_ask(&w, "ONCE id1 INCRBY n 5"), ":5||", "a request id is known");
	is_str(world_ask(&w, "GET n"), "$1||5||", "and happened once");
	is_str(world_ask(&w, "CALL pool.take take_id t1 sku s qty 2"), "%2||$4||left||:7||$8||replayed||#t||",
	       "a sale is replayed");
	is_str(world_ask(&w, "CALL pool.take take_id t2 sku s qty 2"), "%1||$4||left||:5||",
	       "the next one goes on from there");
	world_close(&w);
	world_lead(&w, dir, NULL);
	is_str(world_ask(&w, "CALL pool.take take_id t2 sku s qty 2"), "%2||$4||left||:5||$8||replayed||#t||",
	       "after a polite stop as well");
	world_close(&w);
}

static bool was_flushed(void *owner)
{
	struct shard_stats stats;
	shard_stats(((struct world *)owner)->shard, &stats);
	return stats.store.flushes > 0;
}

static void test_flush_and_trim(const char *dir)
{
	struct world w;
	struct shard_config small = {.flush_entries = 16};
	world_lead(&w, dir, &small);
	is_str(world_ask(&w, "GET counter"), "$3||400||", "all of it is there");
	for (int i = 0; i < 100; i++) {
		world_ask(&w, "INCR counter");
	}
	/* An answer waits for the commit; apply and flush come behind it, on lanes of their own. */
	uv_env_run_until(w.env, was_flushed, &w, WAIT_MS);
	ok(was_flushed(&w), "the database was flushed on the way");
	world_close(&w);
	world_lead(&w, dir, &small);
	is_str(world_ask(&w, "GET counter"), "$3||500||", "and nothing is missing after it");
	world_close(&w);
}

int main(void)
{
	char sold[512], counted[512];
	snprintf(sold, sizeof sold, "%s/sold", tap_dir());
	snprintf(counted, sizeof counted, "%s/counted", tap_dir());
	/* Both before this process has threads: what is forked with threads is not trusted by their checker. */
	ok(dies_after(sold, sells), "a node sells and is killed");
	ok(dies_after(counted, counts), "a node counts and is killed");
	test_what_a_kill_leaves(sold);
	test_flush_and_trim(counted);
	return tap_done();
}

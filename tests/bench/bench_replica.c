/* The log and its replication alone: three processes on loopback, no database.
 * bench_replica [DEPTH [BYTES [SECONDS]]]: the leader keeps DEPTH entries of BYTES in flight. */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/histogram.h"
#include "env/uv_env.h"
#include "tests/lib/group.h"
#include "tests/lib/tap.h"

static unsigned depth = 1;
static size_t bytes = 300;
static uint64_t seconds = 3;

struct bench {
	struct env *env;
	struct replica *replica;
	struct env_timer timer;
	struct env_turn turn;
	struct histogram latency;
	bool open, ended;
	uint64_t applied, proposed, first, started_us, committed;
	uint64_t at_us[4096];
	uint64_t payload_seed;
};

static void on_role(void *owner, enum replica_role role, uint64_t term, uint64_t leader_id) {}
static void on_open_payload(void *owner, struct buf *payload)
{
	entry_begin(payload, ENTRY_OPEN, 1);
	entry_end(payload);
}

static void on_open(void *owner, uint64_t term, uint64_t index)
{
	struct bench *bench = owner;
	bench->open = true;
	bench->committed = bench->proposed = index;
	bench->first = index;
	bench->started_us = env_now_us(bench->env);
	env_turn_arm(&bench->turn);
}

static void on_committed(void *owner, struct entry *const *entries, size_t count)
{
	struct bench *bench = owner;
	bench->applied = entries[count - 1]->index;
	replica_applied(bench->replica, bench->applied);
}

static void on_commit_index(void *owner, uint64_t index)
{
	struct bench *bench = owner;
	if (!bench->open) {
		return;
	}
	uint64_t now = env_now_us(bench->env);
	while (bench->committed < index) {
		histogram_add(&bench->latency, now - bench->at_us[++bench->committed % 4096]);
	}
	env_turn_arm(&bench->turn);
}

static void turn_cb(struct env_turn *turn)
{
	struct bench *bench = list_entry(turn, struct bench, turn);
	static uint8_t content[LIMIT_ENTRY];
	while (bench->open && bench->proposed - bench->committed < depth) {
		struct entry *entry = entry_new(ENTRY_COMMAND, slice_of(content, bytes));
		bench->at_us[(bench->proposed + 1) % 4096] = env_now_us(bench->env);
		if (replica_propose(bench->replica, entry, 1) != 0) {
			entry_unref(entry);
			break;
		}
		bench->proposed++;
	}
}

static void timer_cb(struct env_timer *timer)
{
	struct bench *bench = list_entry(timer, struct bench, timer);
	replica_database_durable(bench->replica, bench->applied);
	uint64_t ran = bench->open ? env_now_us(bench->env) - bench->started_us : 0;
	if (ran < seconds * 1000000) {
		env_timer_start(timer, 100);
		return;
	}
	struct replica_stats stats;
	replica_stats(bench->replica, &stats);
	double count = (double)(bench->committed - bench->first);
	printf("depth %u, %zu bytes: %.0f entries/s, %.1f MB/s, p50 %llu us, p99 %llu us; %.0f syncs/s, sync "
	       "p50 %llu us\n",
	       depth, bytes, count * 1e6 / (double)ran, count * (double)bytes / (double)ran,
	       (unsigned long long)histogram_quantile(&bench->latency, 500),
	       (unsigned long long)histogram_quantile(&bench->latency, 990),
	       (double)stats.log_syncs * 1e6 / (double)ran, (unsigned long long)stats.log_sync_us_p50);
	fflush(stdout);
	uv_env_stop(bench->env);
}

static const struct replica_events events = {
	.on_role = on_role,
	.on_open_payload = on_open_payload,
	.on_open = on_open,
	.on_committed = on_committed,
	.on_commit_index = on_commit_index,
};

static void run_member(uint64_t id, const struct replica_member *members, size_t count, const char *dir)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct err err = {0};
	char path[600];
	snprintf(path, sizeof(path), "%s/n%llu", dir, (unsigned long long)id);
	bench->env = uv_env_new(NULL);
	histogram_init(&bench->latency);
	struct replica_config config = {
		.env = bench->env,
		.dir = path,
		.cluster_id = 1,
		.id = id,
		.members = members,
		.member_count = count,
		.bootstrap = true,
		.listen = count > 1 ? members[id - 1].address : NULL,
		.election_ms = 300,
		.heartbeat_ms = 50,
		.segment_bytes = MIB(64),
		.keep_bytes = MIB(128),
		.cache_bytes = MIB(32),
		.events = &events,
		.owner = bench,
	};
	struct replica_applied_state nothing = {0};
	env_timer_init(bench->env, &bench->timer, timer_cb);
	env_turn_init(bench->env, &bench->turn, turn_cb);
	if (replica_open(&config, &nothing, &bench->replica, &err) != 0 ||
	    replica_start(bench->replica, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(1);
	}
	env_timer_start(&bench->timer, 100);
	uv_env_run(bench->env);
	_exit(0);
}

static void refuse(void *owner, struct env_stream *stream)
{
	env_stream_close(stream);
}

int main(int argc, char **argv)
{
	size_t count = 3;
	depth = argc > 1 ? (unsigned)atoi(argv[1]) : depth;
	bytes = argc > 2 ? (size_t)atol(argv[2]) : bytes;
	seconds = argc > 3 ? (uint64_t)atol(argv[3]) : seconds;
	assert(depth < 4096 && bytes <= LIMIT_ENTRY);
	const char *dir = tap_dir();
	char addresses[3][64];
	struct replica_member members[3];
	struct env *env = uv_env_new(NULL);
	struct env_listener *listeners[3];
	for (size_t i = 0; i < count; i++) {
		listeners[i] = env_listen(env, "127.0.0.1:0", refuse, NULL, NULL);
		snprintf(addresses[i], sizeof(addresses[i]), "127.0.0.1:%u", env_listener_port(listeners[i]));
		members[i] = (struct replica_member){i + 1, addresses[i]};
	}
	for (size_t i = 0; i < count; i++) {
		env_listener_close(listeners[i]);
	}
	uv_env_free(env, NULL, NULL);
	pid_t pids[3];
	for (size_t i = 0; i < count; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			run_member(i + 1, members, count, dir);
		}
	}
	int status;
	pid_t first = wait(&status); /* the leader's, when its time is over */
	for (size_t i = 0; i < count; i++) {
		if (pids[i] != first) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], &status, 0);
		}
	}
	tap_done();
	return 0;
}

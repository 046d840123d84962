#include "tests/scenario/stage.h"

#include "tests/lib/tap.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_US 60000000

void stage_open(struct stage *stage, uint64_t seed, unsigned nodes)
{
	memset(stage, 0, sizeof(*stage));
	stage->sim = sim_new(seed);
	judge_init(&stage->judge);
	fleet_init(&stage->fleet, stage->sim, &stage->judge, nodes, false);
	for (unsigned i = 0; i < nodes; i++) {
		fleet_start_in(&stage->fleet, i, 1);
	}
	stage->host = sim_host_new(stage->sim, "c1");
	stage->env = sim_host_start(stage->host);
	char servers[256];
	fleet_servers(&stage->fleet, servers, sizeof(servers));
	const struct tally_options options = {.servers = servers};
	struct err err = {0};
	stage->tally = client_open(stage->env, &options, &err);
	if (stage->tally == NULL) {
		fatal("no client: %s", err.text);
	}
}

void stage_close(struct stage *stage)
{
	ok(!stage->judge.failed, "the judge holds nothing against the nodes %s", stage->judge.failure);
	if (stage->judge.failed) {
		fleet_print(&stage->fleet);
	}
	stage_end(stage);
}

void stage_end(struct stage *stage)
{
	sim_host_kill(stage->host, SIM_KILL_PROCESS);
	client_free(stage->tally);
	sim_env_free(stage->env);
	fleet_fini(&stage->fleet);
	sim_free(stage->sim);
	judge_fini(&stage->judge);
}

void stage_run(struct stage *stage, uint64_t ms) { sim_run(stage->sim, ms * 1000); }

/* ---- asking ---- */

static void answered_cb(struct tally_call *call)
{
	struct stage *stage = call->data;
	stage->answered = true;
	stage->outcome = tally_call_outcome(call);
	const struct tally_value *value = tally_call_value(call);
	stage->nil = value == NULL || tally_value_type(value) == TALLY_NIL;
	size_t len = 0;
	const char *text = stage->outcome != TALLY_DONE ? tally_call_message(call)
			   : stage->nil                 ? ""
							: tally_value_text(value, &len);
	if (text == NULL) {
		snprintf(stage->text, sizeof(stage->text), "%lld", (long long)tally_value_int(value, 0));
	} else {
		snprintf(stage->text, sizeof(stage->text), "%s", text);
	}
}

static bool is_answered(void *owner) { return ((struct stage *)owner)->answered; }

enum tally_outcome stage_ask(struct stage *stage, bool read, unsigned timeout_ms, const char *const *words)
{
	size_t lens[16];
	size_t count = 0;
	while (words[count] != NULL && count < 16) {
		lens[count] = strlen(words[count]);
		count++;
	}
	char id[TALLY_ID_SIZE];
	tally_id_make(stage->tally, id);
	struct tally_call call = {.data = stage};
	stage->answered = false;
	tally_command_start(stage->tally, &call, read ? NULL : id, words, lens, count, read ? TALLY_READ : 0, timeout_ms,
			    answered_cb);
	if (!sim_run_until(stage->sim, is_answered, stage, 2 * PATIENCE_US)) {
		fatal("%s was never answered", words[0]);
	}
	return stage->outcome;
}

enum tally_outcome stage_set(struct stage *stage, const char *key, const char *value)
{
	return stage_ask(stage, false, 30000, (const char *const[]){"SET", key, value, NULL});
}

const char *stage_get(struct stage *stage, const char *key)
{
	enum tally_outcome outcome = stage_ask(stage, true, 30000, (const char *const[]){"GET", key, NULL});
	return outcome == TALLY_DONE ? stage->text : NULL;
}

/* ---- nodes ---- */

int stage_leader(struct stage *stage)
{
	return stage_get(stage, "leader?") == NULL ? -1 : fleet_leader(&stage->fleet);
}

void stage_kill(struct stage *stage, unsigned member, enum sim_kill kill, uint64_t down_ms)
{
	fleet_kill(&stage->fleet, member, kill);
	fleet_start_in(&stage->fleet, member, down_ms * 1000);
}

static bool converged(void *owner) { return fleet_converged(&((struct stage *)owner)->fleet); }
bool stage_converges(struct stage *stage) { return sim_run_until(stage->sim, converged, stage, PATIENCE_US); }

struct shard_stats stage_stats(const struct stage *stage, unsigned member)
{
	struct shard_stats stats;
	shard_stats(node_shard(stage->fleet.members[member].node), &stats);
	return stats;
}

uint64_t stage_applied(struct stage *stage, unsigned member) { return stage_stats(stage, member).applied_index; }

void stage_cut(struct stage *stage, unsigned member, bool cut)
{
	for (unsigned i = 0; i < stage->fleet.count; i++) {
		const struct sim_host *from = stage->fleet.members[i].host;
		sim_link(stage->sim, from, stage->fleet.members[member].host)->cut = cut && i != member;
	}
}

void stage_heal(struct stage *stage)
{
	sim_links_reset(stage->sim);
	sim_links_healed(stage->sim);
}

bool stage_asserts(void (*story)(void))
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		const struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		if (freopen("/dev/null", "w", stdout) != NULL && freopen("/dev/null", "w", stderr) != NULL) {
			story();
		}
		_exit(0);
	}
	int status = 0;
	return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
	       WTERMSIG(status) == SIGABRT;
}

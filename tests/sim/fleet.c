#include "tests/sim/fleet.h"

#include "engine/shard_private.h"
#include "server/config.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WATCH_US 5000

static const char *member_name(const struct member *m) { return sim_host_name(m->host); }

/* ---- logs ---- */

static void log_sink(void *owner, enum log_level level, const char *line)
{
	struct member *m = owner;
	uint64_t now = sim_now_us(m->fleet->sim);
	char *kept = m->lines[m->line_count++ % FLEET_LOG_LINES];
	snprintf(kept, sizeof(m->lines[0]), "%" PRIu64 ".%06" PRIu64 " %s", now / 1000000, now % 1000000, line);
	if (m->fleet->print) {
		fprintf(stderr, "%s\n", kept);
	}
}

void fleet_print(const struct fleet *fleet)
{
	for (unsigned i = 0; i < fleet->count; i++) {
		const struct member *m = &fleet->members[i];
		size_t from = m->line_count > FLEET_LOG_LINES ? m->line_count - FLEET_LOG_LINES : 0;
		for (size_t at = from; at < m->line_count; at++) {
			fprintf(stderr, "  %s\n", m->lines[at % FLEET_LOG_LINES]);
		}
	}
}

/* ---- lives ---- */

static void applied_cb(void *owner, const struct entry *entry)
{
	struct member *m = owner;
	judge_applied(m->fleet->judge, m->number, entry);
}

/* Frees what lived on an env that is dead. Never from inside its turn. */
static void bury(struct member *m)
{
	m->burying = false;
	node_free(m->node);
	m->node = NULL;
	sim_env_free(m->env);
	m->env = NULL;
}

static void bury_fire(struct sim_event *event) { bury(list_entry(event, struct member, bury)); }

static void end_life(struct member *m, enum sim_kill kill)
{
	m->state = MEMBER_DOWN;
	sim_host_kill(m->host, kill);
	m->burying = true;
	sim_event_in(m->fleet->sim, &m->bury, 0);
}

/* In production this is fatal(): the process ends here, and somebody starts it again. */
static void truth_lost_cb(void *owner, const char *line)
{
	struct member *m = owner;
	if (m->state != MEMBER_UP && m->state != MEMBER_STOPPING) {
		return;
	}
	m->fleet->truth_lost++;
	if (sim_disk_wounds(m->host) == 0) {
		judge_fail(m->fleet->judge, "%s stopped, though its disk never failed: %s", member_name(m), line);
	}
	end_life(m, SIM_KILL_PROCESS);
	fleet_start_in(m->fleet, m->number, 500000);
}

static void refused(struct member *m, const struct err *err)
{
	struct fleet *fleet = m->fleet;
	log_event(&m->log, LOG_ERROR, "refused", "reason=\"%s\"", err->text);
	fleet->refused++;
	bool wounded = sim_disk_wounds(m->host) > 0;
	const struct sim_disk_faults *faults = sim_disk_faults(m->host);
	bool ill = faults->capacity != 0 || faults->read_error_per_million != 0 ||
		   faults->write_error_per_million != 0 || faults->sync_error_per_million != 0;
	if (!wounded && !ill) {
		judge_fail(fleet->judge, "%s does not start, though its disk never failed: %s", member_name(m), err->text);
	}
	if (err->code == ERR_CORRUPT && wounded) {
		m->state = MEMBER_LOST;
		m->why = *err;
		return;
	}
	fleet_start_in(fleet, m->number, 2000000);
}

/* The database's own word: what a node believes that it has applied is what is judged. */
static uint64_t database_index(const struct member *m)
{
	struct store_meta meta = {0};
	struct err err = {0};
	if (store_meta(node_shard(m->node)->store, &meta, &err) != 0) {
		judge_fail(m->fleet->judge, "%s: its database does not say what it holds: %s", member_name(m), err.text);
	}
	return meta.index;
}

static void start_fire(struct sim_event *event)
{
	struct member *m = list_entry(event, struct member, start);
	if (m->state != MEMBER_DOWN) {
		return;
	}
	if (m->burying) {
		fleet_start_in(m->fleet, m->number, 1000);
		return;
	}
	struct err err = {0};
	m->env = sim_host_start(m->host);
	m->state = MEMBER_UP;
	int status = node_open(m->env, &m->config, &m->log, &m->node, &err);
	if (status == 0) {
		judge_started(m->fleet->judge, m->number, database_index(m));
		shard_watch_applied(node_shard(m->node), applied_cb, m);
		node_on_stopped(m->node, truth_lost_cb, m);
		status = node_start(m->node, &err);
	}
	if (m->state != MEMBER_UP || sim_host_crashing(m->host)) {
		return; /* it ended while it opened; who ended it goes on */
	}
	if (status != 0) {
		end_life(m, SIM_KILL_PROCESS);
		refused(m, &err);
		return;
	}
	m->starts++;
	if (m->starts > 1) {
		m->restarts++;
		m->fleet->restarts++;
	}
}

void fleet_start_in(struct fleet *fleet, unsigned number, uint64_t after_us)
{
	struct member *m = &fleet->members[number];
	if (m->state != MEMBER_LOST) {
		sim_event_in(fleet->sim, &m->start, after_us);
	}
}

void fleet_kill(struct fleet *fleet, unsigned number, enum sim_kill kill)
{
	struct member *m = &fleet->members[number];
	if (m->state == MEMBER_UP || m->state == MEMBER_STOPPING) {
		end_life(m, kill);
	}
}

static void stopped_cb(void *owner)
{
	struct member *m = owner;
	m->fleet->polite++;
	end_life(m, SIM_KILL_PROCESS);
	fleet_start_in(m->fleet, m->number, 200000 + prng_below(sim_prng(m->fleet->sim), 1000000));
}

void fleet_stop(struct fleet *fleet, unsigned number)
{
	struct member *m = &fleet->members[number];
	if (m->state != MEMBER_UP || sim_host_crashing(m->host)) {
		return;
	}
	m->state = MEMBER_STOPPING;
	node_stop(m->node, stopped_cb, m);
}

/* The power went inside a disk call. */
static void crashed_cb(void *owner, struct sim_host *host)
{
	struct fleet *fleet = owner;
	for (unsigned i = 0; i < fleet->count; i++) {
		struct member *m = &fleet->members[i];
		if (m->host == host && (m->state == MEMBER_UP || m->state == MEMBER_STOPPING)) {
			end_life(m, SIM_KILL_POWER);
			fleet_start_in(fleet, i, 100000 + prng_below(sim_prng(fleet->sim), 2000000));
			return;
		}
	}
}

/* ---- watching ---- */

static bool member_alive(const struct member *m)
{
	return (m->state == MEMBER_UP || m->state == MEMBER_STOPPING) && m->node != NULL && !m->burying;
}

static void watch_fire(struct sim_event *event)
{
	struct fleet *fleet = list_entry(event, struct fleet, watch);
	for (unsigned i = 0; i < fleet->count; i++) {
		const struct member *m = &fleet->members[i];
		if (!member_alive(m)) {
			continue;
		}
		struct shard_position at = shard_position(node_shard(m->node));
		if (at.replica.role == REPLICA_LEADER) {
			judge_leads(fleet->judge, i, at.replica.term);
		}
		judge_commit(fleet->judge, i, at.replica.commit_index);
	}
	sim_event_in(fleet->sim, &fleet->watch, WATCH_US);
}

int fleet_leader(const struct fleet *fleet)
{
	int found = -1;
	uint64_t term = 0;
	for (unsigned i = 0; i < fleet->count; i++) {
		const struct member *m = &fleet->members[i];
		if (!member_alive(m)) {
			continue;
		}
		struct shard_position at = shard_position(node_shard(m->node));
		if (at.replica.role == REPLICA_LEADER && at.replica.term > term) {
			term = at.replica.term;
			found = (int)i;
		}
	}
	return found;
}

unsigned fleet_lost(const struct fleet *fleet)
{
	unsigned lost = 0;
	for (unsigned i = 0; i < fleet->count; i++) {
		lost += fleet->members[i].state == MEMBER_LOST;
	}
	return lost;
}

bool fleet_converged(const struct fleet *fleet)
{
	uint64_t applied = 0;
	for (unsigned i = 0; i < fleet->count; i++) {
		const struct member *m = &fleet->members[i];
		if (!member_alive(m)) {
			continue;
		}
		struct shard_position at = shard_position(node_shard(m->node));
		if (at.applied_index != at.replica.commit_index || (applied != 0 && at.applied_index != applied)) {
			return false;
		}
		applied = at.applied_index;
	}
	return applied != 0;
}

/* ---- the room ---- */

static void member_config(struct member *m)
{
	struct fleet *fleet = m->fleet;
	struct prng *prng = sim_prng(fleet->sim);
	struct node_config *config = &m->config;
	config_defaults(config);
	snprintf(config->dir, sizeof(config->dir), "data");
	config->id = m->number + 1;
	snprintf(config->name, sizeof(config->name), "%s", member_name(m));
	snprintf(config->listen, sizeof(config->listen), "%s:7401", member_name(m));
	snprintf(config->peer_listen, sizeof(config->peer_listen), "%s:7501", member_name(m));
	for (unsigned i = 0; i < fleet->count; i++) {
		struct node_member *member = &config->members[i];
		member->id = i + 1;
		snprintf(member->client, sizeof(member->client), "n%u:7401", i + 1);
		snprintf(member->peer, sizeof(member->peer), "n%u:7501", i + 1);
	}
	config->member_count = fleet->count;
	/* Small, so that rolling, trimming, flushing and replay happen all the time. */
	config->memtable_bytes = MIB(1);
	config->cache_bytes = MIB(1);
	config->row_cache_bytes = KIB(4) << m->number; /* some 16 rows; more on later members */
	config->log_cache_bytes = prng_chance(prng, 1, 2) ? KIB(64) : MIB(4);
	config->segment_bytes = KIB(16) << prng_below(prng, 4);
	config->flush_entries = 5 + prng_below(prng, 100);
	if (prng_chance(prng, 1, 12)) {
		store_disk_merge_at(m->disk, 100); /* merges fall behind: the node waits for them (engine/pace.c) */
		config->flush_entries = 5;
	}
	if (prng_chance(prng, 1, 2)) {
		config->behind_bytes = KIB(1) << prng_below(prng, 5);
	}
	config->flush_bytes = MIB(1);
	config->keep_bytes = MIB(512); /* there is no other way to catch up yet */
	config->space_reserve_bytes = KIB(64);
	config->script_limit_ms = 0; /* there is no processor time here */
	config->log_level = LOG_DEBUG;
	config->disk = m->disk;
	struct err err = {0};
	if (config_finish(config, &err) != 0) {
		fatal("the simulator's settings are refused: %s", err.text);
	}
}

void fleet_init(struct fleet *fleet, struct sim *sim, struct judge *judge, unsigned count, bool print)
{
	assert(count >= 1 && count <= LIMIT_MEMBERS);
	memset(fleet, 0, sizeof(*fleet));
	fleet->sim = sim;
	fleet->judge = judge;
	fleet->count = count;
	fleet->print = print;
	sim_on_crash(sim, crashed_cb, fleet);
	for (unsigned i = 0; i < count; i++) {
		struct member *m = &fleet->members[i];
		char name[16];
		snprintf(name, sizeof(name), "n%u", i + 1);
		m->fleet = fleet;
		m->number = i;
		m->host = sim_host_new(sim, name);
		m->disk = store_disk_new();
		m->log = (struct log){LOG_DEBUG, sim_host_name(m->host), log_sink, m};
		sim_event_init(&m->start, start_fire);
		sim_event_init(&m->bury, bury_fire);
		member_config(m);
	}
	sim_event_init(&fleet->watch, watch_fire);
	sim_event_in(sim, &fleet->watch, WATCH_US);
}

void fleet_fini(struct fleet *fleet)
{
	for (unsigned i = 0; i < fleet->count; i++) {
		struct member *m = &fleet->members[i];
		fleet_kill(fleet, i, SIM_KILL_PROCESS);
		if (m->burying) {
			sim_event_cancel(fleet->sim, &m->bury);
			bury(m);
		}
		sim_event_cancel(fleet->sim, &m->start);
		store_disk_free(m->disk);
	}
	sim_event_cancel(fleet->sim, &fleet->watch);
}

void fleet_servers(const struct fleet *fleet, char *text, size_t size)
{
	size_t len = 0;
	for (unsigned i = 0; i < fleet->count && len < size; i++) {
		len += (size_t)snprintf(text + len, size - len, "%s%s", i == 0 ? "" : ",", fleet->members[i].config.listen);
	}
}

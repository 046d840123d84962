#include "client/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/body.h"
#include "client/channel.h"

/* Pauses between the rounds of a search. */
#define ROUND_MS 20
#define ROUND_MAX_MS 500
/* While served: how often silence is looked for when requests wait. */
#define WATCH_MS 100
/* The target tells its role among the requests this often, while there are any. */
#define ROLE_MS 1000
/* A status that takes longer did not come. */
#define ANSWER_MS 1000
/* Served through a follower: pauses between looks for the leader. */
#define QUIET_MS 500
#define QUIET_MAX_MS 4000
#define HEAR_OTHERS_MS 60
/* A connection that does not come up. */
#define CONNECT_MS 1000

struct arena *cluster_arena(struct cluster *cluster) { return &cluster->tally->arena; }
struct env *cluster_env(struct cluster *cluster) { return cluster->tally->env; }
uint64_t cluster_now_us(struct cluster *cluster) { return env_now_us(cluster->tally->env); }

/* ---- addresses ---- */

static bool address_valid(struct slice address)
{
	size_t colon = address.len;
	while (colon > 0 && address.data[colon - 1] != ':') {
		colon--;
	}
	int64_t port;
	return address.len < PROBE_ADDRESS && colon >= 2 && slice_to_int64(slice_skip(address, colon), &port) &&
	       port >= 1 && port <= 65535;
}

static struct probe *cluster_find(const struct cluster *cluster, struct slice address)
{
	for (size_t i = 0; i < cluster->count; i++) {
		if (slice_equal(slice_str(cluster->probes[i]->address), address)) {
			return cluster->probes[i];
		}
	}
	return NULL;
}

static void cluster_add_one(struct cluster *cluster, struct slice address)
{
	if (cluster->count == CLUSTER_ADDRESSES_MAX || cluster_find(cluster, address) != NULL) {
		return;
	}
	char text[PROBE_ADDRESS];
	snprintf(text, sizeof(text), "%.*s", (int)address.len, (const char *)address.data);
	struct probe *probe = malloc(sizeof(*probe));
	if (probe == NULL) {
		fatal("out of memory for an address");
	}
	probe_init(probe, cluster, text);
	cluster->probes[cluster->count++] = probe;
}

int cluster_add(struct cluster *cluster, const char *servers, struct err *err)
{
	struct slice rest = slice_str(servers);
	while (rest.len > 0) {
		size_t len = 0;
		while (len < rest.len && rest.data[len] != ',') {
			len++;
		}
		struct slice address = slice_of(rest.data, len);
		if (!address_valid(address)) {
			return err_set(err, ERR_INVALID, "\"%.*s\" is not host:port", (int)len, (const char *)rest.data);
		}
		cluster_add_one(cluster, address);
		rest = slice_skip(rest, len < rest.len ? len + 1 : len);
	}
	if (cluster->count == 0) {
		return err_set(err, ERR_INVALID, "no server address was given");
	}
	return 0;
}

void cluster_learn(struct cluster *cluster, struct slice address)
{
	if (!cluster->direct && address_valid(address) && memchr(address.data, 0, address.len) == NULL) {
		cluster_add_one(cluster, address);
	}
}

/* ---- settling ---- */

static void cluster_arm(struct cluster *cluster, uint64_t after_ms)
{
	env_timer_start(&cluster->timer, after_ms);
}

/* Brings the channels in line with the target: as many as asked for go there, the others retire. */
static void cluster_connect(struct cluster *cluster)
{
	struct tally *tally = cluster->tally;
	unsigned there = 0;
	list_for_each(link, &tally->channels)
	{
		struct channel *channel = list_entry(link, struct channel, link);
		if (channel->state == CHANNEL_CLOSING || channel->retiring) {
			continue;
		}
		if (channel->node == cluster->target) {
			there++;
		} else if (cluster->suspect) {
			channel->retiring = true;
			channel_close(channel);
		} else {
			channel_retire(channel);
		}
	}
	for (; there < tally->connections; there++) {
		channel_open(tally, cluster->target);
	}
}

/* The target is the same and answers its status: it is slow, not gone. */
static void cluster_forgive(struct cluster *cluster)
{
	uint64_t now_us = cluster_now_us(cluster);
	list_for_each(link, &cluster->tally->channels)
	{
		struct channel *channel = list_entry(link, struct channel, link);
		channel->quiet_since_us = now_us;
	}
}

static void cluster_settle(struct cluster *cluster, struct probe *target, bool leads)
{
	if (cluster->target != target || cluster->target_leads != leads) {
		cluster->tally->stats.leader_changes++;
		cluster->quiet_pause_ms = QUIET_MS;
	} else if (!leads && cluster->quiet_pause_ms < QUIET_MAX_MS) {
		cluster->quiet_pause_ms *= 2;
	}
	if (cluster->target == target) {
		cluster_forgive(cluster);
	}
	cluster->target = target;
	cluster->target_leads = leads;
	cluster_connect(cluster);
	cluster->seeking = cluster->quiet = cluster->suspect = false;
	cluster->asked_us = cluster_now_us(cluster);
	for (size_t i = 0; i < cluster->count; i++) {
		probe_rest(cluster->probes[i]);
	}
	cluster_arm(cluster, leads ? WATCH_MS : client_jitter_ms(cluster->tally, cluster->quiet_pause_ms));
	client_wake(cluster->tally);
}

/* ---- choosing ---- */

static bool cluster_fresh(const struct cluster *cluster, const struct probe *probe)
{
	return probe->answered_us != 0 && probe->answered_us >= cluster->since_us;
}

static struct probe *cluster_best_leader(const struct cluster *cluster)
{
	struct probe *best = NULL;
	for (size_t i = 0; i < cluster->count; i++) {
		struct probe *probe = cluster->probes[i];
		bool will_do = probe->leads || cluster->direct;
		if (cluster_fresh(cluster, probe) && will_do && (best == NULL || probe->term > best->term)) {
			best = probe;
		}
	}
	return best;
}

/* Any node that answers and knows a leader; the one that serves us already, if it does. */
static struct probe *cluster_best_follower(const struct cluster *cluster)
{
	struct probe *best = NULL;
	for (size_t i = 0; i < cluster->count; i++) {
		struct probe *probe = cluster->probes[i];
		if (!cluster_fresh(cluster, probe) || probe->leader[0] == '\0') {
			continue;
		}
		if (best == NULL || probe == cluster->target) {
			best = probe;
		}
	}
	return best;
}

/* A silent leader that still says it leads may have been deposed without knowing: others are heard first. */
static bool cluster_hopes(const struct cluster *cluster)
{
	if (env_now_us(cluster->tally->env) > cluster->since_us + HEAR_OTHERS_MS * 1000) {
		return false;
	}
	for (size_t i = 0; i < cluster->count; i++) {
		if (cluster->probes[i]->waiting) {
			return true;
		}
	}
	return false;
}

static void cluster_choose(struct cluster *cluster)
{
	struct probe *leader = cluster_best_leader(cluster);
	if (leader != NULL && leader == cluster->target && cluster->suspect && cluster_hopes(cluster)) {
		return;
	}
	if (leader != NULL) {
		cluster_settle(cluster, leader, true);
		return;
	}
	if (cluster_now_us(cluster) < cluster->since_us + CLUSTER_FOLLOWER_MS * 1000) {
		return;
	}
	struct probe *follower = cluster_best_follower(cluster);
	if (follower != NULL) {
		cluster_settle(cluster, follower, false);
	} else if (cluster->quiet) {
		/* What serves us does not answer questions: it may not serve either. */
		cluster->quiet = false;
	}
}

/* ---- seeking ---- */

static uint64_t cluster_round_ms(const struct cluster *cluster)
{
	uint64_t ms = ROUND_MS;
	/* Ten quick rounds cover an election; then it may be long. */
	for (unsigned i = 10; i < cluster->rounds && ms < ROUND_MAX_MS; i++) {
		ms = ms * 3 / 2;
	}
	return ms < ROUND_MAX_MS ? ms : ROUND_MAX_MS;
}

static void cluster_round(struct cluster *cluster)
{
	uint64_t now_us = cluster_now_us(cluster);
	/* Answers teach new addresses, which are asked in the same round. */
	for (size_t i = 0; i < cluster->count; i++) {
		struct probe *probe = cluster->probes[i];
		if (probe->waiting && now_us > probe->asked_us + ANSWER_MS * 1000) {
			probe_fail(probe);
		} else {
			probe_ask(probe, now_us);
		}
	}
	cluster->rounds++;
	cluster_arm(cluster, client_jitter_ms(cluster->tally, cluster_round_ms(cluster)));
}

static void cluster_seek(struct cluster *cluster, bool quiet)
{
	if (cluster->tally->closing) {
		return;
	}
	if (cluster->seeking) {
		cluster->quiet = cluster->quiet && quiet;
		return;
	}
	cluster->seeking = true;
	cluster->quiet = quiet;
	cluster->since_us = cluster_now_us(cluster);
	/* The first round comes a little later, so that a thousand clients of a node that died do not ask as one. */
	cluster_arm(cluster, client_jitter_ms(cluster->tally, cluster->rounds == 0 ? 4 : cluster_round_ms(cluster)));
}

void cluster_answered(struct cluster *cluster, struct probe *probe)
{
	if (!cluster->seeking) {
		probe_rest(probe);
		return;
	}
	/* The leader that a follower names is asked at once, not in the next round. */
	struct probe *named = cluster_find(cluster, slice_str(probe->leader));
	if (!probe->leads && named != NULL && named->stream == NULL) {
		probe_ask(named, cluster_now_us(cluster));
	}
	cluster_choose(cluster);
}

void cluster_probe_closed(struct cluster *cluster, struct probe *probe, bool failed)
{
	client_stream_gone(cluster->tally);
}

/* ---- what channels and calls tell ---- */

void cluster_lost(struct cluster *cluster)
{
	cluster_seek(cluster, false);
}

void cluster_moved(struct cluster *cluster)
{
	cluster_seek(cluster, false);
}

void cluster_heard(struct cluster *cluster)
{
	if (!cluster->seeking) {
		cluster->rounds = 0;
	}
}

void cluster_busy(struct cluster *cluster)
{
	if (!env_timer_armed(&cluster->timer)) {
		cluster_arm(cluster, WATCH_MS);
	}
}

void cluster_told(struct cluster *cluster, struct probe *node, struct slice reply)
{
	if (!probe_read(node, reply, cluster_now_us(cluster)) || node != cluster->target || cluster->direct) {
		return;
	}
	if (node->leads != cluster->target_leads) {
		cluster_seek(cluster, true);
	}
}

/* ---- looking while served ---- */

static bool channel_silent(const struct channel *channel, uint64_t now_us)
{
	uint64_t limit_ms = channel->state == CHANNEL_OPENING ? CONNECT_MS : CLUSTER_SILENCE_MS;
	bool waits = channel->state == CHANNEL_OPENING || channel_waiting(channel) > 0;
	return channel->state != CHANNEL_CLOSING && waits && now_us > channel->quiet_since_us + limit_ms * 1000;
}

/* True while something waits for the target, so that the look must be repeated. */
static bool cluster_watch(struct cluster *cluster, uint64_t now_us)
{
	struct channel *asker = NULL;
	bool waits = false;
	bool silent = false;
	list_for_each(link, &cluster->tally->channels)
	{
		struct channel *channel = list_entry(link, struct channel, link);
		bool here = channel->node == cluster->target && !channel->retiring;
		if (channel_silent(channel, now_us)) {
			if (here && channel->state != CHANNEL_OPENING) {
				silent = true;
			} else if (!here || now_us > channel->quiet_since_us + CONNECT_MS * 1000) {
				channel_close(channel); /* a retiring one, or one that does not come up */
			}
		}
		waits = waits || channel->state == CHANNEL_OPENING || channel_waiting(channel) > 0;
		if (here && channel->state == CHANNEL_READY && !channel->asked && asker == NULL) {
			asker = channel;
		}
	}
	if (silent) {
		cluster->suspect = true;
		cluster_seek(cluster, false);
	} else if (waits && asker != NULL && now_us > cluster->asked_us + ROLE_MS * 1000) {
		cluster->asked_us = now_us;
		channel_ask(asker);
		client_wake(cluster->tally);
	}
	return waits;
}

static void cluster_timer_cb(struct env_timer *timer)
{
	struct cluster *cluster = list_entry(timer, struct cluster, timer);
	if (cluster->tally->closing) {
		return;
	}
	if (!cluster->seeking) {
		bool waits = cluster_watch(cluster, cluster_now_us(cluster));
		if (!cluster->seeking && !cluster->target_leads &&
		    cluster_now_us(cluster) > cluster->asked_us + cluster->quiet_pause_ms * 1000) {
			cluster_seek(cluster, true);
		}
		if (!cluster->seeking && (waits || !cluster->target_leads)) {
			cluster_arm(cluster, WATCH_MS);
		}
		return;
	}
	cluster_choose(cluster);
	if (cluster->seeking) {
		cluster_round(cluster);
	}
}

/* ---- life ---- */

void cluster_init(struct cluster *cluster, struct tally *tally)
{
	*cluster = (struct cluster){.tally = tally, .quiet_pause_ms = QUIET_MS};
	env_timer_init(tally->env, &cluster->timer, cluster_timer_cb);
}

void cluster_start(struct cluster *cluster)
{
	cluster->seeking = true;
	cluster->since_us = cluster_now_us(cluster);
	cluster_arm(cluster, 0);
}

void cluster_stop(struct cluster *cluster)
{
	env_timer_stop(&cluster->timer);
	for (size_t i = 0; i < cluster->count; i++) {
		probe_rest(cluster->probes[i]);
	}
}

bool cluster_idle(const struct cluster *cluster)
{
	for (size_t i = 0; i < cluster->count; i++) {
		if (cluster->probes[i]->stream != NULL) {
			return false;
		}
	}
	return true;
}

void cluster_fini(struct cluster *cluster)
{
	env_timer_stop(&cluster->timer);
	for (size_t i = 0; i < cluster->count; i++) {
		probe_fini(cluster->probes[i]);
		free(cluster->probes[i]);
	}
	cluster->count = 0;
}

#include "client/compass_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/body.h"
#include "client/channel.h"
#include "env/env.h"

/* Pauses between the rounds of a search. */
#define ROUND_MS 20
#define ROUND_MAX_MS 500
/* While served: how often silence is looked for when requests wait. */
#define WATCH_MS 100
/* A status that takes longer did not come. */
#define ANSWER_MS 1000
/* Served through a follower: pauses between looks for the leader. */
#define QUIET_MS 500
#define QUIET_MAX_MS 4000
#define HEAR_OTHERS_MS 60

struct arena *compass_arena(struct compass *compass)
{
	return &compass->tally->arena;
}
struct env *compass_env(struct compass *compass)
{
	return compass->tally->env;
}
uint64_t compass_now_us(struct compass *compass)
{
	return env_now_us(compass->tally->env);
}

/* ---- addresses ---- */

static bool address_valid(struct slice address)
{
	char text[PROBE_ADDRESS], host[PROBE_ADDRESS];
	unsigned port = 0;
	if (address.len == 0 || address.len >= sizeof(text) || memchr(address.data, 0, address.len) != NULL) {
		return false;
	}
	memcpy(text, address.data, address.len);
	text[address.len] = '\0';
	return strpbrk(text, " \t/") == NULL && env_address_split(text, host, sizeof(host), &port) && port >= 1;
}

static struct probe *compass_find(const struct compass *compass, struct slice address)
{
	for (size_t i = 0; i < compass->count; i++) {
		if (slice_equal(slice_str(compass->probes[i]->address), address)) {
			return compass->probes[i];
		}
	}
	return NULL;
}

static bool compass_uses(const struct compass *compass, const struct probe *probe)
{
	list_for_each (link, &compass->tally->channels) {
		if (list_entry(link, struct channel, link)->node == probe) {
			return true;
		}
	}
	return probe == compass->target || probe->stream != NULL;
}

/* One to be filled, when there is no room in place of another: members come and go in the life of a client. */
static struct probe *compass_room(struct compass *compass)
{
	struct probe *probe = NULL;
	if (compass->count < COMPASS_ADDRESSES_MAX) {
		probe = malloc(sizeof(*probe));
		if (probe == NULL) {
			fatal("out of memory for an address");
		}
		compass->probes[compass->count++] = probe;
		return probe;
	}
	for (size_t i = compass->given; i < compass->count; i++) {
		struct probe *at = compass->probes[i];
		if (!compass_uses(compass, at) && (probe == NULL || at->answered_us < probe->answered_us)) {
			probe = at;
		}
	}
	if (probe != NULL) {
		probe_fini(probe);
	}
	return probe;
}

static void compass_add_one(struct compass *compass, struct slice address)
{
	char text[PROBE_ADDRESS];
	struct probe *probe = compass_find(compass, address) == NULL ? compass_room(compass) : NULL;
	if (probe != NULL) {
		snprintf(text, sizeof(text), "%.*s", (int)address.len, (const char *)address.data);
		probe_init(probe, compass, text);
	}
}

int compass_add(struct compass *compass, const char *servers, struct err *err)
{
	struct slice rest = slice_str(servers + strspn(servers, " "));
	while (rest.len > 0) {
		size_t len = 0;
		while (len < rest.len && rest.data[len] != ',') {
			len++;
		}
		struct slice address = slice_of(rest.data, len);
		if (!address_valid(address)) {
			return err_set(err, ERR_INVALID, "\"%.*s\" is not host:port", (int)len,
				       (const char *)rest.data);
		}
		if (compass->count == COMPASS_ADDRESSES_MAX) {
			return err_set(err, ERR_INVALID, "at most %d servers are taken", COMPASS_ADDRESSES_MAX);
		}
		compass_add_one(compass, address);
		rest = slice_skip(rest, len < rest.len ? len + 1 : len);
		while (rest.len > 0 && rest.data[0] == ' ') {
			rest = slice_skip(rest, 1);
		}
	}
	if (compass->count == 0) {
		return err_set(err, ERR_INVALID, "no server address was given");
	}
	compass->given = compass->count;
	return 0;
}

void compass_learn(struct compass *compass, struct slice address)
{
	/* Nearly always it is known: every status names all members. */
	if (!compass->direct && compass_find(compass, address) == NULL && address_valid(address)) {
		compass_add_one(compass, address);
	}
}

/* ---- settling ---- */

static void compass_arm(struct compass *compass, uint64_t after_ms)
{
	env_timer_start(&compass->timer, after_ms);
}

void compass_connect(struct compass *compass)
{
	struct tally *tally = compass->tally;
	unsigned there = 0;
	list_for_each (link, &tally->channels) {
		struct channel *channel = list_entry(link, struct channel, link);
		if (channel->state == CHANNEL_CLOSING || channel->retiring) {
			continue;
		}
		if (channel->node == compass->target) {
			there++;
		} else if (compass->suspect) {
			channel->retiring = true;
			channel_close(channel);
		} else {
			channel_retire(channel);
		}
	}
	for (; there < tally->connections; there++) {
		channel_open(tally, compass->target);
	}
}

static void compass_settle(struct compass *compass, struct probe *target, bool leads)
{
	if (compass->target != target || compass->target_leads != leads) {
		compass->tally->stats.leader_changes++;
		compass->slow_us = 0;
		compass->set_aside = 0;
		compass->quiet_pause_ms = QUIET_MS;
	} else if (!leads && compass->quiet_pause_ms < QUIET_MAX_MS) {
		compass->quiet_pause_ms *= 2;
	}
	compass->told_us = compass_now_us(compass);
	compass->target = target;
	compass->target_leads = leads;
	compass_connect(compass);
	compass->seeking = compass->quiet = compass->suspect = false;
	compass->asked_us = compass_now_us(compass);
	for (size_t i = 0; i < compass->count; i++) {
		probe_rest(compass->probes[i]);
	}
	compass_arm(compass, leads ? WATCH_MS : client_jitter_ms(compass->tally, compass->quiet_pause_ms));
	client_wake(compass->tally);
}

/* ---- choosing ---- */

static bool compass_fresh(const struct compass *compass, const struct probe *probe)
{
	return probe->answered_us != 0 && probe->answered_us >= compass->since_us;
}

static struct probe *compass_best_leader(const struct compass *compass)
{
	struct probe *best = NULL;
	for (size_t i = 0; i < compass->count; i++) {
		struct probe *probe = compass->probes[i];
		bool will_do = probe->leads || compass->direct;
		if (compass_fresh(compass, probe) && will_do && (best == NULL || probe->term > best->term)) {
			best = probe;
		}
	}
	return best;
}

/* Any node that answers and knows a leader; the one that serves us already, if it does. */
static struct probe *compass_best_follower(const struct compass *compass)
{
	struct probe *best = NULL;
	for (size_t i = 0; i < compass->count; i++) {
		struct probe *probe = compass->probes[i];
		if (!compass_fresh(compass, probe) || probe->leader[0] == '\0') {
			continue;
		}
		if (best == NULL || probe == compass->target) {
			best = probe;
		}
	}
	return best;
}

/* A silent leader that still says it leads may have been deposed without knowing: others are heard first. */
static bool compass_hopes(const struct compass *compass)
{
	if (env_now_us(compass->tally->env) > compass->since_us + HEAR_OTHERS_MS * 1000) {
		return false;
	}
	for (size_t i = 0; i < compass->count; i++) {
		if (compass->probes[i]->waiting) {
			return true;
		}
	}
	return false;
}

static void compass_choose(struct compass *compass)
{
	struct probe *leader = compass_best_leader(compass);
	if (leader != NULL && leader == compass->target && compass->suspect && compass_hopes(compass)) {
		return;
	}
	if (leader != NULL) {
		compass_settle(compass, leader, true);
		return;
	}
	if (compass_now_us(compass) < compass->since_us + COMPASS_FOLLOWER_MS * 1000) {
		return;
	}
	struct probe *follower = compass_best_follower(compass);
	if (follower != NULL) {
		compass_settle(compass, follower, false);
	} else if (compass->quiet) {
		/* What serves us does not answer questions: it may not serve either. */
		compass->quiet = false;
	}
}

/* ---- seeking ---- */

static uint64_t compass_round_ms(const struct compass *compass)
{
	uint64_t ms = ROUND_MS;
	/* Ten quick rounds cover an election; then it may be long: about an eighth of what has passed. */
	for (unsigned i = 10; i < compass->rounds && ms < ROUND_MAX_MS; i++) {
		ms = ms * 9 / 8;
	}
	return ms < ROUND_MAX_MS ? ms : ROUND_MAX_MS;
}

static void compass_round(struct compass *compass)
{
	uint64_t now_us = compass_now_us(compass);
	/* Answers teach new addresses, which are asked in the same round. */
	for (size_t i = 0; i < compass->count; i++) {
		struct probe *probe = compass->probes[i];
		if (probe->waiting && now_us > probe->asked_us + ANSWER_MS * 1000) {
			probe_fail(probe);
		} else {
			probe_ask(probe, now_us);
		}
	}
	compass->rounds++;
	compass_arm(compass, client_jitter_ms(compass->tally, compass_round_ms(compass)));
}

void compass_seek(struct compass *compass, bool quiet)
{
	if (compass->tally->closing) {
		return;
	}
	if (compass->seeking) {
		compass->quiet = compass->quiet && quiet;
		return;
	}
	compass->seeking = true;
	compass->quiet = quiet;
	compass->since_us = compass_now_us(compass);
	/* The first round comes a little later, so that a thousand clients of a node that died do not ask as
	 * one. */
	compass_arm(compass,
		    client_jitter_ms(compass->tally, compass->rounds == 0 ? 4 : compass_round_ms(compass)));
}

bool compass_reaches(const struct compass *compass)
{
	bool any = false;
	for (size_t i = 0; i < compass->count; i++) {
		any = any || compass->probes[i]->answered_us != 0;
	}
	return any;
}

void compass_answered(struct compass *compass, struct probe *probe)
{
	if (!compass->seeking) {
		probe_rest(probe);
		return;
	}
	/* The leader that a follower names is asked at once, not in the next round. */
	struct probe *named = compass_find(compass, slice_str(probe->leader));
	if (!probe->leads && named != NULL && named->stream == NULL) {
		probe_ask(named, compass_now_us(compass));
	}
	compass_choose(compass);
}

void compass_probe_closed(struct compass *compass, struct probe *probe, bool failed)
{
	client_stream_gone(compass->tally);
}

/* ---- what channels and calls tell ---- */

void compass_lost(struct compass *compass, const struct probe *node)
{
	if (node != compass->target) {
		return; /* of a node that was left already */
	}
	bool others = false;
	list_for_each (link, &compass->tally->channels) {
		const struct channel *channel = list_entry(link, struct channel, link);
		others = others ||
			 (channel->node == node && channel->state == CHANNEL_READY && !channel->retiring);
	}
	/* While others stand, they serve; a dead node's end one after the other. */
	compass_seek(compass, others);
}

void compass_moved(struct compass *compass)
{
	compass_seek(compass, false);
}

void compass_busy(struct compass *compass)
{
	if (!env_timer_armed(&compass->timer)) {
		compass_arm(compass, WATCH_MS);
	}
}

void compass_told(struct compass *compass, struct probe *node, struct slice reply)
{
	if (!probe_read(node, reply, compass_now_us(compass)) || node != compass->target || compass->direct) {
		return;
	}
	if (node->leads != compass->target_leads) {
		compass_seek(compass, true);
	}
}

/* ---- the timer ---- */

static void compass_timer_cb(struct env_timer *timer)
{
	struct compass *compass = list_entry(timer, struct compass, timer);
	if (compass->tally->closing) {
		return;
	}
	if (!compass->seeking) {
		bool waits = compass_watch(compass, compass_now_us(compass));
		if (!compass->seeking && !compass->target_leads &&
		    compass_now_us(compass) > compass->asked_us + compass->quiet_pause_ms * 1000) {
			compass_seek(compass, true);
		}
		if (!compass->seeking && (waits || !compass->target_leads)) {
			compass_arm(compass, WATCH_MS);
		}
		return;
	}
	compass_choose(compass);
	if (compass->seeking) {
		compass_round(compass);
	}
}

/* ---- life ---- */

void compass_init(struct compass *compass, struct tally *tally)
{
	*compass = (struct compass){.tally = tally, .quiet_pause_ms = QUIET_MS};
	env_timer_init(tally->env, &compass->timer, compass_timer_cb);
}

void compass_start(struct compass *compass)
{
	compass->seeking = true;
	compass->since_us = compass_now_us(compass);
	compass_arm(compass, 0);
}

void compass_stop(struct compass *compass)
{
	env_timer_stop(&compass->timer);
	for (size_t i = 0; i < compass->count; i++) {
		probe_rest(compass->probes[i]);
	}
}

bool compass_idle(const struct compass *compass)
{
	for (size_t i = 0; i < compass->count; i++) {
		if (compass->probes[i]->stream != NULL) {
			return false;
		}
	}
	return true;
}

void compass_fini(struct compass *compass)
{
	env_timer_stop(&compass->timer);
	for (size_t i = 0; i < compass->count; i++) {
		probe_fini(compass->probes[i]);
		free(compass->probes[i]);
	}
	compass->count = 0;
}

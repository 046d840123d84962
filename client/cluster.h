/* Which node serves us.
 *
 *            ┌───────────────────────────────────────────────────────────┐
 *            ▼                                                           │
 *         SEEKING ── a node says it leads ──────────► SERVED by leader ──┤ connection lost,
 *            │                                             ▲             │ silence, "not leader"
 *            └─ none, but followers answer:                │             │
 *               SERVED through a follower, which forwards ─┴─────────────┘
 *                     (looks for the leader again, now and then, quietly)
 *
 * While seeking, every known address is asked TALLY STATUS on a connection of
 * its own, again and again with growing pauses and jitter. Two nodes may both
 * say they lead (one was paused and does not know yet): the higher term wins.
 *
 * Silence. A leader that is paused, or cut off from us, keeps its connections.
 * When requests wait and nothing was heard for CLUSTER_SILENCE_MS, all nodes are asked: a slow
 * leader answers its status at once and we go on waiting; a dead one does not,
 * and another serves us. Addresses are learned from the answers. */
#ifndef CLIENT_CLUSTER_H
#define CLIENT_CLUSTER_H

#include "client/probe.h"

#define CLUSTER_ADDRESSES_MAX 32
#define CLUSTER_SILENCE_MS 300
/* After so long without a leader's own answer a follower will do. */
#define CLUSTER_FOLLOWER_MS 500

struct tally;

struct cluster {
	struct tally *tally;
	struct probe *probes[CLUSTER_ADDRESSES_MAX];
	size_t count;

	struct probe *target; /* NULL: none yet */
	bool target_leads;
	bool direct; /* any node will do, and no other is learned of */
	bool seeking;
	bool quiet;   /* seeking, but the target goes on serving */
	bool suspect; /* the target is silent */
	uint64_t since_us; /* the search began */
	unsigned rounds;   /* searches without success in between: the pause grows */
	uint64_t quiet_pause_ms;
	uint64_t asked_us; /* STATUS among the requests */
	struct env_timer timer; /* next round of a search, or next look while served */
};

void cluster_init(struct cluster *cluster, struct tally *tally);
/* servers: "host:port,host:port". */
int cluster_add(struct cluster *cluster, const char *servers, struct err *err);
void cluster_start(struct cluster *cluster);
void cluster_stop(struct cluster *cluster); /* closes what asks */
void cluster_fini(struct cluster *cluster);
bool cluster_idle(const struct cluster *cluster); /* no connection is left */

/* May requests be handed to the target's channels? */
static inline bool cluster_serves(const struct cluster *cluster)
{
	return cluster->target != NULL && (!cluster->seeking || cluster->quiet);
}

/* Told by channels and calls: */
void cluster_lost(struct cluster *cluster);  /* a connection to the target is gone */
void cluster_moved(struct cluster *cluster); /* the target said it does not lead, or stops */
void cluster_heard(struct cluster *cluster); /* the target answered something */
void cluster_busy(struct cluster *cluster);  /* requests were sent: watch for silence */
void cluster_told(struct cluster *cluster, struct probe *node, struct slice reply); /* STATUS on a channel */

/* Told by probes: */
void cluster_answered(struct cluster *cluster, struct probe *probe);
void cluster_probe_closed(struct cluster *cluster, struct probe *probe, bool failed);
void cluster_learn(struct cluster *cluster, struct slice address);
struct arena *cluster_arena(struct cluster *cluster);
struct env *cluster_env(struct cluster *cluster);
uint64_t cluster_now_us(struct cluster *cluster);

#endif /* CLIENT_CLUSTER_H */

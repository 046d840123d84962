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
 * When requests wait and nothing was heard for COMPASS_SILENCE_MS
 * (several times what answers took of late, when that is more), all nodes are asked: a slow
 * leader answers its status at once and we go on waiting; a dead one does not,
 * and another serves us. A single connection that is silent while others are answered is
 * given up by itself. One that is silent for seconds while its node tells its status may wait for a long command, or
 * may be dead: firewalls forget one that nobody uses, and so does a node while this machine sleeps. It is set aside:
 * it keeps the calls that wait on it until they end, and others go over a new one.
 *
 * Addresses are learned from the answers; when there is no room, one takes the place of that which has not answered
 * for longest, but of none that the caller gave. */
#ifndef CLIENT_COMPASS_H
#define CLIENT_COMPASS_H

#include "client/probe.h"

#define COMPASS_ADDRESSES_MAX 32
#define COMPASS_SILENCE_MS 300
#define COMPASS_SILENCE_MAX_MS 1000
/* After so long without a leader's own answer a follower will do. */
#define COMPASS_FOLLOWER_MS 500

struct tally;

struct compass {
	struct tally *tally;
	struct probe *probes[COMPASS_ADDRESSES_MAX];
	size_t count, given; /* given by the caller: the first */

	struct probe *target; /* NULL: none yet */
	bool target_leads;
	bool direct; /* any node will do, and no other is learned of */
	bool seeking;
	bool quiet;        /* seeking, but the target goes on serving */
	bool suspect;      /* the target is silent */
	uint64_t since_us; /* the search began */
	unsigned rounds;   /* searches without success in between: the pause grows */
	uint64_t quiet_pause_ms;
	uint64_t asked_us;      /* STATUS among the requests */
	uint64_t heard_us;      /* the target answered a call */
	uint64_t told_us;       /* it told its status when it was looked for */
	unsigned set_aside;     /* times that connections were, since it answered a call */
	uint64_t slow_us;       /* about the longest that answers took of late */
	struct env_timer timer; /* next round of a search, or next look while served */
};

void compass_init(struct compass *compass, struct tally *tally);
/* servers: "host:port,host:port". */
int compass_add(struct compass *compass, const char *servers, struct err *err);
void compass_start(struct compass *compass);
void compass_stop(struct compass *compass); /* closes what asks */
void compass_fini(struct compass *compass);
bool compass_idle(const struct compass *compass); /* no connection is left */

/* Does some node answer, though perhaps none serves? */
bool compass_reaches(const struct compass *compass);

/* May requests be handed to the target's channels? */
static inline bool compass_serves(const struct compass *compass)
{
	return compass->target != NULL && (!compass->seeking || compass->quiet);
}

/* Told by channels and calls: */
void compass_lost(struct compass *compass, const struct probe *node); /* a connection is gone */
void compass_moved(struct compass *compass); /* the target said it does not lead, or stops */
/* node answered a call, after so long */
void compass_heard(struct compass *compass, const struct probe *node, uint64_t now_us, uint64_t took_us);
void compass_busy(struct compass *compass); /* requests were sent: watch for silence */
void compass_told(struct compass *compass, struct probe *node, struct slice reply); /* STATUS on a channel */

/* Told by probes: */
void compass_answered(struct compass *compass, struct probe *probe);
void compass_probe_closed(struct compass *compass, struct probe *probe, bool failed);
void compass_learn(struct compass *compass, struct slice address);
struct arena *compass_arena(struct compass *compass);
struct env *compass_env(struct compass *compass);
uint64_t compass_now_us(struct compass *compass);

#endif /* CLIENT_COMPASS_H */

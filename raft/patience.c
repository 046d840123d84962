/* How long this member waits for the others before it acts on their silence.
 *
 *   follower, candidate
 *     waits --the core's time is up, our timer in time--> stepped: it stands
 *       ^ |
 *       | +--the same, our timer late--> held for a random while --nobody spoke--> stepped
 *       +------ the leader spoke ---------------------+
 *
 *       an append comes that takes long: held as if the leader had spoken, which is told so
 *
 *   leader
 *     the core's election timeout --our timer late--> as much longer --a majority spoke--> as it was
 *
 * A timeout means that the others were silent. While our own loop got no CPU it did not listen, and most
 * likely neither did the others theirs: that time does not count. A follower that is late waits once more,
 * each for a time of its own, so that who leads can speak first; a leader that is late asks before it gives
 * up. Both are bounded by an election timeout: a loop that is late all the time is no friend of anybody.
 *
 * Nor does the time that our own vote takes to become durable: until then nobody has heard of it (vote.c).
 * The others' disks may be as slow, so their votes are given as long once more. Else a candidate on a slow
 * disk stands again before anybody could answer, and every election raises the term for the next one. Two
 * that stood at once stand again apart by more than that, or they would for ever: the core asks for no
 * pre-vote then, and each had voted for itself before it heard the other. That counts up to VOTE_TAKES
 * election timeouts: a disk that stood still for once says nothing about the next vote.
 *
 * Besides, a follower whose leader's port refuses stands after a third of the time, and so does a member that
 * has just started and heard of no leader: while one leads, its first heartbeat comes sooner, and the others
 * refuse the pre-vote. Who has to stand once more gives the others the whole time: where links or disks are
 * slower than a third of it, votes would never come in time, and each try would make the others begin anew.
 */
#include <assert.h>

#include "raft/replica_private.h"

#define VOTE_TAKES 8  /* election timeouts that a vote takes on a slow disk, at most */
#define VOTES_APART 8 /* times what a vote takes: two that stood at once are then apart most of the time */
#define LATE_SAID_MS 1000

static void apply(struct replica *r)
{
	uint64_t ms = r->patience.sooner ? r->config.election_ms / 3 : r->config.election_ms;
	assert(r->patience.away_ms <= r->config.election_ms);
	ms += r->patience.away_ms;
	if (ms != r->core.election_timeout) {
		raft_set_election_timeout(&r->core, (unsigned)ms);
	}
}

void patience_turn(struct replica *r)
{
	if (r->core.election_timer_start == r->patience.since_ms) {
		return;
	}
	r->patience.since_ms = r->core.election_timer_start;
	r->patience.away_ms = r->patience.held_ms = r->patience.until_ms = 0;
	apply(r);
}

static uint64_t draw_ms(struct replica *r, uint64_t spread_ms)
{
	uint64_t draw = 0;
	env_random(r->env, &draw, sizeof(draw));
	return r->config.heartbeat_ms + draw % spread_ms;
}

/* Who asks why leadership changed finds here that nobody heard this node, or it nobody. */
static void say_late(struct replica *r, uint64_t late_ms)
{
	uint64_t now_ms = env_now_ms(r->env);
	r->count.late_ms_max = late_ms > r->count.late_ms_max ? late_ms : r->count.late_ms_max;
	if (late_ms < r->config.election_ms / 3 || now_ms - r->patience.late_ms < LATE_SAID_MS) {
		return;
	}
	r->patience.late_ms = now_ms;
	log_event(r->log, LOG_WARN, "loop_late",
		  "ms=%llu this node stood still for so long: it had no processor, or one task took it all",
		  (unsigned long long)late_ms);
}

void patience_late(struct replica *r, uint64_t late_ms)
{
	uint64_t most_ms = r->config.election_ms;
	say_late(r, late_ms);
	patience_turn(r);
	if (late_ms < r->config.heartbeat_ms) {
		return;
	}
	if (replica_leads(r)) {
		uint64_t away_ms = r->patience.away_ms + late_ms;
		r->patience.away_ms = away_ms < most_ms ? away_ms : most_ms;
		apply(r);
	} else if (r->patience.held_ms < most_ms && raft_timeout(&r->core) <= env_now_ms(r->env)) {
		uint64_t hold_ms = draw_ms(r, r->config.election_ms);
		r->patience.held_ms += hold_ms;
		r->patience.until_ms = env_now_ms(r->env) + hold_ms;
	}
}

void patience_voted(struct replica *r, uint64_t took_ms)
{
	patience_turn(r);
	uint64_t most_ms = VOTE_TAKES * r->config.election_ms;
	if (took_ms >= r->config.heartbeat_ms && !replica_leads(r)) {
		took_ms = took_ms < most_ms ? took_ms : most_ms;
		uint64_t spread_ms = r->config.election_ms + VOTES_APART * took_ms;
		r->patience.until_ms = env_now_ms(r->env) + took_ms + draw_ms(r, spread_ms);
	}
}

void patience_coming(struct replica *r, const struct replica_peer *peer)
{
	uint64_t now_ms = env_now_ms(r->env);
	patience_turn(r);
	if (r->core.state != RAFT_FOLLOWER || r->leader_id != peer->id ||
	    now_ms - r->patience.coming_ms < r->config.heartbeat_ms) {
		return;
	}
	uint64_t until_ms = now_ms + raft_timeout(&r->core) - r->core.election_timer_start;
	r->patience.coming_ms = now_ms;
	r->patience.until_ms = until_ms > r->patience.until_ms ? until_ms : r->patience.until_ms;
	append_coming(r, peer);
	replica_wake(r);
}

uint64_t patience_hears_until_ms(const struct replica *r)
{
	/* No longer than a member waits at least before it stands. */
	return r->leader_id != 0 ? r->core.election_timer_start + r->config.election_ms / 3 : 0;
}

uint64_t patience_ends_ms(const struct replica *r)
{
	uint64_t core_ms = raft_timeout(&r->core);
	if (!r->admitted) {
		return env_now_ms(r->env) + r->config.heartbeat_ms; /* nobody listens to us yet */
	}
	if (r->vote_held && !replica_leads(r)) {
		return env_now_ms(r->env) + r->config.heartbeat_ms; /* nobody has heard us yet */
	}
	return replica_leads(r) || core_ms > r->patience.until_ms ? core_ms : r->patience.until_ms;
}

void patience_step(struct replica *r)
{
	uint64_t now_ms = env_now_ms(r->env);
	if (patience_ends_ms(r) > now_ms) {
		return;
	}
	assert(replica_leads(r) || !r->vote_held);
	unsigned before = r->core.state;
	unsigned long long silent_ms = now_ms - r->core.election_timer_start;
	unsigned long long leader_id = r->leader_id, held_ms = r->patience.held_ms + r->patience.away_ms;
	step_timeout(r);
	if (before == RAFT_CANDIDATE) {
		r->patience.sooner = false;
		apply(r);
	}
	if (before == RAFT_FOLLOWER && r->core.state == RAFT_CANDIDATE) {
		log_event(r->log, LOG_INFO, "leader_silent", "leader=%llu ms=%llu held_ms=%llu", leader_id,
			  silent_ms, held_ms);
	} else if (before == RAFT_LEADER && r->core.state == RAFT_FOLLOWER) {
		log_event(r->log, LOG_WARN, "majority_silent",
			  "ms=%llu held_ms=%llu this node leads no longer", silent_ms, held_ms);
	}
}

void patience_refused(struct replica *r, uint64_t leader_id)
{
	/* The leader's process is gone, and everybody sees it at the same time: elect sooner. */
	if (r->core.state != RAFT_FOLLOWER || r->leader_id != leader_id || r->patience.sooner) {
		return;
	}
	r->patience.sooner = true;
	apply(r);
	log_event(r->log, LOG_INFO, "leader_refuses", "leader=%llu", (unsigned long long)leader_id);
	replica_wake(r);
}

void patience_start(struct replica *r)
{
	assert(r->leader_id == 0);
	r->patience.sooner = true;
	apply(r);
}

void patience_known(struct replica *r)
{
	r->patience.sooner = false;
	apply(r);
}

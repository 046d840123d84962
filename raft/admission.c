/* Whether this member takes part: it votes, acknowledges and stands.
 *
 *   WAITS --a majority with it remembers its present life--> ADMITTED
 *     |                                                         |
 *     +--somebody remembers a life that it never had------------+--> ended
 */
#include "raft/member.h"
#include "raft/replica_private.h"

/* Whether so many members remember this life of ours, and none of them one that this directory never had,
 * that we vote, acknowledge and stand (docs/decisions/0008-founding.md). Once it is so it stays: who knows
 * better ends us as soon as it is met. */
void admission_turn(struct replica *r)
{
	const struct raft_configuration *configuration = &r->core.configuration;
	unsigned heard = member_votes(configuration, r->config.id);
	for (size_t i = 0; i < r->peer_count; i++) {
		heard += r->peers[i]->heard && member_votes(configuration, r->peers[i]->id);
	}
	r->admitted = r->admitted || heard > member_voters(configuration) / 2;
}

void admission_heard(struct replica *r, struct replica_peer *peer)
{
	if (!peer->heard) {
		peer->heard = true;
		replica_wake(r);
	}
}

void admission_refused_cb(void *owner, uint64_t id, struct life remembered)
{
	struct replica *r = owner;
	struct life own = lives_own(r->lives);
	replica_fail(
		r,
		"%s: this member's memory is gone: member %llu remembers start %llu of it, this directory "
		"has had %llu and not that one: it was emptied, or is an older copy or in use twice; its "
		"votes and what it acknowledged are lost, so it must not take part: put its own last "
		"directory back (docs/operations.md: a member that lost its memory)",
		r->dir, (unsigned long long)id, (unsigned long long)remembered.start,
		(unsigned long long)own.start);
}

/* Whether this member has its seat, and takes part: it votes, acknowledges and stands.
 *
 *   WAITS --a majority with it remembers its present life--> ADMITTED
 *     |                                                         |
 *     +--somebody remembers a life that it never had------------+--> ended
 */
#include <assert.h>
#include <stdio.h>

#include "raft/member.h"
#include "raft/replica_private.h"

/* After so many election timeouts that it waits is said: it does not stand, so nothing else tells why nobody
 * leads. */
#define WAITS_TIMES 10

/* "2,3": those of whom nothing has been heard that lets us in. */
static const char *unheard(const struct replica *r, char *text, size_t size)
{
	size_t len = 0;
	text[0] = '\0';
	for (size_t i = 0; i < r->peer_count && len < size; i++) {
		if (!r->peers[i]->heard) {
			len += (size_t)snprintf(text + len, size - len, "%s%llu", len > 0 ? "," : "",
						(unsigned long long)r->peers[i]->id);
		}
	}
	return text;
}

static void say(struct replica *r, unsigned heard, unsigned voters)
{
	bool late = env_now_ms(r->env) >= r->leaderless_ms + WAITS_TIMES * r->config.election_ms;
	if (r->admitted && r->seat_said) {
		log_event(r->log, LOG_INFO, "admitted", "heard=%u voters=%u", heard, voters);
		r->seat_said = false;
	} else if (!r->admitted && late && !r->seat_said) {
		char members[LIMIT_MEMBERS * 21];
		log_event(r->log, LOG_WARN, "not_admitted",
			  "heard=%u voters=%u not_heard=%s it takes no part until a majority remembers this "
			  "start: start those, or correct what peer_refused names in their logs or this one",
			  heard, voters, unheard(r, members, sizeof(members)));
		r->seat_said = true;
	}
}

/* Whether so many members remember this life of ours, and none of them one that this directory never had,
 * that we vote, acknowledge and stand (docs/decisions/0008-founding.md). Once it is so it stays: who knows
 * better ends us as soon as it is met. */
void seat_turn(struct replica *r)
{
	const struct raft_configuration *configuration = &r->core.configuration;
	unsigned heard = member_votes(configuration, r->config.id), voters = member_voters(configuration);
	assert(!r->stopped);
	if (r->admitted) {
		return;
	}
	for (size_t i = 0; i < r->peer_count; i++) {
		heard += r->peers[i]->heard && member_votes(configuration, r->peers[i]->id);
	}
	assert(heard <= voters);
	r->admitted = heard > voters / 2;
	say(r, heard, voters);
}

void seat_heard(struct replica *r, struct replica_peer *peer)
{
	assert(peer->replica == r);
	if (!peer->heard) {
		peer->heard = true;
		replica_wake(r);
	}
}

void seat_refused_cb(void *owner, uint64_t id, struct life remembered)
{
	struct replica *r = owner;
	struct life own = lives_own(r->lives);
	assert(remembered.start > 0);
	assert(!life_equal(remembered, own));
	replica_fail(
		r,
		"%s: this member's memory is gone: member %llu remembers start %llu of it, this directory "
		"has had %llu and not that one: it was emptied, or is an older copy or in use twice; its "
		"votes and what it acknowledged are lost, so it must not take part: put its own last "
		"directory back (docs/operations.md: a member that lost its memory)",
		r->dir, (unsigned long long)id, (unsigned long long)remembered.start,
		(unsigned long long)own.start);
}

/* A member that lost what it had acknowledged.
 *
 * Rot in the last group of its log, which no later one proves, looks to it like a torn write (wal/segment.h):
 * it comes back short. The core never goes below match_index: it takes such a refusal for a stale one, or,
 * probing, goes below and then sends nothing, for its window is counted from match_index. The member would
 * stay behind until another leads. But the entries are in our log, and any append of our term that fits our
 * log may be sent at any time: so we send what is missing ourselves, and the core goes on behind it.
 *
 *   HOLDS --refuses: has < match_index <= what it refused--> LACKS (has, match_index]: said once, sent
 *     ^                                                        |  ^
 *     |                                                        +--+ refuses again: sent again, from what it
 *     +---- acknowledges match_index (0 in a new term) --------+    has by then, or from before that
 *
 * What proves it: an append that the core sends begins at match_index or later, and what a member
 * acknowledged in this term it keeps; so a refusal of one names all that it has, and comes before the
 * acknowledgement on its connection or not at all. (Where what was lost began with a truncation, what is
 * there instead is another term's: then it is refused entry by entry.) An old segment of the network that
 * comes again could say the same: then the member is sent what it has, REFILL_ENTRIES at most, which changes
 * nothing. The line in the log needs more: another life of the member than the one that acknowledged.
 *
 * Not by handing leadership over, after which progress would begin anew: that needs another member with the
 * whole log (of three nodes, one of which is away, there is none), and a wrong conclusion would move a
 * leader. */
#include <assert.h>

#include "raft/replica_private.h"

/* Sent at once: no more were in one group, for no more were in flight. */
#define REFILL_ENTRIES REPLICA_WINDOW

static void say(struct replica *r, struct replica_peer *peer, uint64_t had, uint64_t has)
{
	log_event(r->log, LOG_WARN, "member_lost_entries",
		  "member=%llu had=%llu has=%llu its log lost what it had acknowledged; it is sent again",
		  (unsigned long long)peer->id, (unsigned long long)had, (unsigned long long)has);
}

/* The same not again before a heartbeat has passed: of the appends on their way each is refused. */
static bool is_due(struct replica *r, const struct replica_peer *peer, uint64_t has)
{
	return !peer->lacks || has != peer->refilled_behind ||
	       env_now_us(r->env) - peer->refilled_us >= r->config.heartbeat_ms * 1000;
}

void refill_result(struct replica *r, struct replica_peer *peer, const struct link *from,
		   struct raft_append_entries_result *result)
{
	raft_index match = 0;
	uint64_t has = result->last_log_index;
	assert(!from->dialed);
	assert(from->peer_id == peer->id);
	if (!replica_leads(r) || result->term != r->core.current_term ||
	    raft_match_index(&r->core, peer->id, &match) != 0) {
		return;
	}
	if (result->rejected == 0) {
		if (has >= match) {
			peer->lacks = false;
			peer->holds_as = from->peer_life;
		}
		return;
	}
	bool refuses_again = peer->lacks && result->rejected == peer->refilled_behind;
	if (has >= match || (result->rejected < match && !refuses_again)) {
		return;
	}
	assert(match <= wal_last_index(r->wal));
	if (!peer->lacks && !life_equal(from->peer_life, peer->holds_as)) {
		say(r, peer, match, has);
	}
	if (is_due(r, peer, has)) {
		uint64_t last = match - has > REFILL_ENTRIES ? has + REFILL_ENTRIES : match;
		peer->lacks = true;
		peer->refilled_behind = has;
		peer->refilled_us = env_now_us(r->env);
		append_again(r, peer, has + 1, last);
	}
	/* What the core can make of it: the first behind match_index is missing. */
	result->rejected = result->rejected > match ? result->rejected : match + 1;
	result->last_log_index = match;
	assert(result->rejected > result->last_log_index); /* as the core asserts it */
}

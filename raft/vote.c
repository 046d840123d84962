/* Term and vote are a barrier: until they are durable in slot A nothing that was
 * decided after them leaves this process, no message, no log write, no echo.
 *
 *   IDLE --vote_save--> A under way, all held --done--> B under way, released --done--> IDLE
 *                            (a newer state meanwhile: A again, once B is done)
 */
#include <assert.h>

#include "raft/replica_private.h"

static void vote_start(struct replica *r);

static void hold(struct replica *r, bool held)
{
	r->vote_held = held;
	turn_hold_log(r);
	transport_hold(r->transport, held);
}

static bool newer_wanted(const struct replica *r)
{
	return r->vote.sequence != r->vote_writing.sequence;
}

static void vote_run(struct env_work *work)
{
	struct replica *r = list_entry(work, struct replica, vote_work);
	assert(r->vote_writing.term > 0);
	r->vote_status = hardstate_store(r->vote_file, r->vote_slot, &r->vote_writing);
}

static void vote_done(struct env_work *work)
{
	struct replica *r = list_entry(work, struct replica, vote_work);
	assert(r->vote_busy);
	assert(r->vote_writing.sequence <= r->vote.sequence);
	assert(r->vote_writing.term <= r->vote.term);
	assert(r->vote_slot == COPIES_B || r->vote_held); /* nothing has left yet */
	r->vote_busy = false;
	if (r->vote_status != 0) {
		replica_fail(r,
			     "writing %s/vote failed (%s): whether this member voted is not known; check the "
			     "disk, "
			     "then start again",
			     r->dir, err_name(r->vote_status));
		replica_wake(r);
		return;
	}
	if (r->vote_slot == COPIES_A) {
		r->vote_slot = COPIES_B;
		r->vote_busy = true;
		env_lane_submit(wal_lane(r->wal), &r->vote_work);
		if (!newer_wanted(r) && !r->stopped) {
			hold(r, false);
			patience_voted(r, (env_now_us(r->env) - r->vote_started_us) / 1000);
		}
	} else if (newer_wanted(r)) {
		vote_start(r);
	}
	replica_wake(r);
}

static void vote_start(struct replica *r)
{
	assert(!r->vote_busy);
	assert(r->vote_held);
	r->vote_writing = r->vote;
	r->vote_slot = COPIES_A;
	r->vote_busy = true;
	r->vote_started_us = env_now_us(r->env);
	r->vote_work.run = vote_run;
	r->vote_work.done = vote_done;
	env_lane_submit(wal_lane(r->wal), &r->vote_work);
}

void vote_save(struct replica *r)
{
	if (r->vote.term == r->core.current_term && r->vote.voted_for == r->core.voted_for) {
		return; /* a vote that is granted again */
	}
	assert(r->core.current_term >= r->vote.term);
	assert(r->core.current_term > r->vote.term || r->vote.voted_for == 0); /* one vote a term */
	r->vote.sequence++;
	r->vote.term = r->core.current_term;
	r->vote.voted_for = r->core.voted_for;
	hold(r, true);
	if (!r->vote_busy) {
		vote_start(r);
	}
	assert(r->vote_held);
	assert(r->vote_busy);
}

/* ReadIndex (Raft dissertation 6.4): a read is linearizable once a majority has
 * confirmed, after the read arrived, that this leader's term is the newest.
 *
 *   waiting (round 0) --probe sent at the turn's end--> round n --echoes of a majority--> cb(0)
 *        ^                                                 |
 *        +---- the configuration changed: ask again -------+--- leadership lost: cb(ERR_NOT_LEADER)
 *
 * One probe serves all reads that wait; an echo of round n confirms all before
 * it. A probe is a frame of its own and no log entry. A member echoes only in the
 * same term and only to the leader it follows, behind the barrier of its vote. */
#include <assert.h>

#include "raft/member.h"
#include "raft/replica_private.h"

#define PROBE_AGAIN_MS 50 /* a probe or its echo may be lost with a connection */

static void end(struct replica_read *read, int status)
{
	list_remove(&read->link);
	read->cb(read, status);
}

static void send_probes(struct replica *r)
{
	assert(replica_leads(r));
	assert(r->is_open);
	assert(r->round_confirmed <= r->round);
	r->round++;
	r->count.read_rounds++;
	for (size_t i = 0; i < r->peer_count; i++) {
		struct link *link = transport_link(r->transport, r->peers[i]->id, FRAME_RAFT);
		if (link != NULL && member_votes(&r->core.configuration, r->peers[i]->id) &&
		    link_unsent(link) < LIMIT_PEER_QUEUE) {
			message_send_probe(link, transport_highest_stamp(r->transport), FRAME_PROBE, r->term,
					   r->round);
		}
	}
}

/* The highest round that a majority of the voters has echoed. */
static uint64_t confirmed_round(const struct replica *r)
{
	const struct raft_configuration *configuration = &r->core.configuration;
	unsigned majority = member_voters(configuration) / 2 + 1;
	uint64_t best = 0;
	for (size_t i = 0; i <= r->peer_count; i++) {
		uint64_t round = i < r->peer_count ? r->peers[i]->echo_round : r->round;
		unsigned votes = member_votes(configuration, r->config.id);
		for (size_t j = 0; j < r->peer_count; j++) {
			votes += r->peers[j]->echo_round >= round &&
				 member_votes(configuration, r->peers[j]->id);
		}
		if (votes >= majority && round > best) {
			best = round;
		}
	}
	assert(best <= r->round);
	return best;
}

/* The list is in order of rounds, those without one at its end. */
static struct replica_read *read_of(struct list *at)
{
	return list_entry(at, struct replica_read, link);
}

static void start_round(struct replica *r)
{
	bool waits = !list_empty(&r->reads) && read_of(r->reads.prev)->round == 0;
	assert(r->round_confirmed <= r->round);
	if (!waits || r->round - r->round_confirmed >= REPLICA_ROUNDS) {
		return;
	}
	send_probes(r);
	for (struct list *at = r->reads.prev; at != &r->reads && read_of(at)->round == 0; at = at->prev) {
		read_of(at)->round = r->round;
	}
}

static void release(struct replica *r)
{
	uint64_t confirmed = confirmed_round(r);
	r->round_confirmed = confirmed > r->round_confirmed ? confirmed : r->round_confirmed;
	struct list ready;
	list_init(&ready);
	while (!list_empty(&r->reads) && read_of(r->reads.next)->round != 0 &&
	       read_of(r->reads.next)->round <= confirmed) {
		struct list *at = list_pop(&r->reads);
		list_append(&ready, at);
	}
	assert(r->round_confirmed <= r->round);
	while (!list_empty(&ready)) {
		assert(!read_of(ready.next)->lost);
		assert(read_of(ready.next)->commit_index <= r->commit_index);
		end(read_of(ready.next), 0);
	}
}

/* Those that can never be confirmed: they began before this leadership, or without one. */
static void fail_lost(struct replica *r)
{
	if (!r->reads_lost && replica_leads(r) && !r->stopped && !r->closing) {
		return;
	}
	struct list lost;
	list_init(&lost);
	r->reads_lost = false;
	for (struct list *at = r->reads.next, *next; at != &r->reads; at = next) {
		next = at->next;
		if (list_entry(at, struct replica_read, link)->lost || !replica_leads(r) || r->stopped ||
		    r->closing) {
			list_remove(at);
			list_append(&lost, at);
		}
	}
	while (!list_empty(&lost)) {
		end(list_entry(lost.next, struct replica_read, link), ERR_NOT_LEADER);
	}
}

void read_index_turn(struct replica *r)
{
	if (list_empty(&r->reads)) {
		return;
	}
	fail_lost(r);
	if (replica_leads(r) && r->is_open) {
		start_round(r);
		release(r);
	}
	if (!list_empty(&r->reads) && !env_timer_armed(&r->read_timer)) {
		env_timer_start(&r->read_timer, PROBE_AGAIN_MS);
	}
}

void read_index_timer_cb(struct env_timer *timer)
{
	struct replica *r = list_entry(timer, struct replica, read_timer);
	uint64_t now = env_now_us(r->env);
	struct list late;
	list_init(&late);
	for (struct list *at = r->reads.next, *next; at != &r->reads; at = next) {
		next = at->next;
		if (list_entry(at, struct replica_read, link)->deadline_us <= now) {
			list_remove(at);
			list_append(&late, at);
		}
	}
	while (!list_empty(&late)) {
		end(list_entry(late.next, struct replica_read, link), ERR_TIMEOUT);
	}
	if (!list_empty(&r->reads) && replica_leads(r) && r->is_open) {
		send_probes(r);
	}
	if (!list_empty(&r->reads)) {
		env_timer_start(timer, PROBE_AGAIN_MS);
	}
	replica_wake(r);
}

void read_index_lost(struct replica *r)
{
	/* In the turn, not here: this may be inside a call of the owner. */
	list_for_each (at, &r->reads) {
		list_entry(at, struct replica_read, link)->lost = true;
	}
	r->round_confirmed = r->round;
	if (!list_empty(&r->reads)) {
		r->reads_lost = true;
		replica_wake(r);
	}
}

void read_index_restart(struct replica *r)
{
	for (size_t i = 0; i < r->peer_count; i++) {
		r->peers[i]->echo_round = 0;
	}
	list_for_each (at, &r->reads) {
		list_entry(at, struct replica_read, link)->round = 0;
	}
	assert(r->round_confirmed <= r->round);
	r->round_confirmed = r->round;
	/* Echoes under way are of rounds before this one: they count for nobody. */
	r->round++;
}

void read_index_probe(struct replica *r, struct replica_peer *peer, const struct frame *frame)
{
	uint64_t term, round;
	struct link *link = transport_link(r->transport, peer->id, FRAME_RAFT);
	if (message_take_probe(frame, &term, &round) != 0) {
		r->count.frames_bad++;
		return;
	}
	raft_id leader_id = 0;
	const char *address;
	raft_leader(&r->core, &leader_id, &address);
	if (r->core.state != RAFT_FOLLOWER || r->core.current_term != term || leader_id != peer->id ||
	    link == NULL || link_unsent(link) > LIMIT_PEER_QUEUE) {
		return;
	}
	message_send_probe(link, transport_highest_stamp(r->transport), FRAME_ECHO, term, round);
	replica_wake(r);
}

void read_index_echo(struct replica *r, struct replica_peer *peer, const struct frame *frame)
{
	uint64_t term, round;
	if (message_take_probe(frame, &term, &round) != 0) {
		r->count.frames_bad++;
		return;
	}
	if (replica_leads(r) && term == r->core.current_term && round <= r->round &&
	    round > peer->echo_round) {
		peer->echo_round = round;
		assert(peer->echo_round <= r->round);
		replica_wake(r);
	}
}

/* ---- the door ---- */

void replica_read_start(struct replica *r, struct replica_read *read, uint64_t timeout_ms)
{
	assert(read->cb != NULL);
	assert(r->started);
	list_init(&read->link);
	read->round = 0;
	read->started_us = env_now_us(r->env);
	read->deadline_us = read->started_us + timeout_ms * 1000;
	read->commit_index = r->commit_index;
	read->lost = !replica_leads(r) || r->stopped || r->closing;
	r->reads_lost |= read->lost;
	r->count.reads++;
	list_append(&r->reads, &read->link);
	replica_wake(r);
}

void replica_read_cancel(struct replica *r, struct replica_read *read)
{
	list_remove(&read->link);
}

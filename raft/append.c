/* APPEND_ENTRIES out and in: entries are filled in from our log when it is sent,
 * verified against the chain when it is received.
 *
 * Out. What is in memory goes into the link at once, by reference. What is not is
 * read on a lane; appends behind it wait in order. A message may be dropped, as
 * the network may, but never shortened; a large one is split, each piece an
 * append of its own: on a narrow link one is acknowledged, and nobody's election timer runs out, while the
 * next is on its way. A silent member is sent its whole window again at every heartbeat: that is dropped
 * while an earlier copy waits in the socket, or the member says that it comes.
 *
 * A read may outlive the leadership that asked for it, and the end of what it read may be truncated
 * meanwhile. It fills nothing of a later term: until it is through nothing else goes to that member, and what
 * asks for the same again in the new term is read again.
 *
 * In. While one is on its way that takes long, its leader is answered as if it had sent a heartbeat
 * (patience.c holds our own timeout as long). A payload proves itself: chain(previous) is ours if we hold
 * that entry, and each entry carries its own. The same (index, term) with another chain is a
 * log that diverged, and truth lost. A CHANGE is given to the core as the first of its piece: it
 * would book it at the wrong index otherwise. */
#include <assert.h>

#include "raft/member.h"
#include "raft/replica_private.h"

/* Payloads of one frame, unless one alone is longer: a quarter of a second at 2 Mbit/s. */
#define APPEND_PIECE KIB(64)

/* ---- out ---- */

static bool emit(struct replica *r, struct replica_peer *peer, const struct append_job *job,
		 struct entry *const *entries, size_t count, bool chain_known, struct chain chain)
{
	struct link *link = transport_link(r->transport, peer->id, FRAME_RAFT);
	assert(replica_leads(r));
	assert(job->term == r->core.current_term);
	assert(count == 0 || entries[0]->index == job->next);
	assert(count == 0 || entries[0]->term >= job->previous_term);
	assert(count == 0 || entries[count - 1]->term <= job->term);
	if (link == NULL || link_unsent(link) > LIMIT_PEER_QUEUE) {
		r->count.dropped++;
		return false;
	}
	if (count == 0) {
		trim_learn_kept(r);
	}
	struct append_head head = {
		.term = job->term,
		.previous_index = job->next - 1,
		.previous_term = job->previous_term,
		.commit_index = job->commit_index,
		.kept = r->kept,
		.previous_chain = chain,
		.chain_known = chain_known,
		.count = (uint32_t)count,
	};
	message_send_append(link, transport_highest_stamp(r->transport), &head, entries);
	if (count > 0 && entries[count - 1]->index > peer->sent_to) {
		peer->sent_to = entries[count - 1]->index;
		peer->needs_snapshot &= peer->lacks;
	}
	return true;
}

/* Sends a run of entries in as many frames as they need; job moves on. */
static bool emit_run(struct replica *r, struct replica_peer *peer, struct append_job *job,
		     struct entry *const *entries, size_t count, bool chain_known, struct chain chain)
{
	assert(job->next + count <= job->last + 1);
	while (count > 0) {
		size_t piece = 0, bytes = 0;
		while (piece < count && piece < MESSAGE_ENTRIES_MAX &&
		       (piece == 0 || bytes + entries[piece]->len <= APPEND_PIECE)) {
			bytes += entries[piece++]->len;
		}
		if (!emit(r, peer, job, entries, piece, chain_known, chain)) {
			return false;
		}
		const struct entry *last = entries[piece - 1];
		job->next = last->index + 1;
		job->previous_term = last->term;
		chain = last->chain;
		chain_known = true;
		entries += piece;
		count -= piece;
	}
	return true;
}

static void run_jobs(struct replica *r, struct replica_peer *peer);

static void read_cb(struct wal_read *read, int status)
{
	struct replica_peer *peer = list_entry(read, struct replica_peer, read);
	struct replica *r = peer->replica;
	assert(peer->reading);
	assert(peer->job_count <= REPLICA_JOBS);
	assert(status == 0 || read->count == 0);
	peer->reading = false;
	struct append_job *job = &peer->jobs[0];
	bool current = peer->job_count > 0 && replica_leads(r) && job->term == r->core.current_term &&
		       !r->stopped && !r->closing && status == 0;
	if (current && job->next == read->first && peer->read_term == job->term) {
		size_t wanted = (size_t)(job->last - job->next + 1);
		size_t count = read->count < wanted ? read->count : wanted;
		current = emit_run(r, peer, job, read->entries, count, read->before_known, read->before);
	}
	for (size_t i = 0; i < read->count; i++) {
		entry_unref(read->entries[i]);
	}
	if (!current) {
		peer->job_count = 0;
	}
	run_jobs(r, peer);
	replica_wake(r);
}

/* Sends the first job as far as memory goes. True when it is done with, false when a read must come first. */
static bool run_job(struct replica *r, struct replica_peer *peer, struct append_job *job)
{
	struct chain chain = {0, 0};
	assert(job->next > 0);
	assert(job->next <= job->last + 1);
	if (job->next > job->last) {
		bool known = wal_chain_of(r->wal, job->next - 1, &chain);
		return emit(r, peer, job, NULL, 0, known, chain);
	}
	while (job->next <= job->last) {
		struct entry *entries[MESSAGE_ENTRIES_MAX];
		size_t count = 0;
		while (count < MESSAGE_ENTRIES_MAX && job->next + count <= job->last &&
		       (entries[count] = wal_recent(r->wal, job->next + count)) != NULL) {
			count++;
		}
		if (count == 0) {
			return false;
		}
		bool known = wal_chain_of(r->wal, job->next - 1, &chain);
		if (!emit_run(r, peer, job, entries, count, known, chain)) {
			return true;
		}
	}
	return true;
}

static void run_jobs(struct replica *r, struct replica_peer *peer)
{
	assert(peer->replica == r);
	while (peer->job_count > 0 && !peer->reading) {
		struct append_job *job = &peer->jobs[0];
		bool current =
			replica_leads(r) && job->term == r->core.current_term && !r->stopped && !r->closing;
		if (current && !run_job(r, peer, job)) {
			if (job->next <= job->last && job->next >= wal_first_index(r->wal) &&
			    job->next <= wal_durable_index(r->wal)) {
				uint64_t last = job->last < wal_durable_index(r->wal)
							? job->last
							: wal_durable_index(r->wal);
				peer->reading = true;
				peer->read_term = job->term;
				peer->read.cb = read_cb;
				wal_read_start(r->wal, &peer->read, job->next, last);
				return;
			}
			r->count.dropped++; /* trimmed meanwhile: the core will ask for more */
		}
		peer->job_count--;
		memmove(&peer->jobs[0], &peer->jobs[1], peer->job_count * sizeof(peer->jobs[0]));
	}
}

/* Whether an earlier message to this member says as much and has not even left, or comes in there: the kernel
 * takes more than a narrow link carries in seconds. */
static bool superfluous(struct replica_peer *peer, struct link *link, uint64_t first, uint64_t last)
{
	size_t unsent = link->stream == NULL ? 0 : env_stream_unsent(link->stream);
	assert(first > 0);
	assert(first <= last + 1);
	if (last < first) {
		return unsent > REPLICA_IDLE_UNSENT;
	}
	uint64_t told_ms = env_now_ms(peer->replica->env) - peer->coming_ms;
	bool coming = peer->coming_ms != 0 && told_ms < peer->replica->config.election_ms;
	return (unsent > 0 || coming) && first <= peer->sent_to;
}

void append_send(struct replica *r, struct replica_peer *peer, const struct raft_message *message)
{
	const struct raft_append_entries *args = &message->append_entries;
	struct link *link = transport_link(r->transport, peer->id, FRAME_RAFT);
	uint64_t first = args->prev_log_index + 1;
	uint64_t last = args->prev_log_index + args->n_entries;
	assert(last <= wal_last_index(r->wal)); /* what the core sends, our log holds */
	assert(args->term == r->core.current_term);
	assert(peer->job_count <= REPLICA_JOBS);
	if (link == NULL || peer->job_count == REPLICA_JOBS || superfluous(peer, link, first, last)) {
		r->count.dropped++;
		return;
	}
	peer->jobs[peer->job_count++] = (struct append_job){
		.term = args->term,
		.previous_term = args->prev_log_term,
		.commit_index = args->leader_commit,
		.next = first,
		.last = last,
	};
	run_jobs(r, peer);
}

void append_again(struct replica *r, struct replica_peer *peer, uint64_t first, uint64_t last)
{
	assert(replica_leads(r));
	assert(first > 0);
	assert(first <= last);
	assert(last <= wal_last_index(r->wal));
	if (first < wal_first_index(r->wal)) {
		step_fell_behind(r, peer);
		return;
	}
	if (peer->job_count == REPLICA_JOBS) {
		r->count.dropped++;
		return;
	}
	peer->jobs[peer->job_count++] = (struct append_job){
		.term = r->core.current_term,
		.previous_term = wal_term_of(r->wal, first - 1),
		.commit_index = raft_commit_index(&r->core),
		.next = first,
		.last = last,
	};
	run_jobs(r, peer);
}

void append_forget(struct replica *r)
{
	for (size_t i = 0; i < r->peer_count; i++) {
		r->peers[i]->job_count = 0;
	}
}

/* ---- in ---- */

/* It acknowledges nothing, not even what we hold: whether that is the leader's, the append says when it is
 * here. */
void append_coming(struct replica *r, const struct replica_peer *peer)
{
	struct link *link = transport_link(r->transport, peer->id, FRAME_RAFT);
	struct raft_message message = {.type = RAFT_APPEND_ENTRIES_RESULT};
	struct raft_append_entries_result *result = &message.append_entries_result;
	result->version = 1;
	result->term = r->core.current_term;
	result->capacity = handover_has_room(r);
	if (link != NULL && link_unsent(link) <= LIMIT_PEER_QUEUE) {
		message_send(link, transport_highest_stamp(r->transport), &message);
	}
}

/* Verified entries of a message; those that we hold already are not made again. */
struct incoming {
	struct append_head head;
	struct append_entry heads[MESSAGE_ENTRIES_MAX];
	struct entry *entries[MESSAGE_ENTRIES_MAX];
};

static void diverged(struct replica *r, const struct replica_peer *peer, uint64_t index)
{
	replica_fail(
		r,
		"the log diverged: entry %llu has another chain here than on leader %llu; this member must "
		"not take part again (docs/operations.md: a member that lost its memory)",
		(unsigned long long)index, (unsigned long long)peer->id);
}

/* 0; ERR_CORRUPT when a payload does not match its chain; ERR_CLOSED when the replica stopped. */
static int verify(struct replica *r, struct replica_peer *peer, struct incoming *in)
{
	const struct append_head *head = &in->head;
	struct chain chain = head->previous_chain, ours;
	bool known = head->chain_known;
	assert(head->term >= r->core.current_term);
	assert(!replica_leads(r) || head->term > r->core.current_term);
	if (wal_chain_of(r->wal, head->previous_index, &ours)) {
		if (known && !chain_equal(chain, ours)) {
			diverged(r, peer, head->previous_index);
			return ERR_CLOSED;
		}
		chain = ours;
		known = true;
	}
	bool held = true;
	for (uint32_t i = 0; i < head->count; i++) {
		const struct append_entry *entry = &in->heads[i];
		uint64_t index = head->previous_index + 1 + i;
		held = held && wal_term_of(r->wal, index) == entry->term;
		if (held && wal_chain_of(r->wal, index, &ours) && !chain_equal(ours, entry->chain)) {
			diverged(r, peer, index);
			return ERR_CLOSED;
		}
		if (!held) {
			if (!known ||
			    !chain_equal(chain_next(chain, index, entry->term, entry->type, entry->payload),
					 entry->chain) ||
			    (entry->type == ENTRY_CHANGE && member_check(entry->payload) != 0)) {
				return ERR_CORRUPT;
			}
			assert(in->entries[i] == NULL);
			in->entries[i] = entry_new(entry->type, entry->payload);
			in->entries[i]->index = index;
			in->entries[i]->term = entry->term;
			in->entries[i]->chain = entry->chain;
		}
		chain = entry->chain;
		known = true;
	}
	return 0;
}

/* Steps the message in pieces, each beginning with a CHANGE or none in it. */
static void step_pieces(struct replica *r, struct replica_peer *peer, struct incoming *in)
{
	const struct append_head *head = &in->head;
	uint64_t previous_term = head->previous_term;
	uint32_t done = 0;
	assert(!r->stopped);
	assert(!r->closing);
	do {
		uint32_t count = 0;
		while (done + count < head->count &&
		       (count == 0 || in->heads[done + count].type != ENTRY_CHANGE)) {
			count++;
		}
		assert(count > 0 || head->count == 0);
		struct raft_message message;
		memset(&message, 0, sizeof(message));
		message.type = RAFT_APPEND_ENTRIES;
		message.server_id = peer->id;
		message.server_address = peer->address;
		message.append_entries.term = head->term;
		message.append_entries.prev_log_index = head->previous_index + done;
		message.append_entries.prev_log_term = previous_term;
		message.append_entries.leader_commit = head->commit_index;
		step_append(r, &message, &in->heads[done], &in->entries[done], count);
		done += count;
		previous_term = done > 0 ? in->heads[done - 1].term : previous_term;
	} while (done < head->count && !r->stopped);
	assert(done == head->count || r->stopped);
}

/* What lies before our snapshot is committed, so whoever leads in this term or a later one has the same, and we may
 * have trimmed it: the message begins behind it. The core would refuse it, until the leader has gone back to its first
 * entry, and take that for one that contradicts ours, which it looks for in front of its array. */
static void skip_snapshot(struct replica *r, struct incoming *in)
{
	struct append_head *head = &in->head;
	uint64_t snapshot = r->core.trail.snapshot.index;
	if (head->term < r->core.current_term || head->previous_index >= snapshot) {
		return;
	}
	uint64_t before = snapshot - head->previous_index;
	bool all = before > head->count;
	assert(snapshot <= r->commit_index);
	head->previous_term = all ? wal_term_of(r->wal, snapshot) : in->heads[before - 1].term;
	head->chain_known = !all;
	if (!all) {
		head->previous_chain = in->heads[before - 1].chain;
		memmove(in->heads, in->heads + before, (head->count - before) * sizeof(in->heads[0]));
	}
	head->previous_index = snapshot;
	head->count -= all ? head->count : (uint32_t)before;
}

void append_receive(struct replica *r, struct link *from, struct replica_peer *peer,
		    const struct frame *frame)
{
	struct incoming in;
	assert(from->peer_id == peer->id);
	if (message_take_append(frame, &in.head, in.heads) != 0) {
		r->count.frames_bad++;
		link_drop(from);
		return;
	}
	if (in.head.term == r->core.current_term && replica_leads(r)) {
		r->count.frames_bad++; /* two leaders of one term: not from any member of ours */
		link_drop(from);
		return;
	}
	const struct append_head *head = &in.head;
	skip_snapshot(r, &in);
	bool matches =
		head->previous_index == 0 || wal_term_of(r->wal, head->previous_index) == head->previous_term;
	if (head->term < r->core.current_term || !matches) {
		in.head.count = 0; /* it will be rejected: the entries need not be looked at */
	}
	memset(in.entries, 0, sizeof(in.entries[0]) * in.head.count);
	int status = matches && head->term >= r->core.current_term ? verify(r, peer, &in) : 0;
	if (status == ERR_CORRUPT) {
		r->count.frames_bad++;
		log_event(r->log, LOG_WARN, "peer_bad_entries", "peer=%llu after=%llu",
			  (unsigned long long)peer->id, (unsigned long long)head->previous_index);
		link_drop(from);
	} else if (status == 0) {
		if (head->term >= r->core.current_term && head->kept > r->kept) {
			r->kept = head->kept;
		}
		step_pieces(r, peer, &in);
	}
	for (uint32_t i = 0; i < in.head.count; i++) {
		entry_unref(in.entries[i]);
	}
}

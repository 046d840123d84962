/* One event into the core, its update out. Everything that depends on who owns
 * which bytes in 0.22.1 of the library is in this file:
 *
 *   START      array and buffers stay ours; the configuration in the metadata is consumed
 *   RECEIVE    of entries: the array is ours; one raft_malloc block in entries[0].batch, freed
 *              by the core unless the update has ENTRIES: then it is ours
 *   election   update.entries points into struct raft; its block is ours
 *   SUBMIT     batch must not be NULL and is never touched; on failure all stays ours
 *   CONFIGURATION, SNAPSHOT: the configuration is consumed
 *   messages   live until the next step: they are encoded at once
 *
 * Any failure but of SUBMIT and TRANSFER leaves the core in no known state. */
#include <assert.h>
#include <stdlib.h>

#include "raft/member.h"
#include "raft/replica_private.h"

/* The library's macros lack parentheses. */
#define HAS(update, flag) (((update)->flags & (unsigned)(flag)) != 0)

/* ---- the update ---- */

static struct entry *entry_of_update(struct replica *r, struct raft_update *update, unsigned i)
{
	uint64_t index = update->entries.index + i;
	if (r->submitted != NULL && update->entries.batch[i].batch == r->submitted) {
		assert(r->submitted->index == index);
		return entry_ref(r->submitted);
	}
	if (update->entries.batch == &r->core.barrier) {
		/* The core's own entry after an election. */
		struct raft_entry *barrier = update->entries.batch;
		struct entry *entry = entry_new(ENTRY_BARRIER, slice_of(barrier->buf.base, barrier->buf.len));
		entry->index = index;
		entry->term = barrier->term;
		entry->chain =
			chain_next(wal_chain(r->wal), index, entry->term, entry->type, entry_payload(entry));
		raft_free(barrier->batch);
		return entry;
	}
	assert(r->received != NULL);
	assert(index >= r->received_first);
	struct entry *entry = r->received[index - r->received_first];
	assert(entry != NULL);
	assert(entry->index == index);
	return entry_ref(entry);
}

static void take_entries(struct replica *r, struct raft_update *update)
{
	uint64_t index = update->entries.index;
	bool received = r->received != NULL && update->entries.batch != &r->core.barrier;
	assert(index > r->delivered); /* what was handed over is committed: it never goes */
	if (index <= wal_last_index(r->wal)) {
		wal_truncate(r->wal, index);
		/* A late report of what was there would acknowledge what is not. */
		r->reported = r->reported < index ? r->reported : index - 1;
		for (size_t i = 0; i < r->peer_count; i++) {
			r->peers[i]->sent_to = 0;
		}
	}
	void *block = received ? update->entries.batch[0].batch : NULL;
	bool changes = false;
	for (unsigned i = 0; i < update->entries.n; i++) {
		struct entry *entry = entry_of_update(r, update, i);
		changes |= entry->type == ENTRY_CHANGE;
		wal_append(r->wal, entry);
		entry_unref(entry);
	}
	raft_free(block);
	if (changes) {
		read_index_restart(r);
	}
}

/* What the core leaves unsaid, or says so that the other cannot go on. */
static void settle(const struct replica *r, struct raft_message *message)
{
	if (message->type == RAFT_APPEND_ENTRIES_RESULT && r->received_old) {
		/* The core leaves this field as the stack was. A leader of the old term does not read it, but where it
		 * leads again it takes the answer for one to its new term's, and goes back to this. */
		message->append_entries_result.last_log_index = wal_last_index(r->wal);
	}
	struct raft_request_vote_result *vote = &message->request_vote_result;
	if (message->type == RAFT_REQUEST_VOTE_RESULT && vote->pre_vote && !vote->vote_granted &&
	    vote->term < r->core.current_term) {
		/* The core refuses a pre-vote of an older term with that older term. If we have the higher
		 * term and the candidate the longer log, neither would ever elect the other: say our term. */
		vote->term = r->core.current_term;
	}
}

void step_fell_behind(struct replica *r, struct replica_peer *peer)
{
	if (!peer->needs_snapshot) {
		peer->needs_snapshot = true;
		log_event(r->log, LOG_WARN, "member_fell_behind",
			  "member=%llu first_index=%llu it needs more of the log than is kept; it keeps its "
			  "log and may vote",
			  (unsigned long long)peer->id, (unsigned long long)wal_first_index(r->wal));
	}
}

static void take_message(struct replica *r, const struct raft_message *message)
{
	struct replica_peer *peer = peers_find(r, message->server_id);
	assert(message->server_id != r->config.id);
	if (peer == NULL) {
		r->count.dropped++;
		return;
	}
	if (message->type == RAFT_APPEND_ENTRIES) {
		append_send(r, peer, message);
		return;
	}
	if (message->type == RAFT_INSTALL_SNAPSHOT) {
		/* Emitted again at every rejected heartbeat. Files are not shipped yet. */
		step_fell_behind(r, peer);
		return;
	}
	if (message->type == RAFT_REQUEST_VOTE && message->request_vote.pre_vote && handover_stands_back(r)) {
		return; /* a candidate that nobody hears; it votes for others */
	}
	struct raft_message settled = *message;
	settle(r, &settled);
	struct link *link = transport_link(r->transport, peer->id, FRAME_RAFT);
	if (link == NULL || link_unsent(link) > LIMIT_PEER_QUEUE ||
	    !message_send(link, transport_highest_stamp(r->transport), &settled)) {
		r->count.dropped++;
	}
}

static void take_update(struct replica *r, struct raft_update *update)
{
	assert(!HAS(update, RAFT_UPDATE_ENTRIES) || update->entries.n > 0);
	assert(r->core.current_term >= r->term);
	if (HAS(update, RAFT_UPDATE_CURRENT_TERM) || HAS(update, RAFT_UPDATE_VOTED_FOR)) {
		vote_save(r);
	}
	if (HAS(update, RAFT_UPDATE_ENTRIES)) {
		take_entries(r, update);
	}
	assert(wal_last_index(r->wal) == raft_last_index(&r->core)); /* two books of one log */
	if (HAS(update, RAFT_UPDATE_SNAPSHOT)) {
		replica_fail(r, "the core wants to install a snapshot, which no member sends");
		return;
	}
	if (HAS(update, RAFT_UPDATE_MESSAGES)) {
		for (unsigned i = 0; i < update->messages.n; i++) {
			take_message(r, &update->messages.batch[i]);
		}
	}
	notice_role(r);
	notice_commit(r);
	replica_wake(r);
}

static int step(struct replica *r, struct raft_event *event)
{
	struct raft_update update;
	assert(r->core_open);
	assert(!r->stopped);
	memset(&update, 0, sizeof(update));
	event->time = env_now_ms(r->env);
	event->capacity =
		handover_has_room(r); /* what results tell the leader; the core makes nothing of it */
	int status = raft_step(&r->core, event, &update);
	if (status == 0) {
		take_update(r, &update);
		return 0;
	}
	if (event->type != RAFT_SUBMIT && event->type != RAFT_TRANSFER) {
		replica_fail(r,
			     "consensus failed at term %llu (event %d: %s): this member's log contradicts "
			     "the leader's",
			     (unsigned long long)r->core.current_term, (int)event->type,
			     raft_strerror(status));
	}
	return status;
}

/* ---- the events ---- */

int step_start(struct replica *r)
{
	struct raft_snapshot_metadata metadata;
	struct raft_event event;
	memset(&event, 0, sizeof(event));
	memset(&metadata, 0, sizeof(metadata));
	event.type = RAFT_START;
	event.start.term = r->vote.term;
	event.start.voted_for = r->vote.voted_for;
	event.start.start_index = wal_first_index(r->wal);
	event.start.entries = r->start_entries;
	event.start.n_entries = (unsigned)r->start_count;
	if (r->applied_state.index > 0) {
		metadata.index = r->applied_state.index;
		metadata.term = r->applied_state.term;
		metadata.configuration_index = r->configuration_index;
		member_decode(buf_slice(&r->configuration), &metadata.configuration);
		event.start.metadata = &metadata;
	}
	assert(r->vote.term > 0);
	assert(event.start.start_index <= r->applied_state.index + 1);
	assert(r->start_count > 0 || event.start.start_index == r->applied_state.index + 1);
	assert(event.start.metadata != NULL || r->start_entries[0].type == RAFT_CHANGE);
	r->reported = wal_last_index(r->wal);
	return step(r, &event);
}

void step_timeout(struct replica *r)
{
	struct raft_event event;
	assert(!r->closing);
	memset(&event, 0, sizeof(event));
	event.type = RAFT_TIMEOUT;
	step(r, &event);
}

void step_persisted(struct replica *r, uint64_t index)
{
	/* Strictly rising, or the core moves back. */
	if (index <= r->reported || r->stopped || !r->core_open) {
		return;
	}
	struct raft_event event;
	memset(&event, 0, sizeof(event));
	event.type = RAFT_PERSISTED_ENTRIES;
	event.persisted_entries.index = index;
	assert(index <= raft_last_index(&r->core));
	assert(r->core.state != RAFT_CANDIDATE);
	r->reported = index;
	step(r, &event);
}

int step_submit(struct replica *r, struct entry *entry)
{
	struct raft_entry core_entry;
	struct raft_event event;
	memset(&core_entry, 0, sizeof(core_entry));
	memset(&event, 0, sizeof(event));
	assert(wal_last_index(r->wal) == raft_last_index(&r->core));
	entry->term = r->core.current_term;
	entry->index = wal_last_index(r->wal) + 1;
	entry->chain =
		chain_next(wal_chain(r->wal), entry->index, entry->term, entry->type, entry_payload(entry));
	core_entry.term = entry->term;
	core_entry.type = (enum raft_entry_type)entry->type;
	core_entry.batch = entry;
	if (entry->type == ENTRY_CHANGE) {
		core_entry.buf = (struct raft_buffer){entry->payload, entry->len};
	}
	event.type = RAFT_SUBMIT;
	event.submit.entries = &core_entry;
	event.submit.n = 1;
	assert(r->submitted == NULL);
	assert(r->received == NULL); /* one step at a time */
	r->submitted = entry;
	int status = step(r, &event);
	r->submitted = NULL;
	if (status == 0) {
		assert(wal_last_index(r->wal) == entry->index);
		entry_unref(entry); /* the log has its own reference */
	}
	return status;
}

void step_receive(struct replica *r, struct raft_message *message)
{
	struct raft_event event;
	assert(message->server_id != 0);
	assert(message->server_id != r->config.id);
	memset(&event, 0, sizeof(event));
	event.type = RAFT_RECEIVE;
	event.receive.message = message;
	step(r, &event);
}

void step_append(struct replica *r, struct raft_message *message, const struct append_entry *heads,
		 struct entry *const *entries, size_t count)
{
	struct raft_entry core_entries[MESSAGE_ENTRIES_MAX];
	assert(count <= MESSAGE_ENTRIES_MAX);
	memset(core_entries, 0, sizeof(core_entries[0]) * count);
	void *block = NULL;
	if (count > 0) {
		block = raft_malloc(1);
		if (block == NULL) {
			fatal("out of memory: entries from a member");
		}
	}
	for (size_t i = 0; i < count; i++) {
		core_entries[i].term = heads[i].term;
		core_entries[i].type = (enum raft_entry_type)heads[i].type;
		core_entries[i].batch = block;
		if (heads[i].type == ENTRY_CHANGE) {
			core_entries[i].buf = (struct raft_buffer){(void *)(uintptr_t)heads[i].payload.data,
								   heads[i].payload.len};
		}
	}
	message->append_entries.entries = count > 0 ? core_entries : NULL;
	message->append_entries.n_entries = (unsigned)count;
	assert(r->received == NULL);
	assert(r->submitted == NULL);
	r->received = entries;
	r->received_first = message->append_entries.prev_log_index + 1;
	r->received_old = message->append_entries.term < r->core.current_term;
	step_receive(r, message);
	r->received_old = false;
	r->received = NULL;
}

void step_configuration(struct replica *r, uint64_t index, struct slice encoded)
{
	struct raft_event event;
	memset(&event, 0, sizeof(event));
	assert(index > 0);
	assert(index <= r->commit_index);
	event.type = RAFT_CONFIGURATION;
	event.configuration.index = index;
	member_decode(encoded, &event.configuration.conf);
	step(r, &event);
}

void step_snapshot(struct replica *r, uint64_t index, uint64_t first_kept)
{
	struct raft_event event;
	memset(&event, 0, sizeof(event));
	assert(first_kept <= index + 1);
	event.type = RAFT_SNAPSHOT;
	event.snapshot.metadata.index = index;
	event.snapshot.metadata.term = wal_term_of(r->wal, index);
	assert(event.snapshot.metadata.term != 0);
	assert(index > r->core.trail.snapshot.index);
	assert(index <= r->commit_index);
	event.snapshot.metadata.configuration_index = r->configuration_index;
	member_decode(buf_slice(&r->configuration), &event.snapshot.metadata.configuration);
	event.snapshot.trailing = (unsigned)(index + 1 - first_kept);
	step(r, &event);
}

int step_transfer(struct replica *r, uint64_t target)
{
	struct raft_event event;
	memset(&event, 0, sizeof(event));
	assert(replica_leads(r));
	assert(target != r->config.id);
	event.type = RAFT_TRANSFER;
	event.transfer.server_id = target;
	return step(r, &event);
}

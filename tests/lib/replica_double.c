#include "tests/lib/replica_double.h"

#include <assert.h>
#include <stdlib.h>

struct replica {
	struct env *env;
	const struct replica_events *events;
	void *owner;
	uint64_t id;
	struct env_turn turn;
	enum replica_role role;
	uint64_t term, leader_id;
	struct entry **entries; /* from index 1 */
	size_t count, cap;
	uint64_t commit_index, told_index, open_index, applied_index, stamp_ms;
	struct chain chain;
	bool started, opened, role_changed, hold, hold_reads, busy, behind, closing;
	uint64_t proposals, read_count;
	struct list reads;
	void (*closed)(void *owner);
	void (*transferred)(void *owner, int status);
	void *transfer_owner;
};

static struct replica *latest;

struct replica *replica_double(void)
{
	return latest;
}

static void append(struct replica *r, struct entry *entry)
{
	if (r->count == r->cap) {
		r->cap = r->cap == 0 ? 64 : r->cap * 2;
		r->entries = realloc(r->entries, r->cap * sizeof(struct entry *));
		assert(r->entries != NULL);
	}
	entry->index = r->count + 1;
	entry->term = r->term;
	r->chain = entry->chain =
		chain_next(r->chain, entry->index, entry->term, entry->type, entry_payload(entry));
	r->entries[r->count++] = entry;
}

static void tell_committed(struct replica *r)
{
	if (r->told_index >= r->commit_index) {
		return;
	}
	uint64_t from = r->told_index;
	r->told_index = r->commit_index;
	r->events->on_commit_index(r->owner, r->commit_index);
	r->events->on_committed(r->owner, r->entries + from, r->commit_index - from);
}

static void open_term(struct replica *r)
{
	struct buf payload;
	buf_init(&payload, LIMIT_ENTRY);
	r->events->on_open_payload(r->owner, &payload);
	append(r, entry_new(ENTRY_COMMAND, buf_slice(&payload)));
	r->open_index = r->count;
	r->commit_index = r->count;
	buf_fini(&payload);
}

static void answer_reads(struct replica *r, int status)
{
	struct list now, *link;
	list_init(&now);
	list_splice(&now, &r->reads);
	while ((link = list_pop(&now)) != NULL) {
		struct replica_read *read = list_entry(link, struct replica_read, link);
		read->commit_index = r->commit_index;
		read->cb(read, status);
	}
}

static void turn_cb(struct env_turn *turn)
{
	struct replica *r = list_entry(turn, struct replica, turn);
	if (r->role_changed) {
		r->role_changed = false;
		r->events->on_role(r->owner, r->role, r->term, r->leader_id);
		if (r->role == REPLICA_LEADER) {
			open_term(r);
		} else {
			answer_reads(r, ERR_NOT_LEADER);
		}
	}
	if (r->role == REPLICA_LEADER && !r->hold) {
		r->commit_index = r->count;
	}
	tell_committed(r);
	if (r->role == REPLICA_LEADER && !r->opened && r->commit_index >= r->open_index) {
		r->opened = true;
		r->events->on_open(r->owner, r->term, r->open_index);
	}
	if (!r->hold_reads) {
		answer_reads(r, r->role == REPLICA_LEADER ? 0 : ERR_NOT_LEADER);
	}
	if (r->transferred != NULL) {
		void (*cb)(void *owner, int status) = r->transferred;
		r->transferred = NULL;
		cb(r->transfer_owner, r->role == REPLICA_LEADER ? ERR_TIMEOUT : ERR_NOT_LEADER);
	}
	if (r->closing) {
		r->closing = false;
		r->closed(r->owner);
	}
}

/* ---- by hand ---- */

void replica_double_hold(struct replica *r, bool hold)
{
	r->hold = hold;
	env_turn_arm(&r->turn);
}

void replica_double_hold_reads(struct replica *r, bool hold)
{
	r->hold_reads = hold;
	env_turn_arm(&r->turn);
}

void replica_double_busy(struct replica *r, bool busy)
{
	r->busy = busy;
}

void replica_double_lose(struct replica *r, bool keep)
{
	r->role = REPLICA_FOLLOWER;
	r->term++;
	r->leader_id = r->id + 1;
	r->opened = false;
	r->role_changed = true;
	while (!keep && r->count > r->commit_index) {
		entry_unref(r->entries[--r->count]);
		r->chain = r->count > 0 ? r->entries[r->count - 1]->chain : (struct chain){0, 0};
	}
	env_turn_arm(&r->turn);
}

void replica_double_elect(struct replica *r)
{
	r->role = REPLICA_LEADER;
	r->term++;
	r->leader_id = r->id;
	r->opened = false;
	r->role_changed = true;
	env_turn_arm(&r->turn);
}

uint64_t replica_double_proposals(const struct replica *r)
{
	return r->proposals;
}

uint64_t replica_double_stamp_ms(const struct replica *r)
{
	return r->stamp_ms;
}

/* ---- the door ---- */

int replica_open(const struct replica_config *config, const struct replica_applied_state *applied,
		 struct replica **replica, struct err *err)
{
	(void)err;
	struct replica *r = calloc(1, sizeof *r);
	assert(r != NULL);
	assert(applied->index == 0); /* it has no log to go on from */
	r->env = config->env;
	r->events = config->events;
	r->owner = config->owner;
	r->id = config->id;
	list_init(&r->reads);
	env_turn_init(r->env, &r->turn, turn_cb);
	*replica = latest = r;
	return 0;
}

int replica_start(struct replica *r, struct err *err)
{
	(void)err;
	r->started = true;
	replica_double_elect(r);
	return 0;
}

void replica_close(struct replica *r, void (*closed)(void *owner))
{
	r->closed = closed;
	r->closing = true;
	env_turn_arm(&r->turn);
}

void replica_free(struct replica *r)
{
	if (r == NULL) {
		return;
	}
	env_turn_cancel(&r->turn);
	for (size_t i = 0; i < r->count; i++) {
		entry_unref(r->entries[i]);
	}
	free(r->entries);
	free(r);
}

uint64_t replica_next_index(const struct replica *r)
{
	return r->role == REPLICA_LEADER && r->opened ? r->count + 1 : 0;
}

int replica_propose(struct replica *r, struct entry *entry, uint64_t stamp_ms)
{
	if (r->role != REPLICA_LEADER || !r->opened) {
		return ERR_NOT_LEADER;
	}
	if (r->busy) {
		return ERR_BUSY;
	}
	append(r, entry);
	r->proposals++;
	replica_stamp(r, stamp_ms);
	env_turn_arm(&r->turn);
	return 0;
}

void replica_set_room(struct replica *r, bool room) {}

void replica_set_behind(struct replica *r, bool behind)
{
	r->behind = behind;
}

bool replica_double_behind(const struct replica *r)
{
	return r->behind;
}

void replica_stamp(struct replica *r, uint64_t stamp_ms)
{
	if (r->stamp_ms < stamp_ms) {
		r->stamp_ms = stamp_ms;
	}
}

uint64_t replica_clock_ms(const struct replica *r)
{
	(void)r;
	return 0; /* it knows of nobody's */
}

size_t replica_in_flight(const struct replica *r)
{
	return r->count - r->commit_index;
}

void replica_read_start(struct replica *r, struct replica_read *read, uint64_t timeout_ms)
{
	(void)timeout_ms;
	r->read_count++;
	list_append(&r->reads, &read->link);
	env_turn_arm(&r->turn);
}

void replica_read_cancel(struct replica *r, struct replica_read *read)
{
	(void)r;
	list_remove(&read->link);
}

void replica_transfer(struct replica *r, uint64_t target_id, uint64_t timeout_ms,
		      void (*cb)(void *owner, int status), void *owner)
{
	(void)target_id;
	(void)timeout_ms;
	r->transferred = cb;
	r->transfer_owner = owner;
	env_turn_arm(&r->turn);
}

void replica_applied(struct replica *r, uint64_t index)
{
	assert(index > r->applied_index && index <= r->count);
	r->applied_index = index;
}

void replica_database_durable(struct replica *r, uint64_t index)
{
	assert(index <= r->applied_index);
}

void replica_configuration(const struct replica *r, uint64_t *index, struct slice *encoded)
{
	(void)r;
	*index = 0;
	*encoded = SLICE_NONE;
}

void replica_forward_start(struct replica *r, struct replica_forward *forward, uint64_t to_id,
			   struct slice request, uint64_t timeout_ms)
{
	(void)r;
	(void)forward;
	(void)to_id;
	(void)request;
	(void)timeout_ms;
	assert(false); /* it has nobody to forward to */
}

size_t replica_reply_room(const struct replica *r, uint64_t to_id)
{
	(void)r;
	(void)to_id;
	return 0;
}

void replica_reply(struct replica *r, uint64_t to_id, uint64_t token, struct slice reply)
{
	(void)r;
	(void)to_id;
	(void)token;
	(void)reply;
	assert(false);
}

struct replica_position replica_position(const struct replica *r)
{
	return (struct replica_position){r->role, r->term, r->commit_index};
}

void replica_stats(const struct replica *r, struct replica_stats *stats)
{
	memset(stats, 0, sizeof *stats);
	stats->role = r->role;
	stats->term = r->term;
	stats->leader_id = r->leader_id;
	stats->last_index = r->count;
	stats->commit_index = r->commit_index;
	stats->applied_index = r->applied_index;
	stats->chain = r->chain;
	stats->proposals = r->proposals;
	stats->reads = r->read_count;
}


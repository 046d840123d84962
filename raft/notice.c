/* What the owner is told, at the end of a turn and in order. A commit that was
 * reached while we led is told before the loss of leadership: its replies are
 * still ours to give. */
#include <assert.h>
#include <stdlib.h>

#include "raft/replica_private.h"

static enum replica_role role_of(const struct replica *r)
{
	switch (r->core.state) {
	case RAFT_LEADER:
		return REPLICA_LEADER;
	case RAFT_CANDIDATE:
		return REPLICA_CANDIDATE;
	default:
		return REPLICA_FOLLOWER;
	}
}

static struct notice *push(struct replica *r, enum notice_kind kind)
{
	if (r->notice_count == r->notice_cap) {
		r->notice_cap = r->notice_cap == 0 ? 16 : r->notice_cap * 2;
		r->notices = realloc(r->notices, r->notice_cap * sizeof(*r->notices));
		if (r->notices == NULL) {
			fatal("out of memory: notices of a replica");
		}
	}
	struct notice *notice = &r->notices[r->notice_count++];
	*notice = (struct notice){.kind = kind};
	return notice;
}

/* Leadership of an older term ends: nothing of it is in flight any more. */
static void leadership_lost(struct replica *r)
{
	assert(r->role == REPLICA_LEADER);
	r->is_open = r->open_due = false;
	append_forget(r);
	read_index_lost(r);
}

void notice_role(struct replica *r)
{
	raft_id leader_id = 0;
	const char *address;
	enum replica_role role = role_of(r);
	uint64_t term = r->core.current_term;
	raft_leader(&r->core, &leader_id, &address);
	assert(term >= r->term);
	assert(role != REPLICA_LEADER || leader_id == r->config.id || leader_id == 0);
	if (role == r->role && term == r->term && leader_id == r->leader_id) {
		return;
	}
	if (r->role == REPLICA_LEADER && (role != REPLICA_LEADER || term != r->term)) {
		leadership_lost(r);
	}
	if (role == REPLICA_LEADER && (r->role != REPLICA_LEADER || term != r->term)) {
		r->open_due = true;
		r->is_open = false;
		r->count.elections++;
		for (size_t i = 0; i < r->peer_count; i++) {
			r->peers[i]->echo_round = 0;
			r->peers[i]->sent_to = 0;
			r->peers[i]->needs_snapshot = false;
			r->peers[i]->has_room = false;
		}
	}
	if (leader_id != 0 && (leader_id != r->leader_id || term != r->term)) {
		patience_known(r);
	}
	if (role == REPLICA_LEADER && (r->role != REPLICA_LEADER || term != r->term)) {
		log_event(r->log, LOG_INFO, "leader_elected", "term=%llu", (unsigned long long)term);
	} else if (role != REPLICA_LEADER && leader_id != 0 && leader_id != r->leader_id) {
		log_event(r->log, LOG_INFO, "leader_known", "term=%llu leader=%llu", (unsigned long long)term,
			  (unsigned long long)leader_id);
	}
	if (leader_id == 0 && r->leader_id != 0) {
		r->leaderless_ms = env_now_ms(r->env);
	}
	r->role = role;
	r->term = term;
	r->leader_id = leader_id;
	struct notice *notice = push(r, NOTICE_ROLE);
	notice->role = role;
	notice->term = term;
	notice->leader_id = leader_id;
}

void notice_commit(struct replica *r)
{
	/* The core's may fall when a message comes again; ours does not. */
	uint64_t commit_index = raft_commit_index(&r->core);
	if (commit_index <= r->commit_index) {
		return;
	}
	assert(commit_index <= wal_last_index(r->wal));
	r->commit_index = commit_index;
	struct notice *last = r->notice_count > 0 ? &r->notices[r->notice_count - 1] : NULL;
	if (last == NULL || last->kind != NOTICE_COMMIT) {
		last = push(r, NOTICE_COMMIT);
	}
	last->commit_index = commit_index;
}

void notice_tell(struct replica *r)
{
	for (size_t i = 0; i < r->notice_count && !r->stopped; i++) {
		struct notice notice = r->notices[i]; /* the owner may cause more of them */
		assert(notice.commit_index <= r->commit_index);
		assert(notice.term <= r->term);
		if (notice.kind == NOTICE_COMMIT) {
			r->events->on_commit_index(r->config.owner, notice.commit_index);
		} else {
			r->events->on_role(r->config.owner, notice.role, notice.term, notice.leader_id);
		}
	}
	r->notice_count = 0;
}

static void note_change(struct replica *r, struct entry *entry)
{
	size_t max = sizeof(r->changes) / sizeof(r->changes[0]);
	assert(r->change_count < max); /* one at a time, each after the one before was applied */
	assert(r->change_count == 0 || entry->index > r->changes[r->change_count - 1]->index);
	r->changes[r->change_count++] = entry_ref(entry);
}

void notice_deliver(struct replica *r)
{
	uint64_t durable = wal_durable_index(r->wal);
	/* The core may know of commits that our own log does not hold yet: the database must not be ahead of
	 * it. */
	uint64_t upto = r->commit_index < durable ? r->commit_index : durable;
	assert(r->delivered <= upto);
	assert(r->applied <= r->delivered);
	assert(r->durable_in_database <= r->applied);
	while (r->delivered < upto && !r->stopped) {
		struct entry *entries[REPLICA_DELIVER];
		size_t count = 0;
		while (count < REPLICA_DELIVER && r->delivered + count < upto) {
			struct entry *entry = wal_recent(r->wal, r->delivered + count + 1);
			assert(entry != NULL);
			assert(entry->index == r->delivered + count + 1);
			if (entry->type == ENTRY_CHANGE) {
				note_change(r, entry);
			}
			entries[count++] = entry;
		}
		r->delivered += count;
		r->events->on_committed(r->config.owner, entries, count);
	}
	wal_set_floor(r->wal, r->delivered);
	if (replica_leads(r) && !r->is_open && !r->open_due && r->delivered >= r->open_index && !r->stopped) {
		r->is_open = true;
		r->events->on_open(r->config.owner, r->term, r->open_index);
	}
}
